/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-chunk-sizer.h"
#include "pool/wp-scheduler.h"

#include <signal.h>
#include <string.h>

/* A scheduler's world in the simplest form: each task has a state, each batch a queue of tasks,
 * each worker claims, runs and reports one task after the other. The model knows after each event
 * what the scheduler may do next, and what it must have done before it says that there is nothing
 * to do. */

#define MAX_JOBS    6
#define MAX_BATCHES 6
#define MAX_TASKS   256 /* of a batch */
#define MAX_ACTIONS 20000
#define N_FUNCTIONS 3

typedef enum
{
  TASK_PENDING,
  TASK_HELD,
  TASK_WAITING, /* to run again when 'due' */
  TASK_FAILING, /* FAIL_TASKS is to come */
  TASK_ENDED,
} TaskState;

typedef struct
{
  TaskState state;
  WpFailReason reason; /* while failing */
  guint worker;        /* while held, or of which it died */
  guint attempt;
  guint group; /* of those that run again, one group travels together */
  gint64 due;  /* while waiting */
  gboolean was_sent;
} Task;

typedef struct
{
  WpSchedulerBatch *handle;
  WpBatchPlan plan;
  guint function;
  gboolean closed;
  gboolean cancelled;
  gint64 cancelled_at;
  gboolean ended;
  guint n_pushed;
  Task tasks[MAX_TASKS];
  guint16 pending[MAX_TASKS]; /* a ring, in the order of hand-out */
  guint pending_head;
  guint n_pending;
} Batch;

typedef struct
{
  guint64 sequence;
  Batch *batch;
  guint first;
  guint end; /* tasks less what was recalled */
  guint attempt;
  guint n_claimed;
  guint n_reported;
  gboolean refused;
} Chunk;

typedef struct
{
  enum
  {
    GONE,
    STARTING,
    READY
  } state;
  gboolean can_recall;
  gboolean running; /* the last task it claimed */
  gboolean dead;    /* and the scheduler knows it from what was salvaged */
  gboolean asked_to_stop;
  gint64 stop_asked_at;
  int killed; /* the last signal */
  gint64 killed_at;
  gint64 since; /* last given something, or reported */
  gboolean retired;
  guint n_given;
  gint64 idle_since; /* 0: it was not idle at the last rest */
  guint64 finished_sequence;
  guint n_chunks;
  Chunk chunks[WP_MAX_DEPTH];
} Worker;

typedef struct
{
  guint64 random;
  gboolean verbose;
  WpScheduler *scheduler;
  WpSchedulerConfig config;
  gint64 now;
  guint64 last_sequence;
  guint n_batches;
  guint n_order;
  guint n_levels;
  int levels[MAX_BATCHES]; /* their priorities, served longest ago first */
  guint n_overtaking;
  guint order[MAX_BATCHES]; /* batches with pending tasks, in the order of their turns */
  gboolean measured[N_FUNCTIONS];
  guint64 run_time[N_FUNCTIONS];
  guint group;
  guint retry_failures; /* in 256: a result that lets its task run again */
  guint n_waiting;
  guint n_starts_due; /* of an explicit start, still to be heard of */
  guint n_failed_starts;
  guint n_idle_deaths;
  guint n_failing;
  guint n_pending;
  guint n_active;
  gboolean had_active;
  gboolean draining;
  gboolean terminated;
  guint n_stopped;
  gboolean pumping;
  gboolean honest;       /* workers give back all they can */
  guint launch_failures; /* in 256: a launch that fails at once */
  guint send_failures;   /* … a send that meets a dead worker */
  guint n_failed_starts_of[MAX_JOBS]; /* where tasks are ordered */
  Worker workers[MAX_JOBS];
  Batch batches[MAX_BATCHES];
} Model;

