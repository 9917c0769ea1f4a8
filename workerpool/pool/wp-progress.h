/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The rate of something that is counted, as a person wants to see it: recent, and not jumping. Pure. */
typedef struct
{
  gint64 time; /* of the last sample, monotonic microseconds; 0 before the first */
  guint64 n;
  double rate; /* 1/s; 0 as long as it is not known */
} WpProgress;

void   wp_progress_update        (WpProgress *self, gint64 time, guint64 n);
/* Seconds until 'total' is reached; -1 when it cannot be known. */
double wp_progress_get_remaining (const WpProgress *self, guint64 n, guint64 total);

G_END_DECLS
