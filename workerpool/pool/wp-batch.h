/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-result.h"

G_BEGIN_DECLS

/**
 * WpBatchState:
 * @WP_BATCH_STATE_OPEN: takes tasks
 * @WP_BATCH_STATE_CLOSED: takes no more tasks; some have not ended
 * @WP_BATCH_STATE_FINISHED: every task has ended
 * @WP_BATCH_STATE_CANCELLED: was cancelled, or stopped by a failed task, and every task has ended
 *
 * The states of a batch.
 *
 * Since: 1.0
 */
typedef enum
{
  WP_BATCH_STATE_OPEN,
  WP_BATCH_STATE_CLOSED,
  WP_BATCH_STATE_FINISHED,
  WP_BATCH_STATE_CANCELLED,
} WpBatchState;

#define WP_TYPE_BATCH_STATE (wp_batch_state_get_type ())
WP_PUBLIC
GType wp_batch_state_get_type (void);

#define WP_TYPE_BATCH (wp_batch_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpBatch, wp_batch, WP, BATCH, GObject)

WP_PUBLIC
gboolean     wp_batch_push            (WpBatch *self, GVariant *item, GError **error);
WP_PUBLIC
guint        wp_batch_push_items      (WpBatch *self, GVariant *items, guint first, GError **error);
WP_PUBLIC
void         wp_batch_push_async      (WpBatch            *self,
                                       GVariant           *item,
                                       GCancellable       *cancellable,
                                       GAsyncReadyCallback callback,
                                       gpointer            user_data);
WP_PUBLIC
gboolean     wp_batch_push_finish     (WpBatch *self, GAsyncResult *result, GError **error);
WP_PUBLIC
guint        wp_batch_get_room        (WpBatch *self);
WP_PUBLIC
void         wp_batch_close           (WpBatch *self);

WP_PUBLIC
WpResult    *wp_batch_next            (WpBatch *self, GCancellable *cancellable, GError **error);
WP_PUBLIC
void         wp_batch_next_async      (WpBatch            *self,
                                       GCancellable       *cancellable,
                                       GAsyncReadyCallback callback,
                                       gpointer            user_data);
WP_PUBLIC
WpResult    *wp_batch_next_finish     (WpBatch *self, GAsyncResult *result, GError **error);
WP_PUBLIC
gboolean     wp_batch_wait            (WpBatch *self, gint64 timeout, GError **error);
WP_PUBLIC
GBytes      *wp_batch_take            (WpBatch *self, guint most, GError **error);
WP_PUBLIC
void         wp_batch_cancel          (WpBatch *self);

WP_PUBLIC
guint64      wp_batch_get_id          (WpBatch *self);
WP_PUBLIC
const char  *wp_batch_get_function    (WpBatch *self);
WP_PUBLIC
WpBatchState wp_batch_get_state       (WpBatch *self);
WP_PUBLIC
guint64      wp_batch_get_n_pushed    (WpBatch *self);
WP_PUBLIC
guint64      wp_batch_get_n_completed (WpBatch *self);
WP_PUBLIC
guint64      wp_batch_get_n_failed    (WpBatch *self);
WP_PUBLIC
guint64      wp_batch_get_n_total     (WpBatch *self);
WP_PUBLIC
void         wp_batch_set_n_total     (WpBatch *self, guint64 n_total);
WP_PUBLIC
double       wp_batch_get_fraction    (WpBatch *self);
WP_PUBLIC
double       wp_batch_get_rate        (WpBatch *self);
WP_PUBLIC
double       wp_batch_get_remaining   (WpBatch *self);

G_END_DECLS
