/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tasks emit reaches whoever called, in order, in bounded memory, and stops nobody. */

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
  EMITTED,   /* events that a task has emitted */
  TAKEN,     /* events that their receiver has got */
  MOST,      /* that a task has seen between the two */
  CANCELLED, /* calls of emit that ended so */
};

/* As documented. */
#define WINDOW 128

#define GRACE_MS 600000
#define N_MANY 100000

/* The tasks */

/* (tu): the index of a task, and how many events it emits, (tu): the index and a number → t, the index. */
static GVariant *
count (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;
  guint n;

  g_variant_get (args, "(tu)", &index, &n);
  for (guint i = 0; i < n; i++)
    if (!wp_task_context_emit (context, g_variant_new ("(tu)", index, i), error))
      return NULL;

  return g_variant_new_uint64 (index);
}

/* u: how many events it emits, u: a number. Notes how far it is ahead. */
static GVariant *
flood (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint n = g_variant_get_uint32 (args);

  counter_add (RUNNING, 1);
  for (guint i = 0; i < n; i++)
    {
      guint ahead;

      if (!wp_task_context_emit (context, g_variant_new_uint32 (i), error))
        {
          if (g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            counter_add (CANCELLED, 1);
          return NULL;
        }

      ahead = counter_add (EMITTED, 1) - counter_get (TAKEN);
      if (ahead < G_MAXINT && ahead > counter_get (MOST))
        counter_set (MOST, ahead);
    }

  return g_variant_new_uint32 (n);
}

/* (tu): as "count", but every fifth kills its worker in the middle of its first run. */
static GVariant *
count_and_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;
  guint n;

  g_variant_get (args, "(tu)", &index, &n);
  for (guint i = 0; i < n; i++)
    {
      if (i == n / 2 && index % 5 == 2 && task_begin (index) == 1)
        raise (SIGKILL);
      if (!wp_task_context_emit (context, g_variant_new ("(tu)", index, i), error))
        return NULL;
    }
  task_end (index);

  return g_variant_new_uint64 (index);
}

/* Receivers */

/* Of the events of "count": each task's come in order, and before its result. */
typedef struct
{
  guint *n_events; /* by task */
  guint n_tasks;
  guint n_each;
  guint n_results;
  gboolean may_repeat;
  GThread *thread;
  gboolean finished;
} Counts;

static Counts *
counts_new (guint n_tasks, guint n_each)
{
  Counts *self = g_new0 (Counts, 1);

  self->n_events = g_new0 (guint, n_tasks);
  self->n_tasks = n_tasks;
  self->n_each = n_each;
  self->thread = g_thread_self ();
  return self;
}

static void
counts_free (Counts *self)
{
  g_free (self->n_events);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Counts, counts_free)

static void
on_counted (guint64 index, GVariant *value, gpointer data)
{
  Counts *self = data;
  guint64 emitter;
  guint number;

  g_assert_true (self->thread == g_thread_self ());
  g_assert_cmpuint (index, <, self->n_tasks);
  g_variant_get (value, "(tu)", &emitter, &number);
  g_assert_cmpuint (emitter, ==, index);
  if (self->may_repeat && number == 0)
    self->n_events[index] = 0;
  g_assert_cmpuint (number, ==, self->n_events[index]);
  self->n_events[index]++;
}

static void
on_event (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  on_counted (index, value, data);
}

static void
assert_complete (Counts *self, guint64 index)
{
  g_assert_cmpuint (self->n_events[index], ==, self->n_each);
  self->n_results++;
}

static void
on_result (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, index);
  assert_complete (data, index);
}

static void
on_finished (WpBatch *batch, gpointer data)
{
  ((Counts *) data)->finished = TRUE;
}

static WpBatch *
start_counting (WpWorkerPool *pool, const char *function, WpTaskOptions *options, Counts *counts)
{
  WpBatch *batch = start_batch (pool, function, options);

  g_signal_connect (batch, "event", G_CALLBACK (on_event), counts);
  for (guint64 i = 0; i < counts->n_tasks; i++)
    push_item (batch, g_variant_new ("(tu)", i, counts->n_each));
  wp_batch_close (batch);

  return batch;
}

/* Of those of "flood". */
static void
on_flood (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  guint *n = data;

  if (n != NULL)
    g_assert_cmpuint (g_variant_get_uint32 (value), ==, (*n)++);
  counter_add (TAKEN, 1);
}

