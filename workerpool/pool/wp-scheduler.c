/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

WpScheduler *
wp_scheduler_new (const WpSchedulerConfig *config)
{
  WpScheduler *scheduler = g_new0 (WpScheduler, 1);

  g_assert (config->n_jobs > 0);
  g_assert (config->depth > 0 && config->depth <= WP_MAX_DEPTH);
  g_assert (config->cancel_grace >= 0 && config->stop_grace >= 0);

  scheduler->config = *config;
  scheduler->sizer = wp_chunk_sizer_new ();
  wp_scheduler_init_levels (scheduler);
  wp_scheduler_init_retries (scheduler);
  scheduler->workers = g_new0 (WpSchedulerWorker, config->n_jobs);
  scheduler->absent = g_new0 (guint64, config->n_jobs / 64 + 1);
  scheduler->n_in_state[WP_SCHEDULER_WORKER_ABSENT] = config->n_jobs;

  for (guint i = 0; i < config->n_jobs; i++)
    {
      WpSchedulerWorker *worker = &scheduler->workers[i];

      worker->id = i;
      worker->service_link.data = worker;
      worker->recallable_link.data = worker;
      worker->deadline_link.data = worker;
      wp_scheduler_set_worker_state (scheduler, worker, WP_SCHEDULER_WORKER_ABSENT);
    }

  return scheduler;
}

void
wp_scheduler_free (WpScheduler *scheduler)
{
  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      WpSchedulerWorker *worker = &scheduler->workers[i];

      while (worker->chunks.head != NULL)
        wp_scheduler_remove_chunk (scheduler, worker->chunks.head->data);
    }

  wp_scheduler_clear_retries (scheduler);

  for (guint i = 0; i < scheduler->n_actions; i++)
    {
      guint position = (scheduler->first_action + i) % scheduler->n_actions_allocated;
      WpAction *action = &scheduler->actions[position].action;

      if (action->type == WP_ACTION_BATCH_ENDED)
        wp_scheduler_batch_free (scheduler, action->batch);
    }

  while (scheduler->batches.head != NULL)
    wp_scheduler_batch_free (scheduler, g_queue_pop_head_link (&scheduler->batches)->data);

  g_tree_unref (scheduler->levels);
  wp_chunk_sizer_free (scheduler->sizer);
  g_free (scheduler->actions);
  g_free (scheduler->absent);
  g_free (scheduler->workers);
  g_free (scheduler);
}

WpSchedulerBatch *
wp_scheduler_add_batch (WpScheduler *scheduler, const WpBatchPlan *plan)
{
  WpSchedulerBatch *batch = g_new0 (WpSchedulerBatch, 1);

  g_assert (scheduler->phase == WP_SCHEDULER_SERVING);
  g_assert (plan->function != NULL);

  batch->plan = *plan;
  batch->plan.function = NULL;
  batch->run_time = wp_chunk_sizer_get (scheduler->sizer, plan->function);
  batch->state = WP_SCHEDULER_BATCH_OPEN;
  batch->link.data = batch;
  batch->ready_link.data = batch;
  wp_scheduler_init_lanes (scheduler, batch);
  g_queue_push_tail_link (&scheduler->batches, &batch->link);
  scheduler->stop_when_idle = FALSE;

  return batch;
}

void
wp_scheduler_push (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks)
{
  g_assert (scheduler->phase == WP_SCHEDULER_SERVING);
  g_assert (batch->state == WP_SCHEDULER_BATCH_OPEN);
  g_assert (n_tasks <= G_MAXUINT64 - batch->n_pushed);

  if (n_tasks == 0)
    return;

  wp_scheduler_renew_starts (scheduler);
  batch->n_pushed += n_tasks;
  scheduler->n_active += n_tasks;
  scheduler->drained_due = FALSE;
  if (batch->lanes != NULL)
    wp_scheduler_bind_fresh (scheduler, batch, batch->n_pushed - n_tasks, n_tasks);
  else
    wp_scheduler_count_pending (scheduler, batch, n_tasks);
}

