/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a pool says of its workers' time, held against what its caller and its tasks have seen. */

#include <math.h>
#include <signal.h>
#include <string.h>

#include "census.h"
#include "helpers.h"
#include "../unit/insights-numbers.h"
#include "scratch.h"
#include "tasks.h"

#define N_TASKS 300

/* As documented, and what the clock of a result is rounded by. */
#define PERCENTILE_ERROR (1.0 / 64)
#define ROUNDING 2e-6

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
};

static const char *const parts[] = { "start_up_time", "init_time", "waiting_time", "working_time", "exit_time" };

/* (tu): the index of a task, and in how many of its runs it kills its worker. Takes some time, not always as long. */
static GVariant *
spin (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const gint64 began = g_get_monotonic_time ();
  guint64 index;
  guint n_deaths;

  g_variant_get (args, "(tu)", &index, &n_deaths);
  while (g_get_monotonic_time () < began + 5 + (gint64) (index * 7 % 50))
    continue;
  if (task_begin (index) <= n_deaths)
    die_by (SIGKILL);
  task_end (index);

  return g_variant_ref (args);
}

static GVariant *
wait_at_gate (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  counter_add (RUNNING, 1);
  counter_wait (GATE, 1);
  return NULL;
}

static GVariant *
get_insights (WpWorkerPool *pool)
{
  GVariant *insights = wp_worker_pool_get_insights (pool);

  g_assert_nonnull (insights);
  g_assert_false (g_variant_is_floating (insights));
  g_assert_true (g_variant_is_of_type (insights, G_VARIANT_TYPE_VARDICT));

  return insights;
}

static guint64
count_tasks (GVariant *insights)
{
  g_autoptr (GVariant) array = g_variant_lookup_value (insights, "n_completed_tasks", G_VARIANT_TYPE ("at"));
  gsize n;
  const guint64 *counts = g_variant_get_fixed_array (array, &n, sizeof *counts);
  guint64 total = 0;

  for (gsize i = 0; i < n; i++)
    total += counts[i];

  return total;
}

/* The parts of each worker's time are its time, and that is not more than the caller saw pass. */
static void
assert_adds_up (GVariant *insights, guint n_workers, gint64 earliest)
{
  const double passed = (double) (g_get_monotonic_time () - earliest) / 1e6;

  for (guint i = 0; i < n_workers; i++)
    {
      const double time = look_up_worker (insights, "time", i);
      double sum = 0;

      for (guint j = 0; j < G_N_ELEMENTS (parts); j++)
        {
          g_assert_cmpfloat (look_up_worker (insights, parts[j], i), >=, 0);
          sum += look_up_worker (insights, parts[j], i);
        }
      g_assert_cmpfloat (fabs (sum - time), <=, 0.05 * time);
      g_assert_cmpfloat (time, <=, passed);
    }
}

static WpWorkerPool *
make_watched_pool (guint n_jobs)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_enable_insights (pool, TRUE);

  return pool;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double one = *(const double *) a;
  const double other = *(const double *) b;

  return (one > other) - (one < other);
}

static double
get_percentile (GArray *sorted, double fraction)
{
  return g_array_index (sorted, double, (guint) ceil (fraction * sorted->len) - 1);
}

/* What the results say of one batch of a pool. */
typedef struct
{
  GArray *run_times; /* double */
  GArray *least_waits;
  GArray *most_waits;
  double *working; /* of each worker */
  double *first;   /* when its first task began */
  double *last;    /* and its last task ended */
} Seen;

static void
seen_clear (Seen *seen)
{
  g_array_unref (seen->run_times);
  g_array_unref (seen->least_waits);
  g_array_unref (seen->most_waits);
  g_free (seen->working);
  g_free (seen->first);
  g_free (seen->last);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Seen, seen_clear)

