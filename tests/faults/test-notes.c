/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a task leaves behind when it dies: its own notes, and nobody else's. */

#include <signal.h>
#include <string.h>

#include "bulk.h"
#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test; "die" has the first. */
enum
{
  HAD_MEMORY = 2,
};

enum
{
  END,       /* after it has written its notes */
  DIE,       /* after that */
  DIE_BLANK, /* before that */
  STAY,      /* after that, until it is ended */
};

#define NOTES_SIZE (64 * 1024)

/* What task 'index' writes in its run number 'run'. */
static char *
make_note (guint64 index, guint run)
{
  return g_strdup_printf ("task %" G_GUINT64_FORMAT ", run %u", index, run);
}

static void
write_notes (WpTaskContext *context, guint64 index, guint run)
{
  g_autofree char *note = make_note (index, run);
  gsize size;
  char *notes = wp_task_context_get_notes (context, &size);

  if (notes == NULL)
    {
      g_assert_cmpuint (size, ==, 0);
      return;
    }

  counter_add (HAD_MEMORY, 1);
  g_assert_cmpuint (size, ==, NOTES_SIZE);
  g_assert_cmpuint (GPOINTER_TO_SIZE (notes) % 4096, ==, 0);
  for (guint i = 0; i < 64; i++)
    g_assert_cmpint (notes[i], ==, 0);
  strcpy (notes, note);
}

static void
follow (WpTaskContext *context, guint64 index, guint what)
{
  const guint run = task_begin (index);

  if (what == DIE_BLANK)
    die_by (SIGKILL);
  write_notes (context, index, run);
  if (what == DIE)
    die_by (SIGKILL);
  if (what == STAY)
    counter_wait (0, 1);
}

/* (tu): the task's index, and what to do → t, the index */
static GVariant *
annotate (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;
  guint what;

  g_variant_get (args, "(tu)", &index, &what);
  follow (context, index, what);

  return g_variant_new_uint64 (index);
}

/* ay: what to do → the same; goes on with the next task. */
static GVariant *
annotate_on (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree guint8 *what = g_memdup2 (g_variant_get_data (args), 1);
  gsize length = 1;

  while (TRUE)
    {
      guint8 *next;

      follow (context, wp_task_context_get_task_index (context), *what);
      next = wp_task_context_exchange (context, what, 1, &length, error);
      if (next == NULL)
        break;

      g_free (what);
      what = next;
    }

  return *error == NULL ? g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, what, 1, 1) : NULL;
}

static void
assert_note (GBytes *notes, guint64 index, guint run)
{
  g_autofree char *note = make_note (index, run);

  g_assert_nonnull (notes);
  g_assert_cmpmem (g_bytes_get_data (notes, NULL), g_bytes_get_size (notes), note, strlen (note));
}

/* Of each seven tasks of one worker the third and the fourth die, one with a note and one before it could write any. */
static guint
choose (guint64 index)
{
  return index % 7 == 2 ? DIE : index % 7 == 3 ? DIE_BLANK : END;
}

static GVariant *
make_tasks (guint n)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tu)"));

  for (guint64 i = 0; i < n; i++)
    g_variant_builder_add (&builder, "(tu)", i, choose (i));
  return g_variant_builder_end (&builder);
}

static WpBatch *
start_tasks (WpWorkerPool *pool, const char *function, GVariant *tasks)
{
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_CONTINUE);
  WpBatch *batch = start_batch (pool, function, options);
  g_autoptr (GVariant) items = g_variant_ref_sink (tasks);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (wp_batch_push_items (batch, items, 0, &error), ==, g_variant_n_children (items));
  g_assert_no_error (error);
  wp_batch_close (batch);

  return batch;
}

static void
test_result (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_tasks (pool, "annotate", make_tasks (42));

  for (guint64 i = 0; i < 42; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_true ((wp_result_get_error (result) == NULL) == (choose (i) == END));
      if (choose (i) == DIE)
        assert_note (wp_result_get_notes (result), i, 1);
      else
        g_assert_null (wp_result_get_notes (result));
    }
  join_pool (pool);
  g_assert_cmpuint (counter_get (HAD_MEMORY), ==, 36);
}

