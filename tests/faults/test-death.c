/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the death of a worker costs: the task that it ran, and nothing else. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_TASKS 40
#define FATAL_TASK 17

/* Helpers */

/* A way to die shows as a signal or a status, or as what the pool did about it. */
static const char *
describe_way (const char *way)
{
  if (g_str_equal (way, "SIGSEGV"))
    return "was killed by signal 11";
  if (g_str_equal (way, "abort"))
    return "was killed by signal 6";
  if (g_str_equal (way, "_exit(0)"))
    return "exited with status 0";
  if (g_str_equal (way, "exit(3)"))
    return "exited with status 3";
  if (g_str_equal (way, "rubbish"))
    return "no valid";
  return "was killed by signal 9";
}

static void
assert_died (const GError *error, guint worker, int pid, const char *how, const char *function, guint64 index)
{
  g_autofree char *who = g_strdup_printf ("worker %u (pid %d) ", worker, pid);
  g_autofree char *what = g_strdup_printf ("task %" G_GUINT64_FORMAT " of “%s”", index, function);

  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  g_assert_nonnull (strstr (error->message, who));
  g_assert_nonnull (strstr (error->message, how));
  g_assert_nonnull (strstr (error->message, what));
}

/* In the middle of a chunk */

/* One chunk of which one task dies. Returns what became of that task. */
static WpResult *
run_fatal_chunk (WpWorkerPool *pool, const char *way, guint n_deaths, guint max_retries)
{
  g_autoptr (WpTaskOptions) options = make_options (N_TASKS, max_retries, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (WpResult) fatal = NULL;
  WpResult *result;
  guint64 n = 0;

  batch = start_batch (pool, "die", options);
  for (guint64 i = 0; i < N_TASKS; i++)
    push_item (batch, g_variant_new ("(tsu)", i, way, i == FATAL_TASK ? n_deaths : 0));
  wp_batch_close (batch);

  if (g_str_equal (way, "SIGSTOP"))
    {
      yield_until (task_get_n_begun (FATAL_TASK) > 0);
      kill (counter_get (PID_COUNTER), SIGKILL);
    }

  while ((result = next_result (batch)) != NULL)
    {
      g_assert_cmpuint (wp_result_get_index (result), ==, n);
      if (n == FATAL_TASK)
        {
          fatal = g_steal_pointer (&result);
        }
      else
        {
          g_assert_no_error (wp_result_get_error (result));
          g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, n);
          /* Neither the tasks that had ended nor those that waited behind it ran in vain. */
          g_assert_cmpuint (task_get_n_begun (n), ==, 1);
          g_assert_cmpuint (task_get_n_ended (n), ==, 1);
          g_object_unref (result);
        }
      n++;
    }
  g_assert_cmpuint (n, ==, N_TASKS);
  g_assert_cmpuint (wp_batch_get_n_failed (batch), ==, wp_result_get_error (fatal) != NULL ? 1 : 0);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_FINISHED);

  return g_steal_pointer (&fatal);
}

static void
check_costs_one_task (WpTransport transport)
{
  for (guint i = 0; death_ways[i] != NULL; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (WpLauncher) launcher = make_launcher (transport);
      g_autoptr (WpResult) fatal = NULL;
      const char *way = death_ways[i];
      int pid;

      g_test_message ("%s", way);
      scratch_reset ();
      wp_worker_pool_set_launcher (pool, launcher);
      fatal = run_fatal_chunk (pool, way, G_MAXUINT, 0);
      g_assert_cmpuint (task_get_n_begun (FATAL_TASK), ==, 1);
      g_assert_null (wp_result_get_value (fatal));

      pid = counter_get (PID_COUNTER);
      if (g_str_equal (way, "rubbish"))
        {
          g_assert_error (wp_result_get_error (fatal), WP_ERROR, WP_ERROR_PROTOCOL);
          g_assert_nonnull (strstr (wp_result_get_error (fatal)->message, "task 17 of “die”"));
        }
      else
        {
          /* The last tasks ran on the worker that came after it. */
          g_autofree char *who = g_strdup_printf ("(pid %d)", pid);

          g_assert_null (strstr (wp_result_get_error (fatal)->message, who));
          g_assert_error (wp_result_get_error (fatal), WP_ERROR, WP_ERROR_WORKER_DIED);
          g_assert_nonnull (strstr (wp_result_get_error (fatal)->message, "worker 0 (pid "));
          g_assert_nonnull (strstr (wp_result_get_error (fatal)->message, describe_way (way)));
          g_assert_nonnull (strstr (wp_result_get_error (fatal)->message, "task 17 of “die”"));
        }

      counter_set (0, 1);
      join_pool (pool);
    }
}