static void
seen_init (Seen *seen, guint n_workers)
{
  seen->run_times = g_array_new (FALSE, FALSE, sizeof (double));
  seen->least_waits = g_array_new (FALSE, FALSE, sizeof (double));
  seen->most_waits = g_array_new (FALSE, FALSE, sizeof (double));
  seen->working = g_new0 (double, n_workers);
  seen->first = g_new0 (double, n_workers);
  seen->last = g_new0 (double, n_workers);
}

/* Its worker is free from the first moment, or the task waits for others: it was pushed between these two times. */
static void
seen_add (Seen *seen, WpResult *result, gint64 before, gint64 after)
{
  const guint worker = wp_result_get_worker_id (result);
  const double elapsed = (double) wp_result_get_run_time (result) / 1e6;
  const double began = (double) wp_result_get_start_time (result) / 1e6;
  const double most = began - (double) before / 1e6;
  const double least = MAX (began - (double) after / 1e6, 0);

  g_array_append_val (seen->run_times, elapsed);
  g_array_append_val (seen->least_waits, least);
  g_array_append_val (seen->most_waits, most);
  seen->working[worker] += elapsed;
  seen->first[worker] = seen->first[worker] == 0 ? began : MIN (seen->first[worker], began);
  seen->last[worker] = MAX (seen->last[worker], began + elapsed);
}

static void
run_batch (WpWorkerPool *pool, Seen *seen, guint n_deadly, guint max_retries)
{
  g_autoptr (WpTaskOptions) options = make_options (10, max_retries, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  gint64 before[N_TASKS];
  gint64 after[N_TASKS];

  wp_task_options_set_max_active_tasks (options, N_TASKS);
  batch = start_batch (pool, "spin", options);
  for (guint64 i = 0; i < N_TASKS; i++)
    {
      before[i] = g_get_monotonic_time ();
      push_item (batch, g_variant_new ("(tu)", i, i % 50 == 20 && i / 50 < n_deadly ? 1 : 0));
      after[i] = g_get_monotonic_time ();
    }
  wp_batch_close (batch);
  for (guint64 i = 0; i < N_TASKS; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      if (wp_result_get_error (result) == NULL)
        seen_add (seen, result, before[i], after[i]);
      else
        g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_WORKER_DIED);
    }
}

/* The tests */

static void
test_off (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) property = NULL;

  g_assert_null (wp_worker_pool_get_insights (pool));
  g_assert_null (wp_worker_pool_format_insights (pool));
  apply_pid (pool);
  g_assert_null (wp_worker_pool_get_insights (pool));
  g_object_get (pool, "insights", &property, NULL);
  g_assert_null (property);
  join_pool (pool);
}

static void
test_unstarted (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (3);
  g_autoptr (GVariant) insights = get_insights (pool);

  g_assert_cmpuint (count_tasks (insights), ==, 0);
  g_assert_cmpfloat (look_up (insights, "total_time"), ==, 0);
  g_assert_cmpfloat (look_up_worker (insights, "time", 2), ==, 0);
}

static void
test_adds_up (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (GVariant) before_end = NULL;
  g_autoptr (GVariant) insights = NULL;
  const gint64 earliest = g_get_monotonic_time ();
  g_auto (Seen) seen = { 0 };

  seen_init (&seen, 2);
  run_batch (pool, &seen, 0, 0);
  before_end = get_insights (pool);
  assert_adds_up (before_end, 2, earliest);
  join_pool (pool);
  insights = get_insights (pool);
  assert_adds_up (insights, 2, earliest);
  g_assert_cmpuint (count_tasks (insights), ==, N_TASKS);
  g_assert_cmpfloat (look_up (insights, "total_start_up_time"), >, 0);
  g_assert_cmpfloat (look_up (insights, "total_exit_time"), >, 0);
  g_assert_cmpfloat (look_up (insights, "total_init_time"), ==, 0);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpfloat (fabs (look_up_worker (insights, "working_time", i) - seen.working[i]), <=, N_TASKS * ROUNDING);
      /* Without what it does before its first task and after its last. */
      g_assert_cmpfloat (look_up_worker (insights, "waiting_time", i) + look_up_worker (insights, "working_time", i),
                         >=, seen.last[i] - seen.first[i] - ROUNDING);
    }
}

