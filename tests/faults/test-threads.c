/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools are made, used, ended and dropped by many threads at once: every call returns, with what was asked for or with
 * the error that its documentation names. */

#include <pthread.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_THREADS 8
#define N_TASKS 24
#define CROWD_PATIENCE_S 120

/* So few may be in flight that pushing has to wait. */
#define MAX_ACTIVE 10

static guint
get_n_rounds (void)
{
  return g_test_slow () ? 10 : 2;
}

/* Threads that start together */

typedef struct _Crowd Crowd;

typedef void (*MemberFunc) (Crowd *crowd, guint id);

struct _Crowd
{
  MemberFunc func;
  WpWorkerPool *pool;
  WpBatch *batch;

  pthread_barrier_t start;
  guint next_id;   /* atomic */
  guint n_counted; /* atomic */
  guint n_pushing; /* atomic */
  guint seen[N_THREADS * N_TASKS]; /* atomic: how often the item has come */

  GMutex lock;
  GCond changed;
  guint n_ended;
  GCancellable *exposed[N_THREADS]; /* to whoever wants to cancel it; taken by them */
};

static gpointer
run_member (gpointer data)
{
  Crowd *crowd = data;
  guint id = (guint) g_atomic_int_add (&crowd->next_id, 1);
  g_autoptr (GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  pthread_barrier_wait (&crowd->start);
  crowd->func (crowd, id);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_main_context_pop_thread_default (context);

  g_mutex_lock (&crowd->lock);
  crowd->n_ended++;
  g_cond_broadcast (&crowd->changed);
  g_mutex_unlock (&crowd->lock);

  return NULL;
}

/* Runs func in all threads, on the pool and the batch, both nullable. Returns what they counted. */
static guint
run_crowd (MemberFunc func, WpWorkerPool *pool, WpBatch *batch)
{
  gint64 deadline = g_get_monotonic_time () + CROWD_PATIENCE_S * G_TIME_SPAN_SECOND;
  Crowd crowd = { .func = func, .pool = pool, .batch = batch, .n_pushing = N_THREADS / 2 };
  GThread *threads[N_THREADS];

  pthread_barrier_init (&crowd.start, NULL, N_THREADS);
  g_mutex_init (&crowd.lock);
  g_cond_init (&crowd.changed);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("member", run_member, &crowd);

  g_mutex_lock (&crowd.lock);
  while (crowd.n_ended < N_THREADS)
    if (!g_cond_wait_until (&crowd.changed, &crowd.lock, deadline))
      g_error ("%u of %d threads did not come back within %d seconds", N_THREADS - crowd.n_ended, N_THREADS,
               CROWD_PATIENCE_S);
  g_mutex_unlock (&crowd.lock);

  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_cond_clear (&crowd.changed);
  g_mutex_clear (&crowd.lock);
  pthread_barrier_destroy (&crowd.start);

  return crowd.n_counted;
}

static void
iterate_own_until (const gboolean *done)
{
  GMainContext *context = g_main_context_get_thread_default ();

  while (!*done)
    g_main_context_iteration (context, TRUE);
}

/* The ways to use a pool. Each looks at the results, and returns the error of a call that failed. */

typedef GError *(*UseFunc) (WpWorkerPool *pool, guint64 first, GCancellable *cancellable);

static GVariant *
make_range (guint64 first)
{
  guint64 range[N_TASKS];

  for (guint i = 0; i < N_TASKS; i++)
    range[i] = first + i;
  return g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, range, N_TASKS, sizeof *range);
}

static void
assert_value (GVariant *value, guint64 expected)
{
  g_assert_nonnull (value);
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, expected);
}

static void
assert_range (GVariant *results, guint64 first)
{
  g_assert_nonnull (results);
  g_assert_cmpuint (g_variant_n_children (results), ==, N_TASKS);
  for (guint i = 0; i < N_TASKS; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      assert_value (value, first + i);
    }
}

static GError *
use_apply (WpWorkerPool *pool, guint64 first, GCancellable *cancellable)
{
  g_autoptr (GVariant) result = NULL;
  GError *error = NULL;

  result = wp_worker_pool_apply (pool, "echo", g_variant_new_uint64 (first), NULL, cancellable, &error);
  if (error == NULL)
    assert_value (result, first);
  else
    g_assert_null (result);
  return error;
}

