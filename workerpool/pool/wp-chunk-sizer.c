/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-chunk-sizer.h"

#include "pool/wp-scheduler.h"

#include <string.h>

/* An estimate counts as much as so many tasks against a new report. Small, so that a cold first
 * call (an import, a cache to fill) is outvoted after a dozen short tasks; not 1, so that one odd
 * task does not halve the next chunk. */
#define MAX_WEIGHT 4.0
/* Elapsed times come from the workers: an absurd one must not poison the arithmetic. One hour. */
#define MAX_TASK_NS 3.6e12

struct _WpRunTime
{
  GList link; /* in the sizer's order of use */
  guint n_refs;
  double ns;     /* a task; meaningless while weight is 0 */
  double weight; /* tasks */
  char function[];
};

struct _WpChunkSizer
{
  GHashTable *run_times; /* function → WpRunTime */
  GQueue used;           /* last asked for first */
};

void
wp_run_time_unref (WpRunTime *run_time)
{
  g_assert (run_time->n_refs > 0);

  if (--run_time->n_refs == 0)
    g_free (run_time);
}

void
wp_run_time_report (WpRunTime *run_time, guint n_tasks, guint64 elapsed)
{
  double mean;

  g_assert (n_tasks > 0);

  mean = CLAMP ((double) elapsed / n_tasks, 1.0, MAX_TASK_NS);
  run_time->ns += (mean - run_time->ns) * n_tasks / (run_time->weight + n_tasks);
  run_time->weight = MIN (run_time->weight + n_tasks, MAX_WEIGHT);
}

gint64
wp_run_time_get (const WpRunTime *run_time)
{
  if (run_time->weight <= 0)
    return 0;

  return MAX (1, (gint64) run_time->ns);
}

WpChunkSizer *
wp_chunk_sizer_new (void)
{
  WpChunkSizer *sizer = g_new0 (WpChunkSizer, 1);

  sizer->run_times = g_hash_table_new (g_str_hash, g_str_equal);

  return sizer;
}

static void
forget (WpChunkSizer *sizer, WpRunTime *run_time)
{
  g_queue_unlink (&sizer->used, &run_time->link);
  g_hash_table_remove (sizer->run_times, run_time->function);
  wp_run_time_unref (run_time);
}

void
wp_chunk_sizer_free (WpChunkSizer *sizer)
{
  while (sizer->used.head != NULL)
    forget (sizer, sizer->used.head->data);

  g_hash_table_unref (sizer->run_times);
  g_free (sizer);
}

static WpRunTime *
remember (WpChunkSizer *sizer, const char *function)
{
  gsize length = strlen (function) + 1;
  WpRunTime *run_time = g_malloc0 (sizeof (WpRunTime) + length);

  memcpy (run_time->function, function, length);
  run_time->link.data = run_time;
  run_time->n_refs = 1;

  g_hash_table_insert (sizer->run_times, run_time->function, run_time);
  g_queue_push_head_link (&sizer->used, &run_time->link);
  if (sizer->used.length > WP_MAX_RUN_TIMES)
    forget (sizer, sizer->used.tail->data);

  return run_time;
}

WpRunTime *
wp_chunk_sizer_get (WpChunkSizer *sizer, const char *function)
{
  WpRunTime *run_time = sizer->used.head != NULL ? sizer->used.head->data : NULL;

  if (run_time == NULL || !g_str_equal (run_time->function, function))
    {
      run_time = g_hash_table_lookup (sizer->run_times, function);
      if (run_time == NULL)
        {
          run_time = remember (sizer, function);
        }
      else
        {
          g_queue_unlink (&sizer->used, &run_time->link);
          g_queue_push_head_link (&sizer->used, &run_time->link);
        }
    }

  run_time->n_refs++;

  return run_time;
}

guint
wp_chunk_size_automatic (const WpRunTime *run_time, guint proven)
{
  gint64 ns = wp_run_time_get (run_time);
  guint64 n_tasks;

  if (ns == 0)
    return 1;

  n_tasks = MIN (WP_CHUNK_TARGET_NS / ns, (gint64) MAX (proven, 1) * WP_CHUNK_GROWTH);

  return CLAMP (n_tasks, 1, WP_MAX_CHUNK);
}

guint
wp_chunk_size_split (guint64 n_total, guint n_splits)
{
  g_assert (n_splits > 0);

  return CLAMP (n_total / n_splits + (n_total % n_splits != 0), 1, WP_MAX_CHUNK);
}

guint
wp_chunk_size_share (guint64 n_left, guint n_jobs)
{
  guint64 n_shares = 2 * (guint64) n_jobs;

  return CLAMP (n_left / n_shares + (n_left % n_shares != 0), 1, WP_MAX_CHUNK);
}
