/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <workerpool.h>

#include "wp-cli-options.h"
#include "wp-cli.h"

/* A module is one word that ends in .so, or .so and a version; anything else is a command line. */
static gboolean
is_module (const char *text)
{
  return strpbrk (text, " \t\n") == NULL &&
         (g_str_has_suffix (text, ".so") || strstr (text, ".so.") != NULL);
}

static char **
list_functions (const char *what, GError **error)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_auto (GStrv) host = NULL;
  g_autofree char *module = NULL;
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

  names = wp_worker_pool_list_functions (pool, module, NULL, error);
  wp_worker_pool_terminate (pool);
  wp_worker_pool_join (pool, NULL, NULL);

  return names;
}

int
wp_cli_info (int argc, char *argv[])
{
  g_auto (GStrv) arguments = NULL;
  const GOptionEntry entries[] = {
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("MODULE|COMMAND");
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  g_auto (GStrv) copy = g_strdupv (argv);

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (
      context,
      "Prints the names of the functions that a module (a file that ends in .so) or a host\n"
      "(a command line in one argument) offers, one a line.");
  if (!g_option_context_parse_strv (context, &copy, &error))
    {
      wp_cli_complain ("%s; “workerpool help info” shows the usage", error->message);
      return WP_CLI_EXIT_USAGE;
    }

  if (arguments == NULL || arguments[0] == NULL || arguments[1] != NULL)
    {
      wp_cli_complain ("Give one module or the command line of one host, as one argument");
      return WP_CLI_EXIT_USAGE;
    }

  names = list_functions (arguments[0], &error);
  if (names == NULL)
    {
      wp_cli_complain ("%s", error->message);
      return error->domain == G_OPTION_ERROR ? WP_CLI_EXIT_USAGE : WP_CLI_EXIT_POOL_FAILED;
    }

  for (guint i = 0; names[i] != NULL; i++)
    printf ("%s\n", names[i]);

  if (fflush (stdout) != 0)
    {
      wp_cli_complain ("The names could not be written: %s", g_strerror (errno));
      return WP_CLI_EXIT_OUTPUT_FAILED;
    }

  return WP_CLI_EXIT_SUCCESS;
}
