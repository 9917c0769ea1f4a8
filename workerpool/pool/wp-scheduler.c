/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-scheduler.h"

#include <signal.h>

#include "pool/wp-chunk-sizer.h"

/* Where things are:
 *
 *   push → [batch: taken back, fresh] → [level of its priority] → chunk on a worker → results
 *                   ↑                                                  │
 *                   └───────── recalled, or its worker died ───────────┘
 *
 * Everything that an event needs is found without a walk over batches, workers or tasks: batches with pending tasks
 * queue in their level, workers in the lists of those that are idle, that have room for another chunk, that could
 * give something back, that wait for a deadline. Each of these lists is in the order of its members' times. Only
 * what is rare (a drain, a stop) looks at every worker.
 */

typedef struct
{
  guint64 first;
  guint64 n_tasks;
  guint attempt;
} TaskRange;

typedef struct
{
  int priority;
  GQueue batches; /* with pending tasks; the head is served next */
} Level;

typedef enum
{
  BATCH_OPEN,
  BATCH_CLOSED,
  BATCH_CANCELLED,
  BATCH_ENDED,   /* BATCH_ENDED is in the queue of actions */
  BATCH_RELEASED /* … and has left it: only chunks whose 'done' is to come still point here */
} BatchState;

struct _WpSchedulerBatch
{
  WpBatchPlan plan; /* its function is kept by run_time */
  WpRunTime *run_time;
  BatchState state;
  GList link;
  GList ready_link;
  Level *level; /* the one it queues in; NULL: nothing is pending */
  guint64 n_pushed;
  guint64 n_ended;
  guint64 n_pending;
  guint64 n_fresh_taken; /* fresh tasks: n_fresh_taken … n_pushed - 1 */
  GQueue taken_back;     /* of TaskRange, served before the fresh ones */
  GQueue chunks;         /* held by workers */
  guint proven;          /* the largest chunk that has reported */
};

typedef struct _Worker Worker;

typedef struct
{
  GList worker_link;
  GList batch_link;
  Worker *worker;
  WpSchedulerBatch *batch;
  guint64 sequence;
  guint64 first;
  guint n_tasks; /* less what was recalled */
  guint n_results;
  guint attempt;
  guint n_flagged;  /* the cancel flag was set for the task before this offset; 0: for none */
  gboolean refused; /* it had nothing to give back since its last report */
  gint64 held_ns;   /* estimated time of the tasks that have not reported */
} Chunk;

typedef enum
{
  WORKER_ABSENT,
  WORKER_STARTING,
  WORKER_READY,
  WORKER_STOPPING, /* was asked to end */
  WORKER_DOOMED    /* was sent a signal */
} WorkerState;

#define N_WORKER_STATES (WORKER_DOOMED + 1)

struct _Worker
{
  guint id;
  WorkerState state;
  guint incarnation;
  gboolean can_recall;
  GQueue chunks; /* oldest first */
  Chunk *slots[WP_MAX_DEPTH];
  guint64 n_unreported; /* tasks */
  gint64 held_ns;
  gint64 since;    /* last hand-out or report */
  gint64 deadline; /* while it is in a list of deadlines */
  GList service_link;
  GQueue *service; /* idle or roomy; NULL: it takes no chunk now */
  GList recallable_link;
  GQueue *recallable;
  GList deadline_link;
  GQueue *deadlines; /* escalating or stopping */
};

typedef struct
{
  WpAction action;
  guint incarnation; /* of the worker it was meant for */
} QueuedAction;

struct _WpScheduler
{
  WpSchedulerConfig config;
  gint64 now; /* of the last call that told */

  Worker *workers;
  guint n_in_state[N_WORKER_STATES];
  guint n_busy;
  guint64 *absent; /* a bit for each worker */
  GQueue idle;     /* last used first: its caches are warm */
  GQueue roomy;    /* holding less than the depth and the prefetched work */
  GQueue recallable;
  GQueue escalating; /* cancel_grace after the flag or SIGTERM */
  GQueue stopping;   /* stop_grace after STOP_WORKER */

  GQueue batches; /* that have not ended */
  GTree *levels;  /* of those with pending batches, and level 0; highest priority first */
  Level *default_level;
  WpChunkSizer *sizer;
  guint64 last_sequence;
  guint64 n_pending;
  guint64 n_active;

  QueuedAction *actions; /* a ring */
  guint n_actions;
  guint first_action;
  guint n_actions_allocated;
  Chunk *asked; /* RECALL is out, the answer is to come */
  guint n_asked;

  guint n_failed_starts;
  gint64 start_retry_at;
  guint n_idle_deaths;

  gboolean stop_when_idle; /* a batch without keep_workers was the last to end */
  gboolean draining;
  gboolean terminated;
  gboolean stopped;
  gboolean drained_due;
};

static gint64
add_time (gint64 now, gint64 delay)
{
  return delay > G_MAXINT64 - now ? G_MAXINT64 : now + delay;
}

/* Actions. */

static WpAction *
queue_action (WpScheduler *scheduler, WpActionType type)
{
  QueuedAction *queued;

  if (scheduler->n_actions == scheduler->n_actions_allocated)
    {
      guint n_allocated = MAX (16, 2 * scheduler->n_actions_allocated);
      QueuedAction *actions = g_new (QueuedAction, n_allocated);

      for (guint i = 0; i < scheduler->n_actions; i++)
        actions[i] = scheduler->actions[(scheduler->first_action + i) % scheduler->n_actions_allocated];

      g_free (scheduler->actions);
      scheduler->actions = actions;
      scheduler->first_action = 0;
      scheduler->n_actions_allocated = n_allocated;
    }

  queued = &scheduler->actions[(scheduler->first_action + scheduler->n_actions) % scheduler->n_actions_allocated];
  scheduler->n_actions++;
  *queued = (QueuedAction) { .action = { .type = type } };

  return &queued->action;
}

