/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scheduler-fixture.h"

/* One promise of the scheduler after the other, told as a story. That they hold in any order of
 * events is what the random histories are for. */

static void
test_start_on_demand (void)
{
  Fixture fixture;

  set_up (&fixture, 3, 1);
  expect_nothing (&fixture);

  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 2);
  expect_start (&fixture, 0);
  expect_start (&fixture, 1);
  expect_nothing (&fixture);

  wp_scheduler_worker_ready (fixture.scheduler, 1, TRUE);
  expect_chunk (&fixture, 1, 0, 1);
  expect_nothing (&fixture);
  g_assert_cmpuint (wp_scheduler_get_n_workers (fixture.scheduler), ==, 1);
  g_assert_cmpuint (wp_scheduler_get_n_busy (fixture.scheduler), ==, 1);
  g_assert_cmpuint (wp_scheduler_get_n_queued (fixture.scheduler), ==, 1);
  g_assert_cmpuint (wp_scheduler_get_n_active (fixture.scheduler), ==, 2);
  tear_down (&fixture);
}

static void
test_start_many (void)
{
  Fixture fixture;

  set_up (&fixture, 200, 1);
  start_all (&fixture, 200);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 201);
  for (guint i = 0; i < 200; i++)
    expect_chunk (&fixture, 199 - i, i, 1);
  expect_nothing (&fixture);

  die (&fixture, 130);
  expect_start (&fixture, 130);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_start_failures (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;

  set_up (&fixture, 3, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 9);
  for (guint i = 0; i < 3; i++)
    expect_start (&fixture, i);

  /* One fails: nobody else is started until it is known how the others fare. */
  die (&fixture, 1);
  expect_nothing (&fixture);
  die (&fixture, 0);
  expect_nothing (&fixture);
  die (&fixture, 2);
  for (guint i = 3; i < WP_MAX_FAILED_STARTS; i++)
    {
      expect_start (&fixture, 0);
      expect_nothing (&fixture);
      die (&fixture, 0);
    }
  expect_failure (&fixture, 0, 9, WP_FAIL_NO_WORKER);
  expect_action (&fixture, WP_ACTION_DRAINED);
  expect_nothing (&fixture);

  /* The batch is still open, and its next tasks have their own tries. */
  wp_scheduler_push (fixture.scheduler, batch, 1);
  for (guint i = 0; i < WP_MAX_FAILED_STARTS; i++)
    {
      expect_start (&fixture, 0);
      expect_nothing (&fixture);
      die (&fixture, 0);
    }
  expect_failure (&fixture, 9, 1, WP_FAIL_NO_WORKER);
  wp_scheduler_close (fixture.scheduler, batch);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

/* At a limit of the system the last starts fail at once, while the first ones are on their way. */
static void
test_starting_workers_count (void)
{
  Fixture fixture;
  const guint n = WP_MAX_FAILED_STARTS + 2;

  set_up (&fixture, n, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 2 * n);
  for (guint i = 0; i < n; i++)
    expect_start (&fixture, i);
  for (guint i = 1; i < n; i++)
    die (&fixture, i);
  expect_nothing (&fixture);

  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  expect_chunk (&fixture, 0, 0, 1);
  tear_down (&fixture);
}

static void
test_start_retry (void)
{
  Fixture fixture;

  set_up (&fixture, 3, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 9);
  for (guint i = 0; i < 3; i++)
    expect_start (&fixture, i);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  expect_chunk (&fixture, 0, 0, 1);

  die (&fixture, 1);
  die (&fixture, 2);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==,
                   fixture.now + WP_START_RETRY_NS);

  fixture.now += WP_START_RETRY_NS;
  expect_start (&fixture, 1);
  expect_nothing (&fixture);

  wp_scheduler_worker_ready (fixture.scheduler, 1, TRUE);
  expect_chunk (&fixture, 1, 1, 1);
  expect_start (&fixture, 2);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_idle_deaths (void)
{
  Fixture fixture;

  set_up (&fixture, 1, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 3 }, 4);

  for (guint i = 0; i < WP_MAX_IDLE_DEATHS; i++)
    {
      expect_start (&fixture, 0);
      expect_nothing (&fixture);
      wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
      expect_chunk (&fixture, 0, 0, 3);
      expect_nothing (&fixture);
      die (&fixture, 0);
    }
  expect_failure (&fixture, 0, 4, WP_FAIL_NO_WORKER);
  expect_action (&fixture, WP_ACTION_DRAINED);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_warmest_worker (void)
{
  Fixture fixture;
  WpAction first;
  WpAction second;

  set_up (&fixture, 3, 1);
  start_all (&fixture, 3);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 2);
  first = expect_chunk (&fixture, 2, 0, 1);
  second = expect_chunk (&fixture, 1, 1, 1);
  finish (&fixture, &second, MS);
  finish (&fixture, &first, MS);

  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 2);
  expect_action (&fixture, WP_ACTION_SEND_CHUNK);
  expect_chunk (&fixture, 1, 1, 1);
  tear_down (&fixture);
}

