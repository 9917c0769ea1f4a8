/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A pool's end, in whatever way and moment it comes: nothing waits for it for ever, and nothing outlives it. */

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

static GVariant *
count_run (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  return g_variant_ref (args);
}

static void
assert_cancelled (Outcome *outcome)
{
  g_assert_true (outcome->done);
  g_assert_null (outcome->value);
  g_assert_error (outcome->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Join */

static void
test_join_leaves_results (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpBatch) batch = NULL;
  guint64 n = 0;

  wp_task_options_set_max_active_tasks (options, 2000);
  batch = start_batch (pool, "record", options);
  for (guint64 i = 0; i < 2000; i++)
    push_item (batch, g_variant_new_uint64 (i));

  join_pool (pool);

  g_assert_cmpuint (wp_batch_get_n_completed (batch), ==, 2000);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_FINISHED);
  for (;;)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (result == NULL)
        break;
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, n++);
    }
  g_assert_cmpuint (n, ==, 2000);
}

static void
on_next (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (WpResult) next = wp_batch_next_finish (WP_BATCH (source), result, &error);

  g_assert_no_error (error);
  g_assert_null (next);
  *(gboolean *) data = TRUE;
}

static void
test_join_closes_batches (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpBatch) full = NULL;
  g_autoptr (WpBatch) empty = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) pushed = { 0 };
  gboolean ended = FALSE;

  wp_task_options_set_max_active_tasks (options, 1);
  full = start_batch (pool, "echo", options);
  empty = start_batch (pool, "echo", NULL);
  push_item (full, g_variant_new_int32 (1));
  wp_batch_push_async (full, g_variant_new_int32 (2), NULL, on_pushed, &pushed);
  wp_batch_next_async (empty, NULL, on_next, &ended);

  join_pool (pool);

  iterate_until (&pushed.done);
  g_assert_error (pushed.error, WP_ERROR, WP_ERROR_CLOSED);
  iterate_until (&ended);
  g_assert_cmpint (wp_batch_get_state (empty), ==, WP_BATCH_STATE_FINISHED);
  g_assert_false (wp_batch_push (empty, g_variant_new_int32 (3), &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
}

static void
test_join_waits_for_tasks (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) applied = { 0 };
  g_auto (Outcome) cancelled = { 0 };
  g_auto (Outcome) joined = { 0 };

  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &applied);
  wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &joined);
  wp_worker_pool_stop_and_join_async (pool, cancellable, on_joined, &cancelled);
  counter_wait (RUNNING, 1);

  g_cancellable_cancel (cancellable);
  iterate_until (&cancelled.done);
  g_assert_error (cancelled.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (wp_worker_pool_stop_and_join (pool, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (joined.done);
  g_assert_false (applied.done);

  counter_set (GATE, 1);
  iterate_until (&joined.done);
  g_assert_no_error (joined.error);
  iterate_until (&applied.done);
  g_assert_no_error (applied.error);
}

static gpointer
join_in_thread (gpointer data)
{
  join_pool (data);
  return NULL;
}

static void
test_join_from_many_threads (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  GThread *threads[6];

  apply_pid (pool);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("join", join_in_thread, pool);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  join_pool (pool);
}

/* A pool that never ran, and one that was only started. */
static void
test_join_without_tasks (void)
{
  for (guint i = 0; i < 6; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = NULL;
      g_auto (Outcome) joined = { 0 };

      if (i % 2 == 1)
        {
          g_assert_true (wp_worker_pool_start (pool, &error));
          g_assert_no_error (error);
        }
      if (i / 2 == 1)
        wp_worker_pool_terminate (pool);
      if (i / 2 == 2)
        {
          wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &joined);
          iterate_until (&joined.done);
          g_assert_no_error (joined.error);
        }
      join_pool (pool);

      result = wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error);
      g_assert_null (result);
      g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
      g_clear_error (&error);
      g_assert_false (wp_worker_pool_start (pool, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
    }
}

/* Terminate */

static void
test_terminate_busy (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GError) error = NULL;
  Outcome outcomes[5] = { { 0 } };
  GThread *thread;

  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &outcomes[i]);
  counter_wait (RUNNING, 2);

  thread = g_thread_new ("join", join_in_thread, pool);
  wp_worker_pool_terminate (pool);
  wp_worker_pool_terminate (pool);
  g_thread_join (thread);
  join_pool (pool);
  wp_worker_pool_terminate (pool);

  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    {
      iterate_until (&outcomes[i].done);
      assert_cancelled (&outcomes[i]);
      outcome_clear (&outcomes[i]);
    }
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
}

