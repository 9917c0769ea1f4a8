/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool.h"

#include <string.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "launch/wp-host.h"
#include "launch/wp-spawn-launcher.h"
#include "pool/wp-batch-private.h"
#include "pool/wp-cpu-count.h"
#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"

/* The way of a task:
 *
 *  caller's thread               engine's thread                worker process
 *  ───────────────               ───────────────                ──────────────
 *  apply/map/batch.push
 *    └ WpJob: items ──lock──▶ WpScheduler: which worker, how many
 *                                 │ actions
 *          CHUNK frame ◀──────────┤ (run by whoever holds the lock,
 *               │                 │  most often the caller itself)
 *               │                 └ start, stop, kill ──▶ WpLauncher
 *               │
 *               └───────── socketpair, memfd ─────────────────▶ WpWorker
 *                                                                │ claims a task (board)
 *                                                                │ runs the function
 *                                                                │ commits its result (board)
 *                             epoll ◀────── RESULTS frame ───────┘
 *                               │ checks every record
 *                               ├ WpScheduler: what ended, what is next ──▶ CHUNK frame
 *                               └ WpJob: results
 *                                   ├ a thread that waits in apply (), map () or next ()
 *                                   └ WpDelivery ──▶ the caller's main context: GTask, signals
 *
 * One lock, the engine's, guards the scheduler, the links to the workers and the jobs. Nothing is called
 * out to while it is held: callbacks and signals go through WpDelivery, launchers and large copies run
 * in the engine's thread without it. When a worker dies, the engine's thread reads what is left in its
 * channel and on its board, and tells the scheduler which task it was at.
 */

/**
 * WpWorkerPool:
 *
 * A pool of worker processes that run functions for this one.
 *
 * A pool runs **functions**, known by name, in **workers**, processes that it starts when the first task
 * comes. [method@WorkerPool.apply] runs one task, [method@WorkerPool.map] one for each item of an array,
 * and [method@WorkerPool.start_batch] as many as are pushed while results come back. Each has forms for the
 * main loop and for a thread that can wait.
 *
 * ```c
 * g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (0);
 * g_autoptr (GVariant) squares =
 *     wp_worker_pool_map (pool, "square", g_variant_new_parsed ("[1, 2, 3]"), NULL, NULL, &error);
 * ```
 *
 * # Functions and hosts
 *
 * The program that a worker runs is the **host**. By default it is this program, if it has registered
 * functions with [func@register_function] and calls [func@Worker.main] when [func@Worker.is_requested];
 * otherwise it is a generic host, which loads functions named `/path/module.so:symbol`.
 *
 * # Promises
 *
 * Every task ends exactly once, with one result or one error, whatever dies. A worker that dies costs the
 * task that it ran, %WP_ERROR_WORKER_DIED, or nothing when [property@TaskOptions:max-retries] lets that task run
 * again; tasks that waited on it go to another one. Nothing a pool does waits for its caller.
 *
 * # Threads
 *
 * All methods may be called from any thread. Calls that wait block the calling thread and iterate no main
 * context. Asynchronous calls end in the thread-default main context of the call; the pool's signals are
 * emitted in that of the thread that made the pool.
 *
 * # The end
 *
 * [method@WorkerPool.stop_and_join] lets the tasks end and waits for the workers; [method@WorkerPool.terminate]
 * kills them. Dropping the last reference terminates without waiting; tasks and batches in flight hold one.
 *
 * Since: 1.0
 */

#define MAX_N_JOBS G_MAXUINT16
/* Far beyond any host's start on a loaded machine, yet an end to one that never answers. */
#define DEFAULT_START_TIMEOUT 30000
/* Enough to finish a file or to roll back; short for somebody who has pressed Cancel. */
#define DEFAULT_GRACE_PERIOD 500
/* A name is meant to be read in an error; this is the longest that the registry takes. */
#define MAX_FUNCTION_NAME 1024
/* Answered by every worker: the names of its host's functions. */
#define FUNCTION_LIST "workerpool:functions"

typedef enum
{
  POOL_OPEN,
  POOL_JOINED,
  POOL_TERMINATED,
} PoolEnd;

/* What is posted to the pool's context refers to the pool by this. */
typedef struct
{
  gatomicrefcount ref_count;
  GWeakRef pool;
} Handle;

struct _WpWorkerPool
{
  GObject parent_instance;

  WpDelivery *delivery; /* to the context in which the pool was made */
  Handle *handle;

  GMutex lock;
  guint n_jobs;
  gboolean daemon;
  WpStartMethod start_method;
  gboolean keep_alive;
  char **host;
  WpLauncher *launcher;
  guint start_timeout;
  guint grace_period;
  WpEngine *engine; /* NULL before the first task; then for ever */
  PoolEnd end;      /* how a pool ended that had no engine */
};

G_DEFINE_FINAL_TYPE (WpWorkerPool, wp_worker_pool, G_TYPE_OBJECT)

enum
{
  PROP_N_JOBS = 1,
  PROP_DAEMON,
  PROP_START_METHOD,
  PROP_KEEP_ALIVE,
  PROP_HOST,
  PROP_LAUNCHER,
  PROP_START_TIMEOUT,
  PROP_GRACE_PERIOD,
  PROP_N_WORKERS,
  PROP_N_BUSY,
  PROP_N_QUEUED,
  N_PROPS
};

enum
{
  SIGNAL_TASK_COMPLETED,
  SIGNAL_TASK_FAILED,
  SIGNAL_WORKER_STARTED,
  SIGNAL_WORKER_EXITED,
  SIGNAL_DRAINED,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

/* Signals */

typedef struct
{
  Handle *handle;
  guint signal;

  /* task-completed and task-failed */
  WpJob *job;
  guint64 first;
  WpResultQueue *results;

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
emit_results (WpWorkerPool *self, Emission *emission)
{
  guint64 index;
  GVariant *value;
  GError *failure;

  while (wp_result_queue_take (emission->results, &index, &value, &failure))
    {
      guint64 id = wp_job_get_task_id (emission->job, index);

      if (failure != NULL)
        g_signal_emit (self, signals[SIGNAL_TASK_FAILED], 0, id, failure);
      else
        g_signal_emit (self, signals[SIGNAL_TASK_COMPLETED], 0, id, value);
      g_clear_pointer (&value, g_variant_unref);
      g_clear_error (&failure);
    }
}

static void
emit (gpointer data)
{
  Emission *emission = data;
  g_autoptr (WpWorkerPool) self = g_weak_ref_get (&emission->handle->pool);

  if (self != NULL)
    switch (emission->signal)
      {
      case SIGNAL_TASK_COMPLETED:
        emit_results (self, emission);
        break;
      case SIGNAL_WORKER_STARTED:
        g_signal_emit (self, signals[SIGNAL_WORKER_STARTED], 0, emission->worker_id, emission->pid);
        g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_WORKERS]);
        break;
      case SIGNAL_WORKER_EXITED:
        g_signal_emit (self, signals[SIGNAL_WORKER_EXITED], 0, emission->worker_id, emission->pid,
                       emission->error);
        g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_WORKERS]);
        break;
      case SIGNAL_DRAINED:
      default:
        g_signal_emit (self, signals[SIGNAL_DRAINED], 0);
        break;
      }

  emission_free (emission);
}

