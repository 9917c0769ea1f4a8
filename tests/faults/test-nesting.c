/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools inside of workers: to any depth, where the outer worker may have them, and no level outlives the one above. */

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
};

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

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
  if (get_start_method () != WP_START_METHOD_THREADING)
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

static const FaultTest tests[] = {
  { "/nesting/nested/to-any-depth", test_nested },
  { "/nesting/nested/refused-in-daemonic-workers", test_nested_in_daemon },
  { "/nesting/nested/terminate-takes-all-levels", test_nested_terminated, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("nest", nest, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
