/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-spawned-process.h"
#include "launch/wp-worker-process-private.h"

#include <signal.h>

struct _WpSpawnedProcess
{
  WpWorkerProcess parent_instance;

  GSubprocess *subprocess;
  GIOStream *channel;
  int pid;
};

G_DEFINE_FINAL_TYPE (WpSpawnedProcess, wp_spawned_process, WP_TYPE_WORKER_PROCESS)

static void
wp_spawned_process_finalize (GObject *object)
{
  WpSpawnedProcess *self = WP_SPAWNED_PROCESS (object);

  g_clear_object (&self->channel);
  g_clear_object (&self->subprocess);

  G_OBJECT_CLASS (wp_spawned_process_parent_class)->finalize (object);
}

static GIOStream *
wp_spawned_process_get_channel (WpWorkerProcess *process)
{
  return WP_SPAWNED_PROCESS (process)->channel;
}

static int
wp_spawned_process_get_pid (WpWorkerProcess *process)
{
  return WP_SPAWNED_PROCESS (process)->pid;
}

static void
wp_spawned_process_send_signal (WpWorkerProcess *process,
                                int              signum)
{
  g_subprocess_send_signal (WP_SPAWNED_PROCESS (process)->subprocess, signum);
}

static void
on_subprocess_ended (GObject      *source,
                     GAsyncResult *result,
                     gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  WpSpawnedProcess *self = g_task_get_source_object (task);
  GError *error = NULL;

  /* A worker leads a process group, so what its tasks have started and left ends with it. A host that leads none has
   * no group of that number. */
  if (self->pid > 0)
    kill (-self->pid, SIGKILL);

  if (g_subprocess_wait_finish (G_SUBPROCESS (source), result, &error))
    g_task_return_int (task, g_subprocess_get_status (G_SUBPROCESS (source)));
  else
    g_task_return_error (task, error);
}

static void
wp_spawned_process_wait_async (WpWorkerProcess    *process,
                               GCancellable       *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer            user_data)
{
  WpSpawnedProcess *self = WP_SPAWNED_PROCESS (process);
  g_autoptr (GTask) task = NULL;

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, wp_spawned_process_wait_async);
  /* A process that has been reaped has ended, whatever else was asked meanwhile. */
  g_task_set_check_cancellable (task, FALSE);
  g_subprocess_wait_async (self->subprocess, cancellable, on_subprocess_ended, g_steal_pointer (&task));
}

static void
wp_spawned_process_class_init (WpSpawnedProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  WpWorkerProcessClass *process_class = WP_WORKER_PROCESS_CLASS (klass);

  object_class->finalize = wp_spawned_process_finalize;

  process_class->get_channel = wp_spawned_process_get_channel;
  process_class->get_pid = wp_spawned_process_get_pid;
  process_class->send_signal = wp_spawned_process_send_signal;
  process_class->wait_async = wp_spawned_process_wait_async;
  process_class->wait_finish = wp_worker_process_finish_wait;
}

static void
wp_spawned_process_init (WpSpawnedProcess *self)
{
}

WpWorkerProcess *
wp_spawned_process_new (GSubprocess *subprocess,
                        GIOStream   *channel)
{
  WpSpawnedProcess *self = g_object_new (WP_TYPE_SPAWNED_PROCESS, NULL);
  const char *identifier = g_subprocess_get_identifier (subprocess);

  self->subprocess = g_object_ref (subprocess);
  g_set_object (&self->channel, channel);
  /* GSubprocess forgets the number when it reaps; reports about a dead worker still name it. One that ended before
   * this line is reported without. */
  if (identifier != NULL)
    self->pid = (int) g_ascii_strtoll (identifier, NULL, 10);

  return WP_WORKER_PROCESS (self);
}
