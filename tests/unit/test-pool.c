/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pool as its users see it, when nothing goes wrong. */

#include <signal.h>
#include <string.h>
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
  ORDER,
};

#define HOLD g_variant_new ("(uu)", RUNNING, GATE)

/* The how-manieth task it is that runs. */
static GVariant *
take_turn (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (counter_add (ORDER, 1));
}

/* u → ay of that size */
static GVariant *
inflate (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  gsize size = g_variant_get_uint32 (args);
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = get_large_byte (size + i);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free, bytes);
}

static GVariant *
fail_odd (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  if (index % 2 == 0)
    return g_variant_ref (args);

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%" G_GUINT64_FORMAT " is odd", index);
  return NULL;
}

/* (bay): whether to hold, and some bytes that make the arguments large → their number */
static GVariant *
hold_or_not (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) bytes = NULL;
  gboolean holds;

  g_variant_get (args, "(b@ay)", &holds, &bytes);
  if (holds)
    {
      counter_add (RUNNING, 1);
      counter_wait (GATE, 1);
    }
  return g_variant_new_uint64 (g_variant_n_children (bytes));
}

/* Starts a program, does not wait for it, and says whether it would ignore SIGPIPE. */
static GVariant *
leave_child (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char *argv[] = { "sleep", "1000", NULL };
  struct sigaction action;

  if (!g_spawn_async (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, error))
    return NULL;

  sigaction (SIGPIPE, NULL, &action);
  return g_variant_new_boolean (action.sa_handler == SIG_IGN);
}

static GVariant *
make_bytes (gsize size)
{
  guint8 *bytes = g_malloc0 (size);

  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free, bytes);
}

/* Map */

static void
assert_echoes (WpWorkerPool *pool, GVariant *items)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (items);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  gboolean boxed = g_variant_is_of_type (owned, G_VARIANT_TYPE ("av"));

  results = wp_worker_pool_map (pool, "echo", owned, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (results), ==, "av");
  g_assert_false (g_variant_is_floating (results));
  g_assert_cmpuint (g_variant_n_children (results), ==, g_variant_n_children (owned));
  for (gsize i = 0; i < g_variant_n_children (owned); i++)
    {
      g_autoptr (GVariant) item = g_variant_get_child_value (owned, i);
      g_autoptr (GVariant) result = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (result);
      g_autoptr (GVariant) expected = boxed ? g_variant_get_variant (item) : g_variant_ref (item);

      g_assert_cmpvariant (value, expected);
    }
}

static void
test_map_every_type (void)
{
  const char *texts[] = {
    "[1, -2, 3]",
    "@ax [1, -9223372036854775808, 9223372036854775807]",
    "@ab [true, false, true]",
    "@ay [0, 127, 255]",
    "@an [-1, 2]",
    "@aq [1, 65535]",
    "@at [0, 18446744073709551615]",
    "[1.5, -0.0, 1e300]",
    "['', 'a', 'grüße', 'a rather longer string than the others']",
    "@ao ['/', '/a/b']",
    "@ag ['', 'a{sv}']",
    "[<1>, <'two'>, <[3.0]>, <<'boxed twice'>>, <()>, <@av []>]",
    "{'a': <1>, 'b': <'two'>, 'c': <{'d': <3>}>}",
    "[{'a': 1}, {}, {'b': 2, 'c': 3}]",
    "[b'', b'bytes', b'more bytes']",
    "[('a', 1), ('b', 2)]",
    "[(true, 1.5, @y 7, 'x'), (false, 2.5, 8, 'yy')]",
    "[[1, 2], [], [3]]",
    "[[['a'], []], [], [['b', 'c']]]",
    "@amu [just 1, nothing, just 3]",
    "@ams [just '', nothing]",
    "@a() [(), (), ()]",
    "[(('a', <[1, 2]>), [{'k': <'v'>}])]",
  };
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_test_message ("%s", texts[i]);
      assert_echoes (pool, g_variant_new_parsed (texts[i]));
    }
  join_pool (pool);
}

static void
test_map_mixed_sizes (void)
{
  const guint n = 100000;
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  GVariantBuilder items;

  g_byte_array_set_size (bytes, 200000);
  memset (bytes->data, 0x5a, bytes->len);
  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(uay)"));
  for (guint i = 0; i < n; i++)
    {
      gsize size = g_test_rand_int_range (0, 60);

      if (i % 500 == 0)
        size = g_test_rand_int_range (0, 9000);
      if (i % 20000 == 7)
        size = g_test_rand_int_range (60000, 200000);
      g_variant_builder_add (&items, "(u@ay)", i,
                             g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes->data, size, 1));
    }
  assert_echoes (pool, g_variant_builder_end (&items));
  join_pool (pool);
}

