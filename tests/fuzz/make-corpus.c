/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-frame.h"
#include "channel/wp-message.h"
#include "channel/wp-payload.h"

#include <gio/gio.h>

/* Writes the corpus of fuzz-frame: real encodings, one file each, into the directory that is the
 * argument. */

static const char *const texts[] = {
  "true",
  "byte 7",
  "int16 -2",
  "uint16 3",
  "5",
  "uint32 6",
  "int64 -5",
  "uint64 7",
  "handle 0",
  "2.5",
  "'text'",
  "objectpath '/a/b'",
  "signature 'a{sv}'",
  "<5>",
  "<<('x', [<1>])>>",
  "()",
  "(1, 2)",
  "(byte 1, int64 2)",
  "@ai []",
  "[1, 2, 3]",
  "b'bytes'",
  "[true, false]",
  "['one', 'two']",
  "[<1>, <'two'>]",
  "{'key': <1>, 'other': <'v'>}",
  "@mi nothing",
  "@ms 'just'",
  "(1, 'two', [3.0], {'four': <5>}, (byte 6,))",
};

static const char *directory;

/* pieces: in which the stream arrives, as fuzz-frame reads them; at most 15. */
static void
save (const char *name, const char *pieces, GByteArray *stream)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  g_autoptr (GString) input = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  g_string_append_c (input, strlen (pieces));
  g_string_append (input, pieces);
  g_string_append_len (input, (const char *) stream->data, stream->len);
  if (!g_file_set_contents (path, input->str, input->len, &error))
    g_error ("%s", error->message);
  g_byte_array_set_size (stream, 0);
}

/* Takes what the writer holds as the body; writer may be NULL. */
static void
add_frame (GByteArray *stream,
           WpFrameType type,
           WpFrameFlags flags,
           const guint8 *head,
           gsize head_length,
           WpPayloadWriter *writer)
{
  WpFrameHeader header = {
    .type = type, .flags = flags, .sequence = 1, .head_length = head_length
  };
  guint8 encoded[WP_FRAME_HEADER_SIZE];
  g_autoptr (GPtrArray) segments = NULL;

  if (writer != NULL)
    {
      header.body_length = wp_payload_writer_get_size (writer);
      segments = wp_payload_writer_finish (writer);
    }

  wp_frame_header_encode (&header, encoded);
  g_byte_array_append (stream, encoded, sizeof encoded);
  if (head_length > 0)
    g_byte_array_append (stream, head, head_length);
  for (guint i = 0; segments != NULL && (flags & WP_FRAME_SHARED) == 0 && i < segments->len; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (segments->pdata[i], &size);

      g_byte_array_append (stream, data, size);
    }
}

static void
add_text (WpPayloadWriter *writer, const char *text)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_parsed (text));

  wp_payload_writer_add (writer, value);
}

static void
add_chunk (GByteArray *stream,
           WpFrameFlags flags,
           const char *function,
           const char *codec,
           guint n,
           WpPayloadWriter *writer)
{
  WpChunkHead chunk = { .first = 1000, .n_tasks = n, .function = function, .codec = codec, .stream = 7 };
  gsize size = wp_chunk_head_get_size (&chunk);
  g_autofree guint8 *head = g_malloc (size);

  wp_chunk_head_encode (&chunk, head);
  add_frame (stream, WP_FRAME_CHUNK, flags, head, size, writer);
}

static void
add_results (GByteArray *stream, WpFrameFlags flags, guint n, WpPayloadWriter *writer)
{
  WpResultsHead results = { .offset = 2, .n_results = n, .elapsed = 123456 };
  guint8 head[WP_RESULTS_HEAD_SIZE];

  wp_results_head_encode (&results, head);
  add_frame (stream, WP_FRAME_RESULTS, flags, head, sizeof head, writer);
}

