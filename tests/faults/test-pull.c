/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Workers that pull their tasks: the pool cannot tell them from others. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helpers.h"

#define N_ITEMS 20000

static GVariant *
triple (WpTaskContext *context,
        GVariant      *args,
        gpointer       user_data,
        GError       **error)
{
  return g_variant_new_uint64 (3 * g_variant_get_uint64 (args));
}

static gboolean
answer (WpWorker   *worker,
        const char *function,
        GVariant   *args,
        guint      *n_begun,
        GError    **error)
{
  if (g_str_equal (function, "echo"))
    return wp_worker_answer (worker, args, error);
  if (g_str_equal (function, "index"))
    return wp_worker_answer (
        worker, g_variant_new_uint64 (wp_task_context_get_task_index (wp_worker_get_context (worker))), error);
  if (g_str_equal (function, "n-begun"))
    return wp_worker_answer (worker, g_variant_new_uint32 (*n_begun), error);
  if (g_str_equal (function, "nothing"))
    return wp_worker_answer (worker, NULL, error);
  if (g_str_equal (function, "exit"))
    exit (7);
  if (g_str_equal (function, "die"))
    raise (SIGKILL);
  if (g_str_equal (function, "begin"))
    {
      (*n_begun)++;
      return wp_worker_answer (worker, NULL, error);
    }
  if (g_str_equal (function, "end"))
    return wp_worker_answer (worker, g_variant_new_string ("ended"), error);

  return wp_worker_answer_error (worker, "wp-test-pull", 5, function, error);
}

/* What a host for an interpreter does. */
static int
pull_tasks (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (WpWorker) worker = wp_worker_new (&error);
  guint n_begun = 0;

  g_assert_no_error (error);
  while (TRUE)
    {
      g_autofree char *function = NULL;
      g_autofree char *other = NULL;
      g_autoptr (GVariant) args = wp_worker_pull (worker, &function, &error);
      g_autoptr (GError) early = NULL;

      if (args == NULL)
        break;

      g_assert_null (wp_worker_pull (worker, &other, &early));
      g_assert_error (early, G_IO_ERROR, G_IO_ERROR_PENDING);
      if (!answer (worker, function, args, &n_begun, &error))
        break;
    }

  return error == NULL ? 0 : 1;
}

static WpWorkerPool *
make_pulling_pool (guint n_jobs)
{
  const char *host[] = { "/proc/self/exe", "--pull", NULL };
  WpWorkerPool *pool = wp_worker_pool_new (n_jobs);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);

  host[0] = program;
  wp_worker_pool_set_host (pool, host);
  return pool;
}

static void
test_maps (void)
{
  g_autoptr (WpWorkerPool) pool = make_pulling_pool (2);
  const char *functions[] = { "echo", "index" };

  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) results =
          wp_worker_pool_map (pool, functions[i], make_indices (N_ITEMS), NULL, NULL, &error);

      g_assert_no_error (error);
      assert_indices (results, N_ITEMS);
    }
  join_pool (pool);
}

static void
test_errors (void)
{
  g_autoptr (WpWorkerPool) pool = make_pulling_pool (1);
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_worker_pool_apply (pool, "unheard-of", NULL, NULL, NULL, &error));
  g_assert_true (g_error_matches (error, g_quark_from_string ("wp-test-pull"), 5));
  g_assert_cmpstr (error->message, ==, "unheard-of");
  g_clear_error (&error);

  g_assert_null (wp_worker_pool_apply (pool, "nothing", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_INVALID_RESULT);
  g_clear_error (&error);

  g_assert_null (wp_worker_pool_apply (pool, "/nowhere/absent.so:f", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  join_pool (pool);
}

static void
test_registered_functions_are_run (void)
{
  g_autoptr (WpWorkerPool) pool = make_pulling_pool (1);
  g_autoptr (GVariant) value = apply (pool, "triple", g_variant_new_uint64 (14));

  g_assert_cmpuint (g_variant_get_uint64 (value), ==, 42);
  join_pool (pool);
}

static void
test_hooks_are_pulled (void)
{
  g_autoptr (WpWorkerPool) pool = make_pulling_pool (1);
  g_autoptr (GVariant) n_begun = NULL;
  g_autoptr (GVariant) ended = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_worker_init (pool, "begin");
  wp_worker_pool_set_worker_exit (pool, "end");
  n_begun = apply (pool, "n-begun", NULL);
  g_assert_cmpuint (g_variant_get_uint32 (n_begun), ==, 1);
  join_pool (pool);

  results = wp_worker_pool_get_exit_results (pool, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (results), ==, 1);
  g_variant_get_child (results, 0, "v", &ended);
  g_assert_cmpstr (g_variant_get_string (ended, NULL), ==, "ended");
}

static void
test_hook_that_fails (void)
{
  g_autoptr (WpWorkerPool) pool = make_pulling_pool (1);
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_worker_init (pool, "fails");
  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
  g_assert_true (g_error_matches (error, g_quark_from_string ("wp-test-pull"), 5));
  join_pool (pool);
}

static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pulling_pool (1);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_worker_pool_apply (pool, "exit", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (error, "exited with status 7");
  g_clear_error (&error);

  g_assert_null (wp_worker_pool_apply (pool, "die", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (error, "signal 9");

  value = apply (pool, "echo", g_variant_new_uint64 (1));
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, 1);
  join_pool (pool);
}

int
main (int    argc,
      char **argv)
{
  if (argc == 2 && g_str_equal (argv[1], "--pull"))
    {
      wp_register_function ("triple", triple, NULL, NULL);
      return pull_tasks ();
    }

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pull/maps", test_maps);
  g_test_add_func ("/pull/errors", test_errors);
  g_test_add_func ("/pull/registered-functions-are-run", test_registered_functions_are_run);
  g_test_add_func ("/pull/hooks-are-pulled", test_hooks_are_pulled);
  g_test_add_func ("/pull/hook-that-fails", test_hook_that_fails);
  g_test_add_func ("/pull/deaths", test_deaths);

  return g_test_run ();
}
