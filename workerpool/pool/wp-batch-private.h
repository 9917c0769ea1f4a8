/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-batch-queue.h"
#include "pool/wp-batch.h"
#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"
#include "pool/wp-event-callback.h"
#include "pool/wp-job.h"
#include "pool/wp-progress.h"

G_BEGIN_DECLS

/* What the batch's files share: wp-batch.c is the object, its list and how results flow into its context,
 * wp-batch-calls.c what callers do, wp-batch-bulk.c the same for many tasks at once, wp-batch-counts.c what it says of
 * itself. */

typedef enum
{
  WP_BATCH_FLOW_UNDECIDED,
  WP_BATCH_FLOW_PULLED,
  WP_BATCH_FLOW_LISTED, /* somebody asked for the list */
} WpBatchFlow;

/* What is posted to the main context refers to the batch by this, so that a batch that was dropped
 * meanwhile stays dropped. */
typedef struct
{
  gatomicrefcount ref_count;
  GWeakRef batch;
} WpBatchHandle;

struct _WpBatch
{
  GObject parent_instance;

  GObject *pool;
  WpEngine *engine;
  WpJob *job;
  WpDelivery *delivery;
  WpBatchHandle *handle;
  WpEventCallback *event_callback; /* nullable */

  /*< guarded by the engine's lock >*/
  WpBatchFlow flow;
  WpBatchQueue queue;
  guint64 n_total;
  gboolean events_posted; /* a call of 'deliver_events' is on its way */
  gboolean posted;   /* a call of 'deliver' is on its way */
  gboolean notifies; /* and one of 'deliver_progress', in a while */
  WpProgress progress;

  /*< only used in the batch's context >*/
  GPtrArray *list; /* WpResult; NULL until asked for */
  GQueue collected; /* WpResult, taken and to be listed */
  GQueue outgoing;  /* WpResult, to be emitted */
  gint64 notified; /* when */
  guint64 notified_completed;
  guint64 notified_failed;
  guint64 notified_pushed;
  WpBatchState notified_state;
  gboolean finished; /* the signal was emitted */
  guint generation;  /* of the process that made it */
};

/* The batch of a job that has been submitted. pool: kept alive by the batch. The job is taken. event_callback:
 * (nullable), taken. */
WpBatch     *wp_batch_new             (GObject *pool, WpJob *job, WpEventCallback *event_callback);

/* One that no pool has made, by g_object_new () or a language's constructor, has nothing to work on. */
gboolean     wp_batch_is_started      (WpBatch *self);
/* A copy of the process that made the batch has no more than a copy of it; see the pool. */
gboolean     wp_batch_is_inherited    (WpBatch *self);
/* The same as an error, WP_ERROR_CLOSED. */
gboolean     wp_batch_check_inherited (WpBatch *self, GError **error);

/* Emits the events that are there. In the batch's context, or the thread that waits in its stead. */
void         wp_batch_emit_events     (WpBatch *self);

/* Whether the item can be sent; serialises a large one. G_IO_ERROR_INVALID_ARGUMENT. */
gboolean     wp_batch_check_item      (GVariant *item, GError **error);

/* These want the engine's lock. */
/* Decides for pulling if nothing was decided. G_IO_ERROR_NOT_SUPPORTED: the results flow. */
gboolean     wp_batch_check_pulling   (WpBatch *self, GError **error);
/* Emits the events that are there, if this thread is the one that receives them; without the lock meanwhile. FALSE:
 * there were none. */
gboolean     wp_batch_take_events     (WpBatch *self);
WpBatchState wp_batch_find_state      (WpBatch *self);
/* Has what has come taken into the batch's context. */
void         wp_batch_post_delivery   (WpBatch *self);

G_END_DECLS
