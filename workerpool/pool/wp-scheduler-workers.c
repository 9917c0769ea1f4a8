/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

#include <signal.h>

static void
queue_kill (WpScheduler *scheduler, const WpSchedulerWorker *worker, int signal_number)
{
  wp_scheduler_queue_worker_action (scheduler, WP_ACTION_KILL_WORKER, worker)
      ->signal = signal_number;
}

WpSchedulerWorker *
wp_scheduler_get_worker (WpScheduler *scheduler, guint worker)
{
  g_assert (worker < scheduler->config.n_jobs);

  return &scheduler->workers[worker];
}

void
wp_scheduler_set_worker_state (WpScheduler *scheduler,
                               WpSchedulerWorker *worker,
                               WpSchedulerWorkerState state)
{
  guint64 bit = G_GUINT64_CONSTANT (1) << (worker->id % 64);

  scheduler->n_in_state[worker->state]--;
  worker->state = state;
  scheduler->n_in_state[state]++;

  if (state == WP_SCHEDULER_WORKER_ABSENT)
    scheduler->absent[worker->id / 64] |= bit;
  else
    scheduler->absent[worker->id / 64] &= ~bit;
}

void
wp_scheduler_leave_list (GList *link, GQueue **at)
{
  if (*at == NULL)
    return;

  g_queue_unlink (*at, link);
  *at = NULL;
}

void
wp_scheduler_set_deadline (WpSchedulerWorker *worker, GQueue *deadlines, gint64 deadline)
{
  wp_scheduler_leave_list (&worker->deadline_link, &worker->deadlines);
  worker->deadline = deadline;
  worker->deadlines = deadlines;
  g_queue_push_tail_link (deadlines, &worker->deadline_link);
}

static gboolean
is_due (const GQueue *deadlines, gint64 now)
{
  return deadlines->head != NULL && ((WpSchedulerWorker *) deadlines->head->data)->deadline <= now;
}

WpTaskRange
wp_scheduler_chunk_get_unreported (const WpSchedulerChunk *chunk)
{
  return (WpTaskRange){ chunk->first + chunk->n_results,
                        wp_scheduler_chunk_get_n_unreported (chunk), chunk->attempt };
}

/* The chunk that the worker is working on, as far as it has reported. */
WpSchedulerChunk *
wp_scheduler_worker_get_current (const WpSchedulerWorker *worker)
{
  for (GList *l = worker->chunks.head; l != NULL; l = l->next)
    {
      WpSchedulerChunk *chunk = l->data;

      if (wp_scheduler_chunk_get_n_unreported (chunk) > 0)
        return chunk;
    }

  return NULL;
}

WpSchedulerChunk *
wp_scheduler_worker_find_chunk (const WpSchedulerWorker *worker, guint64 sequence)
{
  WpSchedulerChunk *chunk = worker->slots[sequence % WP_MAX_DEPTH];

  return chunk != NULL && chunk->sequence == sequence ? chunk : NULL;
}

/* How much an idle worker may take of the chunk. Of the chunk that is being worked on, one task
 * runs. */
guint
wp_scheduler_chunk_get_recallable (const WpSchedulerChunk *chunk, const WpSchedulerChunk *current)
{
  guint n_unreported = wp_scheduler_chunk_get_n_unreported (chunk);
  guint half = n_unreported - n_unreported / 2;

  if (n_unreported == 0 || chunk->refused || chunk->batch->lanes != NULL ||
      chunk->batch->state == WP_SCHEDULER_BATCH_CANCELLED)
    return 0;

  return chunk == current ? MIN (half, n_unreported - 1) : half;
}

WpSchedulerChunk *
wp_scheduler_worker_find_recallable (const WpSchedulerWorker *worker)
{
  WpSchedulerChunk *current = wp_scheduler_worker_get_current (worker);

  for (GList *l = worker->chunks.tail; l != NULL; l = l->prev)
    {
      if (wp_scheduler_chunk_get_recallable (l->data, current) > 0)
        return l->data;
    }

  return NULL;
}

/* Puts the worker into the lists where its state and its chunks belong. touched: it was given
 * something, or reported, just now. */