static WpBatch *
start_flood (WpWorkerPool *pool, guint n, guint *n_taken)
{
  WpBatch *batch = start_batch (pool, "flood", NULL);

  g_signal_connect (batch, "event", G_CALLBACK (on_flood), n_taken);
  push_item (batch, g_variant_new_uint32 (n));

  return batch;
}

/* Where they go */

static void
check_batch (WpWorkerPool *pool)
{
  g_autoptr (WpTaskOptions) options = make_options (7, 0, WP_ON_ERROR_STOP);
  g_autoptr (Counts) counts = counts_new (100, 50);
  g_autoptr (WpBatch) batch = start_counting (pool, "count", options, counts);

  g_signal_connect (batch, "result", G_CALLBACK (on_result), counts);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), counts);
  iterate_until (&counts->finished);
  g_assert_cmpuint (counts->n_results, ==, 100);
  join_pool (pool);
}

static void
test_batch (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  check_batch (pool);
}

static void
test_batch_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (2);

  check_batch (pool);
}

static void
test_next (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (Counts) counts = counts_new (40, 500);
  g_autoptr (WpBatch) batch = start_counting (pool, "count", NULL, counts);

  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      assert_complete (counts, wp_result_get_index (result));
    }
  join_pool (pool);
}

static void
on_next (GObject *source, GAsyncResult *async_result, gpointer data)
{
  g_autoptr (WpResult) result = wp_batch_next_finish (WP_BATCH (source), async_result, NULL);
  Counts *counts = data;

  if (result == NULL)
    {
      counts->finished = TRUE;
      return;
    }
  assert_complete (counts, wp_result_get_index (result));
  wp_batch_next_async (WP_BATCH (source), NULL, on_next, data);
}

static void
test_next_async (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (Counts) counts = counts_new (40, 500);
  g_autoptr (WpBatch) batch = start_counting (pool, "count", NULL, counts);

  wp_batch_next_async (batch, NULL, on_next, counts);
  iterate_until (&counts->finished);
  g_assert_cmpuint (counts->n_results, ==, 40);
  join_pool (pool);
}

static void
on_destroyed (gpointer data)
{
  ((Counts *) data)->finished = TRUE;
}

static GVariant *
make_count_items (guint n_tasks, guint n_each)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tu)"));

  for (guint64 i = 0; i < n_tasks; i++)
    g_variant_builder_add (&builder, "(tu)", i, n_each);
  return g_variant_builder_end (&builder);
}

/* In the thread of the call, without a main context. */
static void
test_synchronous (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (Counts) counts = counts_new (50, 300);
  g_autoptr (GVariant) applied = NULL;
  g_autoptr (GVariant) mapped = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_event_callback (options, on_counted, counts, on_destroyed);
  applied = wp_worker_pool_apply (pool, "count", g_variant_new ("(tu)", G_GUINT64_CONSTANT (0), 300), options, NULL,
                                  &error);
  g_assert_no_error (error);
  assert_complete (counts, 0);

  counts->n_events[0] = 0;
  mapped = wp_worker_pool_map (pool, "count", make_count_items (50, 300), options, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 50; i++)
    assert_complete (counts, i);
  g_assert_false (counts->finished);
  g_clear_object (&options);
  g_assert_true (counts->finished);
  join_pool (pool);
}

static void
on_all_counted (GObject *source, GAsyncResult *result, gpointer data)
{
  Counts *counts = data;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  if (counts->n_tasks == 1)
    value = wp_worker_pool_apply_finish (WP_WORKER_POOL (source), result, &error);
  else
    value = wp_worker_pool_map_finish (WP_WORKER_POOL (source), result, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < counts->n_tasks; i++)
    assert_complete (counts, i);
  counts->finished = TRUE;
}

static void
test_asynchronous (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  for (guint round = 0; round < 2; round++)
    {
      g_autoptr (WpTaskOptions) options = wp_task_options_new ();
      const guint n_tasks = round == 0 ? 1 : 30;
      g_autoptr (Counts) counts = counts_new (n_tasks, 300);

      wp_task_options_set_event_callback (options, on_counted, counts, NULL);
      if (round == 0)
        wp_worker_pool_apply_async (pool, "count", g_variant_new ("(tu)", G_GUINT64_CONSTANT (0), 300), options, NULL,
                                    on_all_counted, counts);
      else
        wp_worker_pool_map_async (pool, "count", make_count_items (n_tasks, 300), options, NULL, on_all_counted,
                                  counts);
      /* Options are read when the call is made. */
      wp_task_options_set_event_callback (options, NULL, NULL, NULL);
      iterate_until (&counts->finished);
    }
  join_pool (pool);
}