static void
post_emission (WpWorkerPool *self, Emission *emission)
{
  g_atomic_ref_count_inc (&self->handle->ref_count);
  emission->handle = self->handle;
  wp_delivery_post (self->delivery, emit, emission);
}

static gboolean
wants_results (WpWorkerPool *self)
{
  return g_signal_has_handler_pending (self, signals[SIGNAL_TASK_COMPLETED], 0, FALSE) ||
         g_signal_has_handler_pending (self, signals[SIGNAL_TASK_FAILED], 0, FALSE);
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
on_completed (gpointer pool, WpJob *job, guint64 first, guint n, GBytes *payload, guint skip)
{
  WpWorkerPool *self = pool;
  Emission *emission;

  if (!wants_results (self))
    return;

  emission = new_result_emission (job);
  wp_result_queue_add (emission->results, first, n, payload, skip);
  post_emission (self, emission);
}

static void
on_failed (gpointer pool, WpJob *job, guint64 first, guint n, const GError *error)
{
  WpWorkerPool *self = pool;
  Emission *emission;

  if (!wants_results (self))
    return;

  emission = new_result_emission (job);
  wp_result_queue_add_error (emission->results, first, n, error);
  post_emission (self, emission);
}

/* Workers come and go whether or not anybody iterates the pool's context; what nobody listens to is not
 * kept for later. */
static gboolean
wants (WpWorkerPool *self, guint signal)
{
  return g_signal_has_handler_pending (self, signals[signal], 0, FALSE) ||
         g_signal_has_handler_pending (self, g_signal_lookup ("notify", G_TYPE_OBJECT),
                                       g_quark_from_static_string ("n-workers"), TRUE);
}

static void
post_worker (WpWorkerPool *self, guint signal, guint worker_id, int pid, const GError *error)
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
on_worker_started (gpointer pool, guint worker_id, int pid)
{
  post_worker (pool, SIGNAL_WORKER_STARTED, worker_id, pid, NULL);
}

static void
on_worker_exited (gpointer pool, guint worker_id, int pid, const GError *reason)
{
  post_worker (pool, SIGNAL_WORKER_EXITED, worker_id, pid, reason);
}

static void
on_drained (gpointer pool)
{
  WpWorkerPool *self = pool;
  Emission *emission;

  if (!g_signal_has_handler_pending (self, signals[SIGNAL_DRAINED], 0, FALSE))
    return;

  emission = g_new0 (Emission, 1);
  emission->signal = SIGNAL_DRAINED;
  post_emission (self, emission);
}

static const WpEngineObserver observer = {
  .completed = on_completed,
  .failed = on_failed,
  .worker_started = on_worker_started,
  .worker_exited = on_worker_exited,
  .drained = on_drained,
};

/* Starting */

static WpLauncher *
make_launcher (WpWorkerPool *self, GError **error)
{
  g_autoptr (GEnumClass) methods = NULL;
  g_auto (GStrv) argv = NULL;

  if (self->launcher != NULL)
    return g_object_ref (self->launcher);

  if (self->start_method != WP_START_METHOD_SPAWN)
    {
      methods = g_type_class_ref (WP_TYPE_START_METHOD);
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "the start method “%s” is not supported; set start-method to “spawn”",
                   g_enum_get_value (methods, self->start_method)->value_nick);
      return NULL;
    }

  argv = self->host != NULL ? g_strdupv (self->host) : wp_host_get_default_argv (error);
  if (argv == NULL)
    return NULL;

  return wp_spawn_launcher_new ((const char *const *) argv, WP_TRANSPORT_SOCKET);
}

/* Under the pool's lock. */
static WpEngine *
make_engine (WpWorkerPool *self, GError **error)
{
  g_autoptr (WpLauncher) launcher = NULL;
  WpEngineConfig config = { 0 };

  if (self->end != POOL_OPEN)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_CLOSED,
                   "the pool was %s and takes no more tasks; make a new one",
                   self->end == POOL_JOINED ? "joined" : "terminated");
      return NULL;
    }

  if (wp_process_is_daemonic ())
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_NESTED,
                           "daemonic workers are not allowed to have children pools; set "
                           "daemon=FALSE on the outer pool");
      return NULL;
    }

  if (wp_process_ignored_request ())
    {
      g_set_error (error, WP_ERROR, WP_ERROR_NESTED,
                   "this process, %s, was started as a worker but does not act as one: its main() must "
                   "call wp_worker_main() when wp_worker_is_requested()",
                   g_get_prgname () != NULL ? g_get_prgname () : "a host");
      return NULL;
    }

  launcher = make_launcher (self, error);
  if (launcher == NULL)
    return NULL;

  config.n_jobs = self->n_jobs;
  config.daemon = self->daemon;
  config.keep_alive = self->keep_alive;
  config.start_timeout = self->start_timeout;
  config.grace_period = self->grace_period;
  config.launcher = launcher;

  return wp_engine_new (&config, &observer, self);
}

static WpEngine *
ensure_engine (WpWorkerPool *self, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->engine == NULL)
    self->engine = make_engine (self, error);

  return self->engine != NULL ? wp_engine_ref (self->engine) : NULL;
}

/* (nullable) */
static WpEngine *
get_engine (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->engine != NULL ? wp_engine_ref (self->engine) : NULL;
}

/* Ends a pool that never started; NULL then. */
static WpEngine *
get_engine_to_end (WpWorkerPool *self, PoolEnd end)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->engine != NULL)
    return wp_engine_ref (self->engine);

  if (self->end == POOL_OPEN)
    self->end = end;

  return NULL;
}

/* Calls */

static gboolean
check_function (const char *function, GError **error)
{
  const char *wrong = NULL;

  if (function == NULL || function[0] == '\0')
    wrong = "is empty; it must be the name of a function that the host knows";
  else if (!g_utf8_validate (function, -1, NULL))
    wrong = "is not valid UTF-8";
  else if (strlen (function) > MAX_FUNCTION_NAME)
    wrong = "is longer than 1024 bytes";

  if (wrong == NULL)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "the function's name %s", wrong);
  return FALSE;
}

/* Consumes a floating reference. NULL arguments are the empty tuple. */
static WpItems *
check_args (const char *function, GVariant *args, GError **error)
{
  g_autoptr (GVariant) value =
      g_variant_ref_sink (args != NULL ? args : g_variant_new_tuple (NULL, 0));
  WpItems *items;

  if (!check_function (function, error) || !wp_items_check ("the argument", value, error))
    return NULL;

  items = wp_items_new ();
  wp_items_push (items, g_steal_pointer (&value));

  return items;
}

static WpItems *
check_items (const char *function, GVariant *items, GError **error)
{
  g_autoptr (GVariant) array = items != NULL ? g_variant_ref_sink (items) : NULL;

  if (!check_function (function, error))
    return NULL;

  if (array == NULL || !g_variant_is_of_type (array, G_VARIANT_TYPE_ARRAY))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the items are %s%s, but a map needs an array, one element for each task",
                   array == NULL ? "NULL" : "of type ",
                   array == NULL ? "" : g_variant_get_type_string (array));
      return NULL;
    }

  return wp_items_check ("the array of items", array, error) ? wp_items_new_array (array) : NULL;
}

