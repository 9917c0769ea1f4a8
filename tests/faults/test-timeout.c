/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks that may not run for longer than their task-timeout. */

#include <string.h>
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
};

/* No test machine is so slow that a short task takes this long, and none waits for it. */
#define LONG_MS 60000
#define SHORT_MS 100

/* t: the index of a task; every tenth waits for the gate, in the first of its runs. */
static GVariant *
maybe_hang (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (task_begin (index) == 1 && index % 10 == 5)
    {
      counter_add (RUNNING, 1);
      counter_wait (GATE, 1);
    }
  task_end (index);

  return g_variant_ref (args);
}

static WpTaskOptions *
make_timeout_options (guint timeout, guint chunk_size, guint max_retries)
{
  WpTaskOptions *options = make_options (chunk_size, max_retries, WP_ON_ERROR_CONTINUE);

  wp_task_options_set_task_timeout (options, timeout);

  return options;
}

/* What hung is the only thing that failed, and nothing ran twice. */
static void
check_alone (WpWorkerPool *pool, guint chunk_size)
{
  g_autoptr (WpTaskOptions) options = make_timeout_options (SHORT_MS, chunk_size, 0);
  g_autoptr (WpBatch) batch = start_batch (pool, "maybe-hang", options);
  const guint64 n = 40;

  for (guint64 i = 0; i < n; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);

  for (guint64 i = 0; i < n; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      g_assert_cmpuint (task_get_n_begun (i), ==, 1);
      if (i % 10 == 5)
        {
          g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
          assert_message (wp_result_get_error (result), "exceeded the task-timeout of 100 ms");
          assert_message (wp_result_get_error (result), "“maybe-hang”");
        }
      else
        {
          g_assert_no_error (wp_result_get_error (result));
          g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
        }
    }
}

static void
test_alone (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  check_alone (pool, 10);
  join_pool (pool);
}

static void
test_stdio (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);

  wp_worker_pool_set_launcher (pool, launcher);
  check_alone (pool, 10);
  join_pool (pool);
}

static void
test_stop (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_task_timeout (options, SHORT_MS);
  results = wp_worker_pool_map (pool, "maybe-hang", make_indices (100), options, NULL, &error);
  g_assert_null (results);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  join_pool (pool);
}

static void
test_retry (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_timeout_options (SHORT_MS, 5, 1);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "maybe-hang", make_indices (20), options, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 20);
  for (guint64 i = 0; i < 20; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, i % 10 == 5 ? 2 : 1);
  join_pool (pool);
}

/* Tasks that wait, for a worker or in its chunk, have not started. */
static void
test_from_start (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_timeout_options (SHORT_MS, 100, 0);
  g_auto (Outcome) held = { 0 };
  g_auto (Outcome) mapped = { 0 };
  gint64 start = g_get_monotonic_time ();

  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, &held);
  counter_wait (RUNNING, 1);
  wp_worker_pool_map_async (pool, "record", make_indices (1000), options, NULL, on_mapped, &mapped);
  /* The time that has to pass is the promise itself. */
  while (g_get_monotonic_time () - start < 3 * SHORT_MS * 1000)
    g_main_context_iteration (NULL, FALSE);
  g_assert_false (mapped.done);
  counter_set (GATE, 1);
  iterate_until (&held.done);
  iterate_until (&mapped.done);
  g_assert_no_error (held.error);
  g_assert_no_error (mapped.error);
  assert_indices (mapped.value, 1000);
  join_pool (pool);
}

static void
test_apply (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_timeout_options (SHORT_MS, 0, 0);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "maybe-hang", g_variant_new_uint64 (5), options, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  apply_pid (pool);
  join_pool (pool);
}

static void
test_long (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  const guint timeouts[] = { LONG_MS, G_MAXUINT };

  for (guint i = 0; i < G_N_ELEMENTS (timeouts); i++)
    {
      g_autoptr (WpTaskOptions) options = make_timeout_options (timeouts[i], 0, 0);
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      results = wp_worker_pool_map (pool, "work", make_indices (1000), options, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, 1000);
    }
  join_pool (pool);
}

/* s: waits for the gate whoever asks it to stop, and tells whether it was asked. */
static GVariant *
insist (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  yield_until (wp_task_context_is_cancelled (context));
  counter_wait (GATE, 1);

  return g_variant_new_boolean (TRUE);
}

static void
test_threading (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpTaskOptions) options = make_timeout_options (SHORT_MS, 0, 0);
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_set_start_method (pool, WP_START_METHOD_THREADING);
  wp_worker_pool_apply_async (pool, "insist", NULL, options, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  iterate_pending ();
  g_assert_false (outcome.done);
  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  assert_message (outcome.error, "could only be asked to stop");
  apply_pid (pool);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/timeout/task/fails-alone", test_alone, TRUE },
  { "/timeout/task/fails-alone-over-pipes", test_stdio },
  { "/timeout/task/stops-the-map", test_stop, TRUE },
  { "/timeout/task/runs-again", test_retry, TRUE },
  { "/timeout/task/of-an-apply", test_apply, TRUE },
  { "/timeout/task/in-a-thread-is-asked", test_threading },
  { "/timeout/time/counts-from-the-start-of-the-task", test_from_start },
  { "/timeout/time/may-be-long", test_long },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("maybe-hang", maybe_hang, NULL, NULL);
  wp_register_function ("insist", insist, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
