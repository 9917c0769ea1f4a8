/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* start-fork, start-threading, start-forkserver: from nothing to the first result of a pool of two workers, as start.c
 * measures it for spawn; and memory-fork and so on, what a worker that waits for tasks holds of the machine's memory.
 * The forks come first, while this process has no other thread. */

#include "benchmark.h"

#include <string.h>
#include <unistd.h>

#define N_WORKERS 2
#define N_STARTS  20
#define N_IDLE    8

typedef struct
{
  WpStartMethod method;
  const char *start_row; /* nullable */
  const char *memory_row;
} Method;

static const Method methods[] = {
  { WP_START_METHOD_FORK, "start-fork", "memory-fork" },
  { WP_START_METHOD_THREADING, "start-threading", "memory-threading" },
  { WP_START_METHOD_FORKSERVER, "start-forkserver", "memory-forkserver" },
  { WP_START_METHOD_SPAWN, NULL, "memory-spawn" },
};

static double
measure_start (WpStartMethod method)
{
  double start = benchmark_now ();
  WpWorkerPool *pool = wp_worker_pool_new (N_WORKERS);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  double seconds;

  wp_worker_pool_set_start_method (pool, method);
  wp_worker_pool_start (pool, &error);
  g_assert_no_error (error);
  result = wp_worker_pool_apply (pool, BENCHMARK_ADD_ONE, g_variant_new_int32 (1), NULL, NULL, &error);
  seconds = benchmark_now () - start;
  g_assert_no_error (error);

  benchmark_end_pool (pool);

  return seconds;
}

/* A process's memory in kB, where a page that n processes share counts an nth for each of them. */
static double
get_share (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps_rollup", pid);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  const char *found;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  found = strstr (text, "\nPss:");
  g_assert_nonnull (found);

  return g_ascii_strtod (found + strlen ("\nPss:"), NULL);
}

static void
on_started (WpWorkerPool *pool, guint worker_id, int pid, gpointer data)
{
  g_array_append_val ((GArray *) data, pid);
}

/* Of one worker, in kB: of a process all of it, of a thread what this process has grown by. */
static double
measure_memory (WpStartMethod method)
{
  WpWorkerPool *pool = wp_worker_pool_new (N_IDLE);
  g_autoptr (GArray) pids = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GError) error = NULL;
  const double before = get_share (getpid ());
  double sum = 0;

  wp_worker_pool_set_start_method (pool, method);
  g_signal_connect (pool, "worker-started", G_CALLBACK (on_started), pids);
  wp_worker_pool_start (pool, &error);
  g_assert_no_error (error);
  while (pids->len < N_IDLE)
    g_main_context_iteration (NULL, TRUE);

  for (guint i = 0; i < N_IDLE && method != WP_START_METHOD_THREADING; i++)
    sum += get_share (g_array_index (pids, int, i));
  if (method == WP_START_METHOD_THREADING)
    sum = get_share (getpid ()) - before;

  benchmark_end_pool (pool);

  return sum / N_IDLE;
}

static void
measure (double scale)
{
  const guint n = (guint) (N_STARTS * scale);

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      double seconds = 0;

      for (guint j = 0; j < n && methods[i].start_row != NULL; j++)
        seconds += measure_start (methods[i].method);
      if (methods[i].start_row != NULL)
        benchmark_report (methods[i].start_row, BENCHMARK_OURS, seconds / n * 1e3, "ms");
      benchmark_report (methods[i].memory_row, BENCHMARK_OURS, measure_memory (methods[i].method) / 1e3, "MB");
    }
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
