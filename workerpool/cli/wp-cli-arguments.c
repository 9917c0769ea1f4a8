/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-arguments.h"

static gboolean
takes_value (const GOptionEntry *entry)
{
  return entry->arg != G_OPTION_ARG_NONE;
}

static const GOptionEntry *
find_short (const GOptionEntry *entries, char name)
{
  for (; entries->long_name != NULL; entries++)
    {
      if (entries->short_name != '\0' && entries->short_name == name)
        return entries;
    }

  return NULL;
}

static const GOptionEntry *
find_long (const GOptionEntry *entries, const char *name)
{
  for (; entries->long_name != NULL; entries++)
    {
      if (*entries->long_name != '\0' && g_str_equal (entries->long_name, name))
        return entries;
    }

  return NULL;
}

/* Returns whether the next argument is the value of the last option. */
static gboolean
add_short_options (GStrvBuilder *builder, const char *argument, const GOptionEntry *entries)
{
  for (const char *p = argument + 1; *p != '\0'; p++)
    {
      const GOptionEntry *entry = find_short (entries, *p);
      g_autofree char *names = NULL;

      if (entry == NULL)
        break;
      if (!takes_value (entry))
        continue;
      if (p[1] == '\0')
        {
          g_strv_builder_add (builder, argument);
          return TRUE;
        }

      names = g_strndup (argument, p + 1 - argument);
      g_strv_builder_add (builder, names);
      g_strv_builder_add (builder, p + 1);
      return FALSE;
    }

  g_strv_builder_add (builder, argument);
  return FALSE;
}

char **
wp_cli_split_arguments (char **argv, const GOptionEntry *entries)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  gboolean is_value = TRUE; /* the command's name is no option either */
  char **argument;

  for (argument = argv; *argument != NULL; argument++)
    {
      const GOptionEntry *entry;

      if (is_value || (*argument)[0] != '-')
        {
          g_strv_builder_add (builder, *argument);
          is_value = FALSE;
        }
      else if (g_str_equal (*argument, "--"))
        {
          break;
        }
      else if ((*argument)[1] == '-')
        {
          entry = find_long (entries, *argument + 2);
          g_strv_builder_add (builder, *argument);
          is_value = entry != NULL && takes_value (entry);
        }
      else
        {
          is_value = add_short_options (builder, *argument, entries);
        }
    }

  /* What follows two dashes are no options. */
  g_strv_builder_addv (builder, (const char **) argument);

  return g_strv_builder_end (builder);
}

gboolean
wp_cli_parse_arguments (GOptionContext *context,
                        char         ***argv,
                        const char     *command,
                        GError        **error)
{
  g_autofree char *program = g_strconcat ("workerpool ", command, NULL);
  g_autoptr (GError) parse_error = NULL;

  /* The first line of the help. */
  g_set_prgname (program);

  if (g_option_context_parse_strv (context, argv, &parse_error))
    return TRUE;

  if (g_error_matches (parse_error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION))
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
                 "%s; “workerpool help %s” lists the options", parse_error->message, command);
  else
    g_propagate_error (error, g_steal_pointer (&parse_error));

  return FALSE;
}
