/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all workers of a pool can read. */

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  N_STARTED,
  N_TOUCHED,
  N_MEASURED,
  N_FREED,
};

#define MIB (1024u * 1024)

/* What it costs in one worker, if each has a copy, stands out from all else. */
#define LARGE_SIZE (64 * MIB)
#define N_MEASURING 4

/* Beyond what 32 bits and one write () can count. */
#define HUGE_SIZE (G_GUINT64_CONSTANT (2200) * 1000000)
#define MOST_OVER_PIPES (1024 * MIB)

/* t: an index → t, the number in the pool's "at" at that place. */
static GVariant *
look_up (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GVariant *objects = wp_task_context_get_shared_objects (context);
  gsize n;
  const guint64 *numbers = g_variant_get_fixed_array (objects, &n, sizeof *numbers);
  guint64 index = g_variant_get_uint64 (args);

  task_begin (index);
  g_assert_cmpuint (n, >, index);
  task_end (index);

  return g_variant_new_uint64 (numbers[index]);
}

/* (tu), an index and in how many of its runs its worker dies → as look-up */
static GVariant *
look_up_or_die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) index = NULL;
  guint n_deaths;

  g_variant_get (args, "(@tu)", &index, &n_deaths);
  if (task_get_n_begun (g_variant_get_uint64 (index)) < n_deaths)
    {
      task_begin (g_variant_get_uint64 (index));
      raise (SIGKILL);
    }

  return look_up (context, index, user_data, error);
}

/* → mv: what the worker sees. */
static GVariant *
get_objects (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GVariant *objects = wp_task_context_get_shared_objects (context);

  return g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, objects != NULL ? g_variant_new_variant (objects) : NULL);
}

/* t: the address of the value in this process → whether the worker has that object. */
static GVariant *
is_object (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_boolean (GPOINTER_TO_SIZE (wp_task_context_get_shared_objects (context)) ==
                                g_variant_get_uint64 (args));
}

/* → t: its length. */
static GVariant *
get_length (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint64 (g_variant_n_children (wp_task_context_get_shared_objects (context)));
}

/* What this process holds of the machine's memory, in bytes: of what it shares its part. */
static gint64
get_pss (void)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  const char *line;

  g_file_get_contents ("/proc/self/smaps_rollup", &text, NULL, &error);
  g_assert_no_error (error);
  line = strstr (text, "\nPss:");
  g_assert_nonnull (line);

  return g_ascii_strtoll (line + strlen ("\nPss:"), NULL, 10) * 1024;
}

/* → (tx): the sum of the bytes, and how much memory it has cost to look at them while the others did. */
static GVariant *
measure (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  gint64 before, after;
  guint64 sum;

  before = get_pss ();
  counter_add (N_STARTED, 1);
  counter_wait (N_STARTED, N_MEASURING);
  sum = sum_bytes (wp_task_context_get_shared_objects (context));
  counter_add (N_TOUCHED, 1);
  counter_wait (N_TOUCHED, N_MEASURING);
  after = get_pss ();
  counter_add (N_MEASURED, 1);
  counter_wait (N_MEASURED, N_MEASURING);

  return g_variant_new ("(tx)", sum, after - before);
}

/* Changes the first byte, if it can. */
static GVariant *
spoil (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  volatile guint8 *bytes = (guint8 *) g_variant_get_data (wp_task_context_get_shared_objects (context));

  signal (SIGSEGV, SIG_DFL);
  bytes[0]++;

  return g_variant_new_boolean (TRUE);
}

/* How many of this process's descriptors are memory files. */
static guint
count_memory_files (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);

      n += target != NULL && strstr (target, "memfd:workerpool") != NULL;
    }

  return n;
}

static GVariant *
count_descriptors (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (count_memory_files ());
}

static void
free_counted (gpointer data)
{
  counter_add (N_FREED, 1);
  g_free (data);
}

/* ay, or at, of so many bytes. (floating) */
static GVariant *
make_bytes (const char *type, gsize size)
{
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = get_large_byte (i);

  return g_variant_new_from_data (G_VARIANT_TYPE (type), bytes, size, TRUE, free_counted, bytes);
}