static GError *
use_map (WpWorkerPool *pool, guint64 first, GCancellable *cancellable)
{
  g_autoptr (GVariant) results = NULL;
  GError *error = NULL;

  results = wp_worker_pool_map (pool, "echo", make_range (first), NULL, cancellable, &error);
  if (error == NULL)
    assert_range (results, first);
  else
    g_assert_null (results);
  return error;
}

static GError *
use_apply_async (WpWorkerPool *pool, guint64 first, GCancellable *cancellable)
{
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_apply_async (pool, "echo", g_variant_new_uint64 (first), NULL, cancellable, on_applied, &outcome);
  iterate_own_until (&outcome.done);
  if (outcome.error == NULL)
    assert_value (outcome.value, first);
  return g_steal_pointer (&outcome.error);
}

static GError *
use_map_async (WpWorkerPool *pool, guint64 first, GCancellable *cancellable)
{
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_map_async (pool, "echo", make_range (first), NULL, cancellable, on_mapped, &outcome);
  iterate_own_until (&outcome.done);
  if (outcome.error == NULL)
    assert_range (outcome.value, first);
  return g_steal_pointer (&outcome.error);
}

/* Takes the next result: its index counts up, its value goes with it, and its error becomes *failure. FALSE at the end
 * of the batch, or when the waiting was cancelled. */
static gboolean
take_one (WpBatch *batch, guint64 first, guint *n_taken, GCancellable *cancellable, GError **failure)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (WpResult) result = wp_batch_next (batch, cancellable, &error);

  if (result == NULL)
    {
      if (error != NULL && *failure == NULL)
        *failure = g_steal_pointer (&error);
      return FALSE;
    }

  g_assert_no_error (error);
  g_assert_cmpuint (wp_result_get_index (result), ==, *n_taken);
  if (wp_result_get_error (result) == NULL)
    assert_value (wp_result_get_value (result), first + *n_taken);
  else if (*failure == NULL)
    *failure = g_error_copy (wp_result_get_error (result));
  (*n_taken)++;

  return TRUE;
}

static GError *
use_batch (WpWorkerPool *pool, guint64 first, GCancellable *cancellable)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  GError *failure = NULL;
  guint n_pushed = 0, n_taken = 0;

  wp_task_options_set_max_active_tasks (options, MAX_ACTIVE);
  batch = wp_worker_pool_start_batch (pool, "echo", options, &failure);
  if (batch == NULL)
    return failure;

  while (n_pushed < N_TASKS)
    {
      g_autoptr (GError) error = NULL;

      if (wp_batch_push (batch, g_variant_new_uint64 (first + n_pushed), &error))
        {
          n_pushed++;
          continue;
        }

      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        {
          g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
          break;
        }
      if (!take_one (batch, first, &n_taken, cancellable, &failure))
        break;
    }

  wp_batch_close (batch);
  while (take_one (batch, first, &n_taken, cancellable, &failure))
    ;
  /* Nothing that was pushed is missing, unless the taking itself was cancelled. */
  if (cancellable == NULL)
    g_assert_cmpuint (n_taken, ==, n_pushed);
  if (failure == NULL && n_pushed < N_TASKS)
    failure = g_error_new_literal (WP_ERROR, WP_ERROR_CLOSED, "pushing ended early");
  if (failure == NULL)
    g_assert_cmpuint (n_taken, ==, N_TASKS);

  return failure;
}

static const UseFunc uses[] = { use_apply, use_map, use_batch, use_apply_async, use_map_async };

static GError *
use (WpWorkerPool *pool, guint id, guint n, GCancellable *cancellable)
{
  /* Each thread begins with another way. */
  return uses[(id + n) % G_N_ELEMENTS (uses)](pool, id * 1000000 + n * 1000, cancellable);
}

/* Uses the pool in each way, some ways twice. */
static void
use_successfully (WpWorkerPool *pool, guint id)
{
  for (guint n = 0; n < 2 * G_N_ELEMENTS (uses); n++)
    {
      g_autoptr (GError) error = use (pool, id, n, NULL);

      g_assert_no_error (error);
    }
}

