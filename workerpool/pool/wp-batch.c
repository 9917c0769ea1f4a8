/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-batch-private.h"

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "pool/wp-batch-queue.h"
#include "pool/wp-progress.h"
#include "pool/wp-result-private.h"
#include "pool/wp-task-watch.h"

/* Properties that change with every result are notified no more often than this: faster than a person
 * sees, and nothing beside the drawing it causes. */
#define NOTIFY_INTERVAL_US 50000
/* One turn of the main loop takes results for no longer than this; a frame at 60 Hz has 16 ms. */
#define FLOW_MAX_US 4000

/**
 * WpBatch:
 *
 * One map in flight: many tasks of one function, pushed one by one, with their results coming back
 * while others still run.
 *
 * A batch is made by [method@WorkerPool.start_batch]. Items are pushed with [method@Batch.push] until
 * [method@Batch.close]; every item that was pushed ends as exactly one [class@Result].
 *
 * # Taking the results
 *
 * Results leave a batch in one of two ways:
 *
 * - They are **pulled**: [method@Batch.next] or [method@Batch.next_async] hand out one at a time.
 * - They **flow** into the main context in which the batch was made: as the signals
 *   [signal@Batch::result] and [signal@Batch::failed], and into the [iface@Gio.ListModel] that the batch
 *   is, of [class@Result] items, ready for a list view. The list is made only when somebody asks for
 *   it; results then stay in it as long as the batch lives.
 *
 * The first pull decides for pulling; otherwise results flow, each time that some come, once a handler is
 * connected or the list was asked for. Connecting a handler by itself sets nothing going: connect before the
 * main context is iterated again, or results that had all come by then stay where they are.
 *
 * # Back-pressure
 *
 * No more than [property@TaskOptions:max-active-tasks] tasks are accepted that have not come back as
 * results: [method@Batch.push] fails with `G_IO_ERROR_WOULD_BLOCK` then, and [method@Batch.push_async]
 * waits. A source of any length runs in constant memory. Nothing in a batch waits for its caller in a
 * way that could block the workers or [method@WorkerPool.stop_and_join].
 *
 * # Threads
 *
 * The methods may be called from any thread. Signals and notifications are emitted in the thread-default
 * main context of the thread that made the batch.
 *
 * Dropping the last reference cancels what has not ended.
 *
 * Since: 1.0
 */

typedef enum
{
  FLOW_UNDECIDED,
  FLOW_PULLED,
  FLOW_LISTED, /* somebody asked for the list */
} Flow;

/* What is posted to the main context refers to the batch by this, so that a batch that was dropped
 * meanwhile stays dropped. */
typedef struct
{
  gatomicrefcount ref_count;
  GWeakRef batch;
} Handle;

struct _WpBatch
{
  GObject parent_instance;

  GObject *pool;
  WpEngine *engine;
  WpJob *job;
  WpDelivery *delivery;
  Handle *handle;

  /*< guarded by the engine's lock >*/
  Flow flow;
  WpBatchQueue queue;
  guint64 n_total;
  gboolean posted;   /* a call of 'deliver' is on its way */
  gboolean notifies; /* and one of 'deliver_progress', in a while */
  WpProgress progress;

  /*< only used in the batch's context >*/
  GPtrArray *list; /* WpResult; NULL until asked for */
  GQueue outgoing; /* WpResult, to be emitted */
  gint64 notified; /* when */
  guint64 notified_completed;
  guint64 notified_failed;
  guint64 notified_pushed;
  WpBatchState notified_state;
  gboolean finished; /* the signal was emitted */
  guint generation;  /* of the process that made it */
};

static GType wp_batch_get_item_type (GListModel *model);
static guint wp_batch_get_n_items (GListModel *model);
static gpointer wp_batch_get_item (GListModel *model, guint position);
static void on_job_changed (WpJob *job, gpointer data);

static void
wp_batch_list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = wp_batch_get_item_type;
  iface->get_n_items = wp_batch_get_n_items;
  iface->get_item = wp_batch_get_item;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (WpBatch,
                               wp_batch,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, wp_batch_list_model_init))

G_DEFINE_ENUM_TYPE (WpBatchState,
                    wp_batch_state,
                    G_DEFINE_ENUM_VALUE (WP_BATCH_STATE_OPEN, "open"),
                    G_DEFINE_ENUM_VALUE (WP_BATCH_STATE_CLOSED, "closed"),
                    G_DEFINE_ENUM_VALUE (WP_BATCH_STATE_FINISHED, "finished"),
                    G_DEFINE_ENUM_VALUE (WP_BATCH_STATE_CANCELLED, "cancelled"))

