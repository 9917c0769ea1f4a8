/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A task that is blocked in a call of GIO ends when it is cancelled, because it gave that call its cancellable. */

#include <signal.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
  HANDLED,
};

/* Whoever waits for the signals after this time has failed the test. */
#define GRACE_MS 600000

static void
block (GCancellable *cancellable)
{
  GPollFD poll_fd = { 0 };

  g_assert_true (g_cancellable_make_pollfd (cancellable, &poll_fd));
  g_poll (&poll_fd, 1, -1);
  g_cancellable_release_fd (cancellable);
}

/* u: a counter that is raised when the task runs. Blocks until it is cancelled. */
static GVariant *
block_task (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = wp_task_context_get_cancellable (context);

  g_assert_true (cancellable == wp_task_context_get_cancellable (context));
  counter_add (g_variant_get_uint32 (args), 1);
  block (cancellable);
  g_assert_true (wp_task_context_is_cancelled (context));
  g_cancellable_set_error_if_cancelled (cancellable, error);

  return NULL;
}

/* Asks when it is cancelled already. */
static GVariant *
ask_late (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  counter_wait (GATE, 1);
  block (wp_task_context_get_cancellable (context));
  g_cancellable_set_error_if_cancelled (wp_task_context_get_cancellable (context), error);

  return NULL;
}

/* The same by a handler, and whoever asks the context learns of it first. */
static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  counter_add (HANDLED, 1);
}

static GVariant *
ask_both_ways (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = wp_task_context_get_cancellable (context);
  gulong handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), NULL, NULL);

  counter_add (RUNNING, 1);
  yield_until (wp_task_context_is_cancelled (context));
  counter_wait (HANDLED, 1);
  g_cancellable_disconnect (cancellable, handler);
  g_cancellable_set_error_if_cancelled (cancellable, error);

  return NULL;
}

/* Waits for the gate, or for what must not happen → b, whether that did. */
static GVariant *
stay (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = wp_task_context_get_cancellable (context);

  counter_add (RUNNING, 1);
  yield_until (counter_get (GATE) > 0 || g_cancellable_is_cancelled (cancellable));

  return g_variant_new_boolean (g_cancellable_is_cancelled (cancellable));
}

/* t: the index of a task; every seventh kills its worker in its first run. */
static GVariant *
ask_and_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint64 index = g_variant_get_uint64 (args);
  GCancellable *cancellable = wp_task_context_get_cancellable (context);

  if (task_begin (index) == 1 && index % 7 == 3)
    raise (SIGKILL);
  g_assert_false (g_cancellable_is_cancelled (cancellable));
  task_end (index);

  return g_variant_ref (args);
}

static GVariant *
ask (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  if (g_cancellable_set_error_if_cancelled (wp_task_context_get_cancellable (context), error))
    return NULL;

  return g_variant_ref (args);
}

static WpWorkerPool *
make_patient (WpWorkerPool *pool)
{
  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_grace_period (pool, GRACE_MS);
  return pool;
}

/* The same worker serves on, with a cancellable that is as good as new. */
static void
check_serves_on (WpWorkerPool *pool)
{
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  counter_set (GATE, 1);
  result = wp_worker_pool_apply (pool, "stay", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (g_variant_get_boolean (result));
  counter_set (GATE, 0);
}

static void
check_apply (WpWorkerPool *pool, const char *function, GVariant *args)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) outcome = { 0 };
  const guint n_before = counter_get (RUNNING);

  expect_end ("a task that is blocked with its cancellable");
  wp_worker_pool_apply_async (pool, function, args, NULL, cancellable, on_applied, &outcome);
  counter_wait (RUNNING, n_before + 1);
  g_cancellable_cancel (cancellable);
  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  counter_set (GATE, 0);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  expect_end (NULL);
}

static void
check_applies (WpWorkerPool *pool)
{
  const int pid = apply_pid (pool);

  for (guint i = 0; i < 3; i++)
    {
      check_apply (pool, "block", g_variant_new_uint32 (RUNNING));
      check_serves_on (pool);
    }
  check_apply (pool, "ask-late", NULL);
  check_apply (pool, "ask-both-ways", NULL);
  check_serves_on (pool);
  g_assert_cmpint (apply_pid (pool), ==, pid);
  join_pool (pool);
}

static void
test_apply (void)
{
  g_autoptr (WpWorkerPool) pool = make_patient (make_pool (1));

  check_applies (pool);
}

static void
test_apply_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (1);

  check_applies (pool);
}

