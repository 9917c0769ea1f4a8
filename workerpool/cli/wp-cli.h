/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the command exits with; the manual page documents them. */
typedef enum
{
  WP_CLI_EXIT_SUCCESS = 0,
  WP_CLI_EXIT_TASK_FAILED = 1,
  WP_CLI_EXIT_USAGE = 2,
  WP_CLI_EXIT_POOL_FAILED = 3,
  WP_CLI_EXIT_OUTPUT_FAILED = 4,
  WP_CLI_EXIT_UNKNOWN_FUNCTION = 5,
  WP_CLI_EXIT_SIGNAL = 128, /* plus the signal's number, as a shell counts */
} WpCliExit;

/* The commands. argv[0] is the command's name. */
int   wp_cli_map      (int argc, char *argv[]);
int   wp_cli_info     (int argc, char *argv[]);

/* What to exit with when the pool failed with the error. */
int   wp_cli_get_exit_status (const GError *error);

/* Prints to standard output; ends the program when that cannot be written. */
void  wp_cli_print           (const char *text);

/* Prints "workerpool: " and one sentence to standard error, as one line. */
void  wp_cli_complain        (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Text of others as one line that cannot drive a terminal: valid UTF-8, control characters escaped.
 * An item is shortened; the line breaks of a message become spaces. */
char *wp_cli_display_item    (const char *bytes, gsize length);
char *wp_cli_display_message (const char *message);

G_END_DECLS