static void
test_chunk_asked_for (void)
{
  Fixture fixture;

  set_up (&fixture, 4, 1);
  start_all (&fixture, 4);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 7 }, 10);
  expect_chunk (&fixture, 3, 0, 7);
  expect_chunk (&fixture, 2, 7, 3);

  add (&fixture, &(WpBatchPlan){ .n_splits = 3, .n_total = 10 }, 10);
  expect_chunk (&fixture, 1, 0, 4);
  expect_chunk (&fixture, 0, 4, 4);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_chunk_grows (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ 0 }, 100000);
  g_assert_cmpuint (wp_scheduler_get_chunk_size (fixture.scheduler, batch), ==, 1);

  chunk = expect_chunk (&fixture, 0, 0, 1);
  finish (&fixture, &chunk, 1000);
  chunk = expect_chunk (&fixture, 0, 1, 16);
  finish (&fixture, &chunk, 1000);
  chunk = expect_chunk (&fixture, 0, 17, 256);
  finish (&fixture, &chunk, 1000);
  chunk = expect_chunk (&fixture, 0, 273, WP_CHUNK_TARGET_NS / 1000);
  finish (&fixture, &chunk, 1000);

  /* Another batch of the function knows the time, and proves itself afresh. */
  batch = add (&fixture, &(WpBatchPlan){ 0 }, 1);
  g_assert_cmpuint (wp_scheduler_get_chunk_size (fixture.scheduler, batch), ==, 16);
  batch = add (&fixture, &(WpBatchPlan){ .function = "hash" }, 1);
  g_assert_cmpuint (wp_scheduler_get_chunk_size (fixture.scheduler, batch), ==, 1);
  tear_down (&fixture);
}

static void
test_chunk_no_time (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ 0 }, 2);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  report (&fixture, &chunk, 0, 1, 0, TRUE);
  g_assert_cmpuint (wp_scheduler_get_chunk_size (fixture.scheduler, batch), ==, 1);
  tear_down (&fixture);
}

static void
test_chunk_shrinks (void)
{
  Fixture fixture;
  WpAction chunk;
  guint64 n_left = 100;

  set_up (&fixture, 2, 1);
  start_all (&fixture, 2);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  chunk = expect_chunk (&fixture, 1, 0, 1);
  finish (&fixture, &chunk, 1000);

  add (&fixture, &(WpBatchPlan){ 0 }, n_left);
  while (n_left > 0)
    {
      chunk = expect_action (&fixture, WP_ACTION_SEND_CHUNK);
      g_assert_cmpuint (chunk.n_tasks, <=, (n_left + 3) / 4);
      n_left -= chunk.n_tasks;
      finish (&fixture, &chunk, 1000);
    }
  g_assert_cmpuint (chunk.n_tasks, ==, 1);
  tear_down (&fixture);
}

