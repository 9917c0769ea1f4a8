/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a plain fork () of a process that has pools gives its child: copies of them that do nothing, and the right to
 * have pools of its own. */

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "descend.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* The status of a child that came to its end. */
#define ALL_IS_WELL 77

#define N_TASKS 3000
/* At which results the test forks. */
#define FORK_EVERY 750

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
};

static void
assert_closed (GError **error)
{
  g_assert_error (*error, WP_ERROR, WP_ERROR_CLOSED);
  assert_message (*error, "the process that this one was forked from");
  g_clear_error (error);
}

static void
assert_inert_pool (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  guint n_jobs = wp_worker_pool_get_n_jobs (pool);

  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
  assert_closed (&error);
  g_assert_null (wp_worker_pool_map (pool, "echo", make_indices (3), NULL, NULL, &error));
  assert_closed (&error);
  g_assert_null (wp_worker_pool_start_batch (pool, "echo", NULL, &error));
  assert_closed (&error);
  g_assert_false (wp_worker_pool_start (pool, &error));
  assert_closed (&error);
  g_assert_null (wp_worker_pool_list_functions (pool, NULL, NULL, &error));
  assert_closed (&error);

  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
  g_assert_cmpuint (wp_worker_pool_get_n_busy (pool), ==, 0);
  g_assert_cmpuint (wp_worker_pool_get_n_queued (pool), ==, 0);
  g_assert_cmpint (wp_worker_pool_get_start_method (pool), ==, get_start_method ());
  wp_worker_pool_set_n_jobs (pool, n_jobs + 1);
  g_assert_cmpuint (wp_worker_pool_get_n_jobs (pool), ==, n_jobs + 1);
  wp_worker_pool_set_keep_alive (pool, FALSE);
  wp_worker_pool_set_daemon (pool, FALSE);
  wp_worker_pool_set_grace_period (pool, 1);
  wp_worker_pool_set_start_timeout (pool, 1);

  wp_worker_pool_terminate (pool);
  g_assert_true (wp_worker_pool_join (pool, NULL, &error));
  join_pool (pool);
}

/* Asynchronous calls end in the child's own context. */
static void
assert_inert_pool_async (WpWorkerPool *pool)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Outcome outcomes[3] = { { 0 } };

  g_main_context_push_thread_default (context);
  wp_worker_pool_apply_async (pool, "echo", NULL, NULL, NULL, on_applied, &outcomes[0]);
  wp_worker_pool_map_async (pool, "echo", make_indices (3), NULL, NULL, on_mapped, &outcomes[1]);
  wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &outcomes[2]);
  while (!outcomes[0].done || !outcomes[1].done || !outcomes[2].done)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);

  assert_closed (&outcomes[0].error);
  assert_closed (&outcomes[1].error);
  g_assert_no_error (outcomes[2].error);
}

static void
assert_inert_batch (WpBatch *batch)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_auto (Outcome) outcome = { 0 };
  g_autoptr (GError) error = NULL;
  gboolean next_done = FALSE;

  g_assert_false (wp_batch_push (batch, g_variant_new_uint64 (1), &error));
  assert_closed (&error);
  g_assert_null (wp_batch_next (batch, NULL, &error));
  assert_closed (&error);

  g_main_context_push_thread_default (context);
  wp_batch_push_async (batch, g_variant_new_uint64 (1), NULL, on_pushed, &outcome);
  wp_batch_next_async (batch, NULL, on_done, &next_done);
  while (!outcome.done || !next_done)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  assert_closed (&outcome.error);

  wp_batch_get_id (batch);
  wp_batch_get_function (batch);
  wp_batch_get_state (batch);
  wp_batch_get_n_pushed (batch);
  wp_batch_get_n_completed (batch);
  wp_batch_get_n_failed (batch);
  wp_batch_get_n_total (batch);
  wp_batch_get_fraction (batch);
  wp_batch_get_rate (batch);
  wp_batch_get_remaining (batch);
  wp_batch_set_n_total (batch, 1);
  g_assert_cmpuint (wp_batch_get_room (batch), ==, 0);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  g_assert_null (g_list_model_get_item (G_LIST_MODEL (batch), 0));
  wp_batch_close (batch);
  wp_batch_cancel (batch);
}

static void
use_fresh_pool (WpStartMethod method)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (method, 2);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "echo", make_indices (100), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 100);
  join_pool (pool);
}

/* Forks, and has the child check what it has. */
static int
fork_child (WpWorkerPool *pool, WpBatch *batch, const WpStartMethod *methods, guint n_methods)
{
  int pid = fork ();

  if (pid != 0)
    {
      g_assert_cmpint (pid, >, 0);
      return pid;
    }

  alarm (PATIENCE_S);
  assert_inert_pool (pool);
  assert_inert_pool_async (pool);
  assert_inert_batch (batch);
  for (guint i = 0; i < n_methods; i++)
    use_fresh_pool (methods[i]);
  g_object_unref (batch);
  g_object_unref (pool);
  _exit (ALL_IS_WELL);
}

static void
wait_for_child (int pid)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFSIGNALED (status))
    g_error ("The forked child was ended by signal %d, %s", WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  g_assert_cmpint (WEXITSTATUS (status), ==, ALL_IS_WELL);
}