static void
test_map_large_results (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  guint32 sizes[200];

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    sizes[i] = i % 3 == 0 ? g_test_rand_int_range (0, 300000) : g_test_rand_int_range (3000, 20000);
  results = wp_worker_pool_map (
      pool, "inflate", g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, sizes, G_N_ELEMENTS (sizes), 4), NULL, NULL,
      &error);
  g_assert_no_error (error);
  join_pool (pool);
  g_clear_object (&pool);

  /* They belong to nobody else. */
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);
      gsize length;
      const guint8 *bytes = g_variant_get_fixed_array (value, &length, 1);

      g_assert_cmpuint (length, ==, sizes[i]);
      for (gsize j = 0; j < length; j += 101)
        g_assert_cmpuint (bytes[j], ==, get_large_byte (length + j));
    }
}

typedef struct
{
  GHashTable *completed; /* of ids, as pointers */
  GHashTable *failed;
  guint n_drained;
} SignalLog;

static void
on_completed (WpWorkerPool *pool, guint64 id, GVariant *value, gpointer data)
{
  SignalLog *log = data;

  g_assert_true (g_hash_table_insert (log->completed, (gpointer) id, g_variant_ref (value)));
}

static void
on_failed (WpWorkerPool *pool, guint64 id, const GError *error, gpointer data)
{
  SignalLog *log = data;

  g_assert_true (g_hash_table_insert (log->failed, (gpointer) id, g_error_copy (error)));
}

static void
on_drained (WpWorkerPool *pool, gpointer data)
{
  ((SignalLog *) data)->n_drained++;
}

static void
signal_log_connect (SignalLog *log, WpWorkerPool *pool)
{
  log->completed = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_variant_unref);
  log->failed = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_error_free);
  g_signal_connect (pool, "task-completed", G_CALLBACK (on_completed), log);
  g_signal_connect (pool, "task-failed", G_CALLBACK (on_failed), log);
  g_signal_connect (pool, "drained", G_CALLBACK (on_drained), log);
}

static void
signal_log_clear (SignalLog *log)
{
  g_hash_table_unref (log->completed);
  g_hash_table_unref (log->failed);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SignalLog, signal_log_clear)

static void
test_continue_leaves_nothing (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (SignalLog) log = { 0 };

  signal_log_connect (&log, pool);
  results = wp_worker_pool_map (pool, "fail-odd", make_indices (100), options, NULL, &error);
  g_assert_no_error (error);
  for (guint64 i = 0; i < 100; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      if (i % 2 == 0)
        {
          g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
          continue;
        }
      g_assert_cmpstr (g_variant_get_type_string (value), ==, "mv");
      g_assert_null (g_variant_get_maybe (value));
    }

  /* The errors have gone to the signal. */
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (g_hash_table_size (log.failed), ==, 50);
  for (guint64 i = 1; i < 100; i += 2)
    {
      g_autofree char *message = g_strdup_printf ("%" G_GUINT64_FORMAT " is odd", i);
      const GError *failure = g_hash_table_lookup (log.failed, (gpointer) (((guint64) 1 << 32) + i));

      g_assert_error (failure, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
      g_assert_cmpstr (failure->message, ==, message);
    }
}

static void
test_stop_gives_the_first_error (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (SignalLog) log = { 0 };

  signal_log_connect (&log, pool);
  results = wp_worker_pool_map (pool, "fail-odd", make_indices (1000), options, NULL, &error);
  g_assert_null (results);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_cmpstr (error->message, ==, "1 is odd");
  join_pool (pool);

  /* Every task has ended all the same, most of them cancelled. */
  iterate_pending ();
  g_assert_cmpuint (g_hash_table_size (log.completed) + g_hash_table_size (log.failed), ==, 1000);
  g_assert_cmpuint (g_hash_table_size (log.failed), >, 900);
  g_assert_error ((GError *) g_hash_table_lookup (log.failed, (gpointer) (((guint64) 1 << 32) + 999)), G_IO_ERROR,
                  G_IO_ERROR_CANCELLED);
}

/* Order */

static void
test_priority_overtakes (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpTaskOptions) low = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (WpTaskOptions) high = make_options (1, 0, WP_ON_ERROR_STOP);
  g_auto (Outcome) blocker = { 0 };
  g_auto (Outcome) mapped = { 0 };
  g_auto (Outcome) normal = { 0 };
  g_auto (Outcome) urgent = { 0 };

  wp_task_options_set_priority (low, G_PRIORITY_LOW);
  wp_task_options_set_priority (high, G_PRIORITY_HIGH);
  wp_worker_pool_apply_async (pool, "hold", HOLD, NULL, NULL, on_applied, &blocker);
  counter_wait (RUNNING, 1);
  wp_worker_pool_map_async (pool, "take-turn", make_indices (50), low, NULL, on_mapped, &mapped);
  wp_worker_pool_apply_async (pool, "take-turn", NULL, NULL, NULL, on_applied, &normal);
  wp_worker_pool_apply_async (pool, "take-turn", NULL, high, NULL, on_applied, &urgent);
  counter_set (GATE, 1);
  iterate_until (&mapped.done);
  iterate_until (&normal.done);
  iterate_until (&urgent.done);
  g_assert_cmpuint (g_variant_get_uint32 (urgent.value), ==, 1);
  g_assert_cmpuint (g_variant_get_uint32 (normal.value), ==, 2);
  join_pool (pool);
}

