/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything at once: threads that share a pool call it in every way, cancel, drop and misbehave, and workers are
 * killed all the while. Each call must end with what is right for it or with an error that it may have. */

#include <signal.h>
#include <string.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_THREADS 4
#define N_CALLS 30
#define N_JOBS 3

typedef struct
{
  WpWorkerPool *pool;
  GRand *rand;
  gboolean kills;
  gboolean ends; /* the pool is terminated at some time */
} Chaos;

static void
assert_expected (const Chaos *chaos, const GError *error, gboolean cancelled)
{
  g_assert_nonnull (error);
  if (g_error_matches (error, WP_ERROR, WP_ERROR_WORKER_DIED))
    g_assert_true (chaos->kills);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_assert_true (cancelled || chaos->ends);
  else if (g_error_matches (error, WP_ERROR, WP_ERROR_CLOSED))
    g_assert_true (chaos->ends);
  else if (g_error_matches (error, WP_ERROR, WP_ERROR_START_FAILED))
    /* Killed five times before it said a word. */
    g_assert_true (chaos->kills);
  else
    g_error ("Nobody asked for this: %s", error->message);
}

static gpointer
cancel_soon (gpointer data)
{
  guint spins = GPOINTER_TO_UINT (g_object_get_data (data, "spins"));

  for (; spins > 0; spins--)
    g_thread_yield ();
  g_cancellable_cancel (data);
  g_object_unref (data);
  return NULL;
}

/* A third of the calls are cancelled, from another thread. */
static GCancellable *
make_cancellable (Chaos *chaos, GThread **thread)
{
  GCancellable *cancellable = g_cancellable_new ();

  *thread = NULL;
  if (g_rand_int_range (chaos->rand, 0, 3) == 0)
    {
      g_object_set_data (G_OBJECT (cancellable), "spins",
                         GUINT_TO_POINTER (g_rand_int_range (chaos->rand, 0, 500)));
      *thread = g_thread_new ("cancel", cancel_soon, g_object_ref (cancellable));
    }
  return cancellable;
}

static WpTaskOptions *
make_random_options (Chaos *chaos)
{
  const guint sizes[] = { 0, 0, 1, 7, 100 };
  WpTaskOptions *options = make_options (sizes[g_rand_int_range (chaos->rand, 0, G_N_ELEMENTS (sizes))],
                                         g_rand_int_range (chaos->rand, 0, 3) * 100, WP_ON_ERROR_STOP);

  wp_task_options_set_priority (options, g_rand_int_range (chaos->rand, -2, 3));
  return options;
}

static void
call_map (Chaos *chaos)
{
  guint64 n = g_rand_int_range (chaos->rand, 0, 1500);
  const char *function = g_rand_boolean (chaos->rand) ? "work" : "echo";
  g_autoptr (WpTaskOptions) options = make_random_options (chaos);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;
  g_autoptr (GCancellable) cancellable = make_cancellable (chaos, &thread);

  results = wp_worker_pool_map (chaos->pool, function, make_indices (n), options, cancellable, &error);
  if (results != NULL)
    assert_indices (results, n);
  else
    assert_expected (chaos, error, thread != NULL);
  g_clear_pointer (&thread, g_thread_join);
}

static void
call_apply (Chaos *chaos)
{
  gsize size = g_rand_int_range (chaos->rand, 0, 300000);
  g_autoptr (WpTaskOptions) options = make_random_options (chaos);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;
  g_autoptr (GCancellable) cancellable = make_cancellable (chaos, &thread);

  result = wp_worker_pool_apply (chaos->pool, "large", g_variant_new ("(tu)", (guint64) size, 0), options, cancellable,
                                 &error);
  if (result != NULL)
    {
      gsize length;
      const guint8 *bytes = g_variant_get_fixed_array (result, &length, 1);

      g_assert_cmpuint (length, ==, size);
      for (gsize i = 0; i < size; i += 997)
        g_assert_cmpuint (bytes[i], ==, get_large_byte (i));
    }
  else
    {
      assert_expected (chaos, error, thread != NULL);
    }
  g_clear_pointer (&thread, g_thread_join);
}

