/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scheduler-model-rest.h"

#include <unistd.h>

/* Random histories of a scheduler, beside a model that says at each step whether it does right.
 *
 * WP_HISTORIES: how many. WP_SEED: of all of them. WP_HISTORY: the only one to run, told step by
 * step. */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
#define N_HISTORIES 20000
#else
#define N_HISTORIES 100000
#endif

/* A worker that lives for one task makes three of them, and a task may run four times. */
#define MAX_ROUNDS (4 * 4 * MAX_BATCHES * MAX_TASKS)

static char replay_hint[128];

static void
on_abort (int signal_number)
{
  if (write (STDERR_FILENO, replay_hint, strlen (replay_hint)) < 0)
    _exit (1);

  signal (signal_number, SIG_DFL);
  raise (signal_number);
}

static Batch *
pick_batch (Model *model, gboolean open)
{
  Batch *batch;

  if (model->n_batches == 0)
    return NULL;

  batch = &model->batches[pick (model, model->n_batches)];
  if (batch->ended || (open && (batch->closed || batch->cancelled)))
    return NULL;

  return batch;
}

static Worker *
pick_worker (Model *model, guint state)
{
  guint first = pick (model, model->config.n_jobs);

  for (guint i = 0; i < model->config.n_jobs; i++)
    {
      Worker *worker = &model->workers[(first + i) % model->config.n_jobs];

      if (worker->state == state)
        return worker;
    }

  return NULL;
}

static void
add_batch (Model *model)
{
  static const char *const functions[N_FUNCTIONS] = { "resize", "hash", "package.module:parse" };
  static const gint64 retry_delays[] = { 0, 0, 1, 300000, 1000000000, G_MAXINT64 };
  static const double retry_backoffs[] = { 0, 1, 2, 1e300 };
  guint id = 0;
  Batch *batch;

  while (id < model->n_batches && !model->batches[id].ended)
    id++;
  if (model->draining || id == MAX_BATCHES)
    return;

  model->n_batches = MAX (model->n_batches, id + 1);
  batch = &model->batches[id];
  memset (batch, 0, G_STRUCT_OFFSET (Batch, tasks));
  batch->pending_head = 0;
  batch->n_pending = 0;
  batch->function = pick (model, N_FUNCTIONS);
  batch->plan = (WpBatchPlan){
    .tag = batch,
    .function = functions[batch->function],
    .priority = chance (model, 128) ? 0 : (int) pick (model, 5) - 2,
    .chunk_size = chance (model, 128) ? 0 : 1 + pick (model, 12),
    .n_splits = chance (model, 64) ? 1 + pick (model, 20) : 0,
    .n_total = chance (model, 128) ? pick (model, 100) : 0,
    .max_retries = chance (model, 128) ? 0 : pick (model, 4),
    .retry_delay = retry_delays[pick (model, G_N_ELEMENTS (retry_delays))],
    .retry_backoff = retry_backoffs[pick (model, G_N_ELEMENTS (retry_backoffs))],
    .first_worker = chance (model, 128) ? 0 : pick (model, model->config.n_jobs),
    .keep_workers = chance (model, 160),
  };
  batch->handle = wp_scheduler_add_batch (model->scheduler, &batch->plan);
  tell (model,
        "batch %u: priority %d, chunk size %u, splits %u of %" G_GUINT64_FORMAT ", retries %u\n",
        id, batch->plan.priority, batch->plan.chunk_size, batch->plan.n_splits, batch->plan.n_total,
        batch->plan.max_retries);
}

static void
push (Model *model)
{
  Batch *batch = pick_batch (model, TRUE);
  guint n_tasks = pick (model, chance (model, 40) ? MAX_TASKS : 17);

  if (batch == NULL || model->draining)
    return;

  n_tasks = MIN (n_tasks, MAX_TASKS - batch->n_pushed);
  tell (model, "batch %zu: push %u\n", (gsize) (batch - model->batches), n_tasks);
  if (n_tasks > 0 && model->n_pending == 0 && count_serving (model) == 0 &&
      count_starting (model) == 0)
    model->n_failed_starts = 0;

  wp_scheduler_push (model->scheduler, batch->handle, n_tasks);
  model->had_active |= n_tasks > 0;
  for (guint i = 0; i < n_tasks; i++)
    {
      batch->tasks[batch->n_pushed] = (Task){ .state = TASK_ENDED };
      set_pending (model, batch, batch->n_pushed++, 0, FALSE);
    }
}