/* A short map need not wait for the end of a long one that was there first. */
static void
test_maps_share_workers (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_auto (Outcome) long_one = { 0 };
  g_auto (Outcome) short_one = { 0 };
  guint last = 0;

  /* Both wait for the workers to start. */
  wp_worker_pool_map_async (pool, "take-turn", make_indices (3000), options, NULL, on_mapped, &long_one);
  wp_worker_pool_map_async (pool, "take-turn", make_indices (30), options, NULL, on_mapped, &short_one);
  iterate_until (&short_one.done);
  iterate_until (&long_one.done);
  g_assert_no_error (long_one.error);
  g_assert_no_error (short_one.error);
  for (guint i = 0; i < 30; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (short_one.value, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      last = MAX (last, g_variant_get_uint32 (value));
    }
  /* With fair shares, its thirty tasks are among the first hundred. */
  g_assert_cmpuint (last, <, 1000);
  join_pool (pool);
}

/* Counters and signals */

static void
test_counters (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_auto (Outcome) mapped = { 0 };
  GVariantBuilder items;

  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
  g_assert_cmpuint (wp_worker_pool_get_n_busy (pool), ==, 0);
  g_assert_cmpuint (wp_worker_pool_get_n_queued (pool), ==, 0);

  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(uu)"));
  for (guint i = 0; i < 7; i++)
    g_variant_builder_add_value (&items, HOLD);
  wp_worker_pool_map_async (pool, "hold", g_variant_builder_end (&items), options, NULL, on_mapped, &mapped);
  counter_wait (RUNNING, 2);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 2);
  g_assert_cmpuint (wp_worker_pool_get_n_busy (pool), ==, 2);
  g_assert_cmpuint (wp_worker_pool_get_n_queued (pool), ==, 5);

  counter_set (GATE, 1);
  iterate_until (&mapped.done);
  g_assert_cmpuint (wp_worker_pool_get_n_queued (pool), ==, 0);
  join_pool (pool);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
  g_assert_cmpuint (wp_worker_pool_get_n_busy (pool), ==, 0);
}

static void
test_signals_name_tasks (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GVariant) applied = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (SignalLog) log = { 0 };
  const guint64 one = (guint64) 1 << 32;

  signal_log_connect (&log, pool);
  applied = wp_worker_pool_apply (pool, "echo", g_variant_new_uint64 (77), NULL, NULL, &error);
  g_assert_no_error (error);
  results = wp_worker_pool_map (pool, "echo", make_indices (10), NULL, NULL, &error);
  g_assert_no_error (error);
  batch = start_batch (pool, "echo", NULL);
  g_assert_cmpuint (wp_batch_get_id (batch), ==, 3 * one);
  for (guint64 i = 0; i < 10; i++)
    push_item (batch, g_variant_new_uint64 (100 + i));
  join_pool (pool);
  iterate_pending ();

  g_assert_cmpuint (g_hash_table_size (log.completed), ==, 21);
  g_assert_cmpuint (g_hash_table_size (log.failed), ==, 0);
  g_assert_cmpuint (log.n_drained, >, 0);
  g_assert_cmpuint (g_variant_get_uint64 (g_hash_table_lookup (log.completed, (gpointer) one)), ==, 77);
  for (guint64 i = 0; i < 10; i++)
    {
      g_assert_cmpuint (g_variant_get_uint64 (g_hash_table_lookup (log.completed, (gpointer) (2 * one + i))), ==, i);
      g_assert_cmpuint (g_variant_get_uint64 (g_hash_table_lookup (log.completed, (gpointer) (3 * one + i))), ==,
                        100 + i);
    }
}

