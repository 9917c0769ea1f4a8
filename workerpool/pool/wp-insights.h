/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the workers of a pool spend their time on, and how long its tasks wait and run.
 *
 *   launched        ready                                   asked to end         ended
 *      ├─ start-up ───┼─ init ─ waiting ─ working ─ waiting ──┼──── exit ──────────┤
 *
 * Every moment of a worker's life is in one part. A worker that ends while it works, asked or not, has worked until
 * then. One that takes the place of another has its number, and their times are added.
 *
 * This file is pure: what happens is told it, and time, in monotonic nanoseconds, is an argument. */
typedef struct _WpInsights WpInsights;

/* How many of the longest tasks are kept. */
#define WP_INSIGHTS_N_LONGEST 5
/* The arguments of each are printed with at most so many characters. */
#define WP_INSIGHTS_MAX_ARGS 120

WpInsights *wp_insights_new         (guint n_workers);
void        wp_insights_free        (WpInsights *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpInsights, wp_insights_free)

void        wp_insights_launched    (WpInsights *self, guint worker, gint64 now);
void        wp_insights_ready       (WpInsights *self, guint worker, gint64 now);
/* Of a ready worker: its init function runs now. */
void        wp_insights_initializing (WpInsights *self, guint worker);
/* Its init function ran for so long, and has ended. */
void        wp_insights_initialized (WpInsights *self, guint worker, gint64 elapsed);
/* The first time counts. */
void        wp_insights_asked       (WpInsights *self, guint worker, gint64 now);
void        wp_insights_ended       (WpInsights *self, guint worker, gint64 now);

typedef struct
{
  gint64 started;
  gint64 elapsed;
  gint64 waited;       /* since it was pushed; -1: that does not count, it was not its first run */
  guint64 index;       /* names it in wp_insights_wants_args () */
  gboolean interrupted; /* its worker ended while it ran */
} WpInsightsTask;

/* The worker's tasks come in the order in which they ran. */
void        wp_insights_add_task    (WpInsights *self, guint worker, const WpInsightsTask *task);
/* One of the tasks that were added since the last FALSE is among the longest: its arguments are wanted. Only the ones
 * that still are, when asked for, have to be printed. */
gboolean    wp_insights_wants_args  (WpInsights *self, guint64 *index);
/* Of the task that was named last; takes the text, NULL: they are not known. */
void        wp_insights_set_args    (WpInsights *self, char *args);

/* As wp_worker_pool_get_insights () has it. running: since when each worker has been running a task that was not added
 * yet, 0 for none; nullable. Returns: (transfer full): a{sv}, not floating */
GVariant   *wp_insights_get         (WpInsights *self, gint64 now, const gint64 *running);

/* The value as text, cut to WP_INSIGHTS_MAX_ARGS; a large one costs no more than a small one. (nullable)
 * Returns: (transfer full) */
char       *wp_insights_print_args  (GVariant *args);

/* What wp_insights_get () returned, as a table. Returns: (transfer full) */
char       *wp_insights_format      (GVariant *insights);

G_END_DECLS
