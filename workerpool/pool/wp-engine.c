/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-shared-buffer.h"
#include "pool/wp-link.h"

/* How long a worker that was asked to end may take before it is killed. */
#define STOP_GRACE_NS (5 * G_GINT64_CONSTANT (1000000000))
/* Events taken from epoll at once. */
#define MAX_EVENTS 64

typedef enum
{
  ENGINE_IDLE, /* no thread yet */
  ENGINE_RUNNING,
  ENGINE_DRAINING,
  ENGINE_TERMINATED,
  ENGINE_STOPPED, /* no worker is left; the thread has ended or is about to */
} EngineState;

/* A chunk whose arguments are written to shared memory by the engine's thread, without the lock. */
typedef struct
{
  guint worker;
  guint generation;
  WpFrameHeader header;
  guint8 *head;
  GPtrArray *body;
} LargeChunk;

typedef struct
{
  GFunc func;
  gpointer data;
} EngineCall;

struct _WpEngine
{
  gatomicrefcount ref_count;
  WpEngineConfig config; /* 'launcher' is a reference */
  const WpEngineObserver *observer;

  GMutex lock;
  EngineState state;
  gpointer pool; /* not a reference; NULL once detached */
  WpScheduler *scheduler;
  gboolean pumping;
  WpLink **links; /* n_jobs */
  guint64 n_jobs_submitted;
  GError *start_error; /* why the last worker did not come up */
  GArray *stop_calls;  /* EngineCall */

  /* Work for the thread. */
  GQueue launches; /* worker ids */
  GQueue signals;  /* worker ids */
  GQueue large_chunks;
  GArray *calls; /* EngineCall */
  gint64 wake_time; /* as the source has it, ns */

  GThread *thread; /* until it was joined */
  gboolean joining;
  GCond stopped; /* the state is, or the thread was joined, or a wait was cancelled */
  GMainContext *context;
  GSource *source;
  int epoll;
};

typedef struct
{
  GSource source;
  WpEngine *engine;
} EngineSource;

static void pump (WpEngine *self);

static gint64
now_ns (void)
{
  return g_get_monotonic_time () * 1000;
}

static void
large_chunk_free (LargeChunk *large)
{
  g_free (large->head);
  g_ptr_array_unref (large->body);
  g_free (large);
}

void
wp_engine_lock (WpEngine *self)
{
  g_mutex_lock (&self->lock);
}

void
wp_engine_unlock (WpEngine *self)
{
  g_mutex_unlock (&self->lock);
}

GMutex *
wp_engine_get_mutex (WpEngine *self)
{
  return &self->lock;
}

/* Jobs */

static void
job_changed (WpJob *job)
{
  g_cond_broadcast (&job->condition);
  if (job->changed != NULL)
    job->changed (job, job->changed_data);
}

/* A task failed for good: what it means for the others. */
static void
stop_on_failure (WpEngine *self, WpJob *job, GError *failure)
{
  if (job->failure != NULL || job->cancelled)
    {
      g_error_free (failure);
      return;
    }

  job->failure = failure;
  if (job->on_error == WP_ON_ERROR_STOP)
    wp_scheduler_cancel (self->scheduler, job->scheduled, now_ns ());
}

static void
job_add_results (WpEngine     *self,
                 WpJob        *job,
                 guint64       first,
                 guint         n,
                 GBytes       *payload,
                 guint         skip,
                 guint         n_failed,
                 GError       *first_failure)
{
  wp_items_drop (job->items, first, n);
  wp_result_queue_add (job->results, first, n, payload, skip);
  job->n_ended += n;
  job->n_failed += n_failed;

  if (self->pool != NULL)
    self->observer->completed (self->pool, job, first, n, payload, skip);

  if (first_failure != NULL)
    stop_on_failure (self, job, first_failure);

  job_changed (job);
}

static void
job_fail_tasks (WpEngine *self, WpJob *job, guint64 first, guint n, const GError *error)
{
  wp_items_drop (job->items, first, n);
  wp_result_queue_add_error (job->results, first, n, error);
  job->n_ended += n;
  job->n_failed += n;

  if (self->pool != NULL)
    self->observer->failed (self->pool, job, first, n, error);

  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    stop_on_failure (self, job, g_error_copy (error));

  job_changed (job);
}

static GError *
describe_failure (WpEngine *self, WpJob *job, const WpAction *action)
{
  const GError *cause;

  switch (action->reason)
    {
    case WP_FAIL_WORKER_DIED:
      cause = self->links[action->worker]->cause;
      return g_error_new (cause->domain, cause->code,
                          "%s while it ran task %" G_GUINT64_FORMAT " of “%s”%s", cause->message,
                          action->first, job->function,
                          action->attempt > 0 ? ", which had been run before" : "");
    case WP_FAIL_NO_WORKER:
      return g_error_new (WP_ERROR, WP_ERROR_START_FAILED, "no worker could be started for “%s”: %s",
                          job->function,
                          self->start_error != NULL ? self->start_error->message
                                                    : "each of them ended before it ran a task");
    case WP_FAIL_CANCELLED:
      if (job->failure != NULL && !job->cancelled)
        return g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                            "the task was cancelled because another one failed: %s",
                            job->failure->message);
      return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the task was cancelled");
    case WP_FAIL_TERMINATED:
      return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                  "the task was cancelled because its pool was terminated");
    default:
      g_assert_not_reached ();
    }
}