static void
test_prefetch_short (void)
{
  Fixture fixture;
  WpAction chunk;

  set_up (&fixture, 1, 4);
  start_all (&fixture, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 20);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  expect_nothing (&fixture);

  finish (&fixture, &chunk, 2000);
  for (guint i = 1; i <= 4; i++)
    chunk = expect_chunk (&fixture, 0, i, 1);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_prefetch_long (void)
{
  Fixture fixture;
  WpAction chunk;

  set_up (&fixture, 1, 4);
  start_all (&fixture, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 20);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  finish (&fixture, &chunk, WP_CHUNK_TARGET_NS + 1);
  chunk = expect_chunk (&fixture, 0, 1, 1);
  expect_nothing (&fixture);
  tear_down (&fixture);

  /* Short tasks, but enough of them at a time. */
  set_up (&fixture, 1, 4);
  start_all (&fixture, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 4 }, 20);
  chunk = expect_chunk (&fixture, 0, 0, 4);
  finish (&fixture, &chunk, MS);
  chunk = expect_chunk (&fixture, 0, 4, 4);
  expect_nothing (&fixture);
  report (&fixture, &chunk, 0, 1, MS, FALSE);
  expect_chunk (&fixture, 0, 8, 4);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_turns (void)
{
  Fixture fixture;
  WpSchedulerBatch *order[] = { NULL, NULL, NULL, NULL, NULL };
  WpSchedulerBatch *low;
  WpSchedulerBatch *a;
  WpSchedulerBatch *b;
  WpSchedulerBatch *high;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  low = add (&fixture, &(WpBatchPlan){ .priority = -5, .chunk_size = 1 }, 1);
  a = add (&fixture, &(WpBatchPlan){ .chunk_size = 2 }, 4);
  b = add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  high = add (&fixture, &(WpBatchPlan){ .priority = 3, .chunk_size = 1 }, 1);

  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    {
      WpAction chunk = expect_action (&fixture, WP_ACTION_SEND_CHUNK);

      order[i] = chunk.batch;
      finish (&fixture, &chunk, MS);
    }
  g_assert_true (order[0] == high);
  g_assert_true (order[1] == a);
  g_assert_true (order[2] == b);
  g_assert_true (order[3] == a);
  g_assert_true (order[4] == low);
  tear_down (&fixture);
}

static void
test_balance (void)
{
  Fixture fixture;
  WpAction chunk;
  WpAction recall;

  set_up (&fixture, 2, 1);
  start_all (&fixture, 2);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 8 }, 8);
  chunk = expect_chunk (&fixture, 1, 0, 8);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==,
                   fixture.now + WP_RECALL_AFTER_NS);

  /* It reports in time: the tasks are where they should be. */
  fixture.now += WP_RECALL_AFTER_NS - 1;
  report (&fixture, &chunk, 0, 1, MS, FALSE);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==,
                   fixture.now + WP_RECALL_AFTER_NS);

  fixture.now += WP_RECALL_AFTER_NS;
  recall = expect_action (&fixture, WP_ACTION_RECALL);
  g_assert_cmpuint (recall.sequence, ==, chunk.sequence);
  g_assert_cmpuint (recall.n_tasks, ==, 4);
  wp_scheduler_recalled (fixture.scheduler, 1, recall.sequence, 4);
  expect_chunk (&fixture, 0, 4, 4);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_balance_refused (void)
{
  Fixture fixture;
  WpAction chunk;
  WpAction recall;

  set_up (&fixture, 2, 1);
  start_all (&fixture, 2);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 4 }, 4);
  chunk = expect_chunk (&fixture, 1, 0, 4);

  fixture.now += WP_RECALL_AFTER_NS;
  recall = expect_action (&fixture, WP_ACTION_RECALL);
  wp_scheduler_recalled (fixture.scheduler, 1, recall.sequence, 0);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==, G_MAXINT64);

  report (&fixture, &chunk, 0, 1, MS, FALSE);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==,
                   fixture.now + WP_RECALL_AFTER_NS);
  tear_down (&fixture);
}

static void
test_death_chunk_mates (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;
  WpAction failure;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 6, .max_retries = 1 }, 9);
  wp_scheduler_close (fixture.scheduler, batch);
  chunk = expect_chunk (&fixture, 0, 0, 6);
  report (&fixture, &chunk, 0, 2, MS, FALSE);

  /* Task 2 gets its second run alone, its mates stay together. */
  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 2, fixture.now);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 2, 1);
  g_assert_cmpuint (chunk.attempt, ==, 1);

  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 0, fixture.now);
  failure = expect_action (&fixture, WP_ACTION_FAIL_TASKS);
  g_assert_cmpuint (failure.first, ==, 2);
  g_assert_cmpuint (failure.n_tasks, ==, 1);
  g_assert_cmpuint (failure.attempt, ==, 1);
  g_assert_cmpint (failure.reason, ==, WP_FAIL_WORKER_DIED);

  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 3, 6);
  g_assert_cmpuint (chunk.attempt, ==, 0);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

