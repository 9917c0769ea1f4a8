/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include <workerpool.h>

#include "wp-cli-arguments.h"
#include "wp-cli-options.h"
#include "wp-cli.h"

/* How the pool names the function that lists the others, which every host has. */
#define LIST_FUNCTION "“workerpool:functions”"

/* A module is one word that ends in .so, or .so and a version; anything else is a command line. */
static gboolean
is_module (const char *text)
{
  if (!g_str_has_suffix (text, ".so") && strstr (text, ".so.") == NULL)
    return FALSE;

  return strpbrk (text, " \t\n") == NULL || g_file_test (text, G_FILE_TEST_EXISTS);
}

static void
replace (char **text, const char *from, const char *to)
{
  g_auto (GStrv) parts = g_strsplit (*text, from, -1);

  g_free (*text);
  *text = g_strjoinv (to, parts);
}

/* The pool says which function failed, but this one is not of the user's making. */
static void
explain (const char *what, GError *error)
{
  g_autofree char *reason = NULL;

  /* It is about the module, and names it. */
  if (g_error_matches (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION) &&
      strstr (error->message, LIST_FUNCTION) == NULL)
    return;

  reason = g_strdup (error->message);
  replace (&reason, " for " LIST_FUNCTION, "");
  replace (&reason, " while it ran task 0 of " LIST_FUNCTION, " while it listed them");
  replace (&reason, LIST_FUNCTION, "the list of functions");

  g_free (error->message);
  error->message = g_strdup_printf ("The functions of “%s” cannot be listed: %s", what, reason);
}

static char **
list_functions (const char *what, guint start_timeout, GError **error)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_auto (GStrv) host = NULL;
  g_autofree char *module = NULL;
  g_autoptr (GError) list_error = NULL;
  char **names;

  if (is_module (what))
    {
      module = g_canonicalize_filename (what, NULL);
    }
  else
    {
      host = wp_cli_parse_host (what, error);
      if (host == NULL)
        return NULL;
      wp_worker_pool_set_host (pool, (const char *const *) host);
    }

  if (start_timeout != 0)
    wp_worker_pool_set_start_timeout (pool, start_timeout);

  names = wp_worker_pool_list_functions (pool, module, NULL, &list_error);
  wp_worker_pool_terminate (pool);
  wp_worker_pool_join (pool, NULL, NULL);

  if (names == NULL)
    {
      explain (what, list_error);
      g_propagate_error (error, g_steal_pointer (&list_error));
    }

  return names;
}

static gboolean
parse_start_timeout (const char *name, const char *value, gpointer data, GError **error)
{
  return wp_cli_parse_start_timeout (name, value, data, error);
}

static WpCliExit
get_exit_status (const GError *error)
{
  if (error->domain == G_OPTION_ERROR ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT))
    return WP_CLI_EXIT_USAGE;

  if (g_error_matches (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION))
    return WP_CLI_EXIT_UNKNOWN_FUNCTION;

  return WP_CLI_EXIT_POOL_FAILED;
}

int
wp_cli_info (int argc, char *argv[])
{
  guint start_timeout = 0;
  g_auto (GStrv) arguments = NULL;
  const GOptionEntry entries[] = {
    { "start-timeout", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, parse_start_timeout,
      WP_CLI_START_TIMEOUT_HELP, "SECONDS" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("MODULE|COMMAND");
  GOptionGroup *group = g_option_group_new ("info", NULL, NULL, &start_timeout, NULL);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  g_auto (GStrv) copy = g_strdupv (argv);

  g_option_group_add_entries (group, entries);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (
      context,
      "Prints the names of the functions that a module (a file that ends in .so) or a host\n"
      "(a command line in one argument) offers, one a line.");
  if (!wp_cli_parse_arguments (context, &copy, "info", &error))
    {
      wp_cli_complain ("%s", error->message);
      return WP_CLI_EXIT_USAGE;
    }

  if (arguments == NULL || arguments[0] == NULL || arguments[1] != NULL)
    {
      wp_cli_complain ("Give one module, or the command line of one host in quotes, as one argument");
      return WP_CLI_EXIT_USAGE;
    }

  names = list_functions (arguments[0], start_timeout, &error);
  if (names == NULL)
    {
      wp_cli_complain ("%s", error->message);
      return get_exit_status (error);
    }

  if (names[0] == NULL)
    wp_cli_complain ("“%s” offers no functions", arguments[0]);

  for (guint i = 0; names[i] != NULL; i++)
    {
      wp_cli_print (names[i]);
      wp_cli_print ("\n");
    }

  return WP_CLI_EXIT_SUCCESS;
}
