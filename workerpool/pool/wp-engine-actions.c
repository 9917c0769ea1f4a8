/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"

/* A frame of at most this many bytes is put together on the stack. */
#define SMALL_FRAME_SIZE 1024

/* Jobs */

void
wp_engine_wake_waiting (WpEngine *self, WpJob *job)
{
  if (job->polling && job->ended)
    wp_engine_recall_links (self);

  if (job->n_waiting[WP_JOB_RESULTS] == 0 && (job->n_waiting[WP_JOB_END] == 0 || !job->ended))
    return;

  /* It is seldom that two have to be woken. */
  if (self->to_wake == NULL)
    self->to_wake = wp_job_ref (job);
  else if (self->to_wake != job)
    g_cond_broadcast (&job->condition);
}

static void
job_changed (WpEngine *self, WpJob *job)
{
  wp_engine_wake_waiting (self, job);
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
    wp_scheduler_cancel (self->scheduler, job->scheduled, wp_engine_now ());
}

void
wp_engine_add_results (WpEngine     *self,
                 WpJob        *job,
                 guint64       first,
                 guint         n,
                 GBytes       *payload,
                 guint         skip,
                 const WpResultOrigin *origin,
                 guint         n_failed,
                 GError       *first_failure)
{
  /* A single item goes with its job. */
  if (job->plan.n_total != 1)
    wp_items_drop (job->items, first, n, self->dropped_items);
  wp_result_queue_add (job->results, first, n, payload, skip, origin);
  job->n_ended += n;
  job->n_failed += n_failed;

  if (self->pool != NULL)
    self->observer->completed (self->pool, job, first, n, payload, skip);

  if (first_failure != NULL)
    stop_on_failure (self, job, first_failure);

  job_changed (self, job);
}

static void
job_fail_tasks (WpEngine             *self,
                WpJob                *job,
                guint64               first,
                guint                 n,
                const GError         *error,
                const WpResultOrigin *origin)
{
  wp_items_drop (job->items, first, n, self->dropped_items);
  wp_result_queue_add_error (job->results, first, n, error, origin);
  job->n_ended += n;
  job->n_failed += n;

  if (self->pool != NULL)
    self->observer->failed (self->pool, job, first, n, error);

  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    stop_on_failure (self, job, g_error_copy (error));

  job_changed (self, job);
}

/* What a person calls the function. */
static const char *
get_function_name (WpJob *job)
{
  return g_str_equal (job->function, WP_FUNCTION_LIST) ? "the list of functions" : job->function;
}

/* Where tasks ended that have no result; its times and notes are the caller's to free. */
static WpResultOrigin
find_origin (WpEngine *self, const WpAction *action)
{
  const gboolean ran = action->worker != WP_NO_WORKER;
  WpResultOrigin origin = { .worker = action->worker, .n_retries = action->attempt };

  if (ran && action->n_tasks == 1 && self->links[action->worker]->interrupted.started != 0)
    origin.times = g_bytes_new (&self->links[action->worker]->interrupted, sizeof (WpTaskTimes));
  if (action->reason == WP_FAIL_WORKER_DIED && self->links[action->worker]->notes != NULL)
    origin.notes = g_bytes_ref (self->links[action->worker]->notes);
  if (!ran && action->attempt > 0)
    origin.n_retries = action->attempt - 1;

  return origin;
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
                          action->first, get_function_name (job),
                          action->attempt > 0 ? ", which had been run before" : "");
    case WP_FAIL_NO_WORKER:
      /* What an init function returned is the caller's to know. */
      return g_error_new (self->start_error_is_init ? self->start_error->domain : WP_ERROR,
                          self->start_error_is_init ? self->start_error->code : WP_ERROR_START_FAILED,
                          "no worker could be started for “%s”: %s",
                          get_function_name (job),
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

void
wp_engine_update_polling (WpEngine *self, WpLink *link)
{
  const int input = wp_channel_get_input_fd (link->channel);
  const int output = wp_channel_get_output_fd (link->channel);
  const gboolean writing = wp_channel_has_output (link->channel);
  struct epoll_event event = { .data.u32 = link->id };

  if (!link->reading || link->writing == writing)
    return;

  link->writing = writing;
  /* It polls again, for both, when it is returned. */
  if (g_atomic_int_get (&link->reader) == WP_LINK_READ_BY_CALLER)
    {
      wp_engine_recall_links (self);
      return;
    }
  if (link->parked)
    {
      wp_engine_unpark (self, link);
      return;
    }

  if (input == output)
    {
      event.events = EPOLLIN | (writing ? EPOLLOUT : 0);
      epoll_ctl (self->epoll, EPOLL_CTL_MOD, input, &event);
    }
  else
    {
      event.events = EPOLLOUT;
      epoll_ctl (self->epoll, writing ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, output, &event);
    }
}

gboolean
wp_engine_start_polling (WpEngine *self, WpLink *link)
{
  struct epoll_event event = { .events = EPOLLIN | (link->writing ? EPOLLOUT : 0),
                               .data.u32 = link->id };

  return epoll_ctl (self->epoll, EPOLL_CTL_ADD, wp_channel_get_input_fd (link->channel), &event) == 0;
}

void
wp_engine_stop_reading (WpEngine *self, WpLink *link)
{
  if (!link->reading)
    return;

  link->reading = FALSE;
  link->parked = FALSE;
  link->expected_until = 0;
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, wp_channel_get_input_fd (link->channel), NULL);
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, wp_channel_get_output_fd (link->channel), NULL);
}