/* What waits on the worker is taken back before the kill, so that only the task that ran too long is lost. */
static void
test_expiry (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;
  WpAction action;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 6 }, 6);
  wp_scheduler_close (fixture.scheduler, batch);
  chunk = expect_chunk (&fixture, 0, 0, 6);
  report (&fixture, &chunk, 0, 2, MS, FALSE);

  g_assert_false (wp_scheduler_task_expired (fixture.scheduler, 0, chunk.sequence, 1));
  g_assert_false (wp_scheduler_task_expired (fixture.scheduler, 0, chunk.sequence, 6));
  g_assert_false (wp_scheduler_task_expired (fixture.scheduler, 0, chunk.sequence + 1, 2));
  expect_nothing (&fixture);

  g_assert_true (wp_scheduler_task_expired (fixture.scheduler, 0, chunk.sequence, 2));
  action = expect_action (&fixture, WP_ACTION_RECALL);
  wp_scheduler_recalled (fixture.scheduler, 0, action.sequence, 3);
  expect_kill (&fixture, 0, SIGKILL);
  expect_nothing (&fixture);
  g_assert_false (wp_scheduler_task_expired (fixture.scheduler, 0, chunk.sequence, 2));

  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 2, fixture.now);
  expect_failure (&fixture, 2, 1, WP_FAIL_WORKER_DIED);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 3, 3);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

/* The task ended before the kill came, and the next one, which the pool could not take back, is not to blame. */
static void
test_expiry_in_time (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 6 }, 6);
  wp_scheduler_close (fixture.scheduler, batch);
  chunk = expect_chunk (&fixture, 0, 0, 6);

  g_assert_true (wp_scheduler_task_expired (fixture.scheduler, 0, chunk.sequence, 0));
  expect_action (&fixture, WP_ACTION_RECALL);
  wp_scheduler_recalled (fixture.scheduler, 0, chunk.sequence, 4);
  expect_kill (&fixture, 0, SIGKILL);
  report (&fixture, &chunk, 0, 1, MS, FALSE);
  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 1, fixture.now);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 1, 5);
  g_assert_cmpuint (chunk.attempt, ==, 0);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

static void
test_death_salvage (void)
{
  Fixture fixture;
  WpAction chunk;
  WpResultsRange range;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 6 }, 6);
  chunk = expect_chunk (&fixture, 0, 0, 6);
  report (&fixture, &chunk, 0, 2, MS, FALSE);

  /* A frame of results 1 … 3, of which the first had come. */
  g_assert_true (wp_scheduler_results (fixture.scheduler, 0, chunk.sequence, 1, 3, MS, FALSE, TRUE,
                                       fixture.now, &range));
  g_assert_cmpuint (range.skip, ==, 1);
  g_assert_cmpuint (range.first, ==, 2);
  g_assert_cmpuint (range.n_tasks, ==, 2);
  g_assert_false (wp_scheduler_results (fixture.scheduler, 0, chunk.sequence, 5, 1, MS, TRUE, TRUE,
                                        fixture.now, &range));

  die (&fixture, 0);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  expect_chunk (&fixture, 0, 4, 2);
  tear_down (&fixture);
}

