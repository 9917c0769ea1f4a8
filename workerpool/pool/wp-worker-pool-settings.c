/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool-private.h"

#include "pool/wp-cpu-count.h"

gboolean
wp_worker_pool_begin_change (WpWorkerPool *self, const char *property)
{
  wp_worker_pool_settle_copy (self);
  g_mutex_lock (&self->lock);
  if (self->engine == NULL)
    return TRUE;

  g_mutex_unlock (&self->lock);
  g_warning ("WpWorkerPool:%s cannot be changed once the pool has started; set it before the first "
             "task, or make another pool", property);
  return FALSE;
}

void
wp_worker_pool_end_change (WpWorkerPool *self, const char *property, gboolean changed)
{
  g_mutex_unlock (&self->lock);

  if (changed)
    g_object_notify (G_OBJECT (self), property);
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
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

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
  g_return_if_fail (n_jobs <= WP_WORKER_POOL_MAX_N_JOBS);

  if (n_jobs == 0)
    n_jobs = wp_cpu_count ();

  if (!wp_worker_pool_begin_change (self, "n-jobs"))
    return;

  changed = self->n_jobs != n_jobs;
  self->n_jobs = n_jobs;
  wp_worker_pool_end_change (self, "n-jobs", changed);
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
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);

  locker = wp_worker_pool_lock (self);

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

  if (!wp_worker_pool_begin_change (self, "daemon"))
    return;

  changed = self->daemon != daemon;
  self->daemon = daemon;
  wp_worker_pool_end_change (self, "daemon", changed);
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
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), WP_START_METHOD_SPAWN);

  locker = wp_worker_pool_lock (self);

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

  if (!wp_worker_pool_begin_change (self, "start-method"))
    return;

  changed = self->start_method != start_method;
  self->start_method = start_method;
  wp_worker_pool_end_change (self, "start-method", changed);
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
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);

  locker = wp_worker_pool_lock (self);

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

  if (!wp_worker_pool_begin_change (self, "keep-alive"))
    return;

  changed = self->keep_alive != keep_alive;
  self->keep_alive = keep_alive;
  wp_worker_pool_end_change (self, "keep-alive", changed);
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
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

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

  if (!wp_worker_pool_begin_change (self, "start-timeout"))
    return;

  changed = self->start_timeout != milliseconds;
  self->start_timeout = milliseconds;
  wp_worker_pool_end_change (self, "start-timeout", changed);
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
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

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

  if (!wp_worker_pool_begin_change (self, "grace-period"))
    return;

  changed = self->grace_period != milliseconds;
  self->grace_period = milliseconds;
  wp_worker_pool_end_change (self, "grace-period", changed);
}

/**
 * wp_worker_pool_get_nice: (attributes org.gtk.Method.get_property=nice)
 * @self: a pool
 *
 * Gets [property@WorkerPool:nice].
 *
 * Returns: what is added to the niceness, from -20 to 19
 *
 * Since: 1.0
 */
int
wp_worker_pool_get_nice (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

  return self->nice;
}

/**
 * wp_worker_pool_set_nice: (attributes org.gtk.Method.set_property=nice)
 * @self: a pool
 * @nice: what is added to the niceness, from -20 to 19
 *
 * Sets [property@WorkerPool:nice]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_nice (WpWorkerPool *self, int nice)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (nice >= -20 && nice <= 19);

  if (!wp_worker_pool_begin_change (self, "nice"))
    return;

  changed = self->nice != nice;
  self->nice = nice;
  wp_worker_pool_end_change (self, "nice", changed);
}

/**
 * wp_worker_pool_get_oom_score_adj: (attributes org.gtk.Method.get_property=oom-score-adj)
 * @self: a pool
 *
 * Gets [property@WorkerPool:oom-score-adj].
 *
 * Returns: what is added to the score, from 0 to 1000
 *
 * Since: 1.0
 */
int
wp_worker_pool_get_oom_score_adj (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

  return self->oom_score_adj;
}

