/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is urgent goes first, and what is not goes on all the same. */

#include <signal.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
  N_RUN,
};

/* t → u: how many tasks of this function were run before. */
static GVariant *
take_number (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (counter_add (N_RUN, 1) - 1);
}

/* t, the index of a task, of which every tenth kills its worker in the first of its runs → the same. */
static GVariant *
maybe_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args) % SCRATCH_N_TASKS;

  if (index % 10 == 3 && task_begin (index) == 1)
    raise (SIGKILL);

  return g_variant_ref (args);
}

static WpTaskOptions *
make_priority_options (int priority)
{
  WpTaskOptions *options = make_options (1, 0, WP_ON_ERROR_CONTINUE);

  wp_task_options_set_priority (options, priority);

  return options;
}

/* Occupies the only worker until the gate is opened. */
static void
hold_worker (WpWorkerPool *pool, Outcome *held)
{
  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, held);
  counter_wait (RUNNING, 1);
}

static void
test_overtake (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) low = make_priority_options (G_PRIORITY_LOW);
  g_autoptr (WpTaskOptions) high = make_priority_options (G_PRIORITY_HIGH);
  g_autoptr (WpBatch) batch = NULL;
  g_auto (Outcome) held = { 0 };
  g_auto (Outcome) mapped = { 0 };
  g_auto (Outcome) applied = { 0 };

  hold_worker (pool, &held);
  batch = start_batch (pool, "take-number", low);
  for (guint64 i = 0; i < 50; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);
  wp_worker_pool_map_async (pool, "take-number", make_indices (50), NULL, NULL, on_mapped, &mapped);
  wp_worker_pool_apply_async (pool, "take-number", g_variant_new_uint64 (0), high, NULL, on_applied, &applied);
  g_assert_cmpuint (wp_worker_pool_get_n_queued (pool), ==, 101);
  counter_set (GATE, 1);
  iterate_until (&applied.done);
  iterate_until (&mapped.done);
  iterate_until (&held.done);
  g_assert_no_error (applied.error);
  g_assert_cmpuint (g_variant_get_uint32 (applied.value), ==, 0);
  g_assert_no_error (mapped.error);
  for (guint i = 0; i < 50; i++)
    g_object_unref (next_result (batch));
  join_pool (pool);
}

/* Which of the tasks of G_PRIORITY_LOW runs first, when so many others wait that could go before it. */
static void
test_share (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) low = make_priority_options (G_PRIORITY_LOW);
  g_autoptr (WpTaskOptions) high = make_priority_options (G_PRIORITY_HIGH);
  g_auto (Outcome) held = { 0 };
  g_auto (Outcome) mapped = { 0 };
  g_auto (Outcome) applied = { 0 };

  hold_worker (pool, &held);
  wp_worker_pool_apply_async (pool, "take-number", g_variant_new_uint64 (0), low, NULL, on_applied, &applied);
  wp_worker_pool_map_async (pool, "take-number", make_indices (500), high, NULL, on_mapped, &mapped);
  counter_set (GATE, 1);
  iterate_until (&applied.done);
  iterate_until (&mapped.done);
  iterate_until (&held.done);
  g_assert_no_error (applied.error);
  g_assert_no_error (mapped.error);
  g_assert_cmpuint (g_variant_get_uint32 (applied.value), ==, 16);
  join_pool (pool);
}

/* What is urgent never ends here: more of it is pushed until the other has ended. */
static void
test_endless (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) low = make_priority_options (G_PRIORITY_LOW);
  g_autoptr (WpTaskOptions) high = make_priority_options (G_PRIORITY_HIGH);
  g_autoptr (WpBatch) batch = NULL;
  g_auto (Outcome) mapped = { 0 };
  const gboolean can_die = get_start_method () != WP_START_METHOD_THREADING;
  guint64 n_pushed = 0;
  guint64 n_taken = 0;

  wp_task_options_set_max_retries (high, 1);
  wp_task_options_set_max_active_tasks (high, 200);
  batch = start_batch (pool, can_die ? "maybe-die" : "echo", high);
  for (; n_pushed < 200; n_pushed++)
    push_item (batch, g_variant_new_uint64 (n_pushed));
  wp_worker_pool_map_async (pool, "take-number", make_indices (20), low, NULL, on_mapped, &mapped);

  expect_end ("a map beside an endless batch that goes before it");
  for (; !mapped.done; n_taken++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_no_error (wp_result_get_error (result));
      push_item (batch, g_variant_new_uint64 (n_pushed++));
      g_main_context_iteration (NULL, FALSE);
    }
  expect_end (NULL);
  g_assert_no_error (mapped.error);

  wp_batch_close (batch);
  for (; n_taken < n_pushed; n_taken++)
    g_object_unref (next_result (batch));
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/priority/urgent-tasks/overtake-queued-ones", test_overtake },
  { "/priority/other-tasks/have-their-share", test_share },
  { "/priority/other-tasks/never-starve", test_endless },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("take-number", take_number, NULL, NULL);
  wp_register_function ("maybe-die", maybe_die, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
