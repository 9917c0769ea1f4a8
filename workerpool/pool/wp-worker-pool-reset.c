/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool-private.h"

/* The engine is kept for what it has to tell. */
static void
retire_engine (WpWorkerPool *self, WpEngine *engine)
{
  g_autoptr (WpEngine) replaced = NULL;
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);

  /* Else another thread was faster. */
  if (self->engine == engine)
    {
      replaced = self->ended;
      self->ended = g_steal_pointer (&self->engine);
    }
  if (self->end != WP_POOL_INHERITED)
    self->end = WP_POOL_OPEN;
}

/**
 * wp_worker_pool_reset:
 * @self: a pool
 * @cancellable: (nullable): ends the wait; the pool goes on stopping
 * @error: return location for an error
 *
 * Joins the pool, and makes it one that has never started: its properties can be set again, and the next task starts
 * workers anew. A pool that was joined or terminated can be used again after it.
 *
 * Like [method@WorkerPool.stop_and_join] it lets all tasks end and blocks the calling thread meanwhile; results that
 * nobody has taken can be taken afterwards. [method@WorkerPool.get_exit_results] and
 * [method@WorkerPool.get_insights] tell of what has ended until the next task starts the pool.
 *
 * Errors: those of [method@WorkerPool.stop_and_join]. When they are those of an exit function, the pool was reset all
 * the same. `WP_ERROR_CLOSED` for a pool that was inherited from the process that this one was forked from.
 *
 * Returns: `TRUE` when the pool can be used again and no exit function has failed
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_reset (WpWorkerPool *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (WpEngine) engine = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!wp_worker_pool_check_process (self, error))
    return FALSE;

  engine = wp_worker_pool_get_engine (self);
  if (engine == NULL)
    {
      retire_engine (self, NULL);
      return TRUE;
    }

  if (!wp_engine_may_wait (engine, "the end", error))
    return FALSE;

  wp_engine_lock (engine);
  wp_engine_drain (engine);
  wp_engine_unlock (engine);
  if (!wp_engine_wait_stopped (engine, cancellable, error))
    return FALSE;

  wp_engine_detach (engine);
  retire_engine (self, engine);

  return wp_engine_check_exit (engine, error);
}

static void
on_joined (GObject *source, GAsyncResult *result, gpointer user_data)
{
  WpWorkerPool *self = WP_WORKER_POOL (source);
  g_autoptr (GTask) task = user_data;
  WpEngine *engine = g_task_get_task_data (task);
  gboolean stopped = TRUE;
  GError *error = NULL;

  wp_worker_pool_stop_and_join_finish (self, result, &error);

  if (engine != NULL)
    {
      wp_engine_lock (engine);
      stopped = wp_engine_is_stopped (engine);
      wp_engine_unlock (engine);
    }
  if (stopped && engine != NULL)
    wp_engine_detach (engine);
  if (stopped)
    retire_engine (self, engine);

  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/**
 * wp_worker_pool_reset_async:
 * @self: a pool
 * @cancellable: (nullable): ends the wait; the pool goes on stopping
 * @callback: (scope async): called in the caller's main context when the pool can be used again
 * @user_data: data for @callback
 *
 * Joins the pool and makes it one that has never started, without blocking. See [method@WorkerPool.reset].
 *
 * Since: 1.0
 */
void
wp_worker_pool_reset_async (WpWorkerPool *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                            gpointer user_data)
{
  g_autoptr (WpEngine) engine = NULL;
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_worker_pool_reset_async);
  /* It is the join that is cancelled. */
  g_task_set_check_cancellable (task, FALSE);
  if (!wp_worker_pool_check_process (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  engine = wp_worker_pool_get_engine (self);
  if (engine != NULL)
    g_task_set_task_data (task, wp_engine_ref (engine), (GDestroyNotify) wp_engine_unref);
  wp_worker_pool_stop_and_join_async (self, cancellable, on_joined, g_steal_pointer (&task));
}

/**
 * wp_worker_pool_reset_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@WorkerPool.reset_async]. The errors are those of [method@WorkerPool.reset].
 *
 * Returns: `TRUE` when the pool can be used again and no exit function has failed
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_reset_finish (WpWorkerPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, wp_worker_pool_reset_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
