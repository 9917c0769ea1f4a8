/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "worker/wp-function-private.h"

G_BEGIN_DECLS

/* The function that every host has, under the name WP_FUNCTION_LIST: takes "(s)", the path of a module or "", and
 * returns "as", the names of what the module declares or of what was registered. */
WpFunction *wp_function_list_new (void);

G_END_DECLS
