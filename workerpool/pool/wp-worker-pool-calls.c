/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-worker-pool-private.h"

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "pool/wp-apply-private.h"
#include "pool/wp-arguments.h"
#include "pool/wp-batch-private.h"
#include "pool/wp-call.h"
#include "pool/wp-join.h"
#include "pool/wp-task-options-private.h"

static WpDelivery *
get_delivery (WpWorkerPool *self, GMainContext *context)
{
  if (context == wp_delivery_get_context (self->delivery))
    return wp_delivery_ref (self->delivery);

  return wp_delivery_new (context);
}

/* A floating reference is the call's, also when it fails. */
static void
drop_floating (GVariant *value)
{
  if (value != NULL)
    g_variant_unref (g_variant_ref_sink (value));
}

/* Takes the items, which may be NULL with an error set. */
static GVariant *
run_call (WpWorkerPool  *self,
          const char    *function,
          WpItems       *items,
          WpTaskOptions *options,
          WpCallKind     kind,
          GCancellable  *cancellable,
          GError       **error)
{
  g_autoptr (WpEngine) engine = NULL;

  /* A call that was cancelled before it began leaves the pool as it was. */
  if (items != NULL && !g_cancellable_set_error_if_cancelled (cancellable, error))
    engine = wp_worker_pool_ensure_engine (self, error);
  if (engine == NULL)
    {
      g_clear_pointer (&items, wp_items_free);
      return NULL;
    }

  return wp_call_run (engine, function, items, options, kind, cancellable, error);
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
    engine = wp_worker_pool_ensure_engine (self, &error);
  if (engine == NULL)
    {
      g_clear_pointer (&items, wp_items_free);
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  delivery = get_delivery (self, g_task_get_context (task));
  wp_call_begin (engine, task, delivery, function, items, options, is_map);
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

  engine = wp_worker_pool_ensure_engine (self, error);
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

  if (!wp_worker_pool_check_process (self, error))
    {
      drop_floating (args);
      return NULL;
    }

  return run_call (self, function, wp_arguments_to_item (function, args, error), options, WP_CALL_APPLY,
                   cancellable, error);
}

/**
 * wp_worker_pool_start_apply:
 * @self: a pool
 * @function: the name of a function that the host knows
 * @args: (nullable): its arguments; a floating reference is consumed; `NULL` for the empty tuple
 * @options: (nullable): how to run it, or `NULL` for the defaults
 * @error: return location for an error
 *
 * Starts one task, to be waited for later, or now and then. See [class@Apply].
 *
 * Errors: those of [method@WorkerPool.apply] that come before the task runs; `G_IO_ERROR_WOULD_BLOCK` in a task of the
 * same pool, when its workers are threads, as it could not wait for it.
 *
 * Returns: (transfer full): the task on its way, or `NULL` with @error set
 *
 * Since: 1.0
 */
WpApply *
wp_worker_pool_start_apply (WpWorkerPool  *self,
                            const char    *function,
                            GVariant      *args,
                            WpTaskOptions *options,
                            GError       **error)
{
  g_autoptr (WpEngine) engine = NULL;
  g_autoptr (WpItems) items = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);
  g_return_val_if_fail (options == NULL || WP_IS_TASK_OPTIONS (options), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!wp_worker_pool_check_process (self, error))
    {
      drop_floating (args);
      return NULL;
    }

  items = wp_arguments_to_item (function, args, error);
  if (items != NULL)
    engine = wp_worker_pool_ensure_engine (self, error);
  if (engine == NULL)
    return NULL;

  return wp_apply_new (G_OBJECT (self), engine, function, g_steal_pointer (&items), options, error);
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

  if (!wp_worker_pool_check_process (self, error))
    {
      drop_floating (items);
      return NULL;
    }

  return run_call (self, function, wp_arguments_to_items (function, items, error), options, WP_CALL_MAP,
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

  engine = wp_worker_pool_ensure_engine (self, error);
  if (engine == NULL)
    return NULL;

  job = wp_job_new (engine, function, options, wp_items_new ());

  wp_engine_lock (engine);
  submitted = wp_engine_submit (engine, job, FALSE, error);
  wp_engine_unlock (engine);

  if (!submitted)
    return NULL;

  return wp_batch_new (G_OBJECT (self), g_steal_pointer (&job),
                       options != NULL ? wp_task_options_ref_event_callback (options) : NULL);
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
 * Errors: `G_IO_ERROR_CANCELLED`; `G_IO_ERROR_WOULD_BLOCK` in a task of this pool, when its workers are threads; and
 * those of [method@WorkerPool.get_exit_results], when nothing of the pool is left all the same.
 *
 * Returns: `TRUE` when nothing of the pool is left and no exit function has failed
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

  engine = wp_worker_pool_get_engine_to_end (self, WP_POOL_JOINED);
  if (engine == NULL)
    return TRUE;

  if (!wp_engine_may_wait (engine, "the end", error))
    return FALSE;

  wp_engine_lock (engine);
  wp_engine_drain (engine);
  wp_engine_unlock (engine);

  return wp_engine_wait_stopped (engine, cancellable, error) && wp_engine_check_exit (engine, error);
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

  engine = wp_worker_pool_get_engine_to_end (self, WP_POOL_JOINED);
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

  engine = wp_worker_pool_get_engine_to_end (self, WP_POOL_TERMINATED);
  if (engine == NULL)
    return;

  wp_engine_lock (engine);
  wp_engine_terminate (engine);
  wp_engine_unlock (engine);
}
