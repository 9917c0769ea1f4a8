/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "scheduler-model-actions.h"

/* Drives the scheduler until it has nothing to do, and what must hold then. */

/* An idle worker must not wait for ever beside a busy one, nor one that could be started. */
static void
expect_balance (Model *model, gboolean any_absent, gint64 deadline)
{
  if (!is_any_idle (model) && !(any_absent && count_starting (model) == 0))
    return;

  for (guint i = 0; i < model->config.n_jobs; i++)
    {
      Worker *worker = &model->workers[i];
      Chunk *current = get_current_chunk (worker);
      gboolean willing = FALSE;
      guint n_unreported = 0;

      if (!is_serving (worker) || !worker->can_recall || worker->dead)
        continue;

      for (guint j = 0; j < worker->n_chunks; j++)
        {
          Chunk *chunk = &worker->chunks[j];
          guint n = chunk->end - chunk->n_reported;

          n_unreported += n;
          willing |= !chunk->refused && !chunk->batch->cancelled && n > (chunk == current);
        }

      if (willing && n_unreported > 1 && !is_any_idle (model) && model->n_failed_starts > 0)
        expect (deadline < G_MAXINT64);
      else if (willing && n_unreported > 1)
        expect (deadline <= worker->since + WP_RECALL_AFTER_NS);
    }
}

static void
expect_same_held (Model *model, Worker *worker)
{
  WpHeldChunk held[WP_MAX_DEPTH];
  guint n_held = wp_scheduler_get_held (model->scheduler, worker - model->workers, held,
                                        WP_MAX_DEPTH);

  if (model->terminated)
    {
      expect (n_held == 0);
      return;
    }

  expect (n_held == worker->n_chunks);
  for (guint i = 0; i < n_held; i++)
    {
      expect (held[i].sequence == worker->chunks[i].sequence);
      expect (held[i].n_tasks == worker->chunks[i].end);
      expect (held[i].n_results == worker->chunks[i].n_reported);
    }
}

/* Nobody is idle for longer than the timeout, beyond those that may be. */
static void
expect_few_idle (Model *model, gint64 deadline)
{
  const gboolean may_end = model->config.idle_timeout > 0 &&
                           count_serving (model) + count_starting (model) > model->config.min_workers;

  for (guint i = 0; i < model->config.n_jobs; i++)
    {
      Worker *worker = &model->workers[i];

      if (!is_idle (worker))
        worker->idle_since = 0;
      else if (worker->idle_since == 0)
        worker->idle_since = model->now;
      if (may_end && is_idle (worker))
        expect (deadline <= worker->idle_since + model->config.idle_timeout);
      expect (!is_idle (worker) || count_room (model, worker) > 0);
    }
}

/* No worker idles that tasks are for, and none is missing that could be started. */
static void
expect_none_bound (Model *model, gint64 deadline)
{
  const guint n_starting = count_starting (model);

  for (guint i = 0; i < model->config.n_jobs && model->n_pending > 0; i++)
    {
      const Worker *worker = &model->workers[i];

      if ((is_idle (worker) || worker->state == GONE) && count_bound (model, i) > 0)
        expect (worker->state == GONE && model->n_failed_starts > 0 &&
                (n_starting > 0 || deadline < G_MAXINT64));
    }
}

/* What must hold when the scheduler says that there is nothing to do. */
static void
expect_rest (Model *model)
{
  gint64 deadline = wp_scheduler_get_deadline (model->scheduler);
  gboolean all_gone = TRUE;
  gboolean all_ended = TRUE;
  gboolean any_absent = FALSE;
  guint n_busy = 0;

  for (guint i = 0; i < model->config.n_jobs; i++)
    {
      Worker *worker = &model->workers[i];

      expect_same_held (model, worker);
      all_gone &= worker->state == GONE;
      any_absent |= worker->state == GONE;
      n_busy += worker->n_chunks > 0 && !model->terminated;
      expect (!model->terminated || worker->state == GONE || worker->killed == SIGKILL);
    }

  for (guint i = 0; i < model->n_batches; i++)
    {
      Batch *batch = &model->batches[i];

      all_ended &= batch->ended;
      expect (batch->ended || !(batch->closed || batch->cancelled) || !has_ended (batch));
    }

  for (guint i = 0; i < model->n_batches && model->n_waiting > 0; i++)
    {
      Batch *batch = &model->batches[i];

      for (guint j = 0; j < batch->n_pushed; j++)
        expect (batch->tasks[j].state != TASK_WAITING || deadline <= batch->tasks[j].due);
    }

  expect (deadline > model->now);
  expect_few_idle (model, deadline);
  expect (model->n_failing == 0);
  expect (wp_scheduler_get_n_workers (model->scheduler) == count_serving (model));
  expect (wp_scheduler_get_n_busy (model->scheduler) == n_busy);
  expect (wp_scheduler_get_n_queued (model->scheduler) == model->n_pending + model->n_waiting);
  expect (wp_scheduler_get_n_active (model->scheduler) == model->n_active);
  expect (model->n_active > 0 || !model->had_active);
  expect (model->n_stopped == (model->draining && all_gone && all_ended));
  expect (!(model->draining && all_ended) || count_serving (model) + count_starting (model) == 0);

  if (model->config.order_tasks)
    {
      expect_none_bound (model, deadline);
    }
  else if (model->n_pending > 0)
    {
      guint n_starting = count_starting (model);

      expect (!is_any_idle (model));
      expect (!any_absent || n_starting >= model->n_pending ||
              (model->n_failed_starts > 0 && (n_starting > 0 || deadline < G_MAXINT64)));
    }
  else
    {
      expect_balance (model, any_absent, deadline);
    }
}

/* Of those whose delay is over, the first that is due; they go by groups, the last task first. */
static Task *
find_due (Model *model, Batch **batch)
{
  Task *found = NULL;

  for (guint i = 0; i < model->n_batches && model->n_waiting > 0; i++)
    {
      for (guint j = model->batches[i].n_pushed; j-- > 0;)
        {
          Task *task = &model->batches[i].tasks[j];

          if (task->state != TASK_WAITING || task->due > model->now ||
              (found != NULL && (found->due < task->due ||
                                 (found->due == task->due && found->group <= task->group))))
            continue;
          found = task;
          *batch = &model->batches[i];
        }
    }

  return found;
}

static void
end_waits (Model *model)
{
  const guint group = model->group;
  Batch *batch;
  Task *task;

  while ((task = find_due (model, &batch)) != NULL)
    {
      if (model->n_pending == 0 && count_serving (model) == 0 &&
          count_starting (model) + model->n_starts_due == 0)
        model->n_failed_starts = 0;
      model->group = task->group;
      set_pending (model, batch, task - batch->tasks, task->attempt, TRUE);
    }
  model->group = group;
}

static void
pump (Model *model)
{
  WpAction action;
  guint n_actions = 0;

  end_waits (model);
  model->pumping = TRUE;
  while (wp_scheduler_next_action (model->scheduler, model->now, &action))
    {
      on_action (model, &action);
      expect (++n_actions < MAX_ACTIONS);
    }
  model->pumping = FALSE;
  model->n_starts_due = 0;

  expect_rest (model);
}
