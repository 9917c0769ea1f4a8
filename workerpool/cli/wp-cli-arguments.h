/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The arguments with "-j4" written as "-j" and "4": GOption takes the value of a short option from
 * the next argument only. (transfer full) */
char   **wp_cli_split_arguments (char **argv, const GOptionEntry *entries);

/* g_option_context_parse_strv (), as the command of that name. */
gboolean wp_cli_parse_arguments (GOptionContext *context,
                                 char         ***argv,
                                 const char     *command,
                                 GError        **error);

G_END_DECLS
