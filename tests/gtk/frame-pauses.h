/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gtk/gtk.h>

/* How long a window waited for its frames: the longest time between two of them, among others. */
typedef struct _FramePauses FramePauses;

typedef struct
{
  guint n_frames;
  double seconds;
  double longest_ms;
  double percentile_99_ms;
  double busiest_ms; /* the most processor time that the main thread used between two of them */
} FrameStatistics;

/* Makes the window draw frame after frame from now on. */
FramePauses    *frame_pauses_new  (GtkWidget *window);
/* Forgets what has been. */
void            frame_pauses_begin (FramePauses *self);
/* What was since the beginning; ends it. */
FrameStatistics frame_pauses_end   (FramePauses *self);
void            frame_pauses_free (FramePauses *self);
