/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Where and when a task ran, the last time that it did. */
typedef struct
{
  guint worker;    /* G_MAXUINT: none, or none is known */
  guint n_retries; /* how often it was run again */
  gint64 started;  /* ns; 0: not known */
  gint64 elapsed;  /* ns */
  GBytes *notes;   /* that it has left as it died, or NULL */
} WpTaskRun;

G_END_DECLS
