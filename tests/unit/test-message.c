/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-error.h"
#include "channel/wp-frame.h"
#include "channel/wp-message.h"

#include <string.h>

#include "bracketed-tests.h"

static void
assert_chunk_refused (const guint8 *buffer, gsize size)
{
  /* Memory of exactly this size, so that a sanitizer sees a read beyond it. */
  g_autofree guint8 *copy = g_memdup2 (buffer, size);
  g_autoptr (GError) error = NULL;
  WpChunkHead head;

  g_assert_false (wp_chunk_head_decode (&head, copy, size, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

static void
test_chunk_round_trip (void)
{
  static const char *const names[] = {
    "", "f", "greet", "/lib/module.so:symbol", "fünf", "package.module:function",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (names); j++)
      {
        WpChunkHead head = {
          .first = G_GUINT64_CONSTANT (0x123456789a),
          .n_tasks = 4000000000u,
          .function = names[i],
          .codec = names[j],
          .stream = G_MAXUINT64 - 5,
        };
        gsize size = wp_chunk_head_get_size (&head);
        g_autofree guint8 *buffer = g_malloc (size);
        g_autoptr (GError) error = NULL;
        WpChunkHead decoded;

        g_assert_cmpuint (size % 8, ==, 0);
        wp_chunk_head_encode (&head, buffer);
        g_assert_true (wp_chunk_head_decode (&decoded, buffer, size, &error));
        g_assert_no_error (error);
        g_assert_cmpuint (decoded.first, ==, head.first);
        g_assert_cmpuint (decoded.n_tasks, ==, head.n_tasks);
        g_assert_cmpstr (decoded.function, ==, head.function);
        g_assert_cmpstr (decoded.codec, ==, head.codec);
        g_assert_cmpuint (decoded.stream, ==, head.stream);
      }
}

static void
test_chunk_longest_names (void)
{
  g_autofree char *name = g_strnfill (WP_MESSAGE_MAX_NAME, 'x');
  g_autofree char *codec = g_strnfill (WP_MESSAGE_MAX_NAME, 'y');
  WpChunkHead head = { .first = 0, .n_tasks = 1, .function = name, .codec = codec };
  gsize size = wp_chunk_head_get_size (&head);
  g_autofree guint8 *buffer = g_malloc (size);
  WpChunkHead decoded;

  g_assert_cmpuint (size, <=, WP_FRAME_MAX_HEAD);
  wp_chunk_head_encode (&head, buffer);
  g_assert_true (wp_chunk_head_decode (&decoded, buffer, size, NULL));
  g_assert_cmpstr (decoded.function, ==, name);
  g_assert_cmpstr (decoded.codec, ==, codec);
}

static void
test_chunk_truncated (void)
{
  WpChunkHead head = { .first = 7, .n_tasks = 3, .function = "function", .codec = "codec" };
  gsize size = wp_chunk_head_get_size (&head);
  g_autofree guint8 *buffer = g_malloc0 (size + 8);

  wp_chunk_head_encode (&head, buffer);
  for (gsize n = 0; n <= size + 8; n++)
    if (n != size)
      assert_chunk_refused (buffer, n);
}

static void
test_chunk_malformed (void)
{
  WpChunkHead head = { .first = 7, .n_tasks = 3, .function = "function", .codec = "codec" };
  gsize size = wp_chunk_head_get_size (&head);
  g_autofree guint8 *buffer = g_malloc (size);
  const gsize function = 24;
  const gsize codec = function + strlen ("function") + 1;

  const struct
  {
    gsize offset;
    guint8 value;
  } wrong[] = {
    { 8, 0 },               /* no tasks */
    { 12, 9 },              /* the function's length goes past its NUL */
    { 12, 7 },              /* ... or stops before it */
    { 13, 0xff },           /* ... or goes past the end */
    { 14, 4 },              /* the codec's */
    { 15, 0xff },           /* */
    { function + 2, 0 },    /* a NUL inside */
    { function + 2, 0xff }, /* no UTF-8 */
    { function + 8, 'x' },  /* no NUL */
    { codec + 1, 0 },       /* */
    { codec + 1, 0xc0 },    /* */
    { codec + 5, 'x' },     /* */
  };

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      wp_chunk_head_encode (&head, buffer);
      buffer[wrong[i].offset] = wrong[i].value;
      assert_chunk_refused (buffer, size);
    }

  head.first = G_MAXUINT64 - 2;
  wp_chunk_head_encode (&head, buffer);
  assert_chunk_refused (buffer, size);
}

static void
test_results (void)
{
  WpResultsHead head = { .offset = 100000, .n_results = 4000000000u, .elapsed = G_MAXUINT64 };
  WpResultsHead decoded;
  guint8 buffer[WP_RESULTS_HEAD_SIZE + 1] = { 0 };

  wp_results_head_encode (&head, buffer);
  g_assert_true (wp_results_head_decode (&decoded, buffer, WP_RESULTS_HEAD_SIZE, NULL));
  g_assert_cmpuint (decoded.offset, ==, head.offset);
  g_assert_cmpuint (decoded.n_results, ==, head.n_results);
  g_assert_cmpuint (decoded.elapsed, ==, head.elapsed);

  for (gsize n = 0; n <= sizeof buffer; n++)
    {
      g_autoptr (GError) error = NULL;

      if (n == WP_RESULTS_HEAD_SIZE)
        continue;
      g_assert_false (wp_results_head_decode (&decoded, buffer, n, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
    }
}

static void
test_results_overflow (void)
{
  WpResultsHead head = { .offset = G_MAXUINT32, .n_results = 1 };
  WpResultsHead decoded;
  guint8 buffer[WP_RESULTS_HEAD_SIZE];
  g_autoptr (GError) error = NULL;

  wp_results_head_encode (&head, buffer);
  g_assert_false (wp_results_head_decode (&decoded, buffer, sizeof buffer, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

/* As an outbox has them: growing downwards. */
static void
store_times (guint8 *end, guint n, const WpTaskTimes *times)
{
  for (guint i = 0; i < n; i++)
    wp_task_times_encode (&times[i], end - (i + 1) * WP_TASK_TIMES_SIZE);
}

static void
test_times (void)
{
  const WpTaskTimes times[] = { { 1000, 10 }, { 1010, 0 }, { 1010, 90 }, { 1200, 300 } };
  guint8 buffer[sizeof times];

  store_times (buffer + sizeof buffer, G_N_ELEMENTS (times), times);
  for (guint n = 0; n <= G_N_ELEMENTS (times); n++)
    {
      g_autoptr (GBytes) decoded = wp_task_times_decode (buffer + sizeof buffer, n, 1000, 1500);

      g_assert_cmpmem (g_bytes_get_data (decoded, NULL), g_bytes_get_size (decoded), times, n * sizeof *times);
    }
}

/* Whatever they say, tasks follow each other within the time that they had. */
static void
test_times_untrusted (void)
{
  static const gint64 numbers[] = { G_MININT64, -1, 0, 1, 999, 1000, 1250, 1499, 1500, 1501, G_MAXINT64 };

  for (guint round = 0; round < 10000; round++)
    {
      g_autoptr (GBytes) decoded = NULL;
      WpTaskTimes times[4];
      guint8 buffer[sizeof times];
      const WpTaskTimes *held;
      gint64 earliest = 1000;

      for (guint i = 0; i < G_N_ELEMENTS (times); i++)
        {
          times[i].started = numbers[g_test_rand_int_range (0, G_N_ELEMENTS (numbers))];
          times[i].elapsed = numbers[g_test_rand_int_range (0, G_N_ELEMENTS (numbers))];
        }
      store_times (buffer + sizeof buffer, G_N_ELEMENTS (times), times);
      decoded = wp_task_times_decode (buffer + sizeof buffer, G_N_ELEMENTS (times), earliest, 1500);
      held = g_bytes_get_data (decoded, NULL);

      for (guint i = 0; i < G_N_ELEMENTS (times); i++)
        {
          g_assert_cmpint (held[i].started, >=, earliest);
          g_assert_cmpint (held[i].elapsed, >=, 0);
          earliest = held[i].started + held[i].elapsed;
        }
      g_assert_cmpint (earliest, <=, 1500);
    }
}

static void
test_times_lengths (void)
{
  for (guint n = 0; n < 5; n++)
    for (gsize length = 0; length < 100; length++)
      {
        g_autoptr (GError) error = NULL;
        gsize position = G_MAXSIZE;

        g_assert_cmpint (wp_results_find_times (length, n, &position, &error), ==, length >= n * WP_TASK_TIMES_SIZE);
        if (error == NULL)
          g_assert_cmpuint (position + n * WP_TASK_TIMES_SIZE, ==, length);
        else
          g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
      }

  g_assert_false (wp_results_find_times (1000, G_MAXUINT32, &(gsize){ 0 }, NULL));
}

static void
test_task (void)
{
  WpTaskHead head = { .offset = G_MAXUINT32 };
  WpTaskHead decoded;
  guint8 buffer[WP_TASK_HEAD_SIZE + 1] = { 0 };

  wp_task_head_encode (&head, buffer);
  g_assert_true (wp_task_head_decode (&decoded, buffer, WP_TASK_HEAD_SIZE, NULL));
  g_assert_cmpuint (decoded.offset, ==, head.offset);

  for (gsize n = 0; n <= sizeof buffer; n++)
    if (n != WP_TASK_HEAD_SIZE)
      g_assert_false (wp_task_head_decode (&decoded, buffer, n, NULL));

  buffer[5] = 1;
  g_assert_false (wp_task_head_decode (&decoded, buffer, WP_TASK_HEAD_SIZE, NULL));
}

static void
test_credit (void)
{
  WpCreditHead head = { .n_events = G_MAXUINT32, .n_bytes = G_MAXUINT64 - 1 };
  WpCreditHead decoded;
  guint8 buffer[WP_CREDIT_HEAD_SIZE + 1] = { 0 };

  wp_credit_head_encode (&head, buffer);
  g_assert_true (wp_credit_head_decode (&decoded, buffer, WP_CREDIT_HEAD_SIZE, NULL));
  g_assert_cmpuint (decoded.n_events, ==, head.n_events);
  g_assert_cmpuint (decoded.n_bytes, ==, head.n_bytes);

  for (gsize n = 0; n <= sizeof buffer; n++)
    {
      g_autoptr (GError) error = NULL;

      if (n == WP_CREDIT_HEAD_SIZE)
        continue;
      g_assert_false (wp_credit_head_decode (&decoded, buffer, n, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
    }

  buffer[5] = 1;
  g_assert_false (wp_credit_head_decode (&decoded, buffer, WP_CREDIT_HEAD_SIZE, NULL));

  head.n_events = 0;
  wp_credit_head_encode (&head, buffer);
  g_assert_false (wp_credit_head_decode (&decoded, buffer, WP_CREDIT_HEAD_SIZE, NULL));
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/message/chunk/round-trip", test_chunk_round_trip },
    { "/message/chunk/the-longest-names-fit-a-head", test_chunk_longest_names },
    { "/message/chunk/other-lengths-are-refused", test_chunk_truncated },
    { "/message/chunk/wrong-fields-are-refused", test_chunk_malformed },
    { "/message/results/round-trip-and-lengths", test_results },
    { "/message/results/an-overflow-is-refused", test_results_overflow },
    { "/message/times/round-trip", test_times },
    { "/message/times/are-held-to-what-can-be", test_times_untrusted },
    { "/message/times/too-few-are-refused", test_times_lengths },
    { "/message/task/round-trip-and-lengths", test_task },
    { "/message/credit/round-trip-and-lengths", test_credit },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
