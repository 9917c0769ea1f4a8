/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The generic host: registers nothing itself, and runs the functions of modules. */

#include "workerpool.h"

#include <stdlib.h>

#include "channel/wp-process.h"

#define EXIT_USAGE 2

int
main (int   argc,
      char *argv[])
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  gboolean use_stdio = FALSE;
  gboolean show_version = FALSE;
  const GOptionEntry entries[] = {
    { "stdio", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &use_stdio,
      "Serve a pool over the standard streams, when started through ssh or another wrapper", NULL },
    { "version", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &show_version, "Print the version and exit", NULL },
    G_OPTION_ENTRY_NULL,
  };

  g_option_context_set_summary (context, "Runs the functions of C modules as the worker of a pool.\n"
                                         "Pools start it; it is of no use on a command line.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("workerpool-host: %s\n", error->message);
      return EXIT_USAGE;
    }

  if (show_version)
    {
      g_print ("workerpool-host %s\n", WP_VERSION);
      return EXIT_SUCCESS;
    }

  /* A wrapper may pass on no environment, so the request can come as an argument. */
  if (use_stdio)
    g_setenv (WP_CHANNEL_VARIABLE, "stdio", TRUE);

  if (!wp_worker_is_requested ())
    {
      g_printerr ("workerpool-host is started by a pool to be its worker; "
                  "through a wrapper such as ssh, start it with --stdio\n");
      return EXIT_USAGE;
    }

  return wp_worker_main ();
}