static void
test_nobody (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "flood", g_variant_new_uint32 (N_MANY), NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (counter_get (EMITTED), ==, N_MANY);
  join_pool (pool);
}

/* Bounds */

static void
on_slow_flood (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  const gint64 end = g_get_monotonic_time () + 5;

  while (g_get_monotonic_time () < end)
    ;
  on_flood (batch, index, value, data);
}

static void
check_slow (WpWorkerPool *pool, guint n)
{
  g_autoptr (WpBatch) batch = start_batch (pool, "flood", NULL);
  guint n_taken = 0;

  g_signal_connect (batch, "event", G_CALLBACK (on_slow_flood), &n_taken);
  push_item (batch, g_variant_new_uint32 (n));
  iterate_context_until (NULL, n_taken >= n);

  g_test_message ("at most %u events were in flight", counter_get (MOST));
  /* One is with its handler. */
  g_assert_cmpuint (counter_get (MOST), <=, WINDOW + 1);
  g_assert_cmpuint (counter_get (MOST), >=, WINDOW / 2);
  g_clear_object (&batch);
  join_pool (pool);
}

static void
test_slow (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  check_slow (pool, N_MANY);
}

static void
test_slow_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (1);

  check_slow (pool, N_MANY / 10);
}

/* A task waits for its receiver, not for that of another batch. */
static void
test_apart (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GMainContext) other = g_main_context_new ();
  g_autoptr (WpBatch) stuck = NULL;
  g_autoptr (WpBatch) batch = NULL;
  guint n_taken = 0;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  g_main_context_push_thread_default (other);
  stuck = start_batch (pool, "flood", NULL);
  g_main_context_pop_thread_default (other);
  g_signal_connect (stuck, "event", G_CALLBACK (on_flood), NULL);
  for (guint i = 0; i < 20; i++)
    push_item (stuck, g_variant_new_uint32 (WINDOW / 4));
  /* Both workers have sent all that they may. */
  counter_wait (EMITTED, 2 * WINDOW);
  wp_batch_cancel (stuck);

  batch = start_flood (pool, 10 * WINDOW, &n_taken);
  iterate_context_until (NULL, n_taken >= 10 * WINDOW);

  g_clear_object (&batch);
  g_clear_object (&stuck);
  join_pool (pool);
}

/* Nobody can take them */

static void
on_never (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  counter_add (TAKEN, 1);
}

static WpBatch *
start_unheard_flood (WpWorkerPool *pool)
{
  WpBatch *batch = start_batch (pool, "flood", NULL);

  g_signal_connect (batch, "event", G_CALLBACK (on_never), NULL);
  push_item (batch, g_variant_new_uint32 (10 * WINDOW));
  counter_wait (EMITTED, WINDOW);

  return batch;
}

static void
test_join (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch G_GNUC_UNUSED = start_unheard_flood (pool);

  expect_end ("joining a pool in the thread that should take its events");
  join_pool (pool);
  expect_end (NULL);
  g_assert_cmpuint (counter_get (EMITTED), ==, 10 * WINDOW);
  g_assert_cmpuint (counter_get (TAKEN), ==, 0);

  /* The first of them have been kept: a window for each worker, and what came last. */
  iterate_pending ();
  g_assert_cmpuint (counter_get (TAKEN), >=, 1);
  g_assert_cmpuint (counter_get (TAKEN), <=, 3 * WINDOW);
}

static void
test_apply_beside (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_unheard_flood (pool);

  expect_end ("an apply in the thread that should take the events of the only worker");
  apply_pid (pool);
  expect_end (NULL);
  g_clear_object (&batch);
  join_pool (pool);
}

static void
on_event_join (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  if (counter_add (TAKEN, 1) == 1)
    join_pool (data);
}

