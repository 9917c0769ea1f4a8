/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "scheduler-model.h"

/* Whether the model allows what the scheduler does, and what it makes of it. */

static void
on_start (Model *model, const WpAction *action)
{
  Worker *worker = &model->workers[action->worker];

  expect (!model->terminated);
  for (guint i = 0; i < action->worker && !model->config.order_tasks; i++)
    expect (model->workers[i].state != GONE || model->launch_failures > 0);
  expect (worker->state == GONE);

  worker->state = STARTING;
  model->n_starts_due -= model->n_starts_due > 0;
  if (chance (model, model->launch_failures))
    die (model, worker);
}

static void
on_stop (Model *model, const WpAction *action)
{
  Worker *worker = &model->workers[action->worker];
  gboolean is_spent, is_long_idle, is_unneeded;

  expect (is_serving (worker));
  is_spent = worker->n_chunks == 0 && count_room (model, worker) == 0;
  is_long_idle = is_idle (worker) && worker->idle_since > 0 && model->config.idle_timeout > 0 &&
                 worker->idle_since + model->config.idle_timeout <= model->now &&
                 count_serving (model) + count_starting (model) > model->config.min_workers;
  is_unneeded = model->n_active == 0 && get_current_chunk (worker) == NULL;
  for (guint i = 0; i < model->n_batches; i++)
    is_unneeded &= model->batches[i].ended;
  expect (is_spent || is_long_idle || is_unneeded);

  worker->asked_to_stop = TRUE;
  worker->stop_asked_at = model->now;
}

static void
expect_kill (Model *model, Worker *worker, int signal_number)
{
  Chunk *current = get_current_chunk (worker);

  if (model->terminated || worker->killed != 0)
    {
      expect (signal_number == SIGKILL && worker->killed != SIGKILL);
      expect (model->terminated || model->now >= worker->killed_at + model->config.cancel_grace);
    }
  else if (worker->state == STARTING)
    {
      expect (model->draining && signal_number == SIGKILL && model->n_pending == 0);
    }
  else if (worker->asked_to_stop)
    {
      expect (signal_number == SIGKILL &&
              model->now >= worker->stop_asked_at + model->config.stop_grace);
    }
  else
    {
      expect (signal_number == SIGTERM);
      if (!model->honest)
        return;

      expect (current != NULL && current->batch->cancelled);
      expect (model->now >= current->batch->cancelled_at + model->config.cancel_grace);
      for (guint i = 0; i < worker->n_chunks && worker->can_recall; i++)
        expect (worker->chunks[i].n_claimed == worker->chunks[i].end);
    }
}

static void
on_kill (Model *model, const WpAction *action)
{
  Worker *worker = &model->workers[action->worker];

  expect (worker->state != GONE);
  /* Of terminate () the model knows before the action comes. */
  if (!model->terminated)
    expect_kill (model, worker, action->signal);
  else
    expect (action->signal == SIGKILL);

  worker->killed = action->signal;
  worker->killed_at = model->now;
}

static Batch *
get_next_batch (Model *model)
{
  Batch *next = NULL;

  for (guint i = 0; i < model->n_order; i++)
    {
      Batch *batch = &model->batches[model->order[i]];

      if (next == NULL || batch->plan.priority > next->plan.priority)
        next = batch;
    }

  for (guint i = 0; i < model->n_order && model->n_overtaking >= WP_OVERTAKE_LIMIT; i++)
    {
      if (model->batches[model->order[i]].plan.priority == model->levels[0])
        return &model->batches[model->order[i]];
    }

  return next;
}

static void
note_turn (Model *model, const Batch *batch)
{
  gboolean is_highest = TRUE;

  for (guint i = 0; i < model->n_levels; i++)
    is_highest &= model->levels[i] <= batch->plan.priority;

  model->n_overtaking = is_highest && model->n_levels > 1 ? model->n_overtaking + 1 : 0;
  update_level (model, batch->plan.priority, TRUE);
}

/* Consecutive tasks that may travel together; those that run again do so as they were told to. */
static guint
count_alike (const Batch *batch)
{
  guint index = batch->pending[batch->pending_head];
  guint n_alike = 1;

  while (n_alike < batch->n_pending)
    {
      guint other = batch->pending[(batch->pending_head + n_alike) % MAX_TASKS];

      if (other != index + n_alike || batch->tasks[other].attempt != batch->tasks[index].attempt)
        break;
      if (batch->tasks[index].attempt > 0 && batch->tasks[other].group != batch->tasks[index].group)
        break;
      n_alike++;
    }

  return n_alike;
}

