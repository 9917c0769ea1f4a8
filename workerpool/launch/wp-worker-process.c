/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-worker-process-private.h"

/**
 * WpWorkerProcess:
 *
 * A worker that a launcher has started: its channel, its signals and its end.
 *
 * Since: 1.0
 */

G_DEFINE_ABSTRACT_TYPE (WpWorkerProcess, wp_worker_process, G_TYPE_OBJECT)

static int
wp_worker_process_real_get_pid (WpWorkerProcess *self)
{
  return 0;
}

static void
wp_worker_process_class_init (WpWorkerProcessClass *klass)
{
  klass->get_pid = wp_worker_process_real_get_pid;
}

static void
wp_worker_process_init (WpWorkerProcess *self)
{
}

/**
 * wp_worker_process_get_channel: (virtual get_channel)
 * @self: a worker process
 *
 * Gets the pool's end of the connection to the worker.
 *
 * It is a [class@Gio.SocketConnection] over an AF_UNIX stream socket, or any stream whose two halves are
 * pollable.
 *
 * Returns: (transfer none) (nullable): the connection; `NULL` only when a subclass has none
 *
 * Since: 1.0
 */
GIOStream *
wp_worker_process_get_channel (WpWorkerProcess *self)
{
  WpWorkerProcessClass *klass;

  g_return_val_if_fail (WP_IS_WORKER_PROCESS (self), NULL);

  klass = WP_WORKER_PROCESS_GET_CLASS (self);
  g_return_val_if_fail (klass->get_channel != NULL, NULL);

  return klass->get_channel (self);
}

/**
 * wp_worker_process_get_pid: (virtual get_pid)
 * @self: a worker process
 *
 * Gets the process identifier. It stays what it was after the process has ended.
 *
 * Returns: the process identifier, or 0 when the worker is no process of this machine, or ended as soon as it had been
 *   started
 *
 * Since: 1.0
 */
int
wp_worker_process_get_pid (WpWorkerProcess *self)
{
  g_return_val_if_fail (WP_IS_WORKER_PROCESS (self), 0);

  return WP_WORKER_PROCESS_GET_CLASS (self)->get_pid (self);
}

/**
 * wp_worker_process_send_signal: (virtual send_signal)
 * @self: a worker process
 * @signum: the signal's number
 *
 * Sends a signal to the worker.
 *
 * This does nothing once the process was reaped, so that another process which got its number is never hit.
 *
 * Since: 1.0
 */
void
wp_worker_process_send_signal (WpWorkerProcess *self,
                               int              signum)
{
  WpWorkerProcessClass *klass;

  g_return_if_fail (WP_IS_WORKER_PROCESS (self));

  klass = WP_WORKER_PROCESS_GET_CLASS (self);
  g_return_if_fail (klass->send_signal != NULL);

  klass->send_signal (self, signum);
}

/**
 * wp_worker_process_wait_async: (virtual wait_async)
 * @self: a worker process
 * @cancellable: (nullable): cancels the wait, not the worker
 * @callback: (scope async): called in the thread-default main context of the caller, once the process has
 *   ended and was reaped
 * @user_data: data for @callback
 *
 * Waits for the worker's end.
 *
 * Since: 1.0
 */
void
wp_worker_process_wait_async (WpWorkerProcess    *self,
                              GCancellable       *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer            user_data)
{
  WpWorkerProcessClass *klass;

  g_return_if_fail (WP_IS_WORKER_PROCESS (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  klass = WP_WORKER_PROCESS_GET_CLASS (self);
  g_return_if_fail (klass->wait_async != NULL && klass->wait_finish != NULL);

  klass->wait_async (self, cancellable, callback, user_data);
}

/**
 * wp_worker_process_wait_finish: (virtual wait_finish)
 * @self: a worker process
 * @result: the result given to the callback
 * @status: (out) (optional): the status as by waitpid ()
 * @error: return location for an error
 *
 * Ends the wait that [method@WorkerProcess.wait_async] began.
 *
 * It fails with `G_IO_ERROR_CANCELLED` when the wait was cancelled.
 *
 * Returns: `TRUE` when the process has ended
 *
 * Since: 1.0
 */
gboolean
wp_worker_process_wait_finish (WpWorkerProcess *self,
                               GAsyncResult    *result,
                               int             *status,
                               GError         **error)
{
  WpWorkerProcessClass *klass;
  int local_status = 0;

  g_return_val_if_fail (WP_IS_WORKER_PROCESS (self), FALSE);
  g_return_val_if_fail (G_IS_ASYNC_RESULT (result), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  klass = WP_WORKER_PROCESS_GET_CLASS (self);
  g_return_val_if_fail (klass->wait_finish != NULL, FALSE);

  /* Subclasses may then always store a status. */
  return klass->wait_finish (self, result, status != NULL ? status : &local_status, error);
}

gboolean
wp_worker_process_finish_wait (WpWorkerProcess *self,
                               GAsyncResult    *result,
                               int             *status,
                               GError         **error)
{
  GError *wait_error = NULL;
  gssize value;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  value = g_task_propagate_int (G_TASK (result), &wait_error);
  if (wait_error != NULL)
    {
      g_propagate_error (error, wait_error);
      return FALSE;
    }

  *status = (int) value;
  return TRUE;
}
