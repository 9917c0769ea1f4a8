/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a program can rely on when it makes a pool and chooses how its workers come to life. */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  N_EXIT_HANDLERS,
  RUNNING,
  GATE,
  N_ENDED,
  WORKER,
  N_REFUSED,
};

/* Set in the environment of this program to make it a host that never becomes a worker. */
#define CARELESS_VARIABLE "WP_TEST_CARELESS"

/* Set in the environment of this program to make it an owner: the number of a start method, and "daemonic" or not. */
#define OWNER_VARIABLE "WP_TEST_OWNER"

static void
count_signal (WpWorkerPool *pool, guint worker_id, int pid, gpointer error, gpointer data)
{
  (*(guint *) data)++;
}

/* How many workers */

static void
test_affinity (void)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  cpu_set_t before, one;
  int cpu = 0;

  g_assert_cmpint (sched_getaffinity (0, sizeof before, &before), ==, 0);
  while (!CPU_ISSET (cpu, &before))
    cpu++;
  CPU_ZERO (&one);
  CPU_SET (cpu, &one);
  g_assert_cmpint (sched_setaffinity (0, sizeof one, &one), ==, 0);
  pool = wp_worker_pool_new (0);
  g_assert_cmpint (sched_setaffinity (0, sizeof before, &before), ==, 0);

  g_assert_cmpuint (wp_worker_pool_get_n_jobs (pool), ==, 1);
}

static void
test_nothing_before_the_first_task (void)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  Census before, after;

  census_take (&before);
  pool = make_pool (2);
  wp_worker_pool_set_keep_alive (pool, TRUE);
  census_take (&after);
  g_assert_cmpuint (after.n_threads, ==, before.n_threads);
  g_assert_cmpuint (after.n_children, ==, before.n_children);
  g_assert_cmpuint (after.n_descriptors, ==, before.n_descriptors);
}

static void
test_no_more_than_tasks (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (8);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  guint n_exited = 0;

  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_signal), &n_exited);
  results = wp_worker_pool_map (pool, "echo", make_indices (2), NULL, NULL, &error);
  g_assert_no_error (error);
  join_pool (pool);
  iterate_pending ();

  g_assert_cmpuint (n_exited, >=, 1);
  g_assert_cmpuint (n_exited, <=, 2);
}

/* Keep-alive */

static void
test_workers_of_apply_stay (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const int pid = apply_pid (pool);

  g_assert_cmpint (apply_pid (pool), ==, pid);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 1);

  results = wp_worker_pool_map (pool, "echo", make_indices (2), NULL, NULL, &error);
  g_assert_no_error (error);
  yield_until (wp_worker_pool_get_n_workers (pool) == 0);
  join_pool (pool);
}

/* A host that does not ask whether it is one */

static int
act_as_careless_host (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (GError) error = NULL;

  scratch_attach ();
  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_NESTED);
  assert_message (error, "wp_worker_is_requested()");
  counter_add (N_REFUSED, 1);

  return EXIT_SUCCESS;
}

/* Its own pools would start it again, and so on without end. */
static void
test_careless_host (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (WP_START_METHOD_SPAWN, 1);
  g_autoptr (GError) error = NULL;

  g_setenv (CARELESS_VARIABLE, "yes", TRUE);
  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
  g_unsetenv (CARELESS_VARIABLE);
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  g_assert_cmpuint (counter_get (N_REFUSED), >=, 1);
  g_assert_cmpuint (counter_get (N_REFUSED), <, 20);
  join_pool (pool);
}

/* Copies */

static GVariant *
get_standard_input (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *target = g_file_read_link ("/proc/self/fd/0", error);

  return target != NULL ? g_variant_new_string (target) : NULL;
}

static void
test_standard_input (void)
{
  const WpStartMethod methods[] = { WP_START_METHOD_SPAWN, WP_START_METHOD_FORKSERVER, WP_START_METHOD_FORK };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool_by (methods[i], 1);
      g_autoptr (GVariant) target = NULL;
      g_autoptr (GError) error = NULL;

      target = wp_worker_pool_apply (pool, "get-standard-input", NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (g_variant_get_string (target, NULL), ==, "/dev/null");
      join_pool (pool);
    }
}

