/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools that give tasks to their workers in order: which worker ran a task follows from its index. */

#include <signal.h>

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

/* t: the index of a task → u, the worker that ran it. */
static GVariant *
tell_worker (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  task_begin (g_variant_get_uint64 (args));

  return g_variant_new_uint32 (wp_task_context_get_worker_id (context));
}

/* The same, but every seventh task kills its worker, in the first of its runs. */
static GVariant *
tell_worker_or_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (task_begin (index) == 1 && index % 7 == 3)
    raise (SIGKILL);

  return g_variant_new_uint32 (wp_task_context_get_worker_id (context));
}

/* The same, but every third task fails, in the first of its runs. */
static GVariant *
tell_worker_or_fail (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (task_begin (index) == 1 && index % 3 == 1)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "come back later");
      return NULL;
    }

  return g_variant_new_uint32 (wp_task_context_get_worker_id (context));
}

/* The same, but the first task waits for the gate. */
static GVariant *
tell_worker_or_wait (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  task_begin (index);
  if (index == 0)
    {
      counter_add (RUNNING, 1);
      counter_wait (GATE, 1);
    }

  return g_variant_new_uint32 (wp_task_context_get_worker_id (context));
}

static WpWorkerPool *
make_ordered_pool (guint n_jobs)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_order_tasks (pool, TRUE);
  wp_worker_pool_set_keep_alive (pool, TRUE);

  return pool;
}

static void
assert_map (WpWorkerPool *pool, const char *function, guint64 n, WpTaskOptions *options, guint chunk_size)
{
  const guint n_jobs = wp_worker_pool_get_n_jobs (pool);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, function, make_indices (n), options, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (results), ==, n);
  for (guint64 i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) worker = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_get_uint32 (worker), ==, i / chunk_size % n_jobs);
    }
}

static void
test_maps (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (3);
  g_autoptr (WpTaskOptions) options = make_options (4, 0, WP_ON_ERROR_STOP);

  /* The second one ends with worker 1: the third begins with worker 0 all the same. */
  assert_map (pool, "tell-worker", 50, options, 4);
  assert_map (pool, "tell-worker", 19, options, 4);
  assert_map (pool, "tell-worker", 50, options, 4);
  join_pool (pool);
}

static void
test_sizes (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (2);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();

  /* 64 chunks for each worker, … */
  for (guint i = 0; i < 2; i++)
    assert_map (pool, "tell-worker", 1000, NULL, 8);
  assert_map (pool, "tell-worker", 20, NULL, 1);
  /* … or as many as are asked for. */
  wp_task_options_set_n_splits (options, 5);
  assert_map (pool, "tell-worker", 1000, options, 200);
  join_pool (pool);
}

static void
test_batch (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (3, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpBatch) batch = NULL;

  wp_task_options_set_ordered (options, FALSE);
  batch = start_batch (pool, "tell-worker", options);
  for (guint64 i = 0; i < 50; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_no_error (wp_result_get_error (result));
      g_assert_cmpuint (g_variant_get_uint32 (wp_result_get_value (result)), ==, wp_result_get_index (result) / 3 % 2);
    }
  join_pool (pool);
}

static void
test_applies (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (3);

  for (guint64 i = 0; i < 7; i++)
    {
      g_autoptr (GVariant) worker = apply (pool, "tell-worker", g_variant_new_uint64 (i));

      g_assert_cmpuint (g_variant_get_uint32 (worker), ==, i % 3);
    }
  assert_map (pool, "tell-worker", 9, NULL, 1);
  join_pool (pool);
}

static void
test_waits (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_auto (Outcome) outcome = { 0 };
  g_autoptr (GVariant) third = NULL;
  g_autofree char *text = NULL;

  wp_worker_pool_map_async (pool, "tell-worker-or-wait", make_indices (9), options, NULL, on_mapped, &outcome);
  counter_wait (RUNNING, 1);
  poll_until (wp_worker_pool_get_n_busy (pool) == 1 && task_get_n_begun (7) > 0);
  g_assert_false (outcome.done);
  for (guint64 i = 0; i < 9; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, i % 2 == 1 || i == 0 ? 1 : 0);

  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  g_assert_no_error (outcome.error);
  third = g_variant_get_child_value (outcome.value, 2);
  text = g_variant_print (third, TRUE);
  g_assert_cmpstr (text, ==, "<uint32 0>");
  join_pool (pool);
}

static void
test_death (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (3);
  g_autoptr (WpTaskOptions) retried = make_options (5, 1, WP_ON_ERROR_STOP);
  g_autoptr (WpTaskOptions) lost = make_options (5, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;

  assert_map (pool, "tell-worker-or-die", 60, retried, 5);
  for (guint64 i = 0; i < 60; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, i % 7 == 3 ? 2 : 1);

  scratch_reset ();
  batch = start_batch (pool, "tell-worker-or-die", lost);
  for (guint64 i = 0; i < 60; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);
  for (guint64 i = 0; i < 60; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (i % 7 == 3)
        g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_WORKER_DIED);
      else
        g_assert_cmpuint (g_variant_get_uint32 (wp_result_get_value (result)), ==, i / 5 % 3);
    }
  join_pool (pool);
}

static void
test_retries (void)
{
  g_autoptr (WpWorkerPool) pool = make_ordered_pool (3);
  const guint delays[] = { 0, 5 };

  for (guint i = 0; i < G_N_ELEMENTS (delays); i++)
    {
      g_autoptr (WpTaskOptions) options = make_options (4, 1, WP_ON_ERROR_STOP);

      scratch_reset ();
      wp_task_options_set_retry_delay (options, delays[i]);
      wp_task_options_add_retry_error (options, G_IO_ERROR, G_IO_ERROR_BUSY);
      assert_map (pool, "tell-worker-or-fail", 60, options, 4);
      for (guint64 j = 0; j < 60; j++)
        g_assert_cmpuint (task_get_n_begun (j), ==, j % 3 == 1 ? 2 : 1);
    }
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/order-tasks/maps/begin-with-the-first-worker", test_maps },
  { "/order-tasks/maps/are-divided-alike", test_sizes },
  { "/order-tasks/batches/are-ordered-however-their-results-come", test_batch },
  { "/order-tasks/applies/take-turns", test_applies },
  { "/order-tasks/workers/do-not-help-each-other", test_waits },
  { "/order-tasks/workers/leave-their-tasks-to-who-takes-their-place", test_death, TRUE },
  { "/order-tasks/retries/stay-with-their-worker", test_retries },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("tell-worker", tell_worker, NULL, NULL);
  wp_register_function ("tell-worker-or-die", tell_worker_or_die, NULL, NULL);
  wp_register_function ("tell-worker-or-fail", tell_worker_or_fail, NULL, NULL);
  wp_register_function ("tell-worker-or-wait", tell_worker_or_wait, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