static void
test_cancel_escalates (void)
{
  Fixture fixture;
  WpSchedulerBatch *cancelled;
  WpSchedulerBatch *other;
  WpAction chunk;
  WpAction waiting;
  WpAction action;

  set_up (&fixture, 1, 4);
  start_all (&fixture, 1);
  other = add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  finish (&fixture, &chunk, 1000);

  cancelled = add (&fixture, &(WpBatchPlan){ .chunk_size = 3 }, 5);
  wp_scheduler_push (fixture.scheduler, other, 1);
  chunk = expect_chunk (&fixture, 0, 0, 3);
  waiting = expect_chunk (&fixture, 0, 1, 1);
  g_assert_true (waiting.batch == other);
  expect_chunk (&fixture, 0, 3, 2);

  wp_scheduler_cancel (fixture.scheduler, cancelled, fixture.now);
  action = expect_action (&fixture, WP_ACTION_RECALL);
  g_assert_cmpuint (action.sequence, ==, chunk.sequence);
  g_assert_cmpuint (action.n_tasks, ==, 3);
  wp_scheduler_recalled (fixture.scheduler, 0, action.sequence, 2);
  action = expect_action (&fixture, WP_ACTION_CANCEL_TASK);
  g_assert_cmpuint (action.sequence, ==, chunk.sequence);
  g_assert_cmpuint (action.offset, ==, 0);
  action = expect_action (&fixture, WP_ACTION_RECALL);
  wp_scheduler_recalled (fixture.scheduler, 0, action.sequence, 2);
  expect_failure (&fixture, 1, 2, WP_FAIL_CANCELLED);
  expect_failure (&fixture, 3, 2, WP_FAIL_CANCELLED);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==, fixture.now + GRACE);

  fixture.now += GRACE;
  action = expect_action (&fixture, WP_ACTION_RECALL);
  wp_scheduler_recalled (fixture.scheduler, 0, action.sequence, 0);
  action = expect_action (&fixture, WP_ACTION_RECALL);
  g_assert_cmpuint (action.sequence, ==, waiting.sequence);
  wp_scheduler_recalled (fixture.scheduler, 0, action.sequence, 1);
  expect_kill (&fixture, 0, SIGTERM);
  expect_nothing (&fixture);

  fixture.now += GRACE;
  expect_kill (&fixture, 0, SIGKILL);
  expect_nothing (&fixture);
  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 0, fixture.now);
  expect_failure (&fixture, 0, 1, WP_FAIL_CANCELLED);
  g_assert_true (expect_action (&fixture, WP_ACTION_BATCH_ENDED).batch == cancelled);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  g_assert_true (expect_chunk (&fixture, 0, 1, 1).batch == other);
  tear_down (&fixture);
}

static void
test_cancel_result_in_time (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;
  WpResultsRange range;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 1, .keep_workers = TRUE }, 1);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  wp_scheduler_cancel (fixture.scheduler, batch, fixture.now);
  expect_action (&fixture, WP_ACTION_RECALL);
  wp_scheduler_recalled (fixture.scheduler, 0, chunk.sequence, 0);
  expect_action (&fixture, WP_ACTION_CANCEL_TASK);

  range = report (&fixture, &chunk, 0, 1, MS, TRUE);
  g_assert_false (range.deliver);
  g_assert_cmpuint (range.n_tasks, ==, 1);
  expect_failure (&fixture, 0, 1, WP_FAIL_CANCELLED);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_action (&fixture, WP_ACTION_DRAINED);
  fixture.now += 3 * GRACE;
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_cancel_huge_batch (void)
{
  const guint64 n_tasks = G_GUINT64_CONSTANT (10000000000);
  Fixture fixture;
  WpSchedulerBatch *batch;
  guint64 n_failed = 0;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, n_tasks);
  g_assert_cmpuint (wp_scheduler_get_n_queued (fixture.scheduler), ==, n_tasks);
  wp_scheduler_cancel (fixture.scheduler, batch, fixture.now);
  while (n_failed < n_tasks)
    {
      WpAction action = expect_action (&fixture, WP_ACTION_FAIL_TASKS);

      g_assert_cmpuint (action.first, ==, n_failed);
      n_failed += action.n_tasks;
    }
  g_assert_cmpuint (n_failed, ==, n_tasks);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

