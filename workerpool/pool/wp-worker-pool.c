/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool-private.h"

#include "channel/wp-process.h"
#include "pool/wp-cpu-count.h"

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
 * kills them. After [method@WorkerPool.reset] a pool is as one that never started. Dropping the last reference terminates without waiting; tasks and batches in flight hold one.
 *
 * Since: 1.0
 */

/* Far beyond any host's start on a loaded machine, yet an end to one that never answers, which is tried five times. */
#define DEFAULT_START_TIMEOUT 10000
/* Enough to finish a file or to roll back; short for somebody who has pressed Cancel. */
#define DEFAULT_GRACE_PERIOD 500
/* A tenth of the memory: an owner that holds more than its worker and that much is still killed first. */
#define DEFAULT_OOM_SCORE_ADJ 100

G_DEFINE_FINAL_TYPE (WpWorkerPool, wp_worker_pool, G_TYPE_OBJECT)

enum
{
  PROP_N_JOBS = 1,
  PROP_DAEMON,
  PROP_START_METHOD,
  PROP_KEEP_ALIVE,
  PROP_ORDER_TASKS,
  PROP_HOST,
  PROP_PRELOAD,
  PROP_PRELOAD_FUNCTION,
  PROP_LAUNCHER,
  PROP_START_TIMEOUT,
  PROP_GRACE_PERIOD,
  PROP_NICE,
  PROP_IO_PRIORITY,
  PROP_OOM_SCORE_ADJ,
  PROP_CPU_IDS,
  PROP_ENABLE_INSIGHTS,
  PROP_INSIGHTS,
  PROP_SHARED_OBJECTS,
  PROP_SOFT_MEMORY_LIMIT,
  PROP_HARD_MEMORY_LIMIT,
  PROP_WORKER_INIT,
  PROP_WORKER_INIT_TIMEOUT,
  PROP_WORKER_EXIT,
  PROP_WORKER_EXIT_TIMEOUT,
  PROP_WORKER_LIFESPAN,
  PROP_IDLE_TIMEOUT,
  PROP_MIN_WORKERS,
  PROP_N_WORKERS,
  PROP_N_BUSY,
  PROP_N_QUEUED,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

void
wp_worker_pool_settle_copy (WpWorkerPool *self)
{
  const guint generation = wp_process_get_generation ();

  if (G_LIKELY (self->generation == generation))
    return;

  self->generation = generation;
  g_mutex_init (&self->lock);
  self->engine = NULL;
  self->ended = NULL;
  self->end = WP_POOL_INHERITED;
  self->signals = NULL;
  self->shared_objects = NULL;
  self->delivery = wp_delivery_new (NULL);
}

GMutexLocker *
wp_worker_pool_lock (WpWorkerPool *self)
{
  wp_worker_pool_settle_copy (self);

  return g_mutex_locker_new (&self->lock);
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
    case PROP_ORDER_TASKS:
      g_value_set_boolean (value, wp_worker_pool_get_order_tasks (self));
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
    case PROP_NICE:
      g_value_set_int (value, wp_worker_pool_get_nice (self));
      break;
    case PROP_IO_PRIORITY:
      g_value_set_enum (value, wp_worker_pool_get_io_priority (self));
      break;
    case PROP_OOM_SCORE_ADJ:
      g_value_set_int (value, wp_worker_pool_get_oom_score_adj (self));
      break;
    case PROP_CPU_IDS:
      g_value_set_variant (value, wp_worker_pool_get_cpu_ids (self));
      break;
    case PROP_ENABLE_INSIGHTS:
      g_value_set_boolean (value, wp_worker_pool_get_enable_insights (self));
      break;
    case PROP_INSIGHTS:
      g_value_take_variant (value, wp_worker_pool_get_insights (self));
      break;
    case PROP_SHARED_OBJECTS:
      g_value_take_variant (value, wp_worker_pool_get_shared_objects (self));
      break;
    case PROP_SOFT_MEMORY_LIMIT:
      g_value_set_uint64 (value, wp_worker_pool_get_soft_memory_limit (self));
      break;
    case PROP_HARD_MEMORY_LIMIT:
      g_value_set_uint64 (value, wp_worker_pool_get_hard_memory_limit (self));
      break;
    case PROP_WORKER_INIT:
      g_value_set_string (value, wp_worker_pool_get_worker_init (self));
      break;
    case PROP_WORKER_INIT_TIMEOUT:
      g_value_set_uint (value, wp_worker_pool_get_worker_init_timeout (self));
      break;
    case PROP_WORKER_EXIT:
      g_value_set_string (value, wp_worker_pool_get_worker_exit (self));
      break;
    case PROP_WORKER_EXIT_TIMEOUT:
      g_value_set_uint (value, wp_worker_pool_get_worker_exit_timeout (self));
      break;
    case PROP_WORKER_LIFESPAN:
      g_value_set_uint (value, wp_worker_pool_get_worker_lifespan (self));
      break;
    case PROP_IDLE_TIMEOUT:
      g_value_set_uint (value, wp_worker_pool_get_idle_timeout (self));
      break;
    case PROP_MIN_WORKERS:
      g_value_set_uint (value, wp_worker_pool_get_min_workers (self));
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
    case PROP_ORDER_TASKS:
      wp_worker_pool_set_order_tasks (self, g_value_get_boolean (value));
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
    case PROP_NICE:
      wp_worker_pool_set_nice (self, g_value_get_int (value));
      break;
    case PROP_IO_PRIORITY:
      wp_worker_pool_set_io_priority (self, g_value_get_enum (value));
      break;
    case PROP_OOM_SCORE_ADJ:
      wp_worker_pool_set_oom_score_adj (self, g_value_get_int (value));
      break;
    case PROP_CPU_IDS:
      wp_worker_pool_set_cpu_ids (self, g_value_get_variant (value));
      break;
    case PROP_ENABLE_INSIGHTS:
      wp_worker_pool_set_enable_insights (self, g_value_get_boolean (value));
      break;
    case PROP_SHARED_OBJECTS:
      wp_worker_pool_set_shared_objects (self, g_value_get_variant (value));
      break;
    case PROP_SOFT_MEMORY_LIMIT:
      wp_worker_pool_set_soft_memory_limit (self, g_value_get_uint64 (value));
      break;
    case PROP_HARD_MEMORY_LIMIT:
      wp_worker_pool_set_hard_memory_limit (self, g_value_get_uint64 (value));
      break;
    case PROP_WORKER_INIT:
      wp_worker_pool_set_worker_init (self, g_value_get_string (value));
      break;
    case PROP_WORKER_INIT_TIMEOUT:
      wp_worker_pool_set_worker_init_timeout (self, g_value_get_uint (value));
      break;
    case PROP_WORKER_EXIT:
      wp_worker_pool_set_worker_exit (self, g_value_get_string (value));
      break;
    case PROP_WORKER_EXIT_TIMEOUT:
      wp_worker_pool_set_worker_exit_timeout (self, g_value_get_uint (value));
      break;
    case PROP_WORKER_LIFESPAN:
      wp_worker_pool_set_worker_lifespan (self, g_value_get_uint (value));
      break;
    case PROP_IDLE_TIMEOUT:
      wp_worker_pool_set_idle_timeout (self, g_value_get_uint (value));
      break;
    case PROP_MIN_WORKERS:
      wp_worker_pool_set_min_workers (self, g_value_get_uint (value));
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
  g_autoptr (WpEngine) engine = wp_worker_pool_get_engine_to_end (self, WP_POOL_TERMINATED);

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
  g_clear_pointer (&self->ended, wp_engine_unref);
  g_clear_pointer (&self->host, g_strfreev);
  g_clear_pointer (&self->preload, g_strfreev);
  g_clear_pointer (&self->preload_function, g_free);
  g_clear_object (&self->launcher);
  g_clear_pointer (&self->worker_init, g_free);
  g_clear_pointer (&self->worker_exit, g_free);
  g_clear_pointer (&self->cpu_ids, g_variant_unref);
  g_clear_pointer (&self->shared_objects, wp_shared_objects_unref);
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
   * WpWorkerPool:n-jobs:
   *
   * The number of workers, at most 65535. Setting 0 stands for one per usable CPU, as [func@cpu_count]
   * counts them, which is also the default; the property then has that number. More workers than CPUs
   * are allowed.
   *
   * Since: 1.0
   */
  properties[PROP_N_JOBS] =
      g_param_spec_uint ("n-jobs", NULL, NULL, 0, WP_WORKER_POOL_MAX_N_JOBS, 0, writable);
  /**
   * WpWorkerPool:daemon:
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
   * WpWorkerPool:start-method:
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
   * WpWorkerPool:keep-alive:
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
   * WpWorkerPool:order-tasks:
   *
   * Whether tasks go to the workers in order: of each map and each batch, the worker 0 gets the first
   * chunk, worker 1 the second, and so on, beginning again with worker 0 after the last one. Each map
   * starts with worker 0, so that with [property@WorkerPool:keep-alive] the same items of the next map come
   * to the same workers. Applies take turns, each of them as one chunk.
   *
   * A chunk is then [property@TaskOptions:chunk-size] tasks, or as many as
   * [property@TaskOptions:n-splits] makes them, or without either such a part of the map that each worker
   * gets 64, and at least one; of a batch it is one task. A task stays with its worker whatever happens: it
   * waits for it while others have nothing to do, and when the worker dies it runs on the one that takes
   * its place, which has the same id.
   *
   * Since: 1.0
   */
  properties[PROP_ORDER_TASKS] =
      g_param_spec_boolean ("order-tasks", NULL, NULL, FALSE, writable);
  /**
   * WpWorkerPool:host:
   *
   * The program that the workers run, with its arguments; `NULL`, the default, for this program if it has
   * registered functions, else for the generic host. The program is looked up as by execvp().
   *
   * Since: 1.0
   */
  properties[PROP_HOST] =
      g_param_spec_boxed ("host", NULL, NULL, G_TYPE_STRV, writable);
  /**
   * WpWorkerPool:preload:
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
   * WpWorkerPool:preload-function:
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
   * WpWorkerPool:launcher:
   *
   * What starts the workers, instead of what [property@WorkerPool:start-method] and
   * [property@WorkerPool:host] stand for; `NULL`, the default, for those.
   *
   * Since: 1.0
   */
  properties[PROP_LAUNCHER] =
      g_param_spec_object ("launcher", NULL, NULL, WP_TYPE_LAUNCHER, writable);
  /**
   * WpWorkerPool:start-timeout:
   *
   * How long a worker may take to report in, in milliseconds; then it is killed, and the start counts as
   * failed. The default is 10 seconds.
   *
   * Since: 1.0
   */
  properties[PROP_START_TIMEOUT] =
      g_param_spec_uint ("start-timeout", NULL, NULL, 1, G_MAXUINT, DEFAULT_START_TIMEOUT, writable);
  /**
   * WpWorkerPool:grace-period:
   *
   * How long a cancelled task that runs may go on before its worker gets SIGTERM, and again before it
   * gets SIGKILL, in milliseconds. The default is 500.
   *
   * Since: 1.0
   */
  properties[PROP_GRACE_PERIOD] =
      g_param_spec_uint ("grace-period", NULL, NULL, 0, G_MAXUINT, DEFAULT_GRACE_PERIOD, writable);
  /**
   * WpWorkerPool:nice:
   *
   * What is added to the niceness of the workers, from -20 to 19, as by nice(2): higher numbers leave the
   * processors, and the disks, to others. 0, the default, leaves it as the owner has it. Below 0 it needs a
   * privilege; without it the worker logs a message and runs as it is.
   *
   * Since: 1.0
   */
  properties[PROP_NICE] =
      g_param_spec_int ("nice", NULL, NULL, -20, 19, 0, writable);
  /**
   * WpWorkerPool:io-priority:
   *
   * When the workers get to use the disks, as by ioprio_set(2). By default the kernel derives it from
   * [property@WorkerPool:nice], which leaves background work a share; with `WP_IO_PRIORITY_IDLE` it gets
   * none while somebody else uses the disk. It counts where the disk's I/O scheduler knows priorities,
   * as BFQ and mq-deadline do, and for what is not written behind by the page cache.
   *
   * Since: 1.0
   */
  properties[PROP_IO_PRIORITY] =
      g_param_spec_enum ("io-priority", NULL, NULL, WP_TYPE_IO_PRIORITY, WP_IO_PRIORITY_DEFAULT, writable);
  /**
   * WpWorkerPool:oom-score-adj:
   *
   * What is added to the workers' score by which the kernel chooses a process to kill when memory runs out,
   * from 0 to 1000, in thousandths of the machine's memory. The default of 100 has workers, which cost a task, die
   * before their owner. Workers that are threads have none of their own.
   *
   * Since: 1.0
   */
  properties[PROP_OOM_SCORE_ADJ] =
      g_param_spec_int ("oom-score-adj", NULL, NULL, 0, 1000, DEFAULT_OOM_SCORE_ADJ, writable);
  /**
   * WpWorkerPool:cpu-ids:
   *
   * The CPUs that the workers may use; `NULL`, the default, for those of their owner. An array that has one element
   * for all workers, or one for each: the number of a CPU, or an array of numbers. `[3]` holds all workers to
   * CPU 3, `[0, 1, 2, 3]` each of four to one of its own, and `[[0, 1]]` all to the first two. The numbers are
   * of the type `i`, `u` or `x`.
   *
   * It is checked when the pool starts, which fails with `G_IO_ERROR_INVALID_ARGUMENT` where numbers are out of
   * range or repeated, or not for the pool's number of workers.
   *
   * Since: 1.0
   */
  properties[PROP_CPU_IDS] =
      g_param_spec_variant ("cpu-ids", NULL, NULL, G_VARIANT_TYPE_ARRAY, NULL, writable);
  /**
   * WpWorkerPool:enable-insights:
   *
   * Whether each task's run is timed, `FALSE` by default. Then [property@WorkerPool:insights] tells what the workers
   * spend their time on, and [method@Result.get_start_time] and [method@Result.get_run_time] when each task of a batch
   * ran.
   *
   * Since: 1.0
   */
  properties[PROP_ENABLE_INSIGHTS] =
      g_param_spec_boolean ("enable-insights", NULL, NULL, FALSE, writable);
  /**
   * WpWorkerPool:insights:
   *
   * What the workers have spent their time on so far, as [method@WorkerPool.get_insights] describes it; `NULL` without
   * [property@WorkerPool:enable-insights]. It is notified when a call of the pool or a batch has ended.
   *
   * Since: 1.0
   */
  properties[PROP_INSIGHTS] =
      g_param_spec_variant ("insights", NULL, NULL, G_VARIANT_TYPE_VARDICT, NULL, readable);
  /**
   * WpWorkerPool:shared-objects:
   *
   * A value that every task can read with [method@TaskContext.get_shared_objects]; `NULL`, the default, for none. A
   * table, an index or a model belongs here rather than into the arguments of each task.
   *
   * It is in memory once, however many workers there are: a large value is written to sealed shared memory when the
   * first worker starts, which takes about half a second for a gigabyte, and each worker maps it. From then on the pool
   * holds only the mapping, so that the memory of the original is free when the caller drops it too. Workers that are
   * threads use the original. Where memory cannot be shared, over pipes or on a system that refuses it, each worker
   * gets a copy, of a gigabyte at the most.
   *
   * It is checked when the pool starts, which fails with `G_IO_ERROR_INVALID_ARGUMENT` where the value is not in normal
   * form or holds a file handle (`h`).
   *
   * Since: 1.0
   */
  properties[PROP_SHARED_OBJECTS] =
      g_param_spec_variant ("shared-objects", NULL, NULL, G_VARIANT_TYPE_ANY, NULL, writable);
  /**
   * WpWorkerPool:soft-memory-limit:
   *
   * How much memory a worker may have between two tasks, in bytes; 0, the default, for any amount. A worker that has
   * more when its task ends is replaced: it keeps the results that it has, gives back the tasks that it has not
   * started, and ends in order. This is for functions that leak, or libraries that give nothing back.
   *
   * What counts is the memory that is resident and its own, as `/proc/self/statm` has it: neither libraries nor
   * [property@WorkerPool:shared-objects], but under `WP_START_METHOD_FORK` what the owner had in memory. A worker looks
   * when it has nothing to do, and every 5 milliseconds when short tasks follow each other. Over pipes it runs the
   * tasks that it holds before it ends. With a limit below what a worker begins with each is replaced after a task.
   *
   * Workers that are threads have no memory of their own: with `WP_START_METHOD_THREADING` a pool that has a limit
   * cannot start and says so with `G_IO_ERROR_NOT_SUPPORTED`.
   *
   * Since: 1.0
   */
  properties[PROP_SOFT_MEMORY_LIMIT] =
      g_param_spec_uint64 ("soft-memory-limit", NULL, NULL, 0, G_MAXUINT64, 0, writable);
  /**
   * WpWorkerPool:hard-memory-limit:
   *
   * How much memory a worker may allocate, in bytes; 0, the default, for any amount. Beyond it the kernel refuses, so
   * that malloc () returns `NULL`. Most programs end then, as GLib does, and the task that ran fails with
   * `WP_ERROR_WORKER_DIED` and a message that names the limit. The programs that tasks start have the same limit, each
   * for itself.
   *
   * What counts is private memory that can be written, used or not (`RLIMIT_DATA`): neither libraries nor
   * [property@WorkerPool:shared-objects], but under `WP_START_METHOD_FORK` what the owner had allocated. A limit that
   * leaves a worker no room for its first task fails each start with `WP_ERROR_START_FAILED`.
   *
   * Workers that are threads have no memory of their own: with `WP_START_METHOD_THREADING` a pool that has a limit
   * cannot start and says so with `G_IO_ERROR_NOT_SUPPORTED`.
   *
   * Since: 1.0
   */
  properties[PROP_HARD_MEMORY_LIMIT] =
      g_param_spec_uint64 ("hard-memory-limit", NULL, NULL, 0, G_MAXUINT64, 0, writable);
  /**
   * WpWorkerPool:worker-init:
   *
   * The name of a function that each worker runs once, before its first task: it opens a connection or loads a model,
   * and keeps it with [method@TaskContext.set_worker_state]. It gets the empty tuple; what it returns is dropped.
   * `NULL`, the default, for none.
   *
   * A worker whose init function fails, or ends its process, does not come up and is tried again. After five such
   * workers in a row the tasks that wait fail with the error that the function returned, or with
   * `WP_ERROR_START_FAILED`.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_INIT] =
      g_param_spec_string ("worker-init", NULL, NULL, NULL, writable);
  /**
   * WpWorkerPool:worker-init-timeout:
   *
   * How long [property@WorkerPool:worker-init] may take, in milliseconds; then the worker is killed, and this counts as
   * a failure with `G_IO_ERROR_TIMED_OUT`. A worker that is a thread cannot be killed: its function sees
   * [method@TaskContext.is_cancelled]. 0, the default, for any time.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_INIT_TIMEOUT] =
      g_param_spec_uint ("worker-init-timeout", NULL, NULL, 0, G_MAXUINT, 0, writable);
  /**
   * WpWorkerPool:worker-exit:
   *
   * The name of a function that each worker runs once, after its last task, when it ends in order: with the map, by
   * [method@WorkerPool.stop_and_join], or because another worker takes its place. It gets the empty tuple; what it
   * returns is among [method@WorkerPool.get_exit_results]. Workers that die or are terminated do not run it. `NULL`,
   * the default, for none.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_EXIT] =
      g_param_spec_string ("worker-exit", NULL, NULL, NULL, writable);
  /**
   * WpWorkerPool:worker-exit-timeout:
   *
   * How long a worker may take to end, with [property@WorkerPool:worker-exit], in milliseconds; then it is killed, and
   * its exit function has failed with `G_IO_ERROR_TIMED_OUT`. 0, the default, for any time.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_EXIT_TIMEOUT] =
      g_param_spec_uint ("worker-exit-timeout", NULL, NULL, 0, G_MAXUINT, 0, writable);
  /**
   * WpWorkerPool:worker-lifespan:
   *
   * After how many tasks a worker ends and another takes its place, which bounds what functions that leak can cost.
   * Workers run exactly so many; while one is replaced the others go on. 0, the default, for any number.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_LIFESPAN] =
      g_param_spec_uint ("worker-lifespan", NULL, NULL, 0, G_MAXUINT, 0, writable);
  /**
   * WpWorkerPool:idle-timeout:
   *
   * How long a worker may have nothing to do, in milliseconds; then it ends, and is started again when there is work
   * for it. 0, the default, for any time.
   *
   * Since: 1.0
   */
  properties[PROP_IDLE_TIMEOUT] =
      g_param_spec_uint ("idle-timeout", NULL, NULL, 0, G_MAXUINT, 0, writable);
  /**
   * WpWorkerPool:min-workers:
   *
   * How many workers [property@WorkerPool:idle-timeout] leaves. The default is 0. The most workers that there are is
   * [property@WorkerPool:n-jobs].
   *
   * Since: 1.0
   */
  properties[PROP_MIN_WORKERS] =
      g_param_spec_uint ("min-workers", NULL, NULL, 0, G_MAXUINT, 0, writable);
  /**
   * WpWorkerPool:n-workers:
   *
   * The number of workers that have started and not ended.
   *
   * Since: 1.0
   */
  properties[PROP_N_WORKERS] =
      g_param_spec_uint ("n-workers", NULL, NULL, 0, G_MAXUINT, 0, readable);
  /**
   * WpWorkerPool:n-busy:
   *
   * The number of workers that have tasks to run. It changes with every chunk and is not notified.
   *
   * Since: 1.0
   */
  properties[PROP_N_BUSY] =
      g_param_spec_uint ("n-busy", NULL, NULL, 0, G_MAXUINT, 0, readable);
  /**
   * WpWorkerPool:n-queued:
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
  self->oom_score_adj = DEFAULT_OOM_SCORE_ADJ;
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
  g_return_val_if_fail (n_jobs <= WP_WORKER_POOL_MAX_N_JOBS, NULL);

  return g_object_new (WP_TYPE_WORKER_POOL, "n-jobs", n_jobs, NULL);
}