#define expect(condition)                                                                          \
  G_STMT_START                                                                                     \
  {                                                                                                \
    if (G_UNLIKELY (!(condition)))                                                                 \
      g_error ("line %d: expected %s", __LINE__, #condition);                                      \
  }                                                                                                \
  G_STMT_END

#define tell(model, ...)                                                                           \
  G_STMT_START                                                                                     \
  {                                                                                                \
    if (G_UNLIKELY ((model)->verbose))                                                             \
      g_printerr (__VA_ARGS__);                                                                    \
  }                                                                                                \
  G_STMT_END

/* splitmix64: each seed gives an independent stream. */
static guint64
random_bits (Model *model)
{
  guint64 z = model->random += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);

  return z ^ (z >> 31);
}

/* 0 … n - 1 */
static guint
pick (Model *model, guint n)
{
  return (random_bits (model) >> 32) % n;
}

static gboolean
chance (Model *model, guint in_256)
{
  return pick (model, 256) < in_256;
}

/* Tasks. */

static void
set_task (Model *model, Task *task, TaskState state)
{
  model->n_pending -= task->state == TASK_PENDING;
  model->n_waiting -= task->state == TASK_WAITING;
  model->n_active -= task->state == TASK_PENDING || task->state == TASK_HELD || task->state == TASK_WAITING;
  model->n_failing -= task->state == TASK_FAILING;
  task->state = state;
  model->n_pending += state == TASK_PENDING;
  model->n_waiting += state == TASK_WAITING;
  model->n_active += state == TASK_PENDING || state == TASK_HELD || state == TASK_WAITING;
  model->n_failing += state == TASK_FAILING;
}

static void
set_failing (Model *model, Task *task, WpFailReason reason)
{
  set_task (model, task, TASK_FAILING);
  task->reason = reason;
}

/* A priority that has pending tasks is served last of all, or one that has none any more not at all. */
static void
update_level (Model *model, int priority, gboolean served)
{
  gboolean is_ready = FALSE;
  gboolean was_ready = FALSE;

  for (guint i = 0; i < model->n_order; i++)
    is_ready |= model->batches[model->order[i]].plan.priority == priority;
  for (guint i = 0; i < model->n_levels; i++)
    was_ready |= model->levels[i] == priority;

  for (guint i = 0; i < model->n_levels && (served || !is_ready); i++)
    {
      if (model->levels[i] != priority)
        continue;
      memmove (&model->levels[i], &model->levels[i + 1], (model->n_levels - i - 1) * sizeof model->levels[0]);
      model->n_levels--;
      break;
    }
  if (is_ready && (served || !was_ready))
    model->levels[model->n_levels++] = priority;
}

static void
leave_order (Model *model, Batch *batch)
{
  guint id = batch - model->batches;

  for (guint i = 0; i < model->n_order; i++)
    {
      if (model->order[i] == id)
        {
          memmove (&model->order[i], &model->order[i + 1],
                   (model->n_order - i - 1) * sizeof model->order[0]);
          model->n_order--;
          update_level (model, batch->plan.priority, FALSE);
          return;
        }
    }
}

static void
join_order (Model *model, Batch *batch)
{
  model->order[model->n_order++] = batch - model->batches;
  update_level (model, batch->plan.priority, FALSE);
}

static void
set_pending (Model *model, Batch *batch, guint index, guint attempt, gboolean front)
{
  Task *task = &batch->tasks[index];
  guint position;

  task->group = model->group;
  if (model->config.order_tasks)
    {
      set_task (model, task, TASK_PENDING);
      task->attempt = attempt;
      return;
    }

  expect (batch->n_pending < MAX_TASKS);
  if (batch->n_pending == 0)
    join_order (model, batch);

  if (front)
    position = batch->pending_head = (batch->pending_head + MAX_TASKS - 1) % MAX_TASKS;
  else
    position = (batch->pending_head + batch->n_pending) % MAX_TASKS;

  batch->pending[position] = index;
  batch->n_pending++;
  set_task (model, task, TASK_PENDING);
  task->attempt = attempt;
}

