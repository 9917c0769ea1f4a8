/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool.h"

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-process.h"
#include "launch/wp-fork-launcher.h"
#include "launch/wp-forkserver-launcher.h"
#include "launch/wp-host.h"
#include "launch/wp-spawn-launcher.h"
#include "launch/wp-thread-launcher.h"
#include "pool/wp-arguments.h"
#include "pool/wp-batch-private.h"
#include "pool/wp-call.h"
#include "pool/wp-cpu-count.h"
#include "pool/wp-delivery.h"
#include "pool/wp-join.h"
#include "pool/wp-pool-signals.h"

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
 * task that it ran, `WP_ERROR_WORKER_DIED`, or nothing when [property@TaskOptions:max-retries] lets that task run
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
/* Far beyond any host's start on a loaded machine, yet an end to one that never answers, which is tried five times. */
#define DEFAULT_START_TIMEOUT 10000
/* Enough to finish a file or to roll back; short for somebody who has pressed Cancel. */
#define DEFAULT_GRACE_PERIOD 500

typedef enum
{
  POOL_OPEN,
  POOL_JOINED,
  POOL_TERMINATED,
  POOL_INHERITED, /* by a copy of the process that made it */
} PoolEnd;

struct _WpWorkerPool
{
  GObject parent_instance;

  WpDelivery *delivery; /* to the context in which the pool was made */
  WpPoolSignals *signals;
  guint generation; /* of the process that made it */

  GMutex lock;
  guint n_jobs;
  gboolean daemon;
  WpStartMethod start_method;
  gboolean keep_alive;
  char **host;
  char **preload;
  char *preload_function;
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
  PROP_PRELOAD,
  PROP_PRELOAD_FUNCTION,
  PROP_LAUNCHER,
  PROP_START_TIMEOUT,
  PROP_GRACE_PERIOD,
  PROP_N_WORKERS,
  PROP_N_BUSY,
  PROP_N_QUEUED,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

/* A copy of the process that made the pool has a copy of it: one without workers and without a thread, that may have been
 * in the middle of a change. Here it becomes one that has ended, and what it had is never touched. */
static void
settle_copy (WpWorkerPool *self)
{
  const guint generation = wp_process_get_generation ();

  if (G_LIKELY (self->generation == generation))
    return;

  self->generation = generation;
  g_mutex_init (&self->lock);
  self->engine = NULL;
  self->end = POOL_INHERITED;
  self->signals = NULL;
  self->delivery = wp_delivery_new (NULL);
}

static GMutexLocker *
lock_pool (WpWorkerPool *self)
{
  settle_copy (self);

  return g_mutex_locker_new (&self->lock);
}

/* Starting */

static WpLauncher *
make_launcher (WpWorkerPool *self, GError **error)
{
  g_auto (GStrv) argv = NULL;

  if (self->launcher != NULL)
    return g_object_ref (self->launcher);

  if (self->host != NULL && (self->start_method == WP_START_METHOD_FORK || self->start_method == WP_START_METHOD_THREADING))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "the start method “%s” runs this program's own functions and cannot start the host “%s”; use "
                   "“spawn” or “forkserver”, or set no host",
                   self->start_method == WP_START_METHOD_FORK ? "fork" : "threading", self->host[0]);
      return NULL;
    }

  if (self->start_method == WP_START_METHOD_FORK)
    return wp_fork_launcher_new ();
  if (self->start_method == WP_START_METHOD_THREADING)
    return wp_thread_launcher_new ();

  argv = self->host != NULL ? g_strdupv (self->host) : wp_host_get_default_argv (error);
  if (argv == NULL)
    return NULL;

  if (self->start_method == WP_START_METHOD_FORKSERVER)
    return wp_forkserver_launcher_new ((const char *const *) argv, (const char *const *) self->preload,
                                       self->preload_function);

  return wp_spawn_launcher_new ((const char *const *) argv, WP_TRANSPORT_SOCKET);
}

