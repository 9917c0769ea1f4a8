/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The items to map, one after the other: from the command line, or cut from a stream as it arrives. */
typedef struct _WpCliItems WpCliItems;

typedef enum
{
  WP_CLI_ITEMS_READY, /* there is an item */
  WP_CLI_ITEMS_LATER, /* call wp_cli_items_read () once the descriptor is readable */
  WP_CLI_ITEMS_END,
  WP_CLI_ITEMS_FAILED,
} WpCliItemsState;

/* strings: borrowed. */
WpCliItems      *wp_cli_items_new_strv  (char **strings);
/* Takes the descriptor, whose items end with the separator; the last one may end with the stream. */
WpCliItems      *wp_cli_items_new_fd    (int fd, char separator);
void             wp_cli_items_free      (WpCliItems *items);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliItems, wp_cli_items_free)

/* -1 for items of the command line. */
int              wp_cli_items_get_fd    (WpCliItems *items);
/* How many items there are in all; 0 when only the end of the stream will tell. */
guint64          wp_cli_items_get_total (WpCliItems *items);
/* Does not fail. item: transfer full, "s", or "ay" with a final NUL when it is not valid UTF-8. */
WpCliItemsState  wp_cli_items_next      (WpCliItems *items, GVariant **item);
/* Reads once; does not block on a descriptor that poll () found readable. */
gboolean         wp_cli_items_read      (WpCliItems *items, GError **error);

G_END_DECLS