void
wp_engine_set_wake_time (WpEngine *self, gint64 time)
{
  __atomic_store_n (&self->wake_time, time, __ATOMIC_RELAXED);
  g_source_set_ready_time (self->source, time == G_MAXINT64 ? -1 : (time + 999) / 1000);
}

void
wp_engine_wake (WpEngine *self)
{
  wp_engine_wake_at (self, 0);
}

/* A wake-up too early finds nothing to do, and costs less than moving the time at every event. */
void
wp_engine_wake_at (WpEngine *self, gint64 time)
{
  if (time < self->wake_time && self->source != NULL)
    wp_engine_set_wake_time (self, time);
}

void
wp_engine_signal_later (WpEngine *self, WpLink *link, int signum)
{
  if (self->insights != NULL)
    wp_insights_asked (self->insights, link->id, wp_engine_now ());
  /* A signal from before there was a process has left the queue; one that is sent already is passed over. */
  g_queue_push_tail (&self->signals, GUINT_TO_POINTER (link->id));
  /* SIGKILL is never weakened to SIGTERM. */
  if (link->signal != SIGKILL)
    link->signal = signum;
  wp_engine_wake (self);
}

/* Puts an end to a worker that cannot be talked to any more. */
void
wp_engine_give_up_on (WpEngine *self, WpLink *link, GError *cause)
{
  wp_link_set_cause (link, cause);
  wp_engine_stop_reading (self, link);
  wp_engine_signal_later (self, link, SIGKILL);
}

/* Answers for the worker that every task of the chunk failed with this error. */
static void
answer_chunk (WpEngine *self, WpLink *link, guint64 sequence, guint n_tasks, const GError *error)
{
  WpResultOrigin origin = { .worker = WP_NO_WORKER };
  WpResultsRange range;

  if (!wp_scheduler_results (self->scheduler, link->id, sequence, 0, n_tasks, 0, TRUE, FALSE, wp_engine_now (),
                             &range) ||
      !range.deliver)
    return;

  origin.n_retries = range.attempt;
  job_fail_tasks (self, range.tag, range.first, range.n_tasks, error, &origin);
}

void
wp_engine_end_deaf (WpEngine *self, WpLink *link, const GError *error)
{
  if (link->state == WP_LINK_STOPPING)
    return;

  /* Most often it is dying, and how it dies says more. */
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
    wp_link_set_cause (link, g_error_new (WP_ERROR, WP_ERROR_WORKER_DIED,
                                          "was ended because nothing can be sent to it: %s",
                                          error->message));
  wp_engine_signal_later (self, link, SIGKILL);
}

void
wp_engine_answer_unsent (WpEngine *self, WpLink *link, guint64 sequence, guint n_tasks, const GError *error)
{
  if (wp_channel_flush (link->channel, NULL))
    answer_chunk (self, link, sequence, n_tasks, error);
  else
    wp_engine_end_deaf (self, link, error);
}

