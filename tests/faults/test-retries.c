/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks that may run again: after which ends of theirs, when, and with what. */

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counter of this test: failed runs of "flaky". */
#define FAILED 0

/* No test waits for this one. */
#define DAY_MS (24 * 3600 * 1000)

/* (tu): the index of a task and in how many of its runs it fails → the index. */
static GVariant *
flaky (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;
  guint n_failures;

  g_variant_get (args, "(tu)", &index, &n_failures);
  if (task_begin (index) <= n_failures)
    {
      counter_add (FAILED, 1);
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "come back later");
      return NULL;
    }
  task_end (index);

  return g_variant_new_uint64 (index);
}

/* The same, but some of the others kill their worker in their first run. */
static GVariant *
flaky_or_deadly (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (index % 50 == 7 && task_begin (index) == 1)
    raise (SIGKILL);

  return flaky (context, g_variant_new ("(tu)", index, (guint) (index % 3)), NULL, error);
}

/* (tay): the index of a task, and bytes, which it returns in its second run. */
static GVariant *
second_time (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;
  g_autoptr (GVariant) bytes = NULL;

  g_variant_get (args, "(t@ay)", &index, &bytes);
  if (task_begin (index) == 1)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "come back later");
      return NULL;
    }

  return g_steal_pointer (&bytes);
}

/* (tu), as of "flaky" → x, the time. */
static GVariant *
tell_time (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) index = flaky (context, args, NULL, error);

  return index != NULL ? g_variant_new_int64 (g_get_monotonic_time ()) : NULL;
}

static WpTaskOptions *
make_retry_options (guint chunk_size, guint max_retries, guint delay)
{
  WpTaskOptions *options = make_options (chunk_size, max_retries, WP_ON_ERROR_CONTINUE);

  wp_task_options_set_retry_delay (options, delay);
  wp_task_options_add_retry_error (options, G_IO_ERROR, G_IO_ERROR_BUSY);

  return options;
}

/* Task i fails in its first 'i modulo n_kinds' runs. */
static GVariant *
make_flaky_items (guint64 n, guint n_kinds)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(tu)"));
  for (guint64 i = 0; i < n; i++)
    g_variant_builder_add (&builder, "(tu)", i, (guint) (i % n_kinds));

  return g_variant_builder_end (&builder);
}

/* Returns when so many tasks have failed and wait. */
static void
wait_for_waiting (WpWorkerPool *pool, guint n)
{
  counter_wait (FAILED, n);
  poll_until (wp_worker_pool_get_n_queued (pool) == n && wp_worker_pool_get_n_busy (pool) == 0);
}

static void
count_failure (WpWorkerPool *pool, guint64 id, GError *error, gpointer n_failures)
{
  ++*(guint *) n_failures;
}

static void
test_named (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  const guint delays[] = { 0, 1 };
  const guint64 n = 400;
  guint n_failures = 0;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  g_signal_connect (pool, "task-failed", G_CALLBACK (count_failure), &n_failures);
  for (guint i = 0; i < G_N_ELEMENTS (delays); i++)
    {
      g_autoptr (WpTaskOptions) options = make_retry_options (50, 2, delays[i]);
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      scratch_reset ();
      wp_task_options_set_on_error (options, WP_ON_ERROR_STOP);
      results = wp_worker_pool_map (pool, "flaky", make_flaky_items (n, 3), options, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, n);
      for (guint64 j = 0; j < n; j++)
        g_assert_cmpuint (task_get_n_begun (j), ==, 1 + j % 3);
    }
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (n_failures, ==, 0);
}

static void
test_others (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 5, WP_ON_ERROR_CONTINUE);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_add_retry_error (options, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  wp_task_options_add_retry_error (options, G_FILE_ERROR, WP_RETRY_ANY_CODE);
  result = wp_worker_pool_apply (pool, "flaky", g_variant_new ("(tu)", (guint64) 0, 1), options, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_cmpuint (task_get_n_begun (0), ==, 1);
  join_pool (pool);
}

static void
test_counted (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_retry_options (10, 2, 1);
  g_autoptr (WpBatch) batch = start_batch (pool, "flaky", options);
  guint n_failures = 0;

  g_signal_connect (pool, "task-failed", G_CALLBACK (count_failure), &n_failures);
  for (guint64 i = 0; i < 40; i++)
    push_item (batch, g_variant_new ("(tu)", i, i % 10 == 5 ? G_MAXUINT : 0));
  wp_batch_close (batch);

  for (guint64 i = 0; i < 40; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      if (i % 10 == 5)
        g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_BUSY);
      else
        g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
      g_assert_cmpuint (task_get_n_begun (i), ==, i % 10 == 5 ? 3 : 1);
      g_assert_cmpuint (wp_result_get_n_retries (result), ==, i % 10 == 5 ? 2 : 0);
    }
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (n_failures, ==, 4);
}