/* While its workers are being started, too. */
static void
test_terminate_at_once (void)
{
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (3);
      g_auto (Outcome) outcome = { 0 };

      wp_worker_pool_map_async (pool, "echo", make_indices (1000), NULL, NULL, on_mapped, &outcome);
      for (guint spins = g_test_rand_int_range (0, 2000); spins > 0; spins--)
        g_thread_yield ();
      wp_worker_pool_terminate (pool);
      iterate_until (&outcome.done);
      if (outcome.error != NULL)
        assert_cancelled (&outcome);
      join_pool (pool);
    }
}

typedef struct
{
  WpWorkerPool *pool;
  guint n_results;
} Terminator;

static void
on_result_terminate (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  Terminator *terminator = data;

  terminator->n_results++;
  wp_worker_pool_terminate (terminator->pool);
}

static void
on_failed_count (WpBatch *batch, guint64 index, const GError *error, gpointer data)
{
  Terminator *terminator = data;

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  terminator->n_results++;
}

static void
test_terminate_from_handler (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "record", options);
  Terminator terminator = { pool, 0 };
  gboolean finished = FALSE;

  g_signal_connect (batch, "result", G_CALLBACK (on_result_terminate), &terminator);
  g_signal_connect (batch, "failed", G_CALLBACK (on_failed_count), &terminator);
  g_signal_connect (batch, "finished", G_CALLBACK (set_true), &finished);
  for (guint64 i = 0; i < 100; i++)
    push_item (batch, g_variant_new_uint64 (i));

  iterate_until (&finished);
  g_assert_cmpuint (terminator.n_results, ==, 100);
  join_pool (pool);
}

/* Dropping */

static void
test_dispose (void)
{
  WpWorkerPool *pool = make_pool (2);
  Outcome outcomes[3] = { { 0 } };

  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &outcomes[i]);
  counter_wait (RUNNING, 2);

  g_object_run_dispose (G_OBJECT (pool));
  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    {
      iterate_until (&outcomes[i].done);
      assert_cancelled (&outcomes[i]);
      outcome_clear (&outcomes[i]);
    }
  g_object_unref (pool);
}

static void
test_dropped_with_calls_in_flight (void)
{
  WpWorkerPool *pool = make_pool (2);
  g_auto (Outcome) applied = { 0 };
  g_auto (Outcome) mapped = { 0 };

  g_object_add_weak_pointer (G_OBJECT (pool), (gpointer *) &pool);
  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &applied);
  wp_worker_pool_map_async (pool, "record", make_indices (500), NULL, NULL, on_mapped, &mapped);
  g_object_unref (pool);
  counter_set (GATE, 1);

  iterate_until (&applied.done);
  iterate_until (&mapped.done);
  g_assert_no_error (applied.error);
  g_assert_no_error (mapped.error);
  assert_indices (mapped.value, 500);
  iterate_pending ();
  g_assert_null (pool);
}

static void
test_dropped_with_batch (void)
{
  WpWorkerPool *pool = make_pool (2);
  WpBatch *batch = start_batch (pool, "record", NULL);

  g_object_add_weak_pointer (G_OBJECT (pool), (gpointer *) &pool);
  for (guint64 i = 0; i < 50; i++)
    push_item (batch, g_variant_new_uint64 (i));
  g_object_unref (pool);
  for (guint64 i = 50; i < 100; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);

  for (guint64 i = 0; i < 100; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
    }
  g_assert_nonnull (pool);
  g_object_unref (batch);
  g_assert_null (pool);
}

static void
test_batch_dropped (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  WpBatch *batch = start_batch (pool, "obey", NULL);

  for (guint i = 0; i < 10; i++)
    push_item (batch, HOLD);
  counter_wait (RUNNING, 1);
  g_object_unref (batch);

  /* The running task was cancelled, the others never ran. */
  apply_pid (pool);
  g_assert_cmpuint (counter_get (RUNNING), ==, 1);
  join_pool (pool);
}

