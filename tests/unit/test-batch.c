/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A batch as its users see it: results that are pulled or flow, in order or as they come, never more than wanted. */

#include <math.h>
#include <string.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
  PUSHED,
  TAKEN,
  MOST,
};

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

/* t: the first task waits for the gate, the others end at once */
static GVariant *
hold_first (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  if (g_variant_get_uint64 (args) == 0)
    {
      counter_add (RUNNING, 1);
      counter_wait (GATE, 1);
    }
  return g_variant_ref (args);
}

/* Notes how many tasks are between their push and their result. */
static GVariant *
watch_flow (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  /* In this order it is never more than there were, however long this process sleeps in between. */
  gint64 n_pushed = counter_get (PUSHED);
  gint64 n_active = n_pushed - counter_get (TAKEN);

  if (n_active > counter_get (MOST))
    counter_set (MOST, (guint) n_active);
  return g_variant_ref (args);
}

static WpTaskOptions *
make_window (guint max_active_tasks)
{
  WpTaskOptions *options = wp_task_options_new ();

  wp_task_options_set_max_active_tasks (options, max_active_tasks);
  return options;
}

static void
push_indices (WpBatch *batch, guint64 n)
{
  for (guint64 i = 0; i < n; i++)
    push_item (batch, g_variant_new_uint64 (i));
}

/* Order */

static void
test_ordered (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (500);
  g_autoptr (WpBatch) batch = NULL;

  wp_task_options_set_chunk_size (options, 1);
  batch = start_batch (pool, "hold-first", options);
  push_indices (batch, 500);
  wp_batch_close (batch);
  /* All but the first have ended before the first result can be had. */
  yield_until (wp_batch_get_n_completed (batch) == 499);
  counter_set (GATE, 1);
  for (guint64 i = 0; i < 500; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
    }
  g_assert_null (next_result (batch));
  g_assert_null (next_result (batch));
  join_pool (pool);
}

static void
test_unordered (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (500);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (WpResult) last = NULL;
  guint8 seen[500] = { 0 };

  wp_task_options_set_chunk_size (options, 1);
  wp_task_options_set_ordered (options, FALSE);
  batch = start_batch (pool, "hold-first", options);
  push_indices (batch, 500);
  wp_batch_close (batch);
  for (guint i = 0; i < 499; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);
      guint64 index = wp_result_get_index (result);

      g_assert_cmpuint (index, >, 0);
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, index);
      g_assert_cmpuint (seen[index]++, ==, 0);
    }
  counter_set (GATE, 1);
  last = next_result (batch);
  g_assert_cmpuint (wp_result_get_index (last), ==, 0);
  g_assert_null (next_result (batch));
  join_pool (pool);
}

/* Flow */

typedef struct
{
  guint64 n;
  guint64 n_failed;
  gboolean finished;
  guint depth;
  guint deepest;
} Flow;

static void
on_result (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  Flow *flow = data;

  g_assert_false (flow->finished);
  g_assert_cmpuint (index, ==, flow->n);
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, index);
  flow->n++;
}

static void
on_failed (WpBatch *batch, guint64 index, const GError *error, gpointer data)
{
  Flow *flow = data;

  g_assert_false (flow->finished);
  g_assert_cmpuint (index, ==, flow->n);
  g_assert_nonnull (error);
  flow->n++;
  flow->n_failed++;
}

static void
on_finished (WpBatch *batch, gpointer data)
{
  Flow *flow = data;

  g_assert_false (flow->finished);
  flow->finished = TRUE;
}

static void
flow_connect (Flow *flow, WpBatch *batch)
{
  g_signal_connect (batch, "result", G_CALLBACK (on_result), flow);
  g_signal_connect (batch, "failed", G_CALLBACK (on_failed), flow);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), flow);
}

static void
test_signals (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (3000);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", options);
  Flow flow = { 0 };

  flow_connect (&flow, batch);
  push_indices (batch, 3000);
  wp_batch_close (batch);
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, 3000);
  g_assert_cmpuint (flow.n_failed, ==, 0);
  join_pool (pool);
}

static void
test_empty (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpBatch) flowing = start_batch (pool, "echo", NULL);
  g_autoptr (WpBatch) pulled = start_batch (pool, "echo", NULL);
  Flow flow = { 0 };

  flow_connect (&flow, flowing);
  wp_batch_close (flowing);
  wp_batch_close (pulled);
  wp_batch_close (pulled);
  g_assert_null (next_result (pulled));
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, 0);
  g_assert_cmpfloat (wp_batch_get_fraction (flowing), ==, 1);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
  join_pool (pool);
}

