/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

/* A task that is to run again is pending at once when its batch has no delay. Else it waits here, and
 * neither a worker nor a worker's start is kept for it. */

static int
compare_waiting (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const WpWaitingTasks *waiting_a = a;
  const WpWaitingTasks *waiting_b = b;

  if (waiting_a->due != waiting_b->due)
    return waiting_a->due < waiting_b->due ? -1 : 1;

  return (waiting_a->number > waiting_b->number) - (waiting_a->number < waiting_b->number);
}

void
wp_scheduler_init_retries (WpScheduler *scheduler)
{
  scheduler->waiting = g_tree_new_full (compare_waiting, NULL, g_free, NULL);
}

void
wp_scheduler_clear_retries (WpScheduler *scheduler)
{
  g_clear_pointer (&scheduler->waiting, g_tree_unref);
}

static WpWaitingTasks *
get_first_waiting (const WpScheduler *scheduler)
{
  if (scheduler->n_waiting == 0)
    return NULL;

  return g_tree_node_key (g_tree_node_first (scheduler->waiting));
}

/* A factor that has become infinite ends at the bound as any other that is too large. */
static gint64
get_delay (const WpBatchPlan *plan, guint attempt)
{
  double delay = plan->retry_delay;
  double factor = MAX (plan->retry_backoff, 1.0);

  if (plan->retry_delay <= 0)
    return 0;

  for (guint n = attempt - 1; n > 0; n >>= 1)
    {
      if (n & 1)
        delay *= factor;
      factor *= factor;
    }

  return delay < WP_MAX_RETRY_DELAY_NS ? (gint64) delay : WP_MAX_RETRY_DELAY_NS;
}

void
wp_scheduler_retry (WpScheduler *scheduler,
                    WpSchedulerBatch *batch,
                    const WpTaskRange *range,
                    gint64 now)
{
  gint64 delay = get_delay (&batch->plan, range->attempt);
  WpWaitingTasks *waiting;

  if (delay == 0 || batch->state == WP_SCHEDULER_BATCH_CANCELLED)
    {
      wp_scheduler_put_back (scheduler, batch, range->first, range->n_tasks, range->attempt);
      return;
    }

  waiting = g_new0 (WpWaitingTasks, 1);
  waiting->batch_link.data = waiting;
  waiting->batch = batch;
  waiting->range = *range;
  waiting->due = wp_scheduler_add_time (now, delay);
  waiting->number = ++scheduler->n_waits;
  g_queue_push_tail_link (&batch->waiting, &waiting->batch_link);
  g_tree_insert (scheduler->waiting, waiting, waiting);
  scheduler->n_waiting += range->n_tasks;
}

/* Neighbours stay together; the last ones first, because each range is put before those that came before it. */
guint
wp_scheduler_retry_failed (WpScheduler *scheduler,
                           const WpSchedulerChunk *chunk,
                           guint64 first,
                           const guint *failed,
                           guint n_failed,
                           guint skip,
                           gint64 now)
{
  guint n_retried = 0;
  guint end = n_failed;

  while (end > 0 && failed[end - 1] >= skip)
    {
      guint begin = end - 1;
      WpTaskRange range;

      while (begin > 0 && failed[begin - 1] >= skip && failed[begin - 1] + 1 == failed[begin])
        begin--;

      range.first = first + failed[begin] - skip;
      range.n_tasks = end - begin;
      range.attempt = chunk->attempt + 1;
      wp_scheduler_retry (scheduler, chunk->batch, &range, now);
      n_retried += range.n_tasks;
      end = begin;
    }

  return n_retried;
}

/* Forgets them as waiting. */
static WpTaskRange
take_waiting (WpScheduler *scheduler, WpWaitingTasks *waiting)
{
  WpTaskRange range = waiting->range;

  scheduler->n_waiting -= range.n_tasks;
  g_queue_unlink (&waiting->batch->waiting, &waiting->batch_link);
  g_tree_remove (scheduler->waiting, waiting);

  return range;
}

void
wp_scheduler_fail_waiting (WpScheduler *scheduler, WpSchedulerBatch *batch, WpFailReason reason)
{
  while (batch->waiting.head != NULL)
    {
      WpTaskRange range = take_waiting (scheduler, batch->waiting.head->data);

      wp_scheduler_fail_tasks (scheduler, batch, &range, reason, WP_NO_WORKER);
    }
}

void
wp_scheduler_end_waits (WpScheduler *scheduler, gint64 now)
{
  WpWaitingTasks *waiting;

  while ((waiting = get_first_waiting (scheduler)) != NULL && waiting->due <= now)
    {
      WpSchedulerBatch *batch = waiting->batch;
      WpTaskRange range = take_waiting (scheduler, waiting);

      wp_scheduler_renew_starts (scheduler);
      wp_scheduler_put_back (scheduler, batch, range.first, range.n_tasks, range.attempt);
    }
}

gint64
wp_scheduler_get_retry_time (const WpScheduler *scheduler)
{
  const WpWaitingTasks *waiting = get_first_waiting (scheduler);

  return waiting != NULL ? waiting->due : G_MAXINT64;
}
