/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-error.h"
#include "channel/wp-frame.h"

#include <string.h>

#include "bracketed-tests.h"

static void
append_frame (GByteArray *stream, WpFrameHeader header, const guint8 *head, const guint8 *body)
{
  guint8 encoded[WP_FRAME_HEADER_SIZE];

  wp_frame_header_encode (&header, encoded);
  g_byte_array_append (stream, encoded, sizeof encoded);
  if (header.head_length > 0)
    g_byte_array_append (stream, head, header.head_length);
  if (header.body_length > 0 && (header.flags & WP_FRAME_SHARED) == 0)
    g_byte_array_append (stream, body, header.body_length);
}

/* Gives the decoder up to n bytes; returns how many it took at once. */
static gsize
feed (WpFrameDecoder *decoder, const guint8 *bytes, gsize n)
{
  gsize size;
  guint8 *space = wp_frame_decoder_get_space (decoder, &size);

  g_assert_cmpuint (size, >=, 1);
  n = MIN (n, size);
  memcpy (space, bytes, n);
  wp_frame_decoder_advance (decoder, n);
  return n;
}

static void
feed_all (WpFrameDecoder *decoder, const guint8 *bytes, gsize n)
{
  for (gsize fed = 0; fed < n;)
    {
      WpFrame frame;

      fed += feed (decoder, bytes + fed, n - fed);
      if (fed < n)
        g_assert_false (wp_frame_decoder_next (decoder, &frame, NULL));
    }
}

static void
assert_aligned (gconstpointer pointer)
{
  g_assert_cmpuint (GPOINTER_TO_SIZE (pointer) % 8, ==, 0);
}

static void
test_header_round_trip (void)
{
  for (int type = WP_FRAME_CONFIGURE; type <= WP_FRAME_LAST; type++)
    for (int flags = 0; flags <= WP_FRAME_ALL_FLAGS; flags++)
      {
        WpFrameHeader header = {
          .type = (WpFrameType) type,
          .flags = (WpFrameFlags) flags,
          .sequence = G_GUINT64_CONSTANT (0xfedcba9876543210) + type,
          .head_length = 0x1234,
          .body_length = (flags & WP_FRAME_SHARED) != 0 ? WP_FRAME_MAX_SHARED : WP_FRAME_MAX_INLINE,
        };
        WpFrameHeader decoded;
        guint8 encoded[WP_FRAME_HEADER_SIZE];
        g_autoptr (GError) error = NULL;
        gboolean valid = (flags & (WP_FRAME_DONE | WP_FRAME_TIMED)) == 0 || type == WP_FRAME_RESULTS;

        wp_frame_header_encode (&header, encoded);
        g_assert_cmpint (wp_frame_header_decode (&decoded, encoded, &error), ==, valid);
        if (!valid)
          {
            g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
            continue;
          }

        g_assert_no_error (error);
        g_assert_cmpint (decoded.type, ==, header.type);
        g_assert_cmpint (decoded.flags, ==, header.flags);
        g_assert_cmpuint (decoded.sequence, ==, header.sequence);
        g_assert_cmpuint (decoded.head_length, ==, header.head_length);
        g_assert_cmpuint (decoded.body_length, ==, header.body_length);
      }
}

static void
test_header_layout (void)
{
  const guint8 expected[WP_FRAME_HEADER_SIZE] = {
    /* clang-format off */
    'W', 'P', 'F', 1,    4, 4, 0, 0,    0x10, 0, 0, 0,    0, 0, 0, 0,
    0x08, 0x07, 0, 0, 0, 0, 0, 0,    0x11, 0x22, 0, 0, 0, 0, 0, 0x80,
    /* clang-format on */
  };
  WpFrameHeader header = {
    .type = WP_FRAME_RESULTS,
    .flags = WP_FRAME_DONE,
    .head_length = 0x10,
    .body_length = 0x0708,
    .sequence = G_GUINT64_CONSTANT (0x8000000000002211),
  };
  guint8 encoded[WP_FRAME_HEADER_SIZE];

  wp_frame_header_encode (&header, encoded);
  g_assert_cmpmem (encoded, sizeof encoded, expected, sizeof expected);
}