void
wp_scheduler_close (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  if (batch->state != WP_SCHEDULER_BATCH_OPEN)
    return;

  batch->state = WP_SCHEDULER_BATCH_CLOSED;
  wp_scheduler_check_batch_ended (scheduler, batch);
}

void
wp_scheduler_cancel (WpScheduler *scheduler, WpSchedulerBatch *batch, gint64 now)
{
  if (batch->state != WP_SCHEDULER_BATCH_OPEN && batch->state != WP_SCHEDULER_BATCH_CLOSED)
    return;

  batch->state = WP_SCHEDULER_BATCH_CANCELLED;
  batch->cancelled_at = now;
  wp_scheduler_fail_pending (scheduler, batch, WP_FAIL_CANCELLED);
  wp_scheduler_fail_waiting (scheduler, batch, WP_FAIL_CANCELLED);
  wp_scheduler_check_batch_ended (scheduler, batch);

  for (GList *l = batch->chunks.head; l != NULL; l = l->next)
    {
      WpSchedulerChunk *chunk = l->data;

      if (wp_scheduler_chunk_get_n_unreported (chunk) == 0)
        continue;

      if (chunk->worker->can_recall)
        wp_scheduler_queue_chunk_action (scheduler, WP_ACTION_RECALL, chunk);

      wp_scheduler_review_cancel (scheduler, chunk->worker, now);
      wp_scheduler_update_lists (scheduler, chunk->worker, FALSE);
    }
}

void
wp_scheduler_start (WpScheduler *scheduler)
{
  if (scheduler->phase != WP_SCHEDULER_SERVING)
    return;

  scheduler->stop_when_idle = FALSE;

  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      WpSchedulerWorker *worker = &scheduler->workers[i];

      if (worker->state == WP_SCHEDULER_WORKER_ABSENT)
        {
          wp_scheduler_start_worker (scheduler, worker);
          wp_scheduler_queue_worker_action (scheduler, WP_ACTION_START_WORKER, worker);
        }
    }
}

static void
close_all (WpScheduler *scheduler)
{
  GList *next;

  for (GList *l = scheduler->batches.head; l != NULL; l = next)
    {
      next = l->next;
      wp_scheduler_close (scheduler, l->data);
    }
}

void
wp_scheduler_drain (WpScheduler *scheduler)
{
  scheduler->phase = MAX (scheduler->phase, WP_SCHEDULER_DRAINING);
  close_all (scheduler);
}

void
wp_scheduler_terminate (WpScheduler *scheduler)
{
  if (scheduler->phase >= WP_SCHEDULER_TERMINATED)
    return;

  scheduler->phase = WP_SCHEDULER_TERMINATED;
  wp_scheduler_fail_all_pending (scheduler, WP_FAIL_TERMINATED);
  for (GList *l = scheduler->batches.head, *next; l != NULL; l = next)
    {
      next = l->next;
      wp_scheduler_fail_waiting (scheduler, l->data, WP_FAIL_TERMINATED);
    }

  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      WpSchedulerWorker *worker = &scheduler->workers[i];

      while (worker->chunks.head != NULL)
        {
          WpSchedulerChunk *chunk = worker->chunks.head->data;
          WpTaskRange range = wp_scheduler_chunk_get_unreported (chunk);

          wp_scheduler_fail_tasks (scheduler, chunk->batch, &range, WP_FAIL_TERMINATED, WP_NO_WORKER);
          wp_scheduler_remove_chunk (scheduler, chunk);
        }

      if (worker->state != WP_SCHEDULER_WORKER_ABSENT)
        wp_scheduler_doom_worker (scheduler, worker, SIGKILL);
    }

  close_all (scheduler);
}

void
wp_scheduler_worker_ready (WpScheduler *scheduler, guint worker_id, gboolean can_recall)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);

  /* It may have become ready while its SIGKILL was on the way. */
  g_assert (worker->state == WP_SCHEDULER_WORKER_STARTING ||
            worker->state == WP_SCHEDULER_WORKER_DOOMED);

  worker->can_recall = can_recall;
  if (worker->state == WP_SCHEDULER_WORKER_DOOMED)
    return;

  scheduler->n_failed_starts = 0;
  worker->n_failed_starts = 0;
  wp_scheduler_set_worker_state (scheduler, worker, WP_SCHEDULER_WORKER_READY);
  wp_scheduler_update_lists (scheduler, worker, FALSE);
}

