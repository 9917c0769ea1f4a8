/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A cancellation ends what it is meant for, soon, and disturbs nothing else. */

#include <signal.h>
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
  TERMS,
  OTHERS,
};

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

/* Short, so that the tests are; long enough for a task that obeys. */
#define GRACE_MS 100

static void
on_sigterm_end (int signum)
{
  counter_add (TERMS, 1);
  _exit (0);
}

static void
on_sigterm_go_on (int signum)
{
  counter_add (TERMS, 1);
}

static GVariant *
hold_with_handler (GVariant *args, void (*handler) (int), GError **error)
{
  guint running, gate;

  signal (SIGTERM, handler);
  g_variant_get (args, "(uu)", &running, &gate);
  counter_add (running, 1);
  counter_wait (gate, 1);

  return g_variant_new_int32 (getpid ());
}

static GVariant *
end_at_sigterm (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return hold_with_handler (args, on_sigterm_end, error);
}

static GVariant *
ignore_sigterm (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return hold_with_handler (args, on_sigterm_go_on, error);
}

/* Quick, so that the pool hands out chunks ahead; G_MAXUINT64 holds. */
static GVariant *
mostly_quick (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (index == G_MAXUINT64)
    {
      counter_add (RUNNING, 1);
      counter_wait (GATE, 1);
    }
  else
    {
      task_begin (index);
      task_end (index);
    }
  return g_variant_ref (args);
}

static WpWorkerPool *
make_strict_pool (guint n_jobs)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_grace_period (pool, GRACE_MS);
  return pool;
}

/* No test machine is so slow that an obedient task is taken for a stubborn one. */
static WpWorkerPool *
make_patient_pool (void)
{
  WpWorkerPool *pool = make_strict_pool (1);

  wp_worker_pool_set_grace_period (pool, 60000);
  return pool;
}

/* Takes every result; returns how many were cancelled. No other error is expected. */
static guint
count_cancelled (WpBatch *batch, guint64 n_expected)
{
  guint64 n = 0;
  guint n_cancelled = 0;

  for (;;)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (result == NULL)
        break;
      g_assert_cmpuint (wp_result_get_index (result), ==, n);
      if (wp_result_get_error (result) != NULL)
        {
          g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_CANCELLED);
          n_cancelled++;
        }
      n++;
    }
  g_assert_cmpuint (n, ==, n_expected);
  return n_cancelled;
}

typedef struct
{
  guint counter;
  GCancellable *cancellable;
  WpBatch *batch;
} Canceller;

/* Cancels as soon as a task runs. */
static gpointer
cancel_when_running (gpointer data)
{
  Canceller *canceller = data;

  counter_wait (canceller->counter, 1);
  if (canceller->cancellable != NULL)
    g_cancellable_cancel (canceller->cancellable);
  if (canceller->batch != NULL)
    wp_batch_cancel (canceller->batch);
  return NULL;
}

/* Queued tasks */

static void
test_queued_end_at_once (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (WpBatch) batch = NULL;
  g_auto (Outcome) blocker = { 0 };
  g_auto (Outcome) applied = { 0 };
  g_auto (Outcome) mapped = { 0 };
  int pid = apply_pid (pool);

  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &blocker);
  counter_wait (RUNNING, 1);

  batch = start_batch (pool, "record", NULL);
  for (guint64 i = 0; i < 20; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_worker_pool_apply_async (pool, "record", g_variant_new_uint64 (20), NULL, cancellable, on_applied, &applied);
  wp_worker_pool_map_async (pool, "record", make_indices (20), NULL, cancellable, on_mapped, &mapped);

  /* The only worker is busy with another's task all the time. */
  wp_batch_cancel (batch);
  g_assert_cmpuint (count_cancelled (batch, 20), ==, 20);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_CANCELLED);
  g_cancellable_cancel (cancellable);
  iterate_until (&applied.done);
  iterate_until (&mapped.done);
  g_assert_error (applied.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_error (mapped.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (blocker.done);

  counter_set (GATE, 1);
  iterate_until (&blocker.done);
  g_assert_no_error (blocker.error);
  g_assert_cmpint (g_variant_get_int32 (blocker.value), ==, pid);
  for (guint64 i = 0; i <= 20; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, 0);
  join_pool (pool);
}

static void
test_queued_sync_call (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) blocker = { 0 };
  Canceller canceller = { .counter = RUNNING, .cancellable = cancellable };
  GThread *thread;

  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &blocker);
  thread = g_thread_new ("cancel", cancel_when_running, &canceller);
  result = wp_worker_pool_map (pool, "record", make_indices (20), NULL, cancellable, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_assert_cmpuint (counter_get (GATE), ==, 0);
  counter_set (GATE, 1);
  join_pool (pool);
  iterate_until (&blocker.done);
  g_assert_no_error (blocker.error);
}

