/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is wrong is said, by an error that can be acted on; nothing crashes, hangs or leaks because of it. */

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Functions that break their contract */

static GVariant *
return_nothing (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return NULL;
}

static GVariant *
return_both (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "this as well");
  return g_variant_new_int32 (1);
}

static GVariant *
make_crooked (void)
{
  /* An array of strings whose offsets point nowhere. */
  static const guint8 bytes[] = { 'a', 'b', 'c', 0xff, 0xee };

  return g_variant_new_from_data (G_VARIANT_TYPE_STRING_ARRAY, bytes, sizeof bytes, FALSE, NULL, NULL);
}

static GVariant *
return_crooked (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return make_crooked ();
}

static GVariant *
return_handle (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_handle (0);
}

static GVariant *
get_length (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint64 (g_variant_get_size (args));
}

/* The functions' names */

/* A shared object that there is: the first one that this process has mapped. */
static char *
find_shared_object (void)
{
  g_autofree char *maps = NULL;
  const char *end, *start;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
  end = strstr (maps, ".so");
  g_assert_nonnull (end);
  for (start = end; start[-1] != ' '; start--)
    ;
  end = strchr (end, '\n');
  return g_strndup (start, end - start);
}

static void
test_unknown_function (void)
{
  g_autofree char *object = find_shared_object ();
  g_autofree char *no_symbol = g_strdup_printf ("%s:no_such_symbol", object);
  const struct
  {
    const char *name;
    const char *says;
  } functions[] = {
    { "no-such-function", "no-such-function" },
    { "/no/such/module.so:run", "/no/such/module.so" },
    { "/proc/self/status:run", "/proc/self/status" },
    { no_symbol, "no_such_symbol" },
    { "/proc:run", "/proc" },
    { ":", ":" },
    { "relative.so:run", "relative.so:run" },
    { "workerpool:no-such-thing", "workerpool:no-such-thing" },
  };
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpTaskOptions) options = make_options (0, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  int pid;

  wp_worker_pool_set_keep_alive (pool, TRUE);
  pid = apply_pid (pool);
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (wp_worker_pool_apply (pool, functions[i].name, NULL, NULL, NULL, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
      assert_message (error, functions[i].says);
    }

  batch = start_batch (pool, "no-such-function", options);
  for (guint i = 0; i < 10; i++)
    push_item (batch, g_variant_new_uint32 (i));
  wp_batch_close (batch);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
    }
  /* None of this is the worker's fault. */
  g_assert_cmpint (apply_pid (pool), ==, pid);
  join_pool (pool);
}