static void
expect_chunk_size (Model *model, Batch *batch, guint room, const WpAction *action)
{
  const WpBatchPlan *plan = &batch->plan;
  guint n_shares = 2 * model->config.n_jobs;
  guint size = wp_scheduler_get_chunk_size (model->scheduler, batch->handle);

  if (plan->chunk_size > 0)
    expect (size == plan->chunk_size);
  else if (plan->n_splits > 0 && plan->n_total > 0)
    expect (size == (plan->n_total + plan->n_splits - 1) / plan->n_splits);
  else
    size = MIN (size, (batch->n_pending + n_shares - 1) / n_shares);

  expect (action->n_tasks == MIN (MIN (size, room), count_alike (batch)));
}

/* The worker's own, the fresh ones in their order, and no more than it may have of them. */
static void
expect_ordered (Model *model, Batch *batch, guint room, const WpAction *action)
{
  const gboolean is_fresh = !batch->tasks[action->first].was_sent;

  expect (action->n_tasks <= MIN (wp_scheduler_get_chunk_size (model->scheduler, batch->handle), room));
  for (guint i = 0; i < batch->n_pushed; i++)
    {
      if (i >= action->first && i < action->first + action->n_tasks)
        expect (get_owner (model, batch, i) == action->worker && batch->tasks[i].was_sent == !is_fresh);
      else if (is_fresh && i < action->first && get_owner (model, batch, i) == action->worker)
        expect (batch->tasks[i].state != TASK_PENDING);
    }
}

static void
on_send (Model *model, const WpAction *action)
{
  Worker *worker = &model->workers[action->worker];
  const gboolean ordered = model->config.order_tasks;
  Batch *batch = ordered ? action->tag : get_next_batch (model);
  Chunk *chunk;

  expect (!model->terminated && is_serving (worker) && !worker->dead);
  expect (batch != NULL && action->batch == batch->handle && action->tag == batch);
  expect (action->sequence > model->last_sequence);
  model->last_sequence = action->sequence;
  if (ordered)
    expect_ordered (model, batch, count_room (model, worker), action);
  else
    expect_chunk_size (model, batch, count_room (model, worker), action);

  if (!ordered)
    note_turn (model, batch);
  if (worker->n_chunks > 0)
    expect ((ordered || !is_any_idle (model)) && model->measured[batch->function]);
  expect (worker->n_chunks < model->config.depth);
  for (guint i = 0; i < worker->n_chunks; i++)
    expect (worker->chunks[i].sequence % WP_MAX_DEPTH != action->sequence % WP_MAX_DEPTH);

  for (guint i = 0; i < action->n_tasks; i++)
    {
      guint index = ordered ? action->first + i : batch->pending[batch->pending_head];
      Task *task = &batch->tasks[index];

      expect (index == action->first + i);
      task->was_sent = TRUE;
      expect (task->state == TASK_PENDING && task->attempt == action->attempt);
      expect (task->attempt <= batch->plan.max_retries);
      set_task (model, task, TASK_HELD);
      task->worker = action->worker;
      if (ordered)
        continue;
      batch->pending_head = (batch->pending_head + 1) % MAX_TASKS;
      batch->n_pending--;
    }

  leave_order (model, batch);
  if (batch->n_pending > 0)
    join_order (model, batch);

  chunk = &worker->chunks[worker->n_chunks++];
  *chunk = (Chunk){
    .sequence = action->sequence,
    .batch = batch,
    .first = action->first,
    .end = action->n_tasks,
    .attempt = action->attempt,
  };
  worker->since = model->now;
  worker->n_given += action->n_tasks;
  worker->idle_since = 0;

  if (chance (model, model->send_failures))
    die (model, worker);
}

