/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scheduler-fixture.h"

/* Ordered tasks: each is for one worker. */

static void
set_up_ordered (Fixture *fixture, guint n_jobs, guint depth)
{
  WpSchedulerConfig config = {
    n_jobs, depth, .cancel_grace = GRACE, .stop_grace = 2 * GRACE, .order_tasks = TRUE,
  };

  fixture->scheduler = wp_scheduler_new (&config);
  fixture->now = 7 * MS;
}

/* The next chunk that is sent is one of these; tells which. */
static WpAction
expect_one_of (Fixture *fixture, const guint64 firsts[], guint n_jobs)
{
  WpAction action = expect_action (fixture, WP_ACTION_SEND_CHUNK);

  g_assert_cmpuint (action.worker, <, n_jobs);
  g_assert_cmpuint (action.first, ==, firsts[action.worker]);

  return action;
}

static void
test_round (void)
{
  Fixture fixture;
  guint64 firsts[] = { 2, 4, 0 };
  WpSchedulerBatch *batch;

  set_up_ordered (&fixture, 3, 1);
  start_all (&fixture, 3);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 2, .first_worker = 2 }, 17);
  wp_scheduler_close (fixture.scheduler, batch);
  for (guint i = 0; i < 9; i++)
    {
      WpAction chunk = expect_one_of (&fixture, firsts, 3);

      g_assert_cmpuint (chunk.n_tasks, ==, chunk.first == 16 ? 1 : 2);
      finish (&fixture, &chunk, MS);
      firsts[chunk.worker] += 6;
    }
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

/* A chunk that was begun when there was not more of it goes on with the same worker. */
static void
test_pushed_one_by_one (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;

  set_up_ordered (&fixture, 2, 1);
  start_all (&fixture, 2);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 3 }, 0);
  for (guint64 i = 0; i < 20; i++)
    {
      WpAction chunk;

      wp_scheduler_push (fixture.scheduler, batch, 1);
      chunk = expect_chunk (&fixture, i / 3 % 2, i, 1);
      finish (&fixture, &chunk, MS);
      expect_action (&fixture, WP_ACTION_DRAINED);
      expect_nothing (&fixture);
    }
  tear_down (&fixture);
}

/* Those that nothing is for are not started, and those that have nothing to do take nothing. */
static void
test_own_only (void)
{
  Fixture fixture;

  set_up_ordered (&fixture, 3, 4);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 100, .first_worker = 1 }, 150);
  expect_start (&fixture, 1);
  expect_start (&fixture, 2);
  expect_nothing (&fixture);
  wp_scheduler_worker_ready (fixture.scheduler, 2, TRUE);
  finish (&fixture, &(WpAction[]){ expect_chunk (&fixture, 2, 100, 50) }[0], 1000);
  expect_nothing (&fixture);
  wp_scheduler_worker_ready (fixture.scheduler, 1, TRUE);
  expect_chunk (&fixture, 1, 0, 100);
  fixture.now += 1000 * MS;
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_priority (void)
{
  Fixture fixture;
  WpAction chunk;

  set_up_ordered (&fixture, 1, 1);
  start_all (&fixture, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 2);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 7 }, 7);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 9, .priority = 1 }, 9);
  finish (&fixture, &chunk, MS);
  chunk = expect_chunk (&fixture, 0, 0, 9);
  finish (&fixture, &chunk, MS);
  chunk = expect_chunk (&fixture, 0, 1, 1);
  finish (&fixture, &chunk, MS);
  expect_chunk (&fixture, 0, 0, 7);
  tear_down (&fixture);
}

static void
test_share (void)
{
  Fixture fixture;

  set_up_ordered (&fixture, 1, 1);
  check_share (&fixture);
  tear_down (&fixture);
}

static void
test_death (void)
{
  Fixture fixture;
  WpAction chunk;

  set_up_ordered (&fixture, 2, 1);
  start_all (&fixture, 2);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 5, .max_retries = 1 }, 5);
  chunk = expect_chunk (&fixture, 0, 0, 5);
  report (&fixture, &chunk, 0, 1, MS, FALSE);
  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 1, fixture.now);
  expect_start (&fixture, 0);
  expect_nothing (&fixture);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 1, 1);
  g_assert_cmpuint (chunk.attempt, ==, 1);
  finish (&fixture, &chunk, MS);
  expect_chunk (&fixture, 0, 2, 3);
  tear_down (&fixture);
}

/* The others cannot do the work of one that never starts: its tasks fail, and theirs do not. */
static void
test_no_start (void)
{
  Fixture fixture;
  WpAction chunk;

  set_up_ordered (&fixture, 2, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 3);
  expect_start (&fixture, 0);
  expect_start (&fixture, 1);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  for (guint i = 0; i < WP_MAX_FAILED_STARTS; i++)
    {
      if (i > 0)
        expect_start (&fixture, 1);
      die (&fixture, 1);
      fixture.now += WP_START_RETRY_NS;
    }
  expect_failure (&fixture, 1, 1, WP_FAIL_NO_WORKER);
  expect_nothing (&fixture);
  finish (&fixture, &chunk, MS);
  expect_chunk (&fixture, 0, 2, 1);
  tear_down (&fixture);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/scheduler/order/chunks-go-round", test_round);
  g_test_add_func ("/scheduler/order/of-tasks-that-come-one-by-one", test_pushed_one_by_one);
  g_test_add_func ("/scheduler/order/nobody-takes-what-is-another's", test_own_only);
  g_test_add_func ("/scheduler/order/below-priority", test_priority);
  g_test_add_func ("/scheduler/order/no-priority-starves", test_share);
  g_test_add_func ("/scheduler/order/a-replacement-inherits", test_death);
  g_test_add_func ("/scheduler/order/fails-with-a-worker-that-never-starts", test_no_start);

  return g_test_run ();
}
