/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-thread-process.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/wp-context.h"
#include "channel/wp-process.h"

/* What the thread and the object share. The thread may outlive the object. */
typedef struct
{
  gatomicrefcount ref_count;
  WpWorkerRequest request;
  int asked; /* atomic */

  GMutex lock;
  gboolean ended;
  int status;  /* as by waitpid () */
  GTask *wait; /* nullable */
} Life;

struct _WpThreadProcess
{
  WpWorkerProcess parent_instance;

  GIOStream *channel;
  GThread *thread; /* until it was joined */
  Life *life;
};

G_DEFINE_FINAL_TYPE (WpThreadProcess, wp_thread_process, WP_TYPE_WORKER_PROCESS)

static void
life_unref (Life *life)
{
  if (!g_atomic_ref_count_dec (&life->ref_count))
    return;

  g_clear_pointer (&life->request.shared_objects, g_variant_unref);
  g_mutex_clear (&life->lock);
  g_free (life);
}

static gpointer
run_worker (gpointer data)
{
  Life *life = data;
  GTask *wait;
  int status;

  status = W_EXITCODE (wp_process_enter_worker (&life->request), 0);

  g_mutex_lock (&life->lock);
  life->ended = TRUE;
  life->status = status;
  wait = g_steal_pointer (&life->wait);
  g_mutex_unlock (&life->lock);

  if (wait != NULL)
    {
      g_task_return_int (wait, status);
      g_object_unref (wait);
    }
  life_unref (life);

  return NULL;
}

static void
wp_thread_process_finalize (GObject *object)
{
  WpThreadProcess *self = WP_THREAD_PROCESS (object);

  g_clear_pointer (&self->thread, g_thread_unref);
  g_clear_object (&self->channel);
  g_clear_pointer (&self->life, life_unref);

  G_OBJECT_CLASS (wp_thread_process_parent_class)->finalize (object);
}

static GIOStream *
wp_thread_process_get_channel (WpWorkerProcess *process)
{
  return WP_THREAD_PROCESS (process)->channel;
}

static int
wp_thread_process_get_pid (WpWorkerProcess *process)
{
  return 0;
}

static void
wp_thread_process_send_signal (WpWorkerProcess *process,
                               int              signum)
{
  WpThreadProcess *self = WP_THREAD_PROCESS (process);
  GSocket *socket = g_socket_connection_get_socket (G_SOCKET_CONNECTION (self->channel));

  g_atomic_int_set (&self->life->asked, TRUE);
  /* It reads what is left of its channel, and then its end. */
  if (signum == SIGKILL)
    shutdown (g_socket_get_fd (socket), SHUT_RDWR);
}

static void
wp_thread_process_wait_async (WpWorkerProcess    *process,
                              GCancellable       *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer            user_data)
{
  WpThreadProcess *self = WP_THREAD_PROCESS (process);
  GTask *task = g_task_new (self, NULL, callback, user_data);
  gboolean ended;

  g_task_set_source_tag (task, wp_thread_process_wait_async);

  g_mutex_lock (&self->life->lock);
  ended = self->life->ended;
  if (!ended)
    self->life->wait = g_object_ref (task);
  g_mutex_unlock (&self->life->lock);

  if (ended)
    g_task_return_int (task, self->life->status);
  g_object_unref (task);
}

static gboolean
wp_thread_process_wait_finish (WpWorkerProcess *process,
                               GAsyncResult    *result,
                               int             *status,
                               GError         **error)
{
  WpThreadProcess *self = WP_THREAD_PROCESS (process);

  g_return_val_if_fail (g_task_is_valid (result, process), FALSE);

  *status = (int) g_task_propagate_int (G_TASK (result), error);
  /* It is at its last lines, and nothing of it may be left. */
  g_clear_pointer (&self->thread, g_thread_join);

  return TRUE;
}

static void
wp_thread_process_class_init (WpThreadProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  WpWorkerProcessClass *process_class = WP_WORKER_PROCESS_CLASS (klass);

  object_class->finalize = wp_thread_process_finalize;

  process_class->get_channel = wp_thread_process_get_channel;
  process_class->get_pid = wp_thread_process_get_pid;
  process_class->send_signal = wp_thread_process_send_signal;
  process_class->wait_async = wp_thread_process_wait_async;
  process_class->wait_finish = wp_thread_process_wait_finish;
}

static void
wp_thread_process_init (WpThreadProcess *self)
{
}

WpWorkerProcess *
wp_thread_process_new (int           worker_fd,
                       GIOStream    *channel,
                       gconstpointer pool,
                       GVariant     *shared_objects,
                       GError      **error)
{
  g_autoptr (WpThreadProcess) self = NULL;
  g_autoptr (GMainContext) context = NULL;
  Life *life;

  /* Here, where there is somebody to tell of an error. */
  context = wp_context_new (error);
  if (context == NULL)
    {
      close (worker_fd);
      return NULL;
    }

  self = g_object_new (WP_TYPE_THREAD_PROCESS, NULL);
  life = g_new0 (Life, 1);
  g_atomic_ref_count_init (&life->ref_count);
  g_mutex_init (&life->lock);
  life->request.channel = worker_fd;
  life->request.is_thread = TRUE;
  life->request.asked = &life->asked;
  life->request.pool = pool;
  life->request.context = context;
  if (shared_objects != NULL)
    life->request.shared_objects = g_variant_ref (shared_objects);

  self->life = life;
  self->channel = g_object_ref (channel);

  g_atomic_ref_count_inc (&life->ref_count);
  self->thread = g_thread_try_new (WP_WORKER_THREAD, run_worker, life, error);
  if (self->thread == NULL)
    {
      life_unref (life);
      close (worker_fd);
      return NULL;
    }
  g_steal_pointer (&context);

  return WP_WORKER_PROCESS (g_steal_pointer (&self));
}