static void
close_batch (Model *model, Batch *batch)
{
  tell (model, "batch %zu: close\n", (gsize) (batch - model->batches));
  batch->closed = TRUE;
  wp_scheduler_close (model->scheduler, batch->handle);
}

static void
cancel_batch (Model *model, Batch *batch)
{
  tell (model, "batch %zu: cancel\n", (gsize) (batch - model->batches));

  /* Closed, with all its tasks ended: it has ended, though nobody has heard of it. */
  if (!batch->cancelled && !(batch->closed && has_ended (batch)))
    {
      batch->cancelled = TRUE;
      batch->cancelled_at = model->now;
      fail_pending (model, batch, WP_FAIL_CANCELLED);
      fail_waiting (model, batch, WP_FAIL_CANCELLED);
    }
  wp_scheduler_cancel (model->scheduler, batch->handle, model->now);
}

static void
pass_time (Model *model)
{
  gint64 deadline = wp_scheduler_get_deadline (model->scheduler);

  if (deadline < G_MAXINT64 && chance (model, 160))
    model->now = MAX (model->now, deadline);
  else
    model->now += random_bits (model) %
                  (chance (model, 128) ? 5000000 : G_GINT64_CONSTANT (2000000000));

  tell (model, "now %" G_GINT64_FORMAT "\n", model->now);
}

static void
drain (Model *model)
{
  tell (model, "drain\n");
  model->draining = TRUE;
  for (guint i = 0; i < model->n_batches; i++)
    model->batches[i].closed = TRUE;
  wp_scheduler_drain (model->scheduler);
}

static void
terminate (Model *model)
{
  tell (model, "terminate\n");
  model->draining = TRUE;
  model->terminated = TRUE;

  for (guint i = 0; i < model->n_batches; i++)
    {
      Batch *batch = &model->batches[i];

      batch->closed = TRUE;
      fail_pending (model, batch, WP_FAIL_TERMINATED);
      fail_waiting (model, batch, WP_FAIL_TERMINATED);
      for (guint j = 0; j < batch->n_pushed; j++)
        {
          if (batch->tasks[j].state == TASK_HELD)
            set_failing (model, &batch->tasks[j], WP_FAIL_TERMINATED);
        }
    }

  for (guint i = 0; i < model->config.n_jobs; i++)
    {
      if (model->workers[i].state != GONE)
        model->workers[i].killed = SIGKILL;
    }

  wp_scheduler_terminate (model->scheduler);
}

/* A worker says what it cannot say: refused, and nothing has changed. */
static void
break_protocol (Model *model)
{
  guint id = pick (model, model->config.n_jobs);
  Worker *worker = &model->workers[id];
  guint64 n_queued = wp_scheduler_get_n_queued (model->scheduler);
  guint64 n_active = wp_scheduler_get_n_active (model->scheduler);
  gint64 deadline = wp_scheduler_get_deadline (model->scheduler);
  gboolean salvaging = chance (model, 64);
  WpResultsRange range;
  Chunk *chunk;
  guint n_left;

  if (model->terminated)
    return;

  expect (!wp_scheduler_results (model->scheduler, id, model->last_sequence + 1 + pick (model, 50),
                                 pick (model, 3), pick (model, 3), 5, chance (model, 128),
                                 salvaging, model->now, &range));

  if (worker->n_chunks > 0)
    {
      chunk = &worker->chunks[pick (model, worker->n_chunks)];
      n_left = chunk->end - chunk->n_reported;

      expect (!wp_scheduler_results (model->scheduler, id, chunk->sequence,
                                     chunk->n_reported + 1 + pick (model, 3), pick (model, 3), 5,
                                     chance (model, 128), salvaging, model->now, &range));
      expect (!wp_scheduler_results (
          model->scheduler, id, chunk->sequence, chunk->n_reported,
          n_left + 1 + (chance (model, 128) ? pick (model, 3) : G_MAXUINT - n_left - 1), 5,
          chance (model, 128), salvaging, model->now, &range));
      if (chunk->n_reported > 0)
        expect (!wp_scheduler_results (model->scheduler, id, chunk->sequence, chunk->n_reported - 1,
                                       1, 5, FALSE, FALSE, model->now, &range));
      if (n_left > 0)
        expect (!wp_scheduler_results (model->scheduler, id, chunk->sequence, chunk->n_reported,
                                       pick (model, n_left), 5, TRUE, salvaging, model->now,
                                       &range));
    }

  expect_same_held (model, worker);
  expect (wp_scheduler_get_n_queued (model->scheduler) == n_queued);
  expect (wp_scheduler_get_n_active (model->scheduler) == n_active);
  expect (wp_scheduler_get_deadline (model->scheduler) == deadline);
}

