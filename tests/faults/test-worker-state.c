/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a worker keeps from task to task. */

#include <signal.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  N_MADE,
  N_FREED,
};

static void
free_state (gpointer data)
{
  counter_add (N_FREED, 1);
  g_free (data);
}

/* t → (ut): the worker, and how many tasks it has run with this state. */
static GVariant *
count_tasks (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 *n = wp_task_context_get_worker_state (context);

  if (n == NULL)
    {
      n = g_new0 (guint64, 1);
      wp_task_context_set_worker_state (context, n, free_state);
      counter_add (N_MADE, 1);
    }

  return g_variant_new ("(ut)", wp_task_context_get_worker_id (context), ++*n);
}

static GVariant *
replace_state (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  wp_task_context_set_worker_state (context, NULL, NULL);

  return g_variant_new_boolean (wp_task_context_get_worker_state (context) == NULL);
}

static GVariant *
die_now (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  raise (SIGKILL);

  return NULL;
}

static void
test_kept (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n_last[2] = { 0 };
  GVariantIter iter;
  GVariant *child;

  results = wp_worker_pool_map (pool, "count-tasks", make_indices (1000), NULL, NULL, &error);
  g_assert_no_error (error);
  join_pool (pool);

  g_variant_iter_init (&iter, results);
  while ((child = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) boxed = child;
      g_autoptr (GVariant) result = g_variant_get_variant (boxed);
      guint worker;
      guint64 n;

      g_variant_get (result, "(ut)", &worker, &n);
      n_last[worker] = MAX (n_last[worker], n);
    }
  /* Each task was counted by its worker, and by nobody else. */
  g_assert_cmpuint (n_last[0] + n_last[1], ==, 1000);
  g_assert_cmpuint (counter_get (N_MADE), ==, (n_last[0] > 0) + (n_last[1] > 0));
  g_assert_cmpuint (counter_get (N_FREED), ==, counter_get (N_MADE));
}

static void
test_replaced (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) first G_GNUC_UNUSED = apply (pool, "count-tasks", NULL);
  g_autoptr (GVariant) second = apply (pool, "replace-state", NULL);

  g_assert_true (g_variant_get_boolean (second));
  g_assert_cmpuint (counter_get (N_FREED), ==, 1);
  join_pool (pool);
  g_assert_cmpuint (counter_get (N_FREED), ==, 1);
}

static void
test_death (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) first G_GNUC_UNUSED = apply (pool, "count-tasks", NULL);
  g_autoptr (GVariant) second = NULL;
  g_autoptr (GVariant) dead = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n;

  dead = wp_worker_pool_apply (pool, "die-now", NULL, NULL, NULL, &error);
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  second = apply (pool, "count-tasks", NULL);
  g_variant_get (second, "(ut)", NULL, &n);
  g_assert_cmpuint (n, ==, 1);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/worker-state/kept-for-each-worker-and-freed", test_kept },
  { "/worker-state/freed-when-replaced", test_replaced },
  { "/worker-state/not-of-one-that-died", test_death, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("count-tasks", count_tasks, NULL, NULL);
  wp_register_function ("replace-state", replace_state, NULL, NULL);
  wp_register_function ("die-now", die_now, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