/* Under the pool's lock. */
static WpEngine *
make_engine (WpWorkerPool *self, GError **error)
{
  g_autoptr (WpLauncher) launcher = NULL;
  WpEngineConfig config = { 0 };

  if (self->end == POOL_INHERITED)
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                           "the pool belongs to the process that this one was forked from, and cannot be used here; "
                           "make a new one");
      return NULL;
    }

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
  config.settings.daemon = self->daemon;
  config.settings.depth = wp_process_get_depth ();
  config.keep_alive = self->keep_alive;
  config.start_timeout = self->start_timeout;
  config.grace_period = self->grace_period;
  config.launcher = launcher;

  return wp_engine_new (&config, &wp_pool_signals_observer, self->signals);
}

static WpEngine *
ensure_engine (WpWorkerPool *self, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = lock_pool (self);

  if (self->engine == NULL)
    self->engine = make_engine (self, error);

  return self->engine != NULL ? wp_engine_ref (self->engine) : NULL;
}

/* (nullable) */
static WpEngine *
get_engine (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = lock_pool (self);

  return self->engine != NULL ? wp_engine_ref (self->engine) : NULL;
}

/* Ends a pool that never started; NULL then. */
static WpEngine *
get_engine_to_end (WpWorkerPool *self, PoolEnd end)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = lock_pool (self);

  if (self->engine != NULL)
    return wp_engine_ref (self->engine);

  if (self->end == POOL_OPEN)
    self->end = end;

  return NULL;
}

/* Calls */

static WpDelivery *
get_delivery (WpWorkerPool *self, GMainContext *context)
{
  if (context == wp_delivery_get_context (self->delivery))
    return wp_delivery_ref (self->delivery);

  return wp_delivery_new (context);
}

/* Takes the items, which may be NULL with an error set. */
static GVariant *
run_call (WpWorkerPool  *self,
          const char    *function,
          WpItems       *items,
          WpTaskOptions *options,
          gboolean       is_map,
          GCancellable  *cancellable,
          GError       **error)
{
  g_autoptr (WpEngine) engine = NULL;

  /* A call that was cancelled before it began leaves the pool as it was. */
  if (items != NULL && !g_cancellable_set_error_if_cancelled (cancellable, error))
    engine = ensure_engine (self, error);
  if (engine == NULL)
    {
      g_clear_pointer (&items, wp_items_free);
      return NULL;
    }

  return wp_call_run (engine, function, items, options, is_map, cancellable, error);
}

/* Takes the items, or the error of invalid ones. */
static void
begin_call (WpWorkerPool  *self,
            GTask         *task,
            const char    *function,
            WpItems       *items,
            GError        *invalid,
            WpTaskOptions *options,
            gboolean       is_map)
{
  g_autoptr (WpEngine) engine = NULL;
  g_autoptr (WpDelivery) delivery = NULL;
  g_autoptr (GError) error = invalid;

  if (error == NULL &&
      !g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error))
    engine = ensure_engine (self, &error);
  if (engine == NULL)
    {
      g_clear_pointer (&items, wp_items_free);
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  delivery = get_delivery (self, g_task_get_context (task));
  wp_call_begin (engine, task, delivery, function, items, options, is_map);
}

/* The object */

/* Settings are read when the pool starts. TRUE: this one may be changed, and the pool is locked until
 * end_change (). */
static gboolean
begin_change (WpWorkerPool *self, guint property)
{
  settle_copy (self);
  g_mutex_lock (&self->lock);
  if (self->engine == NULL)
    return TRUE;

  g_mutex_unlock (&self->lock);
  g_warning ("WpWorkerPool:%s cannot be changed once the pool has started; set it before the first "
             "task, or make another pool", properties[property]->name);
  return FALSE;
}