void
wp_engine_send_chunk_bytes (WpEngine            *self,
                  WpLink              *link,
                  const WpFrameHeader *header,
                  const guint8        *head,
                  GPtrArray           *body,
                  guint                n_tasks)
{
  g_autoptr (GError) error = NULL;

  if (!wp_channel_send (link->channel, header, head, body, -1, &error))
    wp_engine_answer_unsent (self, link, header->sequence, n_tasks, error);

  wp_engine_update_polling (self, link);
}

/* Sends a single, small task as one piece, for a third of what a payload in segments costs. FALSE:
 * it is not small, or not single; nothing was sent. */
static gboolean
send_small_chunk (WpEngine            *self,
                  WpLink              *link,
                  const WpAction      *action,
                  const WpFrameHeader *header,
                  const guint8        *head)
{
  WpJob *job = action->tag;
  WpFrameHeader final = *header;
  guint64 frame[SMALL_FRAME_SIZE / sizeof (guint64)];
  guint8 *bytes = (guint8 *) frame;
  const gsize body = WP_FRAME_HEADER_SIZE + header->head_length;
  g_autoptr (GError) error = NULL;

  if (action->n_tasks != 1 || body >= SMALL_FRAME_SIZE)
    return FALSE;

  final.body_length =
      wp_items_store (job->items, action->first, bytes + body, SMALL_FRAME_SIZE - body);
  if (final.body_length == 0)
    return FALSE;

  wp_frame_header_encode (&final, bytes);
  memcpy (bytes + WP_FRAME_HEADER_SIZE, head, header->head_length);
  if (!wp_channel_send_encoded (link->channel, bytes, body + final.body_length, &error))
    wp_engine_answer_unsent (self, link, header->sequence, 1, error);
  wp_engine_update_polling (self, link);

  return TRUE;
}

static void
send_chunk (WpEngine *self, const WpAction *action)
{
  WpLink *link = self->links[action->worker];
  WpJob *job = action->tag;
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .sequence = action->sequence };
  g_autoptr (WpPayloadWriter) writer = NULL;
  g_autoptr (GPtrArray) body = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *head = NULL;
  gsize head_size, size;

  job->sent_to = (int) link->id;
  /* Before the worker can answer: else the answer would wake the engine's thread as well. */
  if (job->may_borrow)
    wp_engine_borrow_link (self, link, job);
  if (link->parked && job->is_awaited)
    wp_engine_expect_reader (self, link);
  else if (link->parked)
    wp_engine_unpark (self, link);

  head = wp_link_make_head (job->function, action->first, action->n_tasks, wp_engine_get_stream (job), &head_size);
  header.head_length = (guint32) head_size;

  if (link->board != NULL)
    wp_board_open_chunk (link->board, action->sequence, action->n_tasks);

  if (job->shared_fd >= 0 && wp_link_can_share (link))
    {
      if (!wp_channel_send_shared (link->channel, &header, head, job->shared_fd, job->shared_length, &error))
        wp_engine_answer_unsent (self, link, action->sequence, action->n_tasks, error);
      wp_engine_update_polling (self, link);
      return;
    }

  if (send_small_chunk (self, link, action, &header, head))
    return;

  writer = wp_payload_writer_new ();
  wp_items_write (job->items, action->first, action->n_tasks, writer);
  size = wp_payload_writer_get_size (writer);
  body = wp_payload_writer_finish (writer);

  if (size >= WP_PAYLOAD_LARGE && wp_link_can_share (link))
    {
      WpLargeChunk *large = g_new0 (WpLargeChunk, 1);

      large->worker = link->id;
      large->generation = link->generation;
      large->header = header;
      large->head = g_steal_pointer (&head);
      large->body = g_steal_pointer (&body);
      g_queue_push_tail (&self->large_chunks, large);
      wp_engine_wake (self);
      return;
    }

  wp_engine_send_chunk_bytes (self, link, &header, head, body, action->n_tasks);
}

WpHeldChunk *
wp_engine_get_held (WpEngine *self, guint worker, guint *n)
{
  WpHeldChunk *held = g_new (WpHeldChunk, WP_BOARD_SLOTS);

  *n = wp_scheduler_get_held (self->scheduler, worker, held, WP_BOARD_SLOTS);
  return held;
}