static void
test_costs_one_task (void)
{
  check_costs_one_task (WP_TRANSPORT_SOCKET);
}

static void
test_costs_one_task_over_pipes (void)
{
  check_costs_one_task (WP_TRANSPORT_STDIO);
}

static void
test_names_who_and_what (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "die", g_variant_new ("(tsu)", G_GUINT64_CONSTANT (5), "SIGKILL", 1), NULL,
                                 NULL, &error);
  g_assert_null (result);
  assert_died (error, 0, counter_get (PID_COUNTER), "was killed by signal 9", "die", 0);
  join_pool (pool);
}

static void
test_retry_succeeds (void)
{
  for (guint i = 0; death_ways[i] != NULL; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (WpResult) fatal = NULL;

      g_test_message ("%s", death_ways[i]);
      scratch_reset ();
      fatal = run_fatal_chunk (pool, death_ways[i], 1, 1);
      g_assert_no_error (wp_result_get_error (fatal));
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (fatal)), ==, FATAL_TASK);
      g_assert_cmpuint (task_get_n_begun (FATAL_TASK), ==, 2);

      counter_set (0, 1);
      join_pool (pool);
    }
}

static void
test_retries_are_counted (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpResult) fatal = NULL;

  fatal = run_fatal_chunk (pool, "SIGKILL", G_MAXUINT, 3);
  g_assert_error (wp_result_get_error (fatal), WP_ERROR, WP_ERROR_WORKER_DIED);
  g_assert_cmpuint (task_get_n_begun (FATAL_TASK), ==, 1 + 3);
  join_pool (pool);
}

/* Every second task of a map dies; nothing else is lost, and nothing else runs twice. */
static void
test_many_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (5, 1, WP_ON_ERROR_CONTINUE);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  GVariantBuilder items;

  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(tsu)"));
  for (guint64 i = 0; i < N_TASKS; i++)
    g_variant_builder_add (&items, "(tsu)", i, "_exit(0)", i % 2 == 0 ? 1 : 0);

  results = wp_worker_pool_map (pool, "die", g_variant_builder_end (&items), options, NULL, &error);
  g_assert_no_error (error);
  for (guint64 i = 0; i < N_TASKS; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
      g_assert_cmpuint (task_get_n_begun (i), ==, i % 2 == 0 ? 2 : 1);
    }
  join_pool (pool);
}

static void
test_stops_a_map (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  GVariantBuilder items;

  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(tsu)"));
  for (guint64 i = 0; i < N_TASKS; i++)
    g_variant_builder_add (&items, "(tsu)", i, "SIGSEGV", i == FATAL_TASK ? 1 : 0);

  results = wp_worker_pool_map (pool, "die", g_variant_builder_end (&items), options, NULL, &error);
  g_assert_null (results);
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  g_assert_nonnull (strstr (error->message, "task 17 of “die”"));
  g_assert_cmpuint (task_get_n_begun (N_TASKS - 1), ==, 0);
  join_pool (pool);
}

/* Between chunks */

typedef struct
{
  guint n_started;
  guint n_exited;
  guint n_reasons;
  gboolean replaced;
} WorkerLog;

static void
on_worker_started (WpWorkerPool *pool, guint worker, int pid, gpointer data)
{
  WorkerLog *log = data;

  log->n_started++;
  log->replaced = log->n_started == 2;
}

static void
on_worker_exited (WpWorkerPool *pool, guint worker, int pid, const GError *reason, gpointer data)
{
  WorkerLog *log = data;

  log->n_exited++;
  if (reason != NULL)
    {
      log->n_reasons++;
      g_assert_error (reason, WP_ERROR, WP_ERROR_WORKER_DIED);
      g_assert_nonnull (strstr (reason->message, "was killed by signal 9"));
    }
}

static void
test_idle_worker_costs_nothing (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  WorkerLog log = { 0 };
  int first, second;

  g_signal_connect (pool, "worker-started", G_CALLBACK (on_worker_started), &log);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (on_worker_exited), &log);

  first = apply_pid (pool);
  kill (first, SIGKILL);
  second = apply_pid (pool);
  g_assert_cmpint (first, !=, second);

  join_pool (pool);
  iterate_until (&log.replaced);
  iterate_pending ();
  g_assert_cmpuint (log.n_started, ==, 2);
  g_assert_cmpuint (log.n_exited, ==, 2);
  g_assert_cmpuint (log.n_reasons, ==, 1);
}