static GVariant *
take_applied (WpJob *job, GError **error)
{
  guint64 index;
  GVariant *value;
  GError *failure;
  gboolean taken = wp_result_queue_take (job->results, &index, &value, &failure);

  g_assert (taken);
  if (failure != NULL)
    g_propagate_error (error, failure);

  return value;
}

/* The job has ended: nobody else uses its results any more, so the lock is not needed. */
static GVariant *
take_mapped (WpJob *job, GError **error)
{
  const GError *failure = job->on_error == WP_ON_ERROR_STOP ? job->failure : NULL;

  if (failure == NULL)
    failure = job->interruption;

  if (failure != NULL)
    {
      g_propagate_error (error, g_error_copy (failure));
      return NULL;
    }

  return wp_result_queue_collect (job->results);
}

static void
on_job_cancelled (GCancellable *cancellable, gpointer user_data)
{
  WpJob *job = user_data;

  wp_engine_lock (job->engine);
  wp_engine_cancel (job->engine, job);
  wp_engine_unlock (job->engine);
}

typedef GVariant *(*TakeFunc) (WpJob *job, GError **error);

/* Runs a job and waits for its end. Takes the items, which may be NULL with an error set. */
static GVariant *
run_job (WpWorkerPool  *self,
         const char    *function,
         WpItems       *items,
         WpTaskOptions *options,
         gboolean       is_map,
         GCancellable  *cancellable,
         GError       **error)
{
  g_autoptr (WpItems) owned_items = items;
  g_autoptr (WpEngine) engine = NULL;
  g_autoptr (WpJob) job = NULL;
  gboolean submitted;
  gulong handler = 0;

  if (items == NULL || g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;

  engine = ensure_engine (self, error);
  if (engine == NULL)
    return NULL;

  if (wp_engine_is_current_thread (engine))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                           "a launcher cannot wait for a task of its own pool");
      return NULL;
    }

  job = wp_job_new (engine, function, options, g_steal_pointer (&owned_items));
  if (!is_map)
    wp_job_share_items (job);

  wp_engine_lock (engine);
  submitted = wp_engine_submit (engine, job, !is_map, error);
  if (submitted)
    wp_engine_close (engine, job);
  wp_engine_unlock (engine);
  if (!submitted)
    return NULL;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_job_cancelled), job, NULL);

  wp_engine_lock (engine);
  while (!job->ended)
    g_cond_wait (&job->condition, wp_engine_get_mutex (engine));
  wp_engine_unlock (engine);

  g_cancellable_disconnect (cancellable, handler);

  return is_map ? take_mapped (job, error) : take_applied (job, error);
}

/* An asynchronous call on its way: the task, its job, and where it ends. */
typedef struct
{
  WpJob *job;
  WpDelivery *delivery;
  gulong handler; /* on the cancellable */
  GVariant *value;
  GError *error;
} Call;

static void
call_free (Call *call)
{
  g_clear_pointer (&call->job, wp_job_unref);
  g_clear_pointer (&call->delivery, wp_delivery_unref);
  g_clear_pointer (&call->value, g_variant_unref);
  g_clear_error (&call->error);
  g_free (call);
}

static void
return_call (gpointer data)
{
  g_autoptr (GTask) task = data;
  Call *call = g_task_get_task_data (task);

  g_cancellable_disconnect (g_task_get_cancellable (task), call->handler);

  if (g_task_get_source_tag (task) == wp_worker_pool_apply_async)
    call->value = take_applied (call->job, &call->error);

  if (call->error != NULL)
    g_task_return_error (task, g_steal_pointer (&call->error));
  else
    g_task_return_pointer (task, g_steal_pointer (&call->value), (GDestroyNotify) g_variant_unref);
}

/* In the engine's thread: a million results are put together here, not in a thread that draws. */
static void
collect_call (gpointer data, gpointer unused)
{
  GTask *task = data;
  Call *call = g_task_get_task_data (task);
  g_autoptr (WpDelivery) delivery = wp_delivery_ref (call->delivery);

  call->value = take_mapped (call->job, &call->error);
  wp_delivery_post (delivery, return_call, task);
}

static void
on_call_changed (WpJob *job, gpointer data)
{
  GTask *task = data;
  Call *call = g_task_get_task_data (task);

  if (!job->ended)
    return;

  job->changed = NULL;
  if (g_task_get_source_tag (task) == wp_worker_pool_map_async)
    wp_engine_call (job->engine, collect_call, task);
  else
    wp_delivery_post (call->delivery, return_call, task);
}

static WpDelivery *
get_delivery (WpWorkerPool *self, GMainContext *context)
{
  if (context == wp_delivery_get_context (self->delivery))
    return wp_delivery_ref (self->delivery);

  return wp_delivery_new (context);
}

/* Takes the items, which may be NULL with 'invalid' set, and both. */
static void
begin_job (WpWorkerPool       *self,
           gpointer            source_tag,
           const char         *function,
           WpItems            *items,
           GError             *invalid,
           WpTaskOptions      *options,
           GCancellable       *cancellable,
           GAsyncReadyCallback callback,
           gpointer            user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (WpItems) owned_items = items;
  g_autoptr (WpEngine) engine = NULL;
  g_autoptr (GError) error = invalid;
  gboolean is_map = source_tag == wp_worker_pool_map_async;
  gboolean submitted;
  Call *call;

  g_task_set_source_tag (task, source_tag);
  /* The job itself ends with G_IO_ERROR_CANCELLED, when its tasks really have. */
  g_task_set_check_cancellable (task, FALSE);

  if (error == NULL && !g_cancellable_set_error_if_cancelled (cancellable, &error))
    engine = ensure_engine (self, &error);
  if (engine == NULL)
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  call = g_new0 (Call, 1);
  call->job = wp_job_new (engine, function, options, g_steal_pointer (&owned_items));
  call->delivery = get_delivery (self, g_task_get_context (task));
  g_task_set_task_data (task, call, (GDestroyNotify) call_free);
  if (!is_map)
    wp_job_share_items (call->job);

  /* Connected while the call is ours alone: once it was submitted it may end at any time, and its end
   * disconnects. A cancellation before that finds a job that is not there yet, hence the second look. */
  if (cancellable != NULL)
    call->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_job_cancelled),
                                           wp_job_ref (call->job), (GDestroyNotify) wp_job_unref);

  wp_engine_lock (engine);
  call->job->changed = on_call_changed;
  call->job->changed_data = g_object_ref (task);
  submitted = wp_engine_submit (engine, call->job, !is_map, &error);
  if (submitted)
    {
      wp_engine_close (engine, call->job);
      if (g_cancellable_is_cancelled (cancellable))
        wp_engine_cancel (engine, call->job);
    }
  wp_engine_unlock (engine);

  if (submitted)
    return;

  call->job->changed = NULL;
  g_cancellable_disconnect (cancellable, call->handler);
  g_task_return_error (task, g_steal_pointer (&error));
  g_object_unref (task);
}