/* Links */

static void
update_polling (WpEngine *self, WpLink *link)
{
  int input = wp_channel_get_input_fd (link->channel);
  int output = wp_channel_get_output_fd (link->channel);
  gboolean writing = wp_channel_has_output (link->channel);
  struct epoll_event event = { .events = EPOLLIN, .data.u32 = link->id };

  /* Called on each change; asking for what is asked for already costs a system call, so reading, the
   * lasting interest, is registered once and only writing comes and goes. */
  if (input == output)
    {
      event.events = EPOLLIN | (writing ? EPOLLOUT : 0);
      epoll_ctl (self->epoll, EPOLL_CTL_MOD, input, &event);
      return;
    }

  event.events = EPOLLOUT;
  epoll_ctl (self->epoll, writing ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, output, &event);
}

static gboolean
start_polling (WpEngine *self, WpLink *link)
{
  struct epoll_event event = { .events = EPOLLIN, .data.u32 = link->id };

  return epoll_ctl (self->epoll, EPOLL_CTL_ADD, wp_channel_get_input_fd (link->channel), &event) == 0;
}

static void
stop_reading (WpEngine *self, WpLink *link)
{
  if (!link->reading)
    return;

  link->reading = FALSE;
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, wp_channel_get_input_fd (link->channel), NULL);
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, wp_channel_get_output_fd (link->channel), NULL);
}

static void
wake (WpEngine *self)
{
  if (self->wake_time == 0)
    return;

  self->wake_time = 0;
  g_source_set_ready_time (self->source, 0);
}

static void
signal_later (WpEngine *self, WpLink *link, int signum)
{
  if (link->signal == 0)
    g_queue_push_tail (&self->signals, GUINT_TO_POINTER (link->id));
  /* SIGKILL is never weakened to SIGTERM. */
  if (link->signal != SIGKILL)
    link->signal = signum;
  wake (self);
}

/* Puts an end to a worker that cannot be talked to any more. */
static void
give_up_on (WpEngine *self, WpLink *link, GError *cause)
{
  wp_link_set_cause (link, cause);
  stop_reading (self, link);
  signal_later (self, link, SIGKILL);
}

/* Answers for the worker that every task of the chunk failed with this error. */
static void
answer_chunk (WpEngine *self, WpLink *link, guint64 sequence, guint n_tasks, const GError *error)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GPtrArray) segments = NULL;
  WpResultsRange range;

  for (guint i = 0; i < n_tasks; i++)
    wp_payload_writer_add_error (writer, error);
  segments = wp_payload_writer_finish (writer);

  if (wp_scheduler_results (self->scheduler, link->id, sequence, 0, n_tasks, 0, TRUE, FALSE, now_ns (),
                            &range) &&
      range.deliver)
    job_fail_tasks (self, range.tag, range.first, range.n_tasks, error);
}

static void
send_chunk_bytes (WpEngine            *self,
                  WpLink              *link,
                  const WpFrameHeader *header,
                  const guint8        *head,
                  GPtrArray           *body,
                  guint                n_tasks)
{
  g_autoptr (GError) error = NULL;
  gboolean had_output = wp_channel_has_output (link->channel);

  if (wp_channel_send (link->channel, header, head, body, -1, &error))
    {
      if (wp_channel_has_output (link->channel) != had_output)
        update_polling (self, link);
    }
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE))
    {
      answer_chunk (self, link, header->sequence, n_tasks, error);
    }
  /* Any other error is the end of the channel, which is going to be read. */
}

static void
send_chunk (WpEngine *self, const WpAction *action)
{
  WpLink *link = self->links[action->worker];
  WpJob *job = action->tag;
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .sequence = action->sequence };
  g_autoptr (WpPayloadWriter) writer = NULL;
  g_autoptr (GPtrArray) body = NULL;
  g_autofree guint8 *head = NULL;
  gsize head_size, size;

  head = wp_link_make_head (job->function, action->first, action->n_tasks, &head_size);
  header.head_length = (guint32) head_size;

  if (link->board != NULL)
    wp_board_open_chunk (link->board, action->sequence, action->n_tasks);

  if (job->shared_fd >= 0 && wp_link_can_share (link))
    {
      wp_channel_send_shared (link->channel, &header, head, job->shared_fd, job->shared_length, NULL);
      return;
    }

  writer = wp_payload_writer_new ();
  wp_items_write (job->items, action->first, action->n_tasks, writer);
  size = wp_payload_writer_get_size (writer);
  body = wp_payload_writer_finish (writer);

  if (size >= WP_PAYLOAD_LARGE && wp_link_can_share (link))
    {
      LargeChunk *large = g_new0 (LargeChunk, 1);

      large->worker = link->id;
      large->generation = link->generation;
      large->header = header;
      large->head = g_steal_pointer (&head);
      large->body = g_steal_pointer (&body);
      g_queue_push_tail (&self->large_chunks, large);
      wake (self);
      return;
    }

  send_chunk_bytes (self, link, &header, head, body, action->n_tasks);
}

