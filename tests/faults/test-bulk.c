/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many tasks to a call: pushed as an array, waited for with an end, taken as a block. */

#include <string.h>

#include "bulk.h"
#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  RUNNING,
  GATE,
  TAKEN, /* + a thread */
};

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

static guint
push_items (WpBatch *batch, GVariant *items, guint first)
{
  g_autoptr (GError) error = NULL;
  guint n = wp_batch_push_items (batch, items, first, &error);

  g_assert_no_error (error);
  return n;
}

static char *
make_text (guint i)
{
  return g_strdup_printf ("%0*u", 1 + (i % 7) * 5, i);
}

/* aay: texts of several lengths. (floating) */
static GVariant *
make_texts (guint n)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aay"));
  g_autoptr (GVariant) built = NULL;
  g_autoptr (GBytes) bytes = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = make_text (i);

      g_variant_builder_add_value (&builder, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1));
    }
  built = g_variant_ref_sink (g_variant_builder_end (&builder));
  bytes = g_variant_get_data_as_bytes (built);

  /* As it comes from a language layer. */
  return g_variant_new_from_bytes (G_VARIANT_TYPE ("aay"), bytes, FALSE);
}

/* Pushes and takes until all have come back; calls for each in order. */
static void
stream_items (WpBatch *batch, GVariant *items, void (*check) (const Block *block, GVariant *items))
{
  const guint n = (guint) g_variant_n_children (items);
  g_auto (Block) block = { NULL };
  guint n_pushed = 0;
  guint n_taken = 0;

  while (n_taken < n)
    {
      n_pushed += push_items (batch, items, n_pushed);
      g_assert_true (take_block (batch, G_MAXUINT, &block));
      while (block_read (&block))
        {
          g_assert_cmpuint (block.index, ==, n_taken);
          check (&block, items);
          n_taken++;
        }
    }
  g_assert_cmpuint (n_pushed, ==, n);
  wp_batch_close (batch);
  g_assert_false (take_block (batch, 1, &block));
}

static void
check_text (const Block *block, GVariant *items)
{
  g_autofree char *text = make_text ((guint) block->index);

  g_assert_cmpuint (block->kind, ==, 0);
  g_assert_cmpuint (block->n_retries, ==, 0);
  g_assert_cmpuint (block->notes_length, ==, 0);
  g_assert_cmpmem (block->value, block->length, text, strlen (text));
}

static void
test_bytes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GVariant) items = g_variant_ref_sink (make_texts (5000));

  stream_items (batch, items, check_text);
  join_pool (pool);
}

/* It would take half a minute if each element were searched for. */
static void
test_many (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) items = g_variant_ref_sink (make_texts (200000));

  wp_task_options_set_max_active_tasks (options, 50000);
  batch = start_batch (pool, "echo", options);
  stream_items (batch, items, check_text);
  join_pool (pool);
}

static void
check_boxed (const Block *block, GVariant *items)
{
  g_autoptr (GVariant) item = g_variant_get_child_value (items, block->index);
  g_autoptr (GVariant) boxed = g_variant_get_variant (item);
  g_autoptr (GVariant) value = block_get_value (block);

  g_assert_cmpuint (block->kind, ==, g_variant_is_of_type (boxed, G_VARIANT_TYPE_BYTESTRING) ? 0 : 1);
  g_assert_true (g_variant_equal (boxed, value));
}

static void
test_boxed (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GVariant) items = g_variant_ref_sink (
      g_variant_new_parsed ("[<1>, <'two'>, <b'three'>, <@ay []>, <(4, 'four')>, <5.0>, <6>, <7>, <byte 8>, <<9>>, <()>,"
                            " <@a{sv} {'ten': <10>}>, <@mi nothing>]"));

  stream_items (batch, items, check_boxed);
  join_pool (pool);
}

static void
check_index (const Block *block, GVariant *items)
{
  g_autoptr (GVariant) value = block_get_value (block);

  g_assert_cmpstr (block->type, ==, "t");
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, block->index);
}

