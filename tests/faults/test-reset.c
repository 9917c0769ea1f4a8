/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A pool that was reset is as one that never started. */

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_TASKS 100

static GVariant *
get_five (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (5);
}

static GVariant *
refuse (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "refused");
  return NULL;
}

static void
reset_pool (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  gboolean reset = wp_worker_pool_reset (pool, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (reset);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
}

static void
use_pool (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;

  results = wp_worker_pool_map (pool, "echo", make_indices (N_TASKS), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, N_TASKS);
}

static gsize
count_exit_results (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = wp_worker_pool_get_exit_results (pool, &error);

  g_assert_no_error (error);
  return g_variant_n_children (results);
}

static void
test_after_any_end (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  reset_pool (pool);
  use_pool (pool);
  reset_pool (pool);
  use_pool (pool);
  join_pool (pool);
  reset_pool (pool);
  use_pool (pool);
  wp_worker_pool_terminate (pool);
  reset_pool (pool);
  join_pool (pool);
  reset_pool (pool);
  use_pool (pool);
  join_pool (pool);
}

static void
test_settings (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  use_pool (pool);
  reset_pool (pool);
  wp_worker_pool_set_n_jobs (pool, 1);
  wp_worker_pool_set_worker_exit (pool, "get-five");
  use_pool (pool);
  reset_pool (pool);
  g_assert_cmpuint (count_exit_results (pool), ==, 1);
  wp_worker_pool_set_worker_exit (pool, NULL);
  g_assert_cmpuint (count_exit_results (pool), ==, 1);
  use_pool (pool);
  g_assert_cmpuint (count_exit_results (pool), ==, 0);
  join_pool (pool);
}

static void
test_failed_exit (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_worker_exit (pool, "refuse");
  use_pool (pool);
  g_assert_false (wp_worker_pool_reset (pool, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  wp_worker_pool_set_worker_exit (pool, NULL);
  use_pool (pool);
  join_pool (pool);
}

static void
on_reset (GObject *source, GAsyncResult *result, gpointer data)
{
  Outcome *outcome = data;

  g_assert_false (outcome->done);
  wp_worker_pool_reset_finish (WP_WORKER_POOL (source), result, &outcome->error);
  outcome->done = TRUE;
}

static void
test_async (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  /* One that has never started, one that has, and one that was joined. */
  for (guint i = 0; i < 3; i++)
    {
      g_auto (Outcome) outcome = { NULL };

      if (i > 0)
        use_pool (pool);
      if (i == 2)
        join_pool (pool);
      wp_worker_pool_reset_async (pool, NULL, on_reset, &outcome);
      iterate_until (&outcome.done);
      g_assert_no_error (outcome.error);
    }
  use_pool (pool);
  join_pool (pool);
}

static void
test_async_failed_exit (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_auto (Outcome) outcome = { NULL };

  wp_worker_pool_set_worker_exit (pool, "refuse");
  use_pool (pool);
  wp_worker_pool_reset_async (pool, NULL, on_reset, &outcome);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_BUSY);
  wp_worker_pool_set_worker_exit (pool, NULL);
  use_pool (pool);
  join_pool (pool);
}

/* The pool goes on stopping, and a later one resets it. */
static void
test_async_cancelled (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpApply) call = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) outcome = { NULL };

  call = wp_worker_pool_start_apply (pool, "hold", g_variant_new ("(uu)", 2, 3), NULL, NULL);
  g_assert_nonnull (call);
  counter_wait (2, 1);
  wp_worker_pool_reset_async (pool, cancellable, on_reset, &outcome);
  g_cancellable_cancel (cancellable);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  counter_set (3, 1);
  reset_pool (pool);
  use_pool (pool);
  join_pool (pool);
}

static void
test_untaken_results (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GError) error = NULL;

  push_item (batch, g_variant_new_uint64 (7));
  reset_pool (pool);
  use_pool (pool);
  g_assert_false (wp_batch_push (batch, g_variant_new_uint64 (8), &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  g_object_unref (next_result (batch));
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/reset/after-any-end", test_after_any_end },
  { "/reset/settings-can-be-changed", test_settings },
  { "/reset/failed-exit-function-is-told", test_failed_exit },
  { "/reset/asynchronous", test_async },
  { "/reset/asynchronous-tells-of-a-failed-exit-function", test_async_failed_exit },
  { "/reset/asynchronous-cancelled", test_async_cancelled },
  { "/reset/leaves-results-to-be-taken", test_untaken_results },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("get-five", get_five, NULL, NULL);
  wp_register_function ("refuse", refuse, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
