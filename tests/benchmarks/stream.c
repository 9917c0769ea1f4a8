/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* stream: ten million tasks go through one batch, pushed and taken in one thread as the batch has
 * room; and stream-memory, how far the caller's memory grows meanwhile. stream-unordered: a tenth
 * of it with the results as they come. */

#include "benchmark.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define N_WORKERS 2
#define N_TASKS   10000000

/* A number of /proc/self/status, in kB. */
static double
get_memory (const char *name)
{
  g_autofree char *status = NULL;
  g_autofree char *line = g_strdup_printf ("\n%s:", name);
  const char *found;

  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL) ||
      (found = strstr (status, line)) == NULL)
    g_error ("/proc/self/status has no %s", name);

  return g_ascii_strtod (found + strlen (line), NULL);
}

/* A kernel that cannot do this counts the peak from the start of the process. */
static void
reset_peak (void)
{
  int fd = open ("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

  if (fd < 0 || write (fd, "5", 1) != 1)
    g_printerr (
        "The peak of this process's memory cannot be reset: its growth may seem too small\n");
  if (fd >= 0)
    close (fd);
}

static void
take_result (WpBatch *batch, guint64 *sum)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (WpResult) result = wp_batch_next (batch, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (result);
  *sum += (guint64) g_variant_get_int64 (wp_result_get_value (result));
}

static double
measure_stream (WpWorkerPool *pool, guint64 n, gboolean ordered)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n_pushed = 0, n_taken = 0, sum = 0;
  double start = benchmark_now ();

  wp_task_options_set_ordered (options, ordered);
  batch = wp_worker_pool_start_batch (pool, BENCHMARK_ADD_ONE, options, &error);
  g_assert_no_error (error);

  while (n_taken < n)
    {
      for (guint room = wp_batch_get_room (batch); room > 0 && n_pushed < n; room--)
        {
          wp_batch_push (batch, g_variant_new_int32 ((gint32) n_pushed++), &error);
          g_assert_no_error (error);
        }
      if (n_pushed == n)
        wp_batch_close (batch);

      take_result (batch, &sum);
      n_taken++;
    }

  g_assert_cmpuint (sum, ==, n * (n + 1) / 2);

  return benchmark_now () - start;
}

static void
measure (double scale)
{
  const guint64 n = (guint64) (N_TASKS * scale);
  WpWorkerPool *pool = benchmark_new_pool (N_WORKERS, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  double before, seconds;

  reset_peak ();
  before = get_memory ("VmRSS");
  seconds = measure_stream (pool, n, TRUE);
  benchmark_report ("stream-memory", BENCHMARK_OURS, (get_memory ("VmHWM") - before) / 1e3, "MB");
  benchmark_report ("stream", BENCHMARK_OURS, n / seconds / 1e6, "M tasks/s");

  seconds = measure_stream (pool, n / 10, FALSE);
  benchmark_report ("stream-unordered", BENCHMARK_OURS, n / 10 / seconds / 1e6, "M tasks/s");

  benchmark_end_pool (pool);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