/* A worker that dies again and again between tasks never takes one with it. */
static void
test_idle_deaths_between_applies (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  for (guint i = 0; i < 15; i++)
    kill (apply_pid (pool), i % 2 == 0 ? SIGKILL : SIGTERM);
  apply_pid (pool);
  join_pool (pool);
}

/* At the start */

#define TEST_TYPE_LAUNCHER (test_launcher_get_type ())
G_DECLARE_FINAL_TYPE (TestLauncher, test_launcher, TEST, LAUNCHER, WpLauncher)

/* Launches this program, and kills what it launched as often as it is told to. */
struct _TestLauncher
{
  WpLauncher parent_instance;

  WpLauncher *spawn;
  int n_launches; /* atomic */
  int n_killed;   /* atomic; how many launches are to fail */
};

G_DEFINE_FINAL_TYPE (TestLauncher, test_launcher, WP_TYPE_LAUNCHER)

static WpWorkerProcess *
test_launcher_launch (WpLauncher *launcher, guint worker_id, GError **error)
{
  TestLauncher *self = TEST_LAUNCHER (launcher);
  WpWorkerProcess *process = wp_launcher_launch (self->spawn, worker_id, error);

  /* At once: a signal that is sent through the process takes its time, and the worker would be ready first. */
  if (g_atomic_int_add (&self->n_launches, 1) < g_atomic_int_get (&self->n_killed) && process != NULL &&
      wp_worker_process_get_pid (process) > 0)
    kill (wp_worker_process_get_pid (process), SIGKILL);
  return process;
}

static void
test_launcher_finalize (GObject *object)
{
  g_object_unref (TEST_LAUNCHER (object)->spawn);
  G_OBJECT_CLASS (test_launcher_parent_class)->finalize (object);
}

static void
test_launcher_class_init (TestLauncherClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_launcher_finalize;
  WP_LAUNCHER_CLASS (klass)->launch = test_launcher_launch;
}

static void
test_launcher_init (TestLauncher *self)
{
  self->spawn = make_launcher (WP_TRANSPORT_SOCKET);
}

static void
test_start_is_tried_again (void)
{
  g_autoptr (TestLauncher) launcher = g_object_new (TEST_TYPE_LAUNCHER, NULL);
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  launcher->n_killed = 3;
  wp_worker_pool_set_launcher (pool, WP_LAUNCHER (launcher));
  results = wp_worker_pool_map (pool, "echo", g_variant_new_parsed ("[1, 2, 3]"), NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (results), ==, 3);
  join_pool (pool);
}

static void
test_start_never_succeeds (void)
{
  g_autoptr (TestLauncher) launcher = g_object_new (TEST_TYPE_LAUNCHER, NULL);
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  guint n = 0;

  launcher->n_killed = G_MAXINT;
  wp_worker_pool_set_launcher (pool, WP_LAUNCHER (launcher));

  batch = start_batch (pool, "echo", options);
  for (guint i = 0; i < 100; i++)
    push_item (batch, g_variant_new_uint32 (i));
  wp_batch_close (batch);

  for (;;)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (result == NULL)
        break;
      g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_START_FAILED);
      if (n == 0)
        g_test_message ("%s", wp_result_get_error (result)->message);
      g_assert_nonnull (strstr (wp_result_get_error (result)->message, "“echo”"));
      g_assert_nonnull (strstr (wp_result_get_error (result)->message, "was killed by signal 9"));
      n++;
    }
  g_assert_cmpuint (n, ==, 100);
  g_assert_cmpint (g_atomic_int_get (&launcher->n_launches), <=, 16);

  /* What was in the way is gone: the pool serves as if nothing had been. */
  g_atomic_int_set (&launcher->n_killed, 0);
  apply_pid (pool);
  join_pool (pool);
}

/* The host is a program that ends before it says a word. */
static void
test_host_that_ends_at_once (void)
{
  const struct
  {
    const char *script;
    const char *how;
  } hosts[] = {
    { "exit 0", "exited with status 0" },
    { "exit 7", "exited with status 7" },
    { "kill -9 $$", "was killed by signal 9" },
    { "kill -11 $$", "was killed by signal 11" },
    /* It may be killed for that before it exits. */
    { "exec 3>&-; exit 4", "worker 0 " },
  };

  for (guint i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      const char *argv[] = { "/bin/sh", "-c", hosts[i].script, NULL };
      g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
      g_autoptr (GVariant) result = NULL;
      g_autoptr (GError) error = NULL;

      wp_worker_pool_set_host (pool, argv);
      result = wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error);
      g_assert_null (result);
      g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, "“echo”"));
      g_assert_null (strstr (error->message, "pid 0"));
      g_assert_nonnull (strstr (error->message, hosts[i].how));
      join_pool (pool);
    }
}