static void
assert_refused (const guint8 encoded[WP_FRAME_HEADER_SIZE])
{
  WpFrameHeader decoded;
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_frame_header_decode (&decoded, encoded, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

static void
test_header_wrong_fields (void)
{
  const struct
  {
    gsize offset;
    guint8 value;
  } wrong[] = {
    { 0, 'w' },  { 1, 0 },  { 2, 'G' },  { 3, 0 },  { 3, 2 },  { 4, 0 },  { 4, WP_FRAME_LAST + 1 },
    { 4, 0xff }, { 5, 8 },  { 5, 0x80 }, { 6, 1 },  { 7, 1 },  { 12, 1 }, { 13, 1 },
    { 14, 1 },   { 15, 1 }, { 10, 2 },   { 11, 1 }, { 20, 1 }, { 23, 1 }, { 5, WP_FRAME_DONE },
  };
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .head_length = 16, .body_length = 24 };
  WpFrameHeader decoded;
  guint8 valid[WP_FRAME_HEADER_SIZE];

  wp_frame_header_encode (&header, valid);
  g_assert_true (wp_frame_header_decode (&decoded, valid, NULL));

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      guint8 encoded[WP_FRAME_HEADER_SIZE];

      memcpy (encoded, valid, sizeof encoded);
      encoded[wrong[i].offset] = wrong[i].value;
      assert_refused (encoded);
    }
}

static void
test_header_limits (void)
{
  WpFrameHeader header = { .type = WP_FRAME_CHUNK };
  WpFrameHeader decoded;
  guint8 encoded[WP_FRAME_HEADER_SIZE];

  header.head_length = WP_FRAME_MAX_HEAD;
  header.body_length = WP_FRAME_MAX_INLINE;
  wp_frame_header_encode (&header, encoded);
  g_assert_true (wp_frame_header_decode (&decoded, encoded, NULL));

  header.body_length = WP_FRAME_MAX_INLINE + 1;
  wp_frame_header_encode (&header, encoded);
  assert_refused (encoded);

  header.flags = WP_FRAME_SHARED;
  header.body_length = WP_FRAME_MAX_SHARED;
  wp_frame_header_encode (&header, encoded);
  g_assert_true (wp_frame_header_decode (&decoded, encoded, NULL));

  header.body_length = WP_FRAME_MAX_SHARED + 1;
  wp_frame_header_encode (&header, encoded);
  assert_refused (encoded);

  header.body_length = 0;
  header.head_length = WP_FRAME_MAX_HEAD + 1;
  wp_frame_header_encode (&header, encoded);
  assert_refused (encoded);
}

typedef struct
{
  WpFrameHeader header;
  guint8 seed;
} ExpectedFrame;

static void
fill (guint8 *bytes, gsize n, guint8 seed)
{
  for (gsize i = 0; i < n; i++)
    bytes[i] = seed + i * 31 + (i >> 8);
}

static GArray *
make_stream (GByteArray *stream, const gsize *body_sizes, gsize n_sizes)
{
  static const guint32 head_sizes[] = { 0, 8, 16, 4096, WP_FRAME_MAX_HEAD };
  GArray *frames = g_array_new (FALSE, TRUE, sizeof (ExpectedFrame));

  for (gsize i = 0; i < n_sizes; i++)
    for (gsize j = 0; j < G_N_ELEMENTS (head_sizes); j++)
      {
        ExpectedFrame expected = {
          .header = {
            .type = WP_FRAME_RESULTS,
            .flags = (i + j) % 3 == 0 ? WP_FRAME_SHARED : 0,
            .sequence = i * 100 + j,
            .head_length = head_sizes[j],
            .body_length = body_sizes[i],
          },
          .seed = g_test_rand_int (),
        };
        g_autofree guint8 *head = g_malloc (head_sizes[j] + 1);
        g_autofree guint8 *body = g_malloc (body_sizes[i] + 1);

        fill (head, head_sizes[j], expected.seed);
        fill (body, body_sizes[i], expected.seed + 1);
        append_frame (stream, expected.header, head, body);
        g_array_append_val (frames, expected);
      }
  return frames;
}

