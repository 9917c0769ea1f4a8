/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool-private.h"

/* What a worker runs before and after its tasks, and how long it lives. */

static void
set_string (WpWorkerPool *self, const char *property, char **field, const char *value)
{
  gboolean changed;

  if (!wp_worker_pool_begin_change (self, property))
    return;

  changed = g_strcmp0 (*field, value) != 0;
  if (changed)
    {
      g_free (*field);
      *field = g_strdup (value);
    }
  wp_worker_pool_end_change (self, property, changed);
}

static void
set_uint (WpWorkerPool *self, const char *property, guint *field, guint value)
{
  gboolean changed;

  if (!wp_worker_pool_begin_change (self, property))
    return;

  changed = *field != value;
  *field = value;
  wp_worker_pool_end_change (self, property, changed);
}

static guint
get_uint (WpWorkerPool *self, const guint *field)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);

  return *field;
}

/**
 * wp_worker_pool_get_worker_init: (attributes org.gtk.Method.get_property=worker-init)
 * @self: a pool
 *
 * Gets [property@WorkerPool:worker-init].
 *
 * Returns: (transfer none) (nullable): the name of a function, as long as the property is not set again
 *
 * Since: 1.0
 */
const char *
wp_worker_pool_get_worker_init (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return self->worker_init;
}

/**
 * wp_worker_pool_set_worker_init: (attributes org.gtk.Method.set_property=worker-init)
 * @self: a pool
 * @function: (nullable): the name of a function that the host knows, or `NULL`
 *
 * Sets [property@WorkerPool:worker-init]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_worker_init (WpWorkerPool *self, const char *function)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_string (self, "worker-init", &self->worker_init, function);
}

/**
 * wp_worker_pool_get_worker_init_timeout: (attributes org.gtk.Method.get_property=worker-init-timeout)
 * @self: a pool
 *
 * Gets [property@WorkerPool:worker-init-timeout].
 *
 * Returns: the time in milliseconds; 0 for any
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_worker_init_timeout (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return get_uint (self, &self->worker_init_timeout);
}

/**
 * wp_worker_pool_set_worker_init_timeout: (attributes org.gtk.Method.set_property=worker-init-timeout)
 * @self: a pool
 * @milliseconds: the time in milliseconds; 0 for any
 *
 * Sets [property@WorkerPool:worker-init-timeout]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_worker_init_timeout (WpWorkerPool *self, guint milliseconds)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_uint (self, "worker-init-timeout", &self->worker_init_timeout, milliseconds);
}

/**
 * wp_worker_pool_get_worker_exit: (attributes org.gtk.Method.get_property=worker-exit)
 * @self: a pool
 *
 * Gets [property@WorkerPool:worker-exit].
 *
 * Returns: (transfer none) (nullable): the name of a function, as long as the property is not set again
 *
 * Since: 1.0
 */
const char *
wp_worker_pool_get_worker_exit (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  return self->worker_exit;
}