/* The tasks of one batch end, and that of another stays. */
static void
check_batches (WpWorkerPool *pool)
{
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) doomed = start_batch (pool, "block", options);
  g_autoptr (WpBatch) other = start_batch (pool, "stay", options);
  g_autoptr (WpResult) stayed = NULL;

  expect_end ("a batch whose tasks are blocked with their cancellables");
  for (guint i = 0; i < 2; i++)
    push_item (doomed, g_variant_new_uint32 (RUNNING));
  push_item (other, g_variant_new_tuple (NULL, 0));
  counter_wait (RUNNING, 3);

  wp_batch_cancel (doomed);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (WpResult) result = next_result (doomed);

      g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }

  counter_set (GATE, 1);
  stayed = next_result (other);
  g_assert_no_error (wp_result_get_error (stayed));
  g_assert_false (g_variant_get_boolean (wp_result_get_value (stayed)));
  join_pool (pool);
  expect_end (NULL);
}

static void
test_batches (void)
{
  g_autoptr (WpWorkerPool) pool = make_patient (make_pool (3));

  check_batches (pool);
}

static void
test_batches_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (3);

  check_batches (pool);
}

/* Workers that are threads cannot be killed: they have only this. */
static void
test_timeout_of_thread (void)
{
  g_autoptr (WpWorkerPool) pool = make_patient (make_pool_by (WP_START_METHOD_THREADING, 1));
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  expect_end ("a task that exceeds its task-timeout in a thread");
  wp_task_options_set_task_timeout (options, 50);
  result = wp_worker_pool_apply (pool, "block", g_variant_new_uint32 (RUNNING), options, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  apply_pid (pool);
  join_pool (pool);
  expect_end (NULL);
}

static void
test_terminate (void)
{
  g_autoptr (WpWorkerPool) pool = make_patient (make_pool (2));
  Outcome outcomes[2] = { 0 };

  expect_end ("a pool that is terminated while its tasks are blocked");
  for (guint i = 0; i < 2; i++)
    wp_worker_pool_apply_async (pool, "block", g_variant_new_uint32 (RUNNING), NULL, NULL, on_applied, &outcomes[i]);
  counter_wait (RUNNING, 2);
  wp_worker_pool_terminate (pool);
  for (guint i = 0; i < 2; i++)
    {
      iterate_until (&outcomes[i].done);
      g_assert_error (outcomes[i].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      outcome_clear (&outcomes[i]);
    }
  join_pool (pool);
  expect_end (NULL);
}

/* Cancellations come while tasks end and others begin. */
static void
check_race (WpWorkerPool *pool)
{
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_CONTINUE);

  for (guint round = 1; round <= 20; round++)
    {
      g_autoptr (WpBatch) doomed = start_batch (pool, "ask", options);
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;
      guint n = 0;

      counter_set (RUNNING, 0);
      while (wp_batch_get_room (doomed) > 0 && n++ < 500)
        push_item (doomed, g_variant_new_uint64 (0));
      counter_wait (RUNNING, round);
      wp_batch_cancel (doomed);

      results = wp_worker_pool_map (pool, "ask", make_indices (100), options, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, 100);
    }
  join_pool (pool);
}

static void
test_race (void)
{
  g_autoptr (WpWorkerPool) pool = make_patient (make_pool (2));

  check_race (pool);
}

static void
test_race_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (2);

  check_race (pool);
}

static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (5, 1, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "ask-and-die", make_indices (70), options, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 70);
  for (guint64 i = 0; i < 70; i++)
    g_assert_cmpuint (task_get_n_ended (i), ==, 1);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/cancellable/blocked/apply-ends-at-once", test_apply },
  { "/cancellable/blocked/apply-ends-at-once-over-pipes", test_apply_over_pipes },
  { "/cancellable/blocked/only-the-batch-ends", test_batches },
  { "/cancellable/blocked/only-the-batch-ends-over-pipes", test_batches_over_pipes },
  { "/cancellable/blocked/thread-ends-at-its-timeout", test_timeout_of_thread },
  { "/cancellable/blocked/ends-with-the-pool", test_terminate },
  { "/cancellable/race/next-task-is-not-cancelled", test_race },
  { "/cancellable/race/next-task-is-not-cancelled-over-pipes", test_race_over_pipes },
  { "/cancellable/deaths/each-result-once", test_deaths, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("block", block_task, NULL, NULL);
  wp_register_function ("ask-late", ask_late, NULL, NULL);
  wp_register_function ("ask-both-ways", ask_both_ways, NULL, NULL);
  wp_register_function ("stay", stay, NULL, NULL);
  wp_register_function ("ask-and-die", ask_and_die, NULL, NULL);
  wp_register_function ("ask", ask, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