void
wp_scheduler_update_lists (WpScheduler *scheduler, WpSchedulerWorker *worker, gboolean touched)
{
  GQueue *service = NULL;
  gboolean recallable = FALSE;

  if (worker->state == WP_SCHEDULER_WORKER_READY && !worker->dead)
    {
      const gboolean has_room = wp_scheduler_worker_get_room (scheduler, worker) > 0;

      if (worker->chunks.length == 0)
        service = has_room ? &scheduler->idle : &scheduler->spent;
      else if (has_room && worker->chunks.length < scheduler->config.depth &&
               worker->held_ns < WP_PREFETCH_NS && worker->deadlines == NULL)
        service = &scheduler->roomy;

      recallable = worker->can_recall && worker->n_unreported > 1 &&
                   wp_scheduler_worker_find_recallable (worker) != NULL;
    }

  if (worker->service != service)
    {
      wp_scheduler_leave_list (&worker->service_link, &worker->service);
      worker->service = service;
      worker->idle_since = 0;
      if (service != NULL)
        g_queue_push_head_link (service, &worker->service_link);
    }

  if (touched || !recallable)
    wp_scheduler_leave_list (&worker->recallable_link, &worker->recallable);
  if (recallable && worker->recallable == NULL)
    {
      worker->recallable = &scheduler->recallable;
      g_queue_push_tail_link (&scheduler->recallable, &worker->recallable_link);
    }
}

/* Sets the cancel flag of the chunk's running task, once for each task. */
void
wp_scheduler_flag_running_task (WpScheduler *scheduler, WpSchedulerChunk *chunk)
{
  if (chunk->n_flagged == chunk->n_results + 1)
    return;

  chunk->n_flagged = chunk->n_results + 1;
  wp_scheduler_queue_chunk_action (scheduler, WP_ACTION_CANCEL_TASK, chunk);
}

/* Starts or ends the worker's way from the cancel flag to SIGKILL. Only a task that runs is
 * escalated: a cancelled chunk that waits behind another batch's must not cost that batch its
 * worker. Each batch's tasks have their grace, but not each of them: a cancelled batch ends in
 * bounded time. */
void
wp_scheduler_review_cancel (WpScheduler *scheduler, WpSchedulerWorker *worker, gint64 now)
{
  WpSchedulerChunk *current = wp_scheduler_worker_get_current (worker);
  gint64 grace = scheduler->config.cancel_grace;

  if (current == NULL || current->batch->state != WP_SCHEDULER_BATCH_CANCELLED)
    {
      if (worker->state == WP_SCHEDULER_WORKER_READY)
        wp_scheduler_leave_list (&worker->deadline_link, &worker->deadlines);
      return;
    }

  wp_scheduler_flag_running_task (scheduler, current);

  if (worker->state == WP_SCHEDULER_WORKER_READY &&
      (worker->deadlines == NULL ||
       worker->deadline < wp_scheduler_add_time (current->batch->cancelled_at, grace)))
    wp_scheduler_set_deadline (worker, &scheduler->escalating, wp_scheduler_add_time (now, grace));
}

static void
set_held_ns (WpSchedulerChunk *chunk, gint64 held_ns)
{
  chunk->worker->held_ns += held_ns - chunk->held_ns;
  chunk->held_ns = held_ns;
}

/* A chunk of unknown tasks counts as all that a worker may hold ahead. */
void
wp_scheduler_chunk_estimate (WpSchedulerChunk *chunk)
{
  gint64 ns = wp_run_time_get (chunk->batch->run_time);
  guint n_unreported = wp_scheduler_chunk_get_n_unreported (chunk);

  if (n_unreported == 0)
    set_held_ns (chunk, 0);
  else if (ns == 0 || ns >= WP_PREFETCH_NS)
    set_held_ns (chunk, WP_PREFETCH_NS);
  else
    set_held_ns (chunk, MIN (ns * n_unreported, WP_PREFETCH_NS));
}