/* Running tasks */

static void
test_obedient_keeps_its_worker (void)
{
  const struct
  {
    gboolean sync;
    gboolean map;
  } calls[] = { { FALSE, FALSE }, { TRUE, FALSE }, { FALSE, TRUE }, { TRUE, TRUE } };
  g_autoptr (WpWorkerPool) pool = make_patient_pool ();
  int pid = apply_pid (pool);

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_auto (Outcome) outcome = { 0 };
      Canceller canceller = { .counter = RUNNING, .cancellable = cancellable };
      GVariant *args = calls[i].map ? g_variant_new_array (NULL, (GVariant *[]) { HOLD }, 1) : HOLD;
      GThread *thread;

      counter_set (RUNNING, 0);
      thread = g_thread_new ("cancel", cancel_when_running, &canceller);
      if (calls[i].sync && calls[i].map)
        outcome.value = wp_worker_pool_map (pool, "obey", args, NULL, cancellable, &outcome.error);
      else if (calls[i].sync)
        outcome.value = wp_worker_pool_apply (pool, "obey", args, NULL, cancellable, &outcome.error);
      else if (calls[i].map)
        wp_worker_pool_map_async (pool, "obey", args, NULL, cancellable, on_mapped, &outcome);
      else
        wp_worker_pool_apply_async (pool, "obey", args, NULL, cancellable, on_applied, &outcome);
      if (!calls[i].sync)
        iterate_until (&outcome.done);
      g_thread_join (thread);

      g_assert_null (outcome.value);
      g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_cmpint (apply_pid (pool), ==, pid);
    }
  join_pool (pool);
}

/* The chunk-mates of a cancelled task do not start any more. */
static void
test_obedient_chunk (void)
{
  g_autoptr (WpWorkerPool) pool = make_patient_pool ();
  g_autoptr (WpTaskOptions) options = make_options (40, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "obey", options);
  int pid = apply_pid (pool);

  for (guint i = 0; i < 40; i++)
    push_item (batch, HOLD);
  counter_wait (RUNNING, 1);
  wp_batch_cancel (batch);
  g_assert_cmpuint (count_cancelled (batch, 40), ==, 40);
  g_assert_cmpint (apply_pid (pool), ==, pid);
  g_assert_cmpuint (counter_get (RUNNING), ==, 1);
  join_pool (pool);
}

static void
check_stubborn (const char *function, guint n_terms)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) outcome = { 0 };
  int pid = apply_pid (pool);

  wp_worker_pool_apply_async (pool, function, HOLD, NULL, cancellable, on_applied, &outcome);
  counter_wait (RUNNING, 1);
  g_cancellable_cancel (cancellable);
  iterate_until (&outcome.done);
  g_assert_null (outcome.value);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (counter_get (TERMS), ==, n_terms);
  g_assert_cmpint (apply_pid (pool), !=, pid);
  join_pool (pool);
}

static void
test_stubborn_gets_sigterm (void)
{
  check_stubborn ("end-at-sigterm", 1);
}

static void
test_stubborn_without_handler (void)
{
  check_stubborn ("hold", 0);
}

static void
test_stubborn_gets_sigkill (void)
{
  check_stubborn ("ignore-sigterm", 1);
}

