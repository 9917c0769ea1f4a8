/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"

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
      *n_records += 1 + wp_payload_reader_skip_numbers (&reader, &record, G_MAXUINT - 1 - *n_records);
    }

  if (malformed == NULL)
    return TRUE;

  g_clear_error (first_failure);
  g_propagate_error (error, g_steal_pointer (&malformed));
  return FALSE;
}

/* The times of results that end there. What a worker says cannot make its tasks run before it had them, or for longer
 * than until now. */
static GBytes *
decode_times (WpLink *link, const guint8 *end, guint n)
{
  const gint64 now = wp_engine_now ();

  return wp_task_times_decode (end, n, MIN (link->busy_until, now), now);
}

/* Divides what a RESULTS frame holds into the payload and the times, which are NULL where they are not wanted. */
static gboolean
split_body (WpEngine            *self,
            WpLink              *link,
            const WpFrameHeader *header,
            guint                n_results,
            GBytes              *body,
            GBytes             **payload,
            GBytes             **times,
            GError             **error)
{
  const gboolean timed = (header->flags & WP_FRAME_TIMED) != 0;
  const guint8 *data;
  gsize size, position;

  if (timed != self->config.settings.timed)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                   timed ? "sent results with times, which it was not asked for" : "sent results without their times");
      return FALSE;
    }

  if (!timed)
    {
      *payload = g_bytes_ref (body);
      return TRUE;
    }

  data = g_bytes_get_data (body, &size);
  if (!wp_results_find_times (size, n_results, &position, error))
    return FALSE;

  *payload = g_bytes_new_from_bytes (body, 0, position);
  *times = decode_times (link, data + size, n_results);

  return TRUE;
}

/* Under the lock. */
static void
note_end (WpLink *link, GBytes *times)
{
  gsize size;
  const WpTaskTimes *last = g_bytes_get_data (times, &size);

  if (size == 0)
    return;

  last += size / sizeof *last - 1;
  link->busy_until = last->started + last->elapsed;
}

/* Takes the results of one RESULTS frame. salvage: it comes from the board of a dead worker and may repeat results. */
static gboolean
take_results (WpEngine            *self,
              WpLink              *link,
              const WpFrameHeader *header,
              const WpResultsHead *head,
              GBytes              *payload,
              GBytes              *times,
              gboolean             salvage,
              GError             **error)
{
  WpResultOrigin origin = { .worker = link->id, .times = times };
  g_autoptr (GError) first_failure = NULL;
  g_autoptr (GArray) failed = NULL;
  WpResultsRange range;
  guint n_records, n_failed;

  if (!check_results (payload, 0, &n_records, &n_failed, &first_failure, error))
    return FALSE;

  if (n_records == 0 && !salvage && !(header->flags & WP_FRAME_DONE))
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "sent results that hold none");
      return FALSE;
    }

  if (n_records != head->n_results)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                   "sent %u results in a frame that announces %u", n_records, head->n_results);
      return FALSE;
    }

  if (n_failed > 0)
    failed = wp_engine_find_retries (self, link, header->sequence, payload);

  wp_engine_lock (self);
  if (!wp_scheduler_results_with_retries (self->scheduler, link->id, header->sequence, head->offset, n_records,
                                          failed != NULL ? (gconstpointer) failed->data : NULL,
                                          failed != NULL ? failed->len : 0, head->elapsed,
                                          (header->flags & WP_FRAME_DONE) != 0, salvage, wp_engine_now (),
                                          &range))
    {
      wp_engine_unlock (self);
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                   "sent results %u to %u of chunk %" G_GUINT64_FORMAT ", which it was not asked for",
                   head->offset, head->offset + n_records, header->sequence);
      return FALSE;
    }

  if (times != NULL)
    {
      note_end (link, times);
      wp_engine_count_results (self, link, &range, times);
    }

  origin.n_retries = range.attempt;
  if (range.retried)
    {
      wp_engine_add_other_results (self, &range, payload, &origin, failed);
    }
  else if (range.deliver && range.n_tasks > 0)
    {
      if (range.skip > 0)
        {
          g_clear_error (&first_failure);
          check_results (payload, range.skip, &n_records, &n_failed, &first_failure, NULL);
        }
      wp_engine_add_results (self, range.tag, range.first, range.n_tasks, payload, range.skip, &origin, n_failed,
                             g_steal_pointer (&first_failure));
    }
  wp_engine_pump (self);
  wp_engine_unlock (self);

  return TRUE;
}

