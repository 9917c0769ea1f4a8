/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One task in pieces: started, waited for in slices or not at all, asked for its result. */

#include <string.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test; "die" has the first. */
enum
{
  STRAY_MAY_END,
  RUNNING = 2,
  GATE,
};

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)
/* As an interpreter waits. */
#define SLICE_US 1000

static WpApply *
start_apply (WpWorkerPool *pool, const char *function, GVariant *args)
{
  g_autoptr (GError) error = NULL;
  WpApply *call = wp_worker_pool_start_apply (pool, function, args, NULL, &error);

  g_assert_no_error (error);
  return call;
}

static GVariant *
get_value (WpApply *call)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = wp_apply_get_value (call, &error);

  g_assert_no_error (error);
  return value;
}

static void
assert_failure (WpApply *call, GQuark domain, int code)
{
  /* Again and again. */
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (wp_apply_get_value (call, &error));
      g_assert_error (error, domain, code);
    }
}

static void
test_result (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  for (guint64 i = 0; i < 500; i++)
    {
      g_autoptr (WpApply) call = start_apply (pool, "echo", g_variant_new_uint64 (i));
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GVariant) again = NULL;

      while (!wp_apply_wait (call, SLICE_US))
        ;
      value = get_value (call);
      again = get_value (call);
      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
      g_assert_true (value == again);
      g_assert_true (wp_apply_wait (call, 0));
    }
  join_pool (pool);
}

static void
test_wait_ends_in_time (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpApply) call = start_apply (pool, "hold", HOLD);
  g_autoptr (GVariant) value = NULL;

  /* Before the worker has the task, in a sleep, and in a poll. */
  g_assert_false (wp_apply_wait (call, 0));
  counter_wait (RUNNING, 1);
  for (gint64 timeout = 1; timeout < 100000; timeout *= 10)
    {
      const gint64 began = g_get_monotonic_time ();

      g_assert_false (wp_apply_wait (call, timeout));
      g_assert_cmpint (g_get_monotonic_time () - began, >=, timeout);
    }
  /* Others use the worker's link in between. */
  g_assert_false (wp_apply_wait (call, 0));
  counter_set (GATE, 1);
  g_assert_true (wp_apply_wait (call, -1));
  value = get_value (call);
  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_INT32));
  join_pool (pool);
}

/* Nobody waits, but the pool knows all the same. */
static void
test_nobody_waits (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) first = apply (pool, "echo", g_variant_new_uint64 (0));
  g_autoptr (WpApply) one = NULL;
  g_autoptr (WpApply) other = NULL;
  g_autoptr (GVariant) value = NULL;

  g_assert_cmpuint (g_variant_get_uint64 (first), ==, 0);
  one = start_apply (pool, "echo", g_variant_new_uint64 (1));
  yield_until (wp_worker_pool_get_n_busy (pool) == 0 && wp_worker_pool_get_n_queued (pool) == 0);
  g_assert_true (wp_apply_wait (one, 0));
  value = get_value (one);
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, 1);

  other = start_apply (pool, "echo", g_variant_new_uint64 (2));
  join_pool (pool);
  g_assert_true (wp_apply_wait (other, 0));
}

/* Many at once, asked for in the opposite order. */
static void
test_many (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  WpApply *calls[200];

  for (guint64 i = 0; i < G_N_ELEMENTS (calls); i++)
    calls[i] = start_apply (pool, "echo", g_variant_new_uint64 (i));
  for (guint i = G_N_ELEMENTS (calls); i-- > 0;)
    {
      g_autoptr (GVariant) value = get_value (calls[i]);

      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
      g_object_unref (calls[i]);
    }
  join_pool (pool);
}

