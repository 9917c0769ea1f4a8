/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-items.h"

G_BEGIN_DECLS

/* What a caller gives to the pool, checked at the call. Errors are G_IO_ERROR_INVALID_ARGUMENT. Floating
 * references are consumed. */

gboolean wp_arguments_check_function (const char *function, GError **error);

/* The one item of an apply; args: (nullable), for the empty tuple. */
WpItems *wp_arguments_to_item        (const char *function, GVariant *args, GError **error);
/* The items of a map; items: (nullable), which is an error. */
WpItems *wp_arguments_to_items       (const char *function, GVariant *items, GError **error);
/* It is an array; items: (nullable). */
gboolean wp_arguments_check_array    (GVariant *items, GError **error);

G_END_DECLS
