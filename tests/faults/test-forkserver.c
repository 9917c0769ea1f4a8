/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fork servers that die, hang, fail, or do not exist: what it costs, and that nothing stays. */

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "reaper.h"
#include "preload-module.h"
#include "scratch.h"
#include "tasks.h"

#define N_ROUNDS 10
#define N_TASKS 200

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
  OWNER,
};

/* Set in the environment of this program to make it an owner: what it is to do. */
#define OWNER_VARIABLE "WP_TEST_OWNER"
/* The argument that makes this program a host that takes the role of a worker itself. */
#define PLAIN_HOST "plain-host"
/* The argument that makes it one that never takes it. */
#define SILENT_HOST "silent-host"

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

/* What the workers run */

static GVariant *
get_server (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (getppid ());
}

/* A worker whose server has just ended, and that is about to end with it, may still tell who its parent is: the reaper
 * of the test, whose end would be the test's. */
static void
kill_server (int pid)
{
  if (pid != get_reaper ())
    kill (pid, SIGKILL);
}

/* In its first run it is the end of the server. */
static GVariant *
kill_server_once (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (task_begin (index) == 1 && index == N_TASKS / 2)
    {
      kill_server (getppid ());
      for (;;)
        pause ();
    }
  task_end (index);

  return g_variant_ref (args);
}

static GVariant *
leave_child (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  if (fork () == 0)
    {
      prctl (PR_SET_PDEATHSIG, 0, 0, 0, 0);
      counter_add (RUNNING, 1);
      for (;;)
        pause ();
    }
  counter_wait (RUNNING, 1);

  return g_variant_new_int32 (getppid ());
}

/* (uuii): how many descriptors there are beyond the standard streams that are sockets, and how many that are files or
 * devices; the signals that are blocked, and those that are ignored among SIGTERM and SIGCHLD. */
static GVariant *
take_inventory (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  struct sigaction term, child;
  guint n_sockets = 0, n_files = 0;
  int n_blocked = 0;
  sigset_t mask;

  for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
    {
      struct stat info;

      if (fstat (fd, &info) < 0)
        continue;
      n_sockets += S_ISSOCK (info.st_mode);
      n_files += S_ISREG (info.st_mode) || S_ISCHR (info.st_mode) || S_ISFIFO (info.st_mode);
    }

  sigprocmask (SIG_SETMASK, NULL, &mask);
  for (int signum = 1; signum < SIGRTMIN; signum++)
    n_blocked += sigismember (&mask, signum) == 1;
  sigaction (SIGTERM, NULL, &term);
  sigaction (SIGCHLD, NULL, &child);

  return g_variant_new ("(uuii)", n_sockets, n_files, n_blocked,
                        (term.sa_handler == SIG_IGN) + (child.sa_handler == SIG_IGN));
}

/* Helpers */

static WpWorkerPool *
make_forkserver_pool (guint n_jobs)
{
  WpWorkerPool *pool = wp_worker_pool_new (n_jobs);

  wp_worker_pool_set_start_method (pool, WP_START_METHOD_FORKSERVER);
  return pool;
}

static int
apply_server (WpWorkerPool *pool)
{
  g_autoptr (GVariant) value = apply (pool, "server", NULL);

  return g_variant_get_int32 (value);
}

/* The error of a pool none of whose workers can be started. */
static void
assert_start_fails (WpWorkerPool *pool, const char *part)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  value = wp_worker_pool_apply (pool, "pid", NULL, NULL, NULL, &error);
  g_assert_null (value);
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  assert_message (error, part);
  join_pool (pool);
}

static void
set_own_host (WpWorkerPool *pool, const char *argument)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *host[] = { program, argument, NULL };

  wp_worker_pool_set_host (pool, host);
}

static void
preload (WpWorkerPool *pool, const char *function)
{
  const char *const modules[] = { PRELOAD_MODULE, NULL };

  wp_worker_pool_set_preload (pool, modules);
  wp_worker_pool_set_preload_function (pool, function);
}

/* The death of a server */

static void
test_killed_while_idle (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (0, 3, WP_ON_ERROR_CONTINUE);
  int server = apply_server (pool);

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GError) error = NULL;

      kill_server (server);
      /* The task may still be given to a worker that is about to end with its server. */
      value = wp_worker_pool_apply (pool, "server", NULL, options, NULL, &error);
      g_assert_no_error (error);
      /* Or to one that answers before it does. */
      server = g_variant_get_int32 (value);
    }
  join_pool (pool);
}