/**
 * wp_worker_pool_set_oom_score_adj: (attributes org.gtk.Method.set_property=oom-score-adj)
 * @self: a pool
 * @oom_score_adj: what is added to the score, from 0 to 1000
 *
 * Sets [property@WorkerPool:oom-score-adj]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_oom_score_adj (WpWorkerPool *self, int oom_score_adj)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (oom_score_adj >= 0 && oom_score_adj <= 1000);

  if (!wp_worker_pool_begin_change (self, "oom-score-adj"))
    return;

  changed = self->oom_score_adj != oom_score_adj;
  self->oom_score_adj = oom_score_adj;
  wp_worker_pool_end_change (self, "oom-score-adj", changed);
}

/**
 * wp_worker_pool_get_cpu_ids: (attributes org.gtk.Method.get_property=cpu-ids)
 * @self: a pool
 *
 * Gets [property@WorkerPool:cpu-ids].
 *
 * Returns: (transfer none) (nullable): the CPUs, as they were set, or `NULL` for those of the owner
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_get_cpu_ids (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return self->cpu_ids;
}

/**
 * wp_worker_pool_set_cpu_ids: (attributes org.gtk.Method.set_property=cpu-ids)
 * @self: a pool
 * @cpu_ids: (nullable): the CPUs, or `NULL` for those of the owner; a floating reference is consumed
 *
 * Sets [property@WorkerPool:cpu-ids]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_cpu_ids (WpWorkerPool *self, GVariant *cpu_ids)
{
  g_autoptr (GVariant) taken = cpu_ids != NULL ? g_variant_ref_sink (cpu_ids) : NULL;
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (cpu_ids == NULL || g_variant_is_of_type (cpu_ids, G_VARIANT_TYPE_ARRAY));

  if (!wp_worker_pool_begin_change (self, "cpu-ids"))
    return;

  changed = self->cpu_ids != taken;
  if (changed)
    {
      g_clear_pointer (&self->cpu_ids, g_variant_unref);
      self->cpu_ids = g_steal_pointer (&taken);
    }
  wp_worker_pool_end_change (self, "cpu-ids", changed);
}

/**
 * wp_worker_pool_get_enable_insights: (attributes org.gtk.Method.get_property=enable-insights)
 * @self: a pool
 *
 * Gets [property@WorkerPool:enable-insights].
 *
 * Returns: whether tasks are timed
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_get_enable_insights (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);

  locker = wp_worker_pool_lock (self);

  return self->enable_insights;
}

/**
 * wp_worker_pool_set_enable_insights: (attributes org.gtk.Method.set_property=enable-insights)
 * @self: a pool
 * @enable_insights: whether tasks are timed
 *
 * Sets [property@WorkerPool:enable-insights]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_enable_insights (WpWorkerPool *self, gboolean enable_insights)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  enable_insights = !!enable_insights;

  if (!wp_worker_pool_begin_change (self, "enable-insights"))
    return;

  changed = self->enable_insights != enable_insights;
  self->enable_insights = enable_insights;
  wp_worker_pool_end_change (self, "enable-insights", changed);
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

  if (!wp_worker_pool_begin_change (self, "host"))
    return;

  g_strfreev (self->host);
  self->host = g_strdupv ((char **) host);
  wp_worker_pool_end_change (self, "host", TRUE);
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

  if (!wp_worker_pool_begin_change (self, "preload"))
    return;

  g_strfreev (self->preload);
  self->preload = g_strdupv ((char **) preload);
  wp_worker_pool_end_change (self, "preload", TRUE);
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

  if (!wp_worker_pool_begin_change (self, "preload-function"))
    return;

  changed = g_strcmp0 (self->preload_function, function) != 0;
  if (changed)
    {
      g_free (self->preload_function);
      self->preload_function = g_strdup (function);
    }
  wp_worker_pool_end_change (self, "preload-function", changed);
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

  if (!wp_worker_pool_begin_change (self, "launcher"))
    return;

  changed = self->launcher != launcher;
  if (changed)
    {
      replaced = self->launcher;
      self->launcher = launcher != NULL ? g_object_ref (launcher) : NULL;
    }
  wp_worker_pool_end_change (self, "launcher", changed);
}

static void
get_counts (WpWorkerPool *self, guint *n_workers, guint *n_busy, guint64 *n_queued)
{
  g_autoptr (WpEngine) engine = wp_worker_pool_get_engine (self);

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
