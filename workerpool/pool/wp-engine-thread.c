/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-shared-buffer.h"
#include "pool/wp-live-engines.h"

/* Events taken from epoll at once. */
#define MAX_EVENTS 64

typedef struct
{
  GSource source;
  WpEngine *engine;
} EngineSource;

/* When the task began that ended with its worker, as far as that is known; it ran until now. */
static void
note_interrupted (WpEngine *self, WpLink *link, const WpHeldChunk *running)
{
  const gint64 now = wp_engine_now ();
  gint64 started;
  guint offset;

  if (!self->config.settings.timed || running->sequence == 0 ||
      !wp_link_get_running (link, running->sequence, running->n_tasks, running->n_results, &offset, &started) ||
      offset != running->n_results)
    return;

  link->interrupted.started = CLAMP (started, MIN (link->busy_until, now), now);
  link->interrupted.elapsed = now - link->interrupted.started;
  wp_engine_count_interrupted (self, link, running);
}

/* A worker has ended, or was never there; takes the reason. */
static void
report_gone (WpEngine *self, WpLink *link, GError *reason)
{
  g_autofree WpHeldChunk *held = NULL;
  WpHeldChunk running = { 0 };
  guint n;

  held = wp_engine_get_held (self, link->id, &n);
  for (guint i = 0; i < n && link->channel != NULL && running.sequence == 0; i++)
    if (wp_link_was_running (link, held[i].sequence, held[i].n_tasks, held[i].n_results))
      running = held[i];

  note_interrupted (self, link, &running);
  if (running.sequence != 0 && link->board != NULL)
    link->notes = wp_board_salvage_notes (link->board);
  if (self->insights != NULL)
    wp_insights_ended (self->insights, link->id, wp_engine_now ());

  if (link->state == WP_LINK_LAUNCHING || link->state == WP_LINK_STARTING || link->state == WP_LINK_INITIALIZING)
    {
      self->start_error_is_init = link->init_failed;
      g_clear_error (&self->start_error);
      self->start_error = g_error_copy (reason);
    }

  /* Until the next launch: the errors of the tasks that it ran name it. */
  wp_engine_forget_sender (self, link);
  wp_link_reset (link);
  g_clear_error (&link->cause);
  link->cause = reason;

  wp_scheduler_worker_gone (self->scheduler, link->id, running.sequence != 0, running.sequence,
                            running.n_results, wp_engine_now ());
  wp_engine_pump (self);
}

typedef struct
{
  WpEngine *engine;
  guint worker;
} Wait;

static void
on_process_ended (GObject *object, GAsyncResult *result, gpointer user_data)
{
  WpWorkerProcess *process = WP_WORKER_PROCESS (object);
  g_autofree Wait *wait = user_data;
  g_autoptr (WpEngine) self = wait->engine;
  g_autoptr (GError) ending = NULL;
  g_autoptr (GError) error = NULL;
  WpLink *link = self->links[wait->worker];
  gboolean asked;
  GError *reason;
  int status = 0;
  int pid;

  wp_engine_lock (self);
  wp_engine_claim_link (self, link);
  wp_engine_unlock (self);

  wp_worker_process_wait_finish (process, result, &status, &error);

  /* What it sent before it ended still counts, also when a stray child of it keeps the channel open. */
  if (link->reading)
    wp_engine_read_frames (self, link, &ending);
  wp_engine_salvage (self, link);

  wp_engine_lock (self);
  if (error != NULL)
    wp_link_set_cause (link, g_steal_pointer (&error));
  if (ending != NULL && ending->domain == WP_ERROR)
    wp_link_set_cause (link, g_steal_pointer (&ending));
  wp_engine_stop_reading (self, link);
  asked = link->unwanted || (link->state == WP_LINK_STOPPING && link->cause == NULL && status == 0);
  pid = link->pid;
  reason = wp_engine_explain_end (self, link, wp_link_describe_exit (link, status));
  if (self->pool != NULL)
    self->observer->worker_exited (self->pool, link->id, pid,
                                   asked ? NULL : reason);
  report_gone (self, link, reason);
  wp_engine_unlock (self);
}