static WpAction *
queue_worker_action (WpScheduler *scheduler, WpActionType type, const Worker *worker)
{
  WpAction *action = queue_action (scheduler, type);

  action->worker = worker->id;
  ((QueuedAction *) action)->incarnation = worker->incarnation;

  return action;
}

static void
queue_chunk_action (WpScheduler *scheduler, WpActionType type, const Chunk *chunk)
{
  WpAction *action = queue_worker_action (scheduler, type, chunk->worker);

  action->sequence = chunk->sequence;
}

static void
queue_kill (WpScheduler *scheduler, const Worker *worker, int signal_number)
{
  queue_worker_action (scheduler, WP_ACTION_KILL_WORKER, worker)->signal = signal_number;
}

/* Batches: pending tasks. */

static int
compare_priorities (gconstpointer a, gconstpointer b, gpointer user_data)
{
  int priority_a = GPOINTER_TO_INT (a);
  int priority_b = GPOINTER_TO_INT (b);

  return (priority_a < priority_b) - (priority_a > priority_b);
}

static Level *
add_level (WpScheduler *scheduler, int priority)
{
  Level *level = g_new0 (Level, 1);

  level->priority = priority;
  g_tree_insert (scheduler->levels, GINT_TO_POINTER (priority), level);

  return level;
}

static void
make_ready (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  Level *level = scheduler->default_level;

  g_assert (batch->level == NULL && batch->n_pending > 0);

  if (batch->plan.priority != 0)
    level = g_tree_lookup (scheduler->levels, GINT_TO_POINTER (batch->plan.priority));
  if (level == NULL)
    level = add_level (scheduler, batch->plan.priority);

  batch->level = level;
  g_queue_push_tail_link (&level->batches, &batch->ready_link);
}

static void
make_unready (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  Level *level = batch->level;

  g_queue_unlink (&level->batches, &batch->ready_link);
  batch->level = NULL;

  if (level->batches.length == 0 && level != scheduler->default_level)
    g_tree_remove (scheduler->levels, GINT_TO_POINTER (level->priority));
}

/* NULL when nothing is pending. */
static WpSchedulerBatch *
get_next_batch (WpScheduler *scheduler)
{
  GTreeNode *node;
  Level *level;

  if (scheduler->n_pending == 0)
    return NULL;

  node = g_tree_node_first (scheduler->levels);
  level = g_tree_node_value (node);
  if (level->batches.length == 0)
    level = g_tree_node_value (g_tree_node_next (node));

  return level->batches.head->data;
}

static void
count_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks)
{
  scheduler->n_pending += n_tasks;
  batch->n_pending += n_tasks;

  if (batch->level == NULL)
    make_ready (scheduler, batch);
}

static TaskRange
take_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 most)
{
  TaskRange *head = g_queue_peek_head (&batch->taken_back);
  TaskRange taken;

  if (head != NULL)
    {
      taken = *head;
      taken.n_tasks = MIN (taken.n_tasks, most);
      head->first += taken.n_tasks;
      head->n_tasks -= taken.n_tasks;
      if (head->n_tasks == 0)
        g_free (g_queue_pop_head (&batch->taken_back));
    }
  else
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

/* Batches: the end of tasks. */

static void
free_batch (WpSchedulerBatch *batch)
{
  g_queue_clear_full (&batch->taken_back, g_free);
  wp_run_time_unref (batch->run_time);
  g_free (batch);
}

static void
check_batch_ended (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  WpAction *action;

  if ((batch->state != BATCH_CLOSED && batch->state != BATCH_CANCELLED) || batch->n_ended < batch->n_pushed)
    return;

  batch->state = BATCH_ENDED;
  g_queue_unlink (&scheduler->batches, &batch->link);
  if (!batch->plan.keep_workers && scheduler->batches.length == 0)
    scheduler->stop_when_idle = TRUE;

  action = queue_action (scheduler, WP_ACTION_BATCH_ENDED);
  action->batch = batch;
  action->tag = batch->plan.tag;
}

static void
end_tasks (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks)
{
  if (n_tasks == 0)
    return;

  g_assert (n_tasks <= batch->n_pushed - batch->n_ended);
  batch->n_ended += n_tasks;
  scheduler->n_active -= n_tasks;
  scheduler->drained_due = scheduler->n_active == 0;

  check_batch_ended (scheduler, batch);
}

static void
fail_tasks (WpScheduler      *scheduler,
            WpSchedulerBatch *batch,
            const TaskRange  *range,
            WpFailReason      reason,
            guint             worker)
{
  for (guint64 n_done = 0; n_done < range->n_tasks;)
    {
      WpAction *action = queue_action (scheduler, WP_ACTION_FAIL_TASKS);

      action->batch = batch;
      action->tag = batch->plan.tag;
      action->first = range->first + n_done;
      action->n_tasks = MIN (range->n_tasks - n_done, G_MAXUINT);
      action->attempt = range->attempt;
      action->reason = reason;
      action->worker = worker;
      n_done += action->n_tasks;
    }

  end_tasks (scheduler, batch, range->n_tasks);
}

static void
fail_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, WpFailReason reason)
{
  while (batch->n_pending > 0)
    {
      TaskRange range = take_pending (scheduler, batch, G_MAXUINT64);

      fail_tasks (scheduler, batch, &range, reason, 0);
    }
}