static void
on_completed_unref (WpWorkerPool *pool, guint64 id, GVariant *value, gpointer data)
{
  WpWorkerPool **held = data;

  if (*held != NULL)
    g_object_unref (g_steal_pointer (held));
}

static void
test_dropped_by_its_handler (void)
{
  WpWorkerPool *pool = make_pool (2);
  g_auto (Outcome) mapped = { 0 };

  g_signal_connect (pool, "task-completed", G_CALLBACK (on_completed_unref), &pool);
  wp_worker_pool_map_async (pool, "record", make_indices (100), NULL, NULL, on_mapped, &mapped);
  iterate_until (&mapped.done);
  assert_indices (mapped.value, 100);
  iterate_pending ();
  g_assert_null (pool);
}

/* Many pools */

static void
use_pool (guint n_jobs)
{
  g_autoptr (WpWorkerPool) pool = make_pool (n_jobs);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "echo", make_indices (50), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 50);
  join_pool (pool);
}

static void
test_fifty_pools (void)
{
  Census before;

  use_pool (2);
  census_take (&before);
  for (guint i = 0; i < 50; i++)
    use_pool (1);
  census_settle (&before);
}

static gpointer
use_pools (gpointer data)
{
  for (guint i = 0; i < 3; i++)
    use_pool (2);
  return NULL;
}

static void
test_pools_in_threads (void)
{
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("user", use_pools, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static gpointer
map_in_pool (gpointer data)
{
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      results = wp_worker_pool_map (data, "echo", make_indices (300), NULL, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, 300);
    }
  return NULL;
}

static void
test_one_pool_in_threads (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("user", map_in_pool, pool);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  join_pool (pool);
}

/* Contexts */

static gboolean
map_in_dispatch (gpointer data)
{
  use_pool (2);
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
test_sync_call_in_dispatch (void)
{
  gboolean done = FALSE;

  g_idle_add (map_in_dispatch, &done);
  iterate_until (&done);
}

typedef struct
{
  GThread *thread;
  guint n;
} Witness;

static void
on_witnessed (gpointer object, guint64 index, GVariant *value, gpointer data)
{
  Witness *witness = data;

  g_assert_true (g_thread_self () == witness->thread);
  witness->n++;
}

static gpointer
use_own_context (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (WpBatch) batch = NULL;
  g_auto (Outcome) mapped = { 0 };
  Witness of_pool = { g_thread_self (), 0 };
  Witness of_batch = { g_thread_self (), 0 };
  gboolean finished = FALSE;

  g_main_context_push_thread_default (context);
  pool = make_pool (2);
  g_signal_connect (pool, "task-completed", G_CALLBACK (on_witnessed), &of_pool);
  batch = start_batch (pool, "record", NULL);
  g_signal_connect (batch, "result", G_CALLBACK (on_witnessed), &of_batch);
  g_signal_connect (batch, "finished", G_CALLBACK (set_true), &finished);
  for (guint64 i = 0; i < 50; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);
  wp_worker_pool_map_async (pool, "record", make_indices (100), NULL, NULL, on_mapped, &mapped);

  iterate_context_until (context, mapped.done && finished && of_pool.n >= 150);
  assert_indices (mapped.value, 100);
  g_assert_cmpuint (of_batch.n, ==, 50);
  g_assert_cmpuint (of_pool.n, ==, 150);

  join_pool (pool);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_clear_object (&batch);
  g_clear_object (&pool);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_own_context (void)
{
  g_thread_join (g_thread_new ("own context", use_own_context, NULL));
}

/* Calls that wait need no main loop: a thread may have a context that it never iterates. */
static gpointer
leave_context_alone (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  Witness witness = { NULL, 0 };
  guint n = 0;

  g_main_context_push_thread_default (context);
  pool = make_pool (2);
  g_signal_connect (pool, "task-completed", G_CALLBACK (on_witnessed), &witness);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (set_true), &witness);
  batch = start_batch (pool, "record", NULL);
  for (guint64 i = 0; i < 50; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);
  for (;;)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (result == NULL)
        break;
      n++;
    }
  g_assert_cmpuint (n, ==, 50);
  results = wp_worker_pool_map (pool, "echo", make_indices (10), NULL, NULL, &error);
  g_assert_no_error (error);
  join_pool (pool);
  g_clear_object (&batch);
  g_clear_object (&pool);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_context_that_nobody_iterates (void)
{
  for (guint i = 0; i < 4; i++)
    g_thread_join (g_thread_new ("no loop", leave_context_alone, NULL));
}

static void
test_blocked_main_loop (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpBatch) batch = NULL;
  Witness witness = { g_thread_self (), 0 };
  gboolean finished = FALSE;

  wp_task_options_set_max_active_tasks (options, 1000);
  batch = start_batch (pool, "count", options);
  g_signal_connect (batch, "result", G_CALLBACK (on_witnessed), &witness);
  g_signal_connect (batch, "finished", G_CALLBACK (set_true), &finished);
  for (guint64 i = 0; i < 1000; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);

  /* The thread of the main loop does not return to it before all is done. */
  counter_wait (RUNNING, 1000);
  g_assert_cmpuint (witness.n, ==, 0);

  iterate_until (&finished);
  g_assert_cmpuint (witness.n, ==, 1000);
  join_pool (pool);
}

/* Keep-alive */

static void
map_pids (WpWorkerPool *pool, GHashTable *pids)
{
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "pid", make_indices (20), options, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_hash_table_add (pids, GINT_TO_POINTER (g_variant_get_int32 (value)));
    }
}

