/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-scheduler.h"

#include <signal.h>

/* What tests of the scheduler tell their stories with: each event, and the action that is expected next. */

#define MS    G_GINT64_CONSTANT (1000000)
#define GRACE (100 * MS)

typedef struct
{
  WpScheduler *scheduler;
  gint64 now;
} Fixture;

static inline void
set_up (Fixture *fixture, guint n_jobs, guint depth)
{
  WpSchedulerConfig config = { n_jobs, depth, .cancel_grace = GRACE, .stop_grace = 2 * GRACE };

  fixture->scheduler = wp_scheduler_new (&config);
  fixture->now = 7 * MS;
}

static inline void
tear_down (Fixture *fixture)
{
  g_clear_pointer (&fixture->scheduler, wp_scheduler_free);
}

static inline WpAction
expect_action (Fixture *fixture, WpActionType type)
{
  WpAction action;

  g_assert_true (wp_scheduler_next_action (fixture->scheduler, fixture->now, &action));
  g_assert_cmpint (action.type, ==, type);

  return action;
}

static inline WpAction
expect_chunk (Fixture *fixture, guint worker, guint64 first, guint n_tasks)
{
  WpAction action = expect_action (fixture, WP_ACTION_SEND_CHUNK);

  g_assert_cmpuint (action.worker, ==, worker);
  g_assert_cmpuint (action.first, ==, first);
  g_assert_cmpuint (action.n_tasks, ==, n_tasks);

  return action;
}

static inline void
expect_failure (Fixture *fixture, guint64 first, guint n_tasks, WpFailReason reason)
{
  WpAction action = expect_action (fixture, WP_ACTION_FAIL_TASKS);

  g_assert_cmpuint (action.first, ==, first);
  g_assert_cmpuint (action.n_tasks, ==, n_tasks);
  g_assert_cmpint (action.reason, ==, reason);
}

static inline void
expect_start (Fixture *fixture, guint worker)
{
  g_assert_cmpuint (expect_action (fixture, WP_ACTION_START_WORKER).worker, ==, worker);
}

static inline void
expect_kill (Fixture *fixture, guint worker, int signal_number)
{
  WpAction action = expect_action (fixture, WP_ACTION_KILL_WORKER);

  g_assert_cmpuint (action.worker, ==, worker);
  g_assert_cmpint (action.signal, ==, signal_number);
}

static inline void
expect_nothing (Fixture *fixture)
{
  WpAction action;

  g_assert_false (wp_scheduler_next_action (fixture->scheduler, fixture->now, &action));
}

static inline void
start_all (Fixture *fixture, guint n_jobs)
{
  wp_scheduler_start (fixture->scheduler);
  for (guint i = 0; i < n_jobs; i++)
    {
      expect_start (fixture, i);
      wp_scheduler_worker_ready (fixture->scheduler, i, TRUE);
    }
  expect_nothing (fixture);
}

static inline WpSchedulerBatch *
add (Fixture *fixture, const WpBatchPlan *plan, guint64 n_tasks)
{
  WpBatchPlan complete = *plan;
  WpSchedulerBatch *batch;

  if (complete.function == NULL)
    complete.function = "resize";
  batch = wp_scheduler_add_batch (fixture->scheduler, &complete);
  wp_scheduler_push (fixture->scheduler, batch, n_tasks);

  return batch;
}

static inline WpResultsRange
report (Fixture *fixture,
        const WpAction *chunk,
        guint offset,
        guint n_results,
        guint64 elapsed,
        gboolean done)
{
  WpResultsRange range;

  g_assert_true (wp_scheduler_results (fixture->scheduler, chunk->worker, chunk->sequence, offset,
                                       n_results, elapsed, done, FALSE, fixture->now, &range));

  return range;
}

static inline void
finish (Fixture *fixture, const WpAction *chunk, guint64 task_ns)
{
  report (fixture, chunk, 0, chunk->n_tasks, task_ns * chunk->n_tasks, TRUE);
}

static inline void
die (Fixture *fixture, guint worker)
{
  wp_scheduler_worker_gone (fixture->scheduler, worker, FALSE, 0, 0, fixture->now);
}

/* Of one worker: three priorities, each of which always has something to do. */
static inline void
check_share (Fixture *fixture)
{
  WpSchedulerBatch *batches[3];
  guint n_served[3] = { 0 };

  start_all (fixture, 1);
  for (int i = 0; i < 3; i++)
    batches[i] = add (fixture, &(WpBatchPlan){ .chunk_size = 1, .priority = -i }, 2000);
  for (guint i = 0; i < 34 * (WP_OVERTAKE_LIMIT + 1); i++)
    {
      WpAction chunk = expect_action (fixture, WP_ACTION_SEND_CHUNK);

      for (guint j = 0; j < 3; j++)
        n_served[j] += chunk.batch == batches[j];
      finish (fixture, &chunk, 10 * MS);
    }
  g_assert_cmpuint (n_served[0], ==, 34 * WP_OVERTAKE_LIMIT);
  g_assert_cmpuint (n_served[1], ==, 17);
  g_assert_cmpuint (n_served[2], ==, 17);
}