gboolean
wp_engine_find_held (WpEngine *self, guint worker, guint64 sequence, WpHeldChunk *chunk)
{
  g_autofree WpHeldChunk *held = NULL;
  guint n;

  held = wp_engine_get_held (self, worker, &n);
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
  WpLink *link = action->worker != WP_NO_WORKER ? self->links[action->worker] : NULL;
  WpJob *job = action->tag;
  WpHeldChunk chunk;

  switch (action->type)
    {
    case WP_ACTION_START_WORKER:
      link->state = WP_LINK_LAUNCHING;
      g_queue_push_tail (&self->launches, GUINT_TO_POINTER (link->id));
      wp_engine_wake (self);
      break;

    case WP_ACTION_STOP_WORKER:
      link->state = WP_LINK_STOPPING;
      if (self->insights != NULL)
        wp_insights_asked (self->insights, link->id, wp_engine_now ());
      if (link->parked)
        wp_engine_unpark (self, link);
      wp_link_send_stop (link);
      wp_engine_update_polling (self, link);
      break;

    case WP_ACTION_KILL_WORKER:
      if (wp_engine_spare (self, link))
        break;
      link->unwanted |= self->state != ENGINE_RUNNING || link->state == WP_LINK_LAUNCHING ||
                        link->state == WP_LINK_STARTING || link->state == WP_LINK_INITIALIZING;
      if (link->state == WP_LINK_STOPPING)
        wp_engine_expire_exit (self, link);
      wp_engine_signal_later (self, link, action->signal);
      break;

    case WP_ACTION_SEND_CHUNK:
      send_chunk (self, action);
      wp_engine_watch_tasks (self, link, job);
      break;

    case WP_ACTION_RECALL:
      {
        guint n = 0;

        if (wp_engine_find_held (self, action->worker, action->sequence, &chunk))
          n = wp_link_recall (link, chunk.sequence, chunk.n_tasks, chunk.n_results, action->n_tasks);
        wp_scheduler_recalled (self->scheduler, action->worker, action->sequence, n);
      }
      break;

    case WP_ACTION_CANCEL_TASK:
      if (wp_engine_find_held (self, action->worker, action->sequence, &chunk))
        wp_link_cancel_task (link, chunk.sequence, chunk.n_tasks, chunk.n_results,
                             chunk.tag != NULL && ((WpJob *) chunk.tag)->events != NULL);
      wp_engine_update_polling (self, link);
      break;

    case WP_ACTION_FAIL_TASKS:
      {
        g_autoptr (GError) error = describe_failure (self, job, action);
        WpResultOrigin origin = find_origin (self, action);

        if (action->reason != WP_FAIL_WORKER_DIED && job->interruption == NULL)
          job->interruption = g_error_copy (error);
        job_fail_tasks (self, job, action->first, action->n_tasks, error, &origin);
        g_clear_pointer (&origin.times, g_bytes_unref);
        g_clear_pointer (&origin.notes, g_bytes_unref);
      }
      break;

    case WP_ACTION_BATCH_ENDED:
      job->scheduled = NULL;
      job->closed = TRUE;
      job->ended = TRUE;
      wp_engine_end_events (self, job);
      job_changed (self, job);
      job->next_dropped = self->dropped_jobs;
      self->dropped_jobs = job;
      if (self->insights != NULL && self->pool != NULL)
        self->observer->insights_changed (self->pool);
      break;

    case WP_ACTION_DRAINED:
      if (self->pool != NULL)
        self->observer->drained (self->pool);
      break;

    case WP_ACTION_STOPPED:
      self->state = ENGINE_STOPPED;
      g_cond_broadcast (&self->stopped);
      wp_engine_wake (self);
      break;

    default:
      g_assert_not_reached ();
    }
}

/* Runs what the scheduler wants, and sees to it that the thread wakes when it wants more. */
void
wp_engine_pump (WpEngine *self)
{
  WpAction action;

  /* An action may let a waiting caller push more; the loop that runs the action goes on with it. */
  if (self->pumping)
    return;

  self->pumping = TRUE;
  while (wp_scheduler_next_action (self->scheduler, wp_engine_now (), &action))
    run_action (self, &action);
  self->pumping = FALSE;

  wp_engine_wake_at (self, wp_scheduler_get_deadline (self->scheduler));
}
