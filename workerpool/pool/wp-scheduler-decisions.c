/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

static guint
get_useful_chunk_size (const WpSchedulerBatch *batch)
{
  const WpBatchPlan *plan = &batch->plan;

  if (batch->lanes != NULL)
    return batch->stride;

  if (plan->chunk_size > 0)
    return MIN (plan->chunk_size, WP_MAX_CHUNK);

  if (plan->n_splits > 0 && plan->n_total > 0)
    return wp_chunk_size_split (plan->n_total, plan->n_splits);

  return wp_chunk_size_automatic (batch->run_time, batch->proven);
}

static guint
get_next_chunk_size (const WpScheduler *scheduler, const WpSchedulerBatch *batch)
{
  guint useful = get_useful_chunk_size (batch);

  if (batch->lanes != NULL || batch->plan.chunk_size > 0 ||
      (batch->plan.n_splits > 0 && batch->plan.n_total > 0))
    return useful;

  return MIN (useful, wp_chunk_size_share (batch->n_pending, scheduler->config.n_jobs));
}

static void
send_chunk (WpScheduler *scheduler,
            WpSchedulerWorker *worker,
            WpSchedulerBatch *batch,
            gint64 now,
            WpAction *action)
{
  const guint n_tasks = MIN (get_next_chunk_size (scheduler, batch), wp_scheduler_worker_get_room (scheduler, worker));
  WpTaskRange range;

  if (batch->lanes != NULL)
    {
      range = wp_scheduler_take_from_lane (scheduler, &batch->lanes[worker->id], n_tasks);
    }
  else
    {
      wp_scheduler_note_turn (scheduler, batch);
      range = wp_scheduler_take_pending (scheduler, batch, n_tasks);
    }

  wp_scheduler_add_chunk (scheduler, worker, batch, &range);

  /* The next chunk is another batch's turn, … */
  if (batch->level != NULL && batch->level->batches.length > 1)
    {
      g_queue_unlink (&batch->level->batches, &batch->ready_link);
      g_queue_push_tail_link (&batch->level->batches, &batch->ready_link);
    }

  /* … and another worker's. */
  worker->since = now;
  wp_scheduler_update_lists (scheduler, worker, TRUE);
  if (worker->service != NULL)
    {
      g_queue_unlink (worker->service, &worker->service_link);
      g_queue_push_tail_link (worker->service, &worker->service_link);
    }

  *action = (WpAction){
    .type = WP_ACTION_SEND_CHUNK,
    .worker = worker->id,
    .sequence = scheduler->last_sequence,
    .batch = batch,
    .tag = batch->plan.tag,
    .first = range.first,
    .n_tasks = range.n_tasks,
    .attempt = range.attempt,
  };
}

static WpSchedulerBatch *
get_bound_batch (const WpSchedulerWorker *worker)
{
  return wp_scheduler_get_next_lane (worker)->batch;
}

static gboolean
serve_idle_bound (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  WpSchedulerWorker *worker = wp_scheduler_find_bound (&scheduler->idle);

  if (worker == NULL)
    return FALSE;

  send_chunk (scheduler, worker, get_bound_batch (worker), now, action);

  return TRUE;
}

static gboolean
serve_idle (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  if (scheduler->n_pending == 0 || scheduler->idle.head == NULL)
    return FALSE;

  if (scheduler->config.order_tasks)
    return serve_idle_bound (scheduler, now, action);

  send_chunk (scheduler, scheduler->idle.head->data, wp_scheduler_get_next_batch (scheduler), now,
              action);

  return TRUE;
}

/* More is being pushed, and how large a chunk becomes depends on how long it is waited for. */
static gboolean
is_growing (const WpSchedulerBatch *batch)
{
  return batch->state == WP_SCHEDULER_BATCH_OPEN && batch->plan.chunk_size == 0 &&
         batch->n_pending < get_useful_chunk_size (batch);
}

static gboolean
has_short_tasks (const WpSchedulerBatch *batch)
{
  gint64 ns = wp_run_time_get (batch->run_time);

  return ns > 0 && ns <= WP_CHUNK_TARGET_NS;
}

/* As below; that tasks gather is of no use where chunks are as large as they are. */
static gboolean
prefetch_bound (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  for (GList *l = scheduler->roomy.head; l != NULL; l = l->next)
    {
      WpSchedulerWorker *worker = l->data;

      if (worker->bound.head != NULL && has_short_tasks (get_bound_batch (worker)))
        {
          send_chunk (scheduler, worker, get_bound_batch (worker), now, action);
          return TRUE;
        }
    }

  return FALSE;
}

/* Only tasks that are known to be short wait behind others: no task should wait for a long one
 * while a worker idles elsewhere. When the batch whose turn it is has long tasks, the others do not
 * overtake it either. Tasks that are pushed one by one gather into a chunk while no worker idles: a
 * frame for each of them would cost more than they do. */
static gboolean
prefetch (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  WpSchedulerBatch *batch;

  if (scheduler->n_pending == 0 || scheduler->roomy.head == NULL)
    return FALSE;

  if (scheduler->config.order_tasks)
    return prefetch_bound (scheduler, now, action);

  batch = wp_scheduler_get_next_batch (scheduler);
  if (!has_short_tasks (batch) || is_growing (batch))
    return FALSE;

  send_chunk (scheduler, scheduler->roomy.head->data, batch, now, action);

  return TRUE;
}

/* When somebody may next take work from a busy worker; G_MAXINT64: it has none to give. */
static gint64
get_recall_time (const WpScheduler *scheduler)
{
  const WpSchedulerWorker *worker;

  if (scheduler->n_pending > 0 || scheduler->recallable.head == NULL)
    return G_MAXINT64;

  worker = scheduler->recallable.head->data;

  return wp_scheduler_add_time (worker->since, WP_RECALL_AFTER_NS);
}

