/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a worker runs before its first task and after its last, and when another takes its place. */

#include <signal.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* As many starts as the pool tries in a row. */
#define N_TRIES 5

#define LIFESPAN 7
#define N_TASKS 100

#define LARGE (1000 * 1000)

/* Short, since it has to pass. */
#define TIMEOUT_MS 50

/* Counters of this test. */
enum
{
  N_INIT,
  N_INIT_ENDED,
  N_EXIT,
  RUNNING,
  GATE,
};

/* The functions. A worker's state is how many tasks it has run. */

static GVariant *
set_up (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_assert_null (wp_task_context_get_worker_state (context));
  g_assert_cmpuint (g_variant_n_children (args), ==, 0);
  counter_add (N_INIT, 1);
  wp_task_context_set_worker_state (context, g_new0 (guint64, 1), g_free);
  counter_add (N_INIT_ENDED, 1);
  return NULL;
}

static GVariant *
count (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 *n = wp_task_context_get_worker_state (context);

  (*n)++;
  return g_variant_ref (args);
}

static GVariant *
count_or_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint64 index = g_variant_get_uint64 (args);

  if (task_begin (index) == 1 && index % 10 == 3)
    raise (SIGKILL);
  task_end (index);
  return count (context, args, user_data, error);
}

static GVariant *
sum_up (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint64 *n = wp_task_context_get_worker_state (context);

  counter_add (N_EXIT, 1);
  return g_variant_new_uint64 (*n);
}

static GVariant *
refuse (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (N_INIT, 1);
  g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "The disk is full");
  return NULL;
}

static GVariant *
refuse_once (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return counter_get (N_INIT) == 0 ? refuse (context, args, user_data, error)
                                   : set_up (context, args, user_data, error);
}

static GVariant *
die_here (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (N_INIT, 1);
  raise (SIGKILL);
  return NULL;
}

/* A thread can be asked only. */
static GVariant *
hang (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (N_INIT, 1);
  yield_until (wp_task_context_is_cancelled (context));
  return NULL;
}

/* What frees the worker's state. */
static void
never_return (gpointer data)
{
  for (;;)
    pause ();
}

/* The worker ends only when it is killed. */
static GVariant *
set_up_for_ever (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (N_INIT, 1);
  counter_wait (GATE, 1);
  wp_task_context_set_worker_state (context, g_new0 (guint64, 1), never_return);
  return NULL;
}

static GVariant *
fail_for_ever (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  set_up_for_ever (context, args, user_data, error);
  return refuse (context, args, user_data, error);
}

static GVariant *
return_both (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  refuse (context, args, user_data, error);
  return g_variant_new_boolean (TRUE);
}

static GVariant *
return_large (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree guint8 *bytes = g_malloc0 (LARGE);

  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, LARGE, 1);
}

static GVariant *
return_nothing (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (N_EXIT, 1);
  return NULL;
}

/* Init */

static void
map_and_join (WpWorkerPool *pool, const char *function, guint64 n, guint max_retries)
{
  g_autoptr (WpTaskOptions) options = make_options (0, max_retries, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, function, make_indices (n), options, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, n);
  join_pool (pool);
}

/* The sum of the exit results, and how many there are. */
static guint64
sum_exit_results (WpWorkerPool *pool, guint64 most, gsize *n)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = wp_worker_pool_get_exit_results (pool, &error);
  guint64 sum = 0;

  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (results), ==, "av");
  *n = g_variant_n_children (results);
  for (gsize i = 0; i < *n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) result = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_get_uint64 (result), <=, most);
      sum += g_variant_get_uint64 (result);
    }
  return sum;
}

static void
test_once (WpWorkerPool *pool)
{
  gsize n;

  wp_worker_pool_set_worker_init (pool, "set-up");
  wp_worker_pool_set_worker_exit (pool, "sum-up");
  map_and_join (pool, "count", N_TASKS, 0);
  g_assert_cmpuint (sum_exit_results (pool, N_TASKS, &n), ==, N_TASKS);
  g_assert_cmpuint (n, ==, counter_get (N_INIT));
  g_assert_cmpuint (n, ==, counter_get (N_EXIT));
}

static void
test_once_in_each (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  test_once (pool);
}

static void
test_once_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (2);

  test_once (pool);
}

/* No map of the pool gets a worker; none of its starts is forgotten. */
static GError *
fail_to_start (const char *init, guint timeout)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  GError *error = NULL;

  wp_worker_pool_set_worker_init (pool, init);
  wp_worker_pool_set_worker_exit (pool, "sum-up");
  wp_worker_pool_set_worker_init_timeout (pool, timeout);
  g_assert_null (wp_worker_pool_map (pool, "count", make_indices (N_TASKS), NULL, NULL, &error));
  join_pool (pool);
  /* What has not begun has no end. */
  g_assert_cmpuint (counter_get (N_EXIT), ==, 0);
  return error;
}

