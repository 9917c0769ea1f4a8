/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-payload.h"

G_BEGIN_DECLS

/* The arguments of a job's tasks, by index: either an array that is there from the start, or items
 * pushed one by one and dropped as their tasks end. Not thread-safe. */
typedef struct _WpItems WpItems;

/* FALSE with G_IO_ERROR_INVALID_ARGUMENT when the value cannot be sent to a worker. argument: what
 * the sentence calls it. A value passes from any thread; a big one is checked here once. */
gboolean wp_items_check       (const char *argument, GVariant *value, GError **error);

/* Serialises a large value in the caller's thread: later it would be done with the engine's lock held, and what it was
 * made of would be let go of there. */
void     wp_items_serialise   (GVariant *value);

/* The same array, checked, in a form in which each element is found at once. (transfer full): not floating */
GVariant *wp_items_trust_array (GVariant *items);
/* An element of an array as the argument that it stands for. (transfer full): not floating */
GVariant *wp_items_get_element (GVariant *array, gsize index);

/* items: checked, an array; an array of variants ("av") stands for the values in them. */
WpItems *wp_items_new_array   (GVariant *items);
WpItems *wp_items_new         (void);
void     wp_items_free        (WpItems *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpItems, wp_items_free)

guint64  wp_items_get_n       (WpItems *self);
/* The size of the item, serialised. Not for an array. */
gsize    wp_items_get_size    (WpItems *self, guint64 index);
/* Takes the value, which is checked and not floating. Not for an array. */
void     wp_items_push        (WpItems *self, GVariant *value);
/* The last n items, or the array, were pushed at that time. */
void     wp_items_note_pushed (WpItems *self, guint64 n, gint64 time);
/* When the item was, as far as it is known, or 0. It was not dropped. */
gint64   wp_items_get_pushed  (WpItems *self, guint64 index);
/* The item, not floating; NULL: it was dropped. */
GVariant *wp_items_get        (WpItems *self, guint64 index);
/* The tasks' arguments are needed no more; moves them to 'dropped' (GVariant), because letting go of a value may run
 * its owner's code. */
void     wp_items_drop        (WpItems *self, guint64 first, guint n, GPtrArray *dropped);
/* Writes the item's record at buffer (8-aligned), and returns its size; 0: it does not fit, or it is of
 * an array. */
gsize    wp_items_store       (WpItems *self, guint64 index, guint8 *buffer, gsize space);
/* Appends a record for each of the items. */
void     wp_items_write       (WpItems *self, guint64 first, guint n, WpPayloadWriter *writer);

G_END_DECLS
