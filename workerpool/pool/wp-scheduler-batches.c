/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

static int
compare_priorities (gconstpointer a, gconstpointer b, gpointer user_data)
{
  int priority_a = GPOINTER_TO_INT (a);
  int priority_b = GPOINTER_TO_INT (b);

  return (priority_a < priority_b) - (priority_a > priority_b);
}

static WpTaskLevel *
add_level (WpScheduler *scheduler, int priority)
{
  WpTaskLevel *level = g_new0 (WpTaskLevel, 1);

  level->priority = priority;
  level->link.data = level;
  g_tree_insert (scheduler->levels, GINT_TO_POINTER (priority), level);

  return level;
}

void
wp_scheduler_init_levels (WpScheduler *scheduler)
{
  scheduler->levels = g_tree_new_full (compare_priorities, NULL, NULL, g_free);
  scheduler->default_level = add_level (scheduler, 0);
}

static void
make_ready (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  WpTaskLevel *level = scheduler->default_level;

  g_assert (batch->level == NULL && batch->n_pending > 0);

  if (batch->plan.priority != 0)
    level = g_tree_lookup (scheduler->levels, GINT_TO_POINTER (batch->plan.priority));
  if (level == NULL)
    level = add_level (scheduler, batch->plan.priority);

  if (level->batches.length == 0)
    g_queue_push_tail_link (&scheduler->ready_levels, &level->link);
  batch->level = level;
  g_queue_push_tail_link (&level->batches, &batch->ready_link);
}

static void
make_unready (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  WpTaskLevel *level = batch->level;

  g_queue_unlink (&level->batches, &batch->ready_link);
  batch->level = NULL;
  if (level->batches.length == 0)
    g_queue_unlink (&scheduler->ready_levels, &level->link);

  if (level->batches.length == 0 && level != scheduler->default_level)
    g_tree_remove (scheduler->levels, GINT_TO_POINTER (level->priority));
}

static WpTaskLevel *
get_highest_level (WpScheduler *scheduler)
{
  GTreeNode *node = g_tree_node_first (scheduler->levels);
  WpTaskLevel *level = g_tree_node_value (node);

  if (level->batches.length == 0)
    level = g_tree_node_value (g_tree_node_next (node));

  return level;
}

/* The one whose turn it is; something must be pending. */
WpSchedulerBatch *
wp_scheduler_get_next_batch (WpScheduler *scheduler)
{
  WpTaskLevel *level;

  g_assert (scheduler->n_pending > 0);

  if (scheduler->n_overtaking >= WP_OVERTAKE_LIMIT)
    level = scheduler->ready_levels.head->data;
  else
    level = get_highest_level (scheduler);

  return level->batches.head->data;
}

void
wp_scheduler_note_turn (WpScheduler *scheduler, const WpSchedulerBatch *batch)
{
  if (scheduler->ready_levels.length <= 1)
    {
      scheduler->n_overtaking = 0;
      return;
    }

  if (batch->level == get_highest_level (scheduler))
    scheduler->n_overtaking++;
  else
    scheduler->n_overtaking = 0;
  g_queue_unlink (&scheduler->ready_levels, &batch->level->link);
  g_queue_push_tail_link (&scheduler->ready_levels, &batch->level->link);
}

void
wp_scheduler_count_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks)
{
  scheduler->n_pending += n_tasks;
  batch->n_pending += n_tasks;

  if (batch->level == NULL)
    make_ready (scheduler, batch);
}

void
wp_scheduler_renew_starts (WpScheduler *scheduler)
{
  if (scheduler->n_pending == 0 && scheduler->n_in_state[WP_SCHEDULER_WORKER_READY] == 0 &&
      scheduler->n_in_state[WP_SCHEDULER_WORKER_STARTING] == 0)
    scheduler->n_failed_starts = 0;
}

gboolean
wp_scheduler_take_again (GQueue *taken_back, guint64 most, WpTaskRange *taken)
{
  WpTaskRange *head = g_queue_peek_head (taken_back);

  if (head == NULL)
    return FALSE;

  *taken = *head;
  taken->n_tasks = MIN (taken->n_tasks, most);
  head->first += taken->n_tasks;
  head->n_tasks -= taken->n_tasks;
  if (head->n_tasks == 0)
    g_free (g_queue_pop_head (taken_back));

  return TRUE;
}