static void
test_init_fails (void)
{
  g_autoptr (GError) error = fail_to_start ("refuse", 0);

  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
  assert_message (error, "failed in its init function “refuse”: The disk is full");
  g_assert_cmpuint (counter_get (N_INIT), ==, N_TRIES);
}

static void
test_init_breaks_contract (void)
{
  g_autoptr (GError) error = fail_to_start ("return-both", 0);

  g_assert_error (error, WP_ERROR, WP_ERROR_INVALID_RESULT);
}

static void
test_init_is_unknown (void)
{
  g_autoptr (GError) error = fail_to_start ("no-such-function", 0);

  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  assert_message (error, "no-such-function");
}

/* Asked before there is a worker. */
static void
test_names_are_wrong (void)
{
  g_autofree char *long_name = g_strnfill (1025, 'x');
  const char *const names[] = { "", "\xff", long_name };

  for (gsize i = 0; i < G_N_ELEMENTS (names) * 2; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GError) error = NULL;
      const gboolean is_init = i % 2 == 0;

      if (is_init)
        wp_worker_pool_set_worker_init (pool, names[i / 2]);
      else
        wp_worker_pool_set_worker_exit (pool, names[i / 2]);
      g_assert_false (wp_worker_pool_start (pool, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      assert_message (error, is_init ? "worker-init: the function's name is" : "worker-exit: the function's name is");
    }
}

static void
test_init_dies (void)
{
  g_autoptr (GError) error = fail_to_start ("die-here", 0);

  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  assert_message (error, "before its init function “die-here” had ended");
  g_assert_cmpuint (counter_get (N_INIT), ==, N_TRIES);
}

static void
test_init_hangs (void)
{
  g_autoptr (GError) error = fail_to_start ("hang", TIMEOUT_MS);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  assert_message (error, "exceeded the worker-init-timeout of 50 ms in “hang”");
}

static void
test_init_is_tried_again (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  wp_worker_pool_set_worker_init (pool, "refuse-once");
  map_and_join (pool, "count", N_TASKS, 0);
  g_assert_cmpuint (counter_get (N_INIT), ==, 2);
  g_assert_cmpuint (counter_get (N_INIT_ENDED), ==, 1);
}

/* The pool does not wait for what a worker does before its first task. */
static void
test_terminate_in_init (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_set_worker_init (pool, "hang");
  wp_worker_pool_apply_async (pool, "count", g_variant_new_uint64 (0), NULL, NULL, on_applied, &outcome);
  counter_wait (N_INIT, 1);
  wp_worker_pool_terminate (pool);
  join_pool (pool);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Exit */

/* All tasks have ended; the worker's end fails, and says so to whoever waits for it. */
static GError *
fail_to_end (const char *exit_function, guint timeout)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) again = NULL;
  g_auto (Outcome) outcome = { 0 };
  GError *error = NULL;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_worker_exit (pool, exit_function);
  wp_worker_pool_set_worker_exit_timeout (pool, timeout);
  results = wp_worker_pool_map (pool, "echo", make_indices (N_TASKS), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, N_TASKS);

  g_assert_false (wp_worker_pool_stop_and_join (pool, NULL, &error));
  g_assert_null (wp_worker_pool_get_exit_results (pool, &again));
  g_assert_error (again, error->domain, error->code);
  wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &outcome);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, error->domain, error->code);

  return error;
}

static void
test_exit_fails (void)
{
  g_autoptr (GError) error = fail_to_end ("refuse", 0);

  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
  assert_message (error, "failed in its exit function “refuse”: The disk is full");
}

static void
test_exit_is_unknown (void)
{
  g_autoptr (GError) error = fail_to_end ("no-such-function", 0);

  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
}

static void
test_exit_dies (void)
{
  g_autoptr (GError) error = fail_to_end ("die-here", 0);

  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (error, "before its exit function “die-here” had ended");
}

static void
test_exit_hangs (void)
{
  g_autoptr (GError) error = fail_to_end ("hang", TIMEOUT_MS);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  assert_message (error, "exceeded the worker-exit-timeout of 50 ms in “hang”");
}

static void
test_exit_is_large (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_worker_exit (pool, "return-large");
  g_assert_true (wp_worker_pool_start (pool, &error));
  map_and_join (pool, "echo", N_TASKS, 0);
  results = wp_worker_pool_get_exit_results (pool, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (results), >=, 1);
  for (gsize i = 0; i < g_variant_n_children (results); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) result = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_n_children (result), ==, LARGE);
    }
}

static void
test_exit_returns_nothing (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  gsize n;

  wp_worker_pool_set_worker_exit (pool, "return-nothing");
  map_and_join (pool, "echo", N_TASKS, 0);
  g_assert_cmpuint (sum_exit_results (pool, 0, &n), ==, 0);
  g_assert_cmpuint (n, ==, 0);
  g_assert_cmpuint (counter_get (N_EXIT), ==, 1);
}

