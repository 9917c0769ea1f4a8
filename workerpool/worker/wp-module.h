/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "worker/wp-function-private.h"

G_BEGIN_DECLS

/* Functions in modules, named "/path/module.so:symbol": an absolute path, and a symbol of the type WpTaskFunc,
 * which gets no user data. A module that was opened stays loaded: its code may be on any stack.
 *
 * A module may say what it offers:
 *
 *   const char * const wp_module_functions[] = { "resize", "rotate", NULL };
 */
#define WP_MODULE_LIST_SYMBOL "wp_module_functions"

/* The name has the form of a module's function; nothing is looked up. */
gboolean    wp_module_is_function_name (const char *name);

/* WP_ERROR_UNKNOWN_FUNCTION when the module cannot be opened or has no such symbol. */
WpFunction *wp_module_lookup           (const char *name, GError **error);

/* The names, "/path/module.so:symbol", of what the module says it offers, in its own order.
 * WP_ERROR_UNKNOWN_FUNCTION when it cannot be opened or says nothing. */
char      **wp_module_list_functions   (const char *path, GError **error);

/* Opens a module, named by its absolute path, before any of its functions is asked for. WP_ERROR_UNKNOWN_FUNCTION when
 * that fails. */
gboolean    wp_module_preload          (const char *path, GError **error);

G_END_DECLS