/* A frame of two results with their times. */
static void
save_times (GByteArray *stream, WpPayloadWriter *writer)
{
  const WpTaskTimes times[] = { { 1000, 10 }, { 1020, 30 } };
  WpFrameHeader header = {
    .type = WP_FRAME_RESULTS, .flags = WP_FRAME_DONE | WP_FRAME_TIMED, .head_length = WP_RESULTS_HEAD_SIZE
  };
  WpResultsHead results = { .n_results = G_N_ELEMENTS (times), .elapsed = 40 };
  guint8 head[WP_RESULTS_HEAD_SIZE];
  guint8 encoded[WP_FRAME_HEADER_SIZE];
  g_autoptr (GPtrArray) segments = NULL;
  gsize size;
  const guint8 *data;

  add_text (writer, "5");
  add_text (writer, "'text'");
  segments = wp_payload_writer_finish (writer);
  data = g_bytes_get_data (segments->pdata[0], &size);
  header.body_length = size + G_N_ELEMENTS (times) * WP_TASK_TIMES_SIZE;
  wp_frame_header_encode (&header, encoded);
  wp_results_head_encode (&results, head);
  g_byte_array_append (stream, encoded, sizeof encoded);
  g_byte_array_append (stream, head, sizeof head);
  g_byte_array_append (stream, data, size);
  for (guint i = G_N_ELEMENTS (times); i > 0; i--)
    {
      guint8 bytes[WP_TASK_TIMES_SIZE];

      wp_task_times_encode (&times[i - 1], bytes);
      g_byte_array_append (stream, bytes, sizeof bytes);
    }
  save ("times", "\5", stream);
}

static void
save_values (GByteArray *stream, WpPayloadWriter *writer)
{
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *name = g_strdup_printf ("value-%02" G_GSIZE_FORMAT, i);

      add_text (writer, texts[i]);
      add_results (stream, WP_FRAME_DONE, 1, writer);
      save (name, "", stream);
    }

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    add_text (writer, texts[i]);
  add_chunk (stream, 0, "function", "", G_N_ELEMENTS (texts), writer);
  save ("chunk-of-all", "\5\3", stream);
}

static void
save_errors (GByteArray *stream, WpPayloadWriter *writer)
{
  g_autoptr (GError) known = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "It failed");
  g_autoptr (GError)
      odd = g_error_new_literal (g_quark_from_static_string ("odd domain"), -1, "It is öd");

  wp_payload_writer_add_error (writer, known);
  wp_payload_writer_add_error (writer, odd);
  add_text (writer, "5");
  add_results (stream, 0, 3, writer);
  save ("errors", "\6", stream);
}

static void
save_numbers (GByteArray *stream, WpPayloadWriter *writer)
{
  const gint64 numbers[] = { 1, -2, 3, G_MAXINT64, G_MININT64 };

  wp_payload_writer_add_fixed (writer, G_VARIANT_TYPE_INT64, numbers, sizeof numbers[0],
                               G_N_ELEMENTS (numbers));
  add_chunk (stream, 0, "package.module:function", "pickle", G_N_ELEMENTS (numbers), writer);
  save ("chunk-of-numbers", "\4", stream);
}

static void
save_others (GByteArray *stream, WpPayloadWriter *writer)
{
  WpTaskHead task = { .offset = 3 };
  WpCreditHead credit = { .n_events = 64, .n_bytes = 1024 };
  guint8 head[WP_TASK_HEAD_SIZE];
  guint8 credit_head[WP_CREDIT_HEAD_SIZE];

  add_text (writer, "{'worker-id': <uint32 1>, 'daemon': <true>}");
  add_frame (stream, WP_FRAME_CONFIGURE, WP_FRAME_ATTACHED, NULL, 0, writer);
  add_text (writer, "{'pid': <1234>}");
  add_frame (stream, WP_FRAME_READY, 0, NULL, 0, writer);
  save ("greeting", "\7", stream);

  wp_task_head_encode (&task, head);
  add_frame (stream, WP_FRAME_STARTED, 0, head, sizeof head, NULL);
  add_frame (stream, WP_FRAME_CANCEL, 0, head, sizeof head, NULL);
  add_frame (stream, WP_FRAME_STOP, 0, NULL, 0, NULL);
  save ("small-frames", "\5", stream);

  add_text (writer, "(<'half of it'>, 0.5)");
  add_frame (stream, WP_FRAME_EVENT, 0, head, sizeof head, writer);
  wp_credit_head_encode (&credit, credit_head);
  add_frame (stream, WP_FRAME_CREDIT, 0, credit_head, sizeof credit_head, NULL);
  save ("events", "\6", stream);

  add_text (writer, "'elsewhere'");
  add_chunk (stream, WP_FRAME_SHARED, "/lib/module.so:symbol", "", 1, writer);
  add_results (stream, WP_FRAME_DONE, 0, NULL);
  save ("shared", "", stream);
}

int
main (int argc, char **argv)
{
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();

  if (argc != 2)
    {
      g_printerr ("Usage: %s DIRECTORY\n", argv[0]);
      return 2;
    }

  directory = argv[1];
  save_values (stream, writer);
  save_errors (stream, writer);
  save_times (stream, writer);
  save_numbers (stream, writer);
  save_others (stream, writer);
  return 0;
}
