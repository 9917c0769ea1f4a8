/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A function that goes on with the next task instead of returning: nobody but the function may notice. */

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bulk.h"
#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test; "die" has the first, and from PID_COUNTER on they are the workers'. */
enum
{
  CALLS = 2,
  RUNNING,
  GATE,
  EXCHANGED,
  HOOKS,
};

/* What a task is told to do beside answering. */
enum
{
  NOTHING,
  FAIL,       /* with its index as the code */
  DIE,        /* the first time that it runs */
  STAY,       /* for ever the first time that it runs, unless it is cancelled */
  EMIT,
  TRY_THREAD, /* to exchange in another thread */
  TRY_FORK,   /* and in another process */
};

/* As bytes: the index, and what to do; then any others. */
typedef struct
{
  guint64 index;
  guint64 what;
} Order;

#define FAILURE g_quark_from_static_string ("wp-test-exchange")

static gpointer
exchange_elsewhere (gpointer context)
{
  GError *error = NULL;
  gsize length;

  g_assert_null (wp_task_context_exchange (context, (const guint8 *) "x", 1, &length, &error));
  return error;
}

static void
try_fork (WpTaskContext *context)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      GError *error = exchange_elsewhere (context);

      _exit (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED) ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

static void
try_thread (WpTaskContext *context)
{
  g_autoptr (GError) error = g_thread_join (g_thread_new ("other", exchange_elsewhere, context));

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
}

/* TRUE: the task fails. */
static gboolean
follow (WpTaskContext *context, const guint8 *bytes, gsize length)
{
  Order order;
  guint n_begun;

  g_assert_cmpuint (length, >=, sizeof order);
  memcpy (&order, bytes, sizeof order);
  g_assert_cmpuint (wp_task_context_get_task_index (context), ==, order.index);
  counter_set (PID_COUNTER + wp_task_context_get_worker_id (context), getpid ());
  n_begun = task_begin (order.index);

  if (order.what == DIE && n_begun == 1)
    die_by (SIGKILL);
  if (order.what == STAY && n_begun == 1)
    {
      counter_add (RUNNING, 1);
      yield_until (wp_task_context_is_cancelled (context) || counter_get (GATE) > 0);
    }
  if (order.what == EMIT)
    wp_task_context_emit (context, g_variant_new_uint64 (order.index), NULL);
  if (order.what == TRY_THREAD)
    try_thread (context);
  if (order.what == TRY_FORK)
    try_fork (context);

  task_end (order.index);

  return order.what == FAIL || wp_task_context_is_cancelled (context);
}

/* ay, an order → the same */
static GVariant *
relay (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree guint8 *bytes = NULL;
  gsize length;

  counter_add (CALLS, 1);
  if (!g_variant_is_of_type (args, G_VARIANT_TYPE_BYTESTRING) || g_variant_get_size (args) == 0)
    return g_variant_ref (args);

  bytes = g_memdup2 (g_variant_get_data (args), g_variant_get_size (args));
  length = g_variant_get_size (args);
  while (TRUE)
    {
      const gboolean fails = follow (context, bytes, length);
      g_autoptr (GError) exchange_error = NULL;
      guint8 *next;
      gsize next_length;

      if (fails)
        next = wp_task_context_exchange_error (context, "wp-test-exchange", 7, "as told", &next_length,
                                               &exchange_error);
      else
        next = wp_task_context_exchange (context, bytes, length, &next_length, &exchange_error);

      if (exchange_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&exchange_error));
          return NULL;
        }

      if (next == NULL)
        {
          g_assert_cmpuint (next_length, ==, 0);
          if (!fails)
            return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, length, 1);
          g_set_error_literal (error, FAILURE, 7, "as told");
          return NULL;
        }

      counter_add (EXCHANGED, 1);
      g_free (bytes);
      bytes = next;
      length = next_length;
    }
}

