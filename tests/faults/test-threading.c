/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Workers that are threads of their owner. */

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
  N_FINISHED,
};

static WpWorkerPool *the_pool;

static WpWorkerPool *
make_thread_pool (guint n_jobs)
{
  WpWorkerPool *pool = wp_worker_pool_new (n_jobs);

  wp_worker_pool_set_start_method (pool, WP_START_METHOD_THREADING);

  return pool;
}

/* Goes on until the gate opens, whoever asks it to stop. */
static GVariant *
insist (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  counter_wait (GATE, 1);
  counter_add (N_FINISHED, 1);

  return g_variant_new_boolean (wp_task_context_is_cancelled (context));
}

static GVariant *
get_thread (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint64 (GPOINTER_TO_SIZE (g_thread_self ()));
}

static void
test_process (void)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (2);
  g_autoptr (GVariant) thread = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (apply_pid (pool), ==, getpid ());
  thread = wp_worker_pool_apply (pool, "get-thread", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint64 (thread), !=, GPOINTER_TO_SIZE (g_thread_self ()));
  join_pool (pool);
}

static void
test_at_once (void)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (3);
  Outcome outcomes[3] = { { 0 } };

  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    wp_worker_pool_apply_async (pool, "insist", NULL, NULL, NULL, on_applied, &outcomes[i]);
  counter_wait (RUNNING, G_N_ELEMENTS (outcomes));
  counter_set (GATE, 1);
  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    {
      iterate_until (&outcomes[i].done);
      g_assert_no_error (outcomes[i].error);
      outcome_clear (&outcomes[i]);
    }
  join_pool (pool);
}

static gpointer
join_in_thread (gpointer data)
{
  join_pool (data);
  counter_add (N_FINISHED, 1);

  return NULL;
}

/* The caller has its answer at once; the thread is waited for. */
static void
test_terminate (void)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (1);
  g_auto (Outcome) outcome = { 0 };
  GThread *joiner;

  wp_worker_pool_apply_async (pool, "insist", NULL, NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  wp_worker_pool_terminate (pool);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  joiner = g_thread_new ("join", join_in_thread, pool);
  g_assert_cmpuint (counter_get (N_FINISHED), ==, 0);
  counter_set (GATE, 1);
  g_thread_join (joiner);
  g_assert_cmpuint (counter_get (N_FINISHED), ==, 2);
}

static void
test_cancel (void)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_set_grace_period (pool, 1);
  wp_worker_pool_apply_async (pool, "insist", NULL, NULL, cancellable, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  g_cancellable_cancel (cancellable);
  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (counter_get (N_FINISHED), ==, 1);

  /* A new thread serves, when the grace period has ended the old one. */
  g_assert_cmpint (apply_pid (pool), ==, getpid ());
  join_pool (pool);
}

static void
test_dispose (void)
{
  WpWorkerPool *pool = make_thread_pool (1);
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_apply_async (pool, "insist", NULL, NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  wp_worker_pool_terminate (pool);
  g_object_unref (pool);
  iterate_until (&outcome.done);
  counter_set (GATE, 1);
}

/* A task that would wait for itself */

/* s: what it waits for. */
static GVariant *
wait_for_own_pool (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char *what = g_variant_get_string (args, NULL);

  if (g_str_equal (what, "end"))
    return wp_worker_pool_stop_and_join (the_pool, NULL, error) ? g_variant_new_boolean (TRUE) : NULL;

  return wp_worker_pool_apply (the_pool, "pid", NULL, NULL, NULL, error);
}

static void
test_own_pool (void)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (1);
  const char *const whats[] = { "end", "task" };

  the_pool = pool;
  for (guint i = 0; i < G_N_ELEMENTS (whats); i++)
    {
      g_autoptr (GVariant) result = NULL;
      g_autoptr (GError) error = NULL;

      result = wp_worker_pool_apply (pool, "wait-for-own-pool", g_variant_new_string (whats[i]), NULL, NULL, &error);
      g_assert_null (result);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      assert_message (error, "of the pool that runs it");
    }
  the_pool = NULL;
  g_assert_cmpint (apply_pid (pool), ==, getpid ());
  join_pool (pool);
}

/* The daemonic worker is the thread, not the process. */
static GVariant *
make_inner_pool (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (1);

  return wp_worker_pool_apply (pool, "pid", NULL, NULL, NULL, error);
}

static void
test_daemon (void)
{
  g_autoptr (WpWorkerPool) pool = make_thread_pool (1);
  g_autoptr (WpWorkerPool) other = make_thread_pool (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "make-inner-pool", NULL, NULL, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, WP_ERROR, WP_ERROR_NESTED);
  g_clear_error (&error);
  g_assert_cmpint (apply_pid (other), ==, getpid ());
  join_pool (pool);
  join_pool (other);
}

static const FaultTest tests[] = {
  { "/threading/tasks/run-in-this-process-beside-the-caller", test_process },
  { "/threading/tasks/run-at-once", test_at_once },
  { "/threading/stop/terminate-answers-at-once-and-join-waits", test_terminate },
  { "/threading/stop/cancel-asks", test_cancel },
  { "/threading/stop/dispose-does-not-wait", test_dispose },
  { "/threading/stop/a-task-does-not-wait-for-its-own-pool", test_own_pool },
  { "/threading/daemon/is-the-thread-alone", test_daemon },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("insist", insist, NULL, NULL);
  wp_register_function ("get-thread", get_thread, NULL, NULL);
  wp_register_function ("wait-for-own-pool", wait_for_own_pool, NULL, NULL);
  wp_register_function ("make-inner-pool", make_inner_pool, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
