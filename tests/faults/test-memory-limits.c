/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Workers that have, or want, more memory than they may. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/wp-frame.h"

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#define MIB (G_GUINT64_CONSTANT (1024) * 1024)

/* Far from what a worker begins with, and from each other. */
#define SOFT_LIMIT (64 * MIB)
#define HARD_LIMIT (512 * MIB)
#define BEYOND_SOFT (96 * MIB)
#define LEAK (8 * MIB)
#define BEYOND_HARD (4096 * MIB)

/* Memory that is really there, and stays. A leak that nothing refers to is what a sanitizer looks for. */
static void
leak (gsize size)
{
  static GSList *leaks;
  guint8 *memory = malloc (size);

  g_assert_nonnull (memory);
  for (gsize i = 0; i < size; i += 1024)
    ((volatile guint8 *) memory)[i] = 1;
  leaks = g_slist_prepend (leaks, memory);
}

/* (tt), the index of a task and how much it leaks → (ti), the index and the worker's process. */
static GVariant *
leak_some (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index, size;

  g_variant_get (args, "(tt)", &index, &size);
  task_begin (index);
  if (size > 0)
    leak (size);
  task_end (index);

  return g_variant_new ("(ti)", index, getpid ());
}

/* The same, but its worker dies in the first run of every fortieth task. */
static GVariant *
leak_or_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;

  g_variant_get_child (args, 0, "t", &index);
  if (index % 40 == 3 && task_get_n_begun (index) == 0)
    {
      task_begin (index);
      raise (SIGKILL);
    }

  return leak_some (context, args, user_data, error);
}

static void
be_quiet (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
}

/* As most programs do: it does not look whether there is memory. */
static GVariant *
take_for_granted (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  /* Of a forked worker, the test's would say that the test has failed. */
  g_log_set_default_handler (be_quiet, NULL);
  signal (SIGTRAP, SIG_DFL);
  signal (SIGABRT, SIG_DFL);
  g_free (g_malloc (g_variant_get_uint64 (args)));

  return g_variant_new_boolean (TRUE);
}

/* → whether it got the memory. */
static GVariant *
ask_for (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree gpointer memory = g_try_malloc (g_variant_get_uint64 (args));

  return g_variant_new_boolean (memory != NULL);
}

/* → (ti): the sum of the bytes that the pool shares, and the worker's process. */
static GVariant *
sum_objects (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new ("(ti)", sum_bytes (wp_task_context_get_shared_objects (context)), getpid ());
}

/* Of a test whose workers are limited. */
static gboolean
skip_with_sanitizer (void)
{
#ifdef HAS_SANITIZER
  g_test_skip ("a sanitizer's memory counts as the worker's");
  return TRUE;
#else
  return FALSE;
#endif
}

/* (a(tt)) n tasks, of which those below n_leaking leak so much each. (floating) */
static GVariant *
make_leaks (guint64 n, guint64 n_leaking, guint64 size)
{
  g_auto (GVariantBuilder) items = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tt)"));

  for (guint64 i = 0; i < n; i++)
    g_variant_builder_add (&items, "(tt)", i, i < n_leaking ? size : G_GUINT64_CONSTANT (0));

  return g_variant_builder_end (&items);
}

static int
get_pid_of (GVariant *results, guint64 index)
{
  g_autoptr (GVariant) boxed = g_variant_get_child_value (results, index);
  g_autoptr (GVariant) value = g_variant_get_variant (boxed);
  guint64 seen;
  int pid;

  g_variant_get (value, "(ti)", &seen, &pid);
  g_assert_cmpuint (seen, ==, index);

  return pid;
}

static guint
count_pids (GVariant *results)
{
  g_autoptr (GHashTable) pids = g_hash_table_new (NULL, NULL);

  for (gsize i = 0; i < g_variant_n_children (results); i++)
    g_hash_table_add (pids, GINT_TO_POINTER (get_pid_of (results, i)));

  return g_hash_table_size (pids);
}