static void
fail_all_pending (WpScheduler *scheduler, WpFailReason reason)
{
  GList *next;

  for (GList *l = scheduler->batches.head; l != NULL; l = next)
    {
      next = l->next;
      fail_pending (scheduler, l->data, reason);
    }
}

/* Tasks that a worker had and did not start, or may run again, go to the front of their batch. */
static void
put_back (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 first, guint64 n_tasks, guint attempt)
{
  TaskRange range = { first, n_tasks, attempt };
  TaskRange *head;

  if (n_tasks == 0)
    return;

  if (batch->state == BATCH_CANCELLED)
    {
      fail_tasks (scheduler, batch, &range, WP_FAIL_CANCELLED, 0);
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

  count_pending (scheduler, batch, n_tasks);
}

/* Workers. */

static Worker *
get_worker (WpScheduler *scheduler, guint worker)
{
  g_assert (worker < scheduler->config.n_jobs);

  return &scheduler->workers[worker];
}

static void
set_worker_state (WpScheduler *scheduler, Worker *worker, WorkerState state)
{
  guint64 bit = G_GUINT64_CONSTANT (1) << (worker->id % 64);

  scheduler->n_in_state[worker->state]--;
  worker->state = state;
  scheduler->n_in_state[state]++;

  if (state == WORKER_ABSENT)
    scheduler->absent[worker->id / 64] |= bit;
  else
    scheduler->absent[worker->id / 64] &= ~bit;
}

static void
leave_list (GList *link, GQueue **at)
{
  if (*at == NULL)
    return;

  g_queue_unlink (*at, link);
  *at = NULL;
}

static void
set_deadline (Worker *worker, GQueue *deadlines, gint64 deadline)
{
  leave_list (&worker->deadline_link, &worker->deadlines);
  worker->deadline = deadline;
  worker->deadlines = deadlines;
  g_queue_push_tail_link (deadlines, &worker->deadline_link);
}

static gboolean
is_due (const GQueue *deadlines, gint64 now)
{
  return deadlines->head != NULL && ((Worker *) deadlines->head->data)->deadline <= now;
}

static guint
get_n_unreported (const Chunk *chunk)
{
  return chunk->n_tasks - chunk->n_results;
}

static TaskRange
get_unreported (const Chunk *chunk)
{
  return (TaskRange) { chunk->first + chunk->n_results, get_n_unreported (chunk), chunk->attempt };
}

/* The chunk that the worker is working on, as far as it has reported. */
static Chunk *
get_current_chunk (const Worker *worker)
{
  for (GList *l = worker->chunks.head; l != NULL; l = l->next)
    {
      Chunk *chunk = l->data;

      if (get_n_unreported (chunk) > 0)
        return chunk;
    }

  return NULL;
}

static Chunk *
find_chunk (const Worker *worker, guint64 sequence)
{
  Chunk *chunk = worker->slots[sequence % WP_MAX_DEPTH];

  return chunk != NULL && chunk->sequence == sequence ? chunk : NULL;
}

/* How much an idle worker may take of the chunk. Of the chunk that is being worked on, one task runs. */
static guint
get_recallable (const Chunk *chunk, const Chunk *current)
{
  guint n_unreported = get_n_unreported (chunk);
  guint half = n_unreported - n_unreported / 2;

  if (n_unreported == 0 || chunk->refused || chunk->batch->state == BATCH_CANCELLED)
    return 0;

  return chunk == current ? MIN (half, n_unreported - 1) : half;
}

static Chunk *
find_recallable_chunk (const Worker *worker)
{
  Chunk *current = get_current_chunk (worker);

  for (GList *l = worker->chunks.tail; l != NULL; l = l->prev)
    {
      if (get_recallable (l->data, current) > 0)
        return l->data;
    }

  return NULL;
}

/* Puts the worker into the lists where its state and its chunks belong. touched: it was given something, or reported,
 * just now. */
static void
update_lists (WpScheduler *scheduler, Worker *worker, gboolean touched)
{
  GQueue *service = NULL;
  gboolean recallable = FALSE;

  if (worker->state == WORKER_READY)
    {
      if (worker->chunks.length == 0)
        service = &scheduler->idle;
      else if (worker->chunks.length < scheduler->config.depth && worker->held_ns < WP_PREFETCH_NS &&
               worker->deadlines == NULL)
        service = &scheduler->roomy;

      recallable = worker->can_recall && worker->n_unreported > 1 && find_recallable_chunk (worker) != NULL;
    }

  if (worker->service != service)
    {
      leave_list (&worker->service_link, &worker->service);
      worker->service = service;
      if (service != NULL)
        g_queue_push_head_link (service, &worker->service_link);
    }

  if (touched || !recallable)
    leave_list (&worker->recallable_link, &worker->recallable);
  if (recallable && worker->recallable == NULL)
    {
      worker->recallable = &scheduler->recallable;
      g_queue_push_tail_link (&scheduler->recallable, &worker->recallable_link);
    }
}

/* Sets the cancel flag of the chunk's running task, once for each task. */
static void
flag_running_task (WpScheduler *scheduler, Chunk *chunk)
{
  if (chunk->n_flagged == chunk->n_results + 1)
    return;

  chunk->n_flagged = chunk->n_results + 1;
  queue_chunk_action (scheduler, WP_ACTION_CANCEL_TASK, chunk);
}

/* Starts or ends the worker's way from the cancel flag to SIGKILL. Only a task that runs is escalated: a cancelled
 * chunk that waits behind another batch's must not cost that batch its worker. */
static void
review_cancel (WpScheduler *scheduler, Worker *worker, gint64 now)
{
  Chunk *current = get_current_chunk (worker);
  gboolean cancelled = current != NULL && current->batch->state == BATCH_CANCELLED;

  if (cancelled)
    flag_running_task (scheduler, current);

  if (worker->state != WORKER_READY)
    return;

  if (!cancelled)
    leave_list (&worker->deadline_link, &worker->deadlines);
  else if (worker->deadlines == NULL)
    set_deadline (worker, &scheduler->escalating, add_time (now, scheduler->config.cancel_grace));
}

static void
set_held_ns (Chunk *chunk, gint64 held_ns)
{
  chunk->worker->held_ns += held_ns - chunk->held_ns;
  chunk->held_ns = held_ns;
}

/* A chunk of unknown tasks counts as all that a worker may hold ahead. */
static void
estimate_held_ns (Chunk *chunk)
{
  gint64 ns = wp_run_time_get (chunk->batch->run_time);
  guint n_unreported = get_n_unreported (chunk);

  if (n_unreported == 0)
    set_held_ns (chunk, 0);
  else if (ns == 0 || ns >= WP_PREFETCH_NS)
    set_held_ns (chunk, WP_PREFETCH_NS);
  else
    set_held_ns (chunk, MIN (ns * n_unreported, WP_PREFETCH_NS));
}

static void
add_chunk (WpScheduler *scheduler, Worker *worker, WpSchedulerBatch *batch, const TaskRange *range)
{
  Chunk *chunk = g_new0 (Chunk, 1);

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
  g_queue_push_tail_link (&worker->chunks, &chunk->worker_link);
  g_queue_push_tail_link (&batch->chunks, &chunk->batch_link);
  estimate_held_ns (chunk);
}

static void
remove_chunk (WpScheduler *scheduler, Chunk *chunk)
{
  Worker *worker = chunk->worker;
  WpSchedulerBatch *batch = chunk->batch;

  if (scheduler->asked == chunk)
    scheduler->asked = NULL;

  set_held_ns (chunk, 0);
  worker->slots[chunk->sequence % WP_MAX_DEPTH] = NULL;
  worker->n_unreported -= get_n_unreported (chunk);
  g_queue_unlink (&worker->chunks, &chunk->worker_link);
  g_queue_unlink (&batch->chunks, &chunk->batch_link);
  scheduler->n_busy -= worker->chunks.length == 0;
  g_free (chunk);

  if (batch->state == BATCH_RELEASED && batch->chunks.length == 0)
    free_batch (batch);
}

static void
doom (WpScheduler *scheduler, Worker *worker, int signal_number)
{
  set_worker_state (scheduler, worker, WORKER_DOOMED);
  leave_list (&worker->deadline_link, &worker->deadlines);
  update_lists (scheduler, worker, FALSE);
  queue_kill (scheduler, worker, signal_number);
}

/* The flag, or SIGTERM, did not end the cancelled task. What waits on this worker is taken back before the signal, so
 * that it costs no other task its turn. */
static void
escalate (WpScheduler *scheduler, Worker *worker, gint64 now)
{
  if (worker->state == WORKER_DOOMED)
    {
      leave_list (&worker->deadline_link, &worker->deadlines);
      queue_kill (scheduler, worker, SIGKILL);
      return;
    }

  for (GList *l = worker->chunks.head; l != NULL && worker->can_recall; l = l->next)
    {
      if (get_n_unreported (l->data) > 0)
        queue_chunk_action (scheduler, WP_ACTION_RECALL, l->data);
    }

  doom (scheduler, worker, SIGTERM);
  set_deadline (worker, &scheduler->escalating, add_time (now, scheduler->config.cancel_grace));
}

static void
expire_deadlines (WpScheduler *scheduler, gint64 now)
{
  while (is_due (&scheduler->escalating, now))
    escalate (scheduler, scheduler->escalating.head->data, now);

  while (is_due (&scheduler->stopping, now))
    doom (scheduler, scheduler->stopping.head->data, SIGKILL);
}

/* Ends the workers that nothing waits for any more. */
static void
end_workers (WpScheduler *scheduler, gint64 now)
{
  gboolean stop = (scheduler->draining || scheduler->stop_when_idle) && scheduler->batches.length == 0 &&
                  scheduler->n_in_state[WORKER_READY] > 0;
  gboolean kill_starting = scheduler->draining && scheduler->n_pending == 0 &&
                           scheduler->n_in_state[WORKER_STARTING] > 0;

  if (!stop && !kill_starting)
    return;

  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      Worker *worker = &scheduler->workers[i];

      if (stop && worker->state == WORKER_READY)
        {
          set_worker_state (scheduler, worker, WORKER_STOPPING);
          update_lists (scheduler, worker, FALSE);
          set_deadline (worker, &scheduler->stopping, add_time (now, scheduler->config.stop_grace));
          queue_worker_action (scheduler, WP_ACTION_STOP_WORKER, worker);
        }
      else if (kill_starting && worker->state == WORKER_STARTING)
        {
          doom (scheduler, worker, SIGKILL);
        }
    }
}