/* A worker that cannot run says why. */
static gboolean
check_ready (GBytes *payload, GError **error)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GError) reason = NULL;
  g_autoptr (GError) malformed = NULL;
  WpRecord record;

  wp_payload_reader_init (&reader, payload, FALSE);
  if (!wp_payload_reader_next (&reader, &record, &malformed) || !record.is_error)
    {
      if (malformed == NULL)
        return TRUE;

      g_propagate_error (error, g_steal_pointer (&malformed));
      return FALSE;
    }

  reason = wp_payload_reader_get_error (&reader, &record);
  g_set_error_literal (error, WP_ERROR, WP_ERROR_START_FAILED, reason->message);
  return FALSE;
}

static gboolean
take_ready (WpEngine *self, WpLink *link, GBytes *payload, GError **error)
{
  WpLinkState state;

  if (!check_ready (payload, error))
    return FALSE;

  wp_engine_lock (self);
  state = link->state;
  if (state == WP_LINK_STARTING)
    {
      /* A fork server has said by now which process this is. */
      if (link->pid == 0)
        link->pid = wp_worker_process_get_pid (link->process);
      link->start_deadline = 0;
      wp_engine_begin_init (self, link);
    }
  wp_engine_unlock (self);

  /* A worker that was asked to end before it reported in does so all the same. */
  if (state == WP_LINK_STARTING || state == WP_LINK_STOPPING)
    return TRUE;

  g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "reported in twice");
  return FALSE;
}

/* Another worker is to take this one's place. */
static gboolean
take_retire (WpEngine *self, WpLink *link, GBytes *payload, GError **error)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GVariant) size = NULL;
  gboolean expected;
  WpRecord record;
  int pid;

  wp_payload_reader_init (&reader, payload, FALSE);
  if (wp_payload_reader_next (&reader, &record, NULL) && !record.is_error)
    size = wp_payload_reader_get_value (&reader, &record);

  wp_engine_lock (self);
  expected = (link->state == WP_LINK_READY || link->state == WP_LINK_STOPPING) && !link->retiring && size != NULL &&
             g_variant_is_of_type (size, G_VARIANT_TYPE_UINT64);
  pid = link->pid;
  if (expected)
    {
      link->retiring = TRUE;
      wp_scheduler_retire_worker (self->scheduler, link->id);
      wp_engine_pump (self);
    }
  wp_engine_unlock (self);

  if (expected)
    g_info ("Worker %u (pid %d) is replaced: it has %" G_GUINT64_FORMAT " bytes of memory, and the soft-memory-limit "
            "is %" G_GUINT64_FORMAT,
            link->id, pid, g_variant_get_uint64 (size), self->config.settings.soft_memory_limit);
  else
    g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "asked out of turn to be replaced");

  return expected;
}

/* A cancellation that came before the pool knew what runs had no task to name. */
static void
cancel_started (WpEngine *self, WpLink *link, const WpHeldChunk *chunk)
{
  const WpJob *job = chunk->tag;

  if (job == NULL || !(job->cancelled || (job->failure != NULL && job->on_error == WP_ON_ERROR_STOP)))
    return;

  wp_link_cancel_task (link, chunk->sequence, chunk->n_tasks, chunk->n_results, FALSE);
  wp_engine_update_polling (self, link);
}

/* Each task starts once and after the one before, so that a worker cannot keep its pool busy with this. */
static gboolean
take_started (WpEngine *self, WpLink *link, guint64 sequence, guint offset, GError **error)
{
  WpHeldChunk chunk;
  gboolean expected;

  wp_engine_lock (self);
  expected = link->board == NULL && wp_engine_find_held (self, link->id, sequence, &chunk) &&
             offset < chunk.n_tasks && offset == chunk.n_results &&
             (link->started_sequence != sequence || link->started_offset < offset);
  if (expected)
    {
      link->started_sequence = sequence;
      link->started_offset = offset;
      link->started_time = wp_engine_now ();
      cancel_started (self, link, &chunk);
    }
  wp_engine_unlock (self);

  if (!expected)
    g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                 "started task %u of chunk %" G_GUINT64_FORMAT " out of turn", offset, sequence);

  return expected;
}

