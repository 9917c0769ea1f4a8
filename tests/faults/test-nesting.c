/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools inside of workers, and owners that end before their pools: no level outlives the one above. */

#include <stdlib.h>
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
  OWNER,
};

/* Set in the environment of this program to make it an owner: what it is to do. */
#define OWNER_VARIABLE "WP_TEST_OWNER"

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

/* Nested pools */

/* (ubs): how deep, whether the pool's workers are daemonic, and what the innermost one runs. */
static GVariant *
nest (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  const char *innermost;
  gboolean daemon;
  guint depth;

  g_variant_get (args, "(ub&s)", &depth, &daemon, &innermost);
  wp_worker_pool_set_daemon (pool, daemon);
  if (depth == 1)
    return wp_worker_pool_apply (pool, innermost, HOLD, NULL, NULL, error);
  return wp_worker_pool_apply (pool, "nest", g_variant_new ("(ubs)", depth - 1, daemon, innermost), NULL, NULL, error);
}

static void
test_nested (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_daemon (pool, FALSE);
  result = wp_worker_pool_apply (pool, "nest", g_variant_new ("(ubs)", 3, FALSE, "pid"), NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (result), !=, getpid ());
  join_pool (pool);
}

static void
test_nested_in_daemon (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpWorkerPool) outer = make_pool (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "nest", g_variant_new ("(ubs)", 1, TRUE, "pid"), NULL, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, WP_ERROR, WP_ERROR_NESTED);
  g_assert_nonnull (strstr (error->message, "daemonic workers are not allowed to have children pools; set "
                                            "daemon=FALSE on the outer pool"));
  g_clear_error (&error);
  join_pool (pool);

  /* The second level is daemonic: it is the third that is refused. */
  wp_worker_pool_set_daemon (outer, FALSE);
  result = wp_worker_pool_apply (outer, "nest", g_variant_new ("(ubs)", 2, TRUE, "pid"), NULL, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, WP_ERROR, WP_ERROR_NESTED);
  join_pool (outer);
}

static void
test_nested_terminated (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_set_daemon (pool, FALSE);
  wp_worker_pool_apply_async (pool, "nest", g_variant_new ("(ubs)", 3, FALSE, "hold"), NULL, NULL, on_applied,
                              &outcome);
  counter_wait (RUNNING, 1);
  wp_worker_pool_terminate (pool);
  join_pool (pool);
  iterate_until (&outcome.done);
  g_assert_null (outcome.value);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* The owner's end */

/* What this program does as an owner. */
static int
act_as_owner (const char *role)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  Outcome outcomes[2] = { { 0 } };

  if (strcmp (role, "nested") == 0)
    {
      wp_worker_pool_set_daemon (pool, FALSE);
      for (guint i = 0; i < 2; i++)
        wp_worker_pool_apply_async (pool, "nest", g_variant_new ("(ubs)", 2, FALSE, "hold"), NULL, NULL, on_applied,
                                    &outcomes[i]);
    }
  else
    {
      wp_worker_pool_set_daemon (pool, strcmp (role, "not-daemonic") != 0);
      for (guint i = 0; i < 2; i++)
        wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &outcomes[i]);
    }
  counter_wait (RUNNING, 2);
  counter_set (OWNER, 1);

  if (strcmp (role, "exits") == 0)
    exit (5);
  if (strcmp (role, "returns") == 0)
    {
      g_steal_pointer (&pool);
      return 5;
    }
  for (;;)
    pause ();
}

static GSubprocess *
start_owner (const char *role)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GError) error = NULL;
  GSubprocess *owner;

  g_subprocess_launcher_setenv (launcher, OWNER_VARIABLE, role, TRUE);
  owner = g_subprocess_launcher_spawn (launcher, &error, program, NULL);
  g_assert_no_error (error);
  counter_wait (OWNER, 1);
  return owner;
}

static void
test_owner_killed (void)
{
  const char *roles[] = { "daemonic", "not-daemonic", "nested" };

  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    {
      g_autoptr (GSubprocess) owner = NULL;
      g_autoptr (GError) error = NULL;
      Census before;
      gint64 start;

      g_test_message ("%s", roles[i]);
      scratch_reset ();
      census_take (&before);
      owner = start_owner (roles[i]);
      start = g_get_monotonic_time ();
      g_subprocess_force_exit (owner);
      g_assert_true (g_subprocess_wait (owner, NULL, &error));
      g_clear_object (&owner);
      census_settle (&before);
      g_assert_cmpint (g_get_monotonic_time () - start, <, 5 * G_TIME_SPAN_SECOND);
    }
}

static void
test_owner_exits (void)
{
  const char *roles[] = { "exits", "returns" };

  for (guint i = 0; i < G_N_ELEMENTS (roles); i++)
    {
      g_autoptr (GSubprocess) owner = NULL;
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", roles[i]);
      scratch_reset ();
      owner = start_owner (roles[i]);
      g_assert_true (g_subprocess_wait (owner, NULL, &error));
      g_assert_true (g_subprocess_get_if_exited (owner));
      g_assert_cmpint (g_subprocess_get_exit_status (owner), ==, 5);
    }
}

static const FaultTest tests[] = {
  { "/nesting/owner/killed-takes-its-workers", test_owner_killed },
  { "/nesting/owner/exit-takes-its-workers", test_owner_exits },
  { "/nesting/nested/to-any-depth", test_nested },
  { "/nesting/nested/refused-in-daemonic-workers", test_nested_in_daemon },
  { "/nesting/nested/terminate-takes-all-levels", test_nested_terminated },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("nest", nest, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  if (g_getenv (OWNER_VARIABLE) != NULL)
    return act_as_owner (g_getenv (OWNER_VARIABLE));
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
