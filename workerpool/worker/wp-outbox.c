/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-outbox.h"

#include <string.h>

#include "channel/wp-error.h"
#include "channel/wp-payload.h"

#define WP_RESULTS_OVERHEAD (WP_FRAME_HEADER_SIZE + WP_RESULTS_HEAD_SIZE)
#define WP_STARTED_SIZE (WP_FRAME_HEADER_SIZE + WP_TASK_HEAD_SIZE)

/* A result that takes more of the board than this goes in a frame of its own, from where it is: it is large enough
 * to travel as shared memory. */
#define WP_RECORD_MAX (WP_BOARD_RESULTS_SIZE / 2)

G_STATIC_ASSERT (WP_RECORD_MAX <= WP_PAYLOAD_LARGE);
G_STATIC_ASSERT (WP_RECORD_MAX + WP_RESULTS_OVERHEAD + 2 * WP_TASK_TIMES_SIZE <= WP_BOARD_RESULTS_SIZE);

struct _WpOutbox
{
  WpChannel *channel;
  WpBoard *board;
  guint8 *buffer;
  gsize times_size; /* of each result; 0: they are not wanted */

  /* [0, open) are whole frames. While n_results is above 0, [open, end) is the frame being built. */
  guint32 open;
  guint32 end;
  gint64 since; /* when the results of the buffer could first have been sent */

  guint64 sequence;
  guint32 offset; /* of the first result of the next frame, or of the one being built */
  guint32 n_results;
  guint64 elapsed;
  gboolean done; /* a frame has said that the chunk ends */

  char type[WP_PAYLOAD_MAX_TYPE + 1]; /* of the record before, in the frame being built */
};

WpOutbox *
wp_outbox_new (WpChannel *channel,
               WpBoard   *board,
               gboolean   timed)
{
  WpOutbox *self = g_new0 (WpOutbox, 1);

  self->channel = channel;
  self->board = board;
  self->buffer = wp_board_get_results (board);
  self->times_size = timed ? WP_TASK_TIMES_SIZE : 0;
  wp_board_commit (board, 0, 0);

  return self;
}

void
wp_outbox_free (WpOutbox *self)
{
  g_free (self);
}

static WpFrameFlags
get_flags (WpOutbox *self,
           gboolean  done)
{
  return (done ? WP_FRAME_DONE : 0) | (self->times_size > 0 ? WP_FRAME_TIMED : 0);
}

static void
write_header (WpOutbox *self,
              gsize     body_length,
              gboolean  done)
{
  WpFrameHeader header = {
    .type = WP_FRAME_RESULTS,
    .flags = get_flags (self, done),
    .sequence = self->sequence,
    .head_length = WP_RESULTS_HEAD_SIZE,
    .body_length = body_length,
  };
  WpResultsHead head = {
    .offset = self->offset,
    .n_results = self->n_results,
    .elapsed = self->elapsed,
  };

  wp_frame_header_encode (&header, self->buffer + self->open);
  wp_results_head_encode (&head, self->buffer + self->open + WP_FRAME_HEADER_SIZE);
}

static void
commit (WpOutbox *self)
{
  wp_board_commit (self->board, self->open, self->end);
}

/* The results of the next frame follow those of the last one. */
static void
advance (WpOutbox *self)
{
  self->offset += self->n_results;
  self->n_results = 0;
  self->elapsed = 0;
}

static void
close_frame (WpOutbox *self,
             gboolean  done)
{
  const gsize times = self->n_results * self->times_size;

  if (self->n_results == 0)
    self->end = self->open + WP_RESULTS_OVERHEAD;

  memcpy (self->buffer + self->end, self->buffer + WP_BOARD_RESULTS_SIZE - times, times);
  self->end += times;

  write_header (self, self->end - self->open - WP_RESULTS_OVERHEAD, done);
  self->open = self->end;
  advance (self);
  commit (self);
}

