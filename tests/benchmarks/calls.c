/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* apply-async: calls of one task each from a main loop, a thousand of them on their way at any
 * time. */

#include "benchmark.h"

#define N_WORKERS    2
#define N_CALLS      100000
#define N_ON_THE_WAY 1000

typedef struct
{
  GMainLoop *loop;
  guint n_begun;
  guint n_left;
} Calls;

static void begin_call (WpWorkerPool *pool, Calls *calls);

static void
on_applied (GObject *source, GAsyncResult *result, gpointer data)
{
  WpWorkerPool *pool = WP_WORKER_POOL (source);
  Calls *calls = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value G_GNUC_UNUSED = wp_worker_pool_apply_finish (pool, result, &error);

  g_assert_no_error (error);
  if (--calls->n_left == 0)
    g_main_loop_quit (calls->loop);
  else if (calls->n_begun > 0)
    begin_call (pool, calls);
}

static void
begin_call (WpWorkerPool *pool, Calls *calls)
{
  calls->n_begun--;
  wp_worker_pool_apply_async (pool, BENCHMARK_ADD_ONE,
                              g_variant_new_int32 ((gint32) calls->n_begun), NULL, NULL, on_applied,
                              calls);
}

static void
measure (double scale)
{
  const guint n = (guint) (N_CALLS * scale);
  WpWorkerPool *pool = benchmark_new_pool (N_WORKERS, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Calls calls = { loop, n, n };
  double start = benchmark_now ();

  for (guint i = 0; i < N_ON_THE_WAY; i++)
    begin_call (pool, &calls);
  g_main_loop_run (loop);

  benchmark_report ("apply-async", BENCHMARK_OURS, n / (benchmark_now () - start) / 1e3,
                    "k calls/s");

  benchmark_end_pool (pool);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