/* The object */

/* Under the pool's lock: settings are read when the pool starts. */
static gboolean
can_change (WpWorkerPool *self, const char *property)
{
  if (self->engine == NULL)
    return TRUE;

  g_warning ("WpWorkerPool:%s cannot be changed once the pool has started; set it before the first "
             "task, or make another pool", property);
  return FALSE;
}

static void
wp_worker_pool_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  WpWorkerPool *self = WP_WORKER_POOL (object);

  switch (prop_id)
    {
    case PROP_N_JOBS:
      g_value_set_uint (value, wp_worker_pool_get_n_jobs (self));
      break;
    case PROP_DAEMON:
      g_value_set_boolean (value, wp_worker_pool_get_daemon (self));
      break;
    case PROP_START_METHOD:
      g_value_set_enum (value, wp_worker_pool_get_start_method (self));
      break;
    case PROP_KEEP_ALIVE:
      g_value_set_boolean (value, wp_worker_pool_get_keep_alive (self));
      break;
    case PROP_HOST:
      g_value_set_boxed (value, wp_worker_pool_get_host (self));
      break;
    case PROP_LAUNCHER:
      g_value_set_object (value, wp_worker_pool_get_launcher (self));
      break;
    case PROP_START_TIMEOUT:
      g_value_set_uint (value, wp_worker_pool_get_start_timeout (self));
      break;
    case PROP_GRACE_PERIOD:
      g_value_set_uint (value, wp_worker_pool_get_grace_period (self));
      break;
    case PROP_N_WORKERS:
      g_value_set_uint (value, wp_worker_pool_get_n_workers (self));
      break;
    case PROP_N_BUSY:
      g_value_set_uint (value, wp_worker_pool_get_n_busy (self));
      break;
    case PROP_N_QUEUED:
      g_value_set_uint64 (value, wp_worker_pool_get_n_queued (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_worker_pool_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  WpWorkerPool *self = WP_WORKER_POOL (object);

  switch (prop_id)
    {
    case PROP_N_JOBS:
      wp_worker_pool_set_n_jobs (self, g_value_get_uint (value));
      break;
    case PROP_DAEMON:
      wp_worker_pool_set_daemon (self, g_value_get_boolean (value));
      break;
    case PROP_START_METHOD:
      wp_worker_pool_set_start_method (self, g_value_get_enum (value));
      break;
    case PROP_KEEP_ALIVE:
      wp_worker_pool_set_keep_alive (self, g_value_get_boolean (value));
      break;
    case PROP_HOST:
      wp_worker_pool_set_host (self, g_value_get_boxed (value));
      break;
    case PROP_LAUNCHER:
      wp_worker_pool_set_launcher (self, g_value_get_object (value));
      break;
    case PROP_START_TIMEOUT:
      wp_worker_pool_set_start_timeout (self, g_value_get_uint (value));
      break;
    case PROP_GRACE_PERIOD:
      wp_worker_pool_set_grace_period (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

/* Does not wait: the engine and its thread live on until the killed workers were reaped. */
static void
wp_worker_pool_dispose (GObject *object)
{
  WpWorkerPool *self = WP_WORKER_POOL (object);
  g_autoptr (WpEngine) engine = get_engine_to_end (self, POOL_TERMINATED);

  if (engine != NULL)
    {
      wp_engine_detach (engine);
      wp_engine_lock (engine);
      wp_engine_terminate (engine);
      wp_engine_unlock (engine);
    }

  G_OBJECT_CLASS (wp_worker_pool_parent_class)->dispose (object);
}

static void
wp_worker_pool_finalize (GObject *object)
{
  WpWorkerPool *self = WP_WORKER_POOL (object);

  g_clear_pointer (&self->engine, wp_engine_unref);
  g_clear_pointer (&self->host, g_strfreev);
  g_clear_object (&self->launcher);
  g_clear_pointer (&self->delivery, wp_delivery_unref);
  g_clear_pointer (&self->handle, handle_unref);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (wp_worker_pool_parent_class)->finalize (object);
}

static void
wp_worker_pool_class_init (WpWorkerPoolClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags readable = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;
  const GParamFlags writable = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = wp_worker_pool_get_property;
  object_class->set_property = wp_worker_pool_set_property;
  object_class->dispose = wp_worker_pool_dispose;
  object_class->finalize = wp_worker_pool_finalize;

  /**
   * WpWorkerPool:n-jobs: (attributes org.gtk.Property.get=wp_worker_pool_get_n_jobs org.gtk.Property.set=wp_worker_pool_set_n_jobs)
   *
   * The number of workers, at most 65535. Setting 0 stands for one per usable CPU, as [func@cpu_count]
   * counts them, which is also the default; the property then has that number. More workers than CPUs
   * are allowed.
   *
   * Since: 1.0
   */
  properties[PROP_N_JOBS] =
      g_param_spec_uint ("n-jobs", NULL, NULL, 0, MAX_N_JOBS, 0, writable);
  /**
   * WpWorkerPool:daemon: (attributes org.gtk.Property.get=wp_worker_pool_get_daemon org.gtk.Property.set=wp_worker_pool_set_daemon)
   *
   * Whether the workers are daemonic, the default: they are killed when their owner ends, in whatever
   * way, and may not have pools of their own. With %FALSE pools nest.
   *
   * Since: 1.0
   */
  properties[PROP_DAEMON] =
      g_param_spec_boolean ("daemon", NULL, NULL, TRUE, writable);
  /**
   * WpWorkerPool:start-method: (attributes org.gtk.Property.get=wp_worker_pool_get_start_method org.gtk.Property.set=wp_worker_pool_set_start_method)
   *
   * How workers come to life. %WP_START_METHOD_SPAWN is supported; a pool with another one cannot start
   * and says so with %G_IO_ERROR_NOT_SUPPORTED.
   *
   * Since: 1.0
   */
  properties[PROP_START_METHOD] =
      g_param_spec_enum ("start-method", NULL, NULL, WP_TYPE_START_METHOD, WP_START_METHOD_SPAWN, writable);
  /**
   * WpWorkerPool:keep-alive: (attributes org.gtk.Property.get=wp_worker_pool_get_keep_alive org.gtk.Property.set=wp_worker_pool_set_keep_alive)
   *
   * Whether the workers stay when a map or batch has ended, to serve the next one. Without it they end
   * then, unless something else is in flight. Workers that apply has started stay until a map ends or
   * the pool is joined.
   *
   * Since: 1.0
   */
  properties[PROP_KEEP_ALIVE] =
      g_param_spec_boolean ("keep-alive", NULL, NULL, FALSE, writable);
  /**
   * WpWorkerPool:host: (attributes org.gtk.Property.get=wp_worker_pool_get_host org.gtk.Property.set=wp_worker_pool_set_host)
   *
   * The program that the workers run, with its arguments; %NULL, the default, for this program if it has
   * registered functions, else for the generic host. The program is looked up as by execvp().
   *
   * Since: 1.0
   */
  properties[PROP_HOST] =
      g_param_spec_boxed ("host", NULL, NULL, G_TYPE_STRV, writable);
  /**
   * WpWorkerPool:launcher: (attributes org.gtk.Property.get=wp_worker_pool_get_launcher org.gtk.Property.set=wp_worker_pool_set_launcher)
   *
   * What starts the workers, instead of what [property@WorkerPool:start-method] and
   * [property@WorkerPool:host] stand for; %NULL, the default, for those.
   *
   * Since: 1.0
   */
  properties[PROP_LAUNCHER] =
      g_param_spec_object ("launcher", NULL, NULL, WP_TYPE_LAUNCHER, writable);
  /**
   * WpWorkerPool:start-timeout: (attributes org.gtk.Property.get=wp_worker_pool_get_start_timeout org.gtk.Property.set=wp_worker_pool_set_start_timeout)
   *
   * How long a worker may take to report in, in milliseconds; then it is killed, and the start counts as
   * failed. The default is 30 seconds.
   *
   * Since: 1.0
   */
  properties[PROP_START_TIMEOUT] =
      g_param_spec_uint ("start-timeout", NULL, NULL, 1, G_MAXUINT, DEFAULT_START_TIMEOUT, writable);
  /**
   * WpWorkerPool:grace-period: (attributes org.gtk.Property.get=wp_worker_pool_get_grace_period org.gtk.Property.set=wp_worker_pool_set_grace_period)
   *
   * How long a cancelled task that runs may go on before its worker gets SIGTERM, and again before it
   * gets SIGKILL, in milliseconds. The default is 500.
   *
   * Since: 1.0
   */
  properties[PROP_GRACE_PERIOD] =
      g_param_spec_uint ("grace-period", NULL, NULL, 0, G_MAXUINT, DEFAULT_GRACE_PERIOD, writable);
  /**
   * WpWorkerPool:n-workers: (attributes org.gtk.Property.get=wp_worker_pool_get_n_workers)
   *
   * The number of workers that have started and not ended.
   *
   * Since: 1.0
   */
  properties[PROP_N_WORKERS] =
      g_param_spec_uint ("n-workers", NULL, NULL, 0, G_MAXUINT, 0, readable);
  /**
   * WpWorkerPool:n-busy: (attributes org.gtk.Property.get=wp_worker_pool_get_n_busy)
   *
   * The number of workers that have tasks to run. It changes with every chunk and is not notified.
   *
   * Since: 1.0
   */
  properties[PROP_N_BUSY] =
      g_param_spec_uint ("n-busy", NULL, NULL, 0, G_MAXUINT, 0, readable);
  /**
   * WpWorkerPool:n-queued: (attributes org.gtk.Property.get=wp_worker_pool_get_n_queued)
   *
   * The number of tasks that wait for a worker. It changes with every task and is not notified.
   *
   * Since: 1.0
   */
  properties[PROP_N_QUEUED] =
      g_param_spec_uint64 ("n-queued", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  g_object_class_install_properties (object_class, N_PROPS, properties);

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
      g_signal_new ("task-completed", WP_TYPE_WORKER_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
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
      g_signal_new ("task-failed", WP_TYPE_WORKER_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
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
      g_signal_new ("worker-started", WP_TYPE_WORKER_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_INT);
  /**
   * WpWorkerPool::worker-exited:
   * @self: the pool
   * @worker_id: the worker, from 0
   * @pid: the process it was, or 0
   * @error: (nullable): how it ended; %NULL when its pool had asked it to
   *
   * Emitted when a worker has ended and was reaped, in the main context in which the pool was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_WORKER_EXITED] =
      g_signal_new ("worker-exited", WP_TYPE_WORKER_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 3, G_TYPE_UINT, G_TYPE_INT, G_TYPE_ERROR);
  /**
   * WpWorkerPool::drained:
   * @self: the pool
   *
   * Emitted each time the pool has run out of tasks, in the main context in which it was made.
   *
   * Since: 1.0
   */
  signals[SIGNAL_DRAINED] = g_signal_new ("drained", WP_TYPE_WORKER_POOL, G_SIGNAL_RUN_LAST, 0, NULL,
                                          NULL, NULL, G_TYPE_NONE, 0);
}

static void
wp_worker_pool_init (WpWorkerPool *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  self->delivery = wp_delivery_new (context);
  self->handle = g_new0 (Handle, 1);
  g_atomic_ref_count_init (&self->handle->ref_count);
  g_weak_ref_init (&self->handle->pool, self);
  g_mutex_init (&self->lock);
  self->n_jobs = wp_cpu_count ();
  self->daemon = TRUE;
  self->start_timeout = DEFAULT_START_TIMEOUT;
  self->grace_period = DEFAULT_GRACE_PERIOD;
}

/**
 * wp_worker_pool_new:
 * @n_jobs: the number of workers, at most 65535; 0 for one per usable CPU
 *
 * Creates a pool. It starts its workers with its first task, or by [method@WorkerPool.start].
 *
 * Returns: (transfer full): a new pool
 *
 * Since: 1.0
 */
WpWorkerPool *
wp_worker_pool_new (guint n_jobs)
{
  g_return_val_if_fail (n_jobs <= MAX_N_JOBS, NULL);

  return g_object_new (WP_TYPE_WORKER_POOL, "n-jobs", n_jobs, NULL);
}

/**
 * wp_worker_pool_get_n_jobs: (attributes org.gtk.Method.get_property=n-jobs)
 * @self: a pool
 *
 * Gets [property@WorkerPool:n-jobs].
 *
 * Returns: the number of workers
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_n_jobs (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return self->n_jobs;
}

/**
 * wp_worker_pool_set_n_jobs: (attributes org.gtk.Method.set_property=n-jobs)
 * @self: a pool
 * @n_jobs: the number of workers, at most 65535; 0 for one per usable CPU
 *
 * Sets [property@WorkerPool:n-jobs]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_n_jobs (WpWorkerPool *self, guint n_jobs)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (n_jobs <= MAX_N_JOBS);

  if (n_jobs == 0)
    n_jobs = wp_cpu_count ();

  g_mutex_lock (&self->lock);
  if (self->n_jobs != n_jobs && can_change (self, "n-jobs"))
    {
      self->n_jobs = n_jobs;
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_JOBS]);
}

/**
 * wp_worker_pool_get_daemon: (attributes org.gtk.Method.get_property=daemon)
 * @self: a pool
 *
 * Gets [property@WorkerPool:daemon].
 *
 * Returns: whether the workers are daemonic
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_get_daemon (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);

  return self->daemon;
}

/**
 * wp_worker_pool_set_daemon: (attributes org.gtk.Method.set_property=daemon)
 * @self: a pool
 * @daemon: whether the workers are daemonic
 *
 * Sets [property@WorkerPool:daemon]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_daemon (WpWorkerPool *self, gboolean daemon)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  daemon = !!daemon;

  g_mutex_lock (&self->lock);
  if (self->daemon != daemon && can_change (self, "daemon"))
    {
      self->daemon = daemon;
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DAEMON]);
}

/**
 * wp_worker_pool_get_start_method: (attributes org.gtk.Method.get_property=start-method)
 * @self: a pool
 *
 * Gets [property@WorkerPool:start-method].
 *
 * Returns: the start method
 *
 * Since: 1.0
 */
WpStartMethod
wp_worker_pool_get_start_method (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), WP_START_METHOD_SPAWN);

  return self->start_method;
}

/**
 * wp_worker_pool_set_start_method: (attributes org.gtk.Method.set_property=start-method)
 * @self: a pool
 * @start_method: the start method
 *
 * Sets [property@WorkerPool:start-method]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_start_method (WpWorkerPool *self, WpStartMethod start_method)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  g_mutex_lock (&self->lock);
  if (self->start_method != start_method && can_change (self, "start-method"))
    {
      self->start_method = start_method;
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_START_METHOD]);
}

/**
 * wp_worker_pool_get_keep_alive: (attributes org.gtk.Method.get_property=keep-alive)
 * @self: a pool
 *
 * Gets [property@WorkerPool:keep-alive].
 *
 * Returns: whether the workers stay between maps
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_get_keep_alive (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);

  return self->keep_alive;
}

/**
 * wp_worker_pool_set_keep_alive: (attributes org.gtk.Method.set_property=keep-alive)
 * @self: a pool
 * @keep_alive: whether the workers stay between maps
 *
 * Sets [property@WorkerPool:keep-alive]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_keep_alive (WpWorkerPool *self, gboolean keep_alive)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  keep_alive = !!keep_alive;

  g_mutex_lock (&self->lock);
  if (self->keep_alive != keep_alive && can_change (self, "keep-alive"))
    {
      self->keep_alive = keep_alive;
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_KEEP_ALIVE]);
}

/**
 * wp_worker_pool_get_start_timeout: (attributes org.gtk.Method.get_property=start-timeout)
 * @self: a pool
 *
 * Gets [property@WorkerPool:start-timeout].
 *
 * Returns: the time that a worker has to report in, in milliseconds
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_start_timeout (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return self->start_timeout;
}

/**
 * wp_worker_pool_set_start_timeout: (attributes org.gtk.Method.set_property=start-timeout)
 * @self: a pool
 * @milliseconds: the time that a worker has to report in, at least 1
 *
 * Sets [property@WorkerPool:start-timeout]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_start_timeout (WpWorkerPool *self, guint milliseconds)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (milliseconds > 0);

  g_mutex_lock (&self->lock);
  if (self->start_timeout != milliseconds && can_change (self, "start-timeout"))
    {
      self->start_timeout = milliseconds;
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_START_TIMEOUT]);
}

/**
 * wp_worker_pool_get_grace_period: (attributes org.gtk.Method.get_property=grace-period)
 * @self: a pool
 *
 * Gets [property@WorkerPool:grace-period].
 *
 * Returns: the time that a cancelled task has, in milliseconds
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_grace_period (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return self->grace_period;
}

/**
 * wp_worker_pool_set_grace_period: (attributes org.gtk.Method.set_property=grace-period)
 * @self: a pool
 * @milliseconds: the time that a cancelled task has
 *
 * Sets [property@WorkerPool:grace-period]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_grace_period (WpWorkerPool *self, guint milliseconds)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  g_mutex_lock (&self->lock);
  if (self->grace_period != milliseconds && can_change (self, "grace-period"))
    {
      self->grace_period = milliseconds;
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_GRACE_PERIOD]);
}

/**
 * wp_worker_pool_get_host: (attributes org.gtk.Method.get_property=host)
 * @self: a pool
 *
 * Gets [property@WorkerPool:host].
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): the program and its arguments
 *
 * Since: 1.0
 */
const char *const *
wp_worker_pool_get_host (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return (const char *const *) self->host;
}

/**
 * wp_worker_pool_set_host: (attributes org.gtk.Method.set_property=host)
 * @self: a pool
 * @host: (nullable) (array zero-terminated=1): the program and its arguments, at least one string; or %NULL
 *
 * Sets [property@WorkerPool:host]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_host (WpWorkerPool *self, const char *const *host)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (host == NULL || host[0] != NULL);

  g_mutex_lock (&self->lock);
  if (can_change (self, "host"))
    {
      g_strfreev (self->host);
      self->host = g_strdupv ((char **) host);
      changed = TRUE;
    }
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HOST]);
}

/**
 * wp_worker_pool_get_launcher: (attributes org.gtk.Method.get_property=launcher)
 * @self: a pool
 *
 * Gets [property@WorkerPool:launcher].
 *
 * Returns: (transfer none) (nullable): the launcher
 *
 * Since: 1.0
 */
WpLauncher *
wp_worker_pool_get_launcher (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return self->launcher;
}

/**
 * wp_worker_pool_set_launcher: (attributes org.gtk.Method.set_property=launcher)
 * @self: a pool
 * @launcher: (nullable): what starts the workers, or %NULL
 *
 * Sets [property@WorkerPool:launcher]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_launcher (WpWorkerPool *self, WpLauncher *launcher)
{
  gboolean changed = FALSE;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (launcher == NULL || WP_IS_LAUNCHER (launcher));

  g_mutex_lock (&self->lock);
  if (can_change (self, "launcher"))
    changed = g_set_object (&self->launcher, launcher);
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LAUNCHER]);
}

static void
get_counts (WpWorkerPool *self, guint *n_workers, guint *n_busy, guint64 *n_queued)
{
  g_autoptr (WpEngine) engine = get_engine (self);

  *n_workers = 0;
  *n_busy = 0;
  *n_queued = 0;
  if (engine == NULL)
    return;

  wp_engine_lock (engine);
  wp_engine_get_counts (engine, n_workers, n_busy, n_queued);
  wp_engine_unlock (engine);
}

/**
 * wp_worker_pool_get_n_workers: (attributes org.gtk.Method.get_property=n-workers)
 * @self: a pool
 *
 * Counts the workers that have started and not ended.
 *
 * Returns: the number of workers
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_n_workers (WpWorkerPool *self)
{
  guint n_workers, n_busy;
  guint64 n_queued;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  get_counts (self, &n_workers, &n_busy, &n_queued);

  return n_workers;
}

/**
 * wp_worker_pool_get_n_busy: (attributes org.gtk.Method.get_property=n-busy)
 * @self: a pool
 *
 * Counts the workers that have tasks to run.
 *
 * Returns: the number of workers
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_n_busy (WpWorkerPool *self)
{
  guint n_workers, n_busy;
  guint64 n_queued;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  get_counts (self, &n_workers, &n_busy, &n_queued);

  return n_busy;
}

/**
 * wp_worker_pool_get_n_queued: (attributes org.gtk.Method.get_property=n-queued)
 * @self: a pool
 *
 * Counts the tasks that wait for a worker.
 *
 * Returns: the number of tasks
 *
 * Since: 1.0
 */
guint64
wp_worker_pool_get_n_queued (WpWorkerPool *self)
{
  guint n_workers, n_busy;
  guint64 n_queued;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  get_counts (self, &n_workers, &n_busy, &n_queued);

  return n_queued;
}

/**
 * wp_worker_pool_start:
 * @self: a pool
 * @error: return location for an error
 *
 * Starts the pool and all its workers now, so that the first task does not wait for them. It does not wait
 * until they have reported in. Calling it is never needed.
 *
 * Errors: %WP_ERROR_CLOSED, %WP_ERROR_NESTED, %WP_ERROR_START_FAILED, %G_IO_ERROR_NOT_SUPPORTED.
 *
 * Returns: %TRUE when the pool has been started
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_start (WpWorkerPool *self, GError **error)
{
  g_autoptr (WpEngine) engine = NULL;
  gboolean started;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  engine = ensure_engine (self, error);
  if (engine == NULL)
    return FALSE;

  wp_engine_lock (engine);
  started = wp_engine_start (engine, error);
  wp_engine_unlock (engine);

  return started;
}

/**
 * wp_worker_pool_apply:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @args: (nullable): its arguments; a floating reference is consumed; %NULL for the empty tuple
 * @options: (nullable): how to run it, or %NULL for the defaults
 * @cancellable: (nullable): cancels the task
 * @error: return location for an error
 *
 * Runs one task and waits for its result. It blocks the calling thread and iterates no main context.
 *
 * Errors: the function's own, with its domain and code; in %WP_ERROR what its worker or the pool did to
 * it: %WP_ERROR_WORKER_DIED, %WP_ERROR_START_FAILED, %WP_ERROR_PROTOCOL, %WP_ERROR_UNKNOWN_FUNCTION,
 * %WP_ERROR_INVALID_RESULT, %WP_ERROR_CLOSED after a join or terminate, %WP_ERROR_NESTED in a daemonic
 * worker; %G_IO_ERROR_INVALID_ARGUMENT, %G_IO_ERROR_CANCELLED, and %G_IO_ERROR_NOT_SUPPORTED for a start
 * method that is not there.
 *
 * Returns: (transfer full): the result, or %NULL with @error set
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_apply (WpWorkerPool  *self,
                      const char    *function,
                      GVariant      *args,
                      WpTaskOptions *options,
                      GCancellable  *cancellable,
                      GError       **error)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);
  g_return_val_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return run_job (self, function, check_args (function, args, error), options, FALSE, cancellable,
                  error);
}

/**
 * wp_worker_pool_apply_async:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @args: (nullable): its arguments; a floating reference is consumed; %NULL for the empty tuple
 * @options: (nullable): how to run it, or %NULL for the defaults
 * @cancellable: (nullable): cancels the task
 * @callback: (scope async): called in the caller's main context when the task has ended
 * @user_data: data for @callback
 *
 * Runs one task without blocking.
 *
 * Since: 1.0
 */
void
wp_worker_pool_apply_async (WpWorkerPool       *self,
                            const char         *function,
                            GVariant           *args,
                            WpTaskOptions      *options,
                            GCancellable       *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer            user_data)
{
  GError *error = NULL;
  WpItems *items;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  items = check_args (function, args, &error);
  begin_job (self, wp_worker_pool_apply_async, function, items, error, options, cancellable, callback,
             user_data);
}

/**
 * wp_worker_pool_apply_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@WorkerPool.apply_async]. The errors are those of [method@WorkerPool.apply].
 *
 * Returns: (transfer full): the result, or %NULL with @error set
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_apply_finish (WpWorkerPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, wp_worker_pool_apply_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * wp_worker_pool_map:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @items: an array, one element for each task; a floating reference is consumed
 * @options: (nullable): how to run them, or %NULL for the defaults
 * @cancellable: (nullable): cancels the tasks
 * @error: return location for an error
 *
 * Runs a function once for each element of an array and waits for the results. It blocks the calling thread
 * and iterates no main context. The elements of an array of variants (`av`) are given to the function
 * unboxed. Any number of maps may run at once.
 *
 * With [enum@OnError] `stop` the first task that fails ends the map with its error. With `continue` every task
 * is run, and a failed one stands in the results as a variant that holds nothing, of type `mv`; its error
 * goes to [signal@WorkerPool::task-failed].
 *
 * Errors: the function's own, with its domain and code; in %WP_ERROR what its worker or the pool did to
 * it: %WP_ERROR_WORKER_DIED, %WP_ERROR_START_FAILED, %WP_ERROR_PROTOCOL, %WP_ERROR_UNKNOWN_FUNCTION,
 * %WP_ERROR_INVALID_RESULT, %WP_ERROR_CLOSED after a join or terminate, %WP_ERROR_NESTED in a daemonic
 * worker; %G_IO_ERROR_INVALID_ARGUMENT, %G_IO_ERROR_CANCELLED, and %G_IO_ERROR_NOT_SUPPORTED for a start
 * method that is not there.
 *
 * Returns: (transfer full): the results, an array of variants (`av`) in the order of @items, or %NULL with
 *   @error set
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_map (WpWorkerPool  *self,
                    const char    *function,
                    GVariant      *items,
                    WpTaskOptions *options,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);
  g_return_val_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return run_job (self, function, check_items (function, items, error), options, TRUE, cancellable,
                  error);
}

/**
 * wp_worker_pool_map_async:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @items: an array, one element for each task; a floating reference is consumed
 * @options: (nullable): how to run them, or %NULL for the defaults
 * @cancellable: (nullable): cancels the tasks
 * @callback: (scope async): called in the caller's main context when all tasks have ended
 * @user_data: data for @callback
 *
 * Runs a function once for each element of an array without blocking; see [method@WorkerPool.map].
 *
 * Since: 1.0
 */
void
wp_worker_pool_map_async (WpWorkerPool       *self,
                          const char         *function,
                          GVariant           *items,
                          WpTaskOptions      *options,
                          GCancellable       *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer            user_data)
{
  GError *error = NULL;
  WpItems *checked;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  checked = check_items (function, items, &error);
  begin_job (self, wp_worker_pool_map_async, function, checked, error, options, cancellable, callback,
             user_data);
}

/**
 * wp_worker_pool_map_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@WorkerPool.map_async]. The errors are those of [method@WorkerPool.map].
 *
 * Returns: (transfer full): the results, an array of variants (`av`) in the order of the items, or %NULL with
 *   @error set
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_map_finish (WpWorkerPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, wp_worker_pool_map_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * wp_worker_pool_start_batch:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @options: (nullable): how to run the tasks, or %NULL for the defaults
 * @error: return location for an error
 *
 * Starts a map whose items are pushed one by one and whose results come back meanwhile.
 *
 * Errors: %WP_ERROR_CLOSED, %WP_ERROR_NESTED, %WP_ERROR_START_FAILED, %G_IO_ERROR_INVALID_ARGUMENT,
 * %G_IO_ERROR_NOT_SUPPORTED.
 *
 * Returns: (transfer full): a new batch, which keeps the pool alive, or %NULL with @error set
 *
 * Since: 1.0
 */
WpBatch *
wp_worker_pool_start_batch (WpWorkerPool  *self,
                            const char    *function,
                            WpTaskOptions *options,
                            GError       **error)
{
  g_autoptr (WpEngine) engine = NULL;
  g_autoptr (WpJob) job = NULL;
  gboolean submitted;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);
  g_return_val_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!check_function (function, error))
    return NULL;

  engine = ensure_engine (self, error);
  if (engine == NULL)
    return NULL;

  job = wp_job_new (engine, function, options, wp_items_new ());

  wp_engine_lock (engine);
  submitted = wp_engine_submit (engine, job, FALSE, error);
  wp_engine_unlock (engine);

  return submitted ? wp_batch_new (G_OBJECT (self), g_steal_pointer (&job)) : NULL;
}

/**
 * wp_worker_pool_list_functions:
 * @self: a pool
 * @module: (nullable): the path of a module, or %NULL for what the host itself has registered
 * @cancellable: (nullable): cancels the question
 * @error: return location for an error
 *
 * Asks a worker which functions its host offers, and waits for the answer. The errors are those of
 * [method@WorkerPool.apply].
 *
 * Returns: (transfer full) (array zero-terminated=1): the names, sorted, or %NULL with @error set
 *
 * Since: 1.0
 */
char **
wp_worker_pool_list_functions (WpWorkerPool *self,
                               const char   *module,
                               GCancellable *cancellable,
                               GError      **error)
{
  g_autoptr (GVariant) names = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  names = wp_worker_pool_apply (self, FUNCTION_LIST, g_variant_new ("(s)", module != NULL ? module : ""),
                                NULL, cancellable, error);
  if (names == NULL)
    return NULL;

  if (!g_variant_is_of_type (names, G_VARIANT_TYPE_STRING_ARRAY))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL, "the host answered with “%s” instead of names",
                   g_variant_get_type_string (names));
      return NULL;
    }

  return g_variant_dup_strv (names, NULL);
}

/**
 * wp_worker_pool_stop_and_join:
 * @self: a pool
 * @cancellable: (nullable): ends the wait; the pool goes on stopping
 * @error: return location for an error
 *
 * Closes every batch, lets all tasks end, stops the workers and waits until they and the pool's thread are
 * gone. Results that nobody has taken yet do not hold it up, and can be taken afterwards. The pool takes no
 * more tasks from then on. Joining again, from any thread and also after [method@WorkerPool.terminate],
 * waits for the same end.
 *
 * It blocks the calling thread and iterates no main context.
 *
 * Errors: %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE when nothing of the pool is left
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_stop_and_join (WpWorkerPool *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (WpEngine) engine = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  engine = get_engine_to_end (self, POOL_JOINED);
  if (engine == NULL)
    return TRUE;

  if (wp_engine_is_current_thread (engine))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                           "a launcher cannot wait for the end of its own pool");
      return FALSE;
    }

  wp_engine_lock (engine);
  wp_engine_drain (engine);
  wp_engine_unlock (engine);

  return wp_engine_wait_stopped (engine, cancellable, error);
}

/* A join on its way; whoever comes first, the end or a cancellation, answers it. */
typedef struct
{
  gatomicrefcount ref_count;
  GTask *task;
  WpEngine *engine;
  WpDelivery *delivery;
  gulong handler;
  int answered;
} Join;

static void
join_unref (Join *join)
{
  if (!g_atomic_ref_count_dec (&join->ref_count))
    return;

  g_object_unref (join->task);
  g_clear_pointer (&join->engine, wp_engine_unref);
  wp_delivery_unref (join->delivery);
  g_free (join);
}

static void
return_join (gpointer data)
{
  Join *join = data;
  GCancellable *cancellable = g_task_get_cancellable (join->task);
  GError *error = NULL;

  g_cancellable_disconnect (cancellable, join->handler);

  /* At the end of the pool the thread is about to return, so that this does not wait. */
  if (wp_engine_wait_stopped (join->engine, cancellable, &error))
    g_task_return_boolean (join->task, TRUE);
  else
    g_task_return_error (join->task, error);
  join_unref (join);
}

static void
answer_join (Join *join)
{
  if (!g_atomic_int_compare_and_exchange (&join->answered, FALSE, TRUE))
    return;

  g_atomic_ref_count_inc (&join->ref_count);
  wp_delivery_post (join->delivery, return_join, join);
}

static void
on_join_cancelled (GCancellable *cancellable, gpointer user_data)
{
  answer_join (user_data);
}

static void
on_stopped (gpointer data, gpointer unused)
{
  answer_join (data);
  join_unref (data);
}

/**
 * wp_worker_pool_stop_and_join_async:
 * @self: a pool
 * @cancellable: (nullable): ends the wait; the pool goes on stopping
 * @callback: (scope async): called in the caller's main context when nothing of the pool is left
 * @user_data: data for @callback
 *
 * The same as [method@WorkerPool.stop_and_join], without blocking.
 *
 * Since: 1.0
 */
void
wp_worker_pool_stop_and_join_async (WpWorkerPool       *self,
                                    GCancellable       *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer            user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (WpEngine) engine = NULL;
  Join *join;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_worker_pool_stop_and_join_async);

  engine = get_engine_to_end (self, POOL_JOINED);
  if (engine == NULL)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }

  join = g_new0 (Join, 1);
  g_atomic_ref_count_init (&join->ref_count);
  join->task = g_object_ref (task);
  join->engine = wp_engine_ref (engine);
  join->delivery = get_delivery (self, g_task_get_context (task));
  g_atomic_ref_count_inc (&join->ref_count);
  if (cancellable != NULL)
    join->handler =
        g_cancellable_connect (cancellable, G_CALLBACK (on_join_cancelled), join, NULL);

  wp_engine_lock (engine);
  wp_engine_drain (engine);
  wp_engine_unlock (engine);
  wp_engine_call_stopped (engine, on_stopped, join);
  join_unref (join);
}

