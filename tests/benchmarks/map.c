/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* map: a map of trivial tasks in automatic chunks on two workers that have started, beside a
 * GThreadPool of two threads that gets each task by one push. map-chunk-1: the same with one task a
 * chunk. map-long: tasks of 100 µs, beside two threads that share them out evenly beforehand. */

#include "benchmark.h"

#define N_WORKERS      2
#define N_TASKS        2000000
#define N_SINGLE_TASKS 200000
#define N_LONG_TASKS   10000
#define LONG_TASK_US   100

static double
measure_map (WpWorkerPool *pool, GVariant *items, WpTaskOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;
  double start = benchmark_now ();
  double seconds;

  results = wp_worker_pool_map (pool, BENCHMARK_ADD_ONE, items, options, NULL, &error);
  seconds = benchmark_now () - start;

  g_assert_no_error (error);
  benchmark_check_sum (results, g_variant_n_children (items));

  return seconds;
}

typedef struct
{
  gint32 item;
  gint64 result;
} Task;

static void
run_task (gpointer data, gpointer user_data)
{
  Task *task = data;

  task->result = (gint64) task->item + 1;
}

static double
measure_thread_pool (guint n)
{
  g_autofree Task *tasks = g_new (Task, n);
  g_autoptr (GError) error = NULL;
  GThreadPool *pool;
  double start, seconds;

  for (guint i = 0; i < n; i++)
    tasks[i].item = (gint32) i;

  start = benchmark_now ();
  pool = g_thread_pool_new (run_task, NULL, N_WORKERS, TRUE, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    g_thread_pool_push (pool, &tasks[i], NULL);
  g_thread_pool_free (pool, FALSE, TRUE);
  seconds = benchmark_now () - start;

  for (guint i = 0; i < n; i++)
    g_assert_cmpint (tasks[i].result, ==, (gint64) i + 1);

  return seconds;
}

static double
measure_long (WpWorkerPool *pool, guint n)
{
  g_autofree gint32 *items = g_new (gint32, n);
  g_autoptr (GVariant) array = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  double start;

  for (guint i = 0; i < n; i++)
    items[i] = LONG_TASK_US;
  array = g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, items, n, sizeof *items));

  start = benchmark_now ();
  results = wp_worker_pool_map (pool, BENCHMARK_SPIN, array, NULL, NULL, &error);
  g_assert_no_error (error);

  return benchmark_now () - start;
}

static gpointer
spin_share (gpointer data)
{
  for (guint i = GPOINTER_TO_UINT (data); i > 0; i--)
    benchmark_spin (LONG_TASK_US);

  return NULL;
}

static double
measure_shares (guint n)
{
  double start = benchmark_now ();
  GThread *threads[N_WORKERS];

  for (guint i = 0; i < N_WORKERS; i++)
    threads[i] = g_thread_new ("share", spin_share, GUINT_TO_POINTER (n / N_WORKERS));
  for (guint i = 0; i < N_WORKERS; i++)
    g_thread_join (threads[i]);

  return benchmark_now () - start;
}

static void
measure (double scale)
{
  const guint n = (guint) (N_TASKS * scale);
  const guint n_single = (guint) (N_SINGLE_TASKS * scale);
  const guint n_long = (guint) (N_LONG_TASKS * scale);
  WpWorkerPool *pool = benchmark_new_pool (N_WORKERS, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  g_autoptr (WpTaskOptions) single = wp_task_options_new ();
  g_autoptr (GVariant) items = benchmark_new_items (n);
  g_autoptr (GVariant) single_items = benchmark_new_items (n_single);

  wp_task_options_set_chunk_size (single, 1);

  benchmark_report ("map", BENCHMARK_OURS, n / measure_map (pool, items, NULL) / 1e6, "M tasks/s");
  benchmark_report ("map", "GThreadPool", n / measure_thread_pool (n) / 1e6, "M tasks/s");

  benchmark_report ("map-chunk-1", BENCHMARK_OURS,
                    n_single / measure_map (pool, single_items, single) / 1e3, "k tasks/s");

  benchmark_report ("map-long", BENCHMARK_OURS, measure_long (pool, n_long) * 1e3, "ms");
  benchmark_report ("map-long", "two threads", measure_shares (n_long) * 1e3, "ms");

  benchmark_end_pool (pool);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
