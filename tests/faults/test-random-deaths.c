/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools of every start method, inside of each other or not, that map while anything in their tree is killed, tasks
 * fail, and the pool is cancelled, joined, terminated or dropped at any moment: every task ends exactly once, and
 * nothing is left. A run is repeated with the seed that it has printed: --seed. */

#include <signal.h>
#include <string.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"
#include "tree.h"

#define N_ROUNDS 60
#define N_ROUNDS_SLOW 1500
/* Another number of rounds. */
#define ROUNDS_VARIABLE "WP_TEST_ROUNDS"

#define MAX_TASKS 400
#define MAX_NESTED_TASKS 24
#define N_INNER_TASKS 12
#define MAX_KILLS 12

/* One task in so many fails. */
#define FAIL_EVERY 9

/* What becomes of the pool in the middle of a round. */
typedef enum
{
  END_NONE,
  END_CANCEL,
  END_JOIN,
  END_TERMINATE,
  END_DISPOSE,
  N_ENDS,
} End;

static const char *const end_names[] = { "nothing", "cancel", "join", "terminate", "dispose" };

typedef struct
{
  WpStartMethod outer;
  WpStartMethod inner;
  gboolean is_nested;
  guint n_jobs;
  guint n_tasks;
  guint max_retries;
  guint chunk_size;
  gboolean kills;
  End end;
  guint64 end_at; /* this result */
} Round;

/* The tasks */

static gboolean
is_to_fail (guint64 index)
{
  return index % FAIL_EVERY == FAIL_EVERY - 1;
}

static GVariant *
map_inside (const char *method, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (get_method_by_name (method), 2);
  g_autoptr (WpTaskOptions) options = make_options (3, 100, WP_ON_ERROR_STOP);

  return wp_worker_pool_map (pool, "echo", make_indices (N_INNER_TASKS), options, NULL, error);
}

/* (ts): the index of the task, and the start method of a pool of its own, or nothing. */
static GVariant *
endure (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char *method;
  guint64 index;

  g_variant_get (args, "(t&s)", &index, &method);
  task_begin (index);
  if (*method != '\0')
    {
      g_autoptr (GVariant) results = map_inside (method, error);

      if (results == NULL)
        return NULL;
      assert_indices (results, N_INNER_TASKS);
    }
  else
    {
      const gint64 end = g_get_monotonic_time () + 200;

      while (g_get_monotonic_time () < end && !wp_task_context_is_cancelled (context))
        ;
    }

  task_end (index);
  if (is_to_fail (index))
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR, "task %" G_GUINT64_FORMAT " is one that fails", index);
      return NULL;
    }
  return g_variant_new_uint64 (index);
}

/* The killer */

typedef struct
{
  GThread *thread;
  GRand *rand;
  int stop; /* atomic */
  guint n_kills;
} Killer;

static gpointer
kill_at_random (gpointer data)
{
  const int signals[] = { SIGKILL, SIGKILL, SIGSEGV, SIGSTOP };
  Killer *killer = data;

  while (!g_atomic_int_get (&killer->stop) && killer->n_kills < MAX_KILLS)
    {
      int signum = signals[g_rand_int_range (killer->rand, 0, G_N_ELEMENTS (signals))];

      for (guint spins = g_rand_int_range (killer->rand, 0, 3000); spins > 0 && !g_atomic_int_get (&killer->stop);
           spins--)
        g_thread_yield ();
      if (!g_atomic_int_get (&killer->stop) && tree_signal_at_random (killer->rand, signum))
        killer->n_kills++;
    }
  return NULL;
}

static void
killer_start (Killer *killer)
{
  killer->rand = g_rand_new_with_seed (g_test_rand_int ());
  killer->thread = g_thread_new ("killer", kill_at_random, killer);
}

static void
killer_end (Killer *killer)
{
  g_atomic_int_set (&killer->stop, TRUE);
  g_clear_pointer (&killer->thread, g_thread_join);
  g_clear_pointer (&killer->rand, g_rand_free);
}

/* A round */

static guint
draw (guint n)
{
  return g_test_rand_int_range (0, n);
}

static void
draw_round (Round *round)
{
  static WpStartMethod methods[4];
  static guint n_methods;

  if (n_methods == 0)
    n_methods = list_start_methods (methods);

  memset (round, 0, sizeof *round);
  round->outer = methods[draw (n_methods)];
  round->inner = methods[draw (n_methods)];
  round->is_nested = g_test_rand_bit ();
  round->n_jobs = 1 + draw (3);
  round->n_tasks = 1 + draw (round->is_nested ? MAX_NESTED_TASKS : MAX_TASKS);
  round->max_retries = draw (3);
  round->chunk_size = draw (2) * (1 + draw (10));
  round->kills = draw (4) > 0;
  round->end = draw (N_ENDS);
  round->end_at = draw (round->n_tasks);
}

