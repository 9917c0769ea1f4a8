/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-time-histogram.h"

#include <math.h>

#define N_LINEAR (1u << WP_TIME_HISTOGRAM_BITS)
/* The longest time that a gint64 can hold has its highest bit at 62. */
#define N_BUCKETS ((62 - WP_TIME_HISTOGRAM_BITS) * N_LINEAR + 2 * N_LINEAR)

struct _WpTimeHistogram
{
  guint64 n;
  guint64 counts[N_BUCKETS];
};

WpTimeHistogram *
wp_time_histogram_new (void)
{
  return g_new0 (WpTimeHistogram, 1);
}

void
wp_time_histogram_free (WpTimeHistogram *self)
{
  g_free (self);
}

static guint
find_bucket (guint64 time)
{
  guint shift;

  if (time < 2 * N_LINEAR)
    return (guint) time;

  shift = 63 - (guint) __builtin_clzll (time) - WP_TIME_HISTOGRAM_BITS;

  return shift * N_LINEAR + (guint) (time >> shift);
}

static double
get_middle (guint bucket)
{
  guint shift;
  guint64 start;

  if (bucket < 2 * N_LINEAR)
    return bucket;

  shift = bucket / N_LINEAR - 1;
  start = (guint64) (bucket - shift * N_LINEAR) << shift;

  return (double) start + (double) (G_GUINT64_CONSTANT (1) << shift) / 2;
}

void
wp_time_histogram_add (WpTimeHistogram *self, gint64 time)
{
  g_assert (time >= 0);

  self->n++;
  self->counts[find_bucket ((guint64) time)]++;
}

double
wp_time_histogram_get_percentile (WpTimeHistogram *self, double fraction)
{
  const double rank = ceil (fraction * (double) self->n);
  guint64 n = 0;

  if (self->n == 0)
    return 0;

  for (guint i = 0; i < N_BUCKETS; i++)
    {
      n += self->counts[i];
      if (n > 0 && (double) n >= rank)
        return get_middle (i);
    }

  g_assert_not_reached ();
}