static gboolean
set_dispatched (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

/* TRUE: the task has a context that it can iterate, and it is not what the owner iterates. */
static GVariant *
use_context (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GMainContext *own = g_main_context_get_thread_default ();
  g_autoptr (GSource) source = g_idle_source_new ();
  gboolean dispatched = FALSE;

  if (own == NULL || own == g_main_context_default ())
    return g_variant_new_boolean (FALSE);

  g_source_set_callback (source, set_dispatched, &dispatched, NULL);
  g_source_attach (source, own);
  while (!dispatched)
    g_main_context_iteration (own, TRUE);

  return g_variant_new_boolean (TRUE);
}

static void
test_context (void)
{
  const WpStartMethod methods[] = { WP_START_METHOD_FORK, WP_START_METHOD_THREADING };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool_by (methods[i], 1);
      g_autoptr (GVariant) result = NULL;
      g_autoptr (GError) error = NULL;

      result = wp_worker_pool_apply (pool, "use-context", NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_get_boolean (result));
      join_pool (pool);
    }
}

static void
count_exit (void)
{
  counter_add (N_EXIT_HANDLERS, 1);
}

/* What the owner does at its exit, such as removing its temporary files, is not for its copies to do. */
static void
test_exit_handlers (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (WP_START_METHOD_FORK, 2);
  g_autoptr (GError) error = NULL;

  g_assert_true (wp_worker_pool_start (pool, &error));
  g_assert_no_error (error);
  apply_pid (pool);
  join_pool (pool);
  g_assert_cmpuint (counter_get (N_EXIT_HANDLERS), ==, 0);
}

/* An owner that becomes another program */

static GVariant *
stay (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_set (WORKER, (guint) getpid ());
  counter_add (RUNNING, 1);
  counter_wait (GATE, 1);
  counter_add (N_ENDED, 1);

  return g_variant_new_boolean (TRUE);
}

static int
act_as_owner (const char *role)
{
  WpWorkerPool *pool = make_pool_by (atoi (role), 1);
  Outcome outcome = { 0 };

  wp_worker_pool_set_daemon (pool, strstr (role, "daemonic") != NULL);
  wp_worker_pool_apply_async (pool, "stay", NULL, NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  /* Not to outlive a test that fails; the other program keeps it. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  execl ("/bin/sleep", "sleep", "1000", NULL);

  return EXIT_FAILURE;
}

/* A zombie runs no more. */
static gboolean
is_running (guint pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%u/stat", pid);
  g_autofree char *stat = NULL;
  const char *state;

  if (!g_file_get_contents (path, &stat, NULL, NULL))
    return FALSE;

  state = strrchr (stat, ')');

  return state != NULL && !g_str_has_prefix (state, ") Z") && !g_str_has_prefix (state, ") X");
}

static void
check_exec (WpStartMethod method, gboolean is_daemonic)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *role = g_strdup_printf ("%d%s", method, is_daemonic ? " daemonic" : "");
  g_autoptr (GSubprocess) owner = NULL;
  g_autoptr (GError) error = NULL;

  g_test_message ("%s", role);
  scratch_reset ();
  g_subprocess_launcher_setenv (launcher, OWNER_VARIABLE, role, TRUE);
  owner = g_subprocess_launcher_spawn (launcher, &error, program, NULL);
  g_assert_no_error (error);

  counter_wait (RUNNING, 1);
  yield_until (!is_running (counter_get (WORKER)));
  g_assert_cmpuint (counter_get (N_ENDED), ==, 0);

  g_subprocess_force_exit (owner);
  g_assert_true (g_subprocess_wait (owner, NULL, &error));
}

static void
test_exec (void)
{
  const WpStartMethod methods[] = { WP_START_METHOD_SPAWN, WP_START_METHOD_FORKSERVER, WP_START_METHOD_FORK };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      check_exec (methods[i], TRUE);
      check_exec (methods[i], FALSE);
    }
}

/* Threads */

static void
assert_no_process (WpWorkerPool *pool, guint worker_id, int pid, gpointer data)
{
  g_assert_cmpint (pid, ==, 0);
  (*(guint *) data)++;
}

static void
test_threads_have_no_process (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (WP_START_METHOD_THREADING, 1);
  guint n_started = 0;

  g_signal_connect (pool, "worker-started", G_CALLBACK (assert_no_process), &n_started);
  apply_pid (pool);
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (n_started, ==, 1);
}