static void
launch (WpEngine *self, WpLink *link)
{
  g_autoptr (WpWorkerProcess) process = NULL;
  g_autoptr (GError) error = NULL;
  Wait *wait;

  wp_engine_lock (self);
  g_clear_error (&link->cause);
  link->launched = wp_engine_now ();
  link->busy_until = link->launched;
  if (self->insights != NULL)
    wp_insights_launched (self->insights, link->id, link->launched);
  link->interrupted = (WpTaskTimes){ 0 };
  g_clear_pointer (&link->notes, g_bytes_unref);
  if (link->signal != 0 || link->stop_sent)
    {
      /* Ended before it began. */
      report_gone (self, link,
                   g_error_new (WP_ERROR, WP_ERROR_START_FAILED, "the start of worker %u was cancelled",
                                link->id));
      wp_engine_unlock (self);
      return;
    }
  wp_engine_unlock (self);

  /* Before a fork: its copy would keep the memory that this frees. */
  if (self->config.settings.shared_objects != NULL)
    wp_shared_objects_share (self->config.settings.shared_objects);
  process = wp_launcher_launch (self->config.launcher, link->id, &error);

  wp_engine_lock (self);
  if (process == NULL)
    {
      report_gone (self, link, g_steal_pointer (&error));
      wp_engine_unlock (self);
      return;
    }

  if (wp_link_open (link, process, &self->config.settings, &error) && !wp_engine_start_polling (self, link))
    g_set_error (&error, G_IO_ERROR, g_io_error_from_errno (errno),
                 "its channel cannot be polled: %s", g_strerror (errno));

  if (error != NULL)
    wp_engine_give_up_on (self, link, g_error_copy (error));
  else if (link->signal != 0)
    g_queue_push_tail (&self->signals, GUINT_TO_POINTER (link->id));
  else
    {
      if (link->stop_sent)
        wp_link_send_stop (link);
      wp_engine_update_polling (self, link);
      link->start_deadline = wp_engine_now () + self->config.start_timeout * G_GINT64_CONSTANT (1000000);
      wp_engine_wake_at (self, link->start_deadline);
    }
  wp_engine_pump (self);
  wp_engine_unlock (self);

  wait = g_new (Wait, 1);
  wait->engine = wp_engine_ref (self);
  wait->worker = link->id;
  wp_worker_process_wait_async (process, NULL, on_process_ended, wait);
}

static void
launch_all (WpEngine *self)
{
  for (;;)
    {
      gpointer id;
      gboolean found;

      wp_engine_lock (self);
      found = !g_queue_is_empty (&self->launches);
      id = g_queue_pop_head (&self->launches);
      wp_engine_unlock (self);

      if (!found)
        return;
      launch (self, self->links[GPOINTER_TO_UINT (id)]);
    }
}

/* A worker that is a thread gets no signal that would wake it: its task may watch its cancellable. */
static void
ring (WpEngine *self, WpLink *link, WpWorkerProcess *process)
{
  wp_engine_lock (self);
  if (link->process == process && link->board != NULL)
    wp_board_ring (link->board);
  wp_engine_unlock (self);
}

static void
send_signals (WpEngine *self)
{
  for (;;)
    {
      g_autoptr (WpWorkerProcess) process = NULL;
      WpLink *link;
      int signum = 0;

      wp_engine_lock (self);
      if (g_queue_is_empty (&self->signals))
        {
          wp_engine_unlock (self);
          return;
        }
      link = self->links[GPOINTER_TO_UINT (g_queue_pop_head (&self->signals))];
      if (link->process != NULL)
        {
          process = g_object_ref (link->process);
          signum = link->signal;
          link->signal = 0;
        }
      wp_engine_unlock (self);

      if (signum != 0)
        {
          wp_worker_process_send_signal (process, signum);
          ring (self, link, process);
        }
    }
}

/* Copies of large arguments take milliseconds, which nobody should spend waiting for the lock. */
static void
send_large_chunks (WpEngine *self)
{
  for (;;)
    {
      WpLargeChunk *large;
      WpLink *link;
      gsize length = 0;
      int fd;

      wp_engine_lock (self);
      large = g_queue_pop_head (&self->large_chunks);
      wp_engine_unlock (self);
      if (large == NULL)
        return;

      for (guint i = 0; i < large->body->len; i++)
        length += g_bytes_get_size (g_ptr_array_index (large->body, i));
      fd = wp_shared_buffer_create (large->body, NULL);

      wp_engine_lock (self);
      link = self->links[large->worker];
      if (link->channel != NULL && link->generation == large->generation)
        {
          g_autoptr (GError) error = NULL;
          WpHeldChunk chunk;

          if (fd >= 0)
            {
              if (!wp_channel_send_shared (link->channel, &large->header, large->head, fd, length, &error) &&
                  wp_engine_find_held (self, link->id, large->header.sequence, &chunk))
                wp_engine_answer_unsent (self, link, chunk.sequence, chunk.n_tasks, error);
            }
          else if (wp_engine_find_held (self, link->id, large->header.sequence, &chunk))
            wp_engine_send_chunk_bytes (self, link, &large->header, large->head, large->body, chunk.n_tasks);
          wp_engine_update_polling (self, link);
          wp_engine_pump (self);
        }
      wp_engine_unlock (self);

      if (fd >= 0)
        close (fd);
      wp_large_chunk_free (large);
    }
}

/* The worker's side of the channel is closed; else it is this side that cannot go on. */
static gboolean
is_end_of_channel (const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
         g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT) ||
         g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
}

void
wp_engine_read (WpEngine *self, WpLink *link)
{
  g_autoptr (GError) error = NULL;

  if (wp_engine_read_frames (self, link, &error))
    return;

  wp_engine_lock (self);
  if (error->domain == WP_ERROR)
    wp_engine_give_up_on (self, link, g_steal_pointer (&error));
  else if (link->state == WP_LINK_STOPPING)
    wp_engine_stop_reading (self, link);
  else if (!is_end_of_channel (error))
    wp_engine_give_up_on (self, link,
                          g_error_new (WP_ERROR, WP_ERROR_WORKER_DIED,
                                       "was ended because nothing can be received from it: %s",
                                       error->message));
  else
    {
      /* Most often the worker is dying, and how it dies says more than that its channel ended. One
       * that closed its channel and lives on is of no use. */
      wp_engine_stop_reading (self, link);
      wp_engine_signal_later (self, link, SIGKILL);
    }
  wp_engine_unlock (self);
}