static void
test_percentiles (void)
{
  static const struct
  {
    double fraction;
    const char *run_time;
    const char *wait_time;
  } percentiles[] = {
    { 0.5, "run_time_p50", "wait_time_p50" },
    { 0.95, "run_time_p95", "wait_time_p95" },
    { 0.99, "run_time_p99", "wait_time_p99" },
  };
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (GVariant) insights = NULL;
  g_auto (Seen) seen = { 0 };

  seen_init (&seen, 2);
  run_batch (pool, &seen, 0, 0);
  insights = get_insights (pool);
  g_array_sort (seen.run_times, compare_doubles);
  g_array_sort (seen.least_waits, compare_doubles);
  g_array_sort (seen.most_waits, compare_doubles);
  for (guint i = 0; i < G_N_ELEMENTS (percentiles); i++)
    {
      const double run_time = get_percentile (seen.run_times, percentiles[i].fraction);
      const double least = get_percentile (seen.least_waits, percentiles[i].fraction);
      const double most = get_percentile (seen.most_waits, percentiles[i].fraction);
      const double waited = look_up (insights, percentiles[i].wait_time);

      g_assert_cmpfloat (fabs (look_up (insights, percentiles[i].run_time) - run_time), <=,
                         run_time * PERCENTILE_ERROR + ROUNDING);
      g_assert_cmpfloat (waited, >=, least * (1 - PERCENTILE_ERROR) - ROUNDING);
      g_assert_cmpfloat (waited, <=, most * (1 + PERCENTILE_ERROR) + ROUNDING);
    }
  join_pool (pool);
}

/* Those of a map were all pushed at once, and its arguments are in one array. */
static void
test_longest (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (1);
  g_autoptr (GVariant) items = g_variant_ref_sink (g_variant_new_parsed ("[<(%u, %u)>, <'text'>, <%u>, <(1, 2)>]",
                                                                         RUNNING, GATE, 7));
  g_autoptr (GVariant) mapped = NULL;
  g_autoptr (GVariant) insights = NULL;
  g_autoptr (GVariant) durations = NULL;
  g_autoptr (GVariant) args = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) held = { 0 };
  gint64 since;
  const char *text;
  double longest, previous;

  mapped = wp_worker_pool_map (pool, "echo", items, NULL, NULL, &error);
  g_assert_no_error (error);
  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, &held);
  counter_wait (RUNNING, 1);
  since = g_get_monotonic_time ();
  /* The time that has to pass is what is measured. */
  while (g_get_monotonic_time () < since + 20000)
    g_main_context_iteration (NULL, FALSE);
  counter_set (GATE, 1);
  iterate_until (&held.done);

  insights = get_insights (pool);
  durations = g_variant_lookup_value (insights, "top_5_max_task_durations", G_VARIANT_TYPE ("ad"));
  args = g_variant_lookup_value (insights, "top_5_max_task_args", G_VARIANT_TYPE ("as"));
  g_assert_cmpuint (g_variant_n_children (durations), ==, 5);
  g_assert_cmpuint (g_variant_n_children (args), ==, 5);
  g_variant_get_child (durations, 0, "d", &longest);
  g_variant_get_child (args, 0, "&s", &text);
  g_assert_cmpfloat (longest, >=, 0.02);
  g_assert_cmpstr (text, ==, "(0, 1)");
  previous = longest;
  for (guint i = 1; i < 5; i++)
    {
      double duration;

      g_variant_get_child (durations, i, "d", &duration);
      g_variant_get_child (args, i, "&s", &text);
      g_assert_cmpfloat (duration, <=, previous);
      g_assert_true (g_str_equal (text, "(0, 1)") || g_str_equal (text, "'text'") || g_str_equal (text, "7") ||
                     g_str_equal (text, "(1, 2)"));
      previous = duration;
    }
  join_pool (pool);
}