static void
check_ending (const Round *round, const WpResult *result, guint64 index, gboolean has_ended)
{
  const GError *error = wp_result_get_error ((WpResult *) result);

  if (error == NULL)
    {
      g_assert_false (is_to_fail (index));
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value ((WpResult *) result)), ==, index);
      g_assert_cmpuint (task_get_n_ended (index), >=, 1);
    }
  else if (error->domain == G_FILE_ERROR)
    {
      g_assert_true (is_to_fail (index));
      g_assert_cmpuint (task_get_n_ended (index), >=, 1);
    }
  else if (g_error_matches (error, WP_ERROR, WP_ERROR_WORKER_DIED) ||
           g_error_matches (error, WP_ERROR, WP_ERROR_START_FAILED))
    {
      g_assert_true (round->kills);
    }
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_assert_true (has_ended);
    }
  else
    {
      g_error ("Nobody asked for this: %s", error->message);
    }
}

/* Does what is to be done to the pool, once. */
static void
end_pool (const Round *round, WpWorkerPool **pool, WpBatch *batch, Outcome *joined)
{
  switch (round->end)
    {
    case END_CANCEL:
      wp_batch_cancel (batch);
      break;

    case END_JOIN:
      wp_worker_pool_stop_and_join_async (*pool, NULL, on_joined, joined);
      break;

    case END_TERMINATE:
      wp_worker_pool_terminate (*pool);
      break;

    case END_DISPOSE:
      /* The batch in flight keeps it alive. */
      g_object_run_dispose (G_OBJECT (*pool));
      g_clear_object (pool);
      break;

    case END_NONE:
    case N_ENDS:
    default:
      break;
    }
}

static void
run_round (const Round *round)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (round->outer, round->n_jobs);
  g_autoptr (WpTaskOptions) options = make_options (round->chunk_size, round->max_retries, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  g_auto (Outcome) joined = { 0 };
  Killer killer = { 0 };
  gboolean has_ended = FALSE;
  WpResult *result;
  guint64 n = 0;

  wp_worker_pool_set_daemon (pool, !round->is_nested);
  wp_worker_pool_set_keep_alive (pool, g_test_rand_bit ());
  wp_task_options_set_max_active_tasks (options, MAX_TASKS);
  batch = start_batch (pool, "endure", options);
  if (round->kills)
    killer_start (&killer);
  for (guint64 i = 0; i < round->n_tasks; i++)
    push_item (batch, g_variant_new ("(ts)", i, round->is_nested ? get_method_name (round->inner) : ""));
  wp_batch_close (batch);

  for (;;)
    {
      if (n == round->end_at && !has_ended)
        {
          end_pool (round, &pool, batch, &joined);
          has_ended = TRUE;
        }

      result = next_result (batch);
      if (result == NULL)
        break;
      /* In order, so that none is missing and none comes twice. */
      g_assert_cmpuint (wp_result_get_index (result), ==, n);
      check_ending (round, result, n, has_ended && round->end != END_NONE);
      g_assert_cmpuint (task_get_n_begun (n), <=, 1 + round->max_retries);
      n++;
      g_object_unref (result);
    }
  g_assert_cmpuint (n, ==, round->n_tasks);

  if (round->end == END_JOIN)
    {
      iterate_until (&joined.done);
      g_assert_no_error (joined.error);
    }
  else if (pool != NULL)
    {
      join_pool (pool);
    }
  killer_end (&killer);
  g_test_message ("%u kills", killer.n_kills);
}

static void
test_rounds (void)
{
  const char *rounds = g_getenv (ROUNDS_VARIABLE);
  guint n_rounds = g_test_slow () ? N_ROUNDS_SLOW : N_ROUNDS;

  if (rounds != NULL)
    n_rounds = (guint) g_ascii_strtoull (rounds, NULL, 10);

  for (guint i = 0; i < n_rounds; i++)
    {
      g_autofree char *what = NULL;
      const gint64 start = g_get_monotonic_time ();
      Census before;
      Round round;

      draw_round (&round);
      what = g_strdup_printf ("round %u: %s%s%s, %u workers, %u tasks, %u retries, chunks of %u, %s, %s at %u", i,
                              get_method_name (round.outer), round.is_nested ? " with " : "",
                              round.is_nested ? get_method_name (round.inner) : "", round.n_jobs, round.n_tasks,
                              round.max_retries, round.chunk_size, round.kills ? "kills" : "no kills",
                              end_names[round.end], (guint) round.end_at);
      g_test_message ("%s", what);

      scratch_reset ();
      census_take (&before);
      expect_end (what);
      run_round (&round);
      iterate_pending ();
      census_settle (&before);
      expect_end (NULL);
      g_test_message ("%" G_GINT64_FORMAT " ms", (g_get_monotonic_time () - start) / 1000);
    }
}

static const FaultTest tests[] = {
  { "/random-deaths/rounds/every-task-ends-once-and-nothing-is-left", test_rounds },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("endure", endure, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
