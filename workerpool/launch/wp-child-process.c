/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-child-process.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib-unix.h>

#include "channel/wp-error.h"
#include "launch/wp-worker-process-private.h"

/**
 * WpChildProcess:
 *
 * A worker that is a child of this process, for a [class@Launcher] that makes its workers by a fork of its own, as
 * that of a language which has to prepare its interpreter for one.
 *
 * The child is watched through a pidfd, by the thread that waits for it. That works also in a process that was
 * forked itself, where no [class@Gio.Subprocess] would ever be seen to end.
 *
 * Since: 1.0
 */
struct _WpChildProcess
{
  WpWorkerProcess parent_instance;

  GIOStream *channel;
  int pid;
  int pidfd;
  gboolean reaped;
};

G_DEFINE_FINAL_TYPE (WpChildProcess, wp_child_process, WP_TYPE_WORKER_PROCESS)

static void
wp_child_process_finalize (GObject *object)
{
  WpChildProcess *self = WP_CHILD_PROCESS (object);

  if (self->pidfd >= 0)
    close (self->pidfd);
  g_clear_object (&self->channel);

  G_OBJECT_CLASS (wp_child_process_parent_class)->finalize (object);
}

static GIOStream *
wp_child_process_get_channel (WpWorkerProcess *process)
{
  return WP_CHILD_PROCESS (process)->channel;
}

static int
wp_child_process_get_pid (WpWorkerProcess *process)
{
  return WP_CHILD_PROCESS (process)->pid;
}

static void
wp_child_process_send_signal (WpWorkerProcess *process,
                              int              signum)
{
  WpChildProcess *self = WP_CHILD_PROCESS (process);

  if (!self->reaped)
    kill (self->pid, signum);
}

static int
reap (int  pid,
      int *status)
{
  int reaped;

  do
    reaped = waitpid (pid, status, 0);
  while (reaped < 0 && errno == EINTR);

  return reaped;
}

static gboolean
on_ended (int          fd,
          GIOCondition condition,
          gpointer     user_data)
{
  GTask *task = user_data;
  WpChildProcess *self = g_task_get_source_object (task);
  int status = 0;
  int reaped;

  /* A worker leads a process group, so what its tasks have started and left ends with it. Its number is still taken,
   * by the zombie. */
  kill (-self->pid, SIGKILL);
  reaped = reap (self->pid, &status);
  self->reaped = TRUE;

  if (reaped == self->pid)
    g_task_return_int (task, status);
  else
    g_task_return_new_error (task, WP_ERROR, WP_ERROR_WORKER_DIED,
                             "ended, but how is not known: this program ignores SIGCHLD, or waits for all of its "
                             "children itself");

  return G_SOURCE_REMOVE;
}

static void
wp_child_process_wait_async (WpWorkerProcess    *process,
                             GCancellable       *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer            user_data)
{
  WpChildProcess *self = WP_CHILD_PROCESS (process);
  g_autoptr (GSource) source = NULL;
  GTask *task;

  task = g_task_new (self, NULL, callback, user_data);
  g_task_set_source_tag (task, wp_child_process_wait_async);

  source = g_unix_fd_source_new (self->pidfd, G_IO_IN);
  g_source_set_static_name (source, "WorkerPool worker");
  g_source_set_callback (source, G_SOURCE_FUNC (on_ended), task, g_object_unref);
  g_source_attach (source, g_task_get_context (task));
}

static void
wp_child_process_class_init (WpChildProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  WpWorkerProcessClass *process_class = WP_WORKER_PROCESS_CLASS (klass);

  object_class->finalize = wp_child_process_finalize;

  process_class->get_channel = wp_child_process_get_channel;
  process_class->get_pid = wp_child_process_get_pid;
  process_class->send_signal = wp_child_process_send_signal;
  process_class->wait_async = wp_child_process_wait_async;
  process_class->wait_finish = wp_worker_process_finish_wait;
}

static void
wp_child_process_init (WpChildProcess *self)
{
  self->pidfd = -1;
}

/**
 * wp_child_process_new:
 * @pid: the process identifier of a child that nobody else waits for
 * @channel: (nullable): the pool's end of the worker's channel, a [class@Gio.SocketConnection] over an AF_UNIX stream
 *   socket; `NULL` for a child that is no worker
 * @error: return location for an error
 *
 * Takes over a child. It may be called in any thread.
 *
 * It fails with `G_IO_ERROR_INVALID_ARGUMENT` when @pid is not above 0, as after a fork that failed, and with another
 * `G_IO_ERROR` code when the system has no descriptor left to watch the child with, which then has been killed and
 * reaped.
 *
 * Returns: (transfer full) (type WpChildProcess): the worker, or `NULL` with @error set
 *
 * Since: 1.0
 */
WpWorkerProcess *
wp_child_process_new (int        pid,
                      GIOStream *channel,
                      GError   **error)
{
  WpChildProcess *self;
  int pidfd;

  /* Signals to 0 and below reach whole groups, or every process of the user. */
  if (pid <= 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "%d is not the process identifier of a child: it must be above 0; did the fork fail?", pid);
      return NULL;
    }

  /* Through syscall (), since older C libraries do not know it. The kernel sets close-on-exec. */
  pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  if (pidfd < 0)
    {
      int saved_errno = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
                   "process %d cannot be watched through a pidfd: %s", pid, g_strerror (saved_errno));
      kill (pid, SIGKILL);
      reap (pid, NULL);
      return NULL;
    }

  self = g_object_new (WP_TYPE_CHILD_PROCESS, NULL);
  self->pid = pid;
  self->pidfd = pidfd;
  g_set_object (&self->channel, channel);

  return WP_WORKER_PROCESS (self);
}
