/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-chunk-sizer.h"
#include "pool/wp-scheduler.h"

static void
test_run_time_cold_start (void)
{
  g_autoptr (WpChunkSizer) sizer = wp_chunk_sizer_new ();
  WpRunTime *run_time = wp_chunk_sizer_get (sizer, "resize");
  guint n_reports = 0;

  g_assert_cmpint (wp_run_time_get (run_time), ==, 0);
  wp_run_time_report (run_time, 1, G_GUINT64_CONSTANT (50000000));
  while (wp_run_time_get (run_time) > WP_CHUNK_TARGET_NS)
    {
      wp_run_time_report (run_time, 1, 2000);
      n_reports++;
    }
  g_assert_cmpuint (n_reports, <, 20);

  /* What a worker says may be nonsense. */
  wp_run_time_report (run_time, 1, G_MAXUINT64);
  g_assert_cmpuint (wp_chunk_size_automatic (run_time, WP_MAX_CHUNK), ==, 1);
  wp_run_time_report (run_time, G_MAXUINT, 0);
  wp_run_time_report (run_time, G_MAXUINT, 0);
  g_assert_cmpuint (wp_chunk_size_automatic (run_time, WP_MAX_CHUNK), ==, WP_MAX_CHUNK);
  wp_run_time_unref (run_time);
}

static void
test_run_time_bounded (void)
{
  g_autoptr (WpChunkSizer) sizer = wp_chunk_sizer_new ();
  WpRunTime *kept = wp_chunk_sizer_get (sizer, "kept");
  WpRunTime *forgotten = wp_chunk_sizer_get (sizer, "forgotten");
  WpRunTime *again;

  wp_run_time_report (kept, 1, 1000);
  wp_run_time_report (forgotten, 1, 1000);

  for (guint i = 0; i < WP_MAX_RUN_TIMES; i++)
    {
      g_autofree char *name = g_strdup_printf ("function-%u", i);

      wp_run_time_unref (wp_chunk_sizer_get (sizer, name));
      wp_run_time_unref (wp_chunk_sizer_get (sizer, "kept"));
    }

  /* Who holds it may go on with it. */
  wp_run_time_report (forgotten, 1, 1000);
  again = wp_chunk_sizer_get (sizer, "forgotten");
  g_assert_true (again != forgotten);
  g_assert_cmpint (wp_run_time_get (again), ==, 0);
  wp_run_time_unref (again);
  again = wp_chunk_sizer_get (sizer, "kept");
  g_assert_true (again == kept);

  wp_run_time_unref (again);
  wp_run_time_unref (kept);
  wp_run_time_unref (forgotten);
}

static void
test_sizes (void)
{
  g_assert_cmpuint (wp_chunk_size_split (10, 3), ==, 4);
  g_assert_cmpuint (wp_chunk_size_split (2, 5), ==, 1);
  g_assert_cmpuint (wp_chunk_size_split (G_MAXUINT64, 1), ==, WP_MAX_CHUNK);
  g_assert_cmpuint (wp_chunk_size_share (17, 2), ==, 5);
  g_assert_cmpuint (wp_chunk_size_share (0, 2), ==, 1);
  g_assert_cmpuint (wp_chunk_size_share (G_MAXUINT64, G_MAXUINT), ==, WP_MAX_CHUNK);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/chunk-sizer/run-time/cold-start-is-outvoted", test_run_time_cold_start);
  g_test_add_func ("/chunk-sizer/run-time/functions-are-bounded", test_run_time_bounded);
  g_test_add_func ("/chunk-sizer/size/splits-and-shares", test_sizes);

  return g_test_run ();
}