static void
test_while_results_stream (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (5, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpBatch) batch = NULL;
  WpStartMethod methods[4];
  guint n_methods = list_start_methods (methods);
  int children[N_TASKS / FORK_EVERY];
  WpResult *result;
  guint64 n = 0;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_task_options_set_max_active_tasks (options, N_TASKS);
  batch = start_batch (pool, "work", options);
  for (guint64 i = 0; i < N_TASKS; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);

  while ((result = next_result (batch)) != NULL)
    {
      if (n % FORK_EVERY == 0)
        children[n / FORK_EVERY] = fork_child (pool, batch, methods, n_methods);
      g_assert_cmpuint (wp_result_get_index (result), ==, n);
      g_assert_null (wp_result_get_error (result));
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, n);
      n++;
      g_object_unref (result);
    }
  g_assert_cmpuint (n, ==, N_TASKS);
  for (guint64 i = 0; i < N_TASKS; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, 1);

  for (guint i = 0; i < G_N_ELEMENTS (children); i++)
    wait_for_child (children[i]);
  /* What the children did has not ended it. */
  apply_pid (pool);
  join_pool (pool);
}

/* The copy of a pool that never started is as inert. */
static void
test_before_the_start (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  int pid = fork ();

  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;

      alarm (PATIENCE_S);
      g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
      assert_closed (&error);
      g_object_unref (pool);
      _exit (ALL_IS_WELL);
    }
  wait_for_child (pid);
  apply_pid (pool);
  join_pool (pool);
}

/* A child that ends at once, as one that only runs a program does, whatever the pool does at that moment. */
static void
test_any_moment (void)
{
  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);
      g_auto (Outcome) outcome = { 0 };
      guint n_spins = g_test_rand_int_range (0, 300);
      int pid;

      wp_worker_pool_map_async (pool, "work", make_indices (200), NULL, NULL, on_mapped, &outcome);
      while (n_spins-- > 0)
        g_thread_yield ();
      pid = fork ();
      if (pid == 0)
        {
          g_autoptr (GError) error = NULL;

          alarm (PATIENCE_S);
          if (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error) != NULL ||
              !g_error_matches (error, WP_ERROR, WP_ERROR_CLOSED))
            _exit (1);
          g_object_unref (pool);
          _exit (ALL_IS_WELL);
        }
      wait_for_child (pid);
      iterate_until (&outcome.done);
      g_assert_no_error (outcome.error);
      assert_indices (outcome.value, 200);
      join_pool (pool);
    }
}

/* exit () in a child joins none of its original's pools. */
static void
test_exit (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_auto (Outcome) outcome = { 0 };
  int pid;

  wp_worker_pool_set_daemon (pool, FALSE);
  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  pid = fork ();
  if (pid == 0)
    {
      alarm (PATIENCE_S);
      exit (ALL_IS_WELL);
    }
  wait_for_child (pid);
  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  g_assert_no_error (outcome.error);
  join_pool (pool);
}

/* Locks that were held */

/* Keeps GLib's allocator busy, which has locks of its own before GLib 2.76. */
static gpointer
allocate (gpointer data)
{
  const int *stop = data;
  gpointer pieces[400];

  while (!g_atomic_int_get (stop))
    {
      for (guint i = 0; i < G_N_ELEMENTS (pieces); i++)
        pieces[i] = g_slice_alloc (64);
      for (guint i = 0; i < G_N_ELEMENTS (pieces); i++)
        g_slice_free1 (64, pieces[i]);
      g_thread_yield ();
    }
  return NULL;
}

/* Keeps the lock busy that GObject takes whenever the last reference goes. */
static gpointer
drop_objects (gpointer data)
{
  const int *stop = data;

  while (!g_atomic_int_get (stop))
    {
      for (guint i = 0; i < 400; i++)
        g_object_unref (g_object_new (G_TYPE_OBJECT, NULL));
      g_thread_yield ();
    }
  return NULL;
}

/* A worker that is a copy may have been made while another thread held a lock. It is replaced by another one before it
 * has a task to hang with. */
static void
check_held_locks (GThreadFunc hold_locks)
{
  GThread *thread;
  int stop = FALSE;

  if (get_start_method () != WP_START_METHOD_FORK)
    {
      g_test_skip ("only workers that are copies of this process have its locks");
      return;
    }

  thread = g_thread_new ("holds-locks", hold_locks, &stop);
  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GVariant) result = NULL;
      g_autoptr (GError) error = NULL;

      wp_worker_pool_set_daemon (pool, FALSE);
      expect_end ("a copy of a process with busy locks");
      result = wp_worker_pool_apply (pool, "descend", make_descent ("fork", "echo", g_variant_new_uint64 (i)), NULL,
                                     NULL, &error);
      /* It may be that no copy was made at a good moment. */
      if (result == NULL)
        g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
      else
        g_assert_cmpuint (g_variant_get_uint64 (result), ==, i);
      join_pool (pool);
      expect_end (NULL);
    }
  g_atomic_int_set (&stop, TRUE);
  g_thread_join (thread);
}

static void
test_allocator (void)
{
  check_held_locks (allocate);
}

static void
test_objects (void)
{
  check_held_locks (drop_objects);
}

static const FaultTest tests[] = {
  { "/inherited/copies/inert-while-results-stream", test_while_results_stream },
  { "/inherited/copies/inert-before-the-start", test_before_the_start },
  { "/inherited/copies/inert-at-any-moment", test_any_moment },
  { "/inherited/copies/exit-joins-nothing", test_exit },
  { "/inherited/locks/held-by-the-allocator-hang-no-task", test_allocator },
  { "/inherited/locks/held-by-objects-hang-no-task", test_objects },
};

int
main (int argc, char **argv)
{
  int status;

  register_descend ();
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