static void
check_killed (WpWorkerPool *pool, guint max_retries)
{
  g_autoptr (GVariant) insights = NULL;
  const gint64 earliest = g_get_monotonic_time ();
  g_auto (Seen) seen = { 0 };

  scratch_reset ();
  seen_init (&seen, 2);
  run_batch (pool, &seen, 5, max_retries);
  join_pool (pool);
  insights = get_insights (pool);
  assert_adds_up (insights, 2, earliest);
  /* Each task that died ended once, or never. */
  g_assert_cmpuint (count_tasks (insights), ==, max_retries > 0 ? N_TASKS : N_TASKS - 5);
  g_assert_cmpuint (seen.run_times->len, ==, max_retries > 0 ? N_TASKS : N_TASKS - 5);
  /* The tasks that killed their workers had worked, too. */
  for (guint i = 0; i < 2; i++)
    g_assert_cmpfloat (look_up_worker (insights, "working_time", i), >=, seen.working[i] - N_TASKS * ROUNDING);
}

static void
test_killed (void)
{
  for (guint max_retries = 0; max_retries <= 1; max_retries++)
    {
      g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
      g_autoptr (WpWorkerPool) over_pipes = make_watched_pool (2);
      g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);

      check_killed (pool, max_retries);
      wp_worker_pool_set_launcher (over_pipes, launcher);
      check_killed (over_pipes, max_retries);
    }
}

/* A task that ends with its worker has worked until then, and is among the longest. */
static void
test_timed_out (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) insights = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree const char **args = NULL;
  const gint64 earliest = g_get_monotonic_time ();

  wp_task_options_set_task_timeout (options, 100);
  result = wp_worker_pool_apply (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), options, NULL, &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  apply_pid (pool);
  join_pool (pool);
  insights = get_insights (pool);
  assert_adds_up (insights, 1, earliest);
  g_assert_cmpuint (count_tasks (insights), ==, 1);
  g_assert_cmpfloat (look_up (insights, "total_working_time"), >=, 0.1 - ROUNDING);
  g_assert_true (g_variant_lookup (insights, "top_5_max_task_args", "^a&s", &args));
  g_assert_cmpuint (g_strv_length ((char **) args), ==, 2);
  g_assert_cmpstr (args[0], ==, "(0, 1)");
}

static gpointer
read_until_it_worked (gpointer data)
{
  WpWorkerPool *pool = data;
  double first = -1;
  double working = -1;

  while (working <= first || first < 0)
    {
      g_autoptr (GVariant) insights = get_insights (pool);

      working = look_up (insights, "total_working_time");
      if (first < 0)
        first = working;
    }

  return NULL;
}

/* Also of the task that runs now. */
static void
test_while_running (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_auto (Outcome) held = { 0 };
  GThread *thread;

  wp_worker_pool_apply_async (pool, "hold", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, &held);
  counter_wait (RUNNING, 1);
  thread = g_thread_new ("reader", read_until_it_worked, pool);
  read_until_it_worked (pool);
  g_thread_join (thread);
  counter_set (GATE, 1);
  iterate_until (&held.done);
  g_assert_no_error (held.error);
  join_pool (pool);
}

static void
on_notify (WpWorkerPool *pool, GParamSpec *pspec, guint64 *n_tasks)
{
  g_autoptr (GVariant) insights = NULL;

  g_object_get (pool, "insights", &insights, NULL);
  *n_tasks = count_tasks (insights);
}

static void
test_notified (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  guint64 n_tasks = 0;

  g_signal_connect (pool, "notify::insights", G_CALLBACK (on_notify), &n_tasks);
  for (guint64 n = 100; n <= 300; n += 100)
    {
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      results = wp_worker_pool_map (pool, "echo", make_indices (100), NULL, NULL, &error);
      g_assert_no_error (error);
      iterate_context_until (NULL, n_tasks >= n);
      g_assert_cmpuint (n_tasks, ==, n);
    }
  join_pool (pool);
}