/* A cancelled task has no second run, however many retries its batch has. */
static void
test_stubborn_is_not_retried (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 5, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold", options);

  push_item (batch, HOLD);
  counter_wait (RUNNING, 1);
  wp_batch_cancel (batch);
  g_assert_cmpuint (count_cancelled (batch, 1), ==, 1);
  apply_pid (pool);
  g_assert_cmpuint (counter_get (RUNNING), ==, 1);
  join_pool (pool);
}

/* Others */

static void
test_other_workers_never_notice (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (2);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_auto (Outcome) stubborn = { 0 };
  g_auto (Outcome) neighbour = { 0 };
  g_auto (Outcome) mapped = { 0 };
  int pid;

  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", OTHERS, OTHERS + 1), NULL, NULL, on_applied,
                              &neighbour);
  counter_wait (OTHERS, 1);
  wp_worker_pool_apply_async (pool, "ignore-sigterm", HOLD, NULL, cancellable, on_applied, &stubborn);
  counter_wait (RUNNING, 1);
  wp_worker_pool_map_async (pool, "record", make_indices (300), options, NULL, on_mapped, &mapped);

  g_cancellable_cancel (cancellable);
  iterate_until (&stubborn.done);
  iterate_until (&mapped.done);
  g_assert_error (stubborn.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_no_error (mapped.error);
  assert_indices (mapped.value, 300);
  for (guint64 i = 0; i < 300; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, 1);

  counter_set (OTHERS + 1, 1);
  iterate_until (&neighbour.done);
  g_assert_no_error (neighbour.error);
  pid = g_variant_get_int32 (neighbour.value);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  join_pool (pool);
}

/* Tasks of another batch wait on the worker that is killed for a stubborn one. */
static void
check_mates_move (WpTransport transport, guint n_jobs)
{
  const guint64 n = 1000;
  g_autoptr (WpWorkerPool) pool = make_strict_pool (n_jobs);
  g_autoptr (WpLauncher) launcher = make_launcher (transport);
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Outcome) stubborn = { 0 };
  g_auto (Outcome) mapped = { 0 };

  wp_worker_pool_set_launcher (pool, launcher);
  /* The pool learns that the function is quick. */
  results = wp_worker_pool_map (pool, "mostly-quick", make_indices (n), options, NULL, &error);
  g_assert_no_error (error);
  scratch_reset ();

  wp_worker_pool_apply_async (pool, "mostly-quick", g_variant_new_uint64 (G_MAXUINT64), NULL, cancellable, on_applied,
                              &stubborn);
  wp_worker_pool_map_async (pool, "mostly-quick", make_indices (n), options, NULL, on_mapped, &mapped);
  counter_wait (RUNNING, 1);
  g_cancellable_cancel (cancellable);

  iterate_until (&stubborn.done);
  iterate_until (&mapped.done);
  g_assert_error (stubborn.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_no_error (mapped.error);
  assert_indices (mapped.value, n);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, 1);
  join_pool (pool);
}

static void
test_mates_move (void)
{
  check_mates_move (WP_TRANSPORT_SOCKET, 1);
  check_mates_move (WP_TRANSPORT_SOCKET, 2);
}

static void
test_mates_move_over_pipes (void)
{
  check_mates_move (WP_TRANSPORT_STDIO, 1);
  check_mates_move (WP_TRANSPORT_STDIO, 2);
}

/* Moments */