static void
test_stop_with_last_batch (void)
{
  Fixture fixture;
  WpSchedulerBatch *first;
  WpSchedulerBatch *second;

  set_up (&fixture, 2, 1);
  start_all (&fixture, 2);
  first = add (&fixture, &(WpBatchPlan){ 0 }, 0);
  second = add (&fixture, &(WpBatchPlan){ 0 }, 0);
  wp_scheduler_close (fixture.scheduler, first);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_nothing (&fixture);

  wp_scheduler_close (fixture.scheduler, second);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  g_assert_cmpuint (expect_action (&fixture, WP_ACTION_STOP_WORKER).worker, ==, 0);
  g_assert_cmpuint (expect_action (&fixture, WP_ACTION_STOP_WORKER).worker, ==, 1);
  expect_nothing (&fixture);

  /* New work waits for one that goes, and is not held up by one that does not. */
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  expect_nothing (&fixture);
  die (&fixture, 1);
  expect_start (&fixture, 1);
  expect_nothing (&fixture);
  g_assert_cmpint (wp_scheduler_get_deadline (fixture.scheduler), ==, fixture.now + 2 * GRACE);
  fixture.now += 2 * GRACE;
  expect_kill (&fixture, 0, SIGKILL);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_stop_not_while_kept (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .keep_workers = TRUE }, 0);
  wp_scheduler_close (fixture.scheduler, batch);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_nothing (&fixture);

  /* Work that comes before the workers were asked keeps them too. */
  batch = add (&fixture, &(WpBatchPlan){ 0 }, 0);
  wp_scheduler_close (fixture.scheduler, batch);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_chunk (&fixture, 0, 0, 1);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_drain (void)
{
  Fixture fixture;
  WpAction chunk;

  set_up (&fixture, 2, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 2);
  expect_start (&fixture, 0);
  expect_start (&fixture, 1);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 0, 1);

  wp_scheduler_drain (fixture.scheduler);
  expect_nothing (&fixture);
  finish (&fixture, &chunk, 10 * MS);
  chunk = expect_chunk (&fixture, 0, 1, 1);

  /* Nothing is left for the second worker, which may yet become ready before the signal. */
  expect_kill (&fixture, 1, SIGKILL);
  wp_scheduler_worker_ready (fixture.scheduler, 1, TRUE);
  expect_nothing (&fixture);
  die (&fixture, 1);
  expect_nothing (&fixture);

  finish (&fixture, &chunk, 10 * MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_action (&fixture, WP_ACTION_STOP_WORKER);
  expect_action (&fixture, WP_ACTION_DRAINED);
  expect_nothing (&fixture);
  die (&fixture, 0);
  expect_action (&fixture, WP_ACTION_STOPPED);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_drain_nothing (void)
{
  Fixture fixture;

  set_up (&fixture, 2, 1);
  wp_scheduler_drain (fixture.scheduler);
  expect_action (&fixture, WP_ACTION_STOPPED);
  wp_scheduler_terminate (fixture.scheduler);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_terminate (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;
  WpResultsRange range;

  set_up (&fixture, 2, 1);
  start_all (&fixture, 2);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 2 }, 5);
  chunk = expect_chunk (&fixture, 1, 0, 2);
  expect_chunk (&fixture, 0, 2, 2);

  wp_scheduler_terminate (fixture.scheduler);
  wp_scheduler_cancel (fixture.scheduler, batch, fixture.now);
  expect_failure (&fixture, 4, 1, WP_FAIL_TERMINATED);
  expect_failure (&fixture, 2, 2, WP_FAIL_TERMINATED);
  expect_kill (&fixture, 0, SIGKILL);
  expect_failure (&fixture, 0, 2, WP_FAIL_TERMINATED);
  expect_kill (&fixture, 1, SIGKILL);
  g_assert_true (expect_action (&fixture, WP_ACTION_BATCH_ENDED).batch == batch);
  expect_action (&fixture, WP_ACTION_DRAINED);
  expect_nothing (&fixture);

  range = report (&fixture, &chunk, 0, 2, MS, TRUE);
  g_assert_cmpuint (range.n_tasks, ==, 0);
  wp_scheduler_worker_gone (fixture.scheduler, 1, TRUE, chunk.sequence, 0, fixture.now);
  expect_nothing (&fixture);
  die (&fixture, 0);
  expect_action (&fixture, WP_ACTION_STOPPED);
  expect_nothing (&fixture);
  tear_down (&fixture);
}

