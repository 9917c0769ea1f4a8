/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"
#include "pool/wp-result.h"

G_BEGIN_DECLS

/* The two ends of a batch: items go in, results come out, and calls wait at either end. Guarded by the engine's
 * lock; it calls nobody back with the lock held. */
typedef struct
{
  WpEngine *engine;
  WpJob *job;
  WpDelivery *delivery; /* to the batch's context; others are made as needed */
  GQueue takers;        /* GTask of next_async */
  GQueue pushers;       /* those of push_async, with their items */
  gboolean closing;     /* once those who wait have pushed */
} WpBatchQueue;

/* References nothing: the batch does. */
void      wp_batch_queue_init        (WpBatchQueue *self, WpJob *job, WpDelivery *delivery);
gboolean  wp_batch_queue_is_awaited  (WpBatchQueue *self);

/* Whether items are taken; waiting: from those who waited when the batch was closed. WP_ERROR_CLOSED. */
gboolean  wp_batch_queue_check_open  (WpBatchQueue *self, gboolean waiting, GError **error);
guint64   wp_batch_queue_get_room    (WpBatchQueue *self);
/* There is room, and nobody waits for it. */
gboolean  wp_batch_queue_can_push    (WpBatchQueue *self);
void      wp_batch_queue_push        (WpBatchQueue *self, GVariant *item);
/* All at once, so that chunks are made of all of them. */
void      wp_batch_queue_push_values (WpBatchQueue *self, GVariant *const *items, guint n);
/* (transfer full) (nullable) */
WpResult *wp_batch_queue_take        (WpBatchQueue *self);

/* Let a call wait; the task and the item are taken. The task ends in its own context. */
void      wp_batch_queue_wait_push   (WpBatchQueue *self, GTask *task, GVariant *item);
void      wp_batch_queue_wait_take   (WpBatchQueue *self, GTask *task);
/* Ends a waiting call with G_IO_ERROR_CANCELLED; FALSE when it does not wait. */
gboolean  wp_batch_queue_cancel_wait (WpBatchQueue *self, GTask *task);
/* After anything has changed: serves those who wait. */
void      wp_batch_queue_serve       (WpBatchQueue *self);

G_END_DECLS