static void
on_started (WpWorkerPool *pool, guint worker, int pid, gpointer data)
{
  g_assert_cmpuint (worker, <, 3);
  g_assert_cmpint (pid, >, 0);
  (*(guint *) data)++;
}

static void
on_exited (WpWorkerPool *pool, guint worker, int pid, const GError *error, gpointer data)
{
  g_assert_no_error (error);
  g_assert_cmpuint (worker, <, 3);
  (*(guint *) data)++;
}

static void
on_notify (GObject *object, GParamSpec *pspec, gpointer data)
{
  (*(guint *) data)++;
}

static void
test_started_workers (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (3);
  g_autoptr (GError) error = NULL;
  guint n_started = 0, n_exited = 0, n_notified = 0;

  g_signal_connect (pool, "worker-started", G_CALLBACK (on_started), &n_started);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (on_exited), &n_exited);
  g_signal_connect (pool, "notify::n-workers", G_CALLBACK (on_notify), &n_notified);
  g_assert_true (wp_worker_pool_start (pool, &error));
  g_assert_no_error (error);
  iterate_context_until (NULL, n_started == 3);
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 3);

  join_pool (pool);
  iterate_context_until (NULL, n_exited == 3);
  g_assert_cmpuint (n_notified, ==, 6);
}

/* Workers that have not reported in when the pool is joined are killed, but not for anything they did. */
static void
test_unwanted_workers (void)
{
  const char *host[] = { "sleep", "1000", NULL };
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (GError) error = NULL;
  guint n_exited = 0;
  Census census;

  wp_worker_pool_set_host (pool, host);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (on_exited), &n_exited);
  g_assert_true (wp_worker_pool_start (pool, &error));
  g_assert_no_error (error);
  do
    census_take (&census);
  while (census.n_children < 2);

  join_pool (pool);
  iterate_context_until (NULL, n_exited == 2);
}

/* Arguments */

static void
test_no_arguments (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (result), ==, "()");
  join_pool (pool);
}

/* A worker that is busy reads nothing: what is sent ahead fills its socket, at any point between two frames, of the
 * small ones that go through it and of the large ones that only have a descriptor there. */
static void
fill_socket (WpWorkerPool *pool, guint n_small)
{
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  Outcome outcomes[16] = { { 0 } };
  GVariantBuilder items;
  guint n = 0;

  /* The pool learns that the function is quick, and sends ahead. */
  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(bay)"));
  for (guint i = 0; i < 3000; i++)
    g_variant_builder_add (&items, "(b@ay)", FALSE, make_bytes (0));
  results = wp_worker_pool_map (pool, "hold-or-not", g_variant_builder_end (&items), NULL, NULL, &error);
  g_assert_no_error (error);

  counter_set (RUNNING, 0);
  counter_set (GATE, 0);
  wp_worker_pool_apply_async (pool, "hold-or-not", g_variant_new ("(b@ay)", TRUE, make_bytes (0)), NULL, NULL,
                              on_applied, &outcomes[n++]);
  counter_wait (RUNNING, 1);
  for (guint i = 0; i < n_small; i++)
    wp_worker_pool_apply_async (pool, "hold-or-not", g_variant_new ("(b@ay)", FALSE, make_bytes (30000)), NULL, NULL,
                                on_applied, &outcomes[n++]);
  for (guint i = 0; i < 2; i++)
    wp_worker_pool_apply_async (pool, "hold-or-not", g_variant_new ("(b@ay)", FALSE, make_bytes (200000)), NULL, NULL,
                                on_applied, &outcomes[n++]);
  counter_set (GATE, 1);
  for (guint i = 0; i < n; i++)
    {
      guint64 size = i == 0 ? 0 : i <= n_small ? 30000 : 200000;

      iterate_until (&outcomes[i].done);
      g_assert_no_error (outcomes[i].error);
      g_assert_cmpuint (g_variant_get_uint64 (outcomes[i].value), ==, size);
      outcome_clear (&outcomes[i]);
    }
}

static void
test_full_socket (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  for (guint n_small = 0; n_small < 12; n_small++)
    fill_socket (pool, n_small);
  join_pool (pool);
}