/* Has a pool of its own, and says what its workers did. */
static GVariant *
look_below (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (GVariant) results = wp_worker_pool_map (pool, "echo", make_indices (50), NULL, NULL, error);

  if (results == NULL || !wp_worker_pool_stop_and_join (pool, NULL, error))
    return NULL;

  return wp_worker_pool_get_insights (pool);
}

static void
test_nested (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (1);
  g_autoptr (GVariant) below = NULL;
  g_autoptr (GVariant) insights = NULL;
  g_autoptr (GError) error = NULL;
  const gint64 earliest = g_get_monotonic_time ();

  wp_worker_pool_set_daemon (pool, FALSE);
  below = wp_worker_pool_apply (pool, "look-below", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  assert_adds_up (below, 2, earliest);
  g_assert_cmpuint (count_tasks (below), ==, 50);
  join_pool (pool);
  insights = get_insights (pool);
  assert_adds_up (insights, 1, earliest);
  g_assert_cmpuint (count_tasks (insights), ==, 1);
}

/* Cancelled, and then killed: the pool says so of what still counts. */
static void
test_terminated (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (GVariant) insights = NULL;
  g_autofree char *table = NULL;
  g_auto (Outcome) held = { 0 };
  const gint64 earliest = g_get_monotonic_time ();

  wp_worker_pool_apply_async (pool, "obey", g_variant_new ("(uu)", RUNNING, GATE), NULL, NULL, on_applied, &held);
  counter_wait (RUNNING, 1);
  wp_worker_pool_terminate (pool);
  iterate_until (&held.done);
  join_pool (pool);
  insights = get_insights (pool);
  assert_adds_up (insights, 2, earliest);
  g_assert_cmpuint (count_tasks (insights), ==, 0);
  table = wp_worker_pool_format_insights (pool);
  g_assert_nonnull (strstr (table, "\n     0            0 "));
}

/* Whether the function ends or is ended, and also while it runs. */
static void
test_in_init (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) ended = NULL;
  g_autoptr (GError) error = NULL;
  gboolean reported_in = FALSE;

  wp_worker_pool_set_enable_insights (pool, TRUE);
  wp_worker_pool_set_worker_init (pool, "wait-at-gate");
  g_assert_true (wp_worker_pool_start (pool, &error));
  g_assert_no_error (error);
  counter_wait (RUNNING, 1);
  while (!reported_in)
    {
      g_autoptr (GVariant) insights = get_insights (pool);

      g_assert_cmpfloat (look_up (insights, "total_waiting_time"), ==, 0);
      reported_in = look_up (insights, "total_init_time") > 0;
    }

  wp_worker_pool_terminate (pool);
  counter_set (GATE, 1);
  join_pool (pool);
  ended = get_insights (pool);
  g_assert_cmpfloat (look_up (ended, "total_init_time"), >, 0);
  g_assert_cmpfloat (look_up (ended, "total_waiting_time"), ==, 0);
}

static const FaultTest tests[] = {
  { "/insights/off/are-none", test_off },
  { "/insights/unstarted/are-zero", test_unstarted },
  { "/insights/parts/add-up", test_adds_up },
  { "/insights/percentiles/are-those-of-the-results", test_percentiles },
  { "/insights/longest/have-their-arguments", test_longest },
  { "/insights/killed/add-up", test_killed, TRUE },
  { "/insights/timed-out/counts-as-work", test_timed_out, TRUE },
  { "/insights/while-running/from-any-thread", test_while_running },
  { "/insights/property/is-notified", test_notified },
  { "/insights/nested/add-up", test_nested },
  { "/insights/terminated/add-up", test_terminated },
  { "/insights/in-init/is-not-waiting", test_in_init },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("spin", spin, NULL, NULL);
  wp_register_function ("wait-at-gate", wait_at_gate, NULL, NULL);
  wp_register_function ("look-below", look_below, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