static void
on_failed_results (WpBatch *batch, guint64 index, const GError *error, gpointer data)
{
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
  on_failed (batch, index, error, data);
}

static void
test_failures_flow (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (100);
  g_autoptr (WpBatch) batch = NULL;
  Flow flow = { 0 };

  wp_task_options_set_on_error (options, WP_ON_ERROR_CONTINUE);
  batch = start_batch (pool, "fail", options);
  g_signal_connect (batch, "failed", G_CALLBACK (on_failed_results), &flow);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), &flow);
  push_indices (batch, 100);
  wp_batch_close (batch);
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n_failed, ==, 100);
  g_assert_cmpuint (wp_batch_get_n_failed (batch), ==, 100);
  g_assert_cmpuint (wp_batch_get_n_completed (batch), ==, 100);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_FINISHED);
  join_pool (pool);
}

/* The first failure ends the batch, and every task still ends. */
static void
test_stop_cancels_the_rest (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpTaskOptions) options = make_window (100);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_chunk_size (options, 1);
  batch = start_batch (pool, "fail", options);
  push_indices (batch, 100);
  for (guint64 i = 0; i < 100; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      if (i == 0)
        g_assert_error (wp_result_get_error (result), G_FILE_ERROR, G_FILE_ERROR_ISDIR);
      else
        g_assert_nonnull (wp_result_get_error (result));
      if (i == 99)
        g_assert_error (wp_result_get_error (result), G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_assert_null (next_result (batch));
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_CANCELLED);
  g_assert_false (wp_batch_push (batch, g_variant_new_uint64 (0), &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  join_pool (pool);
}

static void
on_result_nest (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  Flow *flow = data;

  on_result (batch, index, value, data);
  flow->depth++;
  flow->deepest = MAX (flow->deepest, flow->depth);
  if (index % 10 == 3 && flow->depth < 5)
    for (guint i = 0; i < 3; i++)
      g_main_context_iteration (NULL, FALSE);
  flow->depth--;
}

static void
test_nested_loop_in_handler (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (2000);
  g_autoptr (WpBatch) batch = NULL;
  Flow flow = { 0 };

  wp_task_options_set_chunk_size (options, 7);
  batch = start_batch (pool, "work", options);
  g_signal_connect (batch, "result", G_CALLBACK (on_result_nest), &flow);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), &flow);
  push_indices (batch, 2000);
  wp_batch_close (batch);
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, 2000);
  join_pool (pool);
}

/* Its handler lets go of the batch. */
static void
on_result_drop (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  WpBatch **held = data;

  if (*held != NULL)
    g_object_unref (g_steal_pointer (held));
}

static void
test_dropped_by_its_handler (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  WpBatch *batch = start_batch (pool, "record", NULL);
  WpBatch *weak = batch;
  gboolean gone = FALSE;

  g_object_add_weak_pointer (G_OBJECT (batch), (gpointer *) &weak);
  g_signal_connect (batch, "result", G_CALLBACK (on_result_drop), &batch);
  push_indices (batch, 50);
  while (!gone)
    {
      g_main_context_iteration (NULL, TRUE);
      gone = weak == NULL;
    }
  join_pool (pool);
}

/* Pull */

static void
test_first_pull_decides (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  Flow flow = { 0 };

  push_indices (batch, 20);
  wp_batch_close (batch);
  for (guint64 i = 0; i < 20; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      if (i == 0)
        flow_connect (&flow, batch);
    }
  g_assert_null (next_result (batch));
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, 0);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  join_pool (pool);
}