static void
end_change (WpWorkerPool *self, guint property, gboolean changed)
{
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[property]);
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
    case PROP_PRELOAD:
      g_value_set_boxed (value, wp_worker_pool_get_preload (self));
      break;
    case PROP_PRELOAD_FUNCTION:
      g_value_set_string (value, wp_worker_pool_get_preload_function (self));
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
    case PROP_PRELOAD:
      wp_worker_pool_set_preload (self, g_value_get_boxed (value));
      break;
    case PROP_PRELOAD_FUNCTION:
      wp_worker_pool_set_preload_function (self, g_value_get_string (value));
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
  g_clear_pointer (&self->preload, g_strfreev);
  g_clear_pointer (&self->preload_function, g_free);
  g_clear_object (&self->launcher);
  g_clear_pointer (&self->signals, wp_pool_signals_free);
  g_clear_pointer (&self->delivery, wp_delivery_unref);
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
   * way, and may not have pools of their own.
   *
   * With `FALSE` pools nest, to any depth and with any pairing of start methods. exit () then joins the pool, so that
   * tasks run to their end; when the owner ends in any other way, the workers end their own pools and themselves.
   *
   * Since: 1.0
   */
  properties[PROP_DAEMON] =
      g_param_spec_boolean ("daemon", NULL, NULL, TRUE, writable);
  /**
   * WpWorkerPool:start-method: (attributes org.gtk.Property.get=wp_worker_pool_get_start_method org.gtk.Property.set=wp_worker_pool_set_start_method)
   *
   * How workers come to life; [enum@StartMethod] says what each way is good for. `WP_START_METHOD_FORK` and
   * `WP_START_METHOD_THREADING` run functions of this program: with a [property@WorkerPool:host] such a pool cannot
   * start and says so with `G_IO_ERROR_NOT_SUPPORTED`. The property has no effect beside a
   * [property@WorkerPool:launcher].
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
   * The program that the workers run, with its arguments; `NULL`, the default, for this program if it has
   * registered functions, else for the generic host. The program is looked up as by execvp().
   *
   * Since: 1.0
   */
  properties[PROP_HOST] =
      g_param_spec_boxed ("host", NULL, NULL, G_TYPE_STRV, writable);
  /**
   * WpWorkerPool:preload: (attributes org.gtk.Property.get=wp_worker_pool_get_preload org.gtk.Property.set=wp_worker_pool_set_preload)
   *
   * The modules that a fork server loads before it makes the first worker, each named by the absolute path of its
   * file; `NULL`, the default, for none. The workers have them loaded when they start, and share the memory of what
   * they hold until one of them changes it.
   *
   * Only the start method `WP_START_METHOD_FORKSERVER` uses this; beside another one it has no effect. A module that
   * cannot be loaded fails the start of each worker with `WP_ERROR_START_FAILED`.
   *
   * Since: 1.0
   */
  properties[PROP_PRELOAD] =
      g_param_spec_boxed ("preload", NULL, NULL, G_TYPE_STRV, writable);
  /**
   * WpWorkerPool:preload-function: (attributes org.gtk.Property.get=wp_worker_pool_get_preload_function org.gtk.Property.set=wp_worker_pool_set_preload_function)
   *
   * A function that a fork server calls once, after it has loaded the modules of [property@WorkerPool:preload] and
   * before it makes the first worker; `NULL`, the default, for none. It is named as the function of a task is, gets
   * the arguments `()`, and its value is dropped. The workers start with what it has left in memory; they inherit
   * neither threads nor open files, so it should leave none. The first workers wait for it, so that
   * [property@WorkerPool:start-timeout] has to leave room for it and for the modules.
   *
   * Only the start method `WP_START_METHOD_FORKSERVER` uses this; beside another one it has no effect. When the
   * function fails, or is not known, each start of a worker fails with `WP_ERROR_START_FAILED`.
   *
   * Since: 1.0
   */
  properties[PROP_PRELOAD_FUNCTION] =
      g_param_spec_string ("preload-function", NULL, NULL, NULL, writable);
  /**
   * WpWorkerPool:launcher: (attributes org.gtk.Property.get=wp_worker_pool_get_launcher org.gtk.Property.set=wp_worker_pool_set_launcher)
   *
   * What starts the workers, instead of what [property@WorkerPool:start-method] and
   * [property@WorkerPool:host] stand for; `NULL`, the default, for those.
   *
   * Since: 1.0
   */
  properties[PROP_LAUNCHER] =
      g_param_spec_object ("launcher", NULL, NULL, WP_TYPE_LAUNCHER, writable);
  /**
   * WpWorkerPool:start-timeout: (attributes org.gtk.Property.get=wp_worker_pool_get_start_timeout org.gtk.Property.set=wp_worker_pool_set_start_timeout)
   *
   * How long a worker may take to report in, in milliseconds; then it is killed, and the start counts as
   * failed. The default is 10 seconds.
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
  wp_pool_signals_install (object_class);
}

static void
wp_worker_pool_init (WpWorkerPool *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  self->delivery = wp_delivery_new (context);
  self->signals = wp_pool_signals_new (G_OBJECT (self), self->delivery);
  g_mutex_init (&self->lock);
  self->generation = wp_process_get_generation ();
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
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (n_jobs <= MAX_N_JOBS);

  if (n_jobs == 0)
    n_jobs = wp_cpu_count ();

  if (!begin_change (self, PROP_N_JOBS))
    return;

  changed = self->n_jobs != n_jobs;
  self->n_jobs = n_jobs;
  end_change (self, PROP_N_JOBS, changed);
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
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  daemon = !!daemon;

  if (!begin_change (self, PROP_DAEMON))
    return;

  changed = self->daemon != daemon;
  self->daemon = daemon;
  end_change (self, PROP_DAEMON, changed);
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
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (start_method >= WP_START_METHOD_SPAWN && start_method <= WP_START_METHOD_THREADING);

  if (!begin_change (self, PROP_START_METHOD))
    return;

  changed = self->start_method != start_method;
  self->start_method = start_method;
  end_change (self, PROP_START_METHOD, changed);
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
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  keep_alive = !!keep_alive;

  if (!begin_change (self, PROP_KEEP_ALIVE))
    return;

  changed = self->keep_alive != keep_alive;
  self->keep_alive = keep_alive;
  end_change (self, PROP_KEEP_ALIVE, changed);
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
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (milliseconds > 0);

  if (!begin_change (self, PROP_START_TIMEOUT))
    return;

  changed = self->start_timeout != milliseconds;
  self->start_timeout = milliseconds;
  end_change (self, PROP_START_TIMEOUT, changed);
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
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  if (!begin_change (self, PROP_GRACE_PERIOD))
    return;

  changed = self->grace_period != milliseconds;
  self->grace_period = milliseconds;
  end_change (self, PROP_GRACE_PERIOD, changed);
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
 * @host: (nullable) (array zero-terminated=1): the program and its arguments, at least one string; or `NULL`
 *
 * Sets [property@WorkerPool:host]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_host (WpWorkerPool *self, const char *const *host)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (host == NULL || host[0] != NULL);

  if (!begin_change (self, PROP_HOST))
    return;

  g_strfreev (self->host);
  self->host = g_strdupv ((char **) host);
  end_change (self, PROP_HOST, TRUE);
}

/**
 * wp_worker_pool_get_preload: (attributes org.gtk.Method.get_property=preload)
 * @self: a pool
 *
 * Gets [property@WorkerPool:preload].
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): the paths of the modules
 *
 * Since: 1.0
 */