static void
test_join_in_handler (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "flood", NULL);

  expect_end ("joining a pool in a handler of its events");
  g_signal_connect (batch, "event", G_CALLBACK (on_event_join), pool);
  push_item (batch, g_variant_new_uint32 (10 * WINDOW));
  iterate_context_until (NULL, counter_get (TAKEN) != 0);
  expect_end (NULL);
  g_assert_cmpuint (counter_get (EMITTED), ==, 10 * WINDOW);
}

static gpointer
join_elsewhere (gpointer data)
{
  join_pool (data);
  return NULL;
}

/* The main context is not iterated any more, and who joins does not know. */
static void
test_join_elsewhere (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch G_GNUC_UNUSED = start_unheard_flood (pool);
  GThread *thread;

  expect_end ("joining a pool whose events nobody takes");
  thread = g_thread_new ("joins", join_elsewhere, pool);
  g_thread_join (thread);
  expect_end (NULL);
}

static void
test_dropped_batch (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  WpBatch *batch;

  wp_worker_pool_set_grace_period (pool, GRACE_MS);
  batch = start_unheard_flood (pool);
  expect_end ("a pool whose batch was dropped while its task waited");
  g_object_unref (batch);
  apply_pid (pool);
  join_pool (pool);
  expect_end (NULL);
}

/* The wait ends */

static void
check_cancel (WpWorkerPool *pool)
{
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (WpResult) result = NULL;
  int pid;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_grace_period (pool, GRACE_MS);
  pid = apply_pid (pool);
  batch = start_unheard_flood (pool);
  expect_end ("a task that is cancelled while it waits to emit");
  wp_batch_cancel (batch);
  counter_wait (CANCELLED, 1);
  result = next_result (batch);
  g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (apply_pid (pool), ==, pid);
  join_pool (pool);
  expect_end (NULL);
}

static void
test_cancel (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  check_cancel (pool);
}

static void
test_cancel_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (1);

  check_cancel (pool);
}

static void
test_terminate (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = NULL;

  wp_worker_pool_set_grace_period (pool, GRACE_MS);
  batch = start_unheard_flood (pool);
  expect_end ("terminating a pool while a task waits to emit");
  wp_worker_pool_terminate (pool);
  join_pool (pool);
  expect_end (NULL);
}

/* Deaths */

static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (4, 1, WP_ON_ERROR_STOP);
  g_autoptr (Counts) counts = counts_new (50, 40);
  g_autoptr (WpBatch) batch = NULL;

  counts->may_repeat = TRUE;
  batch = start_counting (pool, "count-and-die", options, counts);
  g_signal_connect (batch, "result", G_CALLBACK (on_result), counts);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), counts);
  iterate_until (&counts->finished);
  g_assert_cmpuint (counts->n_results, ==, 50);
  for (guint64 i = 0; i < 50; i++)
    g_assert_cmpuint (task_get_n_ended (i), ==, 1);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/events/order/before-the-result", test_batch },
  { "/events/order/before-the-result-over-pipes", test_batch_over_pipes },
  { "/events/order/before-a-result-that-is-pulled", test_next_async },
  { "/events/where/next-emits-them", test_next },
  { "/events/where/synchronous-calls-take-them", test_synchronous },
  { "/events/where/in-the-context-of-the-call", test_asynchronous },
  { "/events/where/nobody-listens", test_nobody },
  { "/events/slow-receiver/bounds-what-is-in-flight", test_slow },
  { "/events/slow-receiver/bounds-what-is-in-flight-over-pipes", test_slow_over_pipes },
  { "/events/slow-receiver/slows-no-other-batch", test_apart },
  { "/events/no-receiver/join-ends", test_join },
  { "/events/no-receiver/other-tasks-run", test_apply_beside },
  { "/events/no-receiver/join-in-a-handler-ends", test_join_in_handler },
  { "/events/no-receiver/join-in-another-thread-ends", test_join_elsewhere },
  { "/events/no-receiver/dropped-batch-ends", test_dropped_batch },
  { "/events/waiting/ends-at-a-cancellation", test_cancel },
  { "/events/waiting/ends-at-a-cancellation-over-pipes", test_cancel_over_pipes },
  { "/events/waiting/ends-with-the-pool", test_terminate },
  { "/events/deaths/each-result-once", test_deaths, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("count", count, NULL, NULL);
  wp_register_function ("flood", flood, NULL, NULL);
  wp_register_function ("count-and-die", count_and_die, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