static WpHeldChunk *
get_held (WpEngine *self, guint worker, guint *n)
{
  WpHeldChunk *held = g_new (WpHeldChunk, WP_BOARD_SLOTS);

  *n = wp_scheduler_get_held (self->scheduler, worker, held, WP_BOARD_SLOTS);
  return held;
}

static gboolean
find_held (WpEngine *self, guint worker, guint64 sequence, WpHeldChunk *chunk)
{
  g_autofree WpHeldChunk *held = NULL;
  guint n;

  held = get_held (self, worker, &n);
  for (guint i = 0; i < n; i++)
    if (held[i].sequence == sequence)
      {
        *chunk = held[i];
        return TRUE;
      }

  return FALSE;
}

static void
run_action (WpEngine *self, const WpAction *action)
{
  WpLink *link = self->links[action->worker];
  WpJob *job = action->tag;
  WpHeldChunk chunk;

  switch (action->type)
    {
    case WP_ACTION_START_WORKER:
      link->state = WP_LINK_LAUNCHING;
      g_queue_push_tail (&self->launches, GUINT_TO_POINTER (link->id));
      wake (self);
      break;

    case WP_ACTION_STOP_WORKER:
      link->state = WP_LINK_STOPPING;
      wp_link_send_stop (link);
      break;

    case WP_ACTION_KILL_WORKER:
      signal_later (self, link, action->signal);
      break;

    case WP_ACTION_SEND_CHUNK:
      send_chunk (self, action);
      break;

    case WP_ACTION_RECALL:
      {
        guint n = 0;

        if (find_held (self, action->worker, action->sequence, &chunk))
          n = wp_link_recall (link, chunk.sequence, chunk.n_tasks, chunk.n_results, action->n_tasks);
        wp_scheduler_recalled (self->scheduler, action->worker, action->sequence, n);
      }
      break;

    case WP_ACTION_CANCEL_TASK:
      if (find_held (self, action->worker, action->sequence, &chunk))
        wp_link_cancel_task (link, chunk.sequence, chunk.n_tasks, chunk.n_results);
      break;

    case WP_ACTION_FAIL_TASKS:
      {
        g_autoptr (GError) error = describe_failure (self, job, action);

        if (action->reason != WP_FAIL_WORKER_DIED && job->interruption == NULL)
          job->interruption = g_error_copy (error);
        job_fail_tasks (self, job, action->first, action->n_tasks, error);
      }
      break;

    case WP_ACTION_BATCH_ENDED:
      job->scheduled = NULL;
      job->closed = TRUE;
      job->ended = TRUE;
      job_changed (job);
      wp_job_unref (job);
      break;

    case WP_ACTION_DRAINED:
      if (self->pool != NULL)
        self->observer->drained (self->pool);
      break;

    case WP_ACTION_STOPPED:
      self->state = ENGINE_STOPPED;
      g_cond_broadcast (&self->stopped);
      wake (self);
      break;

    default:
      g_assert_not_reached ();
    }
}

/* Runs what the scheduler wants, and sees to it that the thread wakes when it wants more. */
static void
pump (WpEngine *self)
{
  WpAction action;
  gint64 deadline;

  /* An action may let a waiting caller push more; the loop that runs the action goes on with it. */
  if (self->pumping)
    return;

  self->pumping = TRUE;
  while (wp_scheduler_next_action (self->scheduler, now_ns (), &action))
    run_action (self, &action);
  self->pumping = FALSE;

  /* A wake-up too early finds nothing to do, and costs less than moving the time at every event. */
  deadline = wp_scheduler_get_deadline (self->scheduler);
  if (deadline < self->wake_time && self->source != NULL)
    {
      self->wake_time = deadline;
      g_source_set_ready_time (self->source, deadline / 1000 + 1);
    }
}

/* What the workers send */

/* Checks every record of a worker's results and finds the failed ones among those from 'skip' on. */
static gboolean
check_results (GBytes  *payload,
               guint    skip,
               guint   *n_records,
               guint   *n_failed,
               GError **first_failure,
               GError **error)
{
  g_auto (WpPayloadReader) reader = { 0 };
  WpRecord record;
  g_autoptr (GError) malformed = NULL;

  *n_records = 0;
  *n_failed = 0;
  *first_failure = NULL;

  wp_payload_reader_init (&reader, payload, FALSE);
  while (wp_payload_reader_next (&reader, &record, &malformed))
    {
      if (record.is_error && *n_records >= skip && (*n_failed)++ == 0)
        *first_failure = wp_payload_reader_get_error (&reader, &record);
      (*n_records)++;
    }

  if (malformed == NULL)
    return TRUE;

  g_clear_error (first_failure);
  g_propagate_error (error, g_steal_pointer (&malformed));
  return FALSE;
}

