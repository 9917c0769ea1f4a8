/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scheduler-fixture.h"

/* Tasks that run again, at once or after a delay. */

#define DAY (24 * 3600 * 1000 * MS)

/* Reports the whole chunk, of which some failed in a way that counts. */
static WpResultsRange
report_failed (Fixture *fixture, const WpAction *chunk, const guint *failed, guint n_failed)
{
  WpResultsRange range;

  g_assert_true (wp_scheduler_results_with_retries (fixture->scheduler, chunk->worker, chunk->sequence, 0,
                                                    chunk->n_tasks, failed, n_failed, MS, TRUE, FALSE,
                                                    fixture->now, &range));

  return range;
}

/* The only task of the chunk failed. */
static void
fail_task (Fixture *fixture, const WpAction *chunk)
{
  const guint first = 0;

  g_assert_cmpuint (chunk->n_tasks, ==, 1);
  g_assert_true (report_failed (fixture, chunk, &first, 1).retried);
}

static void
expect_deadline (Fixture *fixture, gint64 deadline)
{
  g_assert_cmpint (wp_scheduler_get_deadline (fixture->scheduler), ==, deadline);
}

static void
test_at_once (void)
{
  Fixture fixture;
  const guint failed[] = { 1, 2, 4 };
  WpSchedulerBatch *batch;
  WpResultsRange range;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 6, .max_retries = 1 }, 7);
  wp_scheduler_close (fixture.scheduler, batch);
  chunk = expect_chunk (&fixture, 0, 0, 6);

  range = report_failed (&fixture, &chunk, failed, G_N_ELEMENTS (failed));
  g_assert_true (range.deliver && range.retried);
  g_assert_cmpuint (range.n_tasks, ==, 6);
  g_assert_cmpuint (wp_scheduler_get_n_active (fixture.scheduler), ==, 4);

  chunk = expect_chunk (&fixture, 0, 1, 2);
  g_assert_cmpuint (chunk.attempt, ==, 1);
  /* Now they are results, failed or not. */
  range = report_failed (&fixture, &chunk, failed, 1);
  g_assert_true (range.deliver && !range.retried);
  chunk = expect_chunk (&fixture, 0, 4, 1);
  g_assert_cmpuint (chunk.attempt, ==, 1);
  finish (&fixture, &chunk, MS);
  chunk = expect_chunk (&fixture, 0, 6, 1);
  g_assert_cmpuint (chunk.attempt, ==, 0);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

