/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-message.h"
#include "channel/wp-payload.h"
#include "pool/wp-result-queue.h"

#include "bracketed-tests.h"

static const WpResultOrigin origin = { .worker = 3 };

/* Numbers of every size, the extremes of each, and what is no number between them. */
static const char *const texts[] = {
  "[<byte 0>, <byte 255>, <byte 1>]",
  "[<int16 -32768>, <int16 32767>, <int16 -1>]",
  "[<uint16 65535>, <uint16 0>]",
  "[<-1>, <0>, <2147483647>]",
  "[<uint32 4294967295>, <uint32 1>]",
  "[<int64 -1>, <int64 9223372036854775807>, <int64 0>]",
  "[<uint64 18446744073709551615>, <uint64 5>]",
  "[<1.5>, <-2.5>, <1e300>]",
  "[<true>, <false>, <true>]",
  "[<1>, <2>, <int64 3>, <int64 4>, <5>, <byte 6>, <byte 7>, <'eight'>, <9>, <10>]",
  "[<'one'>, <2>, <3>, <(4, 'four')>, <byte 5>, <byte 6>, <[7, 8]>, <9.0>, <10.0>]",
  "[<@ay []>, <1>, <1>, <()>, <uint16 2>, <uint16 2>, <''>]",
  "@av []",
};

static GVariant *
parse (const char *text)
{
  GError *error = NULL;
  GVariant *value = g_variant_parse (G_VARIANT_TYPE ("av"), text, NULL, NULL, &error);

  g_assert_no_error (error);
  return g_variant_ref_sink (value);
}

/* The payload of elements first … first + n - 1. */
static GBytes *
write_payload (GVariant *array, gsize first, gsize n)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GPtrArray) segments = NULL;

  for (gsize i = first; i < first + n; i++)
    {
      g_autoptr (GVariant) element = g_variant_get_child_value (array, i);
      g_autoptr (GVariant) value = g_variant_get_variant (element);

      wp_payload_writer_add (writer, value);
    }
  segments = wp_payload_writer_finish (writer);
  g_assert_cmpuint (segments->len, ==, 1);

  return g_bytes_ref (g_ptr_array_index (segments, 0));
}

static void
assert_collected (WpResultQueue *queue, GVariant *expected)
{
  g_autoptr (GVariant) collected = wp_result_queue_collect (queue);
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (collected);
  g_autoptr (GVariant) untrusted = NULL;

  g_assert_true (g_variant_equal (collected, expected));

  /* Collected values are trusted, so their bytes must be what a serialiser writes. */
  untrusted = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("av"), bytes, FALSE));
  g_assert_true (g_variant_is_normal_form (untrusted));
}

static void
test_collect (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) array = parse (texts[i]);
      gsize n = g_variant_n_children (array);

      for (gsize cut = 0; cut <= n; cut++)
        {
          g_autoptr (WpResultQueue) queue = wp_result_queue_new (TRUE);
          g_autoptr (GBytes) front = write_payload (array, 0, cut);
          g_autoptr (GBytes) rest = write_payload (array, cut, n - cut);

          if (cut < n)
            wp_result_queue_add (queue, cut, n - cut, rest, 0, &origin);
          if (cut > 0)
            wp_result_queue_add (queue, 0, cut, front, 0, &origin);
          assert_collected (queue, array);
        }
    }
}

/* A dead worker's results are read again from where they were not known yet. */
static void
test_collect_part (void)
{
  g_autoptr (GVariant) array = parse ("[<1>, <2>, <3>, <4>, <5>, <6>]");
  g_autoptr (GBytes) payload = write_payload (array, 0, 6);

  for (guint skip = 0; skip <= 5; skip++)
    for (guint n = 1; n <= 6 - skip; n++)
      {
        g_autoptr (WpResultQueue) queue = wp_result_queue_new (TRUE);
        GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));
        g_autoptr (GVariant) expected = NULL;

        for (guint i = skip; i < skip + n; i++)
          g_variant_builder_add (&builder, "v", g_variant_new_int32 (i + 1));
        expected = g_variant_ref_sink (g_variant_builder_end (&builder));

        wp_result_queue_add (queue, 0, n, payload, skip, &origin);
        assert_collected (queue, expected);
      }
}

static void
test_collect_failed (void)
{
  g_autoptr (WpResultQueue) queue = wp_result_queue_new (TRUE);
  g_autoptr (GVariant) array = parse ("[<int64 1>, <int64 2>]");
  g_autoptr (GVariant) expected = parse ("[<int64 1>, <int64 2>, <@mv nothing>, <@mv nothing>, "
                                         "<int64 1>, <int64 2>]");
  g_autoptr (GBytes) payload = write_payload (array, 0, 2);
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "failed");

  wp_result_queue_add (queue, 0, 2, payload, 0, &origin);
  wp_result_queue_add_error (queue, 2, 2, error, &origin);
  wp_result_queue_add (queue, 4, 2, payload, 0, &origin);
  assert_collected (queue, expected);
}

/* Each result has the times that came with its record, also when the first ones of the payload were known. */
static void
test_times (void)
{
  const WpTaskTimes times[] = { { 10, 1 }, { 20, 2 }, { 30, 3 }, { 40, 4 }, { 50, 5 }, { 60, 6 } };
  g_autoptr (GVariant) array = parse ("[<1>, <2>, <3>, <4>, <5>, <6>]");
  g_autoptr (GBytes) payload = write_payload (array, 0, 6);
  g_autoptr (GBytes) bytes = g_bytes_new_static (times, sizeof times);
  g_autoptr (GBytes) last = g_bytes_new_static (&times[5], sizeof times[5]);
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "failed");

  for (guint skip = 0; skip <= 5; skip++)
    {
      g_autoptr (WpResultQueue) queue = wp_result_queue_new (TRUE);
      const WpResultOrigin run = { .worker = 4, .n_retries = 2, .times = bytes };
      const WpResultOrigin failed = { .worker = 5, .n_retries = 3, .times = last };
      const WpResultOrigin unknown = { .worker = G_MAXUINT };

      wp_result_queue_add_error (queue, 6 - skip, 1, error, &failed);
      wp_result_queue_add_error (queue, 7 - skip, 2, error, &unknown);
      wp_result_queue_add (queue, 0, 6 - skip, payload, skip, &run);

      for (guint i = skip; i < 9; i++)
        {
          g_autoptr (GVariant) value = NULL;
          g_autoptr (GError) failure = NULL;
          WpTaskRun described;
          guint64 index;

          g_assert_true (wp_result_queue_take (queue, &index, &value, &failure, &described));
          g_assert_cmpuint (index, ==, i - skip);
          g_assert_cmpuint (described.worker, ==, i < 6 ? 4 : i == 6 ? 5 : G_MAXUINT);
          g_assert_cmpuint (described.n_retries, ==, i < 6 ? 2 : i == 6 ? 3 : 0);
          g_assert_cmpint (described.started, ==, i <= 6 ? times[MIN (i, 5)].started : 0);
          g_assert_cmpint (described.elapsed, ==, i <= 6 ? times[MIN (i, 5)].elapsed : 0);
        }
    }
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/result-queue/collect/any-values-in-any-runs", test_collect },
    { "/result-queue/collect/parts-of-a-payload", test_collect_part },
    { "/result-queue/collect/failed-tasks-are-nothing", test_collect_failed },
    { "/result-queue/take/says-where-and-when", test_times },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