typedef struct
{
  guint n_in_order;
  guint n_others;
} Exits;

static void
on_worker_exited (WpWorkerPool *pool, guint worker, int pid, GError *reason, gpointer data)
{
  Exits *exits = data;

  if (reason == NULL)
    exits->n_in_order++;
  else
    exits->n_others++;
}

static WpWorkerPool *
make_soft_pool (guint n_jobs, Exits *exits)
{
  WpWorkerPool *pool = make_pool (n_jobs);

  wp_worker_pool_set_soft_memory_limit (pool, SOFT_LIMIT);
  wp_worker_pool_set_keep_alive (pool, TRUE);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (on_worker_exited), exits);

  return pool;
}

/* Soft */

static void
test_replaced (void)
{
  Exits exits = { 0 };
  g_autoptr (WpWorkerPool) pool = make_soft_pool (2, &exits);
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 n = 60;

  results = wp_worker_pool_map (pool, "leak-some", make_leaks (n, n, LEAK), options, NULL, &error);
  g_assert_no_error (error);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, 1);
  /* Two workers would have come to nearly four times the limit each. */
  g_assert_cmpuint (count_pids (results), >, 3);
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (exits.n_in_order, >, 3);
  g_assert_cmpuint (exits.n_others, ==, 0);
}

/* The first task of a worker is always looked at, and then its chunk is not gone on with. */
static void
test_rest_of_the_chunk (void)
{
  Exits exits = { 0 };
  g_autoptr (WpWorkerPool) pool = make_soft_pool (1, &exits);
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 n = 40;

  if (skip_with_sanitizer ())
    return;

  results = wp_worker_pool_map (pool, "leak-some", make_leaks (n, 1, BEYOND_SOFT), options, NULL, &error);
  g_assert_no_error (error);
  for (guint64 i = 0; i < n; i++)
    {
      g_assert_cmpuint (task_get_n_begun (i), ==, 1);
      if (i > 0)
        g_assert_cmpint (get_pid_of (results, i), !=, get_pid_of (results, 0));
    }
  g_assert_cmpuint (count_pids (results), ==, 2);
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (exits.n_in_order, ==, 2);
  g_assert_cmpuint (exits.n_others, ==, 0);
}

/* A worker that has nothing more to do is looked at, too, however short its task was. */
static void
test_idle (void)
{
  Exits exits = { 0 };
  g_autoptr (WpWorkerPool) pool = make_soft_pool (1, &exits);

  if (skip_with_sanitizer ())
    return;

  for (guint round = 0; round < 3; round++)
    {
      g_autoptr (GVariant) before = apply (pool, "leak-some", g_variant_new ("(tt)", 0, 0));
      g_autoptr (GVariant) leaked = apply (pool, "leak-some", g_variant_new ("(tt)", 0, BEYOND_SOFT));
      int pid_before, pid;

      g_variant_get (before, "(ti)", NULL, &pid_before);
      g_variant_get (leaked, "(ti)", NULL, &pid);
      g_assert_cmpint (pid, ==, pid_before);
      iterate_context_until (NULL, exits.n_in_order > round);
    }
  join_pool (pool);
  g_assert_cmpuint (exits.n_others, ==, 0);
}

static void
test_pipes (void)
{
  Exits exits = { 0 };
  g_autoptr (WpWorkerPool) pool = make_soft_pool (1, &exits);
  g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);
  g_autoptr (WpTaskOptions) options = make_options (10, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 n = 40;

  wp_worker_pool_set_launcher (pool, launcher);
  results = wp_worker_pool_map (pool, "leak-some", make_leaks (n, 1, BEYOND_SOFT), options, NULL, &error);
  g_assert_no_error (error);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, 1);
  g_assert_cmpint (get_pid_of (results, n - 1), !=, get_pid_of (results, 0));
  join_pool (pool);
  iterate_pending ();
  g_assert_cmpuint (exits.n_others, ==, 0);
}

