/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* argument: 100 MB of bytes as the one argument of a task, which reads every page. there-and-back:
 * the same bytes come back as the result, and the caller reads every page; counted both ways. */

#include "benchmark.h"

#include <string.h>

#define SIZE    (100 * 1000 * 1000)
#define N_TRIPS 5

static GVariant *
apply (WpWorkerPool *pool, const char *function, GVariant *bytes)
{
  g_autoptr (GError) error = NULL;
  GVariant *result = wp_worker_pool_apply (pool, function, bytes, NULL, NULL, &error);

  g_assert_no_error (error);
  return result;
}

static GVariant *
new_bytes (gsize size)
{
  guint8 *data = g_malloc (size);

  memset (data, 1, size);
  return g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, size, TRUE, g_free, data));
}

static void
measure (double scale)
{
  const gsize size = (gsize) (SIZE * scale);
  g_autoptr (GVariant) bytes = new_bytes (size);
  WpWorkerPool *pool = benchmark_new_pool (1, BENCHMARK_ADD_ONE, g_variant_new_int32 (0));
  double argument = 0, both_ways = 0;

  for (guint i = 0; i < N_TRIPS; i++)
    {
      g_autoptr (GVariant) sum = NULL;
      g_autoptr (GVariant) back = NULL;
      double start = benchmark_now ();

      sum = apply (pool, BENCHMARK_TOUCH, bytes);
      argument += benchmark_now () - start;

      start = benchmark_now ();
      back = apply (pool, BENCHMARK_IDENTITY, bytes);
      g_assert_cmpuint (benchmark_touch (back), ==, g_variant_get_uint32 (sum));
      both_ways += benchmark_now () - start;
    }

  benchmark_report ("argument", BENCHMARK_OURS, N_TRIPS * size / argument / 1e6, "MB/s");
  benchmark_report ("there-and-back", BENCHMARK_OURS, 2 * N_TRIPS * size / both_ways / 1e6, "MB/s");

  benchmark_end_pool (pool);
}

int
main (int argc, char *argv[])
{
  return benchmark_main (argc, argv, measure);
}