static void
assert_ended (const GError *error)
{
  if (!g_error_matches (error, WP_ERROR, WP_ERROR_CLOSED))
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Until the pool takes no more tasks. */
static void
use_until_ended (WpWorkerPool *pool, guint id)
{
  gboolean ended = FALSE;

  for (guint n = 0; !ended; n++)
    {
      g_autoptr (GError) error = use (pool, id, n, NULL);

      if (error != NULL)
        assert_ended (error);
      ended = g_error_matches (error, WP_ERROR, WP_ERROR_CLOSED);
    }
}

static void
join_async (WpWorkerPool *pool)
{
  g_auto (Outcome) outcome = { 0 };

  wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &outcome);
  iterate_own_until (&outcome.done);
  g_assert_no_error (outcome.error);
}

/* Pools of their own */

static void
live_and_end (Crowd *crowd, guint id)
{
  for (guint round = 0; round < get_n_rounds (); round++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);

      use_successfully (pool, id);
      switch ((id + round) % 4)
        {
        case 0:
          join_pool (pool);
          break;
        case 1:
          wp_worker_pool_terminate (pool);
          join_pool (pool);
          break;
        case 2:
          join_async (pool);
          break;
        default:
          /* Its last reference is. */
          break;
        }
    }
}

static void
test_own_pools (void)
{
  run_crowd (live_and_end, NULL, NULL);
}

/* One pool for all */

static void
use_and_look (Crowd *crowd, guint id)
{
  for (guint round = 0; round < get_n_rounds (); round++)
    {
      use_successfully (crowd->pool, id);
      g_assert_cmpuint (wp_worker_pool_get_n_jobs (crowd->pool), ==, 2);
      g_assert_cmpuint (wp_worker_pool_get_n_workers (crowd->pool), <=, 2);
      g_assert_cmpuint (wp_worker_pool_get_n_busy (crowd->pool), <=, 2);
      g_assert_cmpuint (wp_worker_pool_get_n_queued (crowd->pool), <=, N_THREADS * N_TASKS);
    }
}

static void
join_in_some_way (Crowd *crowd, guint id)
{
  if (id % 2 == 0)
    join_pool (crowd->pool);
  else
    join_async (crowd->pool);
}

static void
test_shared_pool (void)
{
  for (guint keep_alive = 0; keep_alive < 2; keep_alive++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);

      wp_worker_pool_set_keep_alive (pool, keep_alive == 1);
      run_crowd (use_and_look, pool, NULL);
      run_crowd (join_in_some_way, pool, NULL);
    }
}

/* One batch for all: half of them push, half of them take. */

static gboolean
never (gpointer data)
{
  g_assert_not_reached ();
}

static void
look_and_drop (gpointer data)
{
  g_autoptr (WpBatch) batch = data;

  g_assert_cmpuint (wp_batch_get_n_pushed (batch), <=, N_THREADS * N_TASKS);
}

/* Waits in a context that ends right after, with a source in it whose end uses the batch. Whoever has the context last,
 * and be it the thread that has answered, must not be in the middle of something. */
static void
push_in_passing (WpBatch *batch, guint64 value)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = g_timeout_source_new_seconds (G_MAXINT);
  g_auto (Outcome) pushed = { 0 };

  g_source_set_callback (source, never, g_object_ref (batch), look_and_drop);
  g_source_attach (source, context);
  g_main_context_push_thread_default (context);
  wp_batch_push_async (batch, g_variant_new_uint64 (value), NULL, on_pushed, &pushed);
  iterate_own_until (&pushed.done);
  g_assert_no_error (pushed.error);
  g_main_context_pop_thread_default (context);
}

static void
push_share (Crowd *crowd, guint id)
{
  for (guint i = 0; i < 2 * N_TASKS; i++)
    push_in_passing (crowd->batch, id / 2 * 2 * N_TASKS + i);

  if (g_atomic_int_dec_and_test (&crowd->n_pushing))
    wp_batch_close (crowd->batch);
}

