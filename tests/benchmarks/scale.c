/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* scale: 256 workers on one pool report in, run twenty tasks each, and are joined;
 * scale-descriptors: how many more descriptors are open afterwards. */

#include "benchmark.h"

#define N_WORKERS    256
#define N_TASKS_EACH 20

static guint
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}

/* GLib's thread that reaps children, and its descriptors, come with the first child and stay. */
static void
start_child_watch (void)
{
  WpWorkerPool *pool = benchmark_new_pool (1, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));

  benchmark_end_pool (pool);
}

static void
measure (double scale)
{
  const guint n_workers = (guint) (N_WORKERS * scale);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) items = benchmark_new_items (n_workers * N_TASKS_EACH);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  WpWorkerPool *pool;
  double start;
  guint before;

  start_child_watch ();
  before = count_descriptors ();

  start = benchmark_now ();
  pool = benchmark_new_pool (n_workers, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  wp_task_options_set_chunk_size (options, N_TASKS_EACH);
  results = wp_worker_pool_map (pool, BENCHMARK_ADD_ONE, items, options, NULL, &error);
  g_assert_no_error (error);
  benchmark_check_sum (results, n_workers * N_TASKS_EACH);
  benchmark_end_pool (pool);
  benchmark_report ("scale", BENCHMARK_OURS, (benchmark_now () - start) * 1e3, "ms");

  benchmark_report ("scale-descriptors", BENCHMARK_OURS, (double) count_descriptors () - before,
                    "descriptors");
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