/* Takes one RESULTS frame. salvage: it comes from the board of a dead worker and may repeat results. */
static gboolean
take_results (WpEngine            *self,
              WpLink              *link,
              const WpFrameHeader *header,
              const WpResultsHead *head,
              GBytes              *payload,
              gboolean             salvage,
              GError             **error)
{
  g_autoptr (GError) first_failure = NULL;
  WpResultsRange range;
  guint n_records, n_failed;

  if (!check_results (payload, 0, &n_records, &n_failed, &first_failure, error))
    return FALSE;

  if (n_records != head->n_results)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                   "sent %u results in a frame that announces %u", n_records, head->n_results);
      return FALSE;
    }

  wp_engine_lock (self);
  if (!wp_scheduler_results (self->scheduler, link->id, header->sequence, head->offset, n_records,
                             head->elapsed, (header->flags & WP_FRAME_DONE) != 0, salvage, now_ns (),
                             &range))
    {
      wp_engine_unlock (self);
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                   "sent results %u to %u of chunk %" G_GUINT64_FORMAT ", which it was not asked for",
                   head->offset, head->offset + n_records, header->sequence);
      return FALSE;
    }

  if (range.deliver && range.n_tasks > 0)
    {
      if (range.skip > 0)
        {
          g_clear_error (&first_failure);
          check_results (payload, range.skip, &n_records, &n_failed, &first_failure, NULL);
        }
      job_add_results (self, range.tag, range.first, range.n_tasks, payload, range.skip, n_failed,
                       g_steal_pointer (&first_failure));
    }
  pump (self);
  wp_engine_unlock (self);

  return TRUE;
}

static gboolean
take_ready (WpEngine *self, WpLink *link, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (link->state != WP_LINK_STARTING)
    {
      /* A worker that was asked to end before it reported in does so all the same. */
      if (link->state == WP_LINK_STOPPING)
        return TRUE;
      g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "reported in twice");
      return FALSE;
    }

  link->state = WP_LINK_READY;
  link->start_deadline = 0;
  wp_scheduler_worker_ready (self->scheduler, link->id, link->board != NULL);
  if (self->pool != NULL)
    self->observer->worker_started (self->pool, link->id, link->pid);
  pump (self);

  return TRUE;
}

static gboolean
take_frame (WpEngine *self, WpLink *link, WpFrame *frame, GError **error)
{
  WpResultsHead results;
  WpTaskHead task;

  switch (frame->header.type)
    {
    case WP_FRAME_READY:
      return take_ready (self, link, error);

    case WP_FRAME_RESULTS:
      return wp_results_head_decode (&results, frame->head, frame->header.head_length, error) &&
             take_results (self, link, &frame->header, &results, frame->body, FALSE, error);

    case WP_FRAME_STARTED:
      if (!wp_task_head_decode (&task, frame->head, frame->header.head_length, error))
        return FALSE;
      wp_engine_lock (self);
      link->started_sequence = frame->header.sequence;
      link->started_offset = task.offset;
      wp_engine_unlock (self);
      return TRUE;

    case WP_FRAME_CONFIGURE:
    case WP_FRAME_CHUNK:
    case WP_FRAME_CANCEL:
    case WP_FRAME_LIST:
    case WP_FRAME_FUNCTIONS:
    case WP_FRAME_STOP:
    default:
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL, "sent a frame of type %d, which only a pool sends",
                   frame->header.type);
      return FALSE;
    }
}

