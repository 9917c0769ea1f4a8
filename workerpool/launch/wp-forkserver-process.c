/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-forkserver-process.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib-unix.h>

#include "launch/wp-forkserver.h"
#include "launch/wp-worker-process-private.h"

/* Thousands of times what a fork or a wait takes; a server that says nothing for that long is stopped or hangs. */
#define ANSWER_TIMEOUT (2 * G_TIME_SPAN_SECOND)

struct _WpForkserverProcess
{
  WpWorkerProcess parent_instance;

  WpForkserver *server; /* NULL once it has ended */
  guint64 id;
  GIOStream *channel;
  int pid;   /* 0 before it has started */
  int pidfd; /* -1: not started, or not to be had */
  GSource *watch; /* of the pidfd */
  gboolean process_ended; /* the pidfd says so */
  GError *bereavement; /* why its server is gone */
  int signal; /* what it gets once it has started */
  gint64 due;

  gboolean ended;
  int status;
  GError *error; /* nullable: how it ended, if the status does not say */
  GPtrArray *waits; /* GTask */
};

G_DEFINE_FINAL_TYPE (WpForkserverProcess, wp_forkserver_process, WP_TYPE_WORKER_PROCESS)

static void
stop_watching (WpForkserverProcess *self)
{
  if (self->watch == NULL)
    return;

  g_source_destroy (self->watch);
  g_clear_pointer (&self->watch, g_source_unref);
}

static void
wp_forkserver_process_finalize (GObject *object)
{
  WpForkserverProcess *self = WP_FORKSERVER_PROCESS (object);

  stop_watching (self);
  if (self->pidfd >= 0)
    close (self->pidfd);
  g_clear_pointer (&self->server, wp_forkserver_unref);
  g_clear_pointer (&self->waits, g_ptr_array_unref);
  g_clear_object (&self->channel);
  g_clear_error (&self->bereavement);
  g_clear_error (&self->error);

  G_OBJECT_CLASS (wp_forkserver_process_parent_class)->finalize (object);
}

static GIOStream *
wp_forkserver_process_get_channel (WpWorkerProcess *process)
{
  return WP_FORKSERVER_PROCESS (process)->channel;
}

static int
wp_forkserver_process_get_pid (WpWorkerProcess *process)
{
  WpForkserverProcess *self = WP_FORKSERVER_PROCESS (process);

  /* The worker itself is heard through its own channel, and may be heard before. */
  if (self->pid == 0 && self->server != NULL)
    wp_forkserver_read_ahead (self->server);

  return self->pid;
}

static gboolean
is_deadly (int signum)
{
  return signum == SIGKILL || signum == SIGTERM;
}

/* The server has this long from now, unless it is late already. */
static void
expect_answer (WpForkserverProcess *self)
{
  if (self->due == 0 && self->server != NULL)
    {
      self->due = g_get_monotonic_time () + ANSWER_TIMEOUT;
      wp_forkserver_expect (self->server, self->due);
    }
}

static void
deliver_signal (WpForkserverProcess *self,
                int                  signum)
{
  /* Through syscall (), since older C libraries do not know it. It does nothing once the process was reaped. */
  if (self->pidfd >= 0)
    syscall (SYS_pidfd_send_signal, self->pidfd, signum, NULL, 0);
  else if (self->server != NULL)
    wp_forkserver_send_signal (self->server, self->id, signum);
}

static void
wp_forkserver_process_send_signal (WpWorkerProcess *process,
                                   int              signum)
{
  WpForkserverProcess *self = WP_FORKSERVER_PROCESS (process);

  if (self->ended)
    return;

  if (self->pid != 0)
    {
      deliver_signal (self, signum);
      return;
    }

  if (is_deadly (signum) && self->server != NULL && wp_forkserver_withdraw (self->server, self->id))
    {
      wp_forkserver_process_end (self, signum, NULL);
      return;
    }

  if (self->signal != SIGKILL)
    self->signal = signum;
  if (is_deadly (signum))
    expect_answer (self);
}

static void
return_end (WpForkserverProcess *self,
            GTask               *task)
{
  if (self->error != NULL)
    g_task_return_error (task, g_error_copy (self->error));
  else
    g_task_return_int (task, self->status);
}

static gboolean
on_end (gpointer user_data)
{
  GTask *task = user_data;

  return_end (g_task_get_source_object (task), task);

  return G_SOURCE_REMOVE;
}