/**
 * wp_worker_pool_set_worker_exit: (attributes org.gtk.Method.set_property=worker-exit)
 * @self: a pool
 * @function: (nullable): the name of a function that the host knows, or `NULL`
 *
 * Sets [property@WorkerPool:worker-exit]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_worker_exit (WpWorkerPool *self, const char *function)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_string (self, "worker-exit", &self->worker_exit, function);
}

/**
 * wp_worker_pool_get_worker_exit_timeout: (attributes org.gtk.Method.get_property=worker-exit-timeout)
 * @self: a pool
 *
 * Gets [property@WorkerPool:worker-exit-timeout].
 *
 * Returns: the time in milliseconds; 0 for any
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_worker_exit_timeout (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return get_uint (self, &self->worker_exit_timeout);
}

/**
 * wp_worker_pool_set_worker_exit_timeout: (attributes org.gtk.Method.set_property=worker-exit-timeout)
 * @self: a pool
 * @milliseconds: the time in milliseconds; 0 for any
 *
 * Sets [property@WorkerPool:worker-exit-timeout]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_worker_exit_timeout (WpWorkerPool *self, guint milliseconds)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_uint (self, "worker-exit-timeout", &self->worker_exit_timeout, milliseconds);
}

/**
 * wp_worker_pool_get_worker_lifespan: (attributes org.gtk.Method.get_property=worker-lifespan)
 * @self: a pool
 *
 * Gets [property@WorkerPool:worker-lifespan].
 *
 * Returns: the number of tasks; 0 for any
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_worker_lifespan (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return get_uint (self, &self->worker_lifespan);
}

/**
 * wp_worker_pool_set_worker_lifespan: (attributes org.gtk.Method.set_property=worker-lifespan)
 * @self: a pool
 * @n_tasks: the number of tasks; 0 for any
 *
 * Sets [property@WorkerPool:worker-lifespan]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_worker_lifespan (WpWorkerPool *self, guint n_tasks)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_uint (self, "worker-lifespan", &self->worker_lifespan, n_tasks);
}

/**
 * wp_worker_pool_get_idle_timeout: (attributes org.gtk.Method.get_property=idle-timeout)
 * @self: a pool
 *
 * Gets [property@WorkerPool:idle-timeout].
 *
 * Returns: the time in milliseconds; 0 for any
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_idle_timeout (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return get_uint (self, &self->idle_timeout);
}

/**
 * wp_worker_pool_set_idle_timeout: (attributes org.gtk.Method.set_property=idle-timeout)
 * @self: a pool
 * @milliseconds: the time in milliseconds; 0 for any
 *
 * Sets [property@WorkerPool:idle-timeout]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_idle_timeout (WpWorkerPool *self, guint milliseconds)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_uint (self, "idle-timeout", &self->idle_timeout, milliseconds);
}

/**
 * wp_worker_pool_get_min_workers: (attributes org.gtk.Method.get_property=min-workers)
 * @self: a pool
 *
 * Gets [property@WorkerPool:min-workers].
 *
 * Returns: the number of workers
 *
 * Since: 1.0
 */
guint
wp_worker_pool_get_min_workers (WpWorkerPool *self)
{
  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  return get_uint (self, &self->min_workers);
}

/**
 * wp_worker_pool_set_min_workers: (attributes org.gtk.Method.set_property=min-workers)
 * @self: a pool
 * @n_workers: the number of workers
 *
 * Sets [property@WorkerPool:min-workers]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_min_workers (WpWorkerPool *self, guint n_workers)
{
  g_return_if_fail (WP_IS_WORKER_POOL (self));

  set_uint (self, "min-workers", &self->min_workers, n_workers);
}

/**
 * wp_worker_pool_get_exit_results:
 * @self: a pool
 * @error: return location for an error
 *
 * Gets what the [property@WorkerPool:worker-exit] functions of the workers that have ended so far returned, also of
 * workers that were replaced: usually after [method@WorkerPool.stop_and_join]. Those that returned nothing, and workers
 * that died or were terminated, add nothing.
 *
 * It fails with the first error of an exit function: the function's own; `WP_ERROR_UNKNOWN_FUNCTION`;
 * `WP_ERROR_WORKER_DIED` when the worker died in it; `G_IO_ERROR_TIMED_OUT` when it took longer than
 * [property@WorkerPool:worker-exit-timeout].
 *
 * Returns: (transfer full): the values in an array of the type `av`, in the order in which the workers ended
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_get_exit_results (WpWorkerPool *self, GError **error)
{
  g_autoptr (WpEngine) engine = NULL;
  GVariant *results;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  engine = wp_worker_pool_get_engine_to_tell (self);
  if (engine == NULL)
    return g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARIANT, NULL, 0));

  if (!wp_engine_check_exit (engine, error))
    return NULL;

  wp_engine_lock (engine);
  results = wp_engine_get_exit_results (engine);
  wp_engine_unlock (engine);

  return results;
}