/* When a worker is missing. Mostly now, because there are more tasks than workers that have none; or in a while, when
 * tasks that were sent ahead would have to wait behind a long one: others were ending at the time. G_MAXINT64:
 * never. */
static gint64
get_start_time (const WpScheduler *scheduler)
{
  const guint64 n_free = (guint64) scheduler->idle.length + scheduler->n_in_state[WP_SCHEDULER_WORKER_STARTING];

  if (scheduler->n_in_state[WP_SCHEDULER_WORKER_ABSENT] == 0)
    return G_MAXINT64;

  if (scheduler->config.order_tasks)
    return scheduler->n_pending > 0 && wp_scheduler_find_absent_bound (scheduler) != NULL ? G_MININT64 : G_MAXINT64;

  if (scheduler->n_pending > n_free)
    return G_MININT64;

  return n_free == 0 ? get_recall_time (scheduler) : G_MAXINT64;
}

/* From a failed start until one succeeds: one at a time, and after a pause while other workers do
 * the work. */
static gboolean
may_start (const WpScheduler *scheduler, gint64 now)
{
  if (scheduler->n_failed_starts == 0)
    return TRUE;

  if (scheduler->n_in_state[WP_SCHEDULER_WORKER_STARTING] > 0)
    return FALSE;

  return scheduler->n_in_state[WP_SCHEDULER_WORKER_READY] == 0 || scheduler->start_retry_at <= now;
}

static gboolean
start_missing (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  guint word = 0;
  WpSchedulerWorker *worker;

  if (get_start_time (scheduler) > now || !may_start (scheduler, now))
    return FALSE;

  while (scheduler->absent[word] == 0)
    word++;

  if (scheduler->config.order_tasks)
    worker = wp_scheduler_find_absent_bound (scheduler);
  else
    worker = wp_scheduler_get_worker (scheduler,
                                      word * 64 + __builtin_ctzll (scheduler->absent[word]));
  wp_scheduler_start_worker (scheduler, worker);
  *action = (WpAction){ .type = WP_ACTION_START_WORKER, .worker = worker->id };

  return TRUE;
}

/* When an idle worker may next take work from a busy one; G_MAXINT64: not as things are. */
static gint64
get_balance_time (const WpScheduler *scheduler)
{
  return scheduler->idle.head != NULL ? get_recall_time (scheduler) : G_MAXINT64;
}

static gboolean
balance (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  WpSchedulerWorker *worker;
  WpSchedulerChunk *chunk;

  if (get_balance_time (scheduler) > now)
    return FALSE;

  worker = scheduler->recallable.head->data;
  chunk = wp_scheduler_worker_find_recallable (worker);
  scheduler->asked = chunk;
  scheduler->n_asked = wp_scheduler_chunk_get_recallable (chunk,
                                                          wp_scheduler_worker_get_current (worker));

  *action = (WpAction){
    .type = WP_ACTION_RECALL,
    .worker = worker->id,
    .sequence = chunk->sequence,
    .n_tasks = scheduler->n_asked,
  };

  return TRUE;
}

gboolean
wp_scheduler_next_action (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  g_assert (scheduler->asked == NULL);

  scheduler->now = now;
  wp_scheduler_end_waits (scheduler, now);

  /* What has been decided is carried out before the time is looked at: a worker that gives its
   * cancelled tasks back is not killed for them. */
  if (wp_scheduler_pop_action (scheduler, action))
    return TRUE;

  wp_scheduler_expire_deadlines (scheduler, now);
  wp_scheduler_end_workers (scheduler, now);

  if (wp_scheduler_pop_action (scheduler, action) || serve_idle (scheduler, now, action) ||
      start_missing (scheduler, now, action) || prefetch (scheduler, now, action) ||
      balance (scheduler, now, action))
    return TRUE;

  wp_scheduler_end_idle_workers (scheduler, now);
  if (wp_scheduler_pop_action (scheduler, action))
    return TRUE;

  if (scheduler->drained_due)
    {
      scheduler->drained_due = FALSE;
      *action = (WpAction){ .type = WP_ACTION_DRAINED };
      return TRUE;
    }

  if (scheduler->phase != WP_SCHEDULER_SERVING && scheduler->phase != WP_SCHEDULER_STOPPED &&
      scheduler->batches.length == 0 &&
      scheduler->n_in_state[WP_SCHEDULER_WORKER_ABSENT] == scheduler->config.n_jobs)
    {
      scheduler->phase = WP_SCHEDULER_STOPPED;
      *action = (WpAction){ .type = WP_ACTION_STOPPED };
      return TRUE;
    }

  return FALSE;
}

gint64
wp_scheduler_get_deadline (WpScheduler *scheduler)
{
  const gint64 start = get_start_time (scheduler);
  gint64 deadline = MIN (get_balance_time (scheduler), wp_scheduler_get_idle_deadline (scheduler));

  deadline = MIN (deadline, wp_scheduler_get_retry_time (scheduler));

  if (scheduler->escalating.head != NULL)
    deadline = MIN (deadline, ((WpSchedulerWorker *) scheduler->escalating.head->data)->deadline);

  if (scheduler->stopping.head != NULL)
    deadline = MIN (deadline, ((WpSchedulerWorker *) scheduler->stopping.head->data)->deadline);

  if (start < G_MAXINT64 && scheduler->n_failed_starts > 0 && may_start (scheduler, G_MAXINT64))
    deadline = MIN (deadline, MAX (start, scheduler->start_retry_at));
  else if (start > G_MININT64 && scheduler->n_failed_starts == 0)
    deadline = MIN (deadline, start);

  return deadline;
}

guint
wp_scheduler_get_chunk_size (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  return get_useful_chunk_size (batch);
}