static void
test_list_is_not_pulled (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  g_assert_null (wp_batch_next (batch, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  join_pool (pool);
}

typedef struct
{
  WpBatch *batch;
  guint8 *seen; /* atomic */
  int n;        /* atomic */
} Shared;

static gpointer
take_results (gpointer data)
{
  Shared *shared = data;

  for (;;)
    {
      g_autoptr (WpResult) result = next_result (shared->batch);

      if (result == NULL)
        return NULL;
      g_assert_cmpuint (__atomic_fetch_add (&shared->seen[wp_result_get_index (result)], 1, __ATOMIC_SEQ_CST), ==, 0);
      g_atomic_int_inc (&shared->n);
    }
}

static void
test_next_from_threads (void)
{
  const guint n = 5000;
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autofree guint8 *seen = g_new0 (guint8, n);
  Shared shared = { batch, seen, 0 };
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("taker", take_results, &shared);
  for (guint64 i = 0; i < n; i++)
    {
      yield_until (wp_batch_get_room (batch) > 0);
      push_item (batch, g_variant_new_uint64 (i));
    }
  wp_batch_close (batch);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (shared.n, ==, n);
  join_pool (pool);
}

static void
on_next (GObject *source, GAsyncResult *result, gpointer data)
{
  Flow *flow = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (WpResult) next = wp_batch_next_finish (WP_BATCH (source), result, &error);

  g_assert_no_error (error);
  if (next == NULL)
    {
      flow->finished = TRUE;
      return;
    }
  g_assert_cmpuint (wp_result_get_index (next), ==, flow->n++);
  wp_batch_next_async (WP_BATCH (source), NULL, on_next, flow);
}

static void
test_next_async (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (1000);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", options);
  Flow flow = { 0 };

  wp_batch_next_async (batch, NULL, on_next, &flow);
  push_indices (batch, 1000);
  wp_batch_close (batch);
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, 1000);
  join_pool (pool);
}

/* The list */

typedef struct
{
  GPtrArray *mirror;
  gboolean finished;
} Mirror;

static void
on_items_changed (GListModel *model, guint position, guint removed, guint added, gpointer data)
{
  Mirror *mirror = data;

  g_assert_cmpuint (position, ==, mirror->mirror->len);
  g_assert_cmpuint (removed, ==, 0);
  g_assert_cmpuint (added, >, 0);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, position + added);
  for (guint i = 0; i < added; i++)
    g_ptr_array_add (mirror->mirror, g_list_model_get_item (model, position + i));
}

static void
test_list (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (1000);
  g_autoptr (WpBatch) batch = start_batch (pool, "work", options);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  Mirror mirror = { items, FALSE };
  Flow flow = { 0 };

  g_assert_true (g_type_is_a (g_list_model_get_item_type (G_LIST_MODEL (batch)), WP_TYPE_RESULT));
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  g_signal_connect (batch, "items-changed", G_CALLBACK (on_items_changed), &mirror);
  flow_connect (&flow, batch);
  push_indices (batch, 1000);
  wp_batch_close (batch);
  iterate_until (&flow.finished);

  g_assert_cmpuint (flow.n, ==, 1000);
  g_assert_cmpuint (items->len, ==, 1000);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 1000);
  g_assert_null (g_list_model_get_item (G_LIST_MODEL (batch), 1000));
  for (guint i = 0; i < 1000; i++)
    {
      g_autoptr (WpResult) item = g_list_model_get_item (G_LIST_MODEL (batch), i);

      g_assert_true (item == g_ptr_array_index (items, i));
      g_assert_cmpuint (wp_result_get_index (item), ==, i);
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (item)), ==, i);
    }
  join_pool (pool);
}

/* Back-pressure */

static void
test_window (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (10);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", options);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (wp_batch_get_room (batch), ==, 10);
  push_indices (batch, 10);
  g_assert_cmpuint (wp_batch_get_room (batch), ==, 0);
  g_assert_false (wp_batch_push (batch, g_variant_new_uint64 (10), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);

  /* It is the taken result that makes room, not the ended task. */
  yield_until (wp_batch_get_n_completed (batch) == 10);
  g_assert_cmpuint (wp_batch_get_room (batch), ==, 0);
  for (guint64 i = 10; i < 100; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i - 10);
      g_assert_cmpuint (wp_batch_get_room (batch), ==, 1);
      push_item (batch, g_variant_new_uint64 (i));
    }
  join_pool (pool);
}

static void
test_default_window (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (3);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold", NULL);
  guint room = wp_batch_get_room (batch);

  g_assert_cmpuint (room, >=, 3);
  for (; room > 0; room--)
    {
      g_assert_cmpuint (wp_batch_get_room (batch), >=, room);
      push_item (batch, HOLD);
    }
  counter_set (GATE, 1);
  join_pool (pool);
}

/* Telling the tasks how many there are costs more than a task. */
#define STEP 100