static void
test_killed_while_running (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_auto (Outcome) first = { 0 };
  g_auto (Outcome) second = { 0 };
  g_autofree char *part = NULL;
  int server = apply_server (pool);

  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &first);
  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &second);
  counter_wait (RUNNING, 2);
  kill_server (server);
  iterate_until (&first.done);
  iterate_until (&second.done);

  part = g_strdup_printf ("its fork server (pid %d) was killed by signal 9", server);
  g_assert_error (first.error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (first.error, part);
  g_assert_error (second.error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (second.error, part);

  g_assert_cmpint (apply_server (pool), !=, server);
  join_pool (pool);
}

static void
test_killed_costs_what_ran (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;

  wp_task_options_set_max_active_tasks (options, N_TASKS);
  batch = start_batch (pool, "kill-server-once", options);
  for (guint64 i = 0; i < N_TASKS; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);

  for (guint64 i = 0; i < N_TASKS; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (wp_result_get_index (result) == N_TASKS / 2)
        g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_WORKER_DIED);
      else
        g_assert_no_error (wp_result_get_error (result));
    }
  join_pool (pool);
}

static void
test_killed_with_retries (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (10, 2, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "kill-server-once", make_indices (N_TASKS), options, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, N_TASKS);
  /* The worker beside it may have been given the task before it saw the end of their server, and ended in it, too. */
  g_assert_cmpuint (task_get_n_begun (N_TASKS / 2), >=, 2);
  g_assert_cmpuint (task_get_n_begun (N_TASKS / 2), <=, 3);
  join_pool (pool);
}

static void
test_killed_while_stopping (void)
{
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
      g_auto (Outcome) outcome = { 0 };
      int server = apply_server (pool);

      wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &outcome);
      kill_server (server);
      iterate_until (&outcome.done);
      g_assert_no_error (outcome.error);
    }
}

/* A stopped server reaps nobody: the pool does not wait for it. */
static void
test_stopped (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  int server = apply_server (pool);

  kill (server, SIGSTOP);
  join_pool (pool);
}

/* Nor does it start one. */
static void
test_stopped_before_a_start (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (0, 3, WP_ON_ERROR_STOP);
  g_auto (Outcome) first = { 0 };
  g_auto (Outcome) second = { 0 };

  wp_worker_pool_set_start_timeout (pool, 300);
  kill (apply_server (pool), SIGSTOP);
  /* The one worker goes on; what the other has to run needs a new server. */
  wp_worker_pool_apply_async (pool, "hold", HOLD, options, NULL, on_applied, &first);
  counter_wait (RUNNING, 1);
  wp_worker_pool_apply_async (pool, "hold", HOLD, options, NULL, on_applied, &second);
  counter_wait (RUNNING, 2);
  counter_set (GATE, 1);
  iterate_until (&first.done);
  iterate_until (&second.done);
  g_assert_no_error (first.error);
  g_assert_no_error (second.error);
  join_pool (pool);
}

static void
test_leftovers_end_with_server (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
  g_autoptr (GVariant) server = apply (pool, "leave-child", NULL);

  kill_server (g_variant_get_int32 (server));
  join_pool (pool);
}

static void
test_leftovers_end_with_worker (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
  g_autoptr (GVariant) server = apply (pool, "leave-child", NULL);

  g_assert_cmpint (g_variant_get_int32 (server), ==, apply_server (pool));
  join_pool (pool);
}

/* Starts that fail */

static void
test_preload_missing (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  const char *const missing[] = { "/nowhere/missing-module.so", NULL };
  const char *const relative[] = { "module.so", NULL };
  g_autoptr (WpWorkerPool) other = make_forkserver_pool (1);

  wp_worker_pool_set_preload (pool, missing);
  assert_start_fails (pool, "The module “/nowhere/missing-module.so” cannot be opened");
  wp_worker_pool_set_preload (other, relative);
  assert_start_fails (other, "The module “module.so” is not named by its absolute path");
}

static void
test_preload_dies (void)
{
  const char *const ways[][2] = { { "crash", "was killed by signal 11" }, { "exit", "exited with status 7" } };

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);

      g_setenv (PRELOAD_VARIABLE, ways[i][0], TRUE);
      preload (pool, NULL);
      assert_start_fails (pool, ways[i][1]);
      g_unsetenv (PRELOAD_VARIABLE);
    }
}

static void
test_preload_hangs (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);

  g_setenv (PRELOAD_VARIABLE, "hang", TRUE);
  wp_worker_pool_set_start_timeout (pool, 200);
  preload (pool, NULL);
  assert_start_fails (pool, "start-timeout");
  g_unsetenv (PRELOAD_VARIABLE);
}

static void
test_preload_hangs_terminated (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_auto (Outcome) outcome = { 0 };

  g_setenv (PRELOAD_VARIABLE, "hang", TRUE);
  preload (pool, NULL);
  wp_worker_pool_apply_async (pool, "pid", NULL, NULL, NULL, on_applied, &outcome);
  wp_worker_pool_terminate (pool);
  join_pool (pool);
  iterate_until (&outcome.done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_unsetenv (PRELOAD_VARIABLE);
}

static void
test_function_fails (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);

  preload (pool, PRELOAD_MODULE ":fail");
  assert_start_fails (pool, "there is no such device");
}