static void
on_recall (Model *model, const WpAction *action)
{
  Worker *worker = &model->workers[action->worker];
  Chunk *chunk = find_chunk (worker, action->sequence);
  guint n_tasks;

  expect (worker->state == READY && worker->can_recall);
  expect (chunk != NULL);
  expect (action->n_tasks > 0 && action->n_tasks <= chunk->end - chunk->n_reported);
  expect (!chunk->refused || chunk->batch->cancelled || worker->killed == 0);

  n_tasks = MIN (action->n_tasks, chunk->end - chunk->n_claimed);
  if (!model->honest)
    n_tasks = pick (model, n_tasks + 1);

  tell (model, "worker %u: gives back %u\n", action->worker, n_tasks);
  chunk->refused = n_tasks < action->n_tasks;
  worker->n_given -= n_tasks;
  model->group++;
  for (guint i = 0; i < n_tasks; i++)
    {
      chunk->end--;
      put_back (model, chunk->batch, chunk->first + chunk->end, chunk->attempt);
    }

  wp_scheduler_recalled (model->scheduler, action->worker, action->sequence, n_tasks);
}

static void
on_cancel_task (Model *model, const WpAction *action)
{
  Chunk *chunk = find_chunk (&model->workers[action->worker], action->sequence);

  expect (chunk != NULL && chunk->batch->cancelled);
  expect (action->offset == chunk->n_reported && action->offset < chunk->end);
}

static void
on_fail (Model *model, const WpAction *action)
{
  Batch *batch = action->tag;

  expect (action->batch == batch->handle && !batch->ended);
  expect (action->n_tasks > 0 && action->first + action->n_tasks <= batch->n_pushed);

  for (guint i = 0; i < action->n_tasks; i++)
    {
      Task *task = &batch->tasks[action->first + i];

      expect (task->state == TASK_FAILING && task->reason == action->reason);
      if (action->reason == WP_FAIL_WORKER_DIED)
        {
          expect (task->worker == action->worker);
          expect (task->attempt == action->attempt && task->attempt == batch->plan.max_retries);
        }
      else if (action->worker != WP_NO_WORKER)
        {
          expect (task->worker == action->worker && action->reason == WP_FAIL_CANCELLED);
        }
      set_task (model, task, TASK_ENDED);
    }
}

static void
on_batch_ended (Model *model, const WpAction *action)
{
  Batch *batch = action->tag;

  expect (action->batch == batch->handle);
  expect (!batch->ended && (batch->closed || batch->cancelled) && has_ended (batch));
  batch->ended = TRUE;
  batch->handle = NULL;
}

static void
on_stopped (Model *model)
{
  expect (model->draining && model->n_stopped == 0);
  for (guint i = 0; i < model->config.n_jobs; i++)
    expect (model->workers[i].state == GONE);
  for (guint i = 0; i < model->n_batches; i++)
    expect (model->batches[i].ended);

  model->n_stopped++;
}

static const char *const action_names[] = { "start",  "stop", "kill",        "send",    "recall",
                                            "cancel", "fail", "batch ended", "drained", "stopped" };

static void
on_action (Model *model, const WpAction *action)
{
  tell (model,
        "  → %s worker %u sequence %" G_GUINT64_FORMAT " first %" G_GUINT64_FORMAT
        " n %u offset %u attempt %u\n",
        action_names[action->type], action->worker, action->sequence, action->first,
        action->n_tasks, action->offset, action->attempt);
  expect (action->worker < model->config.n_jobs ||
          (action->type == WP_ACTION_FAIL_TASKS && action->worker == WP_NO_WORKER));
  expect (model->n_stopped == 0);

  switch (action->type)
    {
    case WP_ACTION_START_WORKER:
      on_start (model, action);
      break;
    case WP_ACTION_STOP_WORKER:
      on_stop (model, action);
      break;
    case WP_ACTION_KILL_WORKER:
      on_kill (model, action);
      break;
    case WP_ACTION_SEND_CHUNK:
      on_send (model, action);
      break;
    case WP_ACTION_RECALL:
      on_recall (model, action);
      break;
    case WP_ACTION_CANCEL_TASK:
      on_cancel_task (model, action);
      break;
    case WP_ACTION_FAIL_TASKS:
      on_fail (model, action);
      break;
    case WP_ACTION_BATCH_ENDED:
      on_batch_ended (model, action);
      break;
    case WP_ACTION_DRAINED:
      expect (model->n_active == 0 && model->n_failing == 0 && model->had_active);
      model->had_active = FALSE;
      break;
    case WP_ACTION_STOPPED:
      on_stopped (model);
      break;
    default:
      expect (FALSE);
    }
}