static GVariant *
hook (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GError) exchange_error = NULL;
  gsize length;

  g_assert_null (wp_task_context_exchange (context, NULL, 0, &length, &exchange_error));
  g_assert_error (exchange_error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  counter_add (HOOKS, 1);

  return NULL;
}

/* size: of the whole, at least that of the order. (floating) */
static GVariant *
make_order (guint64 index, guint64 what, gsize size)
{
  Order *order = g_malloc0 (MAX (size, sizeof *order));

  order->index = index;
  order->what = what;

  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, order, MAX (size, sizeof *order), TRUE, g_free, order);
}

typedef guint64 (*ChooseFunc) (guint64 index);

/* av: (floating) */
static GVariant *
make_orders (guint n, ChooseFunc choose)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));

  for (guint64 i = 0; i < n; i++)
    g_variant_builder_add_value (&builder,
                                 g_variant_new_variant (make_order (i, choose (i), sizeof (Order) + i % 100)));
  return g_variant_builder_end (&builder);
}

static guint64
choose_nothing (guint64 index)
{
  return NOTHING;
}

static guint64
choose_failures (guint64 index)
{
  return index % 3 == 1 ? FAIL : NOTHING;
}

static guint64
choose_deaths (guint64 index)
{
  return index % 97 == 50 ? DIE : NOTHING;
}

static guint64
choose_tries (guint64 index)
{
  return index % 10 == 3 ? TRY_THREAD : index % 10 == 7 ? TRY_FORK : NOTHING;
}

static guint64
choose_events (guint64 index)
{
  return EMIT;
}

static guint64
choose_one_stay (guint64 index)
{
  return index == 20 ? STAY : NOTHING;
}

/* Runs them in chunks, and checks that each comes back once, in order. */
static void
run_orders (WpWorkerPool *pool, WpTaskOptions *options, guint n, ChooseFunc choose)
{
  g_autoptr (WpBatch) batch = start_batch (pool, "relay", options);
  g_autoptr (GVariant) items = g_variant_ref_sink (make_orders (n, choose));
  g_auto (Block) block = { NULL };
  guint n_pushed = 0;
  guint n_taken = 0;

  while (n_taken < n)
    {
      g_autoptr (GError) error = NULL;

      n_pushed += wp_batch_push_items (batch, items, n_pushed, &error);
      g_assert_no_error (error);
      g_assert_true (take_block (batch, G_MAXUINT, &block));
      while (block_read (&block))
        {
          g_autoptr (GVariant) value = block_get_value (&block);
          g_autoptr (GVariant) expected = g_variant_ref_sink (make_order (n_taken, choose (n_taken),
                                                                          sizeof (Order) + n_taken % 100));

          g_assert_cmpuint (block.index, ==, n_taken);
          if (choose (n_taken) == FAIL)
            block_assert_error (&block, FAILURE, 7);
          else
            g_assert_true (g_variant_equal (value, expected));
          n_taken++;
        }
    }
  wp_batch_close (batch);
  g_assert_false (take_block (batch, 1, &block));
}

static void
assert_begun_once (guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpuint (task_get_n_begun (i), ==, 1);
      g_assert_cmpuint (task_get_n_ended (i), ==, 1);
    }
}

static void
test_results (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  run_orders (pool, NULL, 20000, choose_nothing);
  join_pool (pool);
  assert_begun_once (20000);
  g_assert_cmpuint (counter_get (EXCHANGED), >, 10000);
  g_assert_cmpuint (counter_get (EXCHANGED) + counter_get (CALLS), ==, 20000);
}

static void
test_errors (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (64, 0, WP_ON_ERROR_CONTINUE);

  run_orders (pool, options, 5000, choose_failures);
  join_pool (pool);
  assert_begun_once (5000);
  g_assert_cmpuint (counter_get (EXCHANGED), >, 2500);
}