/* Decisions. */

/* Completes a queued action with what holds now; FALSE when an event since has made it void. */
static gboolean
complete_action (WpScheduler *scheduler, QueuedAction *queued)
{
  WpAction *action = &queued->action;
  Worker *worker = &scheduler->workers[action->worker];
  Chunk *chunk;

  switch (action->type)
    {
    case WP_ACTION_STOP_WORKER:
    case WP_ACTION_KILL_WORKER:
    case WP_ACTION_START_WORKER:
      return worker->state != WORKER_ABSENT && worker->incarnation == queued->incarnation;

    case WP_ACTION_RECALL:
      chunk = find_chunk (worker, action->sequence);
      if (chunk == NULL || get_n_unreported (chunk) == 0)
        return FALSE;

      action->n_tasks = get_n_unreported (chunk);
      scheduler->asked = chunk;
      scheduler->n_asked = action->n_tasks;
      return TRUE;

    case WP_ACTION_CANCEL_TASK:
      chunk = find_chunk (worker, action->sequence);
      if (chunk == NULL || get_n_unreported (chunk) == 0)
        return FALSE;

      action->offset = chunk->n_results;
      return TRUE;

    case WP_ACTION_BATCH_ENDED:
      action->batch->state = BATCH_RELEASED;
      action->batch->plan.tag = NULL;
      if (action->batch->chunks.length == 0)
        free_batch (action->batch);
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

static gboolean
pop_action (WpScheduler *scheduler, WpAction *action)
{
  while (scheduler->n_actions > 0)
    {
      QueuedAction *queued = &scheduler->actions[scheduler->first_action];

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

static guint
get_useful_chunk_size (const WpSchedulerBatch *batch)
{
  const WpBatchPlan *plan = &batch->plan;

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

  if (batch->plan.chunk_size > 0 || (batch->plan.n_splits > 0 && batch->plan.n_total > 0))
    return useful;

  return MIN (useful, wp_chunk_size_share (batch->n_pending, scheduler->config.n_jobs));
}

static void
send_chunk (WpScheduler *scheduler, Worker *worker, WpSchedulerBatch *batch, gint64 now, WpAction *action)
{
  TaskRange range = take_pending (scheduler, batch, get_next_chunk_size (scheduler, batch));

  add_chunk (scheduler, worker, batch, &range);

  /* The next chunk is another batch's turn, … */
  if (batch->level != NULL && batch->level->batches.length > 1)
    {
      g_queue_unlink (&batch->level->batches, &batch->ready_link);
      g_queue_push_tail_link (&batch->level->batches, &batch->ready_link);
    }

  /* … and another worker's. */
  worker->since = now;
  update_lists (scheduler, worker, TRUE);
  if (worker->service != NULL)
    {
      g_queue_unlink (worker->service, &worker->service_link);
      g_queue_push_tail_link (worker->service, &worker->service_link);
    }

  *action = (WpAction) {
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

static gboolean
serve_idle (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  if (scheduler->n_pending == 0 || scheduler->idle.head == NULL)
    return FALSE;

  send_chunk (scheduler, scheduler->idle.head->data, get_next_batch (scheduler), now, action);

  return TRUE;
}

/* Only tasks that are known to be short wait behind others: no task should wait for a long one while a worker idles
 * elsewhere. When the batch whose turn it is has long tasks, the others do not overtake it either. */
static gboolean
prefetch (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  WpSchedulerBatch *batch;
  gint64 ns;

  if (scheduler->n_pending == 0 || scheduler->roomy.head == NULL)
    return FALSE;

  batch = get_next_batch (scheduler);
  ns = wp_run_time_get (batch->run_time);
  if (ns == 0 || ns > WP_CHUNK_TARGET_NS)
    return FALSE;

  send_chunk (scheduler, scheduler->roomy.head->data, batch, now, action);

  return TRUE;
}

static gboolean
wants_start (const WpScheduler *scheduler)
{
  return scheduler->n_in_state[WORKER_ABSENT] > 0 &&
         scheduler->n_pending > (guint64) scheduler->idle.length + scheduler->n_in_state[WORKER_STARTING];
}

/* From a failed start until one succeeds: one at a time, and after a pause while other workers do the work. */
static gboolean
may_start (const WpScheduler *scheduler, gint64 now)
{
  if (scheduler->n_failed_starts == 0)
    return TRUE;

  if (scheduler->n_in_state[WORKER_STARTING] > 0)
    return FALSE;

  return scheduler->n_in_state[WORKER_READY] == 0 || scheduler->start_retry_at <= now;
}

static void
start_worker (WpScheduler *scheduler, Worker *worker)
{
  set_worker_state (scheduler, worker, WORKER_STARTING);
  worker->incarnation++;
}

static gboolean
start_missing (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  guint word = 0;
  Worker *worker;

  if (!wants_start (scheduler) || !may_start (scheduler, now))
    return FALSE;

  while (scheduler->absent[word] == 0)
    word++;

  worker = get_worker (scheduler, word * 64 + __builtin_ctzll (scheduler->absent[word]));
  start_worker (scheduler, worker);
  *action = (WpAction) { .type = WP_ACTION_START_WORKER, .worker = worker->id };

  return TRUE;
}

/* When an idle worker may next take work from a busy one; G_MAXINT64: not as things are. */
static gint64
get_balance_time (const WpScheduler *scheduler)
{
  Worker *worker;

  if (scheduler->n_pending > 0 || scheduler->idle.head == NULL || scheduler->recallable.head == NULL)
    return G_MAXINT64;

  worker = scheduler->recallable.head->data;

  return add_time (worker->since, WP_RECALL_AFTER_NS);
}

static gboolean
balance (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  Worker *worker;
  Chunk *chunk;

  if (get_balance_time (scheduler) > now)
    return FALSE;

  worker = scheduler->recallable.head->data;
  chunk = find_recallable_chunk (worker);
  scheduler->asked = chunk;
  scheduler->n_asked = get_recallable (chunk, get_current_chunk (worker));

  *action = (WpAction) {
    .type = WP_ACTION_RECALL,
    .worker = worker->id,
    .sequence = chunk->sequence,
    .n_tasks = scheduler->n_asked,
  };

  return TRUE;
}

WpScheduler *
wp_scheduler_new (const WpSchedulerConfig *config)
{
  WpScheduler *scheduler = g_new0 (WpScheduler, 1);

  g_assert (config->n_jobs > 0);
  g_assert (config->depth > 0 && config->depth <= WP_MAX_DEPTH);
  g_assert (config->cancel_grace >= 0 && config->stop_grace >= 0);

  scheduler->config = *config;
  scheduler->sizer = wp_chunk_sizer_new ();
  scheduler->levels = g_tree_new_full (compare_priorities, NULL, NULL, g_free);
  scheduler->default_level = add_level (scheduler, 0);
  scheduler->workers = g_new0 (Worker, config->n_jobs);
  scheduler->absent = g_new0 (guint64, config->n_jobs / 64 + 1);
  scheduler->n_in_state[WORKER_ABSENT] = config->n_jobs;

  for (guint i = 0; i < config->n_jobs; i++)
    {
      Worker *worker = &scheduler->workers[i];

      worker->id = i;
      worker->service_link.data = worker;
      worker->recallable_link.data = worker;
      worker->deadline_link.data = worker;
      set_worker_state (scheduler, worker, WORKER_ABSENT);
    }

  return scheduler;
}

void
wp_scheduler_free (WpScheduler *scheduler)
{
  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      Worker *worker = &scheduler->workers[i];

      while (worker->chunks.head != NULL)
        remove_chunk (scheduler, worker->chunks.head->data);
    }

  for (guint i = 0; i < scheduler->n_actions; i++)
    {
      guint position = (scheduler->first_action + i) % scheduler->n_actions_allocated;
      WpAction *action = &scheduler->actions[position].action;

      if (action->type == WP_ACTION_BATCH_ENDED)
        free_batch (action->batch);
    }

  while (scheduler->batches.head != NULL)
    free_batch (g_queue_pop_head_link (&scheduler->batches)->data);

  g_tree_unref (scheduler->levels);
  wp_chunk_sizer_free (scheduler->sizer);
  g_free (scheduler->actions);
  g_free (scheduler->absent);
  g_free (scheduler->workers);
  g_free (scheduler);
}

gboolean
wp_scheduler_next_action (WpScheduler *scheduler, gint64 now, WpAction *action)
{
  g_assert (scheduler->asked == NULL);

  scheduler->now = now;

  /* What has been decided is carried out before the time is looked at: a worker that gives its cancelled tasks back
   * is not killed for them. */
  if (pop_action (scheduler, action))
    return TRUE;

  expire_deadlines (scheduler, now);
  end_workers (scheduler, now);

  if (pop_action (scheduler, action) ||
      serve_idle (scheduler, now, action) ||
      start_missing (scheduler, now, action) ||
      prefetch (scheduler, now, action) ||
      balance (scheduler, now, action))
    return TRUE;

  if (scheduler->drained_due)
    {
      scheduler->drained_due = FALSE;
      *action = (WpAction) { .type = WP_ACTION_DRAINED };
      return TRUE;
    }

  if (scheduler->draining && !scheduler->stopped && scheduler->batches.length == 0 &&
      scheduler->n_in_state[WORKER_ABSENT] == scheduler->config.n_jobs)
    {
      scheduler->stopped = TRUE;
      *action = (WpAction) { .type = WP_ACTION_STOPPED };
      return TRUE;
    }

  return FALSE;
}

gint64
wp_scheduler_get_deadline (WpScheduler *scheduler)
{
  gint64 deadline = get_balance_time (scheduler);

  if (scheduler->escalating.head != NULL)
    deadline = MIN (deadline, ((Worker *) scheduler->escalating.head->data)->deadline);

  if (scheduler->stopping.head != NULL)
    deadline = MIN (deadline, ((Worker *) scheduler->stopping.head->data)->deadline);

  if (scheduler->n_failed_starts > 0 && wants_start (scheduler) && may_start (scheduler, G_MAXINT64))
    deadline = MIN (deadline, scheduler->start_retry_at);

  return deadline;
}

WpSchedulerBatch *
wp_scheduler_add_batch (WpScheduler *scheduler, const WpBatchPlan *plan)
{
  WpSchedulerBatch *batch = g_new0 (WpSchedulerBatch, 1);

  g_assert (!scheduler->draining);
  g_assert (plan->function != NULL);

  batch->plan = *plan;
  batch->plan.function = NULL;
  batch->run_time = wp_chunk_sizer_get (scheduler->sizer, plan->function);
  batch->state = BATCH_OPEN;
  batch->link.data = batch;
  batch->ready_link.data = batch;
  g_queue_push_tail_link (&scheduler->batches, &batch->link);
  scheduler->stop_when_idle = FALSE;

  return batch;
}

void
wp_scheduler_push (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks)
{
  g_assert (!scheduler->draining);
  g_assert (batch->state == BATCH_OPEN);
  g_assert (n_tasks <= G_MAXUINT64 - batch->n_pushed);

  if (n_tasks == 0)
    return;

  /* Earlier tasks have failed for want of a worker: these have their own tries. */
  if (scheduler->n_pending == 0 && scheduler->n_in_state[WORKER_READY] == 0 &&
      scheduler->n_in_state[WORKER_STARTING] == 0)
    scheduler->n_failed_starts = 0;

  batch->n_pushed += n_tasks;
  scheduler->n_active += n_tasks;
  scheduler->drained_due = FALSE;
  count_pending (scheduler, batch, n_tasks);
}

void
wp_scheduler_close (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  if (batch->state != BATCH_OPEN)
    return;

  batch->state = BATCH_CLOSED;
  check_batch_ended (scheduler, batch);
}

void
wp_scheduler_cancel (WpScheduler *scheduler, WpSchedulerBatch *batch, gint64 now)
{
  if (batch->state != BATCH_OPEN && batch->state != BATCH_CLOSED)
    return;

  batch->state = BATCH_CANCELLED;
  fail_pending (scheduler, batch, WP_FAIL_CANCELLED);
  check_batch_ended (scheduler, batch);

  for (GList *l = batch->chunks.head; l != NULL; l = l->next)
    {
      Chunk *chunk = l->data;

      if (get_n_unreported (chunk) == 0)
        continue;

      if (chunk->worker->can_recall)
        queue_chunk_action (scheduler, WP_ACTION_RECALL, chunk);

      review_cancel (scheduler, chunk->worker, now);
      update_lists (scheduler, chunk->worker, FALSE);
    }
}

void
wp_scheduler_start (WpScheduler *scheduler)
{
  if (scheduler->draining)
    return;

  scheduler->stop_when_idle = FALSE;

  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      Worker *worker = &scheduler->workers[i];

      if (worker->state == WORKER_ABSENT)
        {
          start_worker (scheduler, worker);
          queue_worker_action (scheduler, WP_ACTION_START_WORKER, worker);
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
  scheduler->draining = TRUE;
  close_all (scheduler);
}

void
wp_scheduler_terminate (WpScheduler *scheduler)
{
  if (scheduler->terminated)
    return;

  scheduler->draining = TRUE;
  scheduler->terminated = TRUE;
  fail_all_pending (scheduler, WP_FAIL_TERMINATED);

  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      Worker *worker = &scheduler->workers[i];

      while (worker->chunks.head != NULL)
        {
          Chunk *chunk = worker->chunks.head->data;
          TaskRange range = get_unreported (chunk);

          fail_tasks (scheduler, chunk->batch, &range, WP_FAIL_TERMINATED, worker->id);
          remove_chunk (scheduler, chunk);
        }

      if (worker->state != WORKER_ABSENT)
        doom (scheduler, worker, SIGKILL);
    }

  close_all (scheduler);
}

void
wp_scheduler_worker_ready (WpScheduler *scheduler, guint worker_id, gboolean can_recall)
{
  Worker *worker = get_worker (scheduler, worker_id);

  /* It may have become ready while its SIGKILL was on the way. */
  g_assert (worker->state == WORKER_STARTING || worker->state == WORKER_DOOMED);

  worker->can_recall = can_recall;
  if (worker->state == WORKER_DOOMED)
    return;

  scheduler->n_failed_starts = 0;
  set_worker_state (scheduler, worker, WORKER_READY);
  update_lists (scheduler, worker, FALSE);
}

/* How many of the reported results are new, and that they are the chunk's next; FALSE: they cannot be. */
static gboolean
check_results (const Chunk *chunk, guint offset, guint n_results, gboolean done, gboolean salvage, guint *skip)
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

gboolean
wp_scheduler_results (WpScheduler    *scheduler,
                      guint           worker_id,
                      guint64         sequence,
                      guint           offset,
                      guint           n_results,
                      guint64         elapsed,
                      gboolean        done,
                      gboolean        salvage,
                      gint64          now,
                      WpResultsRange *range)
{
  Worker *worker = get_worker (scheduler, worker_id);
  WpSchedulerBatch *batch;
  Chunk *chunk;
  guint skip;

  *range = (WpResultsRange) { .deliver = FALSE };

  if (worker->state == WORKER_ABSENT || worker->state == WORKER_STARTING)
    return FALSE;

  if (scheduler->terminated)
    return TRUE;

  chunk = find_chunk (worker, sequence);
  if (chunk == NULL)
    return salvage && sequence > 0 && sequence <= scheduler->last_sequence;

  if (!check_results (chunk, offset, n_results, done, salvage, &skip))
    return FALSE;

  batch = chunk->batch;
  n_results -= skip;
  *range = (WpResultsRange) {
    .tag = batch->plan.tag,
    .first = chunk->first + chunk->n_results,
    .skip = skip,
    .n_tasks = n_results,
    .deliver = batch->state != BATCH_CANCELLED,
  };

  if (n_results > 0)
    {
      TaskRange ended = { range->first, n_results, chunk->attempt };

      if (!salvage)
        wp_run_time_report (batch->run_time, n_results, elapsed);

      chunk->n_results += n_results;
      chunk->refused = FALSE;
      worker->n_unreported -= n_results;
      worker->since = now;
      scheduler->n_idle_deaths = 0;
      batch->proven = MAX (batch->proven, chunk->n_results);
      estimate_held_ns (chunk);

      if (range->deliver)
        end_tasks (scheduler, batch, n_results);
      else
        fail_tasks (scheduler, batch, &ended, WP_FAIL_CANCELLED, worker_id);
    }

  if (done)
    remove_chunk (scheduler, chunk);

  review_cancel (scheduler, worker, now);
  update_lists (scheduler, worker, n_results > 0);

  return TRUE;
}

void
wp_scheduler_recalled (WpScheduler *scheduler, guint worker_id, guint64 sequence, guint n_tasks)
{
  Worker *worker = get_worker (scheduler, worker_id);
  Chunk *chunk = g_steal_pointer (&scheduler->asked);

  g_assert (chunk != NULL && chunk->worker == worker && chunk->sequence == sequence);
  g_assert (n_tasks <= scheduler->n_asked);

  chunk->refused = n_tasks < scheduler->n_asked;
  chunk->n_tasks -= n_tasks;
  worker->n_unreported -= n_tasks;
  estimate_held_ns (chunk);
  put_back (scheduler, chunk->batch, chunk->first + chunk->n_tasks, n_tasks, chunk->attempt);

  /* What it kept has been claimed, though the chunks before may not have reported: it runs, or has run. */
  if (chunk->batch->state == BATCH_CANCELLED && get_n_unreported (chunk) > 0)
    flag_running_task (scheduler, chunk);

  review_cancel (scheduler, worker, scheduler->now);
  update_lists (scheduler, worker, FALSE);
}

/* The worker died in the middle of this task. */
static void
end_interrupted_task (WpScheduler *scheduler, const Chunk *chunk, guint offset)
{
  TaskRange range = { chunk->first + offset, 1, chunk->attempt };

  /* The signal was meant for another batch's task. */
  if (chunk->worker->state == WORKER_DOOMED)
    {
      put_back (scheduler, chunk->batch, range.first, 1, range.attempt);
    }
  else if (chunk->batch->state == BATCH_CANCELLED || range.attempt < chunk->batch->plan.max_retries)
    {
      put_back (scheduler, chunk->batch, range.first, 1, range.attempt + 1);
    }
  else
    {
      scheduler->n_idle_deaths = 0;
      fail_tasks (scheduler, chunk->batch, &range, WP_FAIL_WORKER_DIED, chunk->worker->id);
    }
}

/* Newest chunk and last task first: each is put before the one that came after it. */
static void
give_up_chunks (WpScheduler *scheduler, Worker *worker, const Chunk *interrupted, guint offset)
{
  while (worker->chunks.tail != NULL)
    {
      Chunk *chunk = worker->chunks.tail->data;
      guint end = chunk->n_tasks;

      if (chunk == interrupted)
        {
          put_back (scheduler, chunk->batch, chunk->first + offset + 1, end - offset - 1, chunk->attempt);
          end_interrupted_task (scheduler, chunk, offset);
          end = offset;
        }

      put_back (scheduler, chunk->batch, chunk->first + chunk->n_results, end - chunk->n_results, chunk->attempt);
      remove_chunk (scheduler, chunk);
    }
}

static void
count_failed_start (WpScheduler *scheduler, gint64 now)
{
  scheduler->n_failed_starts++;
  scheduler->start_retry_at = add_time (now, WP_START_RETRY_NS);

  if (scheduler->n_in_state[WORKER_READY] > 0 || scheduler->n_failed_starts < WP_MAX_FAILED_STARTS)
    return;

  scheduler->n_failed_starts = 0;
  fail_all_pending (scheduler, WP_FAIL_NO_WORKER);
}

static void
count_idle_death (WpScheduler *scheduler)
{
  if (++scheduler->n_idle_deaths < WP_MAX_IDLE_DEATHS)
    return;

  scheduler->n_idle_deaths = 0;
  fail_all_pending (scheduler, WP_FAIL_NO_WORKER);
}

void
wp_scheduler_worker_gone (WpScheduler *scheduler,
                          guint        worker_id,
                          gboolean     running,
                          guint64      sequence,
                          guint        offset,
                          gint64       now)
{
  Worker *worker = get_worker (scheduler, worker_id);
  WorkerState state = worker->state;
  Chunk *interrupted = running ? find_chunk (worker, sequence) : NULL;

  g_assert (state != WORKER_ABSENT);

  if (interrupted != NULL && (offset < interrupted->n_results || offset >= interrupted->n_tasks))
    interrupted = NULL;
  running = interrupted != NULL;

  give_up_chunks (scheduler, worker, interrupted, offset);

  set_worker_state (scheduler, worker, WORKER_ABSENT);
  leave_list (&worker->deadline_link, &worker->deadlines);
  update_lists (scheduler, worker, FALSE);

  if (state == WORKER_STARTING)
    count_failed_start (scheduler, now);
  else if (state == WORKER_READY && !running)
    count_idle_death (scheduler);
}

guint
wp_scheduler_get_held (WpScheduler *scheduler, guint worker_id, WpHeldChunk *held, guint n_held)
{
  Worker *worker = get_worker (scheduler, worker_id);
  guint n_filled = 0;

  for (GList *l = worker->chunks.head; l != NULL && n_filled < n_held; l = l->next)
    {
      Chunk *chunk = l->data;

      held[n_filled++] = (WpHeldChunk) { chunk->sequence, chunk->n_tasks, chunk->n_results };
    }

  return worker->chunks.length;
}

guint
wp_scheduler_get_n_workers (WpScheduler *scheduler)
{
  return scheduler->n_in_state[WORKER_READY];
}

guint
wp_scheduler_get_n_busy (WpScheduler *scheduler)
{
  return scheduler->n_busy;
}

guint64
wp_scheduler_get_n_queued (WpScheduler *scheduler)
{
  return scheduler->n_pending;
}

guint64
wp_scheduler_get_n_active (WpScheduler *scheduler)
{
  return scheduler->n_active;
}

guint
wp_scheduler_get_chunk_size (WpScheduler *scheduler, WpSchedulerBatch *batch)
{
  return get_useful_chunk_size (batch);
}
