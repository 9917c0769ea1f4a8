/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Threads that wait for a task read its worker's channel themselves; nobody else may notice. */

#include <string.h>
#include <unistd.h>

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

#define N_THREADS 4
#define HOLD      g_variant_new ("(uu)", RUNNING, GATE)

/* Its index with some bytes beside it; quick, unless the index is G_MAXUINT64. */
static GVariant *
weigh (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) bytes = NULL;
  guint64 index;

  g_variant_get (args, "(t@ay)", &index, &bytes);
  if (index == G_MAXUINT64)
    {
      counter_add (RUNNING, 1);
      counter_wait (GATE, 1);
    }
  return g_variant_new_uint64 (index);
}

static GVariant *
make_weight (guint64 index, gsize size)
{
  g_autofree guint8 *bytes = g_malloc0 (size);

  return g_variant_new ("(t@ay)", index,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1));
}

static WpWorkerPool *
make_waiting_pool (guint n_jobs)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  return pool;
}

typedef struct
{
  WpWorkerPool *pool;
  guint64 first;
  guint64 n;
  gboolean stop; /* atomic */
} Caller;

/* Applies "echo" to its own numbers, until it has used up n of them or is told to stop. */
static gpointer
call_echo (gpointer data)
{
  Caller *caller = data;

  for (guint64 i = caller->first;
       i < caller->first + caller->n && !g_atomic_int_get (&caller->stop); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = NULL;

      result = wp_worker_pool_apply (caller->pool, "echo", g_variant_new_uint64 (i), NULL, NULL,
                                     &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_uint64 (result), ==, i);
    }
  return NULL;
}

static void
start_callers (WpWorkerPool *pool, Caller *callers, GThread **threads, guint64 n)
{
  for (guint i = 0; i < N_THREADS; i++)
    {
      callers[i] = (Caller){ pool, i * 1000000, n, FALSE };
      threads[i] = g_thread_new ("caller", call_echo, &callers[i]);
    }
}

