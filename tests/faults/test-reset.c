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