/* Whom an ordered task is for. */
static guint
get_owner (const Model *model, const Batch *batch, guint index)
{
  guint64 stride = 1;

  if (batch->plan.chunk_size > 0)
    stride = batch->plan.chunk_size;
  else if (batch->plan.n_total > 0)
    stride = wp_chunk_size_split (batch->plan.n_total, batch->plan.n_splits > 0 ? batch->plan.n_splits
                                                                                : 64 * model->config.n_jobs);

  return (index / stride + batch->plan.first_worker) % model->config.n_jobs;
}

static guint
count_bound (const Model *model, guint worker)
{
  guint n = 0;

  for (guint i = 0; i < model->n_batches && model->n_pending > 0; i++)
    {
      const Batch *batch = &model->batches[i];

      for (guint j = 0; j < batch->n_pushed; j++)
        n += batch->tasks[j].state == TASK_PENDING && get_owner (model, batch, j) == worker;
    }

  return n;
}

static void
put_back (Model *model, Batch *batch, guint index, guint attempt)
{
  if (batch->cancelled)
    set_failing (model, &batch->tasks[index], WP_FAIL_CANCELLED);
  else
    set_pending (model, batch, index, attempt, TRUE);
}

static gint64
get_retry_delay (const WpBatchPlan *plan, guint attempt)
{
  double delay = plan->retry_delay;

  for (guint i = 1; i < attempt && plan->retry_backoff > 1; i++)
    delay *= plan->retry_backoff;

  return MIN (delay, (double) WP_MAX_RETRY_DELAY_NS);
}

/* Runs again, at once or later, with the others of the model's group. */
static void
retry (Model *model, Batch *batch, guint index, guint attempt)
{
  gint64 delay = get_retry_delay (&batch->plan, attempt);
  Task *task = &batch->tasks[index];

  if (delay == 0 || batch->cancelled)
    {
      put_back (model, batch, index, attempt);
      return;
    }

  expect (attempt <= batch->plan.max_retries);
  set_task (model, task, TASK_WAITING);
  task->attempt = attempt;
  task->group = model->group;
  task->due = model->now + delay;
}

static void
fail_waiting (Model *model, Batch *batch, WpFailReason reason)
{
  for (guint i = 0; i < batch->n_pushed; i++)
    {
      if (batch->tasks[i].state == TASK_WAITING)
        set_failing (model, &batch->tasks[i], reason);
    }
}

static void
fail_pending (Model *model, Batch *batch, WpFailReason reason)
{
  for (guint i = 0; i < batch->n_pushed && model->config.order_tasks; i++)
    {
      if (batch->tasks[i].state == TASK_PENDING)
        set_failing (model, &batch->tasks[i], reason);
    }

  if (batch->n_pending == 0)
    return;

  for (guint i = 0; i < batch->n_pending; i++)
    set_failing (model, &batch->tasks[batch->pending[(batch->pending_head + i) % MAX_TASKS]],
                 reason);

  batch->n_pending = 0;
  leave_order (model, batch);
}

static void
fail_all_pending (Model *model, WpFailReason reason)
{
  for (guint i = 0; i < model->n_batches; i++)
    fail_pending (model, &model->batches[i], reason);
}

static gboolean
has_ended (const Batch *batch)
{
  for (guint i = 0; i < batch->n_pushed; i++)
    {
      if (batch->tasks[i].state != TASK_ENDED)
        return FALSE;
    }

  return TRUE;
}

/* Workers. */

static gboolean
is_serving (const Worker *worker)
{
  return worker->state == READY && !worker->asked_to_stop && worker->killed == 0;
}

static guint
count_serving (const Model *model)
{
  guint n = 0;

  for (guint i = 0; i < model->config.n_jobs; i++)
    n += is_serving (&model->workers[i]);

  return n;
}

static guint
count_starting (const Model *model)
{
  guint n = 0;

  for (guint i = 0; i < model->config.n_jobs; i++)
    n += model->workers[i].state == STARTING && model->workers[i].killed == 0;

  return n;
}

static gboolean
is_idle (const Worker *worker)
{
  return is_serving (worker) && worker->n_chunks == 0 && !worker->dead;
}