static gboolean
take_frame (WpEngine *self, WpLink *link, WpFrame *frame, GError **error)
{
  g_autoptr (GBytes) payload = NULL;
  g_autoptr (GBytes) times = NULL;
  WpResultsHead results;
  WpTaskHead task;

  switch (frame->header.type)
    {
    case WP_FRAME_READY:
      return take_ready (self, link, frame->body, error);

    case WP_FRAME_RETIRE:
      return take_retire (self, link, frame->body, error);

    case WP_FRAME_RESULTS:
      return wp_results_head_decode (&results, frame->head, frame->header.head_length, error) &&
             split_body (self, link, &frame->header, results.n_results, frame->body, &payload, &times, error) &&
             take_results (self, link, &frame->header, &results, payload, times, FALSE, error);

    case WP_FRAME_INITIALIZED:
      return wp_engine_take_initialized (self, link, frame->body, error);

    case WP_FRAME_EXIT_RESULT:
      return wp_engine_take_exit_result (self, link, frame->body, error);

    case WP_FRAME_STARTED:
      return wp_task_head_decode (&task, frame->head, frame->header.head_length, error) &&
             take_started (self, link, frame->header.sequence, task.offset, error);

    case WP_FRAME_EVENT:
      return wp_task_head_decode (&task, frame->head, frame->header.head_length, error) &&
             wp_engine_take_event (self, link, frame->header.sequence, task.offset, frame->body, error);

    case WP_FRAME_CONFIGURE:
    case WP_FRAME_CHUNK:
    case WP_FRAME_CANCEL:
    case WP_FRAME_STOP:
    case WP_FRAME_OBJECTS:
    case WP_FRAME_CREDIT:
    default:
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL, "sent a frame of type %d, which only a pool sends",
                   frame->header.type);
      return FALSE;
    }
}

/* Takes every frame that is there. FALSE: the channel has ended or broken. */
gboolean
wp_engine_read_frames (WpEngine *self, WpLink *link, GError **error)
{
  for (;;)
    {
      g_auto (WpFrame) frame = { 0 };
      g_autoptr (GError) local_error = NULL;
      gboolean received;
      int attached = -1;

      /* Nobody else reads or closes the channel, and who writes to it does not mind. */
      received = wp_channel_receive (link->channel, &frame, &attached, &local_error);

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

/* Of the n results of the frame that a dead worker was building. NULL: there cannot be so many. */
static GBytes *
salvage_times (WpLink *link, guint n)
{
  g_autoptr (GBytes) tail = NULL;
  const guint8 *data;
  gsize size;

  if (n > WP_BOARD_RESULTS_SIZE / WP_TASK_TIMES_SIZE)
    return NULL;

  tail = wp_board_salvage_tail (link->board, (gsize) n * WP_TASK_TIMES_SIZE);
  data = g_bytes_get_data (tail, &size);

  return decode_times (link, data + size, n);
}

/* The results that a dead worker had committed to its board and not sent. */
void
wp_engine_salvage (WpEngine *self, WpLink *link)
{
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data;
  gsize size, open, position = 0;

  if (link->board == NULL)
    return;

  bytes = wp_board_salvage (link->board, &open);
  if (bytes == NULL)
    return;

  /* Results seen before come again, with their times. */
  link->busy_until = link->launched;

  data = g_bytes_get_data (bytes, &size);
  while (position + WP_FRAME_HEADER_SIZE + WP_RESULTS_HEAD_SIZE <= size)
    {
      g_autoptr (GBytes) payload = NULL;
      g_autoptr (GBytes) times = NULL;
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
          g_autoptr (GError) first_failure = NULL;
          guint n_failed;

          payload = g_bytes_new_from_bytes (bytes, body, size - body);
          if (!check_results (payload, 0, &head.n_results, &n_failed, &first_failure, NULL))
            return;
          if (self->config.settings.timed)
            {
              times = salvage_times (link, head.n_results);
              if (times == NULL)
                return;
            }
          header.flags = 0;
          end = size;
        }
      else
        {
          g_autoptr (GBytes) whole = NULL;

          if (header.body_length > size - body)
            return;
          end = body + header.body_length;
          whole = g_bytes_new_from_bytes (bytes, body, end - body);
          if (!split_body (self, link, &header, head.n_results, whole, &payload, &times, NULL))
            return;
        }

      if (!take_results (self, link, &header, &head, payload, times, TRUE, NULL))
        return;
      position = end;
    }
}