enum
{
  PROP_ID = 1,
  PROP_FUNCTION,
  PROP_STATE,
  PROP_N_PUSHED,
  PROP_N_COMPLETED,
  PROP_N_FAILED,
  PROP_N_TOTAL,
  PROP_FRACTION,
  PROP_RATE,
  PROP_REMAINING,
  N_PROPS
};

enum
{
  SIGNAL_RESULT,
  SIGNAL_FAILED,
  SIGNAL_FINISHED,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

/* One that no pool has made, by g_object_new () or a language's constructor, has nothing to work on. */
static gboolean
is_started (WpBatch *self)
{
  return WP_IS_BATCH (self) && self->job != NULL;
}

/* A copy of the process that made the batch has no more than a copy of it; see the pool. */
static gboolean
is_inherited (WpBatch *self)
{
  return self->generation != wp_process_get_generation ();
}

static gboolean
check_inherited (WpBatch *self, GError **error)
{
  if (!is_inherited (self))
    return TRUE;

  g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                       "the batch belongs to the process that this one was forked from, and cannot be used here; make "
                       "a new pool");
  return FALSE;
}

static void
handle_unref (Handle *handle)
{
  if (!g_atomic_ref_count_dec (&handle->ref_count))
    return;

  g_weak_ref_clear (&handle->batch);
  g_free (handle);
}

/* Under the lock */

static gboolean
flows (WpBatch *self)
{
  switch (self->flow)
    {
    case FLOW_LISTED:
      return TRUE;
    case FLOW_PULLED:
      return FALSE;
    case FLOW_UNDECIDED:
    default:
      return g_signal_has_handler_pending (self, signals[SIGNAL_RESULT], 0, FALSE) ||
             g_signal_has_handler_pending (self, signals[SIGNAL_FAILED], 0, FALSE);
    }
}

/* In the batch's context, without the lock */

static WpBatchState
get_state (WpBatch *self)
{
  if (!self->job->ended)
    return self->job->closed ? WP_BATCH_STATE_CLOSED : WP_BATCH_STATE_OPEN;
  if (self->job->cancelled || (self->job->failure != NULL && self->job->on_error == WP_ON_ERROR_STOP))
    return WP_BATCH_STATE_CANCELLED;
  return WP_BATCH_STATE_FINISHED;
}

static void
notify_progress (WpBatch *self)
{
  guint64 n_completed, n_failed, n_pushed;
  WpBatchState state;

  wp_engine_lock (self->engine);
  n_completed = self->job->n_ended;
  n_failed = self->job->n_failed;
  n_pushed = wp_items_get_n (self->job->items);
  state = get_state (self);
  wp_engine_unlock (self->engine);

  self->notified = g_get_monotonic_time ();
  g_object_freeze_notify (G_OBJECT (self));
  if (self->notified_pushed != n_pushed)
    {
      self->notified_pushed = n_pushed;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_PUSHED]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FRACTION]);
    }
  if (self->notified_completed != n_completed)
    {
      self->notified_completed = n_completed;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_COMPLETED]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FRACTION]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RATE]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REMAINING]);
    }
  if (self->notified_failed != n_failed)
    {
      self->notified_failed = n_failed;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_FAILED]);
    }
  if (self->notified_state != state)
    {
      self->notified_state = state;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
    }
  g_object_thaw_notify (G_OBJECT (self));
}

static void
emit_result (WpBatch *self, WpResult *result)
{
  if (wp_result_get_error (result) != NULL)
    g_signal_emit (self, signals[SIGNAL_FAILED], 0, wp_result_get_index (result),
                   wp_result_get_error (result));
  else
    g_signal_emit (self, signals[SIGNAL_RESULT], 0, wp_result_get_index (result),
                   wp_result_get_value (result));
}

/* Moves what has come into the list, in one change, and to where it is emitted from. */
static void
collect_results (WpBatch *self)
{
  gint64 end = g_get_monotonic_time () + FLOW_MAX_US;
  guint n_listed = self->list != NULL ? self->list->len : 0;
  WpResult *result;

  do
    {
      wp_engine_lock (self->engine);
      result = flows (self) ? wp_batch_queue_take (&self->queue) : NULL;
      if (result != NULL)
        wp_batch_queue_serve (&self->queue);
      wp_engine_unlock (self->engine);

      if (result == NULL)
        break;

      if (self->list != NULL)
        g_ptr_array_add (self->list, g_object_ref (result));
      g_queue_push_tail (&self->outgoing, result);
    }
  while (g_get_monotonic_time () < end);

  if (self->list != NULL && self->list->len > n_listed)
    g_list_model_items_changed (G_LIST_MODEL (self), n_listed, 0, self->list->len - n_listed);
}

