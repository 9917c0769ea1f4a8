/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Counts times of any length in memory of a fixed size, for their percentiles.
 *
 * Buckets are linear within each power of two, as in an H2 histogram (https://iop.systems/blog/h2-histogram/), the
 * form of HdrHistogram on base 2. With b = WP_TIME_HISTOGRAM_BITS, a time t of 2^(b+1) or more is counted, with
 * s = floor (log2 (t)) - b, in bucket s * 2^b + floor (t / 2^s), which is 2^s wide and begins at 2^(s+b) or later; each
 * shorter one has a bucket of its own. A percentile is the middle of the bucket in which it lies, so that its relative
 * error is at most 2^(s-1) / 2^(s+b) = 1 / 2^(b+1), that is 1/64. */
#define WP_TIME_HISTOGRAM_BITS 5
#define WP_TIME_HISTOGRAM_MAX_ERROR (1.0 / 64)

typedef struct _WpTimeHistogram WpTimeHistogram;

WpTimeHistogram *wp_time_histogram_new            (void);
void             wp_time_histogram_free           (WpTimeHistogram *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpTimeHistogram, wp_time_histogram_free)

/* time: 0 or more. */
void             wp_time_histogram_add            (WpTimeHistogram *self, gint64 time);
/* The least time such that the part 'fraction' of all times, above 0 and at most 1, are no longer; 0 when there is
 * none. */
double           wp_time_histogram_get_percentile (WpTimeHistogram *self, double fraction);

G_END_DECLS