/* at: n squares. (floating) */
static GVariant *
make_squares (guint64 n)
{
  g_autofree guint64 *squares = g_new (guint64, n);

  for (guint64 i = 0; i < n; i++)
    squares[i] = i * i;

  return g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, squares, n, sizeof *squares);
}

static void
assert_squares (GVariant *results, guint64 n)
{
  g_assert_cmpuint (g_variant_n_children (results), ==, n);
  for (guint64 i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i * i);
    }
}

/* Of values that go through the channel as well as of those that are mapped. */
static void
check_seen (WpWorkerPool *pool, guint64 n)
{
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  scratch_reset ();
  wp_worker_pool_set_shared_objects (pool, make_squares (n));
  results = wp_worker_pool_map (pool, "look-up", make_indices (1000), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_squares (results, 1000);
  join_pool (pool);
}

static void
test_seen (void)
{
  const guint64 sizes[] = { 1000, 100000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (3);

      check_seen (pool, sizes[i]);
    }
}

static void
test_pipes (void)
{
  const guint64 sizes[] = { 1000, 1000000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (3);
      g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);

      wp_worker_pool_set_launcher (pool, launcher);
      check_seen (pool, sizes[i]);
    }
}

static void
check_value (GVariant *value)
{
  g_autoptr (GVariant) taken = value != NULL ? g_variant_ref_sink (value) : NULL;
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) maybe = NULL;
  g_autoptr (GVariant) boxed = NULL;
  g_autoptr (GVariant) seen = NULL;
  g_autoptr (GVariant) kept = NULL;

  wp_worker_pool_set_shared_objects (pool, taken);
  maybe = apply (pool, "get-objects", NULL);
  boxed = g_variant_get_maybe (maybe);
  seen = boxed != NULL ? g_variant_get_variant (boxed) : NULL;
  kept = wp_worker_pool_get_shared_objects (pool);

  g_assert_cmpint (seen != NULL, ==, taken != NULL);
  g_assert_cmpint (kept != NULL, ==, taken != NULL);
  if (taken != NULL)
    {
      g_assert_cmpvariant (seen, taken);
      g_assert_cmpvariant (kept, taken);
    }
  join_pool (pool);
}

static void
test_values (void)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  const char *const texts[] = { "()", "@as []", "''", "true", "@mv nothing", "(1, 'two', [<3.0>])", "@a{sv} {}" };

  check_value (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    check_value (g_variant_new_parsed (texts[i]));

  /* On both sides of where memory begins to be shared. */
  for (gsize size = 65536 - 32; size <= 65536 + 32; size += 8)
    check_value (make_bytes ("at", size));
  check_value (make_bytes ("ay", 1000003));

  for (guint i = 0; i < 20000; i++)
    {
      g_autofree char *key = g_strdup_printf ("key %u", i);

      g_variant_builder_add (&builder, "{sv}", key, g_variant_new_uint32 (i));
    }
  check_value (g_variant_builder_end (&builder));
}

static void
check_refused (GVariant *value, const char *why)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_shared_objects (pool, value);
  g_assert_false (wp_worker_pool_start (pool, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  assert_message (error, "shared-objects");
  assert_message (error, why);

  /* Nothing has started: it can be set right. */
  wp_worker_pool_set_shared_objects (pool, NULL);
  apply_pid (pool);
  join_pool (pool);
}

static void
test_bad_values (void)
{
  check_refused (g_variant_new_parsed ("[handle 3]"), "holds a file handle");
  check_refused (g_variant_new_parsed ("{'file': <handle 3>}"), "holds a file handle");
  check_refused (g_variant_new_from_data (G_VARIANT_TYPE ("as"), "crooked", 7, FALSE, NULL, NULL),
                 "is not in normal form");
  check_refused (g_variant_new_from_data (G_VARIANT_TYPE ("at"), "crooked", 7, FALSE, NULL, NULL),
                 "is not in normal form");
}

static void
test_once (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (N_MEASURING);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) bytes = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  gint64 cost_of_all = 0;
  guint64 expected_sum;

  if (!g_file_test ("/proc/self/smaps_rollup", G_FILE_TEST_EXISTS))
    {
      g_test_skip ("this kernel does not tell what a process holds of shared memory");
      return;
    }

  bytes = g_variant_ref_sink (make_bytes ("ay", LARGE_SIZE));
  expected_sum = sum_bytes (bytes);
  wp_worker_pool_set_shared_objects (pool, bytes);
  g_clear_pointer (&bytes, g_variant_unref);

  results = wp_worker_pool_map (pool, "measure", make_indices (N_MEASURING), options, NULL, &error);
  g_assert_no_error (error);
  /* Not even the owner has another copy. */
  g_assert_cmpuint (counter_get (N_FREED), ==, 1);

  for (guint i = 0; i < N_MEASURING; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);
      guint64 sum;
      gint64 cost;

      g_variant_get (value, "(tx)", &sum, &cost);
      g_test_message ("worker's part: %" G_GINT64_FORMAT " KiB", cost / 1024);
      g_assert_cmpuint (sum, ==, expected_sum);
      cost_of_all += cost;
    }
  g_assert_cmpint (cost_of_all, >, LARGE_SIZE / 2);
  g_assert_cmpint (cost_of_all, <, LARGE_SIZE * 3 / 2);
  join_pool (pool);
}