/**
 * wp_worker_pool_stop_and_join_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@WorkerPool.stop_and_join_async]. The errors are those of
 * [method@WorkerPool.stop_and_join].
 *
 * Returns: %TRUE when nothing of the pool is left
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_stop_and_join_finish (WpWorkerPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, wp_worker_pool_stop_and_join_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * wp_worker_pool_join:
 * @self: a pool
 * @cancellable: (nullable): ends the wait; the pool goes on stopping
 * @error: return location for an error
 *
 * Another name of [method@WorkerPool.stop_and_join].
 *
 * Returns: %TRUE when nothing of the pool is left
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_join (WpWorkerPool *self, GCancellable *cancellable, GError **error)
{
  return wp_worker_pool_stop_and_join (self, cancellable, error);
}

/**
 * wp_worker_pool_terminate:
 * @self: a pool
 *
 * Kills the workers with SIGKILL, also busy ones. Every task that has not ended ends with
 * %G_IO_ERROR_CANCELLED. It does not wait: [method@WorkerPool.stop_and_join] afterwards does. The pool takes
 * no more tasks. Terminating it again does nothing.
 *
 * Since: 1.0
 */
void
wp_worker_pool_terminate (WpWorkerPool *self)
{
  g_autoptr (WpEngine) engine = NULL;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  engine = get_engine_to_end (self, POOL_TERMINATED);
  if (engine == NULL)
    return;

  wp_engine_lock (engine);
  wp_engine_terminate (engine);
  wp_engine_unlock (engine);
}