const char *const *
wp_worker_pool_get_preload (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return (const char *const *) self->preload;
}

/**
 * wp_worker_pool_set_preload: (attributes org.gtk.Method.set_property=preload)
 * @self: a pool
 * @preload: (nullable) (array zero-terminated=1): the absolute paths of modules, or `NULL`
 *
 * Sets [property@WorkerPool:preload]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_preload (WpWorkerPool *self, const char *const *preload)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  if (!begin_change (self, PROP_PRELOAD))
    return;

  g_strfreev (self->preload);
  self->preload = g_strdupv ((char **) preload);
  end_change (self, PROP_PRELOAD, TRUE);
}

/**
 * wp_worker_pool_get_preload_function: (attributes org.gtk.Method.get_property=preload-function)
 * @self: a pool
 *
 * Gets [property@WorkerPool:preload-function].
 *
 * Returns: (transfer none) (nullable): the name of the function
 *
 * Since: 1.0
 */
const char *
wp_worker_pool_get_preload_function (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return self->preload_function;
}

/**
 * wp_worker_pool_set_preload_function: (attributes org.gtk.Method.set_property=preload-function)
 * @self: a pool
 * @function: (nullable): the name of a function that the host knows, or `NULL`
 *
 * Sets [property@WorkerPool:preload-function]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_preload_function (WpWorkerPool *self, const char *function)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  if (!begin_change (self, PROP_PRELOAD_FUNCTION))
    return;

  changed = g_strcmp0 (self->preload_function, function) != 0;
  if (changed)
    {
      g_free (self->preload_function);
      self->preload_function = g_strdup (function);
    }
  end_change (self, PROP_PRELOAD_FUNCTION, changed);
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
 * @launcher: (nullable): what starts the workers, or `NULL`
 *
 * Sets [property@WorkerPool:launcher]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_launcher (WpWorkerPool *self, WpLauncher *launcher)
{
  /* Dropped without the lock: its finaliser is the caller's code. */
  g_autoptr (WpLauncher) replaced = NULL;
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (launcher == NULL || WP_IS_LAUNCHER (launcher));

  if (!begin_change (self, PROP_LAUNCHER))
    return;

  changed = self->launcher != launcher;
  if (changed)
    {
      replaced = self->launcher;
      self->launcher = launcher != NULL ? g_object_ref (launcher) : NULL;
    }
  end_change (self, PROP_LAUNCHER, changed);
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
 * Errors: `WP_ERROR_CLOSED`, `WP_ERROR_NESTED`, `WP_ERROR_START_FAILED`, `G_IO_ERROR_NOT_SUPPORTED`.
 *
 * Returns: `TRUE` when the pool has been started
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
 * @args: (nullable): its arguments; a floating reference is consumed; `NULL` for the empty tuple
 * @options: (nullable): how to run it, or `NULL` for the defaults
 * @cancellable: (nullable): cancels the task
 * @error: return location for an error
 *
 * Runs one task and waits for its result. It blocks the calling thread and iterates no main context.
 *
 * Errors: the function's own, with its domain and code; in `WP_ERROR` what its worker or the pool did to
 * it: `WP_ERROR_WORKER_DIED`, `WP_ERROR_START_FAILED`, `WP_ERROR_PROTOCOL`, `WP_ERROR_UNKNOWN_FUNCTION`,
 * `WP_ERROR_INVALID_RESULT`, `WP_ERROR_CLOSED` after a join or terminate, `WP_ERROR_NESTED` in a daemonic
 * worker; `G_IO_ERROR_INVALID_ARGUMENT`, `G_IO_ERROR_CANCELLED`, and `G_IO_ERROR_NOT_SUPPORTED` for a start
 * method that cannot run the host.
 *
 * Returns: (transfer full): the result, or `NULL` with @error set
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

  return run_call (self, function, wp_arguments_to_item (function, args, error), options, FALSE,
                   cancellable, error);
}

