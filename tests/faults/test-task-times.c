/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a result says of the run of its task: where, when, for how long, and after how many tries. */

#include <string.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#define N_TASKS 200
#define N_MANY 20000
#define FATAL_TASK 17
#define SHORT_MS 100

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
};

/* Each clock is rounded down to microseconds. */
#define ROUNDING 2

/* The tasks */

/* (tut): the index of a task, in how many of its runs it kills its worker, and the size of its result. Returns the
 * worker, when the task ran by its own clock, and so many bytes. */
static GVariant *
watch_clock (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const gint64 began = g_get_monotonic_time ();
  g_autofree guint8 *bytes = NULL;
  guint64 index, size;
  guint n_deaths;
  gint64 now;

  g_variant_get (args, "(tut)", &index, &n_deaths, &size);
  if (task_begin (index) <= n_deaths)
    die_by (SIGKILL);
  do
    now = g_get_monotonic_time ();
  while (now < began + 20);
  task_end (index);

  bytes = g_malloc0 (MAX (size, 1));
  return g_variant_new ("(uxx@ay)", wp_task_context_get_worker_id (context), began, now,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1));
}

/* Of a batch that takes all its items at once. */
static WpTaskOptions *
make_wide_options (guint chunk_size, guint max_retries)
{
  WpTaskOptions *options = make_options (chunk_size, max_retries, WP_ON_ERROR_CONTINUE);

  wp_task_options_set_max_active_tasks (options, N_MANY);

  return options;
}

static WpWorkerPool *
make_watched_pool (guint n_jobs)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_enable_insights (pool, TRUE);

  return pool;
}

static void
push_task (WpBatch *batch, guint64 index, guint n_deaths, guint64 size)
{
  push_item (batch, g_variant_new ("(tut)", index, n_deaths, size));
}

/* What the task itself saw lies within what the result says, and that within what the caller saw. */
static void
assert_times (WpResult *result, gint64 earliest)
{
  const gint64 started = wp_result_get_start_time (result);
  const gint64 elapsed = wp_result_get_run_time (result);
  gint64 began, ended;
  guint worker;

  g_assert_no_error (wp_result_get_error (result));
  g_variant_get (wp_result_get_value (result), "(uxx@ay)", &worker, &began, &ended, NULL);
  g_assert_cmpuint (wp_result_get_worker_id (result), ==, worker);
  g_assert_cmpint (started, >=, earliest);
  g_assert_cmpint (started, <=, began);
  g_assert_cmpint (started + elapsed, >=, ended - ROUNDING);
  g_assert_cmpint (started + elapsed, <=, g_get_monotonic_time ());
}

static void
assert_no_times (WpResult *result)
{
  g_assert_cmpint (wp_result_get_start_time (result), ==, 0);
  g_assert_cmpint (wp_result_get_run_time (result), ==, 0);
}

/* The tests */

static void
check_every_result (WpWorkerPool *pool, guint chunk_size, gboolean ordered)
{
  g_autoptr (WpTaskOptions) options = make_wide_options (chunk_size, 0);
  g_autoptr (WpBatch) batch = NULL;
  const gint64 earliest = g_get_monotonic_time ();
  WpResult *result;
  guint n = 0;

  wp_task_options_set_ordered (options, ordered);
  batch = start_batch (pool, "watch-clock", options);
  for (guint64 i = 0; i < N_TASKS; i++)
    push_task (batch, i, 0, i % 3);
  wp_batch_close (batch);

  while ((result = next_result (batch)) != NULL)
    {
      assert_times (result, earliest);
      g_assert_cmpuint (wp_result_get_n_retries (result), ==, 0);
      n++;
      g_object_unref (result);
    }
  g_assert_cmpuint (n, ==, N_TASKS);
}

static void
test_every_result (void)
{
  static const guint chunk_sizes[] = { 0, 1, 7, N_TASKS };
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);

  for (guint i = 0; i < G_N_ELEMENTS (chunk_sizes); i++)
    {
      check_every_result (pool, chunk_sizes[i], TRUE);
      check_every_result (pool, chunk_sizes[i], FALSE);
    }
  join_pool (pool);
}

/* Over pipes there is no memory that both share. */
static void
test_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);

  wp_worker_pool_set_launcher (pool, launcher);
  check_every_result (pool, 1, TRUE);
  check_every_result (pool, 7, FALSE);
  join_pool (pool);
}