/* Takes every frame that is there. FALSE: the channel has ended or broken. */
static gboolean
read_frames (WpEngine *self, WpLink *link, GError **error)
{
  for (;;)
    {
      g_auto (WpFrame) frame = { 0 };
      g_autoptr (GError) local_error = NULL;
      gboolean received;
      int attached = -1;

      /* Only this thread reads and closes the channel; the lock is against those who write to it. */
      wp_engine_lock (self);
      received = wp_channel_receive (link->channel, &frame, &attached, &local_error);
      wp_engine_unlock (self);

      if (attached >= 0)
        close (attached);

      if (local_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      if (!received)
        return TRUE;
      if (!take_frame (self, link, &frame, error))
        return FALSE;
    }
}

/* The results that a dead worker had committed to its board and not sent. */
static void
salvage_results (WpEngine *self, WpLink *link)
{
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data;
  gsize size, open, position = 0;

  if (link->board == NULL)
    return;

  bytes = wp_board_salvage (link->board, &open);
  if (bytes == NULL)
    return;

  data = g_bytes_get_data (bytes, &size);
  while (position + WP_FRAME_HEADER_SIZE + WP_RESULTS_HEAD_SIZE <= size)
    {
      g_autoptr (GBytes) payload = NULL;
      WpFrameHeader header;
      WpResultsHead head;
      gsize body = position + WP_FRAME_HEADER_SIZE + WP_RESULTS_HEAD_SIZE;
      gsize end;

      if (!wp_frame_header_decode (&header, data + position, NULL) ||
          header.type != WP_FRAME_RESULTS || header.head_length != WP_RESULTS_HEAD_SIZE ||
          !wp_results_head_decode (&head, data + position + WP_FRAME_HEADER_SIZE,
                                   WP_RESULTS_HEAD_SIZE, NULL))
        return;

      if (position >= open)
        {
          /* The frame that was being built: its header does not count its records yet. */
          guint64 n_bytes = size - body;
          g_autoptr (GBytes) rest = g_bytes_new_from_bytes (bytes, body, n_bytes);
          g_autoptr (GError) first_failure = NULL;
          guint n_failed;

          if (!check_results (rest, 0, &head.n_results, &n_failed, &first_failure, NULL))
            return;
          header.flags = 0;
          end = size;
        }
      else
        {
          if (header.body_length > size - body)
            return;
          end = body + header.body_length;
        }

      payload = g_bytes_new_from_bytes (bytes, body, end - body);
      if (!take_results (self, link, &header, &head, payload, TRUE, NULL))
        return;
      position = end;
    }
}

/* A worker has ended, or was never there; takes the reason. */
static void
report_gone (WpEngine *self, WpLink *link, GError *reason)
{
  g_autofree WpHeldChunk *held = NULL;
  WpHeldChunk running = { 0 };
  guint n;

  held = get_held (self, link->id, &n);
  for (guint i = 0; i < n && link->channel != NULL && running.sequence == 0; i++)
    if (wp_link_was_running (link, held[i].sequence, held[i].n_tasks, held[i].n_results))
      running = held[i];

  if (link->state == WP_LINK_LAUNCHING || link->state == WP_LINK_STARTING)
    {
      g_clear_error (&self->start_error);
      self->start_error = g_error_copy (reason);
    }

  /* Until the next launch: the errors of the tasks that it ran name it. */
  wp_link_reset (link);
  g_clear_error (&link->cause);
  link->cause = reason;

  wp_scheduler_worker_gone (self->scheduler, link->id, running.sequence != 0, running.sequence,
                            running.n_results, now_ns ());
  pump (self);
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
  g_autoptr (GError) error = NULL;
  WpLink *link = self->links[wait->worker];
  gboolean asked;
  GError *reason;
  int status = 0;
  int pid;

  if (!wp_worker_process_wait_finish (process, result, &status, &error))
    wp_link_set_cause (link, g_error_copy (error));

  /* What it sent before it ended still counts, also when a stray child of it keeps the channel open. */
  if (link->reading)
    {
      g_autoptr (GError) ending = NULL;

      if (!read_frames (self, link, &ending) && ending->domain == WP_ERROR)
        wp_link_set_cause (link, g_steal_pointer (&ending));
    }
  salvage_results (self, link);

  wp_engine_lock (self);
  stop_reading (self, link);
  asked = link->state == WP_LINK_STOPPING;
  pid = link->pid;
  reason = wp_link_describe_exit (link, status);
  if (self->pool != NULL)
    self->observer->worker_exited (self->pool, link->id, pid,
                                   asked && link->cause == NULL && status == 0 ? NULL : reason);
  report_gone (self, link, reason);
  wp_engine_unlock (self);
}

/* The thread */

static void
launch (WpEngine *self, WpLink *link)
{
  g_autoptr (WpWorkerProcess) process = NULL;
  g_autoptr (GError) error = NULL;
  Wait *wait;

  wp_engine_lock (self);
  g_clear_error (&link->cause);
  if (link->signal != 0)
    {
      /* Ended before it began. */
      report_gone (self, link,
                   g_error_new (WP_ERROR, WP_ERROR_START_FAILED, "the start of worker %u was cancelled",
                                link->id));
      wp_engine_unlock (self);
      return;
    }
  wp_engine_unlock (self);

  process = wp_launcher_launch (self->config.launcher, link->id, &error);

  wp_engine_lock (self);
  if (process == NULL)
    {
      report_gone (self, link, g_steal_pointer (&error));
      wp_engine_unlock (self);
      return;
    }

  if (wp_link_open (link, process, self->config.daemon, &error) && !start_polling (self, link))
    g_set_error (&error, G_IO_ERROR, g_io_error_from_errno (errno),
                 "its channel cannot be polled: %s", g_strerror (errno));

  if (error != NULL)
    give_up_on (self, link, g_error_copy (error));
  else if (link->signal != 0)
    g_queue_push_tail (&self->signals, GUINT_TO_POINTER (link->id));
  else
    link->start_deadline = now_ns () + self->config.start_timeout * G_GINT64_CONSTANT (1000000);
  pump (self);
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
        wp_worker_process_send_signal (process, signum);
    }
}