static void
test_deaths (void)
{
  Exits exits = { 0 };
  g_autoptr (WpWorkerPool) pool = make_soft_pool (2, &exits);
  g_autoptr (WpTaskOptions) options = make_options (7, 1, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 n = 120;

  results = wp_worker_pool_map (pool, "leak-or-die", make_leaks (n, n, LEAK), options, NULL, &error);
  g_assert_no_error (error);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, i % 40 == 3 ? 2 : 1);
  join_pool (pool);
  iterate_pending ();
  /* Beside the two that the pool was left with. */
  g_assert_cmpuint (exits.n_in_order, >, 4);
  g_assert_cmpuint (exits.n_others, ==, n / 40);
}

/* Workers that ask what they may not */

enum
{
  GATE,
};

/* (ub): so many requests to be replaced, well-formed or not; then nothing. */
static GVariant *
beg (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint8 start[8] = { 'W', 'P', 'F', 1, WP_FRAME_RETIRE, 0 };
  const guint8 record[8] = { 8, 0, 0, 0, 1, 0, 0, 't' };
  guint64 frame[WP_FRAME_HEADER_SIZE / 8 + 2] = { 0 };
  gboolean well_formed;
  guint n;

  g_variant_get (args, "(ub)", &n, &well_formed);
  memcpy (&frame[0], start, 8);
  frame[2] = GUINT64_TO_LE (well_formed ? 16 : 0);
  memcpy (&frame[4], record, 8);
  for (guint i = 0; i < n; i++)
    write_to_channel ((const guint8 *) frame, WP_FRAME_HEADER_SIZE + (well_formed ? 16 : 0));
  counter_wait (GATE, 1);

  return g_variant_new ("(ti)", G_GUINT64_CONSTANT (0), getpid ());
}

static void
test_once (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) result = NULL;
  int pid;

  counter_set (GATE, 1);
  result = apply (pool, "beg", g_variant_new ("(ub)", 1, TRUE));
  g_variant_get (result, "(ti)", NULL, &pid);
  g_assert_cmpint (apply_pid (pool), !=, pid);
  join_pool (pool);
}

static void
test_out_of_turn (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GError) error = NULL;

      g_assert_null (wp_worker_pool_apply (pool, "beg", g_variant_new ("(ub)", i == 0 ? 2 : 1, i == 0), NULL, NULL,
                                           &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
      assert_message (error, "asked out of turn to be replaced");
      apply_pid (pool);
      join_pool (pool);
    }
}

/* Hard */

