/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "worker/wp-function-private.h"

G_BEGIN_DECLS

/* Calls the function and holds it to its contract: returns a value that can be sent, not floating, or NULL with an
 * error, which is WP_ERROR_INVALID_RESULT when the function returned both, neither, or a value that cannot be sent. */
GVariant *wp_task_run (WpFunction    *function,
                       const char    *function_name,
                       WpTaskContext *context,
                       GVariant      *args,
                       GError       **error);

/* The same of what a function has returned, which it takes; the value, nullable, is not floating. */
GVariant *wp_task_check (const char *function_name,
                         GVariant   *value,
                         GError     *task_error,
                         GError    **error);

/* Calls a function that stands before or after the tasks, by its name, with the empty tuple. It may return NULL without
 * an error. FALSE with its error, with WP_ERROR_UNKNOWN_FUNCTION, or with WP_ERROR_INVALID_RESULT as above. */
gboolean  wp_task_run_hook (const char    *function_name,
                            WpTaskContext *context,
                            GVariant     **value,
                            GError       **error);

G_END_DECLS