static void
test_keep_alive (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GHashTable) pids = g_hash_table_new (NULL, NULL);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  for (guint i = 0; i < 5; i++)
    map_pids (pool, pids);
  g_assert_cmpuint (g_hash_table_size (pids), ==, 1);
  join_pool (pool);
}

static gboolean
have_workers_gone (WpWorkerPool *pool, const Census *before)
{
  const guint n_servers = get_start_method () == WP_START_METHOD_FORKSERVER;
  Census now;

  census_take (&now);
  return now.n_children <= before->n_children + n_servers && now.n_descendants <= before->n_descendants &&
         now.n_mappings <= before->n_mappings && wp_worker_pool_get_n_workers (pool) == 0;
}

static void
test_no_keep_alive (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GHashTable) pids = g_hash_table_new (NULL, NULL);
  Census before;

  census_take (&before);
  for (guint i = 1; i <= 3; i++)
    {
      map_pids (pool, pids);
      g_assert_cmpuint (g_hash_table_size (pids), >=, i);
      /* The workers go, without a join; the pool's thread, its descriptors and its fork server stay. */
      yield_until (have_workers_gone (pool, &before));
    }
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/lifecycle/join/leaves-results-to-be-taken", test_join_leaves_results },
  { "/lifecycle/join/closes-batches", test_join_closes_batches },
  { "/lifecycle/join/waits-for-tasks", test_join_waits_for_tasks },
  { "/lifecycle/join/from-many-threads", test_join_from_many_threads },
  { "/lifecycle/join/without-tasks", test_join_without_tasks },
  { "/lifecycle/terminate/while-busy-twice-beside-a-join", test_terminate_busy, TRUE },
  { "/lifecycle/terminate/at-any-moment-of-the-start", test_terminate_at_once },
  { "/lifecycle/terminate/from-a-result-handler", test_terminate_from_handler },
  { "/lifecycle/drop/dispose-ends-everything", test_dispose, TRUE },
  { "/lifecycle/drop/calls-in-flight-end", test_dropped_with_calls_in_flight },
  { "/lifecycle/drop/batch-keeps-its-pool", test_dropped_with_batch },
  { "/lifecycle/drop/batch-is-cancelled", test_batch_dropped },
  { "/lifecycle/drop/by-its-own-handler", test_dropped_by_its_handler },
  { "/lifecycle/many/fifty-in-sequence", test_fifty_pools },
  { "/lifecycle/many/from-eight-threads", test_pools_in_threads },
  { "/lifecycle/many/one-used-by-eight-threads", test_one_pool_in_threads },
  { "/lifecycle/context/sync-call-in-a-dispatch", test_sync_call_in_dispatch },
  { "/lifecycle/context/results-come-to-the-calling-thread", test_own_context },
  { "/lifecycle/context/that-nobody-iterates-is-let-go", test_context_that_nobody_iterates },
  { "/lifecycle/context/blocked-one-does-not-starve-workers", test_blocked_main_loop },
  { "/lifecycle/keep-alive/same-workers-serve-the-next-map", test_keep_alive },
  { "/lifecycle/keep-alive/without-it-workers-end-with-the-map", test_no_keep_alive, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("count", count_run, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