static void
test_exit_of_nobody (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  gsize n;

  wp_worker_pool_set_worker_exit (pool, "sum-up");
  g_assert_cmpuint (sum_exit_results (pool, 0, &n), ==, 0);
  join_pool (pool);
  g_assert_cmpuint (n, ==, 0);
}

/* Its init function runs when it turns out that the worker is not needed. */
static void
end_for_ever (const char *init, const char *exit_function)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) joined = { 0 };

  scratch_reset ();
  wp_worker_pool_set_worker_init (pool, init);
  wp_worker_pool_set_worker_exit (pool, exit_function);
  g_assert_true (wp_worker_pool_start (pool, &error));
  g_assert_no_error (error);
  counter_wait (N_INIT, 1);
  wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &joined);
  counter_set (GATE, 1);
  iterate_until (&joined.done);
  g_assert_no_error (joined.error);
}

static void
test_not_needed_and_never_ends (void)
{
  end_for_ever ("set-up-for-ever", NULL);
  end_for_ever ("fail-for-ever", NULL);
}

static void
test_exit_and_never_ends (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  end_for_ever ("set-up-for-ever", "return-nothing");
  g_assert_cmpuint (counter_get (N_EXIT), ==, 1);

  wp_worker_pool_set_worker_init (pool, "set-up-for-ever");
  wp_worker_pool_set_worker_exit (pool, "return-nothing");
  /* Those that wait for an apply read the channel of its worker, so that the pool need not. */
  for (guint i = 0; i < 3; i++)
    apply_pid (pool);
  join_pool (pool);
  g_assert_cmpuint (counter_get (N_EXIT), ==, 2);
}

/* Lifespan */

static WpWorkerPool *
make_mortal_pool (guint n_jobs)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_worker_init (pool, "set-up");
  wp_worker_pool_set_worker_exit (pool, "sum-up");
  wp_worker_pool_set_worker_lifespan (pool, LIFESPAN);
  return pool;
}

static void
test_lifespan (void)
{
  for (guint n_jobs = 1; n_jobs <= 3; n_jobs++)
    {
      g_autoptr (WpWorkerPool) pool = make_mortal_pool (n_jobs);
      gsize n;

      scratch_reset ();
      map_and_join (pool, "count", N_TASKS, 0);
      g_assert_cmpuint (sum_exit_results (pool, LIFESPAN, &n), ==, N_TASKS);
      g_assert_cmpuint (n, ==, counter_get (N_INIT));
      /* All but the last of each id have run as many as they might. */
      g_assert_cmpuint (n, >=, (N_TASKS + LIFESPAN - 1) / LIFESPAN);
      g_assert_cmpuint (n, <, N_TASKS / LIFESPAN + 1 + n_jobs);
    }
}

static void
test_lifespan_of_one (void)
{
  g_autoptr (WpWorkerPool) pool = make_mortal_pool (2);
  gsize n;

  wp_worker_pool_set_worker_lifespan (pool, 1);
  map_and_join (pool, "count", 20, 0);
  g_assert_cmpuint (sum_exit_results (pool, 1, &n), ==, 20);
  g_assert_cmpuint (n, ==, 20);
}

/* Applies, each after the other has ended, count as well. */
static void
test_lifespan_of_applies (void)
{
  g_autoptr (WpWorkerPool) pool = make_mortal_pool (1);
  gsize n;

  for (guint64 i = 0; i < 2 * LIFESPAN; i++)
    {
      g_autoptr (GVariant) result = apply (pool, "count", g_variant_new_uint64 (i));

      g_assert_cmpuint (g_variant_get_uint64 (result), ==, i);
    }
  join_pool (pool);
  g_assert_cmpuint (sum_exit_results (pool, LIFESPAN, &n), ==, 2 * LIFESPAN);
  g_assert_cmpuint (n, ==, 2);
}

/* What a worker that died had run is in no exit result. */
static void
test_lifespan_among_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_mortal_pool (2);
  gsize n;

  map_and_join (pool, "count-or-die", N_TASKS, 1);
  g_assert_cmpuint (sum_exit_results (pool, LIFESPAN, &n), <, N_TASKS);
  g_assert_cmpuint (n, ==, counter_get (N_EXIT));
  for (guint64 i = 0; i < N_TASKS; i++)
    g_assert_cmpuint (task_get_n_ended (i), ==, 1);
}

