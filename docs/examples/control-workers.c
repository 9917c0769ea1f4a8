/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <workerpool.h>

/* Runs once in each worker, before its tasks. */
static GVariant *
load_words (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GHashTable *words = g_hash_table_new (g_str_hash, g_str_equal);

  g_hash_table_add (words, (gpointer) "apple");
  g_hash_table_add (words, (gpointer) "pear");
  wp_task_context_set_worker_state (context, words, (GDestroyNotify) g_hash_table_unref);

  return NULL;
}

static GVariant *
is_known (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GHashTable *words = wp_task_context_get_worker_state (context);

  return g_variant_new_boolean (g_hash_table_contains (words, g_variant_get_string (args, NULL)));
}

/* What kind of thing a word names, from the table that all workers share. */
static GVariant *
get_kind (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GVariant *kinds = wp_task_context_get_shared_objects (context);
  const char *kind;

  if (g_variant_lookup (kinds, g_variant_get_string (args, NULL), "&s", &kind))
    return g_variant_new_string (kind);

  return g_variant_new_string ("unknown");
}

/* Never ends by itself; one that can be stopped would ask wp_task_context_is_cancelled (). */
static GVariant *
wait_for_ever (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  while (TRUE)
    g_usleep (G_USEC_PER_SEC);

  return NULL;
}

/* u: how many pages it prints. */
static GVariant *
print_pages (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint n_pages = g_variant_get_uint32 (args);

  for (guint i = 1; i <= n_pages; i++)
    if (!wp_task_context_emit (context, g_variant_new_uint32 (i), error))
      return NULL;

  return g_variant_ref (args);
}

/* Never ends by itself, but when it is cancelled. */
static GVariant *
wait_for_network (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = wp_task_context_get_cancellable (context);
  GPollFD cancelled;

  g_cancellable_make_pollfd (cancellable, &cancelled);
  g_poll (&cancelled, 1, -1);
  g_cancellable_release_fd (cancellable);
  g_cancellable_set_error_if_cancelled (cancellable, error);

  return NULL;
}

/* x: a time before which the service is busy. */
static GVariant *
ask_service (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  if (g_get_monotonic_time () < g_variant_get_int64 (args))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "the service is busy");
      return NULL;
    }

  return g_variant_new_string ("The service answered");
}

static void
look_up (WpWorkerPool *pool, const char *function, const char *words)
{
  g_autoptr (GVariant) found = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  found = wp_worker_pool_map (pool, function, g_variant_new_parsed (words), NULL, NULL, &error);
  if (found == NULL)
    g_error ("%s", error->message);

  text = g_variant_print (found, FALSE);
  g_print ("%s\n", text);
}

static void
wait_no_longer (WpWorkerPool *pool)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_task_timeout (options, 200);
  result = wp_worker_pool_apply (pool, "wait-for-ever", NULL, options, NULL, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    g_print ("The task took too long\n");
}

static void
try_again (WpWorkerPool *pool)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  const gint64 ready = g_get_monotonic_time () + 15 * G_TIME_SPAN_MILLISECOND;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  /* Again after 10 ms, 20 ms and 40 ms. */
  wp_task_options_set_max_retries (options, 3);
  wp_task_options_set_retry_delay (options, 10);
  wp_task_options_set_retry_backoff (options, 2.0);
  wp_task_options_add_retry_error (options, G_IO_ERROR, G_IO_ERROR_BUSY);
  result = wp_worker_pool_apply (pool, "ask-service", g_variant_new_int64 (ready), options, NULL, &error);
  if (result == NULL)
    g_error ("%s", error->message);

  g_print ("%s\n", g_variant_get_string (result, NULL));
}

static void
on_page (guint64 index, GVariant *page, gpointer user_data)
{
  g_print ("Page %u is printed\n", g_variant_get_uint32 (page));
}

static void
follow (WpWorkerPool *pool)
{
  g_autoptr (WpTaskOptions) options = wp_task_options_new ();
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_task_options_set_event_callback (options, on_page, NULL, NULL);
  result = wp_worker_pool_apply (pool, "print-pages", g_variant_new_uint32 (3), options, NULL, &error);
  if (result == NULL)
    g_error ("%s", error->message);
}

static void
on_cancelled (GObject *pool, GAsyncResult *result, gpointer loop)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  value = wp_worker_pool_apply_finish (WP_WORKER_POOL (pool), result, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_print ("The task was cancelled\n");
  g_main_loop_quit (loop);
}

static void
cancel_soon (WpWorkerPool *pool)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  wp_worker_pool_apply_async (pool, "wait-for-network", NULL, NULL, cancellable, on_cancelled, loop);
  g_cancellable_cancel (cancellable);
  g_main_loop_run (loop);
}

static void
show_longest (WpWorkerPool *pool)
{
  g_autoptr (GVariant) insights = wp_worker_pool_get_insights (pool);
  g_autofree const char **args = NULL;

  g_variant_lookup (insights, "top_5_max_task_args", "^a&s", &args);
  g_print ("The longest task had the arguments %s\n", args[0]);
}

int
main (int argc, char *argv[])
{
  g_autoptr (WpWorkerPool) pool = NULL;

  setlocale (LC_ALL, "");
  wp_register_function ("load-words", load_words, NULL, NULL);
  wp_register_function ("is-known", is_known, NULL, NULL);
  wp_register_function ("get-kind", get_kind, NULL, NULL);
  wp_register_function ("wait-for-ever", wait_for_ever, NULL, NULL);
  wp_register_function ("ask-service", ask_service, NULL, NULL);
  wp_register_function ("print-pages", print_pages, NULL, NULL);
  wp_register_function ("wait-for-network", wait_for_network, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  /* Both workers on the first CPU, and after everything else that wants it. */
  pool = wp_worker_pool_new (2);
  wp_worker_pool_set_cpu_ids (pool, g_variant_new_parsed ("[0]"));
  wp_worker_pool_set_nice (pool, 10);
  wp_worker_pool_set_enable_insights (pool, TRUE);
  /* Each loads its words first; after a thousand tasks, or a minute of idleness, it makes room. */
  wp_worker_pool_set_worker_init (pool, "load-words");
  wp_worker_pool_set_worker_lifespan (pool, 1000);
  wp_worker_pool_set_idle_timeout (pool, 60 * 1000);
  /* One that has grown is replaced after its task; more than the second limit it does not get. */
  wp_worker_pool_set_soft_memory_limit (pool, 500 * 1000 * 1000);
  wp_worker_pool_set_hard_memory_limit (pool, 2000 * 1000 * 1000);
  /* Read by every task, and in memory once. */
  wp_worker_pool_set_shared_objects (pool, g_variant_new_parsed ("{'apple': 'fruit', 'pear': 'fruit'}"));

  look_up (pool, "is-known", "['apple', 'stone', 'pear']");
  wait_no_longer (pool);
  try_again (pool);
  follow (pool);
  cancel_soon (pool);
  /* In the place of the worker that was killed there is a new one. */
  look_up (pool, "is-known", "['apple', 'stone', 'pear']");
  look_up (pool, "get-kind", "['pear', 'stone']");
  show_longest (pool);

  wp_worker_pool_stop_and_join (pool, NULL, NULL);

  return 0;
}