static void
test_refused_memory (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GVariant) denied = NULL;
  g_autoptr (GVariant) granted = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  if (skip_with_sanitizer ())
    return;

  wp_worker_pool_set_hard_memory_limit (pool, HARD_LIMIT);
  granted = apply (pool, "ask-for", g_variant_new_uint64 (HARD_LIMIT / 4));
  g_assert_true (g_variant_get_boolean (granted));
  denied = apply (pool, "ask-for", g_variant_new_uint64 (BEYOND_HARD));
  g_assert_false (g_variant_get_boolean (denied));

  g_assert_null (wp_worker_pool_apply (pool, "take-for-granted", g_variant_new_uint64 (BEYOND_HARD), NULL, NULL,
                                       &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  assert_message (error, "hard-memory-limit of 536870912 bytes");
  assert_message (error, "raise it");
  assert_message (error, "task 0 of “take-for-granted”");
  g_clear_error (&error);

  results = wp_worker_pool_map (pool, "record", make_indices (100), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 100);
  join_pool (pool);
}

/* Whoever was killed from outside has not hit its limit. */
static void
test_other_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GError) error = NULL;

  if (skip_with_sanitizer ())
    return;

  wp_worker_pool_set_hard_memory_limit (pool, HARD_LIMIT);
  g_assert_null (wp_worker_pool_apply (pool, "die", g_variant_new ("(tsu)", G_GUINT64_CONSTANT (0), "SIGKILL", 1), NULL,
                                       NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  g_assert_null (strstr (error->message, "hard-memory-limit"));
  join_pool (pool);
}

static void
test_too_low (void)
{
  const guint64 limits[] = { 1, 4096, 2 * MIB };

  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GError) error = NULL;

      wp_worker_pool_set_hard_memory_limit (pool, limits[i]);
      g_assert_null (wp_worker_pool_apply (pool, "pid", NULL, NULL, NULL, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
      assert_message (error, "hard-memory-limit");
      assert_message (error, "raise the limit");
      join_pool (pool);
    }
}

/* Both */

static void
test_shared_objects (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  const gsize size = 3 * SOFT_LIMIT;
  int pids[2] = { 0 };
  void *bytes;

  if (skip_with_sanitizer ())
    return;

  bytes = g_malloc (size);
  memset (bytes, 1, size);
  wp_worker_pool_set_soft_memory_limit (pool, SOFT_LIMIT);
  wp_worker_pool_set_hard_memory_limit (pool, 2 * SOFT_LIMIT);
  wp_worker_pool_set_shared_objects (pool, g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE,
                                                                    g_free, bytes));
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GVariant) result = apply (pool, "sum-objects", NULL);
      guint64 sum;
      int pid;

      g_variant_get (result, "(ti)", &sum, &pid);
      g_assert_cmpuint (sum, ==, size);
      if (pids[0] == 0)
        pids[0] = pid;
      else if (pids[0] != pid && pids[1] == 0)
        pids[1] = pid;
      /* Nobody was replaced. */
      g_assert_true (pid == pids[0] || pid == pids[1]);
    }
  join_pool (pool);
}

static void
test_threading (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool_by (WP_START_METHOD_THREADING, 1);
      g_autoptr (GError) error = NULL;

      if (i == 0)
        wp_worker_pool_set_soft_memory_limit (pool, SOFT_LIMIT);
      else
        wp_worker_pool_set_hard_memory_limit (pool, HARD_LIMIT);
      g_assert_false (wp_worker_pool_start (pool, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
      assert_message (error, i == 0 ? "soft-memory-limit" : "hard-memory-limit");

      /* Nothing has started: it can be set right. */
      wp_worker_pool_set_soft_memory_limit (pool, 0);
      wp_worker_pool_set_hard_memory_limit (pool, 0);
      apply_pid (pool);
      join_pool (pool);
    }
}

static const FaultTest tests[] = {
  { "/memory-limits/soft/worker-is-replaced", test_replaced, TRUE },
  { "/memory-limits/soft/rest-of-the-chunk-runs-elsewhere", test_rest_of_the_chunk, TRUE },
  { "/memory-limits/soft/idle-worker-is-replaced", test_idle, TRUE },
  { "/memory-limits/soft/over-pipes", test_pipes },
  { "/memory-limits/soft/among-deaths", test_deaths, TRUE },
  { "/memory-limits/untrusted/each-is-replaced-once", test_once, TRUE },
  { "/memory-limits/untrusted/out-of-turn", test_out_of_turn, TRUE },
  { "/memory-limits/hard/memory-is-refused", test_refused_memory, TRUE },
  { "/memory-limits/hard/is-not-to-blame-for-other-deaths", test_other_deaths, TRUE },
  { "/memory-limits/hard/too-low-to-start", test_too_low, TRUE },
  { "/memory-limits/both/shared-objects-do-not-count", test_shared_objects, TRUE },
  { "/memory-limits/both/refused-with-threads", test_threading },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("leak-some", leak_some, NULL, NULL);
  wp_register_function ("leak-or-die", leak_or_die, NULL, NULL);
  wp_register_function ("take-for-granted", take_for_granted, NULL, NULL);
  wp_register_function ("beg", beg, NULL, NULL);
  wp_register_function ("ask-for", ask_for, NULL, NULL);
  wp_register_function ("sum-objects", sum_objects, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
