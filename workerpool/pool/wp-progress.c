/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-progress.h"

#include <math.h>

/* Samples closer than this are not taken: results come in chunks, and between two of them the rate
 * would look like nothing or like a thousandfold. */
#define SAMPLE_US 100000
/* The weight of the past falls to 1/e in this time, long enough to read a number. */
#define MEMORY_S 3.0

void
wp_progress_update (WpProgress *self, gint64 time, guint64 n)
{
  double seconds, current;

  if (self->time == 0)
    {
      self->time = time;
      self->n = n;
      return;
    }

  if (time - self->time < SAMPLE_US || n == self->n)
    return;

  seconds = (time - self->time) / 1e6;
  current = (n - self->n) / seconds;
  if (self->rate <= 0)
    self->rate = current;
  else
    self->rate += (current - self->rate) * (1 - exp (-seconds / MEMORY_S));
  self->time = time;
  self->n = n;
}

double
wp_progress_get_remaining (const WpProgress *self, guint64 n, guint64 total)
{
  if (total == 0)
    return -1;
  if (n >= total)
    return 0;
  if (self->rate <= 0)
    return -1;

  return (total - n) / self->rate;
}