static void
test_list (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (WpTaskOptions) options = make_wide_options (0, 0);
  g_autoptr (WpBatch) batch = start_batch (pool, "watch-clock", options);
  const gint64 earliest = g_get_monotonic_time ();
  gboolean finished = FALSE;

  g_signal_connect (batch, "finished", G_CALLBACK (set_true), &finished);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  for (guint64 i = 0; i < N_TASKS; i++)
    push_task (batch, i, 0, 0);
  wp_batch_close (batch);
  iterate_until (&finished);

  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, N_TASKS);
  for (guint i = 0; i < N_TASKS; i++)
    {
      g_autoptr (WpResult) result = g_list_model_get_item (G_LIST_MODEL (batch), i);
      gint64 started, elapsed;
      guint worker, n_retries;

      assert_times (result, earliest);
      g_object_get (result, "worker-id", &worker, "start-time", &started, "run-time", &elapsed, "n-retries", &n_retries,
                    NULL);
      g_assert_cmpuint (worker, ==, wp_result_get_worker_id (result));
      g_assert_cmpint (started, ==, wp_result_get_start_time (result));
      g_assert_cmpint (elapsed, ==, wp_result_get_run_time (result));
      g_assert_cmpuint (n_retries, ==, 0);
    }
  join_pool (pool);
}

/* Beside what is shared memory, and what fills the board. */
static void
test_large (void)
{
  static const guint64 sizes[] = { 1000, 60000, 64 * 1024, 100000, 200000, 3000000, 10 };
  g_autoptr (WpWorkerPool) pool = make_watched_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (5, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "watch-clock", options);
  const gint64 earliest = g_get_monotonic_time ();

  for (guint64 i = 0; i < 5 * G_N_ELEMENTS (sizes); i++)
    push_task (batch, i, 0, sizes[i % G_N_ELEMENTS (sizes)]);
  wp_batch_close (batch);
  for (guint64 i = 0; i < 5 * G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      g_autoptr (GVariant) bytes = g_variant_get_child_value (wp_result_get_value (result), 3);

      assert_times (result, earliest);
      g_assert_cmpuint (g_variant_get_size (bytes), ==, sizes[i % G_N_ELEMENTS (sizes)]);
    }
  join_pool (pool);
}

typedef struct
{
  gint64 started;
  gint64 elapsed;
} Span;

static int
compare_spans (gconstpointer a, gconstpointer b)
{
  const Span *one = a;
  const Span *other = b;

  return (one->started > other->started) - (one->started < other->started);
}

/* A worker runs its tasks one after the other. */
static void
assert_in_sequence (GArray *spans, gint64 earliest)
{
  g_array_sort (spans, compare_spans);
  for (guint i = 0; i < spans->len; i++)
    {
      const Span *span = &g_array_index (spans, Span, i);

      g_assert_cmpint (span->started, >=, earliest);
      earliest = span->started + span->elapsed;
    }
  g_assert_cmpint (earliest, <=, g_get_monotonic_time ());
}

/* So many short ones that the board is full of them before it is sent. */
static void
test_short (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (2);
  g_autoptr (WpTaskOptions) options = make_wide_options (N_MANY, 0);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", options);
  g_autoptr (GArray) first = g_array_new (FALSE, FALSE, sizeof (Span));
  g_autoptr (GArray) second = g_array_new (FALSE, FALSE, sizeof (Span));
  GArray *const spans[] = { first, second };
  const gint64 earliest = g_get_monotonic_time ();

  for (guint64 i = 0; i < N_MANY; i++)
    push_item (batch, g_variant_new_uint64 (i));
  wp_batch_close (batch);
  for (guint64 i = 0; i < N_MANY; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      const Span span = { wp_result_get_start_time (result), wp_result_get_run_time (result) };

      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
      g_assert_cmpuint (wp_result_get_worker_id (result), <, 2);
      g_array_append_val (spans[wp_result_get_worker_id (result)], span);
    }
  for (guint i = 0; i < 2; i++)
    assert_in_sequence (spans[i], earliest);
  join_pool (pool);
}

