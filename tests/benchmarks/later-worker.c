/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* later-worker: from an apply on a pool whose worker was killed to its result, with the start method forkserver and,
 * beside it, spawn; and later-worker-loaded, the same with a host that loads a table of words first. */

#include "benchmark.h"

#include <signal.h>
#include <string.h>

#define N_WORKERS 20
#define N_WORDS   100000
#define LOADED    "--loaded"

static GHashTable *words;

static void
load_words (void)
{
  words = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < N_WORDS; i++)
    g_hash_table_add (words, g_strdup_printf ("word %u", i * 7));
}

static WpWorkerPool *
new_pool (WpStartMethod method, const char *argument)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *const host[] = { program, argument, NULL };
  WpWorkerPool *pool = wp_worker_pool_new (1);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_start_method (pool, method);
  wp_worker_pool_set_host (pool, host);

  return pool;
}

static int
apply_pid (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) pid =
      wp_worker_pool_apply (pool, BENCHMARK_PID, g_variant_new_int32 (0), NULL, NULL, &error);

  g_assert_no_error (error);

  return g_variant_get_int32 (pid);
}

/* Replaces the pool's worker. */
static double
measure_later (WpWorkerPool *pool, int *pid)
{
  double start;

  kill (*pid, SIGKILL);
  while (wp_worker_pool_get_n_workers (pool) > 0)
    g_usleep (100);

  start = benchmark_now ();
  *pid = apply_pid (pool);

  return benchmark_now () - start;
}

static void
measure_host (const char *row, const char *argument, guint n)
{
  WpWorkerPool *forkserver = new_pool (WP_START_METHOD_FORKSERVER, argument);
  WpWorkerPool *spawn = new_pool (WP_START_METHOD_SPAWN, argument);
  int forkserver_pid = apply_pid (forkserver);
  int spawn_pid = apply_pid (spawn);
  double forkserver_seconds = 0, spawn_seconds = 0;

  for (guint i = 0; i < n; i++)
    {
      forkserver_seconds += measure_later (forkserver, &forkserver_pid);
      spawn_seconds += measure_later (spawn, &spawn_pid);
    }
  benchmark_report (row, BENCHMARK_OURS, forkserver_seconds / n * 1e3, "ms");
  benchmark_report (row, "spawn", spawn_seconds / n * 1e3, "ms");

  benchmark_end_pool (forkserver);
  benchmark_end_pool (spawn);
}

static void
measure (double scale)
{
  const guint n = (guint) (N_WORKERS * scale);

  measure_host ("later-worker", NULL, n);
  measure_host ("later-worker-loaded", LOADED, n);
}

int
main (int argc, char *argv[])
{
  if (argc == 2 && strcmp (argv[1], LOADED) == 0)
    load_words ();

  return benchmark_main (argc, argv, measure);
}