typedef struct
{
  WpBatch *batch;
  guint n_freed;
} Owner;

static void
on_item_freed (gpointer data)
{
  Owner *owner = data;

  /* Hangs when the pool's lock is held. */
  wp_batch_get_n_completed (owner->batch);
  owner->n_freed++;
}

/* What a value is made of belongs to its owner, who hears of its end and may call the pool then. */
static void
test_freed_items (void)
{
  static const guint8 bytes[64];
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "hold-or-not", NULL);
  Owner owner = { batch, 0 };

  for (guint i = 0; i < 20; i++)
    {
      GVariant *value = g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, sizeof bytes, TRUE,
                                                 on_item_freed, &owner);

      push_item (batch, g_variant_new ("(b@ay)", FALSE, value));
    }
  wp_batch_close (batch);
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_no_error (wp_result_get_error (result));
    }
  join_pool (pool);
  g_assert_cmpuint (owner.n_freed, ==, 20);
}

/* That nothing is left is what follows every test. */
static void
test_left_children (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (GVariant) ignores = NULL;
  g_autoptr (GError) error = NULL;

  ignores = wp_worker_pool_apply (pool, "leave-child", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (g_variant_get_boolean (ignores));
  join_pool (pool);
}

static void
test_list_functions (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = wp_worker_pool_list_functions (pool, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_strv_contains ((const char *const *) names, "echo"));
  g_assert_true (g_strv_contains ((const char *const *) names, "take-turn"));
  for (guint i = 1; names[i] != NULL; i++)
    g_assert_cmpstr (names[i - 1], <, names[i]);
  join_pool (pool);
}

/* Callbacks */

static void
on_applied_nest (GObject *source, GAsyncResult *result, gpointer data)
{
  WpWorkerPool *pool = WP_WORKER_POOL (source);
  Outcome *outcome = data;
  g_auto (Outcome) inner = { 0 };
  g_autoptr (GVariant) sync = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_map_async (pool, "echo", make_indices (100), NULL, NULL, on_mapped, &inner);
  iterate_until (&inner.done);
  assert_indices (inner.value, 100);
  sync = wp_worker_pool_map (pool, "echo", make_indices (100), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (sync, 100);

  on_applied (source, result, outcome);
}

static void
test_nested_loop_in_callback (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  Outcome outcomes[3] = { { 0 } };

  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    wp_worker_pool_apply_async (pool, "echo", g_variant_new_uint64 (i), NULL, NULL, on_applied_nest, &outcomes[i]);
  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    {
      iterate_until (&outcomes[i].done);
      g_assert_no_error (outcomes[i].error);
      g_assert_cmpuint (g_variant_get_uint64 (outcomes[i].value), ==, i);
      outcome_clear (&outcomes[i]);
    }
  join_pool (pool);
}

/* Nobody is called back from inside the call itself. */
static void
test_callbacks_come_later (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_auto (Outcome) wrong = { 0 };
  g_auto (Outcome) empty = { 0 };
  g_auto (Outcome) joined = { 0 };

  wp_worker_pool_apply_async (pool, "", NULL, NULL, NULL, on_applied, &wrong);
  wp_worker_pool_map_async (pool, "echo", make_indices (0), NULL, NULL, on_mapped, &empty);
  wp_worker_pool_stop_and_join_async (pool, NULL, on_joined, &joined);
  g_assert_false (wrong.done);
  g_assert_false (empty.done);
  g_assert_false (joined.done);
  iterate_until (&wrong.done);
  iterate_until (&empty.done);
  iterate_until (&joined.done);
  g_assert_error (wrong.error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_no_error (empty.error);
  g_assert_no_error (joined.error);
}

#define N_IN_TURN 100

static void
on_pushed_in_turn (GObject *object, GAsyncResult *result, gpointer data)
{
  WpBatch *batch = WP_BATCH (object);
  guint *n_pushed = data;
  g_autoptr (GError) error = NULL;

  wp_batch_push_finish (batch, result, &error);
  g_assert_no_error (error);
  if (++*n_pushed < N_IN_TURN)
    wp_batch_push_async (batch, g_variant_new_uint64 (*n_pushed), NULL, on_pushed_in_turn, n_pushed);
  else
    wp_batch_close (batch);
}

static void
on_batch_finished (WpBatch *batch, gboolean *finished)
{
  *finished = TRUE;
}

static void
on_result_in_turn (WpBatch *batch, guint64 index, GVariant *value, guint *n_results)
{
  (*n_results)++;
}

/* Each result makes room for the next task: were it to wait for the notifications, there would be one for each. */
static void
test_flow_makes_room (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (WpBatch) batch = NULL;
  guint n_pushed = 0, n_results = 0, n_notified = 0;
  gboolean finished = FALSE;

  wp_task_options_set_max_active_tasks (options, 1);
  batch = start_batch (pool, "echo", options);
  g_signal_connect (batch, "result", G_CALLBACK (on_result_in_turn), &n_results);
  g_signal_connect (batch, "notify::n-completed", G_CALLBACK (on_notify), &n_notified);
  g_signal_connect (batch, "finished", G_CALLBACK (on_batch_finished), &finished);
  wp_batch_push_async (batch, g_variant_new_uint64 (0), NULL, on_pushed_in_turn, &n_pushed);
  iterate_until (&finished);

  g_assert_cmpuint (n_results, ==, N_IN_TURN);
  g_assert_cmpuint (n_notified, >, 0);
  g_assert_cmpuint (n_notified, <, N_IN_TURN / 4);
  join_pool (pool);
}

/* Languages let their users construct any type. */
static void
test_constructed_by_hand (void)
{
  WpBatch *batch = g_object_new (WP_TYPE_BATCH, NULL);
  WpWorker *worker = g_object_new (WP_TYPE_WORKER, NULL);
  g_autoptr (GVariant) item = g_variant_ref_sink (g_variant_new_int32 (1));

  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*wp_batch_get_n_pushed*");
  g_assert_cmpuint (wp_batch_get_n_pushed (batch), ==, 0);
  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*wp_batch_push*");
  g_assert_false (wp_batch_push (batch, item, NULL));
  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*wp_batch_get_n_items*");
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (batch)), ==, 0);
  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*wp_worker_run*");
  g_assert_false (wp_worker_run (worker, NULL));
  g_test_assert_expected_messages ();

  g_assert_finalize_object (batch);
  g_assert_finalize_object (worker);
}

static void
test_no_such_start_method (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);

  g_test_expect_message ("WorkerPool", G_LOG_LEVEL_CRITICAL, "*wp_worker_pool_set_start_method*");
  wp_worker_pool_set_start_method (pool, (WpStartMethod) 99);
  g_test_assert_expected_messages ();
  g_assert_cmpint (wp_worker_pool_get_start_method (pool), ==, WP_START_METHOD_SPAWN);
}

