/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-pool-signals.h"

/* Signals do not tell where a result comes from. */
static const WpResultOrigin no_origin = { .worker = WP_NO_WORKER };

enum
{
  SIGNAL_TASK_COMPLETED,
  SIGNAL_TASK_FAILED,
  SIGNAL_WORKER_STARTED,
  SIGNAL_WORKER_EXITED,
  SIGNAL_DRAINED,
  NOTIFY_INSIGHTS, /* no signal of its own */
  N_SIGNALS = NOTIFY_INSIGHTS
};

static guint signals[N_SIGNALS];

/* What is posted to the pool's context refers to the pool by this. */
typedef struct
{
  gatomicrefcount ref_count;
  GWeakRef pool;
} Handle;

struct _WpPoolSignals
{
  GObject *pool; /* which owns this */
  Handle *handle;
  WpDelivery *delivery;
  int insights_posted; /* atomic: a notification is on its way */
};

typedef struct
{
  Handle *handle;
  guint signal;

  /* task-completed and task-failed */
  WpJob *job;
  WpResultQueue *results;

  int *insights_posted; /* the pool's, used while there is the pool */

  /* worker-started and worker-exited */
  guint worker_id;
  int pid;
  GError *error;
} Emission;

static void
handle_unref (Handle *handle)
{
  if (!g_atomic_ref_count_dec (&handle->ref_count))
    return;

  g_weak_ref_clear (&handle->pool);
  g_free (handle);
}

static void
emission_free (Emission *emission)
{
  handle_unref (emission->handle);
  g_clear_pointer (&emission->results, wp_result_queue_free);
  g_clear_pointer (&emission->job, wp_job_unref);
  g_clear_error (&emission->error);
  g_free (emission);
}

static void
emit_results (GObject *pool, Emission *emission)
{
  guint64 index;
  GVariant *value;
  GError *failure;

  while (wp_result_queue_take (emission->results, &index, &value, &failure, NULL))
    {
      guint64 id = wp_job_get_task_id (emission->job, index);

      if (failure != NULL)
        g_signal_emit (pool, signals[SIGNAL_TASK_FAILED], 0, id, failure);
      else
        g_signal_emit (pool, signals[SIGNAL_TASK_COMPLETED], 0, id, value);
      g_clear_pointer (&value, g_variant_unref);
      g_clear_error (&failure);
    }
}

static void
emit (gpointer data)
{
  Emission *emission = data;
  g_autoptr (GObject) pool = g_weak_ref_get (&emission->handle->pool);

  if (pool != NULL)
    switch (emission->signal)
      {
      case SIGNAL_TASK_COMPLETED:
        emit_results (pool, emission);
        break;
      case SIGNAL_WORKER_STARTED:
        g_signal_emit (pool, signals[SIGNAL_WORKER_STARTED], 0, emission->worker_id, emission->pid);
        g_object_notify (pool, "n-workers");
        break;
      case SIGNAL_WORKER_EXITED:
        g_signal_emit (pool, signals[SIGNAL_WORKER_EXITED], 0, emission->worker_id, emission->pid,
                       emission->error);
        g_object_notify (pool, "n-workers");
        break;
      case NOTIFY_INSIGHTS:
        g_atomic_int_set (emission->insights_posted, FALSE);
        g_object_notify (pool, "insights");
        break;
      case SIGNAL_DRAINED:
      default:
        g_signal_emit (pool, signals[SIGNAL_DRAINED], 0);
        break;
      }

  emission_free (emission);
}

static void
post_emission (WpPoolSignals *self, Emission *emission)
{
  g_atomic_ref_count_inc (&self->handle->ref_count);
  emission->handle = self->handle;
  wp_delivery_post (self->delivery, emit, emission, (GDestroyNotify) emission_free);
}

static gboolean
wants_results (WpPoolSignals *self)
{
  return g_signal_has_handler_pending (self->pool, signals[SIGNAL_TASK_COMPLETED], 0, FALSE) ||
         g_signal_has_handler_pending (self->pool, signals[SIGNAL_TASK_FAILED], 0, FALSE);
}

static Emission *
new_result_emission (WpJob *job)
{
  Emission *emission = g_new0 (Emission, 1);

  emission->signal = SIGNAL_TASK_COMPLETED;
  emission->job = wp_job_ref (job);
  emission->results = wp_result_queue_new (FALSE);

  return emission;
}

static void
on_completed (gpointer data, WpJob *job, guint64 first, guint n, GBytes *payload, guint skip)
{
  WpPoolSignals *self = data;
  Emission *emission;

  if (!wants_results (self))
    return;

  emission = new_result_emission (job);
  wp_result_queue_add (emission->results, first, n, payload, skip, &no_origin);
  post_emission (self, emission);
}

static void
on_failed (gpointer data, WpJob *job, guint64 first, guint n, const GError *error)
{
  WpPoolSignals *self = data;
  Emission *emission;

  if (!wants_results (self))
    return;

  emission = new_result_emission (job);
  wp_result_queue_add_error (emission->results, first, n, error, &no_origin);
  post_emission (self, emission);
}

