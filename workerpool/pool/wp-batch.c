/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-batch-private.h"

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "pool/wp-engine-events.h"
#include "pool/wp-result-private.h"

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
 * main context of the thread that made the batch; the list model is for that thread alone.
 *
 * Dropping the last reference cancels what has not ended.
 *
 * Since: 1.0
 */

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
  SIGNAL_EVENT,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

gboolean
wp_batch_is_started (WpBatch *self)
{
  return WP_IS_BATCH (self) && self->job != NULL;
}

gboolean
wp_batch_is_inherited (WpBatch *self)
{
  return self->generation != wp_process_get_generation ();
}

gboolean
wp_batch_check_inherited (WpBatch *self, GError **error)
{
  if (!wp_batch_is_inherited (self))
    return TRUE;

  g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                       "the batch belongs to the process that this one was forked from, and cannot be used here; make "
                       "a new pool");
  return FALSE;
}

static void
handle_unref (WpBatchHandle *handle)
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
    case WP_BATCH_FLOW_LISTED:
      return TRUE;
    case WP_BATCH_FLOW_PULLED:
      return FALSE;
    case WP_BATCH_FLOW_UNDECIDED:
    default:
      return g_signal_has_handler_pending (self, signals[SIGNAL_RESULT], 0, FALSE) ||
             g_signal_has_handler_pending (self, signals[SIGNAL_FAILED], 0, FALSE);
    }
}

/* In the batch's context, without the lock */

WpBatchState
wp_batch_find_state (WpBatch *self)
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
  state = wp_batch_find_state (self);
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

static void
emit_event (guint64 index, GVariant *value, gpointer data)
{
  WpBatch *self = data;

  if (self->event_callback != NULL)
    wp_event_callback_call (self->event_callback, index, value);
  g_signal_emit (self, signals[SIGNAL_EVENT], 0, index, value);
}

void
wp_batch_emit_events (WpBatch *self)
{
  wp_engine_hand_out (self->engine, self->job, emit_event, self);
}

static void
collect_results (WpBatch *self)
{
  gint64 end = g_get_monotonic_time () + FLOW_MAX_US;
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

      g_queue_push_tail (&self->collected, result);
    }
  while (g_get_monotonic_time () < end);
}

/* Moves what has been collected into the list, in one change, and to where it is emitted from. */
static void
list_results (WpBatch *self)
{
  guint n_listed = self->list != NULL ? self->list->len : 0;
  WpResult *result;

  while ((result = g_queue_pop_head (&self->collected)) != NULL)
    {
      if (self->list != NULL)
        g_ptr_array_add (self->list, g_object_ref (result));
      g_queue_push_tail (&self->outgoing, result);
    }

  if (self->list != NULL && self->list->len > n_listed)
    g_list_model_items_changed (G_LIST_MODEL (self), n_listed, 0, self->list->len - n_listed);
}

/* A handler that iterates the main context gets what is left in order, before anything newer. */
static void
flow_results (WpBatch *self)
{
  WpResult *result;

  collect_results (self);
  /* The events of these tasks have come before their results. */
  wp_batch_emit_events (self);
  list_results (self);

  while ((result = g_queue_pop_head (&self->outgoing)) != NULL)
    {
      emit_result (self, result);
      g_object_unref (result);
    }
}

static void deliver (gpointer data);

void
wp_batch_post_delivery (WpBatch *self)
{
  if (self->posted)
    return;

  self->posted = TRUE;
  g_atomic_ref_count_inc (&self->handle->ref_count);
  wp_delivery_post (self->delivery, deliver, self->handle, (GDestroyNotify) handle_unref);
}

static void
deliver_events (gpointer data)
{
  WpBatchHandle *handle = data;
  g_autoptr (WpBatch) self = g_weak_ref_get (&handle->batch);

  handle_unref (handle);
  if (self == NULL)
    return;

  wp_engine_lock (self->engine);
  self->events_posted = FALSE;
  wp_engine_unlock (self->engine);

  wp_batch_emit_events (self);
}

/* Under the lock. */
static void
on_event_arrived (gpointer data)
{
  WpBatch *self = data;

  if (self->events_posted)
    return;

  self->events_posted = TRUE;
  g_atomic_ref_count_inc (&self->handle->ref_count);
  wp_delivery_post (self->delivery, deliver_events, self->handle, (GDestroyNotify) handle_unref);
}

static gboolean
is_event_heard (gpointer data)
{
  WpBatch *self = data;

  return self->event_callback != NULL || g_signal_has_handler_pending (self, signals[SIGNAL_EVENT], 0, FALSE);
}

static void
deliver_progress (gpointer data)
{
  WpBatchHandle *handle = data;
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
  if (self->flow == WP_BATCH_FLOW_UNDECIDED)
    self->flow = WP_BATCH_FLOW_LISTED;
  wp_batch_post_delivery (self);
  wp_engine_unlock (self->engine);
}