static void
assert_frame (const WpFrame *frame, const ExpectedFrame *expected)
{
  g_autofree guint8 *content = g_malloc (
      MAX (expected->header.head_length, expected->header.body_length) + 1);

  g_assert_cmpuint (frame->header.sequence, ==, expected->header.sequence);
  g_assert_cmpuint (frame->header.head_length, ==, expected->header.head_length);
  g_assert_cmpuint (frame->header.body_length, ==, expected->header.body_length);
  fill (content, expected->header.head_length, expected->seed);
  g_assert_cmpmem (frame->head, frame->header.head_length, content, expected->header.head_length);
  assert_aligned (frame->head);

  if ((expected->header.flags & WP_FRAME_SHARED) != 0)
    {
      g_assert_null (frame->body);
    }
  else
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (frame->body, &size);

      fill (content, expected->header.body_length, expected->seed + 1);
      g_assert_cmpmem (data, size, content, expected->header.body_length);
      if (size > 0)
        assert_aligned (data);
    }
}

/* Feeds the stream in pieces of at most 'most' bytes (0: of random sizes), and compares what comes
 * out. */
static void
decode_stream (GByteArray *stream, GArray *frames, gsize most)
{
  g_autoptr (WpFrameDecoder) decoder = wp_frame_decoder_new ();
  gsize fed = 0;
  guint n = 0;

  g_assert_true (wp_frame_decoder_is_empty (decoder));
  g_assert_false (wp_frame_decoder_has_bytes (decoder));
  while (fed < stream->len)
    {
      gsize piece = most != 0 ? most : (gsize) 1 << g_test_rand_int_range (0, 20);
      g_autoptr (GError) error = NULL;

      fed += feed (decoder, stream->data + fed, MIN (piece, stream->len - fed));
      g_assert_true (wp_frame_decoder_has_bytes (decoder));
      for (;;)
        {
          g_auto (WpFrame) frame = { 0 };

          if (!wp_frame_decoder_next (decoder, &frame, &error))
            break;
          assert_frame (&frame, &g_array_index (frames, ExpectedFrame, n));
          n++;
        }
      g_assert_no_error (error);
      g_assert_false (wp_frame_decoder_has_bytes (decoder));
    }

  g_assert_cmpuint (n, ==, frames->len);
  g_assert_true (wp_frame_decoder_is_empty (decoder));
}

static void
test_any_split (void)
{
  static const gsize sizes[] = {
    0, 8, 64, 3000, 65000, 65472, 65536, 65544, 131072, 131080, 262144, 1000000,
  };
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autoptr (GArray) frames = make_stream (stream, sizes, G_N_ELEMENTS (sizes));
  static const gsize pieces[] = { 31, 4096, 65536, 65537, 10000000 };

  for (gsize i = 0; i < G_N_ELEMENTS (pieces); i++)
    decode_stream (stream, frames, pieces[i]);
  for (int i = 0; i < 20; i++)
    decode_stream (stream, frames, 0);
}

static void
test_single_bytes (void)
{
  static const gsize sizes[] = { 0, 8, 4096 };
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autoptr (GArray) frames = make_stream (stream, sizes, G_N_ELEMENTS (sizes));

  decode_stream (stream, frames, 1);
}

static void
test_truncated (void)
{
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .head_length = 16, .body_length = 40 };
  const guint8 content[64] = { 0 };
  g_autoptr (GByteArray) stream = g_byte_array_new ();

  append_frame (stream, header, content, content);
  for (gsize n = 0; n < stream->len; n++)
    {
      g_autoptr (WpFrameDecoder) decoder = wp_frame_decoder_new ();
      g_autoptr (GError) error = NULL;
      WpFrame frame;

      feed_all (decoder, stream->data, n);
      g_assert_false (wp_frame_decoder_next (decoder, &frame, &error));
      g_assert_no_error (error);
      g_assert_cmpint (wp_frame_decoder_is_empty (decoder), ==, n == 0);

      feed_all (decoder, stream->data + n, stream->len - n);
      g_assert_true (wp_frame_decoder_next (decoder, &frame, &error));
      wp_frame_clear (&frame);
    }
}

