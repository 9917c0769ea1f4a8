/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The end of the program that has the pools: nothing of its tree outlives it, and what it promised to finish is
 * finished. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "census.h"
#include "descend.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"
#include "tree.h"

#define N_ROUNDS 3
#define N_ROUNDS_SLOW 40

#define N_JOBS 2
/* More than workers, so that some still wait for one when the owner ends. */
#define N_PROMISED 6

#define STATUS 5

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
  OWNER,
  EXITING,
  ENDED,
  RESISTING,
};

/* Set in the environment of this program to make it an owner: what it is to do, the start method of its pool, and "yes"
 * if that is daemonic; for one that calls for ever, the path of a descent too, which may be empty; for one that has bad
 * workers, how they resist their end. */
#define OWNER_VARIABLE "WP_TEST_OWNER"

/* The owner */

static WpWorkerPool *owned;
static const char *owned_path;

/* Waits, and counts that it ended. */
static GVariant *
keep (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  counter_wait (GATE, 1);
  counter_add (ENDED, 1);
  return g_variant_new_boolean (TRUE);
}

static GVariant *
tick (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  return g_variant_new_boolean (TRUE);
}

/* (sb): makes its worker hard to end, with a pool below it or not. */
static GVariant *
resist (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  Outcome outcome = { 0 };
  const char *way;
  gboolean has_pool;
  sigset_t all;

  g_variant_get (args, "(&sb)", &way, &has_pool);
  if (has_pool)
    {
      wp_worker_pool_set_daemon (pool, FALSE);
      wp_worker_pool_apply_async (pool, "keep", NULL, NULL, NULL, on_applied, &outcome);
      counter_wait (RUNNING, N_JOBS);
    }

  sigfillset (&all);
  if (g_str_equal (way, "blocks-signals"))
    sigprocmask (SIG_SETMASK, &all, NULL);
  else if (g_str_equal (way, "ignores-signals"))
    for (int signum = 1; signum < NSIG; signum++)
      signal (signum, SIG_IGN);

  /* As a program that the task has started, and not waited for. */
  if (g_str_equal (way, "leaves-child") && fork () == 0)
    for (;;)
      pause ();

  counter_add (RESISTING, 1);
  if (g_str_equal (way, "stops"))
    raise (SIGSTOP);
  else if (g_str_equal (way, "closes-descriptors"))
    for (int fd = 0; fd < 256; fd++)
      close (fd);
  while (counter_get (GATE) == 0)
    pause ();
  return NULL;
}

static void
call_again (GObject *source, GAsyncResult *result, gpointer data)
{
  if (*owned_path != '\0')
    wp_worker_pool_apply_async (owned, "descend", make_descent (owned_path, "tick", g_variant_new_boolean (TRUE)), NULL,
                                NULL, call_again, NULL);
  else
    wp_worker_pool_apply_async (owned, "tick", NULL, NULL, NULL, call_again, NULL);
}

static gboolean
on_interrupted (gpointer data)
{
  counter_set (GATE, 1);
  join_pool (owned);
  exit (STATUS);
  return G_SOURCE_REMOVE;
}

static void
note_exit (void)
{
  counter_set (EXITING, 1);
}

static int
act_as_owner (const char *role)
{
  g_auto (GStrv) parts = g_strsplit (role, ":", 4);
  const char *what = parts[0];
  static Outcome outcomes[N_PROMISED];

  owned = make_pool_by (get_method_by_name (parts[1]), N_JOBS);
  wp_worker_pool_set_daemon (owned, g_str_equal (parts[2], "yes"));
  owned_path = g_strdup (parts[3]);

  if (g_str_equal (what, "calls"))
    {
      for (guint i = 0; i < N_JOBS; i++)
        call_again (NULL, NULL, NULL);
      counter_set (OWNER, 1);
      for (;;)
        g_main_context_iteration (NULL, TRUE);
    }

  if (g_str_equal (what, "has-bad-workers"))
    {
      for (guint i = 0; i < N_JOBS; i++)
        wp_worker_pool_apply_async (owned, "resist",
                                    g_variant_new ("(sb)", owned_path, !wp_worker_pool_get_daemon (owned)), NULL, NULL,
                                    on_applied, &outcomes[i]);
      counter_wait (RESISTING, N_JOBS);
      counter_set (OWNER, 1);
      for (;;)
        pause ();
    }

  if (g_str_equal (what, "handles-interrupt"))
    g_unix_signal_add (SIGINT, on_interrupted, NULL);
  for (guint i = 0; i < N_PROMISED; i++)
    wp_worker_pool_apply_async (owned, "keep", NULL, NULL, NULL, on_applied, &outcomes[i]);
  /* Before what the pool has exit () do. */
  atexit (note_exit);
  counter_wait (RUNNING, N_JOBS);
  counter_set (OWNER, 1);

  if (g_str_equal (what, "exits"))
    exit (STATUS);
  if (g_str_equal (what, "returns"))
    return STATUS;
  for (;;)
    g_main_context_iteration (NULL, TRUE);
}