static void
test_before_the_start (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) applied = { 0 };
  g_auto (Outcome) mapped = { 0 };

  g_cancellable_cancel (cancellable);
  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (wp_worker_pool_map (pool, "record", make_indices (5), NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  wp_worker_pool_apply_async (pool, "echo", NULL, NULL, cancellable, on_applied, &applied);
  wp_worker_pool_map_async (pool, "record", make_indices (5), NULL, cancellable, on_mapped, &mapped);
  g_assert_false (applied.done);
  g_assert_false (mapped.done);
  iterate_until (&applied.done);
  iterate_until (&mapped.done);
  g_assert_error (applied.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_error (mapped.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  /* Nothing was started: the settings are still free. */
  wp_worker_pool_set_n_jobs (pool, 2);
  g_assert_cmpuint (wp_worker_pool_get_n_jobs (pool), ==, 2);
}

static void
test_after_the_end (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (WpBatch) batch = start_batch (pool, "record", NULL);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  int pid = apply_pid (pool);

  result = wp_worker_pool_apply (pool, "echo", NULL, NULL, cancellable, &error);
  g_assert_no_error (error);
  g_cancellable_cancel (cancellable);
  g_cancellable_reset (cancellable);
  g_cancellable_cancel (cancellable);

  push_item (batch, g_variant_new_uint64 (0));
  wp_batch_close (batch);
  g_assert_cmpuint (count_cancelled (batch, 1), ==, 0);
  wp_batch_cancel (batch);
  wp_batch_cancel (batch);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_FINISHED);
  g_assert_cmpint (apply_pid (pool), ==, pid);
  join_pool (pool);
}

static void
test_twice (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "obey", NULL);
  g_autoptr (WpBatch) empty = start_batch (pool, "obey", NULL);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 5; i++)
    push_item (batch, HOLD);
  counter_wait (RUNNING, 1);
  wp_batch_cancel (batch);
  wp_batch_cancel (batch);
  wp_batch_close (batch);
  g_assert_false (wp_batch_push (batch, HOLD, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  g_assert_cmpuint (wp_batch_get_room (batch), ==, 0);
  g_assert_cmpuint (count_cancelled (batch, 5), ==, 5);

  wp_batch_cancel (empty);
  g_assert_cmpuint (count_cancelled (empty, 0), ==, 0);
  g_assert_cmpint (wp_batch_get_state (empty), ==, WP_BATCH_STATE_CANCELLED);
  join_pool (pool);
}

static void
test_from_another_thread (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "obey", NULL);
  Canceller canceller = { .counter = RUNNING, .batch = batch };
  GThread *thread = g_thread_new ("cancel", cancel_when_running, &canceller);

  for (guint i = 0; i < 50; i++)
    push_item (batch, HOLD);
  wp_batch_close (batch);
  g_assert_cmpuint (count_cancelled (batch, 50), ==, 50);
  g_thread_join (thread);
  join_pool (pool);
}

typedef struct
{
  guint n_results;
  guint n_failed;
  gboolean finished;
} Flow;

static void
on_result (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  Flow *flow = data;

  flow->n_results++;
  wp_batch_cancel (batch);
}

static void
on_failed (WpBatch *batch, guint64 index, const GError *error, gpointer data)
{
  Flow *flow = data;

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  flow->n_failed++;
}

static void
on_finished (WpBatch *batch, gpointer data)
{
  ((Flow *) data)->finished = TRUE;
}

static void
test_from_a_result_handler (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "mostly-quick", options);
  Flow flow = { 0 };

  g_signal_connect (batch, "result", G_CALLBACK (on_result), &flow);
  g_signal_connect (batch, "failed", G_CALLBACK (on_failed), &flow);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), &flow);
  push_item (batch, g_variant_new_uint64 (0));
  push_item (batch, g_variant_new_uint64 (G_MAXUINT64));
  for (guint64 i = 1; i <= 20; i++)
    push_item (batch, g_variant_new_uint64 (i));

  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n_results, ==, 1);
  g_assert_cmpuint (flow.n_failed, ==, 21);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_CANCELLED);
  join_pool (pool);
}

static gpointer
cancel_soon (gpointer data)
{
  guint spins = GPOINTER_TO_UINT (g_object_get_data (data, "spins"));

  for (; spins > 0; spins--)
    g_thread_yield ();
  g_cancellable_cancel (data);
  return NULL;
}

