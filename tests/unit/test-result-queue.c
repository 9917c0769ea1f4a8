/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-payload.h"
#include "pool/wp-result-queue.h"

#include "bracketed-tests.h"

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
            wp_result_queue_add (queue, cut, n - cut, rest, 0);
          if (cut > 0)
            wp_result_queue_add (queue, 0, cut, front, 0);
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

        wp_result_queue_add (queue, 0, n, payload, skip);
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

  wp_result_queue_add (queue, 0, 2, payload, 0);
  wp_result_queue_add_error (queue, 2, 2, error);
  wp_result_queue_add (queue, 4, 2, payload, 0);
  assert_collected (queue, expected);
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/result-queue/collect/any-values-in-any-runs", test_collect },
    { "/result-queue/collect/parts-of-a-payload", test_collect_part },
    { "/result-queue/collect/failed-tasks-are-nothing", test_collect_failed },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