/* As a shell does with what runs in its foreground. */
static void
lead_group (gpointer data)
{
  setpgid (0, 0);
}

static GSubprocess *
start_owner (const char *what, gboolean daemon, const char *path)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *role =
      g_strdup_printf ("%s:%s:%s:%s", what, get_method_name (get_start_method ()), daemon ? "yes" : "no", path);
  g_autoptr (GError) error = NULL;
  GSubprocess *owner;

  scratch_reset ();
  g_subprocess_launcher_setenv (launcher, OWNER_VARIABLE, role, TRUE);
  g_subprocess_launcher_set_child_setup (launcher, lead_group, NULL, NULL);
  owner = g_subprocess_launcher_spawn (launcher, &error, program, NULL);
  g_assert_no_error (error);
  counter_wait (OWNER, 1);
  return owner;
}

static void
wait_for_owner (GSubprocess *owner)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (g_subprocess_wait (owner, NULL, &error));
  g_assert_no_error (error);
}

/* Killed */

/* After so many tasks of its pools; returns how long it took until everything was gone. */
static gint64
kill_owner (gboolean daemon, const char *path, guint n_tasks)
{
  g_autoptr (GSubprocess) owner = start_owner ("calls", daemon, path);
  gint64 start;

  counter_wait (RUNNING, n_tasks);
  start = g_get_monotonic_time ();
  g_subprocess_force_exit (owner);
  wait_for_owner (owner);
  tree_wait_gone ();

  return g_get_monotonic_time () - start;
}

/* The worst so far. */
static void
check_kill (gboolean daemon, const char *path, gint64 *worst)
{
  guint n_tasks = g_test_rand_int_range (0, *path != '\0' ? 8 : 100);
  gint64 duration = kill_owner (daemon, path, n_tasks);

  /* Once more: the machine may have had something else to do. */
  if (duration >= G_TIME_SPAN_SECOND)
    {
      g_test_message ("%s: gone only after %" G_GINT64_FORMAT " ms", path, duration / 1000);
      duration = kill_owner (daemon, path, n_tasks);
    }
  g_assert_cmpint (duration, <, G_TIME_SPAN_SECOND);
  *worst = MAX (*worst, duration);
}

static void
test_killed (void)
{
  const guint n_rounds = g_test_slow () ? N_ROUNDS_SLOW : N_ROUNDS;
  WpStartMethod methods[4];
  guint n_methods = list_start_methods (methods);
  gint64 worst = 0;

  for (guint i = 0; i < n_rounds; i++)
    {
      check_kill (TRUE, "", &worst);
      check_kill (FALSE, "", &worst);
      for (guint inner = 0; inner < n_methods; inner++)
        {
          const char *name = get_method_name (methods[inner]);
          g_autofree char *lasting = g_strconcat (name, LASTING, NULL);

          check_kill (FALSE, name, &worst);
          check_kill (FALSE, lasting, &worst);
        }
    }
  g_test_message ("Everything was gone after at most %" G_GINT64_FORMAT " ms", worst / 1000);
}