/* How many tasks it may still be given. */
static guint
count_room (const Model *model, const Worker *worker)
{
  if (worker->retired)
    return 0;

  return model->config.lifespan == 0 ? G_MAXUINT : model->config.lifespan - worker->n_given;
}

static gboolean
is_any_idle (const Model *model)
{
  for (guint i = 0; i < model->config.n_jobs; i++)
    {
      if (is_idle (&model->workers[i]) && count_room (model, &model->workers[i]) > 0)
        return TRUE;
    }

  return FALSE;
}

static Chunk *
find_chunk (Worker *worker, guint64 sequence)
{
  for (guint i = 0; i < worker->n_chunks; i++)
    {
      if (worker->chunks[i].sequence == sequence)
        return &worker->chunks[i];
    }

  return NULL;
}

static Chunk *
get_current_chunk (Worker *worker)
{
  for (guint i = 0; i < worker->n_chunks; i++)
    {
      if (worker->chunks[i].n_reported < worker->chunks[i].end)
        return &worker->chunks[i];
    }

  return NULL;
}

static void
remove_chunk (Worker *worker, Chunk *chunk)
{
  guint position = chunk - worker->chunks;

  worker->finished_sequence = chunk->sequence;
  memmove (chunk, chunk + 1, (worker->n_chunks - position - 1) * sizeof *chunk);
  worker->n_chunks--;
}

/* The chunk of the last claim. */
static Chunk *
get_claimed_chunk (Worker *worker)
{
  Chunk *claimed = NULL;

  for (guint i = 0; i < worker->n_chunks; i++)
    {
      if (worker->chunks[i].n_claimed > 0)
        claimed = &worker->chunks[i];
    }

  return claimed;
}

static guint
count_finished (Worker *worker, const Chunk *chunk)
{
  return chunk->n_claimed - (worker->running && chunk == get_claimed_chunk (worker));
}

/* Finishes the running task or claims the next one; FALSE: there is none. */
static gboolean
run_step (Worker *worker)
{
  if (worker->running)
    {
      worker->running = FALSE;
      return TRUE;
    }

  for (guint i = 0; i < worker->n_chunks; i++)
    {
      Chunk *chunk = &worker->chunks[i];

      if (chunk->n_claimed < chunk->end)
        {
          chunk->n_claimed++;
          worker->running = TRUE;
          return TRUE;
        }
    }

  return FALSE;
}

static guint64
measure (Model *model, const Batch *batch, guint n_results)
{
  if (chance (model, 4))
    return chance (model, 128) ? G_MAXUINT64 : 0;

  return n_results * model->run_time[batch->function];
}

/* Tells the scheduler of results from 'offset' on, some of which it may have seen. */
static void
report (Model *model,
        Worker *worker,
        Chunk *chunk,
        guint offset,
        guint n_results,
        gboolean done,
        gboolean salvage)
{
  guint id = worker - model->workers;
  Batch *batch = chunk->batch;
  guint n_new = offset + n_results > chunk->n_reported ? offset + n_results - chunk->n_reported : 0;
  guint64 elapsed = measure (model, batch, n_results);
  gboolean may_retry = chunk->attempt < batch->plan.max_retries && !batch->cancelled &&
                       !model->terminated;
  guint failed[MAX_TASKS];
  guint n_failed = 0;
  WpResultsRange range;

  for (guint i = 0; i < n_results; i++)
    {
      if (chance (model, model->retry_failures))
        failed[n_failed++] = i;
    }

  tell (model, "worker %u: %sresults %" G_GUINT64_FORMAT ": %u + %u%s\n", id,
        salvage ? "salvaged " : "", chunk->sequence, offset, n_results, done ? ", done" : "");
  expect (wp_scheduler_results_with_retries (model->scheduler, id, chunk->sequence, offset, n_results,
                                             failed, n_failed, elapsed, done, salvage, model->now,
                                             &range));

  if (model->terminated)
    {
      expect (range.n_tasks == 0 && !range.deliver && !range.retried);
    }
  else
    {
      expect (range.n_tasks == n_new);
      expect (range.skip == n_results - n_new);
      expect (range.deliver == !batch->cancelled || n_new == 0);
      expect (n_new == 0 || range.tag == batch);
      expect (n_new == 0 || range.first == chunk->first + chunk->n_reported);

      expect (n_new == 0 || range.retried == (may_retry && n_failed > 0));

      model->group++;
      for (guint i = n_new; i-- > 0;)
        {
          Task *task = &batch->tasks[range.first + i];
          gboolean failing = n_failed > 0 && failed[n_failed - 1] == range.skip + i;

          expect (task->state == TASK_HELD && task->worker == id);
          n_failed -= failing;
          if (!failing || !may_retry)
            model->group++;
          if (failing && may_retry)
            retry (model, batch, range.first + i, chunk->attempt + 1);
          else if (range.deliver)
            set_task (model, task, TASK_ENDED);
          else
            set_failing (model, task, WP_FAIL_CANCELLED);
        }
    }

  if (n_new > 0)
    {
      model->n_idle_deaths = 0;
      model->measured[batch->function] |= !salvage && elapsed > 0;
      worker->since = model->now;
      chunk->refused = FALSE;
    }

  worker->dead |= salvage && !model->terminated;
  chunk->n_reported += n_new;
  if (done)
    remove_chunk (worker, chunk);
}