/* How many of the reported results are new, and that they are the chunk's next; FALSE: they cannot
 * be. */
static gboolean
check_results (const WpSchedulerChunk *chunk,
               guint offset,
               guint n_results,
               gboolean done,
               gboolean salvage,
               guint *skip)
{
  if (salvage ? offset > chunk->n_results : offset != chunk->n_results)
    return FALSE;

  if (n_results > chunk->n_tasks - offset)
    return FALSE;

  if (done && MAX (chunk->n_results, offset + n_results) < chunk->n_tasks)
    return FALSE;

  *skip = MIN (n_results, chunk->n_results - offset);

  return TRUE;
}

static void
mark_dead (WpScheduler *scheduler, WpSchedulerWorker *worker)
{
  worker->dead = TRUE;
  wp_scheduler_update_lists (scheduler, worker, FALSE);
}

gboolean
wp_scheduler_results (WpScheduler *scheduler,
                      guint worker_id,
                      guint64 sequence,
                      guint offset,
                      guint n_results,
                      guint64 elapsed,
                      gboolean done,
                      gboolean salvage,
                      gint64 now,
                      WpResultsRange *range)
{
  return wp_scheduler_results_with_retries (scheduler, worker_id, sequence, offset, n_results, NULL,
                                            0, elapsed, done, salvage, now, range);
}

gboolean
wp_scheduler_results_with_retries (WpScheduler *scheduler,
                                   guint worker_id,
                                   guint64 sequence,
                                   guint offset,
                                   guint n_results,
                                   const guint *failed,
                                   guint n_failed,
                                   guint64 elapsed,
                                   gboolean done,
                                   gboolean salvage,
                                   gint64 now,
                                   WpResultsRange *range)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);
  WpSchedulerBatch *batch;
  WpSchedulerChunk *chunk;
  guint skip;

  *range = (WpResultsRange){ .deliver = FALSE };

  if (worker->state == WP_SCHEDULER_WORKER_ABSENT || worker->state == WP_SCHEDULER_WORKER_STARTING)
    return FALSE;

  if (scheduler->phase == WP_SCHEDULER_TERMINATED)
    return TRUE;

  chunk = wp_scheduler_worker_find_chunk (worker, sequence);
  if (chunk == NULL)
    {
      /* Of a chunk that is done: seen before. */
      if (!salvage || sequence == 0 || sequence > scheduler->last_sequence)
        return FALSE;

      mark_dead (scheduler, worker);
      return TRUE;
    }

  if (!check_results (chunk, offset, n_results, done, salvage, &skip))
    return FALSE;

  if (salvage)
    mark_dead (scheduler, worker);

  batch = chunk->batch;
  n_results -= skip;
  *range = (WpResultsRange){
    .tag = batch->plan.tag,
    .first = chunk->first + chunk->n_results,
    .skip = skip,
    .n_tasks = n_results,
    .attempt = chunk->attempt,
    .deliver = batch->state != WP_SCHEDULER_BATCH_CANCELLED,
    .retried = n_failed > 0 && chunk->attempt < batch->plan.max_retries &&
               batch->state != WP_SCHEDULER_BATCH_CANCELLED,
  };

  if (n_results > 0)
    {
      WpTaskRange ended = { range->first, n_results, chunk->attempt };
      guint n_retried = 0;

      /* A chunk that could not be sent fails in no time, which says nothing about its tasks. */
      if (!salvage && elapsed > 0)
        wp_run_time_report (batch->run_time, n_results, elapsed);

      chunk->n_results += n_results;
      chunk->refused = FALSE;
      worker->n_unreported -= n_results;
      worker->since = now;
      scheduler->n_idle_deaths = 0;
      batch->proven = MAX (batch->proven, chunk->n_results);
      wp_scheduler_chunk_estimate (chunk);

      if (range->retried)
        n_retried = wp_scheduler_retry_failed (scheduler, chunk, range->first, failed, n_failed,
                                               skip, now);

      if (range->deliver)
        wp_scheduler_end_tasks (scheduler, batch, n_results - n_retried);
      else
        wp_scheduler_fail_tasks (scheduler, batch, &ended, WP_FAIL_CANCELLED, worker_id);
    }

  if (done)
    wp_scheduler_remove_chunk (scheduler, chunk);

  wp_scheduler_review_cancel (scheduler, worker, now);
  wp_scheduler_update_lists (scheduler, worker, n_results > 0);

  return TRUE;
}