static void
test_constant (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (GVariant) bytes = g_variant_ref_sink (make_bytes ("ay", MIB));
  g_autoptr (GVariant) spoiled = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_shared_objects (pool, bytes);
  spoiled = wp_worker_pool_apply (pool, "spoil", NULL, NULL, NULL, &error);
  g_assert_null (spoiled);
  g_assert_error (error, WP_ERROR, WP_ERROR_WORKER_DIED);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GVariant) maybe = apply (pool, "get-objects", NULL);
      g_autoptr (GVariant) boxed = g_variant_get_maybe (maybe);
      g_autoptr (GVariant) seen = g_variant_get_variant (boxed);

      g_assert_cmpvariant (seen, bytes);
    }
  join_pool (pool);
}

static void
test_deaths (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (3);
  g_autoptr (WpTaskOptions) options = make_options (7, 2, WP_ON_ERROR_STOP);
  g_auto (GVariantBuilder) items = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tu)"));
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 n = 300;

  wp_worker_pool_set_shared_objects (pool, make_squares (100000));
  for (guint64 i = 0; i < n; i++)
    g_variant_builder_add (&items, "(tu)", i, i % 30 == 11 ? 2 : 0);
  results = wp_worker_pool_map (pool, "look-up-or-die", g_variant_builder_end (&items), options, NULL, &error);
  g_assert_no_error (error);
  assert_squares (results, n);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (task_get_n_begun (i), ==, i % 30 == 11 ? 3 : 1);
  join_pool (pool);
}

static void
test_threads (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (WP_START_METHOD_THREADING, 3);
  g_autoptr (GVariant) bytes = g_variant_ref_sink (make_bytes ("ay", MIB));
  g_autoptr (GVariant) kept = NULL;

  wp_worker_pool_set_shared_objects (pool, bytes);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GVariant) same = apply (pool, "is-object", g_variant_new_uint64 (GPOINTER_TO_SIZE (bytes)));

      g_assert_true (g_variant_get_boolean (same));
    }
  kept = wp_worker_pool_get_shared_objects (pool);
  g_assert_true (kept == bytes);
  join_pool (pool);
}

static void
test_descriptors (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (3);
  const guint n_before = count_memory_files ();

  wp_worker_pool_set_shared_objects (pool, make_bytes ("ay", MIB));
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GVariant) n = apply (pool, "count-descriptors", NULL);

      g_assert_cmpuint (g_variant_get_uint32 (n), ==, 0);
    }
  join_pool (pool);
  /* The pool itself still lives. */
  g_assert_cmpuint (count_memory_files (), ==, n_before);
}

static guint n_warnings;

static GLogWriterOutput
count_warnings (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  if (level & G_LOG_LEVEL_WARNING)
    n_warnings++;

  return G_LOG_WRITER_HANDLED;
}