static const FaultTest tests[] = {
  { "/pool/map/every-type-comes-back", test_map_every_type },
  { "/pool/map/mixed-sizes-come-back-in-order", test_map_mixed_sizes },
  { "/pool/map/large-results", test_map_large_results },
  { "/pool/map/continue-leaves-nothing-where-a-task-failed", test_continue_leaves_nothing },
  { "/pool/map/stop-gives-the-first-error", test_stop_gives_the_first_error },
  { "/pool/order/priority-overtakes", test_priority_overtakes },
  { "/pool/order/maps-share-workers", test_maps_share_workers },
  { "/pool/counters", test_counters },
  { "/pool/signals/name-tasks", test_signals_name_tasks },
  { "/pool/signals/started-workers", test_started_workers },
  { "/pool/signals/unwanted-workers-exit-without-error", test_unwanted_workers },
  { "/pool/arguments/none-is-the-empty-tuple", test_no_arguments },
  { "/pool/arguments/wait-for-a-busy-worker", test_full_socket },
  { "/pool/arguments/are-freed-without-the-lock", test_freed_items },
  { "/pool/functions/leave-no-processes", test_left_children },
  { "/pool/functions/are-listed", test_list_functions },
  { "/pool/callbacks/may-iterate-and-wait", test_nested_loop_in_callback },
  { "/pool/callbacks/come-later", test_callbacks_come_later },
  { "/pool/objects/constructed-by-hand-are-inert", test_constructed_by_hand },
  { "/pool/objects/start-method-that-is-none", test_no_such_start_method },
  { "/pool/batch/results-that-flow-make-room-at-once", test_flow_makes_room },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("take-turn", take_turn, NULL, NULL);
  wp_register_function ("leave-child", leave_child, NULL, NULL);
  wp_register_function ("inflate", inflate, NULL, NULL);
  wp_register_function ("fail-odd", fail_odd, NULL, NULL);
  wp_register_function ("hold-or-not", hold_or_not, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
