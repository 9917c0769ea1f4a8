/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* start: from nothing to the first result of a pool of two workers, beside GSubprocess that starts
 * and reaps two processes that do nothing. */

#include "benchmark.h"

#define N_WORKERS 2
#define N_STARTS  20

static double
measure_pool (void)
{
  double start = benchmark_now ();
  WpWorkerPool *pool = wp_worker_pool_new (N_WORKERS);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  double seconds;

  wp_worker_pool_start (pool, &error);
  g_assert_no_error (error);
  result = wp_worker_pool_apply (pool, BENCHMARK_ADD_ONE, g_variant_new_int32 (1), NULL, NULL,
                                 &error);
  seconds = benchmark_now () - start;
  g_assert_no_error (error);

  benchmark_end_pool (pool);

  return seconds;
}

static double
measure_subprocesses (void)
{
  GSubprocess *processes[N_WORKERS];
  g_autoptr (GError) error = NULL;
  double start = benchmark_now ();

  for (guint i = 0; i < N_WORKERS; i++)
    {
      processes[i] = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, "true", NULL);
      g_assert_no_error (error);
    }
  for (guint i = 0; i < N_WORKERS; i++)
    {
      g_subprocess_wait_check (processes[i], NULL, &error);
      g_assert_no_error (error);
      g_object_unref (processes[i]);
    }

  return benchmark_now () - start;
}

static void
measure (double scale)
{
  const guint n = (guint) (N_STARTS * scale);
  double ours = 0, subprocesses = 0;

  for (guint i = 0; i < n; i++)
    {
      ours += measure_pool ();
      subprocesses += measure_subprocesses ();
    }

  benchmark_report ("start", BENCHMARK_OURS, ours / n * 1e3, "ms");
  benchmark_report ("start", "GSubprocess, twice true", subprocesses / n * 1e3, "ms");
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