static void
retire (Model *model, Worker *worker)
{
  tell (model, "worker %zu: retire\n", (gsize) (worker - model->workers));
  worker->retired |= is_serving (worker);
  wp_scheduler_retire_worker (model->scheduler, worker - model->workers);
}

enum
{
  EVENT_ADD_BATCH,
  EVENT_PUSH,
  EVENT_CLOSE,
  EVENT_READY,
  EVENT_START_FAILS,
  EVENT_RUN,
  EVENT_REPORT,
  EVENT_DEATH,
  EVENT_CANCEL,
  EVENT_TIME,
  EVENT_START,
  EVENT_DRAIN,
  EVENT_TERMINATE,
  EVENT_BREAK_PROTOCOL,
  EVENT_RETIRE,
  N_EVENTS
};

/* How often each happens in a usual history, against the others. */
static const guint event_weights[N_EVENTS] = { 10, 40, 3, 30, 3, 60, 40, 6, 3, 12, 1, 0, 0, 3, 2 };

static void
happen (Model *model, guint event)
{
  Worker *worker;
  Batch *batch;

  switch (event)
    {
    case EVENT_ADD_BATCH:
      add_batch (model);
      break;

    case EVENT_PUSH:
      push (model);
      break;

    case EVENT_CLOSE:
      if ((batch = pick_batch (model, FALSE)) != NULL)
        close_batch (model, batch);
      break;

    case EVENT_READY:
      if ((worker = pick_worker (model, STARTING)) != NULL)
        become_ready (model, worker);
      break;

    case EVENT_START_FAILS:
      if ((worker = pick_worker (model, STARTING)) != NULL)
        die (model, worker);
      break;

    case EVENT_RUN:
      worker = pick_worker (model, READY);
      for (guint i = pick (model, 5) + 1; worker != NULL && i > 0; i--)
        run_step (worker);
      break;

    case EVENT_REPORT:
      if ((worker = pick_worker (model, READY)) != NULL)
        report_some (model, worker, FALSE);
      break;

    case EVENT_DEATH:
      if ((worker = pick_worker (model, READY)) == NULL)
        break;
      if (!worker->running && chance (model, 160))
        run_step (worker);
      die (model, worker);
      break;

    case EVENT_CANCEL:
      if ((batch = pick_batch (model, FALSE)) != NULL)
        cancel_batch (model, batch);
      break;

    case EVENT_TIME:
      pass_time (model);
      break;

    case EVENT_START:
      wp_scheduler_start (model->scheduler);
      for (guint i = 0; i < model->config.n_jobs && !model->draining; i++)
        model->n_starts_due += model->workers[i].state == GONE;
      pump (model);
      for (guint i = 0; i < model->config.n_jobs; i++)
        expect (model->workers[i].state != GONE || model->draining || model->launch_failures > 0 ||
                model->send_failures > 0);
      break;

    case EVENT_DRAIN:
      drain (model);
      break;

    case EVENT_TERMINATE:
      terminate (model);
      break;

    case EVENT_BREAK_PROTOCOL:
      break_protocol (model);
      break;

    case EVENT_RETIRE:
      if ((worker = pick_worker (model, READY)) != NULL)
        retire (model, worker);
      break;

    default:
      g_assert_not_reached ();
    }
}

