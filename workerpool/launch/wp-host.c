/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-host.h"

#include "channel/wp-error.h"
#include "channel/wp-process.h"

/* Names the folder of the hosts, for a library that was not installed. */
#define WP_HOST_DIR_VARIABLE "WORKERPOOL_HOST_DIR"

char **
wp_host_get_default_argv (GError **error)
{
  g_autoptr (GStrvBuilder) argv = NULL;
  g_autofree char *program = NULL;
  const char *folder;

  if (wp_process_is_host ())
    {
      g_autoptr (GError) cause = NULL;
      char **own = wp_process_get_argv (&cause);

      if (own == NULL)
        g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "The workers cannot be started: %s", cause->message);
      return own;
    }

  folder = g_getenv (WP_HOST_DIR_VARIABLE);
  if (folder != NULL && *folder != '\0')
    program = g_build_filename (folder, "workerpool-host", NULL);
  else
    program = g_strdup (WP_GENERIC_HOST);

  if (!g_file_test (program, G_FILE_TEST_IS_EXECUTABLE))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "There is no host for the workers: this program registered no function before it made the "
                   "pool, and the generic host “%s” is not there; register a function, name a host, or set %s",
                   program, WP_HOST_DIR_VARIABLE);
      return NULL;
    }

  argv = g_strv_builder_new ();
  g_strv_builder_add (argv, program);

  return g_strv_builder_end (argv);
}