/* A handler that iterates the main context gets what is left in order, before anything newer. */
static void
flow_results (WpBatch *self)
{
  WpResult *result;

  collect_results (self);

  while ((result = g_queue_pop_head (&self->outgoing)) != NULL)
    {
      emit_result (self, result);
      g_object_unref (result);
    }
}

static void deliver (gpointer data);

/* Under the lock. */
static void
post_delivery (WpBatch *self)
{
  if (self->posted)
    return;

  self->posted = TRUE;
  g_atomic_ref_count_inc (&self->handle->ref_count);
  wp_delivery_post (self->delivery, deliver, self->handle, (GDestroyNotify) handle_unref);
}

static void
deliver_progress (gpointer data)
{
  Handle *handle = data;
  g_autoptr (WpBatch) self = g_weak_ref_get (&handle->batch);

  handle_unref (handle);
  if (self == NULL)
    return;

  wp_engine_lock (self->engine);
  self->notifies = FALSE;
  wp_engine_unlock (self->engine);

  notify_progress (self);
}

/* Under the lock. */
static void
post_progress (WpBatch *self)
{
  if (self->notifies)
    return;

  self->notifies = TRUE;
  g_atomic_ref_count_inc (&self->handle->ref_count);
  wp_delivery_post_at (self->delivery, self->notified + NOTIFY_INTERVAL_US, deliver_progress,
                       self->handle, (GDestroyNotify) handle_unref);
}

/* Asking for the list makes it; what is in it already is what has been handed out before. */
static void
ensure_list (WpBatch *self)
{
  if (self->list != NULL)
    return;

  self->list = g_ptr_array_new_with_free_func (g_object_unref);

  wp_engine_lock (self->engine);
  if (self->flow == FLOW_UNDECIDED)
    self->flow = FLOW_LISTED;
  post_delivery (self);
  wp_engine_unlock (self->engine);
}

static void
deliver (gpointer data)
{
  Handle *handle = data;
  g_autoptr (WpBatch) self = g_weak_ref_get (&handle->batch);
  gboolean more, finished, late, undecided;

  handle_unref (handle);
  if (self == NULL)
    return;

  wp_engine_lock (self->engine);
  self->posted = FALSE;
  undecided = self->flow == FLOW_UNDECIDED;
  wp_engine_unlock (self->engine);

  if (undecided &&
      g_signal_has_handler_pending (self, g_signal_lookup ("items-changed", G_TYPE_LIST_MODEL), 0, FALSE))
    ensure_list (self);
  flow_results (self);

  /* Asked together with the end: results may have come since, the last ones too. */
  wp_engine_lock (self->engine);
  more = flows (self) && wp_result_queue_can_take (self->job->results);
  finished = self->job->ended && !more;
  late = !finished && self->notified + NOTIFY_INTERVAL_US > g_get_monotonic_time ();
  if (more)
    post_delivery (self);
  if (late)
    post_progress (self);
  wp_engine_unlock (self->engine);

  if (!late)
    notify_progress (self);

  if (finished && !self->finished)
    {
      self->finished = TRUE;
      g_signal_emit (self, signals[SIGNAL_FINISHED], 0);
    }
}

/* Under the lock: results came in, were taken, or the job ended. */
static void
on_job_changed (WpJob *job, gpointer data)
{
  WpBatch *self = data;

  wp_progress_update (&self->progress, g_get_monotonic_time (), job->n_ended);
  wp_batch_queue_serve (&self->queue);

  /* Results that flow make room for more tasks, so they do not wait for what is notified in a while. */
  if (!self->notifies || job->ended || flows (self))
    post_delivery (self);
}

/* The object */