void
wp_scheduler_add_chunk (WpScheduler *scheduler,
                        WpSchedulerWorker *worker,
                        WpSchedulerBatch *batch,
                        const WpTaskRange *range)
{
  WpSchedulerChunk *chunk = g_new0 (WpSchedulerChunk, 1);

  do
    scheduler->last_sequence++;
  while (worker->slots[scheduler->last_sequence % WP_MAX_DEPTH] != NULL);

  chunk->worker_link.data = chunk;
  chunk->batch_link.data = chunk;
  chunk->worker = worker;
  chunk->batch = batch;
  chunk->sequence = scheduler->last_sequence;
  chunk->first = range->first;
  chunk->n_tasks = range->n_tasks;
  chunk->attempt = range->attempt;

  g_assert (worker->chunks.length < scheduler->config.depth);
  scheduler->n_busy += worker->chunks.length == 0;
  worker->slots[chunk->sequence % WP_MAX_DEPTH] = chunk;
  worker->n_unreported += chunk->n_tasks;
  worker->n_given += chunk->n_tasks;
  g_queue_push_tail_link (&worker->chunks, &chunk->worker_link);
  g_queue_push_tail_link (&batch->chunks, &chunk->batch_link);
  wp_scheduler_chunk_estimate (chunk);
}

void
wp_scheduler_remove_chunk (WpScheduler *scheduler, WpSchedulerChunk *chunk)
{
  WpSchedulerWorker *worker = chunk->worker;
  WpSchedulerBatch *batch = chunk->batch;

  g_assert (scheduler->asked != chunk);

  set_held_ns (chunk, 0);
  worker->slots[chunk->sequence % WP_MAX_DEPTH] = NULL;
  worker->n_unreported -= wp_scheduler_chunk_get_n_unreported (chunk);
  g_queue_unlink (&worker->chunks, &chunk->worker_link);
  g_queue_unlink (&batch->chunks, &chunk->batch_link);
  scheduler->n_busy -= worker->chunks.length == 0;
  g_free (chunk);

  if (batch->state == WP_SCHEDULER_BATCH_RELEASED && batch->chunks.length == 0)
    wp_scheduler_batch_free (scheduler, batch);
}

void
wp_scheduler_doom_worker (WpScheduler *scheduler, WpSchedulerWorker *worker, int signal_number)
{
  wp_scheduler_set_worker_state (scheduler, worker, WP_SCHEDULER_WORKER_DOOMED);
  wp_scheduler_leave_list (&worker->deadline_link, &worker->deadlines);
  wp_scheduler_update_lists (scheduler, worker, FALSE);
  queue_kill (scheduler, worker, signal_number);
}

/* What waits on this worker is taken back. */
void
wp_scheduler_queue_recalls (WpScheduler *scheduler, WpSchedulerWorker *worker)
{
  for (GList *l = worker->chunks.head; l != NULL && worker->can_recall; l = l->next)
    {
      if (wp_scheduler_chunk_get_n_unreported (l->data) > 0)
        wp_scheduler_queue_chunk_action (scheduler, WP_ACTION_RECALL, l->data);
    }
}

void
wp_scheduler_expire_worker (WpScheduler *scheduler, WpSchedulerWorker *worker)
{
  /* Before the signal, so that it costs no other task its turn. */
  wp_scheduler_queue_recalls (scheduler, worker);
  wp_scheduler_doom_worker (scheduler, worker, SIGKILL);
}

/* The flag, or SIGTERM, did not end the cancelled task. */
static void
escalate (WpScheduler *scheduler, WpSchedulerWorker *worker, gint64 now)
{
  if (worker->state == WP_SCHEDULER_WORKER_DOOMED)
    {
      wp_scheduler_leave_list (&worker->deadline_link, &worker->deadlines);
      queue_kill (scheduler, worker, SIGKILL);
      return;
    }

  wp_scheduler_queue_recalls (scheduler, worker);

  wp_scheduler_doom_worker (scheduler, worker, SIGTERM);
  wp_scheduler_set_deadline (worker, &scheduler->escalating,
                             wp_scheduler_add_time (now, scheduler->config.cancel_grace));
}

void
wp_scheduler_expire_deadlines (WpScheduler *scheduler, gint64 now)
{
  while (is_due (&scheduler->escalating, now))
    escalate (scheduler, scheduler->escalating.head->data, now);

  while (is_due (&scheduler->stopping, now))
    wp_scheduler_doom_worker (scheduler, scheduler->stopping.head->data, SIGKILL);
}

void
wp_scheduler_start_worker (WpScheduler *scheduler, WpSchedulerWorker *worker)
{
  wp_scheduler_set_worker_state (scheduler, worker, WP_SCHEDULER_WORKER_STARTING);
  worker->incarnation++;
  worker->expired_sequence = 0;
  worker->retired = FALSE;
  worker->n_given = 0;
}