/* They have no say in it. */
static void
test_killed_above_bad_workers (void)
{
  const char *ways[] = { "blocks-signals", "ignores-signals", "closes-descriptors", "stops", "leaves-child" };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (GSubprocess) owner = start_owner ("has-bad-workers", i % 2 == 0, ways[i / 2]);
      gint64 start;

      if (g_str_equal (ways[i / 2], "stops"))
        /* All: one that stops itself when it has been told of the owner's death, and before it acts, stays. */
        tree_wait_stopped (N_JOBS);
      start = g_get_monotonic_time ();
      g_subprocess_force_exit (owner);
      wait_for_owner (owner);
      tree_wait_gone ();
      g_test_message ("%s: %" G_GINT64_FORMAT " ms", ways[i / 2], (g_get_monotonic_time () - start) / 1000);
    }
}

/* Exit */

static void
check_exit_kills (const char *what)
{
  g_autoptr (GSubprocess) owner = start_owner (what, TRUE, "");

  wait_for_owner (owner);
  g_assert_true (g_subprocess_get_if_exited (owner));
  g_assert_cmpint (g_subprocess_get_exit_status (owner), ==, STATUS);
  tree_wait_gone ();
  g_assert_cmpuint (counter_get (ENDED), ==, 0);
}

static void
test_exit_kills (void)
{
  check_exit_kills ("exits");
  check_exit_kills ("returns");
}

static void
check_exit_joins (const char *what)
{
  g_autoptr (GSubprocess) owner = start_owner (what, FALSE, "");

  counter_wait (EXITING, 1);
  g_assert_cmpuint (counter_get (ENDED), ==, 0);
  counter_set (GATE, 1);
  wait_for_owner (owner);
  g_assert_cmpuint (counter_get (ENDED), ==, N_PROMISED);
  g_assert_true (g_subprocess_get_if_exited (owner));
  g_assert_cmpint (g_subprocess_get_exit_status (owner), ==, STATUS);
  tree_wait_gone ();
}

static void
test_exit_joins (void)
{
  check_exit_joins ("exits");
  check_exit_joins ("returns");
}

/* Signals from a terminal */

static void
signal_group (GSubprocess *owner, int signum)
{
  g_assert_cmpint (kill (-atoi (g_subprocess_get_identifier (owner)), signum), ==, 0);
}

static void
test_signal_ends (void)
{
  const int signals[] = { SIGINT, SIGTERM };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (signals); i++)
    {
      g_autoptr (GSubprocess) owner = start_owner ("waits", i % 2 == 0, "");

      signal_group (owner, signals[i / 2]);
      wait_for_owner (owner);
      g_assert_true (g_subprocess_get_if_signaled (owner));
      g_assert_cmpint (g_subprocess_get_term_sig (owner), ==, signals[i / 2]);
      tree_wait_gone ();
      g_assert_cmpuint (counter_get (ENDED), ==, 0);
    }
}

/* Workers leave it to their owner what an interrupt means. */
static void
test_interrupt_is_the_owners (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GSubprocess) owner = start_owner ("handles-interrupt", i == 0, "");

      signal_group (owner, SIGINT);
      wait_for_owner (owner);
      g_assert_cmpuint (counter_get (ENDED), ==, N_PROMISED);
      g_assert_true (g_subprocess_get_if_exited (owner));
      g_assert_cmpint (g_subprocess_get_exit_status (owner), ==, STATUS);
      tree_wait_gone ();
    }
}

static const FaultTest tests[] = {
  { "/owner/killed/nothing-lives-a-second-later", test_killed },
  { "/owner/killed/bad-workers-end-too", test_killed_above_bad_workers, TRUE },
  { "/owner/exit/kills-daemonic-workers", test_exit_kills },
  { "/owner/exit/joins-the-others", test_exit_joins },
  { "/owner/signal/ends-everything", test_signal_ends },
  { "/owner/signal/interrupt-is-the-owners-to-handle", test_interrupt_is_the_owners },
};

int
main (int argc, char **argv)
{
  int status;

  register_descend ();
  wp_register_function ("keep", keep, NULL, NULL);
  wp_register_function ("tick", tick, NULL, NULL);
  wp_register_function ("resist", resist, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  if (g_getenv (OWNER_VARIABLE) != NULL)
    return act_as_owner (g_getenv (OWNER_VARIABLE));
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