/* A channel without a board. */
static void
test_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (2);
  g_autoptr (WpTaskOptions) options = make_options (16, 0, WP_ON_ERROR_CONTINUE);

  run_orders (pool, options, 1000, choose_failures);
  join_pool (pool);
  assert_begun_once (1000);
  g_assert_cmpuint (counter_get (EXCHANGED), >, 500);
}

static void
test_insights (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) items = g_variant_ref_sink (make_orders (200, choose_nothing));
  gint64 before = 0;

  wp_worker_pool_set_enable_insights (pool, TRUE);
  wp_worker_pool_set_n_jobs (pool, 1);
  batch = start_batch (pool, "relay", NULL);
  for (guint n = 0; n < 200;)
    {
      g_auto (Block) block = { NULL };

      n += wp_batch_push_items (batch, items, n, NULL);
      if (n == 200)
        wp_batch_close (batch);
      while (wp_batch_get_n_completed (batch) < n)
        {
          g_assert_true (take_block (batch, G_MAXUINT, &block));
          while (block_read (&block))
            {
              /* One after the other. */
              g_assert_cmpint (block.started, >=, before);
              before = block.started + block.elapsed;
            }
        }
    }
  g_assert_cmpint (before, >, 0);
  join_pool (pool);
}

/* What was committed is not run again, and what had not begun is lost by nobody. */
static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (32, 1, WP_ON_ERROR_CONTINUE);

  run_orders (pool, options, 2000, choose_deaths);
  join_pool (pool);
  for (guint i = 0; i < 2000; i++)
    {
      g_assert_cmpuint (task_get_n_begun (i), ==, choose_deaths (i) == DIE ? 2 : 1);
      g_assert_cmpuint (task_get_n_ended (i), ==, 1);
    }
}

/* Sixty times, whichever worker has begun a task since the last time. */
static gpointer
kill_workers (gpointer done)
{
  guint n_killed = 0;

  for (guint i = 0; n_killed < 60 && !g_atomic_int_get ((gboolean *) done); i++)
    {
      const guint pid = counter_get (PID_COUNTER + i % 2);

      if (pid > 0)
        {
          counter_set (PID_COUNTER + i % 2, 0);
          kill ((pid_t) pid, SIGKILL);
          n_killed++;
        }
      g_thread_yield ();
    }
  return GUINT_TO_POINTER (n_killed);
}

/* Killed anywhere, also between the claim of a task and the result of the one before. */
static void
test_random_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (200, 1000, WP_ON_ERROR_CONTINUE);
  gboolean done = FALSE;
  GThread *killer = g_thread_new ("killer", kill_workers, &done);

  run_orders (pool, options, 30000, choose_nothing);
  g_atomic_int_set (&done, TRUE);
  g_assert_cmpuint (GPOINTER_TO_UINT (g_thread_join (killer)), >, 10);
  join_pool (pool);
  for (guint i = 0; i < 30000; i++)
    g_assert_cmpuint (task_get_n_begun (i), >=, 1);
}