/* A million tasks, of which there are never more than a few thousand. */
static void
test_stream (void)
{
  const guint64 n = 1000000;
  const guint window = 4000;
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (window);
  g_autoptr (WpBatch) batch = start_batch (pool, "watch-flow", options);
  guint64 n_pushed = 0, n_taken = 0;

  while (n_taken < n)
    {
      g_autoptr (WpResult) result = NULL;

      for (guint room = wp_batch_get_room (batch); room > 0 && n_pushed < n; room--)
        {
          push_item (batch, g_variant_new_uint32 ((guint) n_pushed++));
          if (n_pushed % STEP == 0)
            counter_set (PUSHED, (guint) n_pushed);
        }
      result = next_result (batch);
      g_assert_cmpuint (wp_result_get_index (result), ==, n_taken);
      g_assert_cmpuint (g_variant_get_uint32 (wp_result_get_value (result)), ==, n_taken);
      if (++n_taken % STEP == 0)
        counter_set (TAKEN, (guint) n_taken);
    }
  g_assert_cmpuint (counter_get (MOST), >, 0);
  /* A result is taken a while before it is counted. */
  g_assert_cmpuint (counter_get (MOST), <=, window + STEP);
  join_pool (pool);
}

static void
test_push_async_in_order (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpTaskOptions) options = make_window (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", options);
  g_autoptr (GError) error = NULL;
  Outcome pushed[50] = { { 0 } };

  for (guint64 i = 0; i < G_N_ELEMENTS (pushed); i++)
    wp_batch_push_async (batch, g_variant_new_uint64 (i), NULL, on_pushed, &pushed[i]);
  /* Nobody overtakes those who wait. */
  g_assert_cmpuint (wp_batch_get_room (batch), ==, 0);
  g_assert_false (wp_batch_push (batch, g_variant_new_uint64 (99), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  wp_batch_close (batch);
  g_assert_cmpuint (wp_batch_get_n_pushed (batch), ==, 2);

  for (guint64 i = 0; i < G_N_ELEMENTS (pushed); i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (wp_result_get_index (result), ==, i);
      g_assert_cmpuint (g_variant_get_uint64 (wp_result_get_value (result)), ==, i);
    }
  g_assert_null (next_result (batch));
  for (guint i = 0; i < G_N_ELEMENTS (pushed); i++)
    {
      iterate_until (&pushed[i].done);
      g_assert_no_error (pushed[i].error);
    }
  join_pool (pool);
}

/* Results that flow make room as well. */
static void
test_push_async_flowing (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (3);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", options);
  Outcome pushed[100] = { { 0 } };
  Flow flow = { 0 };

  flow_connect (&flow, batch);
  for (guint64 i = 0; i < G_N_ELEMENTS (pushed); i++)
    wp_batch_push_async (batch, g_variant_new_uint64 (i), NULL, on_pushed, &pushed[i]);
  wp_batch_close (batch);
  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, G_N_ELEMENTS (pushed));
  for (guint i = 0; i < G_N_ELEMENTS (pushed); i++)
    {
      iterate_until (&pushed[i].done);
      g_assert_no_error (pushed[i].error);
    }
  join_pool (pool);
}

/* Progress */

typedef struct
{
  double fraction;
  guint n_notified;
} Progress;

static void
on_fraction (WpBatch *batch, GParamSpec *pspec, gpointer data)
{
  Progress *progress = data;
  double fraction = wp_batch_get_fraction (batch);
  double remaining = wp_batch_get_remaining (batch);

  g_assert_cmpfloat (fraction, >=, progress->fraction);
  g_assert_cmpfloat (fraction, <=, 1);
  g_assert_true (remaining == -1 || (remaining >= 0 && isfinite (remaining)));
  g_assert_cmpfloat (wp_batch_get_rate (batch), >=, 0);
  progress->fraction = fraction;
  progress->n_notified++;
}

static void
test_progress (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_window (20000);
  g_autoptr (WpBatch) batch = start_batch (pool, "work", options);
  Progress progress = { 0 };
  Flow flow = { 0 };

  wp_batch_set_n_total (batch, 20000);
  g_assert_cmpuint (wp_batch_get_n_total (batch), ==, 20000);
  g_assert_cmpfloat (wp_batch_get_fraction (batch), ==, 0);
  g_assert_cmpfloat (wp_batch_get_remaining (batch), ==, -1);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_OPEN);
  g_signal_connect (batch, "notify::fraction", G_CALLBACK (on_fraction), &progress);
  flow_connect (&flow, batch);
  push_indices (batch, 20000);
  g_assert_cmpuint (wp_batch_get_n_pushed (batch), ==, 20000);
  wp_batch_close (batch);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_CLOSED);

  iterate_until (&flow.finished);
  g_assert_cmpuint (flow.n, ==, 20000);
  g_assert_cmpuint (progress.n_notified, >, 0);
  g_assert_cmpfloat (progress.fraction, ==, 1);
  g_assert_cmpfloat (wp_batch_get_remaining (batch), ==, 0);
  g_assert_cmpuint (wp_batch_get_n_completed (batch), ==, 20000);
  g_assert_cmpint (wp_batch_get_state (batch), ==, WP_BATCH_STATE_FINISHED);
  join_pool (pool);
}