/* Reports something that has not been reported; FALSE: there is nothing. */
static gboolean
report_some (Model *model, Worker *worker, gboolean all)
{
  for (guint i = 0; i < worker->n_chunks; i++)
    {
      Chunk *chunk = &worker->chunks[i];
      guint n_results = count_finished (worker, chunk) - chunk->n_reported;
      gboolean complete;

      if (!all && n_results > 1)
        n_results = 1 + pick (model, n_results);

      complete = chunk->n_reported + n_results == chunk->end && chunk->n_claimed == chunk->end;
      if (n_results == 0 && !complete)
        continue;

      if (n_results > 0 && complete && !all && chance (model, 64))
        complete = FALSE;

      report (model, worker, chunk, chunk->n_reported, n_results, complete, FALSE);
      return TRUE;
    }

  return FALSE;
}

/* What the worker committed and did not send before it died; some of it may be lost. */
static void
salvage (Model *model, Worker *worker)
{
  WpResultsRange range;
  guint position = 0;

  if (worker->finished_sequence > 0 && !model->terminated && chance (model, 64))
    {
      expect (wp_scheduler_results (model->scheduler, worker - model->workers,
                                    worker->finished_sequence, 0, 3, 17, chance (model, 128), TRUE,
                                    model->now, &range));
      expect (range.n_tasks == 0);
      worker->dead = TRUE;
    }

  while (position < worker->n_chunks)
    {
      Chunk *chunk = &worker->chunks[position];
      guint n_finished = count_finished (worker, chunk);
      guint n_chunks = worker->n_chunks;
      guint offset;
      guint end;

      if (n_finished < chunk->n_reported || chance (model, 16))
        return;

      offset = pick (model, chunk->n_reported + 1);
      end = offset + pick (model, n_finished - offset + 1);
      if (!chance (model, 64))
        end = n_finished;

      report (model, worker, chunk, offset, end - offset,
              end == chunk->end && chunk->n_claimed == chunk->end && chance (model, 128), TRUE);

      if (end < n_finished)
        return;
      position += worker->n_chunks == n_chunks;
    }
}

static void
count_failed_start_of (Model *model, guint id)
{
  if (++model->n_failed_starts_of[id] < WP_MAX_FAILED_STARTS)
    return;

  model->n_failed_starts_of[id] = 0;
  for (guint i = 0; i < model->n_batches; i++)
    {
      Batch *batch = &model->batches[i];

      for (guint j = 0; j < batch->n_pushed; j++)
        {
          if (batch->tasks[j].state == TASK_PENDING && get_owner (model, batch, j) == id)
            set_failing (model, &batch->tasks[j], WP_FAIL_NO_WORKER);
        }
    }
}