/* It ends with the task, and the next ones with another worker. */
static void
test_time_limit (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (50, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) items = g_variant_ref_sink (make_orders (50, choose_one_stay));
  g_auto (Block) block = { NULL };
  guint n = 0;

  wp_worker_pool_set_grace_period (pool, 10);
  wp_task_options_set_task_timeout (options, 200);
  batch = start_batch (pool, "relay", options);
  g_assert_cmpuint (wp_batch_push_items (batch, items, 0, NULL), ==, 50);
  wp_batch_close (batch);
  while (take_block (batch, G_MAXUINT, &block))
    while (block_read (&block))
      {
        g_assert_cmpuint (block.index, ==, n);
        if (n == 20)
          block_assert_error (&block, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
        else
          g_assert_cmpuint (block.kind, ==, 0);
        n++;
      }
  g_assert_cmpuint (n, ==, 50);
  join_pool (pool);
}

static void
test_cancel (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (50, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "relay", options);
  g_autoptr (GVariant) items = g_variant_ref_sink (make_orders (50, choose_one_stay));
  g_auto (Block) block = { NULL };
  guint n = 0;

  g_assert_cmpuint (wp_batch_push_items (batch, items, 0, NULL), ==, 50);
  counter_wait (RUNNING, 1);
  wp_batch_cancel (batch);
  while (take_block (batch, G_MAXUINT, &block))
    while (block_read (&block))
      {
        if (n >= 20)
          block_assert_error (&block, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        n++;
      }
  g_assert_cmpuint (n, ==, 50);
  /* Nothing after the one that was told. */
  g_assert_cmpuint (task_get_n_begun (21), ==, 0);
  join_pool (pool);
}

static void
test_lifespan (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  wp_worker_pool_set_worker_lifespan (pool, 7);
  run_orders (pool, NULL, 70, choose_nothing);
  join_pool (pool);
  assert_begun_once (70);
  g_assert_cmpuint (counter_get (CALLS), >=, 10);
}

/* What is no small byte array is what the function is called with. */
static void
test_other_arguments (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (60, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "relay", options);
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));
  g_autoptr (GVariant) items = NULL;

  for (guint64 i = 0; i < 60; i++)
    {
      if (i % 6 == 1)
        g_variant_builder_add (&builder, "v", g_variant_new_string ("text"));
      else if (i % 6 == 2)
        g_variant_builder_add (&builder, "v", g_variant_new_array (G_VARIANT_TYPE_BYTE, NULL, 0));
      else
        g_variant_builder_add (&builder, "v", make_order (i, NOTHING, i % 6 == 3 ? 64 * 1024 : 0));
    }
  items = g_variant_ref_sink (g_variant_builder_end (&builder));
  g_assert_cmpuint (wp_batch_push_items (batch, items, 0, NULL), ==, 60);
  wp_batch_close (batch);
  for (guint i = 0; i < 60; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      g_autoptr (GVariant) item = g_variant_get_child_value (items, i);
      g_autoptr (GVariant) value = g_variant_get_variant (item);

      g_assert_true (g_variant_equal (wp_result_get_value (result), value));
    }
  /* Of each six the first, the three others, and what follows them. */
  g_assert_cmpuint (counter_get (EXCHANGED) + counter_get (CALLS), ==, 60);
  g_assert_cmpuint (counter_get (EXCHANGED), >, 0);
  g_assert_cmpuint (counter_get (CALLS), >=, 30);
  join_pool (pool);
}

static void
test_elsewhere (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (20, 0, WP_ON_ERROR_STOP);

  wp_worker_pool_set_worker_init (pool, "hook");
  wp_worker_pool_set_worker_exit (pool, "hook");
  run_orders (pool, options, 60, choose_tries);
  join_pool (pool);
  g_assert_cmpuint (counter_get (HOOKS), ==, 2);
}

static void
on_event (guint64 index, GVariant *value, gpointer n)
{
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, index);
  (*(guint *) n)++;
}

static void
test_events (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (100, 0, WP_ON_ERROR_STOP);
  guint n = 0;

  wp_task_options_set_event_callback (options, on_event, &n, NULL);
  run_orders (pool, options, 3000, choose_events);
  g_assert_cmpuint (n, ==, 3000);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/exchange/results", test_results },
  { "/exchange/errors", test_errors },
  { "/exchange/over-pipes", test_pipes, TRUE },
  { "/exchange/times-follow-each-other", test_insights },
  { "/exchange/deaths", test_deaths, TRUE },
  { "/exchange/random-deaths", test_random_deaths, TRUE },
  { "/exchange/time-limit", test_time_limit, TRUE },
  { "/exchange/cancel", test_cancel },
  { "/exchange/lifespan", test_lifespan },
  { "/exchange/other-arguments", test_other_arguments },
  { "/exchange/elsewhere-is-refused", test_elsewhere, TRUE },
  { "/exchange/events", test_events },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("relay", relay, NULL, NULL);
  wp_register_function ("hook", hook, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