void
wp_scheduler_recalled (WpScheduler *scheduler, guint worker_id, guint64 sequence, guint n_tasks)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);
  WpSchedulerChunk *chunk = g_steal_pointer (&scheduler->asked);

  g_assert (chunk != NULL && chunk->worker == worker && chunk->sequence == sequence);
  g_assert (n_tasks <= scheduler->n_asked);

  chunk->refused = n_tasks < scheduler->n_asked;
  chunk->n_tasks -= n_tasks;
  worker->n_unreported -= n_tasks;
  worker->n_given -= n_tasks;
  wp_scheduler_chunk_estimate (chunk);
  wp_scheduler_put_back (scheduler, chunk->batch, chunk->first + chunk->n_tasks, n_tasks,
                         chunk->attempt);

  /* What it kept has been claimed, though the chunks before may not have reported: it runs, or has
   * run. */
  if (chunk->batch->state == WP_SCHEDULER_BATCH_CANCELLED &&
      wp_scheduler_chunk_get_n_unreported (chunk) > 0)
    wp_scheduler_flag_running_task (scheduler, chunk);

  wp_scheduler_review_cancel (scheduler, worker, scheduler->now);
  wp_scheduler_update_lists (scheduler, worker, FALSE);
}

gboolean
wp_scheduler_task_expired (WpScheduler *scheduler, guint worker_id, guint64 sequence, guint offset)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);
  WpSchedulerChunk *chunk;

  if (worker->state != WP_SCHEDULER_WORKER_READY || scheduler->phase == WP_SCHEDULER_TERMINATED)
    return FALSE;

  chunk = wp_scheduler_worker_find_chunk (worker, sequence);
  if (chunk == NULL || offset < chunk->n_results || offset >= chunk->n_tasks)
    return FALSE;

  worker->expired_sequence = sequence;
  worker->expired_offset = offset;
  wp_scheduler_expire_worker (scheduler, worker);

  return TRUE;
}

/* The worker died in the middle of this task. */
static void
end_interrupted_task (WpScheduler *scheduler, const WpSchedulerChunk *chunk, guint offset, gint64 now)
{
  const WpSchedulerWorker *worker = chunk->worker;
  WpTaskRange range = { chunk->first + offset, 1, chunk->attempt };

  if (chunk->batch->state == WP_SCHEDULER_BATCH_CANCELLED)
    {
      wp_scheduler_fail_tasks (scheduler, chunk->batch, &range, WP_FAIL_CANCELLED, worker->id);
      return;
    }

  /* The signal was meant for another task. */
  if (worker->state == WP_SCHEDULER_WORKER_DOOMED &&
      (worker->expired_sequence != chunk->sequence || worker->expired_offset != offset))
    {
      wp_scheduler_put_back (scheduler, chunk->batch, range.first, 1, range.attempt);
    }
  else if (range.attempt < chunk->batch->plan.max_retries)
    {
      range.attempt++;
      wp_scheduler_retry (scheduler, chunk->batch, &range, now);
    }
  else
    {
      scheduler->n_idle_deaths = 0;
      wp_scheduler_fail_tasks (scheduler, chunk->batch, &range, WP_FAIL_WORKER_DIED,
                               chunk->worker->id);
    }
}