static void
test_back_off (void)
{
  Fixture fixture;
  const WpBatchPlan plan = { .chunk_size = 1, .max_retries = 4, .retry_delay = 10 * MS, .retry_backoff = 3 };
  gint64 delay = 10 * MS;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  wp_scheduler_close (fixture.scheduler, add (&fixture, &plan, 1));
  for (guint i = 0; i < 4; i++)
    {
      chunk = expect_chunk (&fixture, 0, 0, 1);
      g_assert_cmpuint (chunk.attempt, ==, i);
      fail_task (&fixture, &chunk);
      expect_nothing (&fixture);
      expect_deadline (&fixture, fixture.now + delay);
      g_assert_cmpuint (wp_scheduler_get_n_queued (fixture.scheduler), ==, 1);
      g_assert_cmpuint (wp_scheduler_get_n_busy (fixture.scheduler), ==, 0);

      fixture.now += delay - 1;
      expect_nothing (&fixture);
      fixture.now++;
      delay *= 3;
    }

  chunk = expect_chunk (&fixture, 0, 0, 1);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

/* Neither the delay nor the factor nor the number of retries makes it overflow. */
static void
test_bound (void)
{
  const WpBatchPlan plans[] = {
    { .chunk_size = 1, .max_retries = G_MAXUINT, .retry_delay = G_MAXINT64, .retry_backoff = 1 },
    { .chunk_size = 1, .max_retries = G_MAXUINT, .retry_delay = MS, .retry_backoff = G_MAXDOUBLE },
    { .chunk_size = 1, .max_retries = G_MAXUINT, .retry_delay = DAY - 1, .retry_backoff = 1.5 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (plans); i++)
    {
      Fixture fixture;

      set_up (&fixture, 1, 1);
      start_all (&fixture, 1);
      add (&fixture, &plans[i], 1);
      for (guint j = 0; j < 70; j++)
        {
          WpAction chunk = expect_chunk (&fixture, 0, 0, 1);

          fail_task (&fixture, &chunk);
          expect_nothing (&fixture);
          if (j > 0 || i == 0)
            expect_deadline (&fixture, fixture.now + DAY);
          fixture.now += DAY;
        }
      tear_down (&fixture);
    }
}

static void
test_no_worker_kept (void)
{
  Fixture fixture;
  const WpBatchPlan plan = { .chunk_size = 1, .max_retries = 1, .retry_delay = 10 * MS };
  WpSchedulerBatch *other;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  wp_scheduler_close (fixture.scheduler, add (&fixture, &plan, 1));
  other = add (&fixture, &(WpBatchPlan){ .chunk_size = 1 }, 1);
  wp_scheduler_close (fixture.scheduler, other);

  chunk = expect_chunk (&fixture, 0, 0, 1);
  wp_scheduler_worker_gone (fixture.scheduler, 0, TRUE, chunk.sequence, 0, fixture.now);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 0, 1);
  g_assert_true (chunk.batch == other);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_nothing (&fixture);

  /* And none is started before it is needed. */
  die (&fixture, 0);
  expect_nothing (&fixture);
  expect_deadline (&fixture, fixture.now + 10 * MS);
  fixture.now += 10 * MS;
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  g_assert_cmpuint (expect_chunk (&fixture, 0, 0, 1).attempt, ==, 1);
  tear_down (&fixture);
}

static void
set_up_waiting (Fixture *fixture, WpSchedulerBatch **batch)
{
  const WpBatchPlan plan = { .chunk_size = 1, .max_retries = 1, .retry_delay = DAY };
  WpAction chunk;

  set_up (fixture, 1, 1);
  start_all (fixture, 1);
  *batch = add (fixture, &plan, 1);
  chunk = expect_chunk (fixture, 0, 0, 1);
  fail_task (fixture, &chunk);
  expect_nothing (fixture);
}

static void
test_cancel (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;

  set_up_waiting (&fixture, &batch);
  wp_scheduler_cancel (fixture.scheduler, batch, fixture.now);
  expect_failure (&fixture, 0, 1, WP_FAIL_CANCELLED);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_deadline (&fixture, G_MAXINT64);
  tear_down (&fixture);
}

static void
test_terminate (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;

  set_up_waiting (&fixture, &batch);
  wp_scheduler_terminate (fixture.scheduler);
  expect_failure (&fixture, 0, 1, WP_FAIL_TERMINATED);
  tear_down (&fixture);
}

static void
test_drain (void)
{
  Fixture fixture;
  WpSchedulerBatch *batch;
  WpAction chunk;

  set_up_waiting (&fixture, &batch);
  wp_scheduler_drain (fixture.scheduler);
  expect_nothing (&fixture);
  fixture.now += DAY;
  chunk = expect_chunk (&fixture, 0, 0, 1);
  finish (&fixture, &chunk, MS);
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  expect_action (&fixture, WP_ACTION_STOP_WORKER);
  tear_down (&fixture);
}

/* What was reported before its worker died comes again with what is salvaged, and runs again once. */
static void
test_salvage (void)
{
  Fixture fixture;
  const guint failed[] = { 0, 2 };
  WpSchedulerBatch *batch;
  WpResultsRange range;
  WpAction chunk;

  set_up (&fixture, 1, 1);
  start_all (&fixture, 1);
  batch = add (&fixture, &(WpBatchPlan){ .chunk_size = 4, .max_retries = 3 }, 4);
  wp_scheduler_close (fixture.scheduler, batch);
  chunk = expect_chunk (&fixture, 0, 0, 4);
  g_assert_true (wp_scheduler_results_with_retries (fixture.scheduler, 0, chunk.sequence, 0, 1, failed, 1, MS,
                                                    FALSE, FALSE, fixture.now, &range));
  g_assert_true (range.retried);
  g_assert_true (wp_scheduler_results_with_retries (fixture.scheduler, 0, chunk.sequence, 0, 3, failed, 2, MS,
                                                    FALSE, TRUE, fixture.now, &range));
  g_assert_true (range.retried);
  g_assert_cmpuint (range.skip, ==, 1);
  g_assert_cmpuint (range.n_tasks, ==, 2);
  g_assert_cmpuint (wp_scheduler_get_n_active (fixture.scheduler), ==, 3);

  die (&fixture, 0);
  expect_start (&fixture, 0);
  wp_scheduler_worker_ready (fixture.scheduler, 0, TRUE);
  chunk = expect_chunk (&fixture, 0, 3, 1);
  g_assert_cmpuint (chunk.attempt, ==, 0);
  finish (&fixture, &chunk, MS);
  for (guint i = 0; i < 2; i++)
    {
      chunk = expect_chunk (&fixture, 0, i == 0 ? 2 : 0, 1);
      g_assert_cmpuint (chunk.attempt, ==, 1);
      finish (&fixture, &chunk, MS);
    }
  expect_action (&fixture, WP_ACTION_BATCH_ENDED);
  tear_down (&fixture);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/scheduler/retries/at-once-without-a-delay", test_at_once);
  g_test_add_func ("/scheduler/retries/wait-longer-each-time", test_back_off);
  g_test_add_func ("/scheduler/retries/never-wait-for-more-than-a-day", test_bound);
  g_test_add_func ("/scheduler/retries/keep-no-worker", test_no_worker_kept);
  g_test_add_func ("/scheduler/retries/end-when-cancelled", test_cancel);
  g_test_add_func ("/scheduler/retries/end-when-terminated", test_terminate);
  g_test_add_func ("/scheduler/retries/are-waited-for", test_drain);
  g_test_add_func ("/scheduler/retries/salvaged-ones-run-again-once", test_salvage);

  return g_test_run ();
}