static void
test_stays_corrupt (void)
{
  WpFrameHeader header = { .type = WP_FRAME_STOP };
  g_autoptr (WpFrameDecoder) decoder = wp_frame_decoder_new ();
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_auto (WpFrame) frame = { 0 };
  guint8 garbage[WP_FRAME_HEADER_SIZE] = "Loading, please wait... 17 %";

  append_frame (stream, header, NULL, NULL);
  feed_all (decoder, stream->data, stream->len);
  g_assert_true (wp_frame_decoder_next (decoder, &frame, NULL));

  feed_all (decoder, garbage, sizeof garbage);
  for (int i = 0; i < 10000; i++)
    {
      g_autoptr (GError) error = NULL;
      gsize size;

      g_assert_false (wp_frame_decoder_next (decoder, &frame, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
      g_assert_false (wp_frame_decoder_has_bytes (decoder));
      feed (decoder, stream->data, stream->len);

      /* What still comes is not kept. */
      wp_frame_decoder_get_space (decoder, &size);
      g_assert_cmpuint (size, <=, 64 * 1024);
    }
}

static void
test_claims_cost_nothing (void)
{
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .body_length = WP_FRAME_MAX_INLINE };
  g_autoptr (WpFrameDecoder) decoder = wp_frame_decoder_new ();
  g_autofree guint8 *zeros = g_malloc0 (4096);
  guint8 encoded[WP_FRAME_HEADER_SIZE];
  WpFrame frame;
  gsize arrived = 0;

  wp_frame_header_encode (&header, encoded);
  feed_all (decoder, encoded, sizeof encoded);
  while (arrived < 4 * 1024 * 1024)
    {
      gsize size;

      g_assert_false (wp_frame_decoder_next (decoder, &frame, NULL));
      wp_frame_decoder_get_space (decoder, &size);
      g_assert_cmpuint (size, <=, arrived + 128 * 1024);
      arrived += feed (decoder, zeros, 4096);
    }
}

static void
test_large_in_place (void)
{
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .head_length = 8, .body_length = 100000 };
  g_autoptr (WpFrameDecoder) decoder = wp_frame_decoder_new ();
  g_auto (WpFrame) frame = { 0 };
  g_autofree guint8 *body = g_malloc0 (header.body_length);
  guint8 front[WP_FRAME_HEADER_SIZE + 8] = { 0 };
  const guint8 *space;
  gsize size;

  wp_frame_header_encode (&header, front);
  feed_all (decoder, front, sizeof front);
  g_assert_false (wp_frame_decoder_next (decoder, &frame, NULL));

  space = wp_frame_decoder_get_space (decoder, &size);
  g_assert_cmpuint (size, ==, header.body_length);
  feed_all (decoder, body, header.body_length);
  g_assert_true (wp_frame_decoder_next (decoder, &frame, NULL));
  g_assert_true (g_bytes_get_data (frame.body, NULL) == space);
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/frame/header/round-trip", test_header_round_trip },
    { "/frame/header/has-the-documented-layout", test_header_layout },
    { "/frame/header/wrong-fields-are-refused", test_header_wrong_fields },
    { "/frame/header/lengths-are-limited", test_header_limits },
    { "/frame/decoder/frames-come-whole-at-any-split", test_any_split },
    { "/frame/decoder/frames-come-whole-byte-by-byte", test_single_bytes },
    { "/frame/decoder/a-cut-frame-waits-for-its-rest", test_truncated },
    { "/frame/decoder/a-corrupt-stream-stays-corrupt", test_stays_corrupt },
    { "/frame/decoder/a-claimed-length-costs-no-memory", test_claims_cost_nothing },
    { "/frame/decoder/a-large-body-is-read-in-place", test_large_in_place },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
