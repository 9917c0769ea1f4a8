/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

static WpInsightsTask
describe_task (const WpJob *job, guint64 index, guint attempt, const WpTaskTimes *times)
{
  WpInsightsTask task = {
    .started = times->started,
    .elapsed = times->elapsed,
    .waited = -1,
    .index = index,
  };

  if (attempt == 0)
    task.waited = MAX (times->started - wp_items_get_pushed (job->items, index), 0);

  return task;
}

/* What makes it among the longest is known before the first of them is printed. */
static void
keep_args (WpEngine *self, const WpJob *job)
{
  guint64 index;

  while (wp_insights_wants_args (self->insights, &index))
    {
      g_autoptr (GVariant) args = wp_items_get (job->items, index);

      wp_insights_set_args (self->insights, wp_insights_print_args (args));
    }
}

void
wp_engine_count_results (WpEngine *self, WpLink *link, const WpResultsRange *range, GBytes *times)
{
  gsize size;
  const WpTaskTimes *records = g_bytes_get_data (times, &size);

  if (range->tag == NULL)
    return;

  for (guint i = 0; i < range->n_tasks; i++)
    {
      const WpInsightsTask task =
          describe_task (range->tag, range->first + i, range->attempt, &records[range->skip + i]);

      wp_insights_add_task (self->insights, link->id, &task);
    }
  keep_args (self, range->tag);
}

void
wp_engine_count_interrupted (WpEngine *self, WpLink *link, const WpHeldChunk *chunk)
{
  WpInsightsTask task;

  if (chunk->tag == NULL)
    return;

  task = describe_task (chunk->tag, chunk->first + chunk->n_results, G_MAXUINT, &link->interrupted);
  task.interrupted = TRUE;
  wp_insights_add_task (self->insights, link->id, &task);
  keep_args (self, chunk->tag);
}

/* Since when the worker has been running a task, as far as its board or its messages say; 0: it runs none. */
static gint64
find_running (WpEngine *self, WpLink *link, gint64 now)
{
  g_autofree WpHeldChunk *held = NULL;
  gint64 started;
  guint offset;
  guint n;

  if (link->channel == NULL)
    return 0;

  held = wp_engine_get_held (self, link->id, &n);
  for (guint i = 0; i < n; i++)
    if (wp_link_get_running (link, held[i].sequence, held[i].n_tasks, held[i].n_results, &offset, &started))
      return CLAMP (started, 0, now);

  return 0;
}

GVariant *
wp_engine_get_insights (WpEngine *self)
{
  g_autofree gint64 *running = NULL;
  gint64 now;

  if (self->insights == NULL)
    return NULL;

  now = wp_engine_now ();
  running = g_new0 (gint64, self->config.n_jobs);
  for (guint i = 0; i < self->config.n_jobs; i++)
    running[i] = find_running (self, self->links[i], now);

  return wp_insights_get (self->insights, now, running);
}