static void
assert_block_note (const Block *block)
{
  g_autoptr (GBytes) notes = g_bytes_new (block->notes, block->notes_length);

  g_assert_true ((block->kind == 2) == (choose (block->index) != END));
  if (choose (block->index) == DIE)
    assert_note (notes, block->index, 1);
  else
    g_assert_cmpuint (block->notes_length, ==, 0);
}

static void
test_block (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpBatch) batch = start_tasks (pool, "annotate", make_tasks (42));
  g_auto (Block) block = { NULL };
  guint n = 0;

  while (take_block (batch, 5, &block))
    while (block_read (&block))
      {
        g_assert_cmpuint (block.index, ==, n++);
        assert_block_note (&block);
      }
  g_assert_cmpuint (n, ==, 42);
  join_pool (pool);
}

static void
test_exchange (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aay"));
  g_autoptr (WpBatch) batch = NULL;
  g_auto (Block) block = { NULL };
  guint n = 0;

  for (guint64 i = 0; i < 42; i++)
    {
      const guint8 what = (guint8) choose (i);

      g_variant_builder_add_value (&builder, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, &what, 1, 1));
    }
  batch = start_tasks (pool, "annotate-on", g_variant_builder_end (&builder));
  while (take_block (batch, G_MAXUINT, &block))
    while (block_read (&block))
      {
        g_assert_cmpuint (block.index, ==, n++);
        assert_block_note (&block);
      }
  g_assert_cmpuint (n, ==, 42);
  join_pool (pool);
}

static void
test_time_limit (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpApply) call = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_grace_period (pool, 10);
  wp_task_options_set_task_timeout (options, 200);
  call = wp_worker_pool_start_apply (pool, "annotate", g_variant_new ("(tu)", (guint64) 5, STAY), options, &error);
  g_assert_no_error (error);
  g_assert_null (wp_apply_get_notes (call));
  g_assert_null (wp_apply_get_value (call, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  assert_note (wp_apply_get_notes (call), 5, 1);
  join_pool (pool);
}

/* The last run counts. */
static void
test_retries (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 2, WP_ON_ERROR_STOP);
  g_autoptr (WpApply) call = NULL;
  g_autoptr (GError) error = NULL;

  call = wp_worker_pool_start_apply (pool, "annotate", g_variant_new ("(tu)", (guint64) 5, DIE), options, &error);
  g_assert_no_error (error);
  g_assert_null (wp_apply_get_value (call, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_note (wp_apply_get_notes (call), 5, 3);
  join_pool (pool);
}

/* Without shared memory there are none, and nothing else is different. */
static void
test_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (1);
  g_autoptr (WpBatch) batch = start_tasks (pool, "annotate", make_tasks (7));

  for (guint64 i = 0; i < 7; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_true ((wp_result_get_error (result) == NULL) == (choose (i) == END));
      g_assert_null (wp_result_get_notes (result));
    }
  join_pool (pool);
  g_assert_cmpuint (counter_get (HAD_MEMORY), ==, 0);
}

/* Also where nobody can die. */
static void
test_memory_is_cleared (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  for (guint64 i = 0; i < 10; i++)
    {
      g_autoptr (GVariant) value = apply (pool, "annotate", g_variant_new ("(tu)", i, END));

      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
    }
  join_pool (pool);
  g_assert_cmpuint (counter_get (HAD_MEMORY), ==, 10);
}

static const FaultTest tests[] = {
  { "/notes/are-part-of-the-result", test_result, TRUE },
  { "/notes/are-part-of-a-block", test_block, TRUE },
  { "/notes/follow-an-exchange", test_exchange, TRUE },
  { "/notes/of-a-time-limit", test_time_limit, TRUE },
  { "/notes/of-the-last-run", test_retries, TRUE },
  { "/notes/not-over-pipes", test_pipes, TRUE },
  { "/notes/begin-with-zeros", test_memory_is_cleared },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("annotate", annotate, NULL, NULL);
  wp_register_function ("annotate-on", annotate_on, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
