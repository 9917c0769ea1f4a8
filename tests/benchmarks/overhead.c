/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* overhead-worker, overhead-caller: processor time a trivial task of a map costs the worker and the
 * caller, in all their threads; what others run on the machine hardly counts here. */

#include "benchmark.h"

#define N_TASKS 2000000

static gint64
get_worker_time (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;

  result = wp_worker_pool_apply (pool, BENCHMARK_CPU_TIME, g_variant_new_int32 (0), NULL, NULL,
                                 &error);
  g_assert_no_error (error);

  return g_variant_get_int64 (result);
}

static void
measure (double scale)
{
  const guint n = (guint) (N_TASKS * scale);
  WpWorkerPool *pool = benchmark_new_pool (1, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  g_autoptr (GVariant) items = benchmark_new_items (n);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  gint64 worker_start = get_worker_time (pool);
  gint64 caller_start = benchmark_cpu_time ();
  gint64 caller_end, worker_end;

  results = wp_worker_pool_map (pool, BENCHMARK_ADD_ONE, items, NULL, NULL, &error);
  caller_end = benchmark_cpu_time ();
  g_assert_no_error (error);
  worker_end = get_worker_time (pool);
  benchmark_check_sum (results, n);

  benchmark_report ("overhead-worker", BENCHMARK_OURS, (double) (worker_end - worker_start) / n,
                    "ns/task");
  benchmark_report ("overhead-caller", BENCHMARK_OURS, (double) (caller_end - caller_start) / n,
                    "ns/task");

  benchmark_end_pool (pool);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