static void
on_notify_state (WpBatch *batch, GParamSpec *pspec, gpointer data)
{
  GArray *states = data;
  WpBatchState state = wp_batch_get_state (batch);

  g_array_append_val (states, state);
}

static void
test_states_are_notified (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold", NULL);
  g_autoptr (GArray) states = g_array_new (FALSE, FALSE, sizeof (WpBatchState));
  gboolean finished = FALSE;

  g_signal_connect (batch, "notify::state", G_CALLBACK (on_notify_state), states);
  g_signal_connect (batch, "finished", G_CALLBACK (set_true), &finished);
  push_item (batch, HOLD);
  wp_batch_close (batch);
  iterate_context_until (NULL, states->len > 0);
  counter_set (GATE, 1);
  iterate_until (&finished);
  g_assert_cmpuint (states->len, ==, 2);
  g_assert_cmpint (g_array_index (states, WpBatchState, 0), ==, WP_BATCH_STATE_CLOSED);
  g_assert_cmpint (g_array_index (states, WpBatchState, 1), ==, WP_BATCH_STATE_FINISHED);
  join_pool (pool);
}

static void
test_properties (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autofree char *function = NULL;
  guint64 id, n_total;
  double fraction, rate, remaining;

  g_object_set (batch, "n-total", (guint64) 5, NULL);
  g_object_get (batch, "id", &id, "function", &function, "n-total", &n_total, "fraction", &fraction, "rate", &rate,
                "remaining", &remaining, NULL);
  g_assert_cmpuint (id, ==, (guint64) 1 << 32);
  g_assert_cmpstr (function, ==, "echo");
  g_assert_cmpstr (wp_batch_get_function (batch), ==, "echo");
  g_assert_cmpuint (n_total, ==, 5);
  g_assert_cmpfloat (fraction, ==, 0);
  g_assert_cmpfloat (rate, ==, 0);
  g_assert_cmpfloat (remaining, ==, -1);

  /* More than were announced: what was pushed counts. */
  push_indices (batch, 7);
  g_assert_cmpuint (wp_batch_get_n_total (batch), ==, 7);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/batch/order/ordered", test_ordered },
  { "/batch/order/unordered-as-they-come", test_unordered },
  { "/batch/flow/signals", test_signals },
  { "/batch/flow/none", test_empty },
  { "/batch/flow/failures", test_failures_flow },
  { "/batch/flow/stop-cancels-the-rest", test_stop_cancels_the_rest },
  { "/batch/flow/handler-may-iterate", test_nested_loop_in_handler },
  { "/batch/flow/handler-may-drop", test_dropped_by_its_handler },
  { "/batch/pull/first-one-decides", test_first_pull_decides },
  { "/batch/pull/not-beside-the-list", test_list_is_not_pulled },
  { "/batch/pull/from-threads", test_next_from_threads },
  { "/batch/pull/async", test_next_async },
  { "/batch/list/grows-at-its-end", test_list },
  { "/batch/window/is-kept", test_window },
  { "/batch/window/default-never-shrinks", test_default_window },
  { "/batch/window/stream-in-constant-space", test_stream },
  { "/batch/window/push-async-waits-in-order", test_push_async_in_order },
  { "/batch/window/flow-makes-room", test_push_async_flowing },
  { "/batch/progress/grows-to-one", test_progress },
  { "/batch/progress/states", test_states_are_notified },
  { "/batch/properties", test_properties },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("hold-first", hold_first, NULL, NULL);
  wp_register_function ("watch-flow", watch_flow, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