static void
count_death (Model *model, const Worker *worker, guint id, gboolean running)
{
  if (worker->killed != 0 || worker->asked_to_stop)
    return;

  if (worker->state == STARTING && model->config.order_tasks)
    count_failed_start_of (model, id);

  if (worker->state == STARTING)
    {
      if (++model->n_failed_starts < WP_MAX_FAILED_STARTS || count_serving (model) > 0 ||
          count_starting (model) + model->n_starts_due > 0)
        return;
      model->n_failed_starts = 0;
    }
  else
    {
      if (running || ++model->n_idle_deaths < WP_MAX_IDLE_DEATHS)
        return;
      model->n_idle_deaths = 0;
    }

  fail_all_pending (model, WP_FAIL_NO_WORKER);
}

static void
interrupt (Model *model, Worker *worker, Chunk *chunk, guint index)
{
  Task *task = &chunk->batch->tasks[index];

  if (worker->killed != 0 || chunk->batch->cancelled)
    {
      put_back (model, chunk->batch, index, chunk->attempt);
    }
  else if (chunk->attempt < chunk->batch->plan.max_retries)
    {
      retry (model, chunk->batch, index, chunk->attempt + 1);
    }
  else
    {
      model->n_idle_deaths = 0;
      set_failing (model, task, WP_FAIL_WORKER_DIED);
      task->worker = worker - model->workers;
    }
}

static void pump (Model *model);

/* The worker's process is gone. */
static void
die (Model *model, Worker *worker)
{
  guint id = worker - model->workers;
  Chunk *claimed = NULL;
  gboolean running = FALSE;
  gboolean told = FALSE;
  guint64 sequence = random_bits (model) % 100;
  guint offset = pick (model, 100);
  Worker before;

  if (worker->state == READY)
    {
      salvage (model, worker);
      if (!model->pumping && chance (model, 64))
        pump (model);
      /* What was sent to it meanwhile may have found its end first. */
      if (worker->state == GONE)
        return;
      claimed = worker->running ? get_claimed_chunk (worker) : NULL;
    }

  /* A worker that broke the protocol may leave nonsense behind. */
  running = claimed != NULL;
  told = running;
  if (running && !chance (model, 8))
    {
      sequence = claimed->sequence;
      offset = claimed->n_claimed - 1;
    }
  else if (running || chance (model, 8))
    {
      running = FALSE;
      told = chance (model, 128);
      if (claimed != NULL && chance (model, 128))
        sequence = claimed->sequence;
      offset = sequence == 0 || claimed == NULL || chance (model, 128) ? G_MAXUINT
                                                                       : claimed->end + offset;
      if (claimed == NULL || sequence != claimed->sequence)
        sequence += model->last_sequence + 1;
    }

  tell (model, "worker %u: gone, %s %" G_GUINT64_FORMAT " + %u\n", id, told ? "running" : "idle",
        sequence, offset);

  for (guint i = worker->n_chunks; !model->terminated && i-- > 0;)
    {
      Chunk *chunk = &worker->chunks[i];

      model->group++;
      for (guint j = chunk->end; j-- > chunk->n_reported;)
        {
          if (running && chunk == claimed && j == offset)
            {
              model->group++;
              interrupt (model, worker, chunk, chunk->first + j);
              model->group++;
            }
          else
            put_back (model, chunk->batch, chunk->first + j, chunk->attempt);
        }
    }

  before = *worker;
  memset (worker, 0, sizeof *worker);
  count_death (model, &before, id, running);
  wp_scheduler_worker_gone (model->scheduler, id, told, sequence, offset, model->now);
}

static void
become_ready (Model *model, Worker *worker)
{
  tell (model, "worker %zu: ready\n", (gsize) (worker - model->workers));
  worker->state = READY;
  worker->can_recall = chance (model, 192);
  if (worker->killed == 0)
    {
      model->n_failed_starts = 0;
      model->n_failed_starts_of[worker - model->workers] = 0;
    }
  wp_scheduler_worker_ready (model->scheduler, worker - model->workers, worker->can_recall);
}