static void
join_threads (GThread **threads)
{
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

static void
stop_callers (Caller *callers, GThread **threads)
{
  for (guint i = 0; i < N_THREADS; i++)
    g_atomic_int_set (&callers[i].stop, TRUE);
  join_threads (threads);
}

static void
test_own_results (void)
{
  for (guint n_jobs = 1; n_jobs <= N_THREADS; n_jobs++)
    {
      g_autoptr (WpWorkerPool) pool = make_waiting_pool (n_jobs);
      GThread *threads[N_THREADS];
      Caller callers[N_THREADS];

      start_callers (pool, callers, threads, 300);
      join_threads (threads);
      join_pool (pool);
    }
}

/* Maps, batches and asynchronous calls whose results the waiting threads read. */
static void
test_others_are_served (void)
{
  g_autoptr (WpWorkerPool) pool = make_waiting_pool (2);
  GThread *threads[N_THREADS];
  Caller callers[N_THREADS];

  start_callers (pool, callers, threads, G_MAXINT32);
  for (guint round = 0; round < 5; round++)
    {
      g_auto (Outcome) mapped = { 0 };
      g_auto (Outcome) applied = { 0 };
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      wp_worker_pool_map_async (pool, "echo", make_indices (2000), NULL, NULL, on_mapped, &mapped);
      wp_worker_pool_apply_async (pool, "echo", g_variant_new_uint64 (7), NULL, NULL, on_applied,
                                  &applied);
      results = wp_worker_pool_map (pool, "echo", make_indices (5000), NULL, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, 5000);

      iterate_until (&mapped.done);
      g_assert_no_error (mapped.error);
      assert_indices (mapped.value, 2000);
      iterate_until (&applied.done);
      g_assert_no_error (applied.error);
      g_assert_cmpuint (g_variant_get_uint64 (applied.value), ==, 7);
    }
  stop_callers (callers, threads);
  join_pool (pool);
}

/* Lets a worker die in every way while this thread, and maybe others, wait for it: the task that
 * killed it fails. */
static void
die_in_every_way (WpWorkerPool *pool)
{
  guint64 index = 0;

  for (const char *const *way = death_ways; *way != NULL; way++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = NULL;

      /* A stopped worker ends only when it is killed. */
      if (strcmp (*way, "SIGSTOP") == 0)
        continue;

      /* By a worker that has started: it is sent the next task at once. */
      apply_pid (pool);
      result = wp_worker_pool_apply (pool, "die", g_variant_new ("(tsu)", index++, *way, 1), NULL,
                                     NULL, &error);
      g_assert_null (result);
      g_assert_true (error->domain == WP_ERROR);
    }
  counter_add (STRAY_MAY_END, 1);
}

static void
test_death (void)
{
  g_autoptr (WpWorkerPool) pool = make_waiting_pool (1);

  die_in_every_way (pool);
  join_pool (pool);
}

static void
test_death_among_others (void)
{
  g_autoptr (WpWorkerPool) pool = make_waiting_pool (2);
  GThread *threads[N_THREADS];
  Caller callers[N_THREADS];

  start_callers (pool, callers, threads, G_MAXINT32);
  die_in_every_way (pool);
  stop_callers (callers, threads);
  join_pool (pool);
}

static gpointer
hold_until_terminated (gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;

  result = wp_worker_pool_apply (data, "hold", HOLD, NULL, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  return NULL;
}

/* Two threads wait for tasks that run, and two for such that do not. */
static void
test_terminate (void)
{
  g_autoptr (WpWorkerPool) pool = make_waiting_pool (2);
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("caller", hold_until_terminated, pool);
  counter_wait (RUNNING, 2);
  yield_until (wp_worker_pool_get_n_queued (pool) >= N_THREADS - 2);
  wp_worker_pool_terminate (pool);
  join_threads (threads);
}

/* Of one worker, that is known to run "weigh" quickly, so that tasks are sent ahead, and that is
 * held. */
static WpWorkerPool *
make_held_pool (Outcome *held)
{
  WpWorkerPool *pool = make_waiting_pool (1);

  for (guint i = 0; i < 32; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = NULL;

      result = wp_worker_pool_apply (pool, "weigh", make_weight (i, 1), NULL, NULL, &error);
      g_assert_no_error (error);
    }

  counter_set (RUNNING, 0);
  counter_set (GATE, 0);
  wp_worker_pool_apply_async (pool, "weigh", make_weight (G_MAXUINT64, 1), NULL, NULL, on_applied,
                              held);
  counter_wait (RUNNING, 1);

  return pool;
}

static void
release_held (Outcome *held)
{
  counter_add (GATE, 1);
  iterate_until (&held->done);
  g_assert_no_error (held->error);
}

typedef struct
{
  WpWorkerPool *pool;
  gsize size;
  GCancellable *cancellable;
  GError *error;
  int thread; /* its number, atomic; 0 before it began */
} Weighing;

static gpointer
weigh_one (gpointer data)
{
  Weighing *weighing = data;
  g_autoptr (GVariant) result = NULL;

  g_atomic_int_set (&weighing->thread, gettid ());
  result = wp_worker_pool_apply (weighing->pool, "weigh", make_weight (1, weighing->size), NULL,
                                 weighing->cancellable, &weighing->error);
  return NULL;
}

/* The thread sleeps: it waits for its result. */
static gboolean
is_waiting (Weighing *weighing)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/stat", g_atomic_int_get (&weighing->thread));
  g_autofree char *stat = NULL;

  return g_file_get_contents (path, &stat, NULL, NULL) && strrchr (stat, ')')[2] == 'S';
}

/* The more was sent ahead, the less of the task that a thread waits for fits into the channel. */
static void
test_full_channel (void)
{
  for (guint n = 0; n < 16; n++)
    {
      g_auto (Outcome) held = { 0 };
      g_autoptr (WpWorkerPool) pool = make_held_pool (&held);
      g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
      Weighing weighing = { .pool = pool, .size = 60000 };
      g_autoptr (WpBatch) batch = NULL;
      GThread *thread;

      wp_task_options_set_max_active_tasks (options, 32);
      batch = start_batch (pool, "weigh", options);
      for (guint i = 0; i < n; i++)
        push_item (batch, make_weight (i, 15000));
      wp_batch_close (batch);

      thread = g_thread_new ("caller", weigh_one, &weighing);
      yield_until (is_waiting (&weighing));
      release_held (&held);
      g_thread_join (thread);
      g_assert_no_error (weighing.error);

      for (guint i = 0; i < n; i++)
        {
          g_autoptr (WpResult) result = next_result (batch);

          g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
        }
      join_pool (pool);
    }
}

static gpointer
cancel_when_running (gpointer data)
{
  counter_wait (RUNNING, 1);
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_cancel (void)
{
  g_autoptr (WpWorkerPool) pool = make_waiting_pool (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  GThread *thread = g_thread_new ("canceller", cancel_when_running, cancellable);

  /* One that does not obey: its worker is killed, which the thread that reads its channel sees
   * first. */
  wp_worker_pool_set_grace_period (pool, 50);
  result = wp_worker_pool_apply (pool, "hold", HOLD, NULL, cancellable, &error);
  g_assert_null (result);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  join_pool (pool);
}

/* It was sent ahead and is taken back, so that nothing comes from its worker. */
static void
test_cancel_sent (void)
{
  g_auto (Outcome) held = { 0 };
  g_autoptr (WpWorkerPool) pool = make_held_pool (&held);

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Weighing weighing = { .pool = pool, .size = 1, .cancellable = cancellable };
      GThread *thread = g_thread_new ("caller", weigh_one, &weighing);

      yield_until (is_waiting (&weighing));
      g_cancellable_cancel (cancellable);
      g_thread_join (thread);
      g_assert_error (weighing.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&weighing.error);
    }
  release_held (&held);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/waiting/results/each-thread-gets-its-own", test_own_results },
  { "/waiting/results/others-get-theirs", test_others_are_served },
  { "/waiting/results/others-get-theirs-through-a-full-channel", test_full_channel },
  { "/waiting/end/any-death-ends-it", test_death, TRUE },
  { "/waiting/end/any-death-ends-it-among-others", test_death_among_others, TRUE },
  { "/waiting/end/terminate-ends-it", test_terminate, TRUE },
  { "/waiting/end/cancel-ends-it", test_cancel, TRUE },
  { "/waiting/end/cancel-ends-it-before-it-runs", test_cancel_sent },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("weigh", weigh, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