static void
test_set_late (void)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) kept = NULL;
  g_autoptr (GVariant) maybe = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  pool = make_pool (1);
  wp_worker_pool_set_shared_objects (pool, g_variant_new_uint32 (1));
  wp_worker_pool_set_shared_objects (pool, g_variant_new_uint32 (2));
  apply_pid (pool);
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_log_set_writer_func (count_warnings, NULL, NULL);

  wp_worker_pool_set_shared_objects (pool, make_bytes ("ay", 10));
  g_assert_cmpuint (n_warnings, ==, 1);
  g_assert_cmpuint (counter_get (N_FREED), ==, 1);
  kept = wp_worker_pool_get_shared_objects (pool);
  g_assert_cmpuint (g_variant_get_uint32 (kept), ==, 2);
  maybe = apply (pool, "get-objects", NULL);
  join_pool (pool);
}

static void
unmap (gpointer data)
{
  g_autoptr (GBytes) region = data;
  gsize size;
  gconstpointer memory = g_bytes_get_data (region, &size);

  munmap ((gpointer) memory, size);
}

/* Zeros, which cost nothing before they are copied. NULL: the test is skipped. */
static GVariant *
make_huge (gsize size)
{
  void *memory;

  if (!g_test_slow ())
    {
      g_test_skip ("takes long: -m slow");
      return NULL;
    }
  if ((guint64) sysconf (_SC_AVPHYS_PAGES) * sysconf (_SC_PAGESIZE) < 2 * size)
    {
      g_test_skip ("too little memory");
      return NULL;
    }

  memory = mmap (NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  g_assert_true (memory != MAP_FAILED);

  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, memory, size, TRUE, unmap,
                                  g_bytes_new_static (memory, size));
}

static void
test_huge (void)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) length = NULL;
  GVariant *objects = make_huge (HUGE_SIZE);

  if (objects == NULL)
    return;

  pool = make_pool (2);
  wp_worker_pool_set_shared_objects (pool, objects);
  length = apply (pool, "length", NULL);
  g_assert_cmpuint (g_variant_get_uint64 (length), ==, HUGE_SIZE);
  join_pool (pool);
}

/* Each worker would need a copy, of more than goes through a pipe at once. */
static void
test_huge_over_pipes (void)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (WpLauncher) launcher = NULL;
  g_autoptr (GVariant) length = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *objects = make_huge (MOST_OVER_PIPES + 1);

  if (objects == NULL)
    return;

  pool = wp_worker_pool_new (1);
  launcher = make_launcher (WP_TRANSPORT_STDIO);
  wp_worker_pool_set_launcher (pool, launcher);
  wp_worker_pool_set_shared_objects (pool, objects);
  length = wp_worker_pool_apply (pool, "length", NULL, NULL, NULL, &error);
  g_assert_null (length);
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  assert_message (error, "without shared memory the most is");
  join_pool (pool);
}

static const FaultTest tests[] = {
  { "/shared-objects/seen-by-every-worker", test_seen },
  { "/shared-objects/seen-by-every-worker/over-pipes", test_pipes },
  { "/shared-objects/seen-by-every-worker/in-place-of-dead-ones", test_deaths, TRUE },
  { "/shared-objects/memory/held-once", test_once, TRUE },
  { "/shared-objects/memory/cannot-be-changed", test_constant, TRUE },
  { "/shared-objects/memory/no-descriptor-stays", test_descriptors, TRUE },
  { "/shared-objects/memory/threads-have-the-original", test_threads },
  { "/shared-objects/value/any", test_values },
  { "/shared-objects/value/refused", test_bad_values },
  { "/shared-objects/value/set-late", test_set_late },
  { "/shared-objects/huge/shared", test_huge },
  { "/shared-objects/huge/over-pipes", test_huge_over_pipes },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("look-up", look_up, NULL, NULL);
  wp_register_function ("look-up-or-die", look_up_or_die, NULL, NULL);
  wp_register_function ("get-objects", get_objects, NULL, NULL);
  wp_register_function ("is-object", is_object, NULL, NULL);
  wp_register_function ("length", get_length, NULL, NULL);
  wp_register_function ("measure", measure, NULL, NULL);
  wp_register_function ("spoil", spoil, NULL, NULL);
  wp_register_function ("count-descriptors", count_descriptors, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
