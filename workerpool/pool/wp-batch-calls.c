/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-batch-private.h"

#include "pool/wp-engine-events.h"
#include "pool/wp-task-watch.h"

/* What a caller does with a batch: pushes, takes, closes, cancels; one task at a time. */

gboolean
wp_batch_check_item (GVariant *item, GError **error)
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

  g_return_val_if_fail (wp_batch_is_started (self), FALSE);
  g_return_val_if_fail (item != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  value = g_variant_ref_sink (item);
  if (!wp_batch_check_inherited (self, error) || !wp_batch_check_item (value, error))
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

  g_return_if_fail (wp_batch_is_started (self));
  g_return_if_fail (item != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  value = g_variant_ref_sink (item);
  if (!wp_batch_check_inherited (self, &error))
    {
      g_task_report_error (self, callback, user_data, wp_batch_push_async, error);
      return;
    }

  task = make_task (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_batch_push_async);

  if (wp_batch_check_item (value, &error))
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

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
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
  g_return_if_fail (wp_batch_is_started (self));
  if (wp_batch_is_inherited (self))
    return;

  wp_engine_lock (self->engine);
  if (!self->queue.closing)
    {
      self->queue.closing = TRUE;
      wp_batch_queue_serve (&self->queue);
      wp_batch_post_delivery (self);
    }
  wp_engine_unlock (self->engine);
}

gboolean
wp_batch_check_pulling (WpBatch *self, GError **error)
{
  if (self->flow == WP_BATCH_FLOW_UNDECIDED)
    self->flow = WP_BATCH_FLOW_PULLED;
  if (self->flow == WP_BATCH_FLOW_PULLED)
    return TRUE;

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       "the batch's results flow into its list; they cannot be pulled as well");
  return FALSE;
}

gboolean
wp_batch_take_events (WpBatch *self)
{
  if (!wp_engine_has_events (self->job) || !wp_engine_receives_here (self->job))
    return FALSE;

  wp_engine_unlock (self->engine);
  wp_batch_emit_events (self);
  wp_engine_lock (self->engine);

  return TRUE;
}

static void
on_next_cancelled (GCancellable *cancellable, gpointer user_data)
{
  WpBatch *self = user_data;

  wp_engine_lock (self->engine);
  g_cond_broadcast (&self->job->condition);
  wp_engine_unlock (self->engine);
}

/* Under the lock. */
static WpResult *
wait_for_result (WpBatch *self, GCancellable *cancellable, GError **error)
{
  while (!g_cancellable_set_error_if_cancelled (cancellable, error))
    {
      WpResult *result = wp_batch_queue_take (&self->queue);
      const gboolean ended = self->job->ended;

      /* Those of the result's task are here by now. */
      if (!wp_batch_take_events (self) && result == NULL && !ended)
        wp_engine_wait_for_results (self->engine, self->job);

      if (result != NULL || ended)
        return result;
    }

  return NULL;
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

  g_return_val_if_fail (wp_batch_is_started (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!wp_batch_check_inherited (self, error) || !wp_engine_may_wait (self->engine, "a result", error))
    return NULL;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_next_cancelled), self, NULL);

  wp_engine_lock (self->engine);
  if (wp_batch_check_pulling (self, error))
    {
      wp_engine_begin_wait (self->engine, self->job);
      result = wait_for_result (self, cancellable, error);
      wp_engine_end_wait (self->engine, self->job);
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

  g_return_if_fail (wp_batch_is_started (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  if (!wp_batch_check_inherited (self, &error))
    {
      g_task_report_error (self, callback, user_data, wp_batch_next_async, error);
      return;
    }

  task = make_task (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_batch_next_async);

  wp_engine_lock (self->engine);
  if (!g_cancellable_set_error_if_cancelled (cancellable, &error) && wp_batch_check_pulling (self, &error))
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
  g_return_if_fail (wp_batch_is_started (self));
  if (wp_batch_is_inherited (self))
    return;

  wp_engine_lock (self->engine);
  wp_engine_cancel (self->engine, self->job);
  wp_batch_queue_serve (&self->queue);
  wp_batch_post_delivery (self);
  wp_engine_unlock (self->engine);
}