/* Copies of large arguments take milliseconds, which nobody should spend waiting for the lock. */
static void
send_large_chunks (WpEngine *self)
{
  for (;;)
    {
      LargeChunk *large;
      WpLink *link;
      g_autoptr (GError) error = NULL;
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
          WpHeldChunk chunk;

          if (fd >= 0)
            wp_channel_send_shared (link->channel, &large->header, large->head, fd, length, NULL);
          else if (find_held (self, link->id, large->header.sequence, &chunk))
            send_chunk_bytes (self, link, &large->header, large->head, large->body, chunk.n_tasks);
          if (wp_channel_has_output (link->channel))
            update_polling (self, link);
          pump (self);
        }
      wp_engine_unlock (self);

      if (fd >= 0)
        close (fd);
      large_chunk_free (large);
    }
}

static void
handle_events (WpEngine *self)
{
  struct epoll_event events[MAX_EVENTS];
  int n = epoll_wait (self->epoll, events, MAX_EVENTS, 0);

  for (int i = 0; i < n; i++)
    {
      WpLink *link = self->links[events[i].data.u32];
      g_autoptr (GError) error = NULL;

      if (link->channel == NULL || !link->reading)
        continue;

      if (events[i].events & EPOLLOUT)
        {
          wp_engine_lock (self);
          wp_channel_flush (link->channel, NULL);
          if (!wp_channel_has_output (link->channel))
            update_polling (self, link);
          wp_engine_unlock (self);
        }

      if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || read_frames (self, link, &error))
        continue;

      wp_engine_lock (self);
      if (link->state == WP_LINK_STOPPING && error->domain != WP_ERROR)
        stop_reading (self, link);
      else if (error->domain == WP_ERROR)
        give_up_on (self, link, g_steal_pointer (&error));
      else
        {
          /* Most often the worker is dying, and how it dies says more than that its channel ended. One
           * that closed its channel and lives on is of no use. */
          stop_reading (self, link);
          signal_later (self, link, SIGKILL);
        }
      wp_engine_unlock (self);
    }
}

/* Ends workers that have not reported in; returns when to look again. */
static gint64
check_start_deadlines (WpEngine *self, gint64 now)
{
  gint64 next = G_MAXINT64;

  for (guint i = 0; i < self->config.n_jobs; i++)
    {
      WpLink *link = self->links[i];

      if (link->start_deadline == 0)
        continue;

      if (link->start_deadline > now)
        {
          next = MIN (next, link->start_deadline);
          continue;
        }

      link->start_deadline = 0;
      give_up_on (self, link,
                  g_error_new (WP_ERROR, WP_ERROR_START_FAILED,
                               "did not report in within %u ms (start-timeout); is its host a "
                               "program that calls wp_worker_main()?",
                               self->config.start_timeout));
    }

  return next;
}

static void
run_calls (WpEngine *self)
{
  g_autoptr (GArray) calls = NULL;

  wp_engine_lock (self);
  if (self->calls->len > 0)
    {
      calls = g_steal_pointer (&self->calls);
      self->calls = g_array_new (FALSE, FALSE, sizeof (EngineCall));
    }
  wp_engine_unlock (self);

  for (guint i = 0; calls != NULL && i < calls->len; i++)
    {
      const EngineCall *call = &g_array_index (calls, EngineCall, i);

      call->func (call->data, NULL);
    }
}

static gboolean
engine_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  WpEngine *self = ((EngineSource *) source)->engine;
  gint64 next;

  handle_events (self);
  launch_all (self);
  send_large_chunks (self);
  run_calls (self);

  wp_engine_lock (self);
  /* From here on a wake-up is a new one. */
  self->wake_time = G_MAXINT64;
  g_source_set_ready_time (source, -1);
  pump (self);
  next = check_start_deadlines (self, now_ns ());
  if (next < self->wake_time)
    {
      self->wake_time = next;
      g_source_set_ready_time (source, next / 1000 + 1);
    }
  if (!g_queue_is_empty (&self->launches) || !g_queue_is_empty (&self->large_chunks) ||
      self->calls->len > 0)
    wake (self);
  wp_engine_unlock (self);

  send_signals (self);

  return G_SOURCE_CONTINUE;
}

static GSourceFuncs engine_source_funcs = {
  .dispatch = engine_source_dispatch,
};

static gboolean
has_stopped (WpEngine *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->state == ENGINE_STOPPED;
}

static gpointer
engine_thread (gpointer data)
{
  g_autoptr (WpEngine) self = data;
  g_autoptr (GArray) calls = NULL;

  g_main_context_push_thread_default (self->context);
  while (!has_stopped (self))
    g_main_context_iteration (self->context, TRUE);
  g_main_context_pop_thread_default (self->context);
  run_calls (self);

  wp_engine_lock (self);
  calls = g_steal_pointer (&self->stop_calls);
  wp_engine_unlock (self);
  for (guint i = 0; i < calls->len; i++)
    {
      const EngineCall *call = &g_array_index (calls, EngineCall, i);

      call->func (call->data, NULL);
    }

  return NULL;
}