/* Each task says when it ran by its monotonic clock, and so does its result: what runs again may not move the others'
 * times to where they do not belong. */
static void
test_times (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_retry_options (12, 1, 0);
  g_autoptr (WpBatch) batch = NULL;

  wp_worker_pool_set_enable_insights (pool, TRUE);
  batch = start_batch (pool, "clock", options);
  for (guint64 i = 0; i < 48; i++)
    push_item (batch, g_variant_new ("(tu)", i, i % 5 == 1 || i % 5 == 2 ? 1 : 0));
  wp_batch_close (batch);

  for (guint64 i = 0; i < 48; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      gint64 start, now;

      g_assert_no_error (wp_result_get_error (result));
      now = g_variant_get_int64 (wp_result_get_value (result));
      start = wp_result_get_start_time (result);
      g_assert_cmpint (start, <=, now);
      g_assert_cmpint (start + wp_result_get_run_time (result) + 2, >=, now);
    }
  join_pool (pool);
}

static void
test_by_name (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 3, WP_ON_ERROR_STOP);
  g_autoptr (GError) busy = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_BUSY, "busy");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;

  wp_task_options_add_retry_error_by_name (options, "g-file-error-quark", WP_RETRY_ANY_CODE);
  g_assert_false (wp_task_options_is_retry_error (options, busy));
  wp_task_options_add_retry_error_by_name (options, "g-io-error-quark", WP_RETRY_ANY_CODE);
  g_assert_true (wp_task_options_is_retry_error (options, busy));
  result = wp_worker_pool_apply (pool, "flaky", g_variant_new ("(tu)", (guint64) 3, 3), options, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (task_get_n_begun (3), ==, 4);
  wp_task_options_clear_retry_errors (options);
  g_assert_false (wp_task_options_is_retry_error (options, busy));
  join_pool (pool);
}

/* What has a result is not held back by what waits, unless order is asked for. */
static void
test_unordered (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_retry_options (5, 1, DAY_MS);
  g_autoptr (WpBatch) batch = NULL;
  gboolean seen[20] = { FALSE };

  wp_task_options_set_ordered (options, FALSE);
  batch = start_batch (pool, "flaky", options);
  for (guint64 i = 0; i < 20; i++)
    push_item (batch, g_variant_new ("(tu)", i, i % 5 == 2 ? 1 : 0));
  wp_batch_close (batch);
  for (guint i = 0; i < 16; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      guint64 index = wp_result_get_index (result);

      g_assert_no_error (wp_result_get_error (result));
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, index);
      g_assert_false (seen[index]);
      seen[index] = TRUE;
    }
  wait_for_waiting (pool, 4);

  wp_batch_cancel (batch);
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_false (seen[wp_result_get_index (result)]);
      seen[wp_result_get_index (result)] = TRUE;
    }
  join_pool (pool);
}

/* Pools of one worker, so that nothing else would do if the waiting task kept it. */
static void
test_no_worker_kept (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_retry_options (0, 1, DAY_MS);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_apply_async (pool, "flaky", g_variant_new ("(tu)", (guint64) 0, 1), options, cancellable, on_applied,
                              &outcome);
  wait_for_waiting (pool, 1);
  g_assert_cmpuint (task_get_n_begun (0), ==, 1);
  for (guint i = 0; i < 3; i++)
    apply_pid (pool);
  g_assert_false (outcome.done);

  g_cancellable_cancel (cancellable);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (wp_worker_pool_get_n_queued (pool), ==, 0);
  g_assert_cmpuint (task_get_n_begun (0), ==, 1);
  join_pool (pool);
}

static void
test_terminate (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_retry_options (0, 1, DAY_MS);
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_map_async (pool, "flaky", make_flaky_items (10, 2), options, NULL, on_mapped, &outcome);
  wait_for_waiting (pool, 5);
  wp_worker_pool_terminate (pool);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  join_pool (pool);
}

/* The time that has to pass is the promise itself. */
static void
test_join (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_retry_options (0, 3, 20);
  g_auto (Outcome) outcome = { 0 };
  gint64 start = g_get_monotonic_time ();

  wp_task_options_set_retry_backoff (options, 2.0);
  wp_worker_pool_apply_async (pool, "flaky", g_variant_new ("(tu)", (guint64) 9, 3), options, NULL, on_applied,
                              &outcome);
  join_pool (pool);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, (20 + 40 + 80) * 1000);
  iterate_until (&outcome.done);
  g_assert_no_error (outcome.error);
  g_assert_cmpuint (task_get_n_begun (9), ==, 4);
}