/* Standard streams */

static GVariant *
print (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char text[] = "This is no frame, and long enough to be taken for the head of one.\n";
  gboolean printed = FALSE;

  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
    if (write (fd, text, strlen (text)) > 0)
      printed = TRUE;

  return g_variant_new_boolean (printed);
}

/* The numbers of the streams that are closed are the next to be given. */
static void
print_by_each_method (void)
{
  const WpStartMethod methods[] = { WP_START_METHOD_SPAWN, WP_START_METHOD_FORK, WP_START_METHOD_FORKSERVER };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool_by (methods[i], 3);
      g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      results = wp_worker_pool_map (pool, "print", make_indices (12), options, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_n_children (results), ==, 12);
      join_pool (pool);
    }
}

static void
test_closed_streams (void)
{
  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  close (STDOUT_FILENO);
  close (STDERR_FILENO);
  print_by_each_method ();
  close (STDIN_FILENO);
  print_by_each_method ();
}

/* Programs */

static GVariant *
run_synchronously (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char *argv[] = { "echo", "said", NULL };
  g_autofree char *output = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status, error) ||
      !g_spawn_check_wait_status (status, error))
    return NULL;

  return g_variant_new_string (output);
}

static GVariant *
run_subprocess (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GSubprocess) subprocess = NULL;
  g_autofree char *output = NULL;

  subprocess = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, error, "echo", "said", NULL);
  if (subprocess == NULL || !g_subprocess_communicate_utf8 (subprocess, NULL, NULL, &output, NULL, error) ||
      !g_subprocess_wait_check (subprocess, NULL, error))
    return NULL;

  return g_variant_new_string (output);
}

static void
assert_runs (WpStartMethod method, const char *function)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (method, 1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  expect_end (function);
  result = wp_worker_pool_apply (pool, function, NULL, NULL, NULL, &error);
  expect_end (NULL);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (result, NULL), ==, "said\n");
  join_pool (pool);
}

static void
test_programs (void)
{
  WpStartMethod methods[4];
  const guint n = list_start_methods (methods);

  for (guint i = 0; i < n; i++)
    {
      assert_runs (methods[i], "run-synchronously");
      /* Its end is seen by a thread of GLib's, which a copy of this process has not. In this process it would leave
       * threads, which GLib keeps for a while. */
      if (methods[i] != WP_START_METHOD_FORK && methods[i] != WP_START_METHOD_THREADING)
        assert_runs (methods[i], "run-subprocess");
    }
}

static const FaultTest tests[] = {
  { "/starting/jobs/affinity-is-respected", test_affinity },
  { "/starting/jobs/nothing-starts-before-the-first-task", test_nothing_before_the_first_task },
  { "/starting/jobs/no-more-workers-than-tasks", test_no_more_than_tasks },
  { "/starting/keep-alive/workers-of-apply-stay", test_workers_of_apply_stay },
  { "/starting/host/that-does-not-ask-has-no-pools", test_careless_host },
  { "/starting/process/reads-nothing-from-the-terminal", test_standard_input },
  { "/starting/process/prints-nothing-into-its-channel", test_closed_streams },
  { "/starting/process/runs-programs", test_programs },
  { "/starting/context/is-of-the-worker", test_context },
  { "/starting/fork/handlers-of-exit-do-not-run", test_exit_handlers },
  { "/starting/owner/exec-ends-workers", test_exec },
  { "/starting/threads/have-no-process", test_threads_have_no_process },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("get-standard-input", get_standard_input, NULL, NULL);
  wp_register_function ("use-context", use_context, NULL, NULL);
  wp_register_function ("stay", stay, NULL, NULL);
  wp_register_function ("run-synchronously", run_synchronously, NULL, NULL);
  wp_register_function ("run-subprocess", run_subprocess, NULL, NULL);
  wp_register_function ("print", print, NULL, NULL);
  if (g_getenv (CARELESS_VARIABLE) != NULL)
    return act_as_careless_host ();
  if (act_as_worker (&status))
    return status;
  if (g_getenv (OWNER_VARIABLE) != NULL)
    return act_as_owner (g_getenv (OWNER_VARIABLE));

  atexit (count_exit);
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