/* Large results */

static void
assert_large (GVariant *value, gsize size)
{
  gsize length;
  const guint8 *bytes = g_variant_get_fixed_array (value, &length, 1);

  g_assert_cmpuint (length, ==, size);
  for (gsize i = 0; i < size; i += 4093)
    g_assert_cmpuint (bytes[i], ==, get_large_byte (i));
}

/* Burns a random time, which is what hits every stage of the other side's work. */
static void
let_pass (gint64 microseconds)
{
  gint64 end = g_get_monotonic_time () + microseconds;

  while (g_get_monotonic_time () < end)
    ;
}

static void
kill_at_random_moments (WpTransport transport, gsize size, guint n_rounds, int most_us)
{
  g_autoptr (WpLauncher) launcher = make_launcher (transport);
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  guint n_lived = 0;

  wp_worker_pool_set_launcher (pool, launcher);
  for (guint i = 0; i < n_rounds; i++)
    {
      g_auto (Outcome) outcome = { 0 };

      counter_set (0, 0);
      wp_worker_pool_apply_async (pool, "large", g_variant_new ("(tu)", (guint64) size, 0), NULL, NULL, on_applied,
                                  &outcome);
      counter_wait (0, 1);
      let_pass (g_test_rand_int_range (0, most_us));
      kill (counter_get (PID_COUNTER), SIGKILL);
      iterate_until (&outcome.done);

      if (outcome.value != NULL)
        {
          assert_large (outcome.value, size);
          n_lived++;
        }
      else
        {
          assert_died (outcome.error, 0, counter_get (PID_COUNTER), "was killed by signal 9", "large", 0);
        }
    }
  g_test_message ("%u of %u had sent their result", n_lived, n_rounds);
  join_pool (pool);
}

static void
test_in_a_large_result (void)
{
  kill_at_random_moments (WP_TRANSPORT_SOCKET, 50 * 1000 * 1000, 3, 60000);
  kill_at_random_moments (WP_TRANSPORT_SOCKET, 5 * 1000 * 1000, 15, 8000);
}

static void
test_in_a_large_result_over_pipes (void)
{
  kill_at_random_moments (WP_TRANSPORT_STDIO, 5 * 1000 * 1000, 15, 12000);
}

static void
test_in_results_that_wait_on_the_board (void)
{
  kill_at_random_moments (WP_TRANSPORT_SOCKET, 60 * 1000, 20, 300);
}

/* From outside, at any moment */

typedef struct
{
  int stop;       /* atomic */
  guint n_workers;
  int n_kills;    /* atomic */
} Killer;

/* Kills no process twice: a number that was free meanwhile might be somebody else's. */
static gpointer
kill_workers (gpointer data)
{
  Killer *killer = data;
  g_autofree int *killed = g_new0 (int, killer->n_workers);
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_test_rand_int ());

  while (!g_atomic_int_get (&killer->stop))
    {
      guint worker = g_rand_int_range (rand, 0, killer->n_workers);
      int pid = counter_get (PID_COUNTER + worker);

      if (pid == 0 || pid == killed[worker])
        {
          g_thread_yield ();
          continue;
        }

      let_pass (g_rand_int_range (rand, 0, 3000));
      pid = counter_get (PID_COUNTER + worker);
      if (pid == killed[worker])
        continue;
      killed[worker] = pid;
      kill (pid, SIGKILL);
      g_atomic_int_inc (&killer->n_kills);
    }
  return NULL;
}