/* Returns when the kernel has everything: memory whose content still has to be written may not be reused, since after
 * a kill the pool would find it neither there nor in the stream. */
gboolean
wp_outbox_drain (WpOutbox *self,
                 GError  **error)
{
  while (wp_channel_has_output (self->channel))
    {
      wp_channel_wait (self->channel, G_IO_OUT, -1);
      if (!wp_channel_flush (self->channel, error))
        return FALSE;
    }

  return TRUE;
}

gboolean
wp_outbox_is_due (WpOutbox *self,
                  gint64    now)
{
  return self->end > 0 && now - self->since >= WP_SEND_INTERVAL_NS;
}

gboolean
wp_outbox_flush (WpOutbox *self,
                 gint64    now,
                 GError  **error)
{
  self->since = now;
  if (self->end == 0)
    return TRUE;

  if (self->n_results > 0)
    close_frame (self, FALSE);

  if (!wp_channel_send_encoded (self->channel, self->buffer, self->end, error) || !wp_outbox_drain (self, error))
    return FALSE;

  self->open = 0;
  self->end = 0;
  commit (self);

  return TRUE;
}

/* Makes room for a frame's fixed part. */
static gboolean
ensure_space (WpOutbox *self,
              gsize     size,
              GError  **error)
{
  if (self->end + size <= WP_BOARD_RESULTS_SIZE)
    return TRUE;

  return wp_outbox_flush (self, self->since, error);
}

void
wp_outbox_begin_chunk (WpOutbox *self,
                       guint64   sequence,
                       gint64    now)
{
  g_assert (self->n_results == 0);

  self->sequence = sequence;
  self->offset = 0;
  self->done = FALSE;
  if (self->end == 0)
    self->since = now;
}

/* Most types have one character. */
static gboolean
is_same_type (const char *one,
              const char *other)
{
  return one[0] == other[0] && one[1] == other[1] && (one[1] == '\0' || strcmp (one, other) == 0);
}

/* FALSE: no room. */
static gboolean
store (WpOutbox          *self,
       GVariant          *value,
       const char        *type,
       gboolean           is_error,
       const WpTaskTimes *times)
{
  gsize position = self->n_results > 0 ? self->end : self->open + WP_RESULTS_OVERHEAD;
  gboolean same_type = self->n_results > 0 && is_same_type (type, self->type);
  /* Room for them twice: a copy that a kill cuts short may not touch the ones that still count. */
  const gsize taken = position + 2 * (self->n_results + 1) * self->times_size;
  gsize space;
  gsize stored;

  if (taken >= WP_BOARD_RESULTS_SIZE)
    return FALSE;

  /* Errors are cut so that they fit the board. */
  space = WP_BOARD_RESULTS_SIZE - taken;
  if (!is_error)
    space = MIN (space, WP_RECORD_MAX);

  stored = wp_payload_store (self->buffer + position, space, type, same_type, value, is_error);
  if (stored == 0)
    return FALSE;

  if (self->n_results == 0)
    write_header (self, 0, FALSE);
  if (!same_type)
    g_strlcpy (self->type, type, sizeof self->type);

  self->end = position + stored;
  self->n_results++;
  self->elapsed += times->elapsed;
  if (self->times_size > 0)
    wp_task_times_encode (times, self->buffer + WP_BOARD_RESULTS_SIZE - self->n_results * WP_TASK_TIMES_SIZE);
  commit (self);

  return TRUE;
}