/* Workers come and go whether or not anybody iterates the pool's context; what nobody listens to is not
 * kept for later. */
static gboolean
wants (WpPoolSignals *self, guint signal)
{
  return g_signal_has_handler_pending (self->pool, signals[signal], 0, FALSE) ||
         g_signal_has_handler_pending (self->pool, g_signal_lookup ("notify", G_TYPE_OBJECT),
                                       g_quark_from_static_string ("n-workers"), TRUE);
}

static void
post_worker (WpPoolSignals *self, guint signal, guint worker_id, int pid, const GError *error)
{
  Emission *emission;

  if (!wants (self, signal))
    return;

  emission = g_new0 (Emission, 1);
  emission->signal = signal;
  emission->worker_id = worker_id;
  emission->pid = pid;
  emission->error = error != NULL ? g_error_copy (error) : NULL;
  post_emission (self, emission);
}

static void
on_worker_started (gpointer data, guint worker_id, int pid)
{
  post_worker (data, SIGNAL_WORKER_STARTED, worker_id, pid, NULL);
}

static void
on_worker_exited (gpointer data, guint worker_id, int pid, const GError *reason)
{
  post_worker (data, SIGNAL_WORKER_EXITED, worker_id, pid, reason);
}

static void
on_drained (gpointer data)
{
  WpPoolSignals *self = data;
  Emission *emission;

  if (!g_signal_has_handler_pending (self->pool, signals[SIGNAL_DRAINED], 0, FALSE))
    return;

  emission = g_new0 (Emission, 1);
  emission->signal = SIGNAL_DRAINED;
  post_emission (self, emission);
}

/* Batches that end before the notification comes share it. */
static void
on_insights_changed (gpointer data)
{
  WpPoolSignals *self = data;
  Emission *emission;

  if (g_atomic_int_get (&self->insights_posted) ||
      !g_signal_has_handler_pending (self->pool, g_signal_lookup ("notify", G_TYPE_OBJECT),
                                     g_quark_from_static_string ("insights"), TRUE))
    return;

  g_atomic_int_set (&self->insights_posted, TRUE);
  emission = g_new0 (Emission, 1);
  emission->signal = NOTIFY_INSIGHTS;
  emission->insights_posted = &self->insights_posted;
  post_emission (self, emission);
}

const WpEngineObserver wp_pool_signals_observer = {
  .completed = on_completed,
  .failed = on_failed,
  .worker_started = on_worker_started,
  .worker_exited = on_worker_exited,
  .drained = on_drained,
  .insights_changed = on_insights_changed,
};

void
wp_pool_signals_install (GObjectClass *pool_class)
{
  const GType type = G_OBJECT_CLASS_TYPE (pool_class);

  /**
   * WpWorkerPool::task-completed:
   * @self: the pool
   * @id: the task: for a batch its [property@Batch:id] plus the index; in general the number of its apply,
   *   map or batch in this pool, from 1, times 2³², plus its index in there
   * @result: what the function returned
   *
   * Emitted when a task has succeeded, in the main context in which the pool was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_TASK_COMPLETED] =
      g_signal_new ("task-completed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_VARIANT);
  /**
   * WpWorkerPool::task-failed:
   * @self: the pool
   * @id: the task, as in [signal@WorkerPool::task-completed]
   * @error: the task's error
   *
   * Emitted when a task has failed, in the main context in which the pool was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_TASK_FAILED] =
      g_signal_new ("task-failed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_ERROR);
  /**
   * WpWorkerPool::worker-started:
   * @self: the pool
   * @worker_id: the worker, from 0
   * @pid: its process, or 0
   *
   * Emitted when a worker has reported in, in the main context in which the pool was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_WORKER_STARTED] =
      g_signal_new ("worker-started", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_INT);
  /**
   * WpWorkerPool::worker-exited:
   * @self: the pool
   * @worker_id: the worker, from 0
   * @pid: the process it was, or 0
   * @error: (nullable): how it ended; `NULL` when its pool had asked it to
   *
   * Emitted when a worker has ended and was reaped, in the main context in which the pool was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_WORKER_EXITED] =
      g_signal_new ("worker-exited", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 3, G_TYPE_UINT, G_TYPE_INT, G_TYPE_ERROR);
  /**
   * WpWorkerPool::drained:
   * @self: the pool
   *
   * Emitted each time the pool has run out of tasks, in the main context in which it was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_DRAINED] = g_signal_new ("drained", type, G_SIGNAL_RUN_LAST, 0, NULL,
                                          NULL, NULL, G_TYPE_NONE, 0);
}

WpPoolSignals *
wp_pool_signals_new (GObject *pool, WpDelivery *delivery)
{
  WpPoolSignals *self = g_new0 (WpPoolSignals, 1);

  self->pool = pool;
  self->delivery = wp_delivery_ref (delivery);
  self->handle = g_new0 (Handle, 1);
  g_atomic_ref_count_init (&self->handle->ref_count);
  g_weak_ref_init (&self->handle->pool, pool);

  return self;
}

void
wp_pool_signals_free (WpPoolSignals *self)
{
  handle_unref (self->handle);
  wp_delivery_unref (self->delivery);
  g_free (self);
}