static void
test_random_kills_with_retries (void)
{
  const guint64 n = 8000;
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (0, G_MAXUINT, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  Killer killer = { .n_workers = 2 };
  GThread *thread = g_thread_new ("killer", kill_workers, &killer);

  /* So that every process that wrote its number is ours until the join. */
  wp_worker_pool_set_keep_alive (pool, TRUE);
  while (g_atomic_int_get (&killer.n_kills) < 20)
    {
      g_clear_pointer (&results, g_variant_unref);
      results = wp_worker_pool_map (pool, "work", make_indices (n), options, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, n);
    }
  g_atomic_int_set (&killer.stop, TRUE);
  g_thread_join (thread);
  g_test_message ("%d kills", killer.n_kills);
  join_pool (pool);
}

static void
test_random_kills_without_retries (void)
{
  const guint64 n = 8000;
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  Killer killer = { .n_workers = 2 };
  GThread *thread = g_thread_new ("killer", kill_workers, &killer);
  guint64 n_results = 0, n_failed = 0, n_pushed = 0;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  batch = start_batch (pool, "work", options);

  for (;;)
    {
      g_autoptr (WpResult) result = NULL;

      for (; n_pushed < n && wp_batch_get_room (batch) > 0; n_pushed++)
        push_item (batch, g_variant_new_uint64 (n_pushed));
      if (n_pushed == n)
        wp_batch_close (batch);

      result = next_result (batch);
      if (result == NULL)
        break;
      g_assert_cmpuint (wp_result_get_index (result), ==, n_results);
      if (wp_result_get_error (result) != NULL)
        {
          g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_WORKER_DIED);
          n_failed++;
        }
      else
        {
          g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, n_results);
        }
      /* Never twice, whether it succeeded or not. */
      g_assert_cmpuint (task_get_n_begun (n_results), <=, 1);
      n_results++;
    }
  g_atomic_int_set (&killer.stop, TRUE);
  g_thread_join (thread);

  g_assert_cmpuint (n_results, ==, n);
  g_assert_cmpuint (n_failed, <=, killer.n_kills);
  g_test_message ("%d kills, %" G_GUINT64_FORMAT " tasks lost", killer.n_kills, n_failed);
  join_pool (pool);
}

/* While the pool is joining */

static void
test_while_joining (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_CONTINUE);
  g_auto (Outcome) outcome = { 0 };
  GVariantBuilder items;
  guint n_nothing = 0;

  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(tsu)"));
  for (guint64 i = 0; i < 100; i++)
    g_variant_builder_add (&items, "(tsu)", i, "SIGKILL", i % 10 == 3 ? 1 : 0);
  wp_worker_pool_map_async (pool, "die", g_variant_builder_end (&items), options, NULL, on_mapped, &outcome);

  /* Ten workers die on its way. */
  join_pool (pool);
  iterate_until (&outcome.done);
  g_assert_no_error (outcome.error);
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (outcome.value, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      n_nothing += g_variant_is_of_type (value, G_VARIANT_TYPE_MAYBE);
      g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_MAYBE) == (i % 10 == 3));
    }
  g_assert_cmpuint (n_nothing, ==, 10);
}

/* The pool has asked its workers to end; how they end then is all the same. */
static void
test_killed_while_stopping (void)
{
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      int pid = apply_pid (pool);

      if (i % 2 == 0)
        kill (pid, SIGSTOP);
      kill (pid, SIGKILL);
      join_pool (pool);
    }
}

static const FaultTest tests[] = {
  { "/death/in-a-chunk/costs-one-task", test_costs_one_task },
  { "/death/in-a-chunk/costs-one-task-over-pipes", test_costs_one_task_over_pipes },
  { "/death/in-a-chunk/names-who-and-what", test_names_who_and_what, TRUE },
  { "/death/in-a-chunk/retry-succeeds", test_retry_succeeds, TRUE },
  { "/death/in-a-chunk/retries-are-counted", test_retries_are_counted, TRUE },
  { "/death/in-a-chunk/many-deaths-lose-nothing", test_many_deaths, TRUE },
  { "/death/in-a-chunk/stops-a-map-that-stops", test_stops_a_map, TRUE },
  { "/death/between-chunks/costs-nothing", test_idle_worker_costs_nothing, TRUE },
  { "/death/between-chunks/again-and-again", test_idle_deaths_between_applies, TRUE },
  { "/death/at-start/is-tried-again", test_start_is_tried_again },
  { "/death/at-start/ends-in-one-clear-error", test_start_never_succeeds },
  { "/death/at-start/host-that-ends-at-once", test_host_that_ends_at_once },
  { "/death/large-result/whole-or-not-at-all", test_in_a_large_result },
  { "/death/large-result/whole-or-not-at-all-over-pipes", test_in_a_large_result_over_pipes },
  { "/death/large-result/on-the-board", test_in_results_that_wait_on_the_board },
  { "/death/random-kills/with-retries-nothing-is-lost", test_random_kills_with_retries, TRUE },
  { "/death/random-kills/without-retries-a-kill-costs-a-task", test_random_kills_without_retries, TRUE },
  { "/death/while-joining/every-task-ends", test_while_joining, TRUE },
  { "/death/while-stopping/join-ends", test_killed_while_stopping, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
