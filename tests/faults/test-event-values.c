/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an event may hold, who may emit it, and what becomes of a worker that sends what it may not. */

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
  TAKEN, /* events that their receiver has got, or the size of the last one */
};

/* As documented. */
#define WINDOW 128

/* The tasks */

/* t: the size of an event, ay. */
static GVariant *
emit_large (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const gsize size = g_variant_get_uint64 (args);

  for (guint i = 0; i < 5; i++)
    {
      guint8 *bytes = g_malloc (size);

      for (gsize j = 0; j < size; j++)
        bytes[j] = get_large_byte (j + i);
      if (!wp_task_context_emit (context, g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free,
                                                                   bytes),
                                 error))
        return NULL;
    }

  return g_variant_new_boolean (TRUE);
}

static WpTaskContext *kept;

static gpointer
emit_elsewhere (gpointer data)
{
  GError *error = NULL;

  g_assert_false (wp_task_context_emit (data, g_variant_new_uint32 (1), &error));
  return error;
}

static void
assert_refused (WpTaskContext *context, GVariant *value, GIOErrorEnum code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_task_context_emit (context, value, &error));
  g_assert_error (error, G_IO_ERROR, (int) code);
  assert_message (error, "The event was not sent: ");
}

/* b: whether the process may fork. Emits 1 after everything that cannot be emitted. */
static GVariant *
emit_wrongly (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GThread *thread = g_thread_new ("elsewhere", emit_elsewhere, context);
  g_autoptr (GError) elsewhere = g_thread_join (thread);
  pid_t child;
  int status;

  g_assert_error (elsewhere, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  assert_refused (context, NULL, G_IO_ERROR_INVALID_ARGUMENT);
  assert_refused (context, g_variant_new_handle (0), G_IO_ERROR_INVALID_ARGUMENT);

  if (g_variant_get_boolean (args))
    {
      child = fork ();
      if (child == 0)
        _exit (wp_task_context_emit (context, g_variant_new_uint32 (2), NULL) ? 1 : 0);
      g_assert_cmpint (waitpid (child, &status, 0), ==, child);
      g_assert_cmpint (status, ==, 0);
    }

  g_set_object (&kept, context);
  if (!wp_task_context_emit (context, g_variant_new_uint32 (1), error))
    return NULL;

  return g_variant_new_boolean (TRUE);
}

static int
find_socket (void)
{
  struct stat info;

  for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
    if (fstat (fd, &info) == 0 && S_ISSOCK (info.st_mode))
      return fd;

  g_error ("This worker has no channel");
}

static void
put (guint8 *at, guint64 value, gsize size)
{
  value = GUINT64_TO_LE (value);
  memcpy (at, &value, size);
}

/* (tuu): a chunk, a task in it, and how many events of it to send past the library. */
static GVariant *
lie (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint8 frame[32 + 8 + 16] = { 'W', 'P', 'F', 1 };
  guint64 sequence;
  guint offset, n;

  g_variant_get (args, "(tuu)", &sequence, &offset, &n);
  frame[4] = 12; /* an EVENT */
  put (frame + 8, 8, 4);
  put (frame + 16, 16, 8);
  put (frame + 24, sequence, 8);
  put (frame + 32, offset, 4);
  /* A byte, 5. */
  put (frame + 40, 1, 4);
  put (frame + 44, 1, 2);
  frame[47] = 'y';
  frame[48] = 5;
  for (guint i = 0; i < n; i++)
    if (send (find_socket (), frame, sizeof frame, 0) != sizeof frame)
      abort ();
  for (;;)
    pause ();
}

/* Values */

static void
on_large (guint64 index, GVariant *value, gpointer data)
{
  guint *n = data;
  gsize size;
  const guint8 *bytes = g_variant_get_fixed_array (value, &size, 1);

  for (gsize i = 0; i < size; i += 997)
    g_assert_cmpuint (bytes[i], ==, get_large_byte (i + *n));
  counter_set (TAKEN, (guint) size);
  (*n)++;
}

static void
check_large (WpWorkerPool *pool)
{
  const gsize sizes[] = { 1, 1000, 64 * 1024, 300 * 1000, 3 * 1000 * 1000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (WpTaskOptions) options = wp_task_options_new ();
      g_autoptr (GVariant) result = NULL;
      g_autoptr (GError) error = NULL;
      guint n = 0;

      wp_task_options_set_event_callback (options, on_large, &n, NULL);
      result = wp_worker_pool_apply (pool, "emit-large", g_variant_new_uint64 (sizes[i]), options, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (n, ==, 5);
      g_assert_cmpuint (counter_get (TAKEN), ==, sizes[i]);
    }
  join_pool (pool);
}

static void
test_large (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  check_large (pool);
}

static void
test_large_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_over_pipes (1);

  check_large (pool);
}

static void
on_one (guint64 index, GVariant *value, gpointer data)
{
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, 1);
  counter_add (TAKEN, 1);
}

