/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "worker/wp-function.h"

G_BEGIN_DECLS

/* A function with its data. A task that runs keeps a reference, so that a function which is replaced or
 * unregistered meanwhile outlives the call. */
typedef struct _WpFunction WpFunction;

WpFunction *wp_function_new    (WpTaskFunc     function,
                                gpointer       user_data,
                                GDestroyNotify destroy);
WpFunction *wp_function_ref    (WpFunction    *self);
void        wp_function_unref  (WpFunction    *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpFunction, wp_function_unref)

GVariant   *wp_function_call   (WpFunction    *self,
                                WpTaskContext *context,
                                GVariant      *args,
                                GError       **error);

/* The function of that name: a registered one, else "/path/module.so:symbol". WP_ERROR_UNKNOWN_FUNCTION with a
 * sentence that says what there is. */
WpFunction *wp_function_lookup (const char    *name,
                                GError       **error);

/* The first names of a list, for an error message, and how many there are beyond them. */
char       *wp_function_describe_names (const char *const *names);

G_END_DECLS