static void
happen_randomly (Model *model, guint n_events)
{
  guint weights[N_EVENTS];
  guint total = 0;

  /* Each history has its own temper: some events never happen in it, some all the time. */
  for (guint i = 0; i < N_EVENTS; i++)
    {
      weights[i] = (event_weights[i] * (1u << pick (model, 5))) >> (chance (model, 40) ? 8 : 2);
      total += weights[i];
    }
  if (chance (model, 40))
    {
      weights[EVENT_DRAIN] = 1 + total / 100;
      total += weights[EVENT_DRAIN];
    }
  if (chance (model, 40))
    {
      weights[EVENT_TERMINATE] = 1 + total / 100;
      total += weights[EVENT_TERMINATE];
    }
  weights[EVENT_ADD_BATCH]++;
  total++;

  for (guint i = 0; i < n_events && model->n_stopped == 0; i++)
    {
      guint at = pick (model, total);
      guint event = 0;

      while (at >= weights[event])
        at -= weights[event++];

      happen (model, event);
      model->now += random_bits (model) % 300000;

      /* Its caller may have more than one event to tell before it asks. */
      if (!chance (model, 30))
        pump (model);
    }
}

/* From here on a worker does what was asked, to the end; TRUE when it moved. A hung one moves only
 * for a signal. */
static gboolean
wind_down_worker (Model *model, Worker *worker, gboolean hung)
{
  if (worker->state == GONE)
    return FALSE;

  if (worker->killed == SIGKILL || (!hung && (worker->killed != 0 || worker->asked_to_stop)))
    {
      die (model, worker);
      return TRUE;
    }

  if (worker->state == STARTING)
    {
      become_ready (model, worker);
      return TRUE;
    }

  if (worker->n_chunks == 0 || hung)
    return FALSE;

  while (run_step (worker))
    continue;
  while (report_some (model, worker, TRUE))
    continue;

  return TRUE;
}

static gboolean
is_over (const Model *model)
{
  if (model->draining)
    return model->n_stopped > 0;

  for (guint i = 0; i < model->n_batches; i++)
    {
      if (!model->batches[i].ended)
        return FALSE;
    }

  return TRUE;
}

/* Goes on until nothing can move any more; hung: a bit for each worker. */
static void
wind_down (Model *model, guint hung)
{
  gboolean moved = TRUE;

  pump (model);

  for (guint n_rounds = 0; moved && !is_over (model); n_rounds++)
    {
      moved = FALSE;
      for (guint i = 0; i < model->config.n_jobs; i++)
        {
          moved |= wind_down_worker (model, &model->workers[i], (hung & (1u << i)) != 0);
          pump (model);
        }

      if (!moved && !is_over (model) && wp_scheduler_get_deadline (model->scheduler) < G_MAXINT64)
        {
          model->now = wp_scheduler_get_deadline (model->scheduler);
          moved = TRUE;
          pump (model);
        }

      expect (n_rounds < MAX_ROUNDS);
    }
}

/* One worker hangs; what it has not started must end all the same. */
static void
wind_down_beside_hung_worker (Model *model)
{
  guint id = pick (model, model->config.n_jobs);
  Worker *worker = &model->workers[id];

  wind_down (model, 1u << id);

  /* A worker that lied about what it can give back is not asked again until it reports. */
  if (!model->honest || model->config.order_tasks || !worker->can_recall || count_serving (model) < 2)
    return;

  for (guint i = 0; i < worker->n_chunks; i++)
    {
      Chunk *chunk = &worker->chunks[i];

      if (chunk == get_current_chunk (worker))
        expect (MAX (chunk->n_claimed, chunk->n_reported + 1) == chunk->end);
      else
        expect (chunk->n_claimed == chunk->end);
    }
  expect (model->n_pending == 0);
}

