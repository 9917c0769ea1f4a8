/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "worker/wp-task-context.h"

G_BEGIN_DECLS

/**
 * WpTaskFunc:
 * @context: the task's context
 * @args: the task's arguments: one item of a map, or what was given to apply
 * @user_data: the data given to [func@register_function]; `NULL` for a function of a module
 * @error: return location for an error
 *
 * A function that a worker can run. It may be called in any worker, in any order, and never twice at once in one
 * worker process. All calls are made in the thread of [method@Worker.run], which iterates no main context.
 *
 * An error reaches the caller with its domain, its code and its message. To return neither a value nor an error, or
 * both, is an error of its own, `WP_ERROR_INVALID_RESULT`.
 *
 * Returns: (transfer full): the result, which may be floating, or `NULL` with @error set
 *
 * Since: 1.0
 */
typedef GVariant *(*WpTaskFunc) (WpTaskContext *context,
                                 GVariant      *args,
                                 gpointer       user_data,
                                 GError       **error);

WP_PUBLIC
void     wp_register_function   (const char    *name,
                                 WpTaskFunc     function,
                                 gpointer       user_data,
                                 GDestroyNotify destroy);
WP_PUBLIC
gboolean wp_unregister_function (const char *name);
WP_PUBLIC
char   **wp_list_functions      (void);

G_END_DECLS