static void
test_off (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_wide_options (0, 0);
  g_autoptr (WpBatch) batch = start_batch (pool, "watch-clock", options);

  g_assert_false (wp_worker_pool_get_enable_insights (pool));
  for (guint64 i = 0; i < N_TASKS; i++)
    push_task (batch, i, 0, 0);
  wp_batch_close (batch);
  for (guint64 i = 0; i < N_TASKS; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      guint worker;

      assert_no_times (result);
      g_variant_get_child (wp_result_get_value (result), 0, "u", &worker);
      g_assert_cmpuint (wp_result_get_worker_id (result), ==, worker);
    }
  join_pool (pool);
}

/* What had ended before its worker died has its times, and so has the task that died. */
static void
check_death (WpWorkerPool *pool, guint n_deaths, guint max_retries)
{
  g_autoptr (WpTaskOptions) options = make_options (40, max_retries, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  const gint64 earliest = g_get_monotonic_time ();

  scratch_reset ();
  batch = start_batch (pool, "watch-clock", options);
  for (guint64 i = 0; i < 40; i++)
    push_task (batch, i, i == FATAL_TASK ? n_deaths : 0, 0);
  wp_batch_close (batch);
  for (guint64 i = 0; i < 40; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      g_assert_cmpuint (wp_result_get_worker_id (result), ==, 0);
      g_assert_cmpuint (wp_result_get_n_retries (result), ==, i == FATAL_TASK ? MIN (n_deaths, max_retries) : 0);
      if (i != FATAL_TASK || n_deaths <= max_retries)
        {
          assert_times (result, earliest);
          continue;
        }

      g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_WORKER_DIED);
      g_assert_cmpint (wp_result_get_start_time (result), >=, earliest);
      g_assert_cmpint (wp_result_get_start_time (result) + wp_result_get_run_time (result), <=,
                       g_get_monotonic_time ());
    }
}

static void
test_death (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_watched_pool (1);

      if (i == 1)
        {
          g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);

          wp_worker_pool_set_launcher (pool, launcher);
        }
      check_death (pool, 1, 0);
      check_death (pool, G_MAXUINT, 2);
      check_death (pool, 2, 2);
      join_pool (pool);
    }
}

/* Retries are counted without insights too. */
static void
test_death_off (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 2, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "watch-clock", options);
  g_autoptr (WpResult) first = NULL;
  g_autoptr (WpResult) second = NULL;

  push_task (batch, 0, 2, 0);
  push_task (batch, 1, G_MAXUINT, 0);
  wp_batch_close (batch);
  first = next_result (batch);
  second = next_result (batch);
  g_assert_no_error (wp_result_get_error (first));
  g_assert_error (wp_result_get_error (second), WP_ERROR, WP_ERROR_WORKER_DIED);
  g_assert_cmpuint (wp_result_get_n_retries (first), ==, 2);
  g_assert_cmpuint (wp_result_get_n_retries (second), ==, 2);
  g_assert_cmpuint (wp_result_get_worker_id (second), ==, 0);
  assert_no_times (first);
  assert_no_times (second);
  join_pool (pool);
}

static void
test_timeout (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (WpResult) result = NULL;

  wp_task_options_set_task_timeout (options, SHORT_MS);
  batch = start_batch (pool, "hold", options);
  push_item (batch, g_variant_new ("(uu)", RUNNING, GATE));
  wp_batch_close (batch);
  result = next_result (batch);
  g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpint (wp_result_get_start_time (result), >, 0);
  g_assert_cmpint (wp_result_get_run_time (result), >=, SHORT_MS * 1000 - ROUNDING);
  join_pool (pool);
}

/* What was cancelled before a worker had it ran nowhere. */
static void
test_never (void)
{
  g_autoptr (WpWorkerPool) pool = make_watched_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "obey", options);

  push_item (batch, g_variant_new ("(uu)", RUNNING, GATE));
  push_item (batch, g_variant_new ("(uu)", RUNNING, GATE));
  counter_wait (RUNNING, 1);
  wp_batch_cancel (batch);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_cmpuint (wp_result_get_worker_id (result), ==, i == 0 ? 0 : G_MAXUINT);
      g_assert_cmpuint (wp_result_get_n_retries (result), ==, 0);
      if (i == 1)
        assert_no_times (result);
    }
  join_pool (pool);
}

/* Workers that lie */