static void
handle_event (WpEngine *self, WpLink *link, guint32 events)
{
  if (link->channel == NULL || !link->reading)
    return;

  /* A pipe that is full when its reader closes it has an error, and no room. */
  if (events & (EPOLLOUT | EPOLLERR))
    {
      g_autoptr (GError) error = NULL;

      wp_engine_lock (self);
      if (!wp_channel_flush (link->channel, &error))
        wp_engine_end_deaf (self, link, error);
      wp_engine_update_polling (self, link);
      wp_engine_unlock (self);
    }

  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
    wp_engine_read (self, link);
}

static void
handle_events (WpEngine *self)
{
  struct epoll_event events[MAX_EVENTS];
  int n = epoll_wait (self->epoll, events, MAX_EVENTS, 0);

  for (int i = 0; i < n; i++)
    {
      WpLink *link = self->links[events[i].data.u32];

      /* A thread that has just borrowed it sees the event, too. */
      if (!wp_engine_begin_reading (link, WP_LINK_READ_BY_ENGINE))
        continue;
      handle_event (self, link, events[i].events);
      wp_engine_end_reading (link);
    }
}

static void
run_calls (WpEngine *self)
{
  g_autoptr (GArray) calls = NULL;

  wp_engine_lock (self);
  if (self->calls->len > 0)
    {
      calls = g_steal_pointer (&self->calls);
      self->calls = g_array_new (FALSE, FALSE, sizeof (WpEngineCall));
    }
  wp_engine_unlock (self);

  for (guint i = 0; calls != NULL && i < calls->len; i++)
    {
      const WpEngineCall *call = &g_array_index (calls, WpEngineCall, i);

      call->func (call->data, NULL);
    }
}

/* What others have left for the thread; they wake it. */
static gboolean
has_work (WpEngine *self)
{
  return !g_queue_is_empty (&self->launches) || !g_queue_is_empty (&self->large_chunks) ||
         !g_queue_is_empty (&self->signals) || self->calls->len > 0;
}

static gboolean
engine_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  WpEngine *self = ((EngineSource *) source)->engine;
  gboolean work;
  gint64 now;

  handle_events (self);

  /* Without the lock, which the threads that the events have woken want. Who sets an earlier time after this sees to
   * another dispatch. */
  now = wp_engine_now ();
  if (now < __atomic_load_n (&self->wake_time, __ATOMIC_RELAXED))
    return G_SOURCE_CONTINUE;

  wp_engine_lock (self);
  /* From here on a wake-up is a new one. */
  wp_engine_set_wake_time (self, G_MAXINT64);
  wp_engine_pump (self);
  wp_engine_wake_at (self, wp_engine_check_deadlines (self, now));
  wp_engine_wake_at (self, wp_engine_check_events (self, now));
  wp_engine_wake_at (self, wp_engine_check_expected (self, now));
  work = has_work (self);
  self->ended = self->state == ENGINE_STOPPED;
  wp_engine_unlock (self);

  if (work)
    {
      launch_all (self);
      send_large_chunks (self);
      run_calls (self);
      send_signals (self);
    }

  return G_SOURCE_CONTINUE;
}

static GSourceFuncs engine_source_funcs = {
  .dispatch = engine_source_dispatch,
};

gpointer
wp_engine_run (gpointer data)
{
  g_autoptr (WpEngine) self = data;
  g_autoptr (GArray) calls = NULL;

  g_main_context_push_thread_default (self->context);
  while (!self->ended)
    g_main_context_iteration (self->context, TRUE);
  run_calls (self);
  wp_launcher_shut_down (self->config.launcher);
  if (self->config.settings.shared_objects != NULL)
    wp_shared_objects_close (self->config.settings.shared_objects);
  wp_live_engines_remove (self);
  g_main_context_pop_thread_default (self->context);

  wp_engine_lock (self);
  calls = g_steal_pointer (&self->stop_calls);
  wp_engine_unlock (self);
  for (guint i = 0; i < calls->len; i++)
    {
      const WpEngineCall *call = &g_array_index (calls, WpEngineCall, i);

      call->func (call->data, NULL);
    }

  return NULL;
}

GSource *
wp_engine_source_new (WpEngine *self)
{
  GSource *source = g_source_new (&engine_source_funcs, sizeof (EngineSource));

  ((EngineSource *) source)->engine = self;
  g_source_set_static_name (source, "WorkerPool engine");
  g_source_add_unix_fd (source, self->epoll, G_IO_IN);
  /* To keep a source from recursing GLib takes its descriptor out of the poll and puts it back, at three system
   * calls a dispatch; this one may recurse, below a launcher that runs its thread's main context. */
  g_source_set_can_recurse (source, TRUE);

  return source;
}
