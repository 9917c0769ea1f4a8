/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks that take their worker away from the pool: it leaves for the background, is doubled, or hears no signal any
 * more. The pool ends what is not its worker and goes on. */

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_TASKS 30
#define BAD_TASK 11

/* The answer of one that should give none. */
#define COPY 999

/* Short, since it has to pass. */
#define GRACE_MS 50

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
};

/* The tasks */

/* As daemon () does: the worker's process ends, and its grandchild goes on where it was. */
static void
daemonise (void)
{
  if (fork () > 0)
    _exit (0);
  setsid ();
  if (fork () > 0)
    _exit (0);
  prctl (PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

/* The mistake of a task that starts a program, and has no way out for the child when that fails. Whether this is it. */
static gboolean
fork_and_forget (void)
{
  pid_t pid = fork ();
  int status;

  if (pid > 0)
    waitpid (pid, &status, 0);
  return pid == 0;
}

static void
become_deaf (const char *way)
{
  sigset_t all;

  if (g_str_equal (way, "blocks-signals"))
    {
      sigfillset (&all);
      sigprocmask (SIG_SETMASK, &all, NULL);
    }
  else
    {
      for (int signum = 1; signum < NSIG; signum++)
        signal (signum, SIG_IGN);
    }
}

/* (tsb): the index of the task, what it does to the worker if that is not empty, and whether it then returns. */
static GVariant *
misbehave (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char *way;
  gboolean returns;
  guint64 index;

  g_variant_get (args, "(t&sb)", &index, &way, &returns);
  task_begin (index);
  if (g_str_equal (way, "daemonises"))
    daemonise ();
  else if (g_str_equal (way, "forks"))
    index = fork_and_forget () ? COPY : index;
  else if (*way != '\0')
    become_deaf (way);
  counter_add (RUNNING, 1);
  while (!returns)
    pause ();
  task_end (index);

  return g_variant_new_uint64 (index);
}

static const char *const deaf_ways[] = { "blocks-signals", "ignores-signals" };

static GVariant *
make_args (guint64 index, const char *way, gboolean returns)
{
  return g_variant_new ("(tsb)", index, way, returns);
}

/* The tests */

/* One of the tasks misbehaves; returns what became of it. */
static GError *
run_misbehaving_task (const char *way, guint max_retries)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (5, max_retries, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "misbehave", options);
  GError *error = NULL;
  WpResult *result;
  guint64 n = 0;

  for (guint64 i = 0; i < N_TASKS; i++)
    push_item (batch, make_args (i, i == BAD_TASK ? way : "", TRUE));
  wp_batch_close (batch);

  while ((result = next_result (batch)) != NULL)
    {
      g_assert_cmpuint (wp_result_get_index (result), ==, n);
      if (n == BAD_TASK && wp_result_get_error (result) != NULL)
        error = g_error_copy (wp_result_get_error (result));
      else
        g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, n);
      n++;
      g_object_unref (result);
    }
  g_assert_cmpuint (n, ==, N_TASKS);
  join_pool (pool);

  return error;
}

/* What goes on in the background is not the worker, and has no say. */
static void
test_daemonises (void)
{
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;

      scratch_reset ();
      error = run_misbehaving_task ("daemonises", i % 2);
      g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
    }
}

static void
test_forks (void)
{
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;

      scratch_reset ();
      error = run_misbehaving_task ("forks", 0);
      g_assert_no_error (error);
    }
}

static void
test_deaf_is_cancelled (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (deaf_ways); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_auto (Outcome) outcome = { 0 };

      scratch_reset ();
      wp_worker_pool_set_grace_period (pool, GRACE_MS);
      wp_worker_pool_apply_async (pool, "misbehave", make_args (0, deaf_ways[i], FALSE), NULL, cancellable, on_applied,
                                  &outcome);
      counter_wait (RUNNING, 1);
      g_cancellable_cancel (cancellable);
      iterate_until (&outcome.done);
      g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      apply_pid (pool);
      join_pool (pool);
    }
}

static void
test_deaf_is_terminated (void)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (deaf_ways); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_auto (Outcome) outcome = { 0 };

      scratch_reset ();
      wp_worker_pool_set_daemon (pool, i % 2 == 0);
      wp_worker_pool_apply_async (pool, "misbehave", make_args (0, deaf_ways[i / 2], FALSE), NULL, NULL, on_applied,
                                  &outcome);
      counter_wait (RUNNING, 1);
      wp_worker_pool_terminate (pool);
      join_pool (pool);
      iterate_until (&outcome.done);
      g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
}

/* One that hears no signal still hears the pool. */
static void
test_deaf_is_joined (void)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (deaf_ways); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GVariant) result = NULL;
      g_autoptr (GError) error = NULL;

      wp_worker_pool_set_daemon (pool, i % 2 == 0);
      result = wp_worker_pool_apply (pool, "misbehave", make_args (0, deaf_ways[i / 2], TRUE), NULL, NULL, &error);
      g_assert_no_error (error);
      apply_pid (pool);
      join_pool (pool);
    }
}

/* Also what such a worker has below it. */
static GVariant *
be_deaf_above (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  become_deaf (g_variant_get_string (args, NULL));
  return wp_worker_pool_apply (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, error);
}

static void
test_deaf_with_a_pool (void)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (deaf_ways); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_auto (Outcome) outcome = { 0 };

      scratch_reset ();
      wp_worker_pool_set_daemon (pool, FALSE);
      wp_worker_pool_set_grace_period (pool, GRACE_MS);
      wp_worker_pool_apply_async (pool, "be-deaf-above", g_variant_new_string (deaf_ways[i / 2]), NULL, cancellable,
                                  on_applied, &outcome);
      counter_wait (RUNNING, 1);
      if (i % 2 == 0)
        g_cancellable_cancel (cancellable);
      else
        wp_worker_pool_terminate (pool);
      iterate_until (&outcome.done);
      g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      join_pool (pool);
    }
}

static const FaultTest tests[] = {
  { "/bad-workers/daemonises/costs-only-its-task", test_daemonises, TRUE },
  { "/bad-workers/forks/copy-does-not-answer", test_forks },
  { "/bad-workers/deaf/is-cancelled", test_deaf_is_cancelled, TRUE },
  { "/bad-workers/deaf/is-terminated", test_deaf_is_terminated, TRUE },
  { "/bad-workers/deaf/is-joined", test_deaf_is_joined, TRUE },
  { "/bad-workers/deaf/with-a-pool-of-its-own", test_deaf_with_a_pool, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("misbehave", misbehave, NULL, NULL);
  wp_register_function ("be-deaf-above", be_deaf_above, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