static void
call_batch (Chaos *chaos)
{
  g_autoptr (WpTaskOptions) options = make_random_options (chaos);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n = g_rand_int_range (chaos->rand, 0, 800);
  guint64 n_pushed = 0, n_taken = 0;
  guint64 end = g_rand_int_range (chaos->rand, 0, 4) == 0 ? n / 2 : G_MAXUINT64;
  gboolean cancels = g_rand_boolean (chaos->rand);

  wp_task_options_set_on_error (options, WP_ON_ERROR_CONTINUE);
  batch = wp_worker_pool_start_batch (chaos->pool, "work", options, &error);
  if (batch == NULL)
    {
      assert_expected (chaos, error, FALSE);
      return;
    }

  for (;;)
    {
      g_autoptr (WpResult) result = NULL;

      for (; n_pushed < n; n_pushed++)
        if (!wp_batch_push (batch, g_variant_new_uint64 (n_pushed), &error))
          break;
      if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        {
          g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
          n = n_pushed;
        }
      g_clear_error (&error);
      if (n_pushed == n)
        wp_batch_close (batch);

      result = next_result (batch);
      if (result == NULL)
        break;
      g_assert_cmpuint (wp_result_get_index (result), ==, n_taken);
      if (wp_result_get_error (result) != NULL)
        assert_expected (chaos, wp_result_get_error (result), n_taken >= end);
      else
        g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, n_taken);

      if (++n_taken != end)
        continue;
      /* Half of those that end early are cancelled, the others dropped as they are. */
      if (!cancels)
        return;
      wp_batch_cancel (batch);
      n = n_pushed;
    }
  g_assert_cmpuint (n_taken, ==, n_pushed);
}

static void
call_async (Chaos *chaos)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (WpTaskOptions) options = make_random_options (chaos);
  Outcome outcomes[8] = { { 0 } };
  GThread *thread;
  g_autoptr (GCancellable) cancellable = make_cancellable (chaos, &thread);

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    if (i % 2 == 0)
      wp_worker_pool_apply_async (chaos->pool, "echo", g_variant_new_uint64 (i), options, cancellable, on_applied,
                                  &outcomes[i]);
    else
      wp_worker_pool_map_async (chaos->pool, "work", make_indices (100), options, cancellable, on_mapped,
                                &outcomes[i]);
  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    {
      while (!outcomes[i].done)
        g_main_context_iteration (context, TRUE);
      if (outcomes[i].value == NULL)
        assert_expected (chaos, outcomes[i].error, thread != NULL);
      else if (i % 2 == 0)
        g_assert_cmpuint (g_variant_get_uint64 (outcomes[i].value), ==, i);
      else
        assert_indices (outcomes[i].value, 100);
      outcome_clear (&outcomes[i]);
    }
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&thread, g_thread_join);
}

static gpointer
make_calls (gpointer data)
{
  void (*const calls[]) (Chaos *) = { call_map, call_apply, call_batch, call_async };
  Chaos *chaos = data;

  for (guint i = 0; i < N_CALLS; i++)
    calls[g_rand_int_range (chaos->rand, 0, G_N_ELEMENTS (calls))](chaos);
  return NULL;
}

typedef struct
{
  int stop; /* atomic */
  guint n_kills;
} Killer;

static gpointer
kill_workers (gpointer data)
{
  Killer *killer = data;
  int killed[N_JOBS] = { 0 };

  for (guint worker = 0; !g_atomic_int_get (&killer->stop); worker = (worker + 1) % N_JOBS)
    {
      int pid = counter_get (PID_COUNTER + worker);

      g_thread_yield ();
      /* Never twice: its number might be another's by then. */
      if (pid == 0 || pid == killed[worker] || g_random_int_range (0, 20) != 0)
        continue;
      killed[worker] = pid;
      kill (pid, g_random_boolean () ? SIGKILL : SIGTERM);
      killer->n_kills++;
    }
  return NULL;
}

static void
run_chaos (gboolean kills, gboolean ends)
{
  g_autoptr (WpWorkerPool) pool = make_pool (N_JOBS);
  Chaos chaos[N_THREADS];
  GThread *threads[N_THREADS];
  GThread *killing = NULL;
  Killer killer = { 0 };

  /* Workers end by nobody's hand but the killer's, so that what it kills is ours. */
  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_grace_period (pool, 20000);
  for (guint i = 0; i < N_THREADS; i++)
    {
      chaos[i] = (Chaos) { pool, g_rand_new_with_seed (g_test_rand_int ()), kills, ends };
      threads[i] = g_thread_new ("chaos", make_calls, &chaos[i]);
    }
  if (kills)
    killing = g_thread_new ("killer", kill_workers, &killer);

  if (ends)
    {
      guint n_spins = g_test_rand_int_range (0, 20000);

      while (n_spins-- > 0)
        g_thread_yield ();
      wp_worker_pool_terminate (pool);
    }

  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      g_rand_free (chaos[i].rand);
    }
  g_atomic_int_set (&killer.stop, TRUE);
  g_clear_pointer (&killing, g_thread_join);
  g_test_message ("%u kills", killer.n_kills);
  join_pool (pool);
}

static void
test_calm (void)
{
  run_chaos (FALSE, FALSE);
}

static void
test_killed (void)
{
  run_chaos (TRUE, FALSE);
}

static void
test_terminated (void)
{
  for (guint i = 0; i < 5; i++)
    run_chaos (FALSE, TRUE);
}

static const FaultTest tests[] = {
  { "/chaos/every-call-ends", test_calm },
  { "/chaos/every-call-ends-while-workers-are-killed", test_killed, TRUE },
  { "/chaos/every-call-ends-with-the-pool", test_terminated },
};

int
main (int argc, char **argv)
{
  int status;

  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
