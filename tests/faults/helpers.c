/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "helpers.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patience.h"

const char *
get_method_name (WpStartMethod method)
{
  g_autoptr (GEnumClass) methods = g_type_class_ref (WP_TYPE_START_METHOD);

  return g_enum_get_value (methods, method)->value_nick;
}

WpStartMethod
get_method_by_name (const char *name)
{
  g_autoptr (GEnumClass) methods = g_type_class_ref (WP_TYPE_START_METHOD);
  const GEnumValue *method = g_enum_get_value_by_nick (methods, name);

  if (method == NULL)
    g_error ("“%s” is no start method", name);

  return method->value;
}

WpStartMethod
get_start_method (void)
{
  const char *name = g_getenv (START_METHOD_VARIABLE);

  return name != NULL ? get_method_by_name (name) : WP_START_METHOD_SPAWN;
}

WpWorkerPool *
make_pool_by (WpStartMethod method, guint n_jobs)
{
  WpWorkerPool *pool = wp_worker_pool_new (n_jobs);

  wp_worker_pool_set_start_method (pool, method);

  return pool;
}

WpWorkerPool *
make_pool (guint n_jobs)
{
  return make_pool_by (get_start_method (), n_jobs);
}

static gboolean
can_start (WpStartMethod method)
{
  g_autoptr (WpWorkerPool) pool = make_pool_by (method, 1);
  g_autoptr (GError) error = NULL;

  if (wp_worker_pool_start (pool, &error))
    {
      join_pool (pool);
      return TRUE;
    }

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  return FALSE;
}

guint
list_start_methods (WpStartMethod methods[4])
{
  guint n = 0;

  for (WpStartMethod method = WP_START_METHOD_SPAWN; method <= WP_START_METHOD_THREADING; method++)
    if (can_start (method))
      methods[n++] = method;

  g_assert_cmpuint (n, >, 0);
  return n;
}

WpWorkerPool *
make_pool_over_pipes (guint n_jobs)
{
  WpWorkerPool *pool = wp_worker_pool_new (n_jobs);
  g_autoptr (WpLauncher) launcher = make_launcher (WP_TRANSPORT_STDIO);

  wp_worker_pool_set_launcher (pool, launcher);
  return pool;
}

WpTaskOptions *
make_options (guint chunk_size, guint max_retries, WpOnError on_error)
{
  WpTaskOptions *options = wp_task_options_new ();

  wp_task_options_set_chunk_size (options, chunk_size);
  wp_task_options_set_max_retries (options, max_retries);
  wp_task_options_set_on_error (options, on_error);
  return options;
}

WpLauncher *
make_launcher (WpTransport transport)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *argv[] = { program, NULL };

  return wp_spawn_launcher_new (argv, transport);
}

GVariant *
make_indices (guint64 n)
{
  g_autofree guint64 *indices = g_new (guint64, n);

  for (guint64 i = 0; i < n; i++)
    indices[i] = i;
  return g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, indices, n, sizeof *indices);
}

void
join_pool (WpWorkerPool *pool)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (wp_worker_pool_stop_and_join (pool, NULL, &error));
  g_assert_no_error (error);
}

GVariant *
apply (WpWorkerPool *pool, const char *function, GVariant *args)
{
  g_autoptr (GError) error = NULL;
  GVariant *result = wp_worker_pool_apply (pool, function, args, NULL, NULL, &error);

  g_assert_no_error (error);
  return result;
}

int
apply_pid (WpWorkerPool *pool)
{
  g_autoptr (GVariant) result = apply (pool, "pid", NULL);

  return g_variant_get_int32 (result);
}

WpBatch *
start_batch (WpWorkerPool *pool, const char *function, WpTaskOptions *options)
{
  g_autoptr (GError) error = NULL;
  WpBatch *batch = wp_worker_pool_start_batch (pool, function, options, &error);

  g_assert_no_error (error);
  return batch;
}

void
push_item (WpBatch *batch, GVariant *item)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (wp_batch_push (batch, item, &error));
  g_assert_no_error (error);
}

WpResult *
next_result (WpBatch *batch)
{
  g_autoptr (GError) error = NULL;
  WpResult *result = wp_batch_next (batch, NULL, &error);

  g_assert_no_error (error);
  return result;
}

void
assert_indices (GVariant *results, guint64 n)
{
  g_assert_cmpuint (g_variant_n_children (results), ==, n);
  for (guint64 i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_get_uint64 (value), ==, i);
    }
}

guint64
sum_bytes (GVariant *bytes)
{
  gsize n;
  const guint8 *elements = g_variant_get_fixed_array (bytes, &n, 1);
  guint64 sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += elements[i];

  return sum;
}

void
assert_message (const GError *error, const char *part)
{
  g_test_message ("%s", error->message);
  if (strstr (error->message, part) == NULL)
    g_error ("“%s” does not say “%s”", error->message, part);
}

void
outcome_clear (Outcome *outcome)
{
  g_clear_pointer (&outcome->value, g_variant_unref);
  g_clear_error (&outcome->error);
  outcome->done = FALSE;
}

void
on_applied (GObject *source, GAsyncResult *result, gpointer data)
{
  Outcome *outcome = data;

  g_assert_false (outcome->done);
  outcome->value = wp_worker_pool_apply_finish (WP_WORKER_POOL (source), result, &outcome->error);
  outcome->done = TRUE;
}

void
on_mapped (GObject *source, GAsyncResult *result, gpointer data)
{
  Outcome *outcome = data;

  g_assert_false (outcome->done);
  outcome->value = wp_worker_pool_map_finish (WP_WORKER_POOL (source), result, &outcome->error);
  outcome->done = TRUE;
}

void
on_joined (GObject *source, GAsyncResult *result, gpointer data)
{
  Outcome *outcome = data;

  g_assert_false (outcome->done);
  wp_worker_pool_stop_and_join_finish (WP_WORKER_POOL (source), result, &outcome->error);
  outcome->done = TRUE;
}

void
on_pushed (GObject *source, GAsyncResult *result, gpointer data)
{
  Outcome *outcome = data;

  g_assert_false (outcome->done);
  wp_batch_push_finish (WP_BATCH (source), result, &outcome->error);
  outcome->done = TRUE;
}

static char expected_end[256];

static void
on_patience_ended (int signum)
{
  /* The thread that hangs may hold any lock. */
  if (write (STDERR_FILENO, expected_end, strlen (expected_end)) >= 0)
    abort ();
}

void
expect_end (const char *what)
{
  if (what == NULL)
    {
      alarm (0);
      return;
    }

  g_snprintf (expected_end, sizeof expected_end, "This hangs: %s\n", what);
  signal (SIGALRM, on_patience_ended);
  alarm (PATIENCE_S);
}

void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  *(gboolean *) data = TRUE;
}

void
set_true (gpointer object, gpointer flag)
{
  *(gboolean *) flag = TRUE;
}

void
iterate_pending (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}