static void
deliver (gpointer data)
{
  WpBatchHandle *handle = data;
  g_autoptr (WpBatch) self = g_weak_ref_get (&handle->batch);
  gboolean more, finished, late, undecided;

  handle_unref (handle);
  if (self == NULL)
    return;

  wp_engine_lock (self->engine);
  self->posted = FALSE;
  undecided = self->flow == WP_BATCH_FLOW_UNDECIDED;
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
    wp_batch_post_delivery (self);
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
    wp_batch_post_delivery (self);
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

  if (wp_batch_is_inherited (self))
    {
      G_OBJECT_CLASS (wp_batch_parent_class)->finalize (object);
      return;
    }

  /* Waiting calls hold references on the batch, so none is left here. */
  g_assert (!wp_batch_queue_is_awaited (&self->queue));

  if (wp_batch_is_started (self))
    {
      wp_engine_lock (self->engine);
      self->job->changed = NULL;
      wp_engine_unlisten (self->engine, self->job);
      wp_engine_cancel (self->engine, self->job);
      wp_engine_unlock (self->engine);
    }

  g_clear_pointer (&self->list, g_ptr_array_unref);
  g_queue_clear_full (&self->collected, g_object_unref);
  g_queue_clear_full (&self->outgoing, g_object_unref);
  g_clear_pointer (&self->event_callback, wp_event_callback_unref);
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
   * WpBatch:id:
   *
   * What the batch's tasks have in common in the ids of the pool's signals: the id of the batch's
   * task of index i is id + i.
   *
   * Since: 1.0
   */
  properties[PROP_ID] = g_param_spec_uint64 ("id", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:function:
   *
   * The name of the function that the tasks run.
   *
   * Since: 1.0
   */
  properties[PROP_FUNCTION] = g_param_spec_string ("function", NULL, NULL, NULL, readable);
  /**
   * WpBatch:state:
   *
   * Whether the batch takes tasks, runs them out, or has ended.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
      g_param_spec_enum ("state", NULL, NULL, WP_TYPE_BATCH_STATE, WP_BATCH_STATE_OPEN, readable);
  /**
   * WpBatch:n-pushed:
   *
   * How many items were pushed.
   *
   * Since: 1.0
   */
  properties[PROP_N_PUSHED] =
      g_param_spec_uint64 ("n-pushed", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:n-completed:
   *
   * How many tasks have ended, the failed ones included.
   *
   * Since: 1.0
   */
  properties[PROP_N_COMPLETED] =
      g_param_spec_uint64 ("n-completed", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:n-failed:
   *
   * How many tasks have ended with an error.
   *
   * Since: 1.0
   */
  properties[PROP_N_FAILED] =
      g_param_spec_uint64 ("n-failed", NULL, NULL, 0, G_MAXUINT64, 0, readable);
  /**
   * WpBatch:n-total:
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
   * WpBatch:fraction:
   *
   * The part of the tasks that has ended, from 0 to 1, ready to be bound to a progress bar. As long as
   * the total is not known it is the part of what was pushed.
   *
   * Since: 1.0
   */
  properties[PROP_FRACTION] = g_param_spec_double ("fraction", NULL, NULL, 0, 1, 0, readable);
  /**
   * WpBatch:rate:
   *
   * How many tasks end in a second at present; 0 when it is not known yet.
   *
   * Since: 1.0
   */
  properties[PROP_RATE] = g_param_spec_double ("rate", NULL, NULL, 0, G_MAXDOUBLE, 0, readable);
  /**
   * WpBatch:remaining:
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
  /**
   * WpBatch::event:
   * @self: the batch
   * @index: the task's index
   * @value: what the task has emitted
   *
   * Emitted when a running task has emitted an event, by [method@TaskContext.emit], in the main context in which the
   * batch was made. The events of a task come in order, and before its result where that comes into the same context.
   * A thread with that context which waits in [method@Batch.next] emits them itself.
   *
   * Connect before the items are pushed: tasks that are sent to a worker while nobody listens emit nothing.
   *
   * Since: 1.0
   */
  signals[SIGNAL_EVENT] = g_signal_new ("event", WP_TYPE_BATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2,
                                        G_TYPE_UINT64, G_TYPE_VARIANT);
}

static void
wp_batch_init (WpBatch *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  self->delivery = wp_delivery_new (context);
  self->generation = wp_process_get_generation ();
  g_queue_init (&self->collected);
  g_queue_init (&self->outgoing);
  self->handle = g_new0 (WpBatchHandle, 1);
  g_atomic_ref_count_init (&self->handle->ref_count);
  g_weak_ref_init (&self->handle->batch, self);
}

WpBatch *
wp_batch_new (GObject *pool, WpJob *job, WpEventCallback *event_callback)
{
  WpBatch *self = g_object_new (WP_TYPE_BATCH, NULL);
  const WpEventReceiver receiver = { is_event_heard, on_event_arrived, self };

  self->pool = g_object_ref (pool);
  self->engine = wp_engine_ref (job->engine);
  self->job = job;
  self->event_callback = event_callback;

  wp_engine_lock (self->engine);
  wp_engine_listen (self->engine, job, &receiver, wp_delivery_get_context (self->delivery));
  wp_batch_queue_init (&self->queue, job, self->delivery);
  job->changed = on_job_changed;
  job->changed_data = self;
  /* Another thread may have ended the pool since the job was submitted. */
  if (job->ended)
    wp_batch_post_delivery (self);
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

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  ensure_list (self);

  return self->list->len;
}

static gpointer
wp_batch_get_item (GListModel *model, guint position)
{
  WpBatch *self = WP_BATCH (model);

  g_return_val_if_fail (wp_batch_is_started (self), NULL);
  if (wp_batch_is_inherited (self))
    return NULL;

  ensure_list (self);
  if (position >= self->list->len)
    return NULL;

  return g_object_ref (g_ptr_array_index (self->list, position));
}