static void
test_numbers (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GVariant) items = g_variant_ref_sink (make_indices (20000));

  stream_items (batch, items, check_index);
  join_pool (pool);
}

static void
test_room (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) items = g_variant_ref_sink (make_indices (25));
  g_auto (Block) block = { NULL };

  wp_task_options_set_max_active_tasks (options, 10);
  batch = start_batch (pool, "echo", options);
  g_assert_cmpuint (push_items (batch, items, 0), ==, 10);
  g_assert_cmpuint (push_items (batch, items, 10), ==, 0);
  while (wp_batch_get_n_completed (batch) < 10)
    g_assert_true (wp_batch_wait (batch, -1, NULL));
  g_assert_true (take_block (batch, 3, &block));
  for (guint i = 0; i < 3; i++)
    g_assert_true (block_read (&block));
  g_assert_false (block_read (&block));
  g_assert_cmpuint (push_items (batch, items, 10), ==, 3);
  g_assert_cmpuint (push_items (batch, items, 25), ==, 0);
  wp_batch_cancel (batch);
  join_pool (pool);
}

static void
test_bad_items (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GVariant) handles = g_variant_ref_sink (g_variant_new_parsed ("[<1>, <2>, <handle 3>, <4>]"));
  /* The end of the first element is behind the array's. */
  g_autoptr (GVariant) broken = g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE ("aay"), "abc\x09\x03", 5, FALSE, NULL, NULL));
  GError *error = NULL;

  g_assert_cmpuint (wp_batch_push_items (batch, NULL, 0, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_cmpuint (wp_batch_push_items (batch, g_variant_new_int32 (1), 0, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  assert_message (error, "array");
  g_clear_error (&error);
  g_assert_cmpuint (wp_batch_push_items (batch, broken, 0, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  assert_message (error, "normal form");
  g_clear_error (&error);
  g_assert_cmpuint (wp_batch_push_items (batch, handles, 5, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  /* Up to the bad one, which then is the first. */
  g_assert_cmpuint (wp_batch_push_items (batch, handles, 0, &error), ==, 2);
  g_assert_no_error (error);
  g_assert_cmpuint (wp_batch_push_items (batch, handles, 2, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  assert_message (error, "file handle");
  g_clear_error (&error);
  g_assert_cmpuint (wp_batch_push_items (batch, handles, 3, &error), ==, 1);
  g_assert_no_error (error);

  wp_batch_close (batch);
  g_assert_cmpuint (wp_batch_push_items (batch, handles, 0, &error), ==, 0);
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  g_clear_error (&error);
  join_pool (pool);
  g_assert_cmpuint (wp_batch_get_n_completed (batch), ==, 3);
}

static void
test_wait (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold", NULL);
  g_autoptr (GVariant) items = g_variant_ref_sink (g_variant_new_parsed ("[(%u, %u)]", RUNNING, GATE));
  g_autoptr (WpResult) result = NULL;
  g_autoptr (GError) error = NULL;
  gint64 began;

  g_assert_false (wp_batch_wait (batch, 0, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (push_items (batch, items, 0), ==, 1);
  counter_wait (RUNNING, 1);
  began = g_get_monotonic_time ();
  g_assert_false (wp_batch_wait (batch, 20000, &error));
  g_assert_no_error (error);
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 20000);
  g_assert_null (wp_batch_take (batch, 1, &error));
  g_assert_no_error (error);

  counter_set (GATE, 1);
  g_assert_true (wp_batch_wait (batch, -1, &error));
  g_assert_no_error (error);
  /* It takes nothing. */
  g_assert_true (wp_batch_wait (batch, 0, &error));
  result = next_result (batch);
  g_assert_nonnull (result);

  g_assert_false (wp_batch_wait (batch, 0, &error));
  wp_batch_close (batch);
  g_assert_true (wp_batch_wait (batch, 0, &error));
  g_assert_null (wp_batch_take (batch, 1, &error));
  g_assert_no_error (error);
  join_pool (pool);
}

static void
test_errors (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "fail", options);
  g_autoptr (GVariant) items = g_variant_ref_sink (make_indices (100));
  g_auto (Block) block = { NULL };
  guint n = 0;

  g_assert_cmpuint (push_items (batch, items, 0), >, 0);
  wp_batch_close (batch);
  while (take_block (batch, 7, &block))
    while (block_read (&block))
      {
        g_assert_cmpuint (block.index, ==, n++);
        g_assert_cmpuint (block.worker, ==, 0);
        g_assert_cmpuint (block.kind, ==, 2);
      }
  g_assert_cmpuint (n, ==, wp_batch_get_n_pushed (batch));
  join_pool (pool);
}

/* Those that never ran have an error, too, and no worker. */
static void
test_cancelled (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "obey", NULL);
  g_autoptr (GVariant) items = g_variant_ref_sink (
      g_variant_new_parsed ("[(%u, %u), (%u, %u), (%u, %u)]", RUNNING, GATE, RUNNING, GATE, RUNNING, GATE));
  g_auto (Block) block = { NULL };
  guint n = 0;

  g_assert_cmpuint (push_items (batch, items, 0), ==, 3);
  counter_wait (RUNNING, 1);
  wp_batch_cancel (batch);
  while (take_block (batch, G_MAXUINT, &block))
    while (block_read (&block))
      {
        g_assert_cmpuint (block.index, ==, n++);
        block_assert_error (&block, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      }
  g_assert_cmpuint (n, ==, 3);
  join_pool (pool);
}

/* A large result is not copied: it stands before the others until it is taken by itself. */
static void
test_large (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "large", NULL);
  const guint64 large = 1024 * 1024;
  g_autoptr (GVariant) items = g_variant_ref_sink (
      g_variant_new_parsed ("[(%t, %u), (%t, %u), (%t, %u)]", (guint64) 100, RUNNING, large, RUNNING, large - 1, RUNNING));
  g_autoptr (WpResult) second = NULL;
  g_auto (Block) block = { NULL };
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (push_items (batch, items, 0), ==, 3);
  wp_batch_close (batch);
  while (wp_batch_get_n_completed (batch) < 3)
    g_assert_true (wp_batch_wait (batch, -1, NULL));

  g_assert_true (take_block (batch, G_MAXUINT, &block));
  g_assert_true (block_read (&block));
  g_assert_cmpuint (block.length, ==, 100);
  g_assert_false (block_read (&block));

  g_assert_true (wp_batch_wait (batch, 0, NULL));
  g_assert_null (wp_batch_take (batch, G_MAXUINT, &error));
  g_assert_no_error (error);
  second = next_result (batch);
  g_assert_cmpuint (wp_result_get_index (second), ==, 1);
  g_assert_cmpuint (g_variant_get_size (wp_result_get_value (second)), ==, large);

  g_assert_true (take_block (batch, G_MAXUINT, &block));
  g_assert_true (block_read (&block));
  g_assert_cmpuint (block.index, ==, 2);
  g_assert_cmpuint (block.length, ==, large - 1);
  g_assert_cmpuint (block.value[large - 2], ==, get_large_byte (large - 2));
  g_assert_false (take_block (batch, 1, &block));
  join_pool (pool);
}

/* A block of results that are there is not of any size. */
static void
test_block_ends (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tu)"));
  g_autoptr (GVariant) items = NULL;
  g_auto (Block) block = { NULL };
  guint n = 0;

  for (guint i = 0; i < 100; i++)
    g_variant_builder_add (&builder, "(tu)", (guint64) 20000, RUNNING);
  items = g_variant_ref_sink (g_variant_builder_end (&builder));
  wp_task_options_set_max_active_tasks (options, 100);
  batch = start_batch (pool, "large", options);
  g_assert_cmpuint (push_items (batch, items, 0), ==, 100);
  wp_batch_close (batch);
  yield_until (wp_batch_get_n_completed (batch) == 100);

  while (take_block (batch, G_MAXUINT, &block))
    {
      g_assert_cmpuint (g_bytes_get_size (block.block), <, 300 * 1024);
      while (block_read (&block))
        n++;
    }
  g_assert_cmpuint (n, ==, 100);
  join_pool (pool);
}

static void
test_not_beside_the_list (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GError) wait_error = NULL;
  g_autoptr (GError) take_error = NULL;

  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  g_assert_false (wp_batch_wait (batch, -1, &wait_error));
  g_assert_error (wait_error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  g_assert_null (wp_batch_take (batch, 1, &take_error));
  g_assert_error (take_error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  wp_batch_cancel (batch);
  join_pool (pool);
}

typedef struct
{
  WpBatch *batch;
  gboolean by_block;
  guint8 *seen; /* atomic */
} Taker;

static gpointer
take_all (gpointer data)
{
  Taker *taker = data;
  g_auto (Block) block = { NULL };

  while (TRUE)
    {
      if (taker->by_block)
        {
          if (!take_block (taker->batch, 5, &block))
            return NULL;
          while (block_read (&block))
            __atomic_fetch_add (&taker->seen[block.index], 1, __ATOMIC_RELAXED);
        }
      else
        {
          g_autoptr (WpResult) result = next_result (taker->batch);

          if (result == NULL)
            return NULL;
          __atomic_fetch_add (&taker->seen[wp_result_get_index (result)], 1, __ATOMIC_RELAXED);
        }
    }
}

/* Two threads wait, one by blocks and one by objects, and another pushes: each result goes to one of them. */
static void
test_threads (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GVariant) items = g_variant_ref_sink (make_indices (20000));
  g_autofree guint8 *seen = g_new0 (guint8, 20000);
  Taker takers[] = { { batch, TRUE, seen }, { batch, FALSE, seen }, { batch, TRUE, seen } };
  GThread *threads[G_N_ELEMENTS (takers)];
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (takers); i++)
    threads[i] = g_thread_new ("taker", take_all, &takers[i]);
  while (n < 20000)
    {
      n += push_items (batch, items, n);
      g_thread_yield ();
    }
  wp_batch_close (batch);
  for (guint i = 0; i < G_N_ELEMENTS (takers); i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < 20000; i++)
    g_assert_cmpuint (seen[i], ==, 1);
  join_pool (pool);
}

/* Workers die while results are taken by block: each task ends once, as one record. */
static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpTaskOptions) options = make_options (16, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = start_batch (pool, "die", options);
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tsu)"));
  g_autoptr (GVariant) items = NULL;
  g_auto (Block) block = { NULL };
  guint n_pushed = 0;
  guint n_taken = 0;

  for (guint i = 0; i < 400; i++)
    g_variant_builder_add (&builder, "(tsu)", (guint64) i, death_ways[0], i % 50 == 25 ? 1u : 0u);
  items = g_variant_ref_sink (g_variant_builder_end (&builder));
  while (n_taken < 400)
    {
      n_pushed += push_items (batch, items, n_pushed);
      g_assert_true (take_block (batch, G_MAXUINT, &block));
      while (block_read (&block))
        {
          g_assert_cmpuint (block.index, ==, n_taken);
          if (n_taken % 50 == 25)
            block_assert_error (&block, WP_ERROR, WP_ERROR_WORKER_DIED);
          else
            check_index (&block, items);
          n_taken++;
        }
    }
  wp_batch_close (batch);
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/bulk/bytes", test_bytes },
  { "/bulk/boxed", test_boxed },
  { "/bulk/numbers", test_numbers },
  { "/bulk/many-in-linear-time", test_many },
  { "/bulk/push/as-far-as-there-is-room", test_room },
  { "/bulk/push/bad-items", test_bad_items },
  { "/bulk/wait/ends-in-time", test_wait },
  { "/bulk/take/errors", test_errors },
  { "/bulk/take/cancelled", test_cancelled },
  { "/bulk/take/large-results-are-shared", test_large },
  { "/bulk/take/blocks-are-bounded", test_block_ends },
  { "/bulk/take/not-beside-the-list", test_not_beside_the_list },
  { "/bulk/take/each-result-goes-to-one-thread", test_threads },
  { "/bulk/take/deaths", test_deaths, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