/**
 * wp_worker_pool_apply_async:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @args: (nullable): its arguments; a floating reference is consumed; `NULL` for the empty tuple
 * @options: (nullable): how to run it, or `NULL` for the defaults
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
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;
  WpItems *items;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  items = wp_arguments_to_item (function, args, &error);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_worker_pool_apply_async);
  begin_call (self, task, function, items, error, options, FALSE);
}

/**
 * wp_worker_pool_apply_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@WorkerPool.apply_async]. The errors are those of [method@WorkerPool.apply].
 *
 * Returns: (transfer full): the result, or `NULL` with @error set
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
 * @options: (nullable): how to run them, or `NULL` for the defaults
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
 * Errors: the function's own, with its domain and code; in `WP_ERROR` what its worker or the pool did to
 * it: `WP_ERROR_WORKER_DIED`, `WP_ERROR_START_FAILED`, `WP_ERROR_PROTOCOL`, `WP_ERROR_UNKNOWN_FUNCTION`,
 * `WP_ERROR_INVALID_RESULT`, `WP_ERROR_CLOSED` after a join or terminate, `WP_ERROR_NESTED` in a daemonic
 * worker; `G_IO_ERROR_INVALID_ARGUMENT`, `G_IO_ERROR_CANCELLED`, and `G_IO_ERROR_NOT_SUPPORTED` for a start
 * method that cannot run the host.
 *
 * Returns: (transfer full): the results, an array of variants (`av`) in the order of @items, or `NULL` with
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

  return run_call (self, function, wp_arguments_to_items (function, items, error), options, TRUE,
                   cancellable, error);
}

/**
 * wp_worker_pool_map_async:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @items: an array, one element for each task; a floating reference is consumed
 * @options: (nullable): how to run them, or `NULL` for the defaults
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
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;
  WpItems *checked;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  checked = wp_arguments_to_items (function, items, &error);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_worker_pool_map_async);
  begin_call (self, task, function, checked, error, options, TRUE);
}

/**
 * wp_worker_pool_map_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@WorkerPool.map_async]. The errors are those of [method@WorkerPool.map].
 *
 * Returns: (transfer full): the results, an array of variants (`av`) in the order of the items, or `NULL` with
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
 * @options: (nullable): how to run the tasks, or `NULL` for the defaults
 * @error: return location for an error
 *
 * Starts a map whose items are pushed one by one and whose results come back meanwhile.
 *
 * Errors: `WP_ERROR_CLOSED`, `WP_ERROR_NESTED`, `WP_ERROR_START_FAILED`, `G_IO_ERROR_INVALID_ARGUMENT`,
 * `G_IO_ERROR_NOT_SUPPORTED`.
 *
 * Returns: (transfer full): a new batch, which keeps the pool alive, or `NULL` with @error set
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

  if (!wp_arguments_check_function (function, error))
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
 * @module: (nullable): the path of a module, or `NULL` for what the host itself has registered
 * @cancellable: (nullable): cancels the question
 * @error: return location for an error
 *
 * Asks a worker which functions its host offers, and waits for the answer. The errors are those of
 * [method@WorkerPool.apply].
 *
 * Returns: (transfer full) (array zero-terminated=1): the names, those of a host sorted and those of a module in its
 *   own order, ready to be called, or `NULL` with @error set
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
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (module != NULL && !g_utf8_validate (module, -1, NULL))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           "the path of the module is not valid UTF-8, as the names of functions are");
      return NULL;
    }

  names = wp_worker_pool_apply (self, WP_FUNCTION_LIST, g_variant_new ("(s)", module != NULL ? module : ""),
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
 * Errors: `G_IO_ERROR_CANCELLED`; `G_IO_ERROR_WOULD_BLOCK` in a task of this pool, when its workers are threads.
 *
 * Returns: `TRUE` when nothing of the pool is left
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

  if (!wp_engine_may_wait (engine, "the end", error))
    return FALSE;

  wp_engine_lock (engine);
  wp_engine_drain (engine);
  wp_engine_unlock (engine);

  return wp_engine_wait_stopped (engine, cancellable, error);
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
  g_autoptr (WpDelivery) delivery = NULL;
  GError *error = NULL;

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

  /* Its main context is that of the engine's thread, which ends with the pool. */
  if (wp_engine_is_current_thread (engine))
    {
      wp_engine_may_wait (engine, "the end", &error);
      g_task_return_error (task, error);
      return;
    }

  delivery = get_delivery (self, g_task_get_context (task));
  wp_join_begin (engine, task, delivery);
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
 * Returns: `TRUE` when nothing of the pool is left
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
 * Returns: `TRUE` when nothing of the pool is left
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
 * `G_IO_ERROR_CANCELLED`. It does not wait: [method@WorkerPool.stop_and_join] afterwards does. The pool takes
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