static void
test_wrong_names (void)
{
  g_autofree char *overlong = g_strnfill (5000, 'x');
  const char *names[] = { NULL, "", overlong, "caf\xe9" };
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      g_auto (Outcome) applied = { 0 };
      g_auto (Outcome) mapped = { 0 };

      g_assert_null (wp_worker_pool_apply (pool, names[i], g_variant_new_int32 (1), NULL, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      assert_message (error, "name");
      g_clear_error (&error);
      g_assert_null (wp_worker_pool_map (pool, names[i], make_indices (3), NULL, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
      g_assert_null (wp_worker_pool_start_batch (pool, names[i], NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);

      wp_worker_pool_apply_async (pool, names[i], g_variant_new_int32 (1), NULL, NULL, on_applied, &applied);
      wp_worker_pool_map_async (pool, names[i], make_indices (3), NULL, NULL, on_mapped, &mapped);
      iterate_until (&applied.done);
      iterate_until (&mapped.done);
      g_assert_error (applied.error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      g_assert_error (mapped.error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    }
  g_assert_cmpuint (wp_worker_pool_get_n_workers (pool), ==, 0);
}

/* Items and arguments */

static void
test_items_that_are_no_array (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);

  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GVariant) items = NULL;
      g_autoptr (GError) error = NULL;
      g_auto (Outcome) mapped = { 0 };

      if (i == 1)
        items = g_variant_ref_sink (g_variant_new_int32 (1));
      else if (i == 2)
        items = g_variant_ref_sink (g_variant_new ("(ii)", 1, 2));
      else if (i == 3)
        items = g_variant_ref_sink (g_variant_new_variant (make_indices (3)));

      g_assert_null (wp_worker_pool_map (pool, "echo", items, NULL, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      assert_message (error, "array");
      wp_worker_pool_map_async (pool, "echo", items, NULL, NULL, on_mapped, &mapped);
      iterate_until (&mapped.done);
      g_assert_error (mapped.error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    }
}

/* There is nothing to do, so it does not matter that nobody could. */
static void
test_empty_items (void)
{
  const char *argv[] = { "/no/such/host", NULL };
  const char *types[] = { "ai", "av", "as", "a{sv}", "aay" };
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);

  wp_worker_pool_set_host (pool, argv);
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      GVariant *items = g_variant_new_array (G_VARIANT_TYPE (types[i] + 1), NULL, 0);
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;
      g_auto (Outcome) mapped = { 0 };

      wp_worker_pool_map_async (pool, "echo", g_variant_ref_sink (items), NULL, NULL, on_mapped, &mapped);
      results = wp_worker_pool_map (pool, "echo", items, NULL, NULL, &error);
      g_variant_unref (items);
      iterate_until (&mapped.done);
      g_assert_no_error (error);
      g_assert_no_error (mapped.error);
      g_assert_cmpstr (g_variant_get_type_string (results), ==, "av");
      g_assert_cmpuint (g_variant_n_children (results), ==, 0);
      g_assert_cmpuint (g_variant_n_children (mapped.value), ==, 0);
    }
  join_pool (pool);
}

static void
count_free (gpointer data)
{
  (*(guint *) data)++;
}

static GVariant *
make_counted (guint *n_freed)
{
  static const gint32 numbers[] = { 1, 2, 3 };

  return g_variant_new_from_data (G_VARIANT_TYPE ("ai"), numbers, sizeof numbers, TRUE, count_free, n_freed);
}

static void
test_floating_references (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GVariant) held = NULL;
  guint n_freed = 0, n_held_freed = 0;
  const char *names[] = { "echo", "fail", "" };

  held = g_variant_ref_sink (make_counted (&n_held_freed));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Outcome) applied = { 0 };
      g_auto (Outcome) mapped = { 0 };
      g_autoptr (GVariant) a = NULL;
      g_autoptr (GVariant) b = NULL;

      wp_worker_pool_apply_async (pool, names[i], make_counted (&n_freed), NULL, NULL, on_applied, &applied);
      wp_worker_pool_map_async (pool, names[i], make_counted (&n_freed), NULL, NULL, on_mapped, &mapped);
      iterate_until (&applied.done);
      iterate_until (&mapped.done);
      a = wp_worker_pool_apply (pool, names[i], make_counted (&n_freed), NULL, NULL, NULL);
      b = wp_worker_pool_map (pool, names[i], make_counted (&n_freed), NULL, NULL, NULL);
      wp_worker_pool_apply_async (pool, names[i], held, NULL, NULL, NULL, NULL);
      wp_worker_pool_map_async (pool, names[i], held, NULL, NULL, NULL, NULL);
    }
  push_item (batch, make_counted (&n_freed));
  push_item (batch, held);
  wp_batch_close (batch);
  g_assert_false (wp_batch_push (batch, make_counted (&n_freed), NULL));
  join_pool (pool);
  iterate_pending ();
  g_clear_object (&batch);
  g_clear_object (&pool);

  g_assert_cmpuint (n_freed, ==, 4 * G_N_ELEMENTS (names) + 2);
  g_assert_cmpuint (n_held_freed, ==, 0);
  g_clear_pointer (&held, g_variant_unref);
  g_assert_cmpuint (n_held_freed, ==, 1);
}

static void
test_crooked_values (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) applied = { 0 };
  g_auto (Outcome) pushed = { 0 };

  g_assert_null (wp_worker_pool_apply (pool, "echo", make_crooked (), NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  assert_message (error, "normal form");
  g_clear_error (&error);
  g_assert_null (wp_worker_pool_map (pool, "echo", make_crooked (), NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (wp_batch_push (batch, make_crooked (), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  wp_worker_pool_apply_async (pool, "echo", make_crooked (), NULL, NULL, on_applied, &applied);
  wp_batch_push_async (batch, make_crooked (), NULL, on_pushed, &pushed);
  iterate_until (&applied.done);
  iterate_until (&pushed.done);
  g_assert_error (applied.error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_error (pushed.error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  join_pool (pool);
}

static guint64
get_available_memory (void)
{
  g_autofree char *meminfo = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/meminfo", &meminfo, NULL, NULL))
    return 0;
  line = strstr (meminfo, "MemAvailable:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024 : 0;
}

/* More than what 31 bits count. */
#define HUGE_SIZE (((gsize) 1 << 31) + 4096)

static void
unmap_huge (gpointer data)
{
  munmap (data, HUGE_SIZE);
}

static void
test_huge_argument (void)
{
  const gsize size = HUGE_SIZE;
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *args;
  void *memory;

  if (!g_test_slow ())
    {
      g_test_skip ("takes long: -m slow");
      return;
    }
  if (get_available_memory () < 2 * size)
    {
      g_test_skip ("too little memory");
      return;
    }

  memory = mmap (NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  g_assert_true (memory != MAP_FAILED);
  args = g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, memory, size, TRUE, unmap_huge, memory);

  pool = make_pool (1);
  result = wp_worker_pool_apply (pool, "length", args, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint64 (result), ==, size);
  join_pool (pool);
}

/* Results */

static void
test_wrong_results (void)
{
  const char *functions[] = { "return-nothing", "return-both", "return-crooked", "return-handle" };
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  int pid = apply_pid (pool);

  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (wp_worker_pool_apply (pool, functions[i], NULL, NULL, NULL, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_INVALID_RESULT);
      assert_message (error, functions[i]);
    }
  g_assert_cmpint (apply_pid (pool), ==, pid);
  join_pool (pool);
}

static void
test_errors_keep_their_identity (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_worker_pool_apply (pool, "fail", NULL, NULL, NULL, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
  g_assert_cmpstr (error->message, ==, "it is a folder");
  g_clear_error (&error);
  g_assert_null (wp_worker_pool_map (pool, "fail", make_indices (3), NULL, NULL, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
  join_pool (pool);
}

/* Sizes */

static void
test_numbers_of_workers (void)
{
  const guint numbers[] = { 0, 1, 7 };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (numbers[i]);
      g_autoptr (GVariant) results = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_cmpuint (wp_worker_pool_get_n_jobs (pool), ==, numbers[i] > 0 ? numbers[i] : wp_cpu_count ());
      results = wp_worker_pool_map (pool, "record", make_indices (100), NULL, NULL, &error);
      g_assert_no_error (error);
      assert_indices (results, 100);
      join_pool (pool);
    }
}

/* All of them live at once. */
static void
test_very_many_workers (void)
{
  const guint n_jobs = g_test_slow () ? 1000 : 256;
  g_autoptr (WpWorkerPool) pool = make_pool (n_jobs);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GHashTable) pids = g_hash_table_new (NULL, NULL);
  g_auto (Outcome) mapped = { 0 };
  struct rlimit limit;
  GVariantBuilder items;

  getrlimit (RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 4 * n_jobs)
    {
      limit.rlim_cur = MIN (limit.rlim_max, 4 * n_jobs);
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
    }

  g_variant_builder_init (&items, G_VARIANT_TYPE ("a(uu)"));
  for (guint i = 0; i < n_jobs; i++)
    g_variant_builder_add (&items, "(uu)", 0, 1);
  wp_worker_pool_map_async (pool, "hold", g_variant_builder_end (&items), options, NULL, on_mapped, &mapped);
  counter_wait (0, n_jobs);
  counter_set (1, 1);
  iterate_until (&mapped.done);
  g_assert_no_error (mapped.error);
  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (mapped.value, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_hash_table_add (pids, GINT_TO_POINTER (g_variant_get_int32 (value)));
    }
  g_assert_cmpuint (g_hash_table_size (pids), ==, n_jobs);
  join_pool (pool);
}

static void
test_chunks (void)
{
  const guint sizes[] = { 0, 1, 7, 100, 101, 32768 };
  g_autoptr (WpWorkerPool) pool = make_pool (2);

  wp_worker_pool_set_keep_alive (pool, TRUE);
  for (guint by_size = 0; by_size < 2; by_size++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      {
        g_autoptr (WpTaskOptions) options = wp_task_options_new ();
        g_autoptr (GVariant) results = NULL;
        g_autoptr (GError) error = NULL;

        if (by_size)
          wp_task_options_set_chunk_size (options, sizes[i]);
        else
          wp_task_options_set_n_splits (options, sizes[i]);
        results = wp_worker_pool_map (pool, "echo", make_indices (100), options, NULL, &error);
        g_assert_no_error (error);
        assert_indices (results, 100);
      }
  join_pool (pool);
}

/* Hosts */

static void
check_host (const char *const *argv, WpTransport transport, guint start_timeout, const char *says)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpLauncher) launcher = wp_spawn_launcher_new (argv, transport);
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_launcher (pool, launcher);
  if (start_timeout > 0)
    wp_worker_pool_set_start_timeout (pool, start_timeout);
  g_assert_null (wp_worker_pool_map (pool, "echo", make_indices (10), NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  assert_message (error, says);
  join_pool (pool);
}

static void
test_host_cannot_be_run (void)
{
  const char *missing[] = { "/no/such/host", NULL };
  const char *not_in_path[] = { "no-such-host-in-any-path", NULL };
  const char *folder[] = { "/usr", NULL };
  const char *not_executable[] = { "/etc/passwd", NULL };

  check_host (missing, WP_TRANSPORT_SOCKET, 0, "/no/such/host");
  check_host (missing, WP_TRANSPORT_STDIO, 0, "/no/such/host");
  check_host (not_in_path, WP_TRANSPORT_SOCKET, 0, "no-such-host-in-any-path");
  check_host (folder, WP_TRANSPORT_SOCKET, 0, "/usr");
  check_host (not_executable, WP_TRANSPORT_SOCKET, 0, "/etc/passwd");
}

static void
test_host_exits (void)
{
  const char *failing[] = { "/bin/false", NULL };
  const char *done[] = { "/bin/true", NULL };

  check_host (failing, WP_TRANSPORT_SOCKET, 0, "exited with status 1 before it reported in; is its host");
  check_host (done, WP_TRANSPORT_SOCKET, 0, "exited with status 0 before it reported in; is its host");
  check_host (failing, WP_TRANSPORT_STDIO, 0, "worker 0");
}

static void
test_host_never_answers (void)
{
  const char *silent[] = { "/bin/sleep", "1000", NULL };

  check_host (silent, WP_TRANSPORT_SOCKET, 200, "start-timeout");
  check_host (silent, WP_TRANSPORT_STDIO, 200, "start-timeout");
}

/* Over the standard streams what it prints comes before the first frame. */
static void
test_host_prints_first (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *talkative[] = { "/bin/sh", "-c", "echo Welcome to this machine, it has a message of the day; exec \"$0\"",
                              program, NULL };
  const char *loud[] = { "/bin/sh", "-c", "exec cat /dev/zero", NULL };
  const char *babbling[] = { "/bin/sh", "-c", "exec cat /dev/urandom", NULL };

  check_host (talkative, WP_TRANSPORT_STDIO, 0, "worker 0");
  check_host (loud, WP_TRANSPORT_STDIO, 0, "worker 0");
  check_host (babbling, WP_TRANSPORT_STDIO, 0, "worker 0");
}

/* Beside the channel it may print what it wants. */
static void
test_host_prints_aside (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *talkative[] = { "/bin/sh", "-c", "echo Welcome; echo Beware >&2; exec \"$0\"", program, NULL };
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      g_test_trap_assert_stdout ("*Welcome*");
      g_test_trap_assert_stderr ("*Beware*");
      return;
    }

  pool = wp_worker_pool_new (1);
  wp_worker_pool_set_host (pool, talkative);
  results = wp_worker_pool_map (pool, "echo", make_indices (10), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 10);
  join_pool (pool);
}

/* Moments */

static void
assert_closed (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) applied = { 0 };
  g_auto (Outcome) mapped = { 0 };

  g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  assert_message (error, "make a new one");
  g_clear_error (&error);
  g_assert_null (wp_worker_pool_map (pool, "echo", make_indices (3), NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (wp_worker_pool_start_batch (pool, "echo", NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (wp_worker_pool_list_functions (pool, NULL, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  wp_worker_pool_apply_async (pool, "echo", NULL, NULL, NULL, on_applied, &applied);
  wp_worker_pool_map_async (pool, "echo", make_indices (3), NULL, NULL, on_mapped, &mapped);
  iterate_until (&applied.done);
  iterate_until (&mapped.done);
  g_assert_error (applied.error, WP_ERROR, WP_ERROR_CLOSED);
  g_assert_error (mapped.error, WP_ERROR, WP_ERROR_CLOSED);
}

static void
test_after_the_end (void)
{
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);

      if (i % 2 == 0)
        apply_pid (pool);
      if (i / 2 == 0)
        join_pool (pool);
      else
        wp_worker_pool_terminate (pool);
      assert_closed (pool);
      join_pool (pool);
      assert_closed (pool);
    }
}

static void
assert_takes_no_more (WpBatch *batch)
{
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) pushed = { 0 };

  g_assert_false (wp_batch_push (batch, g_variant_new_uint64 (1), &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_CLOSED);
  g_assert_cmpuint (wp_batch_get_room (batch), ==, 0);
  wp_batch_push_async (batch, g_variant_new_uint64 (1), NULL, on_pushed, &pushed);
  iterate_until (&pushed.done);
  g_assert_error (pushed.error, WP_ERROR, WP_ERROR_CLOSED);
  g_test_message ("%s", pushed.error->message);
}

static void
test_push_after_the_end (void)
{
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (WpBatch) batch = start_batch (pool, "echo", NULL);

      push_item (batch, g_variant_new_uint64 (0));
      if (i == 0)
        wp_batch_close (batch);
      else if (i == 1)
        wp_batch_cancel (batch);
      else if (i == 2)
        join_pool (pool);
      else
        wp_worker_pool_terminate (pool);
      assert_takes_no_more (batch);
      join_pool (pool);
      assert_takes_no_more (batch);
    }
}

static guint n_warnings;

static GLogWriterOutput
count_warnings (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  n_warnings += (level & G_LOG_LEVEL_WARNING) != 0;
  return G_LOG_WRITER_HANDLED;
}

static void
test_settings_of_a_started_pool (void)
{
  const char *argv[] = { "/bin/true", NULL };
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (WpLauncher) launcher = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  pool = wp_worker_pool_new (1);
  apply_pid (pool);
  launcher = make_launcher (WP_TRANSPORT_SOCKET);
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_log_set_writer_func (count_warnings, NULL, NULL);

  wp_worker_pool_set_n_jobs (pool, 3);
  wp_worker_pool_set_daemon (pool, FALSE);
  wp_worker_pool_set_keep_alive (pool, TRUE);
  wp_worker_pool_set_start_method (pool, WP_START_METHOD_THREADING);
  wp_worker_pool_set_start_timeout (pool, 5);
  wp_worker_pool_set_grace_period (pool, 5);
  wp_worker_pool_set_host (pool, argv);
  wp_worker_pool_set_launcher (pool, launcher);

  g_assert_cmpuint (n_warnings, ==, 8);
  g_assert_cmpuint (wp_worker_pool_get_n_jobs (pool), ==, 1);
  g_assert_true (wp_worker_pool_get_daemon (pool));
  g_assert_false (wp_worker_pool_get_keep_alive (pool));
  g_assert_cmpint (wp_worker_pool_get_start_method (pool), ==, WP_START_METHOD_SPAWN);
  g_assert_cmpuint (wp_worker_pool_get_start_timeout (pool), ==, 10000);
  g_assert_cmpuint (wp_worker_pool_get_grace_period (pool), ==, 500);
  g_assert_null (wp_worker_pool_get_host (pool));
  g_assert_null (wp_worker_pool_get_launcher (pool));

  apply_pid (pool);
  join_pool (pool);
}

/* Those that run this program's own functions cannot run another program. */
static void
test_start_methods (void)
{
  const WpStartMethod methods[] = { WP_START_METHOD_FORK, WP_START_METHOD_THREADING };
  const char *const names[] = { "fork", "threading" };
  const char *const host[] = { "/bin/cat", NULL };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (1);
      g_autoptr (GError) error = NULL;

      wp_worker_pool_set_start_method (pool, methods[i]);
      wp_worker_pool_set_host (pool, host);
      g_assert_null (wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
      assert_message (error, names[i]);
      assert_message (error, "/bin/cat");
      wp_worker_pool_set_host (pool, NULL);
      apply_pid (pool);
      join_pool (pool);
    }
}

static const FaultTest tests[] = {
  { "/bad-input/function/unknown", test_unknown_function },
  { "/bad-input/function/wrong-name", test_wrong_names },
  { "/bad-input/items/no-array", test_items_that_are_no_array },
  { "/bad-input/items/none", test_empty_items },
  { "/bad-input/items/floating-ones-are-consumed", test_floating_references },
  { "/bad-input/items/not-in-normal-form", test_crooked_values },
  { "/bad-input/items/huge", test_huge_argument },
  { "/bad-input/result/breaks-the-contract", test_wrong_results },
  { "/bad-input/result/errors-keep-their-identity", test_errors_keep_their_identity },
  { "/bad-input/size/workers", test_numbers_of_workers },
  { "/bad-input/size/very-many-workers", test_very_many_workers, TRUE },
  { "/bad-input/size/chunks", test_chunks },
  { "/bad-input/host/cannot-be-run", test_host_cannot_be_run },
  { "/bad-input/host/exits-at-once", test_host_exits },
  { "/bad-input/host/never-answers", test_host_never_answers },
  { "/bad-input/host/prints-into-its-channel", test_host_prints_first },
  { "/bad-input/host/prints-beside-its-channel", test_host_prints_aside },
  { "/bad-input/moment/pool-has-ended", test_after_the_end },
  { "/bad-input/moment/batch-has-ended", test_push_after_the_end },
  { "/bad-input/moment/settings-of-a-started-pool", test_settings_of_a_started_pool },
  { "/bad-input/moment/unsupported-start-methods", test_start_methods },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("return-nothing", return_nothing, NULL, NULL);
  wp_register_function ("return-both", return_both, NULL, NULL);
  wp_register_function ("return-crooked", return_crooked, NULL, NULL);
  wp_register_function ("return-handle", return_handle, NULL, NULL);
  wp_register_function ("length", get_length, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