static void
test_after_death (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (1, 2, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  wp_task_options_set_retry_delay (options, 50);
  result = wp_worker_pool_apply (pool, "die", g_variant_new ("(tsu)", (guint64) 4, "SIGKILL", 2), options, NULL,
                                 &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
  g_assert_cmpuint (task_get_n_begun (4), ==, 3);
  join_pool (pool);
}

static GVariant *
make_bytes (gsize size, guint8 value)
{
  guint8 *bytes = g_malloc (size);

  memset (bytes, value, size);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free, bytes);
}

/* Small ones, and such as travel as shared memory; nobody but the pool has them any more when they are needed again. */
static void
test_arguments (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  const gsize sizes[] = { 10, 300000 };

  wp_worker_pool_set_keep_alive (pool, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (WpTaskOptions) options = make_retry_options (2, 1, 5);
      g_autoptr (WpBatch) batch = start_batch (pool, "second-time", options);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) applied = NULL;

      scratch_reset ();
      for (guint64 j = 0; j < 6; j++)
        push_item (batch, g_variant_new ("(t@ay)", j, make_bytes (sizes[i], 'a' + j)));
      wp_batch_close (batch);
      for (guint64 j = 0; j < 6; j++)
        {
          g_autoptr (WpResult) result = next_result (batch);
          const guint8 *bytes;
          gsize size;

          g_assert_no_error (wp_result_get_error (result));
          bytes = g_variant_get_fixed_array (wp_result_get_value (result), &size, 1);
          g_assert_cmpuint (size, ==, sizes[i]);
          g_assert_cmpuint (bytes[0], ==, 'a' + j);
          g_assert_cmpuint (bytes[size - 1], ==, 'a' + j);
          g_assert_cmpuint (task_get_n_begun (j), ==, 2);
        }

      applied = wp_worker_pool_apply (pool, "second-time",
                                      g_variant_new ("(t@ay)", (guint64) 20, make_bytes (sizes[i], 'z')), options,
                                      NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_n_children (applied), ==, sizes[i]);
    }
  join_pool (pool);
}

/* Errors and deaths share the count of a task's retries. */
static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (3);
  g_autoptr (WpTaskOptions) options = make_retry_options (20, 3, 2);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 n = 600;

  results = wp_worker_pool_map (pool, "flaky-or-deadly", make_indices (n), options, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, n);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (task_get_n_ended (i), ==, 1);
  join_pool (pool);
}

static void
test_refused (void)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  const double wrong[] = { NAN, INFINITY, 0.5, -1.0, -INFINITY };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*retry_backoff >= 1.0*");
      wp_task_options_set_retry_backoff (options, wrong[i]);
      g_test_assert_expected_messages ();
    }
  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*retry_delay <= *");
  wp_task_options_set_retry_delay (options, DAY_MS + 1);
  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*domain != 0*");
  wp_task_options_add_retry_error (options, 0, 0);
  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*domain != NULL*");
  wp_task_options_add_retry_error_by_name (options, "", 0);
  g_test_assert_expected_messages ();

  g_assert_cmpfloat (wp_task_options_get_retry_backoff (options), ==, 1.0);
  g_assert_cmpuint (wp_task_options_get_retry_delay (options), ==, 0);
}

static const FaultTest tests[] = {
  { "/retries/errors/named-ones-run-again", test_named },
  { "/retries/errors/others-are-results", test_others },
  { "/retries/errors/are-counted", test_counted },
  { "/retries/errors/leave-the-times-to-their-tasks", test_times },
  { "/retries/errors/named-by-their-domain", test_by_name },
  { "/retries/errors/beside-deaths", test_deaths, TRUE },
  { "/retries/delay/holds-no-result-back", test_unordered },
  { "/retries/delay/keeps-no-worker-and-ends-with-a-cancellation", test_no_worker_kept },
  { "/retries/delay/ends-with-the-pool", test_terminate },
  { "/retries/delay/is-waited-for-by-a-join", test_join },
  { "/retries/delay/after-a-death", test_after_death, TRUE },
  { "/retries/arguments/are-kept", test_arguments },
  { "/retries/options/wrong-ones-are-refused", test_refused },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("flaky", flaky, NULL, NULL);
  wp_register_function ("flaky-or-deadly", flaky_or_deadly, NULL, NULL);
  wp_register_function ("clock", tell_time, NULL, NULL);
  wp_register_function ("second-time", second_time, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