static void
test_refused (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_event_callback (options, on_one, NULL, NULL);
  result = wp_worker_pool_apply (pool, "emit-wrongly",
                                 g_variant_new_boolean (get_start_method () != WP_START_METHOD_THREADING), options,
                                 NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (counter_get (TAKEN), ==, 1);
  join_pool (pool);
}

/* In the worker, where a context was kept: here, where workers are threads. */
static void
test_kept (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (WP_START_METHOD_THREADING, 1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_event_callback (options, on_one, NULL, NULL);
  result = wp_worker_pool_apply (pool, "emit-wrongly", g_variant_new_boolean (FALSE), options, NULL, &error);
  g_assert_no_error (error);
  join_pool (pool);
  assert_refused (kept, g_variant_new_uint32 (1), G_IO_ERROR_CLOSED);
  g_clear_object (&kept);
}

/* Workers that lie */

static void
on_never (WpBatch *batch, guint64 index, GVariant *value, gpointer data)
{
  counter_add (TAKEN, 1);
}

/* Its events are for a thread that never takes any. */
static gpointer
start_unreceived (gpointer pool)
{
  g_autoptr (GMainContext) never_iterated = g_main_context_new ();
  WpBatch *batch;

  g_main_context_push_thread_default (never_iterated);
  batch = start_batch (pool, "lie", NULL);
  g_main_context_pop_thread_default (never_iterated);

  return batch;
}

static void
check_lie (guint64 sequence, guint offset, guint n, const char *breach)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (WpResult) result = NULL;

  batch = g_thread_join (g_thread_new ("starts", start_unreceived, pool));
  g_signal_connect (batch, "event", G_CALLBACK (on_never), NULL);
  push_item (batch, g_variant_new ("(tuu)", sequence, offset, n));
  result = next_result (batch);
  g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_PROTOCOL);
  assert_message (wp_result_get_error (result), breach);
  g_clear_object (&batch);
  join_pool (pool);
}

static void
check_unwanted (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "lie", g_variant_new ("(tuu)", G_GUINT64_CONSTANT (1), 0, 1), NULL, NULL,
                                 &error);
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
  assert_message (error, "of task 0 of chunk 1, whose events nobody wants");
  join_pool (pool);
}

static void
test_lies (void)
{
  expect_end ("a pool whose worker sends events that it may not send");
  check_unwanted ();
  check_lie (1, 0, WINDOW + 1, "of task 0 of chunk 1, which has no credit for it");
  check_lie (1, 1, 1, "of task 1 of chunk 1, which it does not run");
  check_lie (1, G_MAXUINT, 1, "of chunk 1, which it does not run");
  check_lie (77, 0, 1, "of task 0 of chunk 77, which it does not run");
  expect_end (NULL);
}

static const FaultTest tests[] = {
  { "/event-values/large", test_large },
  { "/event-values/large-over-pipes", test_large_over_pipes },
  { "/event-values/refused", test_refused },
  { "/event-values/refused-after-the-task", test_kept },
  { "/event-values/lies/end-the-worker", test_lies, TRUE },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("emit-large", emit_large, NULL, NULL);
  wp_register_function ("emit-wrongly", emit_wrongly, NULL, NULL);
  wp_register_function ("lie", lie, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