static void
test_late_done (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;
  WpResultsRange range;
  WpHeldChunk held;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .tag = &fixture, .chunk_size = 1, .keep_workers = TRUE },
               1);
  wp_scheduler_close (fixture.scheduler, batch);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  range = report (&fixture, &chunk, 0, 1, MS, FALSE);
  g_assert_true (range.tag == &fixture && range.deliver);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_action (&fixture, WP_ACTION_DRAINED);

  /* The batch is gone, its chunk still fills the worker. */
  g_assert_cmpuint (wp_scheduler_get_held (fixture.scheduler, 0, &held, 1), ==, 1);
  add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  expect_nothing (&fixture);
  range = report (&fixture, &chunk, 1, 0, 0, TRUE);
  g_assert_null (range.tag);
  g_assert_cmpuint (range.n_tasks, ==, 0);
  expect_chunk (&fixture, 0, 0, 1);
  tear_down (&fixture);
}

static void
test_priority_share (void)
{
  Fixture fixture;

  set_up (&fixture, 1, 1);
  check_share (&fixture);
  tear_down (&fixture);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/scheduler/start/workers-come-on-demand", test_start_on_demand);
  g_test_add_func ("/scheduler/start/many-workers", test_start_many);
  g_test_add_func ("/scheduler/start/failures-end-in-an-error", test_start_failures);
  g_test_add_func ("/scheduler/start/failure-waits-while-others-work", test_start_retry);
  g_test_add_func ("/scheduler/start/those-on-their-way-count", test_starting_workers_count);
  g_test_add_func ("/scheduler/start/idle-deaths-end-in-an-error", test_idle_deaths);
  g_test_add_func ("/scheduler/idle/last-used-worker-is-first", test_warmest_worker);
  g_test_add_func ("/scheduler/chunk/size-is-what-was-asked-for", test_chunk_asked_for);
  g_test_add_func ("/scheduler/chunk/grows-with-the-evidence", test_chunk_grows);
  g_test_add_func ("/scheduler/chunk/no-time-says-nothing", test_chunk_no_time);
  g_test_add_func ("/scheduler/chunk/shrinks-to-an-even-share", test_chunk_shrinks);
  g_test_add_func ("/scheduler/prefetch/short-tasks-fill-the-depth", test_prefetch_short);
  g_test_add_func ("/scheduler/prefetch/long-tasks-wait-for-an-idle-worker", test_prefetch_long);
  g_test_add_func ("/scheduler/turns/priority-first-then-round-robin", test_turns);
  g_test_add_func ("/scheduler/balance/idle-worker-takes-half", test_balance);
  g_test_add_func ("/scheduler/balance/who-has-nothing-is-left-alone", test_balance_refused);
  g_test_add_func ("/scheduler/death/chunk-mates-are-requeued", test_death_chunk_mates);
  g_test_add_func ("/scheduler/expiry/costs-one-task", test_expiry);
  g_test_add_func ("/scheduler/expiry/too-late-costs-none", test_expiry_in_time);
  g_test_add_func ("/scheduler/death/finished-tasks-are-salvaged", test_death_salvage);
  g_test_add_func ("/scheduler/cancel/escalates-to-a-kill", test_cancel_escalates);
  g_test_add_func ("/scheduler/cancel/result-in-time-saves-the-worker", test_cancel_result_in_time);
  g_test_add_func ("/scheduler/cancel/more-tasks-than-an-action-holds", test_cancel_huge_batch);
  g_test_add_func ("/scheduler/stop/with-the-last-batch", test_stop_with_last_batch);
  g_test_add_func ("/scheduler/stop/not-while-workers-are-kept", test_stop_not_while_kept);
  g_test_add_func ("/scheduler/drain/tasks-end-first", test_drain);
  g_test_add_func ("/scheduler/drain/nothing-to-drain", test_drain_nothing);
  g_test_add_func ("/scheduler/terminate/fails-everything-at-once", test_terminate);
  g_test_add_func ("/scheduler/end/late-done-of-an-ended-batch", test_late_done);
  g_test_add_func ("/scheduler/priority/none-starves", test_priority_share);

  return g_test_run ();
}