/* From outside */

WpEngine *
wp_engine_new (const WpEngineConfig *config, const WpEngineObserver *observer, gpointer pool)
{
  const gint64 grace = config->grace_period * G_GINT64_CONSTANT (1000000);
  const WpSchedulerConfig scheduler_config = {
    .n_jobs = config->n_jobs,
    .depth = WP_BOARD_SLOTS,
    .cancel_grace = grace,
    .stop_grace = STOP_GRACE_NS,
  };
  WpEngine *self = g_new0 (WpEngine, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->config = *config;
  self->config.launcher = g_object_ref (config->launcher);
  self->observer = observer;
  self->pool = pool;
  g_mutex_init (&self->lock);
  g_cond_init (&self->stopped);
  self->scheduler = wp_scheduler_new (&scheduler_config);
  self->links = g_new0 (WpLink *, config->n_jobs);
  for (guint i = 0; i < config->n_jobs; i++)
    self->links[i] = wp_link_new (i);
  self->stop_calls = g_array_new (FALSE, FALSE, sizeof (EngineCall));
  self->calls = g_array_new (FALSE, FALSE, sizeof (EngineCall));
  g_queue_init (&self->launches);
  g_queue_init (&self->signals);
  g_queue_init (&self->large_chunks);
  self->wake_time = G_MAXINT64;
  self->epoll = -1;

  return self;
}

WpEngine *
wp_engine_ref (WpEngine *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
wp_engine_unref (WpEngine *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  if (self->source != NULL)
    {
      g_source_destroy (self->source);
      g_source_unref (self->source);
      g_main_context_unref (self->context);
    }
  g_clear_pointer (&self->thread, g_thread_unref);
  if (self->epoll >= 0)
    close (self->epoll);
  g_queue_clear_full (&self->large_chunks, (GDestroyNotify) large_chunk_free);
  g_queue_clear (&self->launches);
  g_queue_clear (&self->signals);
  g_clear_pointer (&self->stop_calls, g_array_unref);
  g_array_unref (self->calls);
  for (guint i = 0; i < self->config.n_jobs; i++)
    wp_link_free (self->links[i]);
  g_free (self->links);
  wp_scheduler_free (self->scheduler);
  g_clear_error (&self->start_error);
  g_object_unref (self->config.launcher);
  g_cond_clear (&self->stopped);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
wp_engine_detach (WpEngine *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->pool = NULL;
}

gboolean
wp_engine_is_open (WpEngine *self, GError **error)
{
  switch (self->state)
    {
    case ENGINE_IDLE:
    case ENGINE_RUNNING:
      return TRUE;
    case ENGINE_TERMINATED:
      g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                           "the pool was terminated and takes no more tasks; make a new one");
      return FALSE;
    case ENGINE_DRAINING:
    case ENGINE_STOPPED:
    default:
      g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                           "the pool has been joined and takes no more tasks; make a new one, or use "
                           "keep-alive instead of joining between maps");
      return FALSE;
    }
}

gboolean
wp_engine_is_stopped (WpEngine *self)
{
  return self->state == ENGINE_STOPPED;
}

/* FALSE when the system has no thread or descriptor left. */
static gboolean
ensure_thread (WpEngine *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (self->state != ENGINE_IDLE)
    return TRUE;

  self->epoll = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll < 0)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "the pool cannot start: %s",
                   g_strerror (errno));
      return FALSE;
    }

  self->context = g_main_context_new ();
  self->source = g_source_new (&engine_source_funcs, sizeof (EngineSource));
  ((EngineSource *) self->source)->engine = self;
  g_source_set_static_name (self->source, "WorkerPool engine");
  g_source_add_unix_fd (self->source, self->epoll, G_IO_IN);
  g_source_attach (self->source, self->context);

  self->thread = g_thread_try_new ("workerpool", engine_thread, wp_engine_ref (self), &local_error);
  if (self->thread == NULL)
    {
      g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
      g_clear_pointer (&self->context, g_main_context_unref);
      close (self->epoll);
      self->epoll = -1;
      g_atomic_ref_count_dec (&self->ref_count);
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "the pool cannot start its thread: %s",
                   local_error->message);
      return FALSE;
    }
  self->state = ENGINE_RUNNING;

  return TRUE;
}

gboolean
wp_engine_start (WpEngine *self, GError **error)
{
  if (!wp_engine_is_open (self, error) || !ensure_thread (self, error))
    return FALSE;

  wp_scheduler_start (self->scheduler);
  pump (self);

  return TRUE;
}

