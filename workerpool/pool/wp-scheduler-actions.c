/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

WpAction *
wp_scheduler_queue_action (WpScheduler *scheduler, WpActionType type)
{
  WpQueuedAction *queued;

  if (scheduler->n_actions == scheduler->n_actions_allocated)
    {
      guint n_allocated = MAX (16, 2 * scheduler->n_actions_allocated);
      WpQueuedAction *actions = g_new (WpQueuedAction, n_allocated);

      for (guint i = 0; i < scheduler->n_actions; i++)
        actions[i] = scheduler
                         ->actions[(scheduler->first_action + i) % scheduler->n_actions_allocated];

      g_free (scheduler->actions);
      scheduler->actions = actions;
      scheduler->first_action = 0;
      scheduler->n_actions_allocated = n_allocated;
    }

  queued = &scheduler->actions[(scheduler->first_action + scheduler->n_actions) %
                               scheduler->n_actions_allocated];
  scheduler->n_actions++;
  *queued = (WpQueuedAction){ .action = { .type = type } };

  return &queued->action;
}

WpAction *
wp_scheduler_queue_worker_action (WpScheduler *scheduler,
                                  WpActionType type,
                                  const WpSchedulerWorker *worker)
{
  WpAction *action = wp_scheduler_queue_action (scheduler, type);

  action->worker = worker->id;
  ((WpQueuedAction *) action)->incarnation = worker->incarnation;

  return action;
}

void
wp_scheduler_queue_chunk_action (WpScheduler *scheduler,
                                 WpActionType type,
                                 const WpSchedulerChunk *chunk)
{
  WpAction *action = wp_scheduler_queue_worker_action (scheduler, type, chunk->worker);

  action->sequence = chunk->sequence;
}

/* Completes a queued action with what holds now; FALSE when an event since has made it void. */
static gboolean
complete_action (WpScheduler *scheduler, WpQueuedAction *queued)
{
  WpAction *action = &queued->action;
  WpSchedulerWorker *worker = action->worker != WP_NO_WORKER ? &scheduler->workers[action->worker] : NULL;
  WpSchedulerChunk *chunk;

  switch (action->type)
    {
    case WP_ACTION_STOP_WORKER:
    case WP_ACTION_KILL_WORKER:
    case WP_ACTION_START_WORKER:
      return worker->state != WP_SCHEDULER_WORKER_ABSENT &&
             worker->incarnation == queued->incarnation;

    case WP_ACTION_RECALL:
      chunk = wp_scheduler_worker_find_chunk (worker, action->sequence);
      if (chunk == NULL || wp_scheduler_chunk_get_n_unreported (chunk) == 0)
        return FALSE;

      action->n_tasks = wp_scheduler_chunk_get_n_unreported (chunk);
      scheduler->asked = chunk;
      scheduler->n_asked = action->n_tasks;
      return TRUE;

    case WP_ACTION_CANCEL_TASK:
      chunk = wp_scheduler_worker_find_chunk (worker, action->sequence);
      if (chunk == NULL || wp_scheduler_chunk_get_n_unreported (chunk) == 0)
        return FALSE;

      action->offset = chunk->n_results;
      return TRUE;

    case WP_ACTION_BATCH_ENDED:
      action->batch->state = WP_SCHEDULER_BATCH_RELEASED;
      action->batch->plan.tag = NULL;
      if (action->batch->chunks.length == 0)
        wp_scheduler_batch_free (scheduler, action->batch);
      return TRUE;

    case WP_ACTION_FAIL_TASKS:
      return TRUE;

    case WP_ACTION_SEND_CHUNK:
    case WP_ACTION_DRAINED:
    case WP_ACTION_STOPPED:
    default:
      g_assert_not_reached ();
    }
}

gboolean
wp_scheduler_pop_action (WpScheduler *scheduler, WpAction *action)
{
  while (scheduler->n_actions > 0)
    {
      WpQueuedAction *queued = &scheduler->actions[scheduler->first_action];

      scheduler->first_action = (scheduler->first_action + 1) % scheduler->n_actions_allocated;
      scheduler->n_actions--;

      if (complete_action (scheduler, queued))
        {
          *action = queued->action;
          return TRUE;
        }
    }

  return FALSE;
}
