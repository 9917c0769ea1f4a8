/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "frame-pauses.h"

#include <time.h>

struct _FramePauses
{
  GtkWidget *window;
  guint tick;
  gboolean counts;
  gint64 began;
  gint64 last; /* Frame, or the beginning. */
  GArray *pauses; /* of gint64, µs */
  gint64 used;    /* processor time at the last frame, µs */
  gint64 busiest;
};

static gint64
get_used_time (void)
{
  struct timespec used;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &used);

  return used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000;
}

static void
add_pause (FramePauses *self)
{
  const gint64 now = g_get_monotonic_time (), used = get_used_time ();
  const gint64 pause = now - self->last;

  g_array_append_val (self->pauses, pause);
  self->busiest = MAX (self->busiest, used - self->used);
  self->last = now;
  self->used = used;
}

/* A tick comes before its frame is drawn, at the moment when the main loop gets to it. */
static gboolean
on_tick (GtkWidget *widget, GdkFrameClock *clock, gpointer user_data)
{
  FramePauses *self = user_data;

  if (self->counts)
    add_pause (self);

  return G_SOURCE_CONTINUE;
}

FramePauses *
frame_pauses_new (GtkWidget *window)
{
  FramePauses *self = g_new0 (FramePauses, 1);

  self->window = window;
  self->pauses = g_array_new (FALSE, FALSE, sizeof (gint64));
  self->tick = gtk_widget_add_tick_callback (window, on_tick, self, NULL);

  return self;
}

void
frame_pauses_begin (FramePauses *self)
{
  self->counts = TRUE;
  self->began = self->last = g_get_monotonic_time ();
  self->used = get_used_time ();
  self->busiest = 0;
  g_array_set_size (self->pauses, 0);
}

static int
compare_pauses (gconstpointer a, gconstpointer b)
{
  const gint64 first = *(const gint64 *) a, second = *(const gint64 *) b;

  return (first > second) - (first < second);
}

FrameStatistics
frame_pauses_end (FramePauses *self)
{
  const guint n_frames = self->pauses->len;
  FrameStatistics statistics = { 0 };

  /* The end is in a pause as well. */
  add_pause (self);
  self->counts = FALSE;
  g_array_sort (self->pauses, compare_pauses);

  statistics.n_frames = n_frames;
  statistics.seconds = (self->last - self->began) / 1e6;
  statistics.longest_ms = g_array_index (self->pauses, gint64, self->pauses->len - 1) / 1e3;
  statistics.percentile_99_ms = g_array_index (self->pauses, gint64, (self->pauses->len - 1) * 99 / 100) / 1e3;

  statistics.busiest_ms = self->busiest / 1e3;

  return statistics;
}

void
frame_pauses_free (FramePauses *self)
{
  gtk_widget_remove_tick_callback (self->window, self->tick);
  g_array_unref (self->pauses);
  g_free (self);
}
