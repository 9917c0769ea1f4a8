/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler-private.h"

/* Ordered tasks: the chunk k of a batch is for the worker k modulo n_jobs, whoever has nothing to do. Therefore the
 * tasks of a batch lie in lanes, one for each worker, and a worker, or what takes its place, is served from its own
 * lanes only. Whose task it is follows from its index, so that nothing has to be remembered about those to come. */

/* As many chunks for each worker as mpire makes of a map, so that their size does not hang on how long tasks take: then
 * the same items come to the same workers in the next map. */
#define N_SPLITS_PER_WORKER 64

static guint
get_stride (const WpScheduler *scheduler, const WpBatchPlan *plan)
{
  const guint64 n_splits = N_SPLITS_PER_WORKER * (guint64) scheduler->config.n_jobs;

  if (plan->chunk_size > 0)
    return MIN (plan->chunk_size, WP_MAX_CHUNK);

  if (plan->n_total == 0)
    return 1;

  return wp_chunk_size_split (plan->n_total,
                              plan->n_splits > 0 ? plan->n_splits : (guint) MIN (n_splits, G_MAXUINT));
}

void
wp_scheduler_init_lanes (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  const guint n_jobs = scheduler->config.n_jobs;

  if (!scheduler->config.order_tasks)
    return;

  batch->stride = get_stride (scheduler, &batch->plan);
  batch->lanes = g_new0 (WpTaskLane, n_jobs);
  for (guint i = 0; i < n_jobs; i++)
    {
      WpTaskLane *lane = &batch->lanes[(i + batch->plan.first_worker) % n_jobs];

      lane->link.data = lane;
      lane->batch = batch;
      lane->worker = &scheduler->workers[(i + batch->plan.first_worker) % n_jobs];
      lane->next = (guint64) i * batch->stride;
    }
}

void
wp_scheduler_clear_lanes (const WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  for (guint i = 0; i < scheduler->config.n_jobs && batch->lanes != NULL; i++)
    g_queue_clear_full (&batch->lanes[i].taken_back, g_free);
  g_clear_pointer (&batch->lanes, g_free);
}

/* Behind those of the same priority. */
static void
queue_lane (const WpScheduler *scheduler, WpTaskLane *lane)
{
  GQueue *bound = &lane->worker->bound;
  GList *after = bound->tail;

  while (after != NULL && ((WpTaskLane *) after->data)->batch->plan.priority < lane->batch->plan.priority)
    after = after->prev;

  lane->since = scheduler->last_sequence;
  if (after != NULL)
    g_queue_insert_after_link (bound, after, &lane->link);
  else
    g_queue_push_head_link (bound, &lane->link);
}

static void
count_bound (WpScheduler *scheduler, WpTaskLane *lane, guint64 n_tasks)
{
  if (n_tasks == 0)
    return;

  if (lane->n_pending == 0)
    queue_lane (scheduler, lane);
  lane->n_pending += n_tasks;
  lane->batch->n_pending += n_tasks;
  scheduler->n_pending += n_tasks;
}

static WpTaskLane *
get_lane (const WpScheduler *scheduler, const WpSchedulerBatch *batch, guint64 index)
{
  const guint n_jobs = scheduler->config.n_jobs;

  return &batch->lanes[(index / batch->stride % n_jobs + batch->plan.first_worker) % n_jobs];
}

void
wp_scheduler_bind_fresh (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 first, guint64 n_tasks)
{
  const guint n_jobs = scheduler->config.n_jobs;
  const guint64 round = (guint64) batch->stride * n_jobs;
  const guint64 n_rounds = n_tasks / round;
  const guint64 end = first + n_tasks;

  /* Wherever it begins, a whole round has a chunk for each. */
  for (guint i = 0; i < n_jobs && n_rounds > 0; i++)
    count_bound (scheduler, &batch->lanes[i], n_rounds * batch->stride);

  first += n_rounds * round;
  while (first < end)
    {
      guint64 n = MIN (end - first, batch->stride - first % batch->stride);

      count_bound (scheduler, get_lane (scheduler, batch, first), n);
      first += n;
    }
}

void
wp_scheduler_bind_again (WpScheduler *scheduler, WpSchedulerBatch *batch, const WpTaskRange *range)
{
  WpTaskLane *lane = get_lane (scheduler, batch, range->first);

  g_queue_push_head (&lane->taken_back, g_memdup2 (range, sizeof *range));
  count_bound (scheduler, lane, range->n_tasks);
}