static void
end_history (Model *model)
{
  gboolean cancel = chance (model, 64);

  for (guint i = 0; i < model->n_batches; i++)
    {
      Batch *batch = &model->batches[i];

      if (!batch->ended && cancel)
        cancel_batch (model, batch);
      else if (!batch->ended)
        close_batch (model, batch);
    }
  pump (model);

  model->launch_failures = 0;
  model->send_failures = 0;
  if (!cancel && chance (model, 64))
    wind_down_beside_hung_worker (model);

  /* Cancelled tasks end even when no worker cooperates. */
  wind_down (model, cancel ? G_MAXUINT : 0);
  expect (is_over (model));

  if (model->n_stopped > 0)
    return;

  if (chance (model, 128))
    drain (model);
  else
    terminate (model);
  wind_down (model, chance (model, 128) ? G_MAXUINT : 0);
}

static void
live_through_history (Model *model)
{
  static const guint64 run_times[] = { 1, 2000, 100000, 3000000, G_GUINT64_CONSTANT (60000000000) };
  guint n_events;

  model->config = (WpSchedulerConfig){
    .n_jobs = 1 + pick (model, MAX_JOBS),
    .depth = 1 + pick (model, WP_MAX_DEPTH),
    .cancel_grace = chance (model, 16) ? 0 : random_bits (model) % 500000000,
    .stop_grace = chance (model, 16) ? 0 : random_bits (model) % 500000000,
    .lifespan = chance (model, 192) ? 0 : 1 + pick (model, chance (model, 128) ? 3 : 40),
    .idle_timeout = chance (model, 192) ? 0 : 1 + random_bits (model) % 500000000,
    .order_tasks = chance (model, 80),
    .min_workers = chance (model, 128) ? 0 : pick (model, MAX_JOBS + 2),
  };
  model->scheduler = wp_scheduler_new (&model->config);
  model->now = random_bits (model) % 1000000000;
  model->honest = chance (model, 128);
  model->retry_failures = chance (model, 100) ? pick (model, 200) : 0;
  model->launch_failures = chance (model, 32) ? pick (model, 256) : 0;
  model->send_failures = chance (model, 32) ? pick (model, 64) : 0;
  for (guint i = 0; i < N_FUNCTIONS; i++)
    model->run_time[i] = run_times[pick (model, G_N_ELEMENTS (run_times))];

  n_events = 5 + pick (model, 1 + pick (model, 196));
  happen_randomly (model, n_events);

  /* Freed in the middle of everything: only for the sanitizers to look at. */
  if (chance (model, 4))
    {
      wp_scheduler_free (model->scheduler);
      return;
    }

  if (model->n_stopped == 0)
    end_history (model);

  expect (model->n_stopped == 1 && model->n_active == 0);
  for (guint i = 0; i < model->n_batches; i++)
    expect (model->batches[i].ended && has_ended (&model->batches[i]));

  wp_scheduler_free (model->scheduler);
}

static guint64
get_number (const char *variable, guint64 otherwise)
{
  const char *value = g_getenv (variable);

  return value != NULL ? g_ascii_strtoull (value, NULL, 0) : otherwise;
}

static void
test_histories (void)
{
  guint64 seed = get_number ("WP_SEED", (guint32) g_test_rand_int ());
  guint64 only = get_number ("WP_HISTORY", G_MAXUINT64);
  guint64 first = only == G_MAXUINT64 ? 0 : only;
  guint64 n_histories = only == G_MAXUINT64 ? get_number ("WP_HISTORIES", N_HISTORIES) : 1;
  g_autofree Model *model = g_new (Model, 1);

  signal (SIGABRT, on_abort);
  signal (SIGTRAP, on_abort);
  signal (SIGSEGV, on_abort);
  g_test_message ("WP_SEED=%" G_GUINT64_FORMAT, seed);

  for (guint64 i = first; i < first + n_histories; i++)
    {
      g_snprintf (replay_hint, sizeof replay_hint,
                  "# replay with WP_SEED=%" G_GUINT64_FORMAT " WP_HISTORY=%" G_GUINT64_FORMAT "\n",
                  seed, i);
      memset (model, 0, G_STRUCT_OFFSET (Model, batches));
      model->random = seed * G_GUINT64_CONSTANT (0xd1342543de82ef95) +
                      i * G_GUINT64_CONSTANT (0x2545f4914f6cdd1d);
      model->verbose = only != G_MAXUINT64;
      live_through_history (model);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/scheduler/histories/every-task-ends-once", test_histories);

  return g_test_run ();
}