static void
take_share (Crowd *crowd)
{
  for (;;)
    {
      g_autoptr (WpResult) result = next_result (crowd->batch);
      guint64 value;

      if (result == NULL)
        return;

      value = g_variant_get_uint64 (wp_result_get_value (result));
      g_assert_cmpuint (value, <, G_N_ELEMENTS (crowd->seen));
      g_assert_cmpuint (g_atomic_int_add (&crowd->seen[value], 1), ==, 0);
      g_assert_cmpfloat (wp_batch_get_fraction (crowd->batch), <=, 1);
      g_atomic_int_inc (&crowd->n_counted);
    }
}

static void
share_batch (Crowd *crowd, guint id)
{
  if (id % 2 == 0)
    {
      push_share (crowd, id);
      return;
    }

  take_share (crowd);
  g_assert_cmpint (wp_batch_get_state (crowd->batch), ==, WP_BATCH_STATE_FINISHED);
}

static void
test_shared_batch (void)
{
  for (guint round = 0; round < 2 * get_n_rounds (); round++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);
      g_autoptr (WpTaskOptions) options = wp_task_options_new ();
      g_autoptr (WpBatch) batch = NULL;

      wp_task_options_set_max_active_tasks (options, MAX_ACTIVE);
      wp_task_options_set_ordered (options, round % 2 == 0);
      batch = start_batch (pool, "echo", options);
      g_assert_cmpuint (run_crowd (share_batch, pool, batch), ==, N_THREADS * N_TASKS);
      g_assert_cmpuint (wp_batch_get_n_completed (batch), ==, N_THREADS * N_TASKS);
      g_assert_cmpuint (wp_batch_get_n_failed (batch), ==, 0);
      join_pool (pool);
    }
}

/* The end, while others use the pool */

static void
use_and_terminate (Crowd *crowd, guint id)
{
  for (guint n = 0; n < 3; n++)
    {
      g_autoptr (GError) error = use (crowd->pool, id, n, NULL);

      if (error != NULL)
        assert_ended (error);
      /* Two of them, who know nothing of each other. */
      if (g_atomic_int_add (&crowd->n_counted, 1) / 2 == N_THREADS / 2)
        wp_worker_pool_terminate (crowd->pool);
    }
  use_until_ended (crowd->pool, id);
  join_in_some_way (crowd, id);
}

static void
test_terminate (void)
{
  for (guint round = 0; round < 2 * get_n_rounds (); round++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);

      wp_worker_pool_set_keep_alive (pool, round % 2 == 0);
      run_crowd (use_and_terminate, pool, NULL);
    }
}

static void
end_in_some_way (Crowd *crowd, guint id)
{
  switch (id % 4)
    {
    case 0:
      join_pool (crowd->pool);
      break;
    case 1:
      use_until_ended (crowd->pool, id);
      join_async (crowd->pool);
      break;
    case 2:
      join_async (crowd->pool);
      break;
    default:
      wp_worker_pool_terminate (crowd->pool);
      join_pool (crowd->pool);
      break;
    }
}

/* Also of a pool that has not started, or is about to. */
static void
test_join_and_terminate (void)
{
  for (guint round = 0; round < 2 * get_n_rounds (); round++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);

      if (round % 2 == 0)
        use_successfully (pool, 0);
      run_crowd (end_in_some_way, pool, NULL);
    }
}

/* Cancellables */

static void
expose (Crowd *crowd, guint place, GCancellable *cancellable)
{
  g_mutex_lock (&crowd->lock);
  crowd->exposed[place] = g_object_ref (cancellable);
  g_cond_broadcast (&crowd->changed);
  g_mutex_unlock (&crowd->lock);
}

static GCancellable *
take_exposed (Crowd *crowd, guint place)
{
  GCancellable *cancellable;

  g_mutex_lock (&crowd->lock);
  while (crowd->exposed[place] == NULL)
    g_cond_wait (&crowd->changed, &crowd->lock);
  cancellable = g_steal_pointer (&crowd->exposed[place]);
  g_cond_broadcast (&crowd->changed);
  g_mutex_unlock (&crowd->lock);

  return cancellable;
}