/* FALSE with G_IO_ERROR_MESSAGE_TOO_LARGE: nothing was sent and the channel lives on. */
static gboolean
send_alone (WpOutbox          *self,
            WpPayloadWriter   *writer,
            const WpTaskTimes *times,
            gboolean           last,
            GError           **error)
{
  g_autoptr (GPtrArray) body = wp_payload_writer_finish (writer);
  WpFrameHeader header = {
    .type = WP_FRAME_RESULTS,
    .flags = get_flags (self, last),
    .sequence = self->sequence,
    .head_length = WP_RESULTS_HEAD_SIZE,
  };
  WpResultsHead head = { .offset = self->offset, .n_results = 1, .elapsed = (guint64) times->elapsed };
  guint8 head_bytes[WP_RESULTS_HEAD_SIZE];
  guint8 times_bytes[WP_TASK_TIMES_SIZE];

  if (self->times_size > 0)
    {
      wp_task_times_encode (times, times_bytes);
      g_ptr_array_add (body, g_bytes_new (times_bytes, sizeof times_bytes));
    }

  wp_results_head_encode (&head, head_bytes);
  if (!wp_channel_send (self->channel, &header, head_bytes, body, -1, error) || !wp_outbox_drain (self, error))
    return FALSE;

  self->offset++;
  self->done = last;

  return TRUE;
}

gboolean
wp_outbox_add (WpOutbox          *self,
               GVariant          *value,
               const WpTaskTimes *times,
               gboolean           last,
               GError           **error)
{
  const char *type = g_variant_get_type_string (value);
  g_autoptr (WpPayloadWriter) writer = NULL;
  g_autoptr (GError) task_error = NULL;
  GError *send_error = NULL;

  if (G_LIKELY (store (self, value, type, FALSE, times)))
    return TRUE;

  if (!wp_outbox_flush (self, self->since, error))
    return FALSE;
  if (store (self, value, type, FALSE, times))
    return TRUE;

  writer = wp_payload_writer_new ();
  wp_payload_writer_add (writer, value);
  if (send_alone (self, writer, times, last, &send_error))
    return TRUE;

  if (!g_error_matches (send_error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE))
    {
      g_propagate_error (error, send_error);
      return FALSE;
    }

  task_error = g_error_new (WP_ERROR, WP_ERROR_INVALID_RESULT,
                            "The function returned a value of %" G_GSIZE_FORMAT
                            " bytes, which is too large to be sent: %s",
                            g_variant_get_size (value), send_error->message);
  g_error_free (send_error);

  return wp_outbox_add_error (self, task_error, times, error);
}

gboolean
wp_outbox_add_error (WpOutbox          *self,
                     const GError      *task_error,
                     const WpTaskTimes *times,
                     GError           **error)
{
  g_autoptr (GVariant) value = wp_payload_new_error (task_error);

  if (store (self, value, WP_RECORD_ERROR_TYPE, TRUE, times))
    return TRUE;

  if (!wp_outbox_flush (self, self->since, error))
    return FALSE;
  if (!store (self, value, WP_RECORD_ERROR_TYPE, TRUE, times))
    g_assert_not_reached ();

  return TRUE;
}

gboolean
wp_outbox_end_chunk (WpOutbox *self,
                     GError  **error)
{
  if (self->done)
    return TRUE;

  if (self->n_results == 0 && !ensure_space (self, WP_RESULTS_OVERHEAD, error))
    return FALSE;

  close_frame (self, TRUE);
  self->done = TRUE;

  return TRUE;
}

gboolean
wp_outbox_announce (WpOutbox *self,
                    gint64    now,
                    GError  **error)
{
  WpFrameHeader header = {
    .type = WP_FRAME_STARTED,
    .sequence = self->sequence,
    .head_length = WP_TASK_HEAD_SIZE,
  };
  WpTaskHead head;

  if (self->n_results > 0)
    close_frame (self, FALSE);
  if (!ensure_space (self, WP_STARTED_SIZE, error))
    return FALSE;

  head.offset = self->offset;
  wp_frame_header_encode (&header, self->buffer + self->open);
  wp_task_head_encode (&head, self->buffer + self->open + WP_FRAME_HEADER_SIZE);
  self->end = self->open + WP_STARTED_SIZE;
  self->open = self->end;

  return wp_outbox_flush (self, now, error);
}
