/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* insights: processor time of a task of 10 µs, the worker's and the caller's together, with insights beside without.
 * What others run on the machine hardly counts here; the two take turns all the same. */

#include "benchmark.h"

#define N_ROUNDS 20
#define N_TASKS  10000
#define TASK_US  10

static WpWorkerPool *
new_pool (gboolean enable_insights)
{
  WpWorkerPool *pool = wp_worker_pool_new (1);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_enable_insights (pool, enable_insights);

  return pool;
}

static gint64
get_worker_time (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;

  result = wp_worker_pool_apply (pool, BENCHMARK_CPU_TIME, g_variant_new_int32 (0), NULL, NULL, &error);
  g_assert_no_error (error);

  return g_variant_get_int64 (result);
}

/* Nanoseconds. */
static gint64
measure_map (WpWorkerPool *pool, GVariant *items)
{
  gint64 before = get_worker_time (pool) + benchmark_cpu_time ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;

  results = wp_worker_pool_map (pool, BENCHMARK_SPIN, items, NULL, NULL, &error);
  g_assert_no_error (error);

  return get_worker_time (pool) + benchmark_cpu_time () - before;
}

static void
measure (double scale)
{
  const guint n = (guint) (N_TASKS * scale);
  g_autofree gint32 *items = g_new (gint32, n);
  g_autoptr (GVariant) array = NULL;
  WpWorkerPool *with = new_pool (TRUE);
  WpWorkerPool *without = new_pool (FALSE);
  gint64 times[2] = { 0 };

  for (guint i = 0; i < n; i++)
    items[i] = TASK_US;
  array = g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, items, n, sizeof *items));

  measure_map (with, array);
  measure_map (without, array);
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      times[0] += measure_map (with, array);
      times[1] += measure_map (without, array);
    }

  benchmark_report ("insights", BENCHMARK_OURS, (double) times[0] / (N_ROUNDS * n) / 1e3, "µs/task");
  benchmark_report ("insights", "without", (double) times[1] / (N_ROUNDS * n) / 1e3, "µs/task");

  benchmark_end_pool (with);
  benchmark_end_pool (without);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