static void
wait_until_taken (Crowd *crowd, guint place)
{
  g_mutex_lock (&crowd->lock);
  while (crowd->exposed[place] != NULL)
    g_cond_wait (&crowd->changed, &crowd->lock);
  g_mutex_unlock (&crowd->lock);
}

static guint
get_n_cancels (void)
{
  return 8 * get_n_rounds () * G_N_ELEMENTS (uses);
}

/* Of two neighbours the first one calls, and the second one cancels, sooner or later. */
static void
call_or_cancel (Crowd *crowd, guint id)
{
  for (guint n = 0; n < get_n_cancels (); n++)
    {
      g_autoptr (GCancellable) cancellable = NULL;

      if (id % 2 == 0)
        {
          g_autoptr (GError) error = NULL;

          cancellable = g_cancellable_new ();
          expose (crowd, id, cancellable);
          error = use (crowd->pool, id, n, cancellable);
          if (error != NULL)
            g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          wait_until_taken (crowd, id);
        }
      else
        {
          cancellable = take_exposed (crowd, id - 1);
          for (guint i = 0; i < n % 16; i++)
            g_thread_yield ();
          g_cancellable_cancel (cancellable);
        }
    }
}

static void
test_cancel (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  run_crowd (call_or_cancel, pool, NULL);
  use_successfully (pool, 0);
  join_pool (pool);
}

static void
join_or_cancel (Crowd *crowd, guint id)
{
  g_autoptr (GCancellable) cancellable = NULL;

  if (id % 2 == 0)
    {
      g_autoptr (GError) error = NULL;

      cancellable = g_cancellable_new ();
      expose (crowd, id, cancellable);
      if (id % 4 == 0)
        {
          wp_worker_pool_stop_and_join (crowd->pool, cancellable, &error);
        }
      else
        {
          g_auto (Outcome) outcome = { 0 };

          wp_worker_pool_stop_and_join_async (crowd->pool, cancellable, on_joined, &outcome);
          iterate_own_until (&outcome.done);
          error = g_steal_pointer (&outcome.error);
        }
      if (error != NULL)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      wait_until_taken (crowd, id);
    }
  else
    {
      cancellable = take_exposed (crowd, id - 1);
      g_cancellable_cancel (cancellable);
    }
}

static void
test_cancel_join (void)
{
  for (guint round = 0; round < 2 * get_n_rounds (); round++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);

      use_successfully (pool, 0);
      run_crowd (join_or_cancel, pool, NULL);
      join_pool (pool);
    }
}

/* References */

static void
use_and_drop (Crowd *crowd, guint id)
{
  g_autoptr (GError) error = use (crowd->pool, id, id, NULL);
  g_autoptr (GError) push_error = NULL;

  g_assert_no_error (error);
  if (!wp_batch_push (crowd->batch, g_variant_new_uint64 (id), &push_error))
    g_assert_error (push_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  if (id % 2 == 0)
    {
      g_object_unref (crowd->batch);
      g_object_unref (crowd->pool);
    }
  else
    {
      g_object_unref (crowd->pool);
      g_object_unref (crowd->batch);
    }
}

static void
test_last_reference (void)
{
  for (guint round = 0; round < 2 * get_n_rounds (); round++)
    {
      WpWorkerPool *pool = make_pool (2);
      WpBatch *batch = start_batch (pool, "echo", NULL);

      /* One for each, this one's among them. */
      for (guint i = 1; i < N_THREADS; i++)
        {
          g_object_ref (pool);
          g_object_ref (batch);
        }
      run_crowd (use_and_drop, pool, batch);
    }
}

static const FaultTest tests[] = {
  { "/threads/own-pools/all-work", test_own_pools },
  { "/threads/shared-pool/each-gets-its-own", test_shared_pool },
  { "/threads/shared-batch/every-item-comes-once", test_shared_batch },
  { "/threads/end/terminate-ends-the-calls-of-others", test_terminate },
  { "/threads/end/join-and-terminate-meet", test_join_and_terminate },
  { "/threads/cancel/calls-end-either-way", test_cancel },
  { "/threads/cancel/joins-end-either-way", test_cancel_join },
  { "/threads/references/any-thread-may-have-the-last", test_last_reference },
};

int
main (int argc, char **argv)
{
  int status;

  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