/* Beside the start of a worker, the sending of the task, and its end. */
static void
test_at_any_moment (void)
{
  for (guint round = 0; round < 150; round++)
    {
      g_autoptr (WpWorkerPool) pool = NULL;
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_auto (Outcome) applied = { 0 };
      g_auto (Outcome) mapped = { 0 };
      GThread *thread;
      guint most = round % 3 == 0 ? 3000 : 100;

      pool = make_strict_pool (2);
      if (round % 3 != 0)
        apply_pid (pool);
      g_object_set_data (G_OBJECT (cancellable), "spins", GUINT_TO_POINTER (g_test_rand_int_range (0, most)));
      thread = g_thread_new ("cancel", cancel_soon, cancellable);
      wp_worker_pool_apply_async (pool, "echo", g_variant_new_uint64 (7), NULL, cancellable, on_applied, &applied);
      wp_worker_pool_map_async (pool, "echo", make_indices (200), NULL, cancellable, on_mapped, &mapped);
      iterate_until (&applied.done);
      iterate_until (&mapped.done);
      g_thread_join (thread);

      if (applied.value != NULL)
        g_assert_cmpuint (g_variant_get_uint64 (applied.value), ==, 7);
      else
        g_assert_error (applied.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      if (mapped.value != NULL)
        assert_indices (mapped.value, 200);
      else
        g_assert_error (mapped.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      join_pool (pool);
    }
}

/* Waits */

typedef struct
{
  GHashTable *seen;
  guint n_pending;
  guint n_cancelled;
  gboolean ended;
} Takings;

static void
on_taken (GObject *source, GAsyncResult *result, gpointer data)
{
  Takings *takings = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (WpResult) next = wp_batch_next_finish (WP_BATCH (source), result, &error);

  takings->n_pending--;
  if (error != NULL)
    {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      takings->n_cancelled++;
    }
  else if (next == NULL)
    {
      takings->ended = TRUE;
    }
  else
    {
      guint64 index = wp_result_get_index (next);

      g_assert_no_error (wp_result_get_error (next));
      g_assert_true (g_hash_table_add (takings->seen, GUINT_TO_POINTER ((guint) index + 1)));
    }
}

static void
test_cancelled_next_loses_nothing (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (3, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  Takings takings = { .seen = seen };

  wp_task_options_set_max_active_tasks (options, 3000);
  batch = start_batch (pool, "work", options);
  for (guint64 i = 0; i < 3000; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);

  while (!takings.ended)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      GThread *thread = NULL;

      for (guint i = 0; i < 3; i++)
        {
          takings.n_pending++;
          wp_batch_next_async (batch, i == 1 ? NULL : cancellable, on_taken, &takings);
        }
      if (g_test_rand_int_range (0, 2) == 0)
        {
          g_object_set_data (G_OBJECT (cancellable), "spins", GUINT_TO_POINTER (g_test_rand_int_range (0, 20)));
          thread = g_thread_new ("cancel", cancel_soon, cancellable);
        }
      else
        {
          g_cancellable_cancel (cancellable);
        }
      iterate_context_until (NULL, takings.n_pending == 0);
      if (thread != NULL)
        g_thread_join (thread);
    }
  g_assert_cmpuint (g_hash_table_size (seen), ==, 3000);
  join_pool (pool);
}

static void
test_cancelled_next_while_nothing_comes (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  Takings takings = { .seen = seen, .n_pending = 3 };

  push_item (batch, HOLD);
  wp_batch_close (batch);
  wp_batch_next_async (batch, cancellable, on_taken, &takings);
  wp_batch_next_async (batch, NULL, on_taken, &takings);
  wp_batch_next_async (batch, NULL, on_taken, &takings);
  g_cancellable_cancel (cancellable);
  iterate_context_until (NULL, takings.n_pending <= 2);
  g_assert_cmpuint (takings.n_cancelled, ==, 1);

  /* The result goes to the next that waits. */
  counter_set (GATE, 1);
  iterate_until (&takings.ended);
  g_assert_cmpuint (takings.n_pending, ==, 0);
  g_assert_cmpuint (g_hash_table_size (seen), ==, 1);
  join_pool (pool);
}

static void
test_cancelled_sync_next (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (WpResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Canceller canceller = { .counter = RUNNING, .cancellable = cancellable };
  GThread *thread = g_thread_new ("cancel", cancel_when_running, &canceller);

  push_item (batch, HOLD);
  result = wp_batch_next (batch, cancellable, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);

  counter_set (GATE, 1);
  result = next_result (batch);
  g_assert_no_error (wp_result_get_error (result));
  join_pool (pool);
}

static void
test_cancelled_push (void)
{
  g_autoptr (WpWorkerPool) pool = make_strict_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (WpBatch) batch = NULL;
  Outcome pushed[6] = { { 0 } };

  wp_task_options_set_max_active_tasks (options, 1);
  batch = start_batch (pool, "record", options);
  for (guint i = 0; i < G_N_ELEMENTS (pushed); i++)
    wp_batch_push_async (batch, g_variant_new_uint64 (i), i % 2 == 1 ? cancellable : NULL, on_pushed, &pushed[i]);
  iterate_until (&pushed[0].done);
  g_cancellable_cancel (cancellable);
  wp_batch_close (batch);
  for (guint i = 1; i < G_N_ELEMENTS (pushed); i += 2)
    {
      iterate_until (&pushed[i].done);
      g_assert_error (pushed[i].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      outcome_clear (&pushed[i]);
    }

  /* The others are served in their order, each when there is room. */
  for (guint i = 0; i < G_N_ELEMENTS (pushed); i += 2)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
    }
  g_assert_null (next_result (batch));
  for (guint i = 0; i < G_N_ELEMENTS (pushed); i += 2)
    {
      iterate_until (&pushed[i].done);
      g_assert_no_error (pushed[i].error);
    }
  g_assert_cmpuint (wp_batch_get_n_pushed (batch), ==, 3);
  for (guint i = 1; i < G_N_ELEMENTS (pushed); i += 2)
    g_assert_cmpuint (task_get_n_begun (i), ==, 0);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/cancel/queued/ends-at-once", test_queued_end_at_once },
  { "/cancel/queued/sync-call-returns", test_queued_sync_call },
  { "/cancel/running/obedient-keeps-its-worker", test_obedient_keeps_its_worker },
  { "/cancel/running/chunk-mates-do-not-start", test_obedient_chunk },
  { "/cancel/running/stubborn-gets-sigterm", test_stubborn_gets_sigterm, TRUE },
  { "/cancel/running/stubborn-without-a-handler-ends", test_stubborn_without_handler, TRUE },
  { "/cancel/running/stubborn-gets-sigkill", test_stubborn_gets_sigkill, TRUE },
  { "/cancel/running/is-not-retried", test_stubborn_is_not_retried, TRUE },
  { "/cancel/others/never-notice", test_other_workers_never_notice, TRUE },
  { "/cancel/others/mates-of-a-killed-worker-run-once", test_mates_move },
  { "/cancel/others/mates-of-a-killed-worker-run-once-over-pipes", test_mates_move_over_pipes },
  { "/cancel/moment/before-the-start", test_before_the_start },
  { "/cancel/moment/after-the-end", test_after_the_end },
  { "/cancel/moment/twice", test_twice },
  { "/cancel/moment/from-another-thread", test_from_another_thread },
  { "/cancel/moment/from-a-result-handler", test_from_a_result_handler, TRUE },
  { "/cancel/moment/any", test_at_any_moment },
  { "/cancel/wait/next-loses-nothing", test_cancelled_next_loses_nothing },
  { "/cancel/wait/next-while-nothing-comes", test_cancelled_next_while_nothing_comes },
  { "/cancel/wait/sync-next-returns", test_cancelled_sync_next },
  { "/cancel/wait/push-adds-nothing", test_cancelled_push },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("end-at-sigterm", end_at_sigterm, NULL, NULL);
  wp_register_function ("ignore-sigterm", ignore_sigterm, NULL, NULL);
  wp_register_function ("mostly-quick", mostly_quick, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