/* A RESULTS frame as the first chunk's worker sends it: a header, a head, the record of a number, and times. */
static guint
forge_results (guint64 *words, guint8 flags, guint n_times, guint64 started, guint64 elapsed)
{
  const guint8 start[8] = { 'W', 'P', 'F', 1, 4, flags };
  const guint8 record[8] = { 8, 0, 0, 0, 1, 0, 0, 't' };
  guint n = 0;

  memcpy (&words[n++], start, 8);
  words[n++] = 16;
  words[n++] = 16 + 16 * n_times;
  words[n++] = 1;
  words[n++] = G_GUINT64_CONSTANT (1) << 32;
  words[n++] = 0;
  memcpy (&words[n++], record, 8);
  words[n++] = 42;
  for (guint i = 0; i < n_times; i++)
    {
      words[n++] = started;
      words[n++] = elapsed;
    }
  for (guint i = 0; i < n; i++)
    if (i != 0 && i != 6)
      words[i] = GUINT64_TO_LE (words[i]);

  return n;
}

/* (yutt): sends forged results of this task, the first of its worker, and goes no further. */
static GVariant *
lie (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 words[16];
  guint64 started, elapsed;
  guint n_times;
  guint8 flags;

  g_variant_get (args, "(yutt)", &flags, &n_times, &started, &elapsed);
  write_to_channel ((guint8 *) words, 8 * forge_results (words, flags, n_times, started, elapsed));
  counter_wait (GATE, 1);

  return NULL;
}

static WpResult *
run_lie (gboolean enable_insights, guint8 flags, guint n_times, guint64 started, guint64 elapsed)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  WpResult *result;

  wp_worker_pool_set_enable_insights (pool, enable_insights);
  batch = start_batch (pool, "lie", options);
  push_item (batch, g_variant_new ("(yutt)", flags, n_times, started, elapsed));
  wp_batch_close (batch);
  result = next_result (batch);
  wp_worker_pool_terminate (pool);
  join_pool (pool);

  return result;
}

/* A result of another time counts, but not that time. */
static void
test_lies (void)
{
  static const guint64 numbers[] = { 0, 1, G_MAXINT64, (guint64) G_MININT64, G_MAXUINT64 };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    for (guint j = 0; j < G_N_ELEMENTS (numbers); j++)
      {
        const gint64 earliest = g_get_monotonic_time ();
        g_autoptr (WpResult) result = run_lie (TRUE, 8, 1, numbers[i], numbers[j]);

        g_assert_no_error (wp_result_get_error (result));
        g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, 42);
        g_assert_cmpint (wp_result_get_start_time (result), >=, earliest);
        g_assert_cmpint (wp_result_get_run_time (result), >=, 0);
        g_assert_cmpint (wp_result_get_start_time (result) + wp_result_get_run_time (result), <=,
                         g_get_monotonic_time ());
      }
}

static void
test_wrong_frames (void)
{
  static const struct
  {
    gboolean enable_insights;
    guint8 flags;
    guint n_times;
    const char *message;
  } wrong[] = {
    { FALSE, 8, 1, "sent results with times, which it was not asked for" },
    { TRUE, 0, 0, "sent results without their times" },
    { TRUE, 8, 0, "sent results that hold none" },
    { TRUE, 8, 2, "sent a malformed record" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_autoptr (WpResult) result =
          run_lie (wrong[i].enable_insights, wrong[i].flags, wrong[i].n_times, 0, 0);

      g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_PROTOCOL);
      assert_message (wp_result_get_error (result), wrong[i].message);
      assert_message (wp_result_get_error (result), "task 0 of “lie”");
    }
}

static const FaultTest tests[] = {
  { "/task-times/known/of-every-result", test_every_result },
  { "/task-times/known/over-pipes", test_pipes },
  { "/task-times/known/in-a-list", test_list },
  { "/task-times/known/of-large-results", test_large },
  { "/task-times/known/of-many-short-tasks", test_short },
  { "/task-times/unknown/without-insights", test_off },
  { "/task-times/unknown/of-what-never-ran", test_never },
  { "/task-times/dead-worker/as-far-as-known", test_death, TRUE },
  { "/task-times/dead-worker/retries-without-insights", test_death_off, TRUE },
  { "/task-times/timeout/as-long-as-it-ran", test_timeout, TRUE },
  { "/task-times/untrusted/are-held-to-what-can-be", test_lies, TRUE },
  { "/task-times/untrusted/wrong-frames-cost-their-worker", test_wrong_frames, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("watch-clock", watch_clock, NULL, NULL);
  wp_register_function ("lie", lie, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