gboolean
wp_engine_submit (WpEngine *self, WpJob *job, gboolean keep_workers, GError **error)
{
  guint64 n_items = wp_items_get_n (job->items);

  if (!wp_engine_is_open (self, error) || !ensure_thread (self, error))
    return FALSE;

  job->number = ++self->n_jobs_submitted;
  job->plan.keep_workers = keep_workers || self->config.keep_alive;
  job->scheduled = wp_scheduler_add_batch (self->scheduler, &job->plan);
  wp_job_ref (job);
  if (n_items > 0)
    wp_engine_push (self, job, n_items);

  return TRUE;
}

void
wp_engine_push (WpEngine *self, WpJob *job, guint64 n)
{
  wp_scheduler_push (self->scheduler, job->scheduled, n);
  pump (self);
}

void
wp_engine_close (WpEngine *self, WpJob *job)
{
  if (job->closed)
    return;

  job->closed = TRUE;
  wp_scheduler_close (self->scheduler, job->scheduled);
  pump (self);
}

void
wp_engine_cancel (WpEngine *self, WpJob *job)
{
  if (job->scheduled == NULL)
    return;

  job->closed = TRUE;
  job->cancelled = TRUE;
  wp_scheduler_cancel (self->scheduler, job->scheduled, now_ns ());
  pump (self);
}

guint64
wp_engine_get_window (WpEngine *self, WpJob *job)
{
  guint64 chunk_size;

  if (job->max_active_tasks > 0)
    return job->max_active_tasks;
  if (job->scheduled == NULL)
    return 0;

  /* As mpire's default, twice a chunk for each worker; no less than its 64 tasks for each, so that
   * the first measurements do not decide on a handful. */
  chunk_size = wp_scheduler_get_chunk_size (self->scheduler, job->scheduled);
  /* It never shrinks: room that a caller was told of stays. */
  job->window = MAX (job->window, MAX (chunk_size * 2, 64) * self->config.n_jobs);
  return job->window;
}

static void
stop_unstarted (WpEngine *self)
{
  self->state = ENGINE_STOPPED;
  g_cond_broadcast (&self->stopped);
}

void
wp_engine_drain (WpEngine *self)
{
  if (self->state == ENGINE_IDLE)
    stop_unstarted (self);
  if (self->state != ENGINE_RUNNING)
    return;

  self->state = ENGINE_DRAINING;
  wp_scheduler_drain (self->scheduler);
  pump (self);
}

void
wp_engine_terminate (WpEngine *self)
{
  if (self->state == ENGINE_IDLE)
    stop_unstarted (self);
  if (self->state != ENGINE_RUNNING && self->state != ENGINE_DRAINING)
    return;

  self->state = ENGINE_TERMINATED;
  wp_scheduler_terminate (self->scheduler);
  pump (self);
}

void
wp_engine_get_counts (WpEngine *self, guint *n_workers, guint *n_busy, guint64 *n_queued)
{
  *n_workers = wp_scheduler_get_n_workers (self->scheduler);
  *n_busy = wp_scheduler_get_n_busy (self->scheduler);
  *n_queued = wp_scheduler_get_n_queued (self->scheduler);
}

gboolean
wp_engine_is_current_thread (WpEngine *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->thread != NULL && self->thread == g_thread_self ();
}

void
wp_engine_call (WpEngine *self, GFunc func, gpointer data)
{
  const EngineCall call = { func, data };

  g_array_append_val (self->calls, call);
  wake (self);
}

static void
on_wait_cancelled (GCancellable *cancellable, gpointer user_data)
{
  WpEngine *self = user_data;

  wp_engine_lock (self);
  g_cond_broadcast (&self->stopped);
  wp_engine_unlock (self);
}

gboolean
wp_engine_wait_stopped (WpEngine *self, GCancellable *cancellable, GError **error)
{
  gulong handler = 0;
  gboolean gone;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_wait_cancelled), self, NULL);

  wp_engine_lock (self);
  while ((self->state != ENGINE_STOPPED || self->joining) && !g_cancellable_is_cancelled (cancellable))
    g_cond_wait (&self->stopped, &self->lock);

  gone = self->state == ENGINE_STOPPED && !self->joining;
  if (gone && self->thread != NULL)
    {
      self->joining = TRUE;
      wp_engine_unlock (self);
      g_thread_join (self->thread);
      wp_engine_lock (self);
      self->thread = NULL;
      self->joining = FALSE;
      g_cond_broadcast (&self->stopped);
    }
  wp_engine_unlock (self);

  g_cancellable_disconnect (cancellable, handler);

  return gone || !g_cancellable_set_error_if_cancelled (cancellable, error);
}

void
wp_engine_call_stopped (WpEngine *self, GFunc func, gpointer data)
{
  const EngineCall call = { func, data };
  gboolean stopped;

  wp_engine_lock (self);
  stopped = self->stop_calls == NULL || self->thread == NULL;
  if (!stopped)
    g_array_append_val (self->stop_calls, call);
  wp_engine_unlock (self);

  if (stopped)
    func (data, NULL);
}