/* Newest chunk and last task first: each is put before the one that came after it. */
static void
give_up_chunks (WpScheduler *scheduler,
                WpSchedulerWorker *worker,
                const WpSchedulerChunk *interrupted,
                guint offset,
                gint64 now)
{
  while (worker->chunks.tail != NULL)
    {
      WpSchedulerChunk *chunk = worker->chunks.tail->data;
      guint end = chunk->n_tasks;

      if (chunk == interrupted)
        {
          wp_scheduler_put_back (scheduler, chunk->batch, chunk->first + offset + 1,
                                 end - offset - 1, chunk->attempt);
          end_interrupted_task (scheduler, chunk, offset, now);
          end = offset;
        }

      wp_scheduler_put_back (scheduler, chunk->batch, chunk->first + chunk->n_results,
                             end - chunk->n_results, chunk->attempt);
      wp_scheduler_remove_chunk (scheduler, chunk);
    }
}

static void
count_failed_start (WpScheduler *scheduler, gint64 now)
{
  scheduler->n_failed_starts++;
  scheduler->start_retry_at = wp_scheduler_add_time (now, WP_START_RETRY_NS);

  /* Those that are still starting may do the work yet. */
  if (scheduler->n_in_state[WP_SCHEDULER_WORKER_READY] > 0 ||
      scheduler->n_in_state[WP_SCHEDULER_WORKER_STARTING] > 0 ||
      scheduler->n_failed_starts < WP_MAX_FAILED_STARTS)
    return;

  scheduler->n_failed_starts = 0;
  wp_scheduler_fail_all_pending (scheduler, WP_FAIL_NO_WORKER);
}

static void
count_idle_death (WpScheduler *scheduler)
{
  if (++scheduler->n_idle_deaths < WP_MAX_IDLE_DEATHS)
    return;

  scheduler->n_idle_deaths = 0;
  wp_scheduler_fail_all_pending (scheduler, WP_FAIL_NO_WORKER);
}

void
wp_scheduler_worker_gone (WpScheduler *scheduler,
                          guint worker_id,
                          gboolean running,
                          guint64 sequence,
                          guint offset,
                          gint64 now)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);
  WpSchedulerWorkerState state = worker->state;
  WpSchedulerChunk *interrupted = running ? wp_scheduler_worker_find_chunk (worker, sequence)
                                          : NULL;

  g_assert (state != WP_SCHEDULER_WORKER_ABSENT);

  if (interrupted != NULL && (offset < interrupted->n_results || offset >= interrupted->n_tasks))
    interrupted = NULL;
  running = interrupted != NULL;

  give_up_chunks (scheduler, worker, interrupted, offset, now);

  worker->dead = FALSE;
  wp_scheduler_set_worker_state (scheduler, worker, WP_SCHEDULER_WORKER_ABSENT);
  wp_scheduler_leave_list (&worker->deadline_link, &worker->deadlines);
  wp_scheduler_update_lists (scheduler, worker, FALSE);

  if (state == WP_SCHEDULER_WORKER_STARTING && scheduler->config.order_tasks)
    wp_scheduler_count_failed_start_of (scheduler, worker);

  if (state == WP_SCHEDULER_WORKER_STARTING)
    count_failed_start (scheduler, now);
  else if (state == WP_SCHEDULER_WORKER_READY && !running)
    count_idle_death (scheduler);
}

guint
wp_scheduler_get_held (WpScheduler *scheduler, guint worker_id, WpHeldChunk *held, guint n_held)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);
  guint n_filled = 0;

  for (GList *l = worker->chunks.head; l != NULL && n_filled < n_held; l = l->next)
    {
      WpSchedulerChunk *chunk = l->data;

      held[n_filled++] = (WpHeldChunk){ chunk->sequence, chunk->n_tasks, chunk->n_results,
                                          chunk->batch->plan.tag, chunk->first };
    }

  return worker->chunks.length;
}

guint
wp_scheduler_get_n_workers (WpScheduler *scheduler)
{
  return scheduler->n_in_state[WP_SCHEDULER_WORKER_READY];
}

guint
wp_scheduler_get_n_busy (WpScheduler *scheduler)
{
  return scheduler->n_busy;
}

guint64
wp_scheduler_get_n_queued (WpScheduler *scheduler)
{
  return scheduler->n_pending + scheduler->n_waiting;
}

guint64
wp_scheduler_get_n_active (WpScheduler *scheduler)
{
  return scheduler->n_active;
}