static void
test_failure (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpApply) call = start_apply (pool, "fail", NULL);
  g_autoptr (GError) error = NULL;

  assert_failure (call, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
  g_assert_null (wp_worker_pool_start_apply (pool, "", NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  join_pool (pool);
  g_assert_null (wp_worker_pool_start_apply (pool, "echo", NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
}

static void
test_cancel (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpApply) running = start_apply (pool, "obey", HOLD);
  g_autoptr (WpApply) waiting = start_apply (pool, "echo", NULL);

  counter_wait (RUNNING, 1);
  wp_apply_cancel (waiting);
  assert_failure (waiting, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (wp_apply_wait (running, 0));
  wp_apply_cancel (running);
  wp_apply_cancel (running);
  assert_failure (running, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  join_pool (pool);
}

/* The join does not wait for the gate. */
static void
test_dropped (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  WpApply *call = start_apply (pool, "obey", HOLD);

  counter_wait (RUNNING, 1);
  g_object_unref (call);
  join_pool (pool);
}

static void
test_terminated (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpApply) call = start_apply (pool, "obey", HOLD);

  counter_wait (RUNNING, 1);
  wp_worker_pool_terminate (pool);
  assert_failure (call, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  join_pool (pool);
}

static void
test_death (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  for (guint64 i = 0; death_ways[i] != NULL; i++)
    {
      g_autoptr (WpApply) call = NULL;

      /* These leave a worker that nobody can hear, or that waits for the test. */
      if (strcmp (death_ways[i], "stray") == 0 || strcmp (death_ways[i], "SIGSTOP") == 0)
        continue;

      call = start_apply (pool, "die", g_variant_new ("(tsu)", i, death_ways[i], 1));
      while (!wp_apply_wait (call, SLICE_US))
        ;
      g_assert_null (wp_apply_get_value (call, NULL));
    }
  join_pool (pool);
}

static gpointer
wait_in_slices (gpointer data)
{
  while (!wp_apply_wait (data, SLICE_US))
    ;
  return get_value (data);
}

static gpointer
wait_at_once (gpointer data)
{
  return get_value (data);
}

static void
test_threads (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpApply) call = start_apply (pool, "hold", HOLD);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("waits", i % 2 == 0 ? wait_in_slices : wait_at_once, call);
  counter_wait (RUNNING, 1);
  /* The other worker, and the same by turns. */
  for (guint64 i = 0; i < 50; i++)
    {
      g_autoptr (GVariant) value = apply (pool, "echo", g_variant_new_uint64 (i));

      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
    }
  counter_set (GATE, 1);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_autoptr (GVariant) value = g_thread_join (threads[i]);

      g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_INT32));
    }
  join_pool (pool);
}

static void
count_event (guint64 index, GVariant *value, gpointer n)
{
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, *(guint *) n);
  (*(guint *) n)++;
}

/* t: emits that many events, which is more than a worker may be ahead */
static GVariant *
emit (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  for (guint64 i = 0; i < g_variant_get_uint64 (args); i++)
    if (!wp_task_context_emit (context, g_variant_new_uint64 (i), error))
      return NULL;
  return g_variant_ref (args);
}

static void
test_events (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpApply) call = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  guint n = 0;

  wp_task_options_set_event_callback (options, count_event, &n, NULL);
  call = wp_worker_pool_start_apply (pool, "emit", g_variant_new_uint64 (1000), options, &error);
  g_assert_no_error (error);
  while (!wp_apply_wait (call, SLICE_US))
    ;
  g_assert_cmpuint (n, ==, 1000);
  value = get_value (call);
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, 1000);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/apply/result", test_result },
  { "/apply/wait-ends-in-time", test_wait_ends_in_time },
  { "/apply/nobody-waits", test_nobody_waits },
  { "/apply/many", test_many },
  { "/apply/failure", test_failure },
  { "/apply/cancel", test_cancel },
  { "/apply/dropped-is-cancelled", test_dropped },
  { "/apply/terminated", test_terminated },
  { "/apply/death", test_death, TRUE },
  { "/apply/threads", test_threads },
  { "/apply/events", test_events },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("emit", emit, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