static void
test_function_unknown (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_autoptr (WpWorkerPool) other = make_forkserver_pool (2);

  wp_worker_pool_set_preload_function (pool, "no-such-function");
  assert_start_fails (pool, "no-such-function");
  wp_worker_pool_set_preload_function (other, PRELOAD_MODULE ":no_such_symbol");
  assert_start_fails (other, "no_such_symbol");
}

static void
test_setup_too_large (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
  g_autofree char *name = g_strnfill (100000, 'x');

  wp_worker_pool_set_preload_function (pool, name);
  assert_start_fails (pool, "longer than");
}

static void
test_host_missing (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
  const char *const host[] = { "/nowhere/missing-host", NULL };

  wp_worker_pool_set_host (pool, host);
  assert_start_fails (pool, "/nowhere/missing-host");
}

static void
test_host_is_plain_worker (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);

  set_own_host (pool, PLAIN_HOST);
  assert_start_fails (pool, "does not know the start method “forkserver”");
}

static void
test_host_ends_at_once (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  const char *const host[] = { "true", NULL };

  wp_worker_pool_set_host (pool, host);
  assert_start_fails (pool, "exited with status 0 before it was ready");
}

static void
test_host_is_silent (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);

  wp_worker_pool_set_start_timeout (pool, 200);
  set_own_host (pool, SILENT_HOST);
  assert_start_fails (pool, "wp_worker_main()");
}

/* What workers have */

static void
test_state (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_auto (Outcome) outcome = { 0 };
  int first_loaded = 0;

  preload (pool, PRELOAD_MODULE ":prepare");
  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) state = apply (pool, PRELOAD_MODULE ":get_state", NULL);
      int loaded_by, prepared_by, server;
      guint n_prepared;

      g_variant_get (state, "(iuii)", &loaded_by, &n_prepared, &prepared_by, &server);
      g_assert_cmpuint (n_prepared, ==, 1);
      g_assert_cmpint (loaded_by, ==, server);
      g_assert_cmpint (prepared_by, ==, server);
      if (i > 0)
        g_assert_cmpint (loaded_by, ==, first_loaded);
      first_loaded = loaded_by;
    }
  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  g_assert_no_error (outcome.error);
  join_pool (pool);
}

static void
test_new_server_is_prepared (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 3, WP_ON_ERROR_STOP);
  g_autoptr (GError) error = NULL;
  int server, prepared_by, now;
  guint n_prepared;

  preload (pool, PRELOAD_MODULE ":prepare");
  server = apply_server (pool);
  kill_server (server);
  /* In the moment that its end takes, the old worker may still answer, below the reaper. */
  do
    {
      g_autoptr (GVariant) state =
          wp_worker_pool_apply (pool, PRELOAD_MODULE ":get_state", NULL, options, NULL, &error);

      g_assert_no_error (error);
      g_variant_get (state, "(iuii)", NULL, &n_prepared, &prepared_by, &now);
    }
  while (now == server || now == get_reaper ());
  g_assert_cmpuint (n_prepared, ==, 1);
  g_assert_cmpint (prepared_by, ==, now);
  join_pool (pool);
}

static void
test_inherit_nothing (void)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  g_autoptr (GVariant) inventory = NULL;
  g_auto (Outcome) outcome = { 0 };
  guint n_sockets, n_files;
  int n_blocked, n_ignored;

  preload (pool, PRELOAD_MODULE ":litter");
  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  inventory = apply (pool, "inventory", NULL);
  g_variant_get (inventory, "(uuii)", &n_sockets, &n_files, &n_blocked, &n_ignored);
  g_assert_cmpuint (n_sockets, ==, 1);
  g_assert_cmpuint (n_files, ==, 0);
  g_assert_cmpint (n_blocked, ==, 0);
  g_assert_cmpint (n_ignored, ==, 0);
  counter_set (GATE, 1);
  iterate_until (&outcome.done);
  join_pool (pool);
}

static void
test_no_effect_beside_others (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  const char *const missing[] = { "/nowhere/missing-module.so", NULL };

  wp_worker_pool_set_preload (pool, missing);
  wp_worker_pool_set_preload_function (pool, "no-such-function");
  g_assert_cmpint (apply_pid (pool), !=, getpid ());
  join_pool (pool);
}

static void
on_worker_started (WpWorkerPool *pool, guint id, int pid, gpointer data)
{
  *(int *) data = pid;
}

static void
test_started_names_process (void)
{
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_forkserver_pool (1);
      int announced = -1;
      int pid;

      g_signal_connect (pool, "worker-started", G_CALLBACK (on_worker_started), &announced);
      pid = apply_pid (pool);
      iterate_context_until (NULL, announced != -1);
      g_assert_cmpint (announced, ==, pid);
      join_pool (pool);
      iterate_pending ();
    }
}