static void
wp_batch_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  WpBatch *self = WP_BATCH (object);

  switch (prop_id)
    {
    case PROP_ID:
      g_value_set_uint64 (value, wp_batch_get_id (self));
      break;
    case PROP_FUNCTION:
      g_value_set_string (value, wp_batch_get_function (self));
      break;
    case PROP_STATE:
      g_value_set_enum (value, wp_batch_get_state (self));
      break;
    case PROP_N_PUSHED:
      g_value_set_uint64 (value, wp_batch_get_n_pushed (self));
      break;
    case PROP_N_COMPLETED:
      g_value_set_uint64 (value, wp_batch_get_n_completed (self));
      break;
    case PROP_N_FAILED:
      g_value_set_uint64 (value, wp_batch_get_n_failed (self));
      break;
    case PROP_N_TOTAL:
      g_value_set_uint64 (value, wp_batch_get_n_total (self));
      break;
    case PROP_FRACTION:
      g_value_set_double (value, wp_batch_get_fraction (self));
      break;
    case PROP_RATE:
      g_value_set_double (value, wp_batch_get_rate (self));
      break;
    case PROP_REMAINING:
      g_value_set_double (value, wp_batch_get_remaining (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_batch_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  WpBatch *self = WP_BATCH (object);

  switch (prop_id)
    {
    case PROP_N_TOTAL:
      wp_batch_set_n_total (self, g_value_get_uint64 (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_batch_finalize (GObject *object)
{
  WpBatch *self = WP_BATCH (object);

  if (is_inherited (self))
    {
      G_OBJECT_CLASS (wp_batch_parent_class)->finalize (object);
      return;
    }

  /* Waiting calls hold references on the batch, so none is left here. */
  g_assert (!wp_batch_queue_is_awaited (&self->queue));

  if (is_started (self))
    {
      wp_engine_lock (self->engine);
      self->job->changed = NULL;
      wp_engine_cancel (self->engine, self->job);
      wp_engine_unlock (self->engine);
    }

  g_clear_pointer (&self->list, g_ptr_array_unref);
  g_queue_clear_full (&self->outgoing, g_object_unref);
  g_clear_pointer (&self->handle, handle_unref);
  g_clear_pointer (&self->delivery, wp_delivery_unref);
  g_clear_pointer (&self->job, wp_job_unref);
  g_clear_pointer (&self->engine, wp_engine_unref);
  g_clear_object (&self->pool);

  G_OBJECT_CLASS (wp_batch_parent_class)->finalize (object);
}

static void
wp_batch_class_init (WpBatchClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags readable = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = wp_batch_get_property;
  object_class->set_property = wp_batch_set_property;
  object_class->finalize = wp_batch_finalize;

  /**
   * WpBatch:id: (attributes org.gtk.Property.get=wp_batch_get_id)
   *
   * What the batch's tasks have in common in the ids of the pool's signals: the id of the batch's
   * task of index i is id + i.
   *
   * Since: 1.0
   */
  properties[PROP_ID] = g_param_spec_uint64 ("id", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:function: (attributes org.gtk.Property.get=wp_batch_get_function)
   *
   * The name of the function that the tasks run.
   *
   * Since: 1.0
   */
  properties[PROP_FUNCTION] = g_param_spec_string ("function", NULL, NULL, NULL, readable);
  /**
   * WpBatch:state: (attributes org.gtk.Property.get=wp_batch_get_state)
   *
   * Whether the batch takes tasks, runs them out, or has ended.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
      g_param_spec_enum ("state", NULL, NULL, WP_TYPE_BATCH_STATE, WP_BATCH_STATE_OPEN, readable);
  /**
   * WpBatch:n-pushed: (attributes org.gtk.Property.get=wp_batch_get_n_pushed)
   *
   * How many items were pushed.
   *
   * Since: 1.0
   */
  properties[PROP_N_PUSHED] =
      g_param_spec_uint64 ("n-pushed", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:n-completed: (attributes org.gtk.Property.get=wp_batch_get_n_completed)
   *
   * How many tasks have ended, the failed ones included.
   *
   * Since: 1.0
   */
  properties[PROP_N_COMPLETED] =
      g_param_spec_uint64 ("n-completed", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:n-failed: (attributes org.gtk.Property.get=wp_batch_get_n_failed)
   *
   * How many tasks have ended with an error.
   *
   * Since: 1.0
   */
  properties[PROP_N_FAILED] =
      g_param_spec_uint64 ("n-failed", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:n-total: (attributes org.gtk.Property.get=wp_batch_get_n_total org.gtk.Property.set=wp_batch_set_n_total)
   *
   * How many items are going to be pushed, as far as the caller knows; 0 when it does not. Once the
   * batch is closed, what was pushed is the total.
   *
   * Since: 1.0
   */
  properties[PROP_N_TOTAL] =
      g_param_spec_uint64 ("n-total", NULL, NULL, 0, G_MAXUINT64, 0,
                           G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  /**
   * WpBatch:fraction: (attributes org.gtk.Property.get=wp_batch_get_fraction)
   *
   * The part of the tasks that has ended, from 0 to 1, ready to be bound to a progress bar. As long as
   * the total is not known it is the part of what was pushed.
   *
   * Since: 1.0
   */
  properties[PROP_FRACTION] = g_param_spec_double ("fraction", NULL, NULL, 0, 1, 0, readable);
  /**
   * WpBatch:rate: (attributes org.gtk.Property.get=wp_batch_get_rate)
   *
   * How many tasks end in a second at present; 0 when it is not known yet.
   *
   * Since: 1.0
   */
  properties[PROP_RATE] = g_param_spec_double ("rate", NULL, NULL, 0, G_MAXDOUBLE, 0, readable);
  /**
   * WpBatch:remaining: (attributes org.gtk.Property.get=wp_batch_get_remaining)
   *
   * The seconds until all tasks have ended, at the present rate; -1 when it cannot be told.
   *
   * Since: 1.0
   */
  properties[PROP_REMAINING] =
      g_param_spec_double ("remaining", NULL, NULL, -1, G_MAXDOUBLE, -1, readable);

  g_object_class_install_properties (object_class, N_PROPS, properties);

  /**
   * WpBatch::result:
   * @self: the batch
   * @index: the task's index
   * @value: what the function returned
   *
   * Emitted when a task has succeeded, in the main context in which the batch was made; in order
   * when the batch is ordered.
   *
   * Since: 1.0
   */
  signals[SIGNAL_RESULT] = g_signal_new ("result", WP_TYPE_BATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                         NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_VARIANT);
  /**
   * WpBatch::failed:
   * @self: the batch
   * @index: the task's index
   * @error: the task's error
   *
   * Emitted when a task has failed, in the main context in which the batch was made; in order when
   * the batch is ordered.
   *
   * Since: 1.0
   */
  signals[SIGNAL_FAILED] = g_signal_new ("failed", WP_TYPE_BATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                         NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_ERROR);
  /**
   * WpBatch::finished:
   * @self: the batch
   *
   * Emitted once, when every task has ended and every result that flows was handed out.
   *
   * Since: 1.0
   */
  signals[SIGNAL_FINISHED] =
      g_signal_new ("finished", WP_TYPE_BATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
wp_batch_init (WpBatch *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  self->delivery = wp_delivery_new (context);
  self->generation = wp_process_get_generation ();
  g_queue_init (&self->outgoing);
  self->handle = g_new0 (Handle, 1);
  g_atomic_ref_count_init (&self->handle->ref_count);
  g_weak_ref_init (&self->handle->batch, self);
}

WpBatch *
wp_batch_new (GObject *pool, WpJob *job)
{
  WpBatch *self = g_object_new (WP_TYPE_BATCH, NULL);

  self->pool = g_object_ref (pool);
  self->engine = wp_engine_ref (job->engine);
  self->job = job;

  wp_engine_lock (self->engine);
  wp_batch_queue_init (&self->queue, job, self->delivery);
  job->changed = on_job_changed;
  job->changed_data = self;
  /* Another thread may have ended the pool since the job was submitted. */
  if (job->ended)
    post_delivery (self);
  wp_engine_unlock (self->engine);

  return self;
}

static GType
wp_batch_get_item_type (GListModel *model)
{
  return WP_TYPE_RESULT;
}

static guint
wp_batch_get_n_items (GListModel *model)
{
  WpBatch *self = WP_BATCH (model);

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  ensure_list (self);

  return self->list->len;
}

static gpointer
wp_batch_get_item (GListModel *model, guint position)
{
  WpBatch *self = WP_BATCH (model);

  g_return_val_if_fail (is_started (self), NULL);
  if (is_inherited (self))
    return NULL;

  ensure_list (self);
  if (position >= self->list->len)
    return NULL;

  return g_object_ref (g_ptr_array_index (self->list, position));
}

static gboolean
check_item (GVariant *item, GError **error)
{
  if (!wp_items_check ("the item", item, error))
    return FALSE;

  wp_items_serialise (item);
  return TRUE;
}

/**
 * wp_batch_push:
 * @self: a batch
 * @item: the arguments of one more task; a floating reference is consumed
 * @error: return location for an error
 *
 * Adds a task, without ever blocking.
 *
 * Errors: `G_IO_ERROR_WOULD_BLOCK` when as many tasks are in flight as may be: take a result, or use
 * [method@Batch.push_async]; `WP_ERROR_CLOSED` when the batch was closed or cancelled or its pool
 * joined or terminated; `G_IO_ERROR_INVALID_ARGUMENT` when @item cannot be sent: it holds a
 * file handle, is nested too deep, or is not in normal form.
 *
 * Returns: `TRUE` when the task was added
 *
 * Since: 1.0
 */
gboolean
wp_batch_push (WpBatch *self, GVariant *item, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  gboolean pushed = FALSE;

  g_return_val_if_fail (is_started (self), FALSE);
  g_return_val_if_fail (item != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  value = g_variant_ref_sink (item);
  if (!check_inherited (self, error) || !check_item (value, error))
    return FALSE;

  wp_engine_lock (self->engine);
  if (wp_batch_queue_check_open (&self->queue, FALSE, error))
    {
      pushed = wp_batch_queue_can_push (&self->queue);
      if (pushed)
        wp_batch_queue_push (&self->queue, value);
      else
        g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                             "as many tasks as max-active-tasks allows are in flight: take a result "
                             "first, or use push_async");
    }
  wp_engine_unlock (self->engine);

  return pushed;
}

static void
on_waiting_cancelled (GCancellable *cancellable, gpointer user_data)
{
  GTask *task = user_data;
  WpBatch *self = g_task_get_source_object (task);

  wp_engine_lock (self->engine);
  wp_batch_queue_cancel_wait (&self->queue, task);
  wp_engine_unlock (self->engine);
}

/* A call that may wait, already watching its cancellable: a cancellation that comes before it waits is
 * seen when it is about to. It never drops what it was given or has taken for a late cancellation. */
static GTask *
make_task (WpBatch            *self,
           GCancellable       *cancellable,
           GAsyncReadyCallback callback,
           gpointer            user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_check_cancellable (task, FALSE);
  wp_task_watch (task, G_CALLBACK (on_waiting_cancelled));

  return task;
}

/**
 * wp_batch_push_async:
 * @self: a batch
 * @item: the arguments of one more task; a floating reference is consumed
 * @cancellable: (nullable): cancels the wait, not the task
 * @callback: (scope async): called in the caller's main context when the task was added
 * @user_data: data for @callback
 *
 * Adds a task, waiting until [property@TaskOptions:max-active-tasks] allows it. Calls that wait are served
 * in their order.
 *
 * Since: 1.0
 */
void
wp_batch_push_async (WpBatch            *self,
                     GVariant           *item,
                     GCancellable       *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer            user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GVariant) value = NULL;
  GError *error = NULL;
  gboolean waits = FALSE;

  g_return_if_fail (is_started (self));
  g_return_if_fail (item != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  value = g_variant_ref_sink (item);
  if (!check_inherited (self, &error))
    {
      g_task_report_error (self, callback, user_data, wp_batch_push_async, error);
      return;
    }

  task = make_task (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_batch_push_async);

  if (check_item (value, &error))
    {
      wp_engine_lock (self->engine);
      if (!g_cancellable_set_error_if_cancelled (cancellable, &error) &&
          wp_batch_queue_check_open (&self->queue, FALSE, &error))
        {
          waits = !wp_batch_queue_can_push (&self->queue);
          if (waits)
            wp_batch_queue_wait_push (&self->queue, g_object_ref (task), g_steal_pointer (&value));
          else
            wp_batch_queue_push (&self->queue, value);
        }
      wp_engine_unlock (self->engine);
    }

  if (waits)
    return;

  wp_task_unwatch (task);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/**
 * wp_batch_push_finish:
 * @self: a batch
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Batch.push_async]. The errors are those of [method@Batch.push], without
 * `G_IO_ERROR_WOULD_BLOCK`, and `G_IO_ERROR_CANCELLED`.
 *
 * Returns: `TRUE` when the task was added
 *
 * Since: 1.0
 */
gboolean
wp_batch_push_finish (WpBatch *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, wp_batch_push_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * wp_batch_get_room:
 * @self: a batch
 *
 * Counts the items that [method@Batch.push] would accept now. Only the caller's own pushes make it
 * less.
 *
 * Returns: the number of items; 0 when the batch takes no more
 *
 * Since: 1.0
 */
guint
wp_batch_get_room (WpBatch *self)
{
  guint64 room = 0;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  if (wp_batch_queue_check_open (&self->queue, FALSE, NULL) &&
      wp_batch_queue_can_push (&self->queue))
    room = wp_batch_queue_get_room (&self->queue);
  wp_engine_unlock (self->engine);

  return (guint) MIN (room, G_MAXUINT);
}

/**
 * wp_batch_close:
 * @self: a batch
 *
 * Says that no more items will be pushed; [method@Batch.push_async] calls that wait are still served.
 * The batch ends when its last task has ended. Closing it again does nothing.
 *
 * Since: 1.0
 */
void
wp_batch_close (WpBatch *self)
{
  g_return_if_fail (is_started (self));
  if (is_inherited (self))
    return;

  wp_engine_lock (self->engine);
  if (!self->queue.closing)
    {
      self->queue.closing = TRUE;
      wp_batch_queue_serve (&self->queue);
      post_delivery (self);
    }
  wp_engine_unlock (self->engine);
}

static void
begin_pulling (WpBatch *self)
{
  if (self->flow == FLOW_UNDECIDED)
    self->flow = FLOW_PULLED;
}

static gboolean
check_pulling (WpBatch *self, GError **error)
{
  begin_pulling (self);
  if (self->flow == FLOW_PULLED)
    return TRUE;

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       "the batch's results flow into its list; they cannot be pulled as well");
  return FALSE;
}

static void
on_next_cancelled (GCancellable *cancellable, gpointer user_data)
{
  WpBatch *self = user_data;

  wp_engine_lock (self->engine);
  g_cond_broadcast (&self->job->condition);
  wp_engine_unlock (self->engine);
}

/**
 * wp_batch_next:
 * @self: a batch
 * @cancellable: (nullable): cancels the wait, not the tasks
 * @error: return location for an error
 *
 * Takes the next result, waiting for it: in the order of the items, or as they come when
 * [property@TaskOptions:ordered] is `FALSE`. A task that failed is a result with an error, not an
 * error of this function.
 *
 * It blocks the calling thread and iterates no main context. A batch that is open and has no task in
 * flight makes it wait until another thread pushes or closes.
 *
 * Errors: `G_IO_ERROR_CANCELLED`; `G_IO_ERROR_NOT_SUPPORTED` when the results flow into the list;
 * `G_IO_ERROR_WOULD_BLOCK` in a task of the same pool, when its workers are threads.
 *
 * Returns: (transfer full) (nullable): the result, or `NULL` without error when the batch has ended and
 *   all results were taken
 *
 * Since: 1.0
 */
WpResult *
wp_batch_next (WpBatch *self, GCancellable *cancellable, GError **error)
{
  WpResult *result = NULL;
  gulong handler = 0;

  g_return_val_if_fail (is_started (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!check_inherited (self, error) || !wp_engine_may_wait (self->engine, "a result", error))
    return NULL;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_next_cancelled), self, NULL);

  wp_engine_lock (self->engine);
  if (check_pulling (self, error))
    {
      for (;;)
        {
          if (g_cancellable_set_error_if_cancelled (cancellable, error))
            break;
          if ((result = wp_batch_queue_take (&self->queue)) != NULL || self->job->ended)
            break;
          wp_engine_wait_for_results (self->engine, self->job);
        }
      if (result != NULL)
        wp_batch_queue_serve (&self->queue);
    }
  wp_engine_unlock (self->engine);

  g_cancellable_disconnect (cancellable, handler);

  return result;
}

/**
 * wp_batch_next_async:
 * @self: a batch
 * @cancellable: (nullable): cancels the wait, not the tasks
 * @callback: (scope async): called in the caller's main context when there is a result or the end
 * @user_data: data for @callback
 *
 * Takes the next result without blocking. Any number of calls may wait; they are served in their order.
 *
 * Since: 1.0
 */
void
wp_batch_next_async (WpBatch            *self,
                     GCancellable       *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer            user_data)
{
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;

  g_return_if_fail (is_started (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  if (!check_inherited (self, &error))
    {
      g_task_report_error (self, callback, user_data, wp_batch_next_async, error);
      return;
    }

  task = make_task (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_batch_next_async);

  wp_engine_lock (self->engine);
  if (!g_cancellable_set_error_if_cancelled (cancellable, &error) && check_pulling (self, &error))
    {
      wp_batch_queue_wait_take (&self->queue, g_steal_pointer (&task));
    }
  wp_engine_unlock (self->engine);

  if (task == NULL)
    return;

  wp_task_unwatch (task);
  g_task_return_error (task, error);
}

/**
 * wp_batch_next_finish:
 * @self: a batch
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Batch.next_async]. The errors are those of [method@Batch.next].
 *
 * Returns: (transfer full) (nullable): the result, or `NULL` without error when the batch has ended and
 *   all results were taken
 *
 * Since: 1.0
 */
WpResult *
wp_batch_next_finish (WpBatch *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, wp_batch_next_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * wp_batch_cancel:
 * @self: a batch
 *
 * Cancels every task that has not ended, and closes the batch. Tasks that wait end at once with
 * `G_IO_ERROR_CANCELLED`. A running one sees [method@TaskContext.is_cancelled]; if it goes on for
 * [property@WorkerPool:grace-period] its worker gets SIGTERM, and after as long again SIGKILL. Tasks of
 * other batches are not disturbed. Each task still ends as one result.
 *
 * Since: 1.0
 */
void
wp_batch_cancel (WpBatch *self)
{
  g_return_if_fail (is_started (self));
  if (is_inherited (self))
    return;

  wp_engine_lock (self->engine);
  wp_engine_cancel (self->engine, self->job);
  wp_batch_queue_serve (&self->queue);
  post_delivery (self);
  wp_engine_unlock (self->engine);
}

static guint64
count_total (WpBatch *self)
{
  guint64 n_pushed = wp_items_get_n (self->job->items);

  return self->job->closed ? n_pushed : MAX (self->n_total, self->n_total > 0 ? n_pushed : 0);
}

static double
get_fraction (WpBatch *self)
{
  guint64 total = MAX (count_total (self), wp_items_get_n (self->job->items));

  if (total == 0)
    return self->job->ended ? 1 : 0;

  return (double) self->job->n_ended / total;
}

/**
 * wp_batch_get_function: (attributes org.gtk.Method.get_property=function)
 * @self: a batch
 *
 * Gets the name of the function that the tasks run.
 *
 * Returns: (transfer none): the name
 *
 * Since: 1.0
 */
const char *
wp_batch_get_function (WpBatch *self)
{
  g_return_val_if_fail (is_started (self), NULL);
  if (is_inherited (self))
    return NULL;

  return self->job->function;
}

/**
 * wp_batch_get_id: (attributes org.gtk.Method.get_property=id)
 * @self: a batch
 *
 * Gets the id of the batch's first task, as it stands in the pool's signals.
 *
 * Returns: the id
 *
 * Since: 1.0
 */
guint64
wp_batch_get_id (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = wp_job_get_task_id (self->job, 0);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_state: (attributes org.gtk.Method.get_property=state)
 * @self: a batch
 *
 * Gets whether the batch takes tasks, runs them out, or has ended.
 *
 * Returns: the state
 *
 * Since: 1.0
 */
WpBatchState
wp_batch_get_state (WpBatch *self)
{
  WpBatchState value;

  g_return_val_if_fail (is_started (self), WP_BATCH_STATE_FINISHED);
  if (is_inherited (self))
    return WP_BATCH_STATE_FINISHED;

  wp_engine_lock (self->engine);
  value = get_state (self);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_pushed: (attributes org.gtk.Method.get_property=n-pushed)
 * @self: a batch
 *
 * Counts the items that were pushed.
 *
 * Returns: the number of items
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_pushed (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = wp_items_get_n (self->job->items);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_completed: (attributes org.gtk.Method.get_property=n-completed)
 * @self: a batch
 *
 * Counts the tasks that have ended, the failed ones included.
 *
 * Returns: the number of tasks
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_completed (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = self->job->n_ended;
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_failed: (attributes org.gtk.Method.get_property=n-failed)
 * @self: a batch
 *
 * Counts the tasks that have ended with an error.
 *
 * Returns: the number of tasks
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_failed (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = self->job->n_failed;
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_total: (attributes org.gtk.Method.get_property=n-total)
 * @self: a batch
 *
 * Gets how many items there are going to be: what was set, or what was pushed once the batch is closed.
 *
 * Returns: the number of items, or 0 when it is not known
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_total (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = count_total (self);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_fraction: (attributes org.gtk.Method.get_property=fraction)
 * @self: a batch
 *
 * Gets the part of the tasks that has ended.
 *
 * Returns: a number from 0 to 1
 *
 * Since: 1.0
 */
double
wp_batch_get_fraction (WpBatch *self)
{
  double value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = get_fraction (self);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_rate: (attributes org.gtk.Method.get_property=rate)
 * @self: a batch
 *
 * Gets how many tasks end in a second at present.
 *
 * Returns: the rate, or 0 when it is not known yet
 *
 * Since: 1.0
 */
double
wp_batch_get_rate (WpBatch *self)
{
  double value;

  g_return_val_if_fail (is_started (self), 0);
  if (is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = self->progress.rate;
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_remaining: (attributes org.gtk.Method.get_property=remaining)
 * @self: a batch
 *
 * Gets the time until all tasks have ended, at the present rate.
 *
 * Returns: the seconds, or -1 when it cannot be told
 *
 * Since: 1.0
 */
double
wp_batch_get_remaining (WpBatch *self)
{
  double value;

  g_return_val_if_fail (is_started (self), -1);
  if (is_inherited (self))
    return -1;

  wp_engine_lock (self->engine);
  value = wp_progress_get_remaining (&self->progress, self->job->n_ended, count_total (self));
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_set_n_total: (attributes org.gtk.Method.set_property=n-total)
 * @self: a batch
 * @n_total: how many items are going to be pushed, or 0 when it is not known
 *
 * Says how many items are going to be pushed, for [property@Batch:fraction] and
 * [property@Batch:remaining]. It is no limit.
 *
 * Since: 1.0
 */
void
wp_batch_set_n_total (WpBatch *self, guint64 n_total)
{
  gboolean changed;

  g_return_if_fail (is_started (self));
  if (is_inherited (self))
    return;

  wp_engine_lock (self->engine);
  changed = self->n_total != n_total;
  self->n_total = n_total;
  wp_engine_unlock (self->engine);

  if (!changed)
    return;

  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_TOTAL]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FRACTION]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REMAINING]);
}