/* A task that waits for the others to run: none of them waits for the worker that is being replaced. */
static void
test_lifespan_holds_nobody_up (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_auto (Outcome) held = { 0 };

  wp_worker_pool_set_worker_lifespan (pool, 1);
  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, &held);
  counter_wait (RUNNING, 1);
  for (guint64 i = 0; i < 5; i++)
    {
      g_autoptr (GVariant) result = apply (pool, "echo", g_variant_new_uint64 (i));

      g_assert_cmpuint (g_variant_get_uint64 (result), ==, i);
    }
  counter_set (GATE, 1);
  iterate_until (&held.done);
  g_assert_no_error (held.error);
  join_pool (pool);
}

/* Idle */

static void
hold_all (WpWorkerPool *pool, guint n)
{
  g_autofree Outcome *outcomes = g_new0 (Outcome, n);

  counter_set (GATE, 0);
  counter_set (RUNNING, 0);
  for (guint i = 0; i < n; i++)
    wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied,
                                &outcomes[i]);
  counter_wait (RUNNING, n);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, n);
  counter_set (GATE, 1);
  for (guint i = 0; i < n; i++)
    {
      iterate_until (&outcomes[i].done);
      g_assert_no_error (outcomes[i].error);
      outcome_clear (&outcomes[i]);
    }
}

static void
check_idle (guint min_workers)
{
  g_autoptr (WpWorkerPool) pool = make_pool (3);

  scratch_reset ();
  wp_worker_pool_set_worker_exit (pool, "return-nothing");
  wp_worker_pool_set_idle_timeout (pool, TIMEOUT_MS);
  wp_worker_pool_set_min_workers (pool, min_workers);
  for (guint i = 0; i < 2; i++)
    {
      hold_all (pool, 3);
      yield_until (wp_worker_pool_get_n_workers (pool) == min_workers);
      counter_wait (N_EXIT, (i + 1) * (3 - min_workers));
    }
  join_pool (pool);
  g_assert_cmpuint (counter_get (N_EXIT), ==, 2 * (3 - min_workers) + min_workers);
}

static void
test_idle (void)
{
  check_idle (0);
  check_idle (1);
}

static const FaultTest tests[] = {
  { "/worker-life/init-and-exit/once-in-each-worker", test_once_in_each },
  { "/worker-life/init-and-exit/over-pipes", test_once_over_pipes },
  { "/worker-life/init/fails-the-tasks-that-wait", test_init_fails },
  { "/worker-life/init/breaks-its-contract", test_init_breaks_contract },
  { "/worker-life/init/is-unknown", test_init_is_unknown },
  { "/worker-life/names/wrong-ones-are-refused", test_names_are_wrong },
  { "/worker-life/init/dies-each-time", test_init_dies, TRUE },
  { "/worker-life/init/takes-too-long", test_init_hangs },
  { "/worker-life/init/is-tried-again", test_init_is_tried_again },
  { "/worker-life/init/is-terminated", test_terminate_in_init },
  { "/worker-life/init/of-a-worker-that-is-not-needed-and-never-ends", test_not_needed_and_never_ends, TRUE },
  { "/worker-life/exit/of-a-worker-that-never-ends", test_exit_and_never_ends, TRUE },
  { "/worker-life/exit/fails-the-join", test_exit_fails },
  { "/worker-life/exit/is-unknown", test_exit_is_unknown },
  { "/worker-life/exit/dies", test_exit_dies, TRUE },
  { "/worker-life/exit/takes-too-long", test_exit_hangs },
  { "/worker-life/exit/large-result", test_exit_is_large },
  { "/worker-life/exit/returns-nothing", test_exit_returns_nothing },
  { "/worker-life/exit/of-a-pool-that-never-started", test_exit_of_nobody },
  { "/worker-life/lifespan/exactly-so-many-tasks", test_lifespan },
  { "/worker-life/lifespan/of-one-task", test_lifespan_of_one },
  { "/worker-life/lifespan/of-applies", test_lifespan_of_applies },
  { "/worker-life/lifespan/among-deaths", test_lifespan_among_deaths, TRUE },
  { "/worker-life/lifespan/holds-nobody-up", test_lifespan_holds_nobody_up },
  { "/worker-life/idle/end-and-come-back", test_idle },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("set-up", set_up, NULL, NULL);
  wp_register_function ("count", count, NULL, NULL);
  wp_register_function ("count-or-die", count_or_die, NULL, NULL);
  wp_register_function ("sum-up", sum_up, NULL, NULL);
  wp_register_function ("refuse", refuse, NULL, NULL);
  wp_register_function ("set-up-for-ever", set_up_for_ever, NULL, NULL);
  wp_register_function ("fail-for-ever", fail_for_ever, NULL, NULL);
  wp_register_function ("refuse-once", refuse_once, NULL, NULL);
  wp_register_function ("die-here", die_here, NULL, NULL);
  wp_register_function ("hang", hang, NULL, NULL);
  wp_register_function ("return-both", return_both, NULL, NULL);
  wp_register_function ("return-large", return_large, NULL, NULL);
  wp_register_function ("return-nothing", return_nothing, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