/* The owner's end */

static int
act_as_owner (const char *role)
{
  g_autoptr (WpWorkerPool) pool = make_forkserver_pool (2);
  Outcome outcomes[2] = { { 0 } };

  if (strcmp (role, "loading") == 0)
    {
      g_setenv (PRELOAD_VARIABLE, "hang", TRUE);
      preload (pool, NULL);
    }
  else
    {
      wp_worker_pool_set_daemon (pool, strcmp (role, "daemonic") == 0);
    }

  for (guint i = 0; i < 2; i++)
    wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &outcomes[i]);
  if (strcmp (role, "loading") != 0)
    counter_wait (RUNNING, 2);
  counter_set (OWNER, 1);
  while (pause () < 0)
    continue;

  return 0;
}

static void
test_owner_killed (void)
{
  const char *const roles[] = { "daemonic", "not-daemonic", "loading" };

  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    {
      g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
      g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
      g_autoptr (GSubprocess) owner = NULL;
      g_autoptr (GError) error = NULL;
      Census before;

      g_test_message ("%s", roles[i]);
      scratch_reset ();
      census_take (&before);
      g_subprocess_launcher_setenv (launcher, OWNER_VARIABLE, roles[i], TRUE);
      owner = g_subprocess_launcher_spawn (launcher, &error, program, NULL);
      g_assert_no_error (error);
      counter_wait (OWNER, 1);
      g_subprocess_force_exit (owner);
      g_assert_true (g_subprocess_wait (owner, NULL, &error));
      g_clear_object (&owner);
      census_settle (&before);
    }
}

static const FaultTest tests[] = {
  { "/forkserver/killed/idle-is-replaced", test_killed_while_idle },
  { "/forkserver/killed/takes-its-workers-and-says-so", test_killed_while_running },
  { "/forkserver/killed/costs-what-ran", test_killed_costs_what_ran },
  { "/forkserver/killed/with-retries-nothing-is-lost", test_killed_with_retries },
  { "/forkserver/killed/while-stopping", test_killed_while_stopping },
  { "/forkserver/killed/ends-what-tasks-left", test_leftovers_end_with_server },
  { "/forkserver/worker/ends-what-tasks-left", test_leftovers_end_with_worker },
  { "/forkserver/worker/inherits-nothing-but-memory", test_inherit_nothing },
  { "/forkserver/worker/is-announced-with-its-process", test_started_names_process },
  { "/forkserver/stopped/join-ends", test_stopped },
  { "/forkserver/stopped/start-ends", test_stopped_before_a_start },
  { "/forkserver/preload/is-seen-by-each-worker", test_state },
  { "/forkserver/preload/is-done-again-by-a-new-server", test_new_server_is_prepared },
  { "/forkserver/preload/missing-is-an-error", test_preload_missing },
  { "/forkserver/preload/that-dies-is-an-error", test_preload_dies },
  { "/forkserver/preload/that-hangs-is-an-error", test_preload_hangs },
  { "/forkserver/preload/that-hangs-is-terminated", test_preload_hangs_terminated },
  { "/forkserver/preload/names-too-long", test_setup_too_large },
  { "/forkserver/preload/no-effect-beside-other-methods", test_no_effect_beside_others },
  { "/forkserver/preload-function/that-fails-is-an-error", test_function_fails },
  { "/forkserver/preload-function/unknown-is-an-error", test_function_unknown },
  { "/forkserver/host/missing-is-an-error", test_host_missing },
  { "/forkserver/host/that-is-only-a-worker-says-so", test_host_is_plain_worker },
  { "/forkserver/host/that-ends-at-once", test_host_ends_at_once },
  { "/forkserver/host/that-is-silent", test_host_is_silent },
  { "/forkserver/owner/killed-takes-server-and-workers", test_owner_killed },
};

static int
act_as_plain_host (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (WpWorker) worker = wp_worker_new (&error);

  if (worker != NULL && wp_worker_run (worker, &error))
    return 0;

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  return 2;
}

int
main (int argc, char **argv)
{
  int status;

  if (argc > 1 && strcmp (argv[1], PLAIN_HOST) == 0)
    {
      scratch_attach ();
      return act_as_plain_host ();
    }
  while (argc > 1 && strcmp (argv[1], SILENT_HOST) == 0)
    pause ();

  wp_register_function ("server", get_server, NULL, NULL);
  wp_register_function ("kill-server-once", kill_server_once, NULL, NULL);
  wp_register_function ("leave-child", leave_child, NULL, NULL);
  wp_register_function ("inventory", take_inventory, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  if (g_getenv (OWNER_VARIABLE) != NULL)
    return act_as_owner (g_getenv (OWNER_VARIABLE));
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