static WpTaskRange
take_fresh (const WpScheduler *scheduler, WpTaskLane *lane, guint64 most)
{
  const guint stride = lane->batch->stride;
  const guint64 end = lane->next + (stride - lane->next % stride);
  WpTaskRange taken = { .first = lane->next };

  g_assert (lane->next < lane->batch->n_pushed);
  taken.n_tasks = MIN (MIN (end, lane->batch->n_pushed) - lane->next, most);
  lane->next += taken.n_tasks;
  if (lane->next == end)
    lane->next += (guint64) stride * (scheduler->config.n_jobs - 1);

  return taken;
}

static int
get_priority (const GList *bound)
{
  return ((WpTaskLane *) bound->data)->batch->plan.priority;
}

/* As for batches that any worker serves. */
static void
note_turn (const WpTaskLane *lane)
{
  WpSchedulerWorker *worker = lane->worker;
  const int highest = get_priority (worker->bound.head);

  if (lane->batch->plan.priority == highest && get_priority (worker->bound.tail) < highest)
    worker->n_overtaking++;
  else
    worker->n_overtaking = 0;
}

WpTaskLane *
wp_scheduler_get_next_lane (const WpSchedulerWorker *worker)
{
  WpTaskLane *next = worker->bound.head->data;

  if (worker->n_overtaking < WP_OVERTAKE_LIMIT)
    return next;

  for (GList *l = worker->bound.head->next; l != NULL; l = l->next)
    {
      WpTaskLane *lane = l->data;

      if (lane->since < next->since)
        next = lane;
    }

  return next;
}

WpTaskRange
wp_scheduler_take_from_lane (WpScheduler *scheduler, WpTaskLane *lane, guint64 most)
{
  WpTaskRange taken;

  if (!wp_scheduler_take_again (&lane->taken_back, most, &taken))
    taken = take_fresh (scheduler, lane, most);

  g_assert (taken.n_tasks > 0 && taken.n_tasks <= lane->n_pending);
  lane->n_pending -= taken.n_tasks;
  lane->batch->n_pending -= taken.n_tasks;
  scheduler->n_pending -= taken.n_tasks;

  note_turn (lane);
  /* The next chunk is another batch's turn. */
  g_queue_unlink (&lane->worker->bound, &lane->link);
  if (lane->n_pending > 0)
    queue_lane (scheduler, lane);

  return taken;
}

/* The first of these workers that something waits for. */
WpSchedulerWorker *
wp_scheduler_find_bound (const GQueue *workers)
{
  for (GList *l = workers->head; l != NULL; l = l->next)
    {
      WpSchedulerWorker *worker = l->data;

      if (worker->bound.head != NULL)
        return worker;
    }

  return NULL;
}

WpSchedulerWorker *
wp_scheduler_find_absent_bound (const WpScheduler *scheduler)
{
  for (guint i = 0; i < scheduler->config.n_jobs && scheduler->n_in_state[WP_SCHEDULER_WORKER_ABSENT] > 0; i++)
    {
      WpSchedulerWorker *worker = &scheduler->workers[i];

      if (worker->state == WP_SCHEDULER_WORKER_ABSENT && worker->bound.head != NULL)
        return worker;
    }

  return NULL;
}

static void
fail_lane (WpScheduler *scheduler, WpTaskLane *lane, WpFailReason reason)
{
  while (lane->n_pending > 0)
    {
      WpTaskRange range = wp_scheduler_take_from_lane (scheduler, lane, G_MAXUINT64);

      wp_scheduler_fail_tasks (scheduler, lane->batch, &range, reason, WP_NO_WORKER);
    }
}

void
wp_scheduler_fail_lanes (WpScheduler *scheduler, WpSchedulerBatch *batch, WpFailReason reason)
{
  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    fail_lane (scheduler, &batch->lanes[i], reason);
}

/* Nobody else may run what is bound to a worker that cannot be started. */
void
wp_scheduler_count_failed_start_of (WpScheduler *scheduler, WpSchedulerWorker *worker)
{
  if (++worker->n_failed_starts < WP_MAX_FAILED_STARTS)
    return;

  worker->n_failed_starts = 0;
  while (worker->bound.head != NULL)
    fail_lane (scheduler, worker->bound.head->data, WP_FAIL_NO_WORKER);
}
