/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-error.h"
#include "channel/wp-frame.h"
#include "channel/wp-message.h"
#include "channel/wp-payload.h"

#include <string.h>

/* What a peer may send, from the first byte of the stream to the values of the tasks.
 *
 * The input is a count (low four bits of the first byte), so many bytes that say in which pieces
 * the stream arrives, and the stream. */

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);
int LLVMFuzzerInitialize (int *argc, char ***argv);

typedef struct
{
  guint n_frames;
  guint n_records;
  gboolean corrupt;
} Outcome;

/* Touches all of a value, as deep as it goes. */
static gsize
visit (GVariant *value)
{
  gsize n = 1;

  if (g_variant_is_container (value))
    {
      gsize n_children = g_variant_n_children (value);

      for (gsize i = 0; i < n_children; i++)
        {
          g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

          n += visit (child);
        }
    }
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      g_assert (g_utf8_validate (g_variant_get_string (value, NULL), -1, NULL));
    }
  return n;
}

static void
read_record (WpPayloadReader *reader, const WpRecord *record)
{
  g_autoptr (GVariant) value = wp_payload_reader_get_value (reader, record);

  g_assert (GPOINTER_TO_SIZE (record->value) % 8 == 0);
  g_assert (!g_variant_is_floating (value));
  g_assert (g_str_equal (g_variant_get_type_string (value), record->type));
  g_assert (g_variant_get_size (value) == record->length);
  g_assert (visit (value) > 0);

  if (record->is_error)
    {
      g_autoptr (GError) error = wp_payload_reader_get_error (reader, record);

      g_assert (error->domain != 0 && g_utf8_validate (error->message, -1, NULL));
    }
}

static guint
read_payload (GBytes *body)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GError) error = NULL;
  WpRecord record;
  guint n_records = 0;
  guint n_validated;

  wp_payload_reader_init (&reader, body, FALSE);
  while (wp_payload_reader_next (&reader, &record, &error))
    {
      read_record (&reader, &record);
      n_records++;
    }

  g_assert (wp_payload_validate (body, &n_validated, NULL) == (error == NULL));
  if (error == NULL)
    g_assert (n_validated == n_records);
  else
    g_assert (g_error_matches (error, WP_ERROR, WP_ERROR_PROTOCOL));
  return n_records;
}

/* The part of a RESULTS body that is no times. */
static GBytes *
read_times (const WpFrame *frame)
{
  const gint64 earliest = 1000;
  const gint64 latest = 5000;
  g_autoptr (GBytes) times = NULL;
  const WpTaskTimes *held;
  WpResultsHead head;
  const guint8 *data;
  gint64 sum = 0;
  gsize size;
  gsize position;

  if ((frame->header.flags & WP_FRAME_TIMED) == 0 ||
      !wp_results_head_decode (&head, frame->head, frame->header.head_length, NULL))
    return g_bytes_ref (frame->body);

  data = g_bytes_get_data (frame->body, &size);
  if (!wp_results_find_times (size, head.n_results, &position, NULL))
    return g_bytes_ref (frame->body);

  times = wp_task_times_decode (data + size, head.n_results, earliest, latest);
  held = g_bytes_get_data (times, NULL);
  g_assert (g_bytes_get_size (times) == head.n_results * sizeof *held);
  for (guint i = 0; i < head.n_results; i++)
    {
      g_assert (held[i].started >= earliest && held[i].elapsed >= 0);
      sum += held[i].elapsed;
    }
  g_assert (sum <= latest - earliest);
  return g_bytes_new_from_bytes (frame->body, 0, position);
}

static void
read_head (const WpFrame *frame)
{
  gsize size = frame->header.head_length;
  WpResultsHead results;
  WpChunkHead chunk;
  WpCreditHead credit;
  WpTaskHead task;

  switch (frame->header.type)
    {
    case WP_FRAME_CHUNK:
      if (wp_chunk_head_decode (&chunk, frame->head, size, NULL))
        g_assert (wp_chunk_head_get_size (&chunk) == size);
      break;

    case WP_FRAME_RESULTS:
      wp_results_head_decode (&results, frame->head, size, NULL);
      break;

    case WP_FRAME_STARTED:
    case WP_FRAME_CANCEL:
    case WP_FRAME_EVENT:
      wp_task_head_decode (&task, frame->head, size, NULL);
      break;

    case WP_FRAME_CREDIT:
      wp_credit_head_decode (&credit, frame->head, size, NULL);
      break;

    case WP_FRAME_CONFIGURE:
    case WP_FRAME_READY:
    case WP_FRAME_STOP:
    case WP_FRAME_OBJECTS:
    case WP_FRAME_RETIRE:
    case WP_FRAME_INITIALIZED:
    case WP_FRAME_EXIT_RESULT:
      break;

    default:
      g_assert_not_reached ();
    }
}

static void
read_frames (WpFrameDecoder *decoder, Outcome *outcome)
{
  for (;;)
    {
      g_auto (WpFrame) frame = { 0 };
      g_autoptr (GError) error = NULL;

      if (!wp_frame_decoder_next (decoder, &frame, &error))
        {
          outcome->corrupt = error != NULL;
          g_assert (error == NULL || g_error_matches (error, WP_ERROR, WP_ERROR_PROTOCOL));
          return;
        }

      outcome->n_frames++;
      read_head (&frame);
      g_assert ((frame.body == NULL) == ((frame.header.flags & WP_FRAME_SHARED) != 0));
      if (frame.body != NULL)
        {
          g_autoptr (GBytes) payload = read_times (&frame);

          outcome->n_records += read_payload (payload);
        }
    }
}

/* The stream in pieces of the sizes 2 ** pieces[i], over and over; in one piece when there are
 * none. */
static Outcome
read_stream (const guint8 *stream, gsize size, const guint8 *pieces, guint n_pieces)
{
  g_autoptr (WpFrameDecoder) decoder = wp_frame_decoder_new ();
  Outcome outcome = { 0 };

  for (guint i = 0; size > 0; i++)
    {
      gsize piece = n_pieces > 0 ? (gsize) 1 << (pieces[i % n_pieces] & 15) : size;
      gsize space_size;
      guint8 *space = wp_frame_decoder_get_space (decoder, &space_size);

      g_assert (space_size >= 1);
      piece = MIN (MIN (piece, size), space_size);
      memcpy (space, stream, piece);
      wp_frame_decoder_advance (decoder, piece);
      stream += piece;
      size -= piece;
      read_frames (decoder, &outcome);
    }
  return outcome;
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  return 0;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  Outcome in_pieces;
  Outcome at_once;
  guint n_pieces;

  if (size < 1 || size < 1 + (gsize) (data[0] & 15))
    return 0;

  n_pieces = data[0] & 15;
  data++;
  size--;
  in_pieces = read_stream (data + n_pieces, size - n_pieces, data, n_pieces);
  at_once = read_stream (data + n_pieces, size - n_pieces, NULL, 0);

  /* How the bytes arrive makes no difference. */
  g_assert (in_pieces.n_frames == at_once.n_frames);
  g_assert (in_pieces.n_records == at_once.n_records);
  g_assert (in_pieces.corrupt == at_once.corrupt);
  return 0;
}