WpTaskRange
wp_scheduler_take_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 most)
{
  WpTaskRange taken;

  if (!wp_scheduler_take_again (&batch->taken_back, most, &taken))
    {
      taken.first = batch->n_fresh_taken;
      taken.n_tasks = MIN (batch->n_pushed - batch->n_fresh_taken, most);
      taken.attempt = 0;
      batch->n_fresh_taken += taken.n_tasks;
    }

  g_assert (taken.n_tasks > 0 && taken.n_tasks <= batch->n_pending);
  scheduler->n_pending -= taken.n_tasks;
  batch->n_pending -= taken.n_tasks;

  if (batch->n_pending == 0)
    make_unready (scheduler, batch);

  return taken;
}

void
wp_scheduler_batch_free (const WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  wp_scheduler_clear_lanes (scheduler, batch);
  g_queue_clear_full (&batch->taken_back, g_free);
  wp_run_time_unref (batch->run_time);
  g_free (batch);
}

void
wp_scheduler_check_batch_ended (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  WpAction *action;

  if ((batch->state != WP_SCHEDULER_BATCH_CLOSED && batch->state != WP_SCHEDULER_BATCH_CANCELLED) ||
      batch->n_ended < batch->n_pushed)
    return;

  batch->state = WP_SCHEDULER_BATCH_ENDED;
  g_queue_unlink (&scheduler->batches, &batch->link);
  if (!batch->plan.keep_workers && scheduler->batches.length == 0)
    scheduler->stop_when_idle = TRUE;

  action = wp_scheduler_queue_action (scheduler, WP_ACTION_BATCH_ENDED);
  action->batch = batch;
  action->tag = batch->plan.tag;
}

void
wp_scheduler_end_tasks (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks)
{
  if (n_tasks == 0)
    return;

  g_assert (n_tasks <= batch->n_pushed - batch->n_ended);
  batch->n_ended += n_tasks;
  scheduler->n_active -= n_tasks;
  scheduler->drained_due = scheduler->n_active == 0;

  wp_scheduler_check_batch_ended (scheduler, batch);
}

void
wp_scheduler_fail_tasks (WpScheduler *scheduler,
                         WpSchedulerBatch *batch,
                         const WpTaskRange *range,
                         WpFailReason reason,
                         guint worker)
{
  for (guint64 n_done = 0; n_done < range->n_tasks;)
    {
      WpAction *action = wp_scheduler_queue_action (scheduler, WP_ACTION_FAIL_TASKS);

      action->batch = batch;
      action->tag = batch->plan.tag;
      action->first = range->first + n_done;
      action->n_tasks = MIN (range->n_tasks - n_done, G_MAXUINT);
      action->attempt = range->attempt;
      action->reason = reason;
      action->worker = worker;
      n_done += action->n_tasks;
    }

  wp_scheduler_end_tasks (scheduler, batch, range->n_tasks);
}

void
wp_scheduler_fail_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, WpFailReason reason)
{
  if (batch->lanes != NULL)
    {
      wp_scheduler_fail_lanes (scheduler, batch, reason);
      return;
    }

  while (batch->n_pending > 0)
    {
      WpTaskRange range = wp_scheduler_take_pending (scheduler, batch, G_MAXUINT64);

      wp_scheduler_fail_tasks (scheduler, batch, &range, reason, WP_NO_WORKER);
    }
}

void
wp_scheduler_fail_all_pending (WpScheduler *scheduler, WpFailReason reason)
{
  GList *next;

  for (GList *l = scheduler->batches.head; l != NULL; l = next)
    {
      next = l->next;
      wp_scheduler_fail_pending (scheduler, l->data, reason);
    }
}

/* Tasks that a worker had and did not start, or may run again, go to the front of their batch. */
void
wp_scheduler_put_back (WpScheduler *scheduler,
                       WpSchedulerBatch *batch,
                       guint64 first,
                       guint64 n_tasks,
                       guint attempt)
{
  WpTaskRange range = { first, n_tasks, attempt };
  WpTaskRange *head;

  if (n_tasks == 0)
    return;

  if (batch->state == WP_SCHEDULER_BATCH_CANCELLED)
    {
      wp_scheduler_fail_tasks (scheduler, batch, &range, WP_FAIL_CANCELLED, WP_NO_WORKER);
      return;
    }

  if (batch->lanes != NULL)
    {
      wp_scheduler_bind_again (scheduler, batch, &range);
      return;
    }

  head = g_queue_peek_head (&batch->taken_back);
  if (head == NULL && attempt == 0 && first + n_tasks == batch->n_fresh_taken)
    {
      batch->n_fresh_taken = first;
    }
  else if (head != NULL && attempt == 0 && head->attempt == 0 && first + n_tasks == head->first)
    {
      head->first = first;
      head->n_tasks += n_tasks;
    }
  else
    {
      g_queue_push_head (&batch->taken_back, g_memdup2 (&range, sizeof range));
    }

  wp_scheduler_count_pending (scheduler, batch, n_tasks);
}