static void
return_later (gpointer data,
              gpointer user_data)
{
  GTask *task = data;
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "WorkerPool worker");
  g_source_set_callback (source, on_end, g_object_ref (task), g_object_unref);
  g_source_attach (source, g_task_get_context (task));
}

static void
wp_forkserver_process_wait_async (WpWorkerProcess    *process,
                                  GCancellable       *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer            user_data)
{
  WpForkserverProcess *self = WP_FORKSERVER_PROCESS (process);
  g_autoptr (GTask) task = NULL;

  task = g_task_new (self, NULL, callback, user_data);
  g_task_set_source_tag (task, wp_forkserver_process_wait_async);

  if (self->ended)
    return_later (task, NULL);
  else
    g_ptr_array_add (self->waits, g_steal_pointer (&task));
}

static void
wp_forkserver_process_class_init (WpForkserverProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  WpWorkerProcessClass *process_class = WP_WORKER_PROCESS_CLASS (klass);

  object_class->finalize = wp_forkserver_process_finalize;

  process_class->get_channel = wp_forkserver_process_get_channel;
  process_class->get_pid = wp_forkserver_process_get_pid;
  process_class->send_signal = wp_forkserver_process_send_signal;
  process_class->wait_async = wp_forkserver_process_wait_async;
  process_class->wait_finish = wp_worker_process_finish_wait;
}

static void
wp_forkserver_process_init (WpForkserverProcess *self)
{
  self->pidfd = -1;
  self->waits = g_ptr_array_new_with_free_func (g_object_unref);
}

WpForkserverProcess *
wp_forkserver_process_new (WpForkserver *server,
                           guint64       id,
                           GIOStream    *channel)
{
  WpForkserverProcess *self = g_object_new (WP_TYPE_FORKSERVER_PROCESS, NULL);

  self->server = wp_forkserver_ref (server);
  self->id = id;
  self->channel = g_object_ref (channel);

  return self;
}

guint64
wp_forkserver_process_get_id (WpForkserverProcess *self)
{
  return self->id;
}

gboolean
wp_forkserver_process_is_started (WpForkserverProcess *self)
{
  return self->pid != 0;
}

/* A worker leads a process group, so what its tasks have started and left ends with it. Whoever adopted the worker
 * reaps it; that may be this process, where it is the reaper of its descendants. */
static void
end_bereaved (WpForkserverProcess *self)
{
  kill (-self->pid, SIGKILL);
  waitid (P_PIDFD, (id_t) self->pidfd, NULL, WEXITED | WNOHANG);
  wp_forkserver_process_end (self, 0, g_steal_pointer (&self->bereavement));
}

static gboolean
on_process_ended (int          fd,
                  GIOCondition condition,
                  gpointer     user_data)
{
  WpForkserverProcess *self = user_data;

  self->process_ended = TRUE;
  g_clear_pointer (&self->watch, g_source_unref);
  if (self->bereavement != NULL)
    end_bereaved (self);
  else
    expect_answer (self);

  return G_SOURCE_REMOVE;
}

void
wp_forkserver_process_set_started (WpForkserverProcess *self,
                                   int                  pid,
                                   int                  pidfd)
{
  self->pid = pid;
  self->pidfd = pidfd;
  self->due = 0;

  if (pidfd >= 0)
    {
      self->watch = g_unix_fd_source_new (pidfd, G_IO_IN);
      g_source_set_static_name (self->watch, "WorkerPool worker");
      g_source_set_callback (self->watch, G_SOURCE_FUNC (on_process_ended), self, NULL);
      g_source_attach (self->watch, wp_forkserver_get_context (self->server));
    }

  if (self->signal != 0)
    deliver_signal (self, self->signal);
}

void
wp_forkserver_process_end (WpForkserverProcess *self,
                           int                  status,
                           GError              *error)
{
  g_assert (!self->ended);

  stop_watching (self);
  self->due = 0;
  self->status = status;
  self->error = error;
  self->ended = TRUE;
  g_ptr_array_foreach (self->waits, return_later, NULL);
  g_ptr_array_set_size (self->waits, 0);
  g_clear_pointer (&self->server, wp_forkserver_unref);
}

void
wp_forkserver_process_bereave (WpForkserverProcess *self,
                               GError              *reason)
{
  self->due = 0;

  if (self->pidfd < 0)
    {
      wp_forkserver_process_end (self, 0, reason);
      return;
    }

  self->bereavement = reason;
  if (self->process_ended)
    end_bereaved (self);
}

gint64
wp_forkserver_process_get_due (WpForkserverProcess *self)
{
  return self->due;
}
