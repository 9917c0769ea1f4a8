/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "benchmark.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE_SIZE 4096
/* Every so many results are looked at. */
#define SAMPLE 997

static gint64
get_nanoseconds (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

double
benchmark_now (void)
{
  return get_nanoseconds (CLOCK_MONOTONIC) / 1e9;
}

gint64
benchmark_cpu_time (void)
{
  return get_nanoseconds (CLOCK_PROCESS_CPUTIME_ID);
}

/* A thread's own time: what others take from it meanwhile makes the task longer, not smaller. */
void
benchmark_spin (gint32 microseconds)
{
  gint64 end = get_nanoseconds (CLOCK_THREAD_CPUTIME_ID) + microseconds * G_GINT64_CONSTANT (1000);

  while (get_nanoseconds (CLOCK_THREAD_CPUTIME_ID) < end)
    ;
}

guint32
benchmark_touch (GVariant *bytes)
{
  gsize size;
  const guint8 *data = g_variant_get_fixed_array (bytes, &size, 1);
  guint32 sum = 0;

  for (gsize i = 0; i < size; i += PAGE_SIZE)
    sum += data[i];

  return sum;
}

static GVariant *
add_one (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int64 ((gint64) g_variant_get_int32 (args) + 1);
}

static GVariant *
spin (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  benchmark_spin (g_variant_get_int32 (args));
  return g_variant_ref (args);
}

static GVariant *
touch (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (benchmark_touch (args));
}

static GVariant *
identity (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_ref (args);
}

static GVariant *
get_pid (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (getpid ());
}

static GVariant *
cpu_time (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int64 (benchmark_cpu_time ());
}

int
benchmark_main (int argc, char *argv[], BenchmarkFunc measure)
{
  gboolean quick = argc == 2 && strcmp (argv[1], "--quick") == 0;

  wp_register_function (BENCHMARK_ADD_ONE, add_one, NULL, NULL);
  wp_register_function (BENCHMARK_SPIN, spin, NULL, NULL);
  wp_register_function (BENCHMARK_TOUCH, touch, NULL, NULL);
  wp_register_function (BENCHMARK_IDENTITY, identity, NULL, NULL);
  wp_register_function (BENCHMARK_PID, get_pid, NULL, NULL);
  wp_register_function (BENCHMARK_CPU_TIME, cpu_time, NULL, NULL);

  if (wp_worker_is_requested ())
    return wp_worker_main ();

  if (argc > 1 && !quick)
    {
      g_printerr ("Usage: %s [--quick]\n", argv[0]);
      return 2;
    }

  measure (quick ? 0.1 : 1);

  return 0;
}

void
benchmark_report (const char *row, const char *who, double value, const char *unit)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  printf ("{\"row\": \"%s\", \"who\": \"%s\", \"value\": %s, \"unit\": \"%s\"}\n", row, who,
          g_ascii_dtostr (number, sizeof number, value), unit);
  fflush (stdout);
}

/* Tasks are handed out to one worker after the other, so that each of them runs at least one. */
WpWorkerPool *
benchmark_new_pool (guint n_workers, const char *function, GVariant *args)
{
  WpWorkerPool *pool = wp_worker_pool_new (n_workers);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) value = g_variant_ref_sink (args);
  g_autofree GVariant **warm_up = g_new (GVariant *, 2 * n_workers);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_start (pool, &error);
  g_assert_no_error (error);
  while (wp_worker_pool_get_n_workers (pool) < n_workers)
    g_usleep (1000);

  for (guint i = 0; i < 2 * n_workers; i++)
    warm_up[i] = value;
  wp_task_options_set_chunk_size (options, 1);
  results = wp_worker_pool_map (
      pool, function, g_variant_new_array (g_variant_get_type (value), warm_up, 2 * n_workers),
      options, NULL, &error);
  g_assert_no_error (error);

  return pool;
}

void
benchmark_end_pool (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;

  wp_worker_pool_stop_and_join (pool, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
}

GVariant *
benchmark_new_items (guint n)
{
  g_autofree gint32 *items = g_new (gint32, n);

  for (guint i = 0; i < n; i++)
    items[i] = (gint32) i;

  return g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, items, n, sizeof *items));
}

void
benchmark_check_sum (GVariant *results, guint n)
{
  g_assert_cmpuint (g_variant_n_children (results), ==, n);

  for (guint i = 0; i < n; i += SAMPLE)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) result = g_variant_get_variant (boxed);

      g_assert_cmpint (g_variant_get_int64 (result), ==, (gint64) i + 1);
    }
}
