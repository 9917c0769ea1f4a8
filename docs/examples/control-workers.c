/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <workerpool.h>

/* What is loaded once in each worker, and freed when it ends. */
static GHashTable *
get_words (WpTaskContext *context)
{
  GHashTable *words = wp_task_context_get_worker_state (context);

  if (words == NULL)
    {
      words = g_hash_table_new (g_str_hash, g_str_equal);
      g_hash_table_add (words, (gpointer) "apple");
      g_hash_table_add (words, (gpointer) "pear");
      wp_task_context_set_worker_state (context, words, (GDestroyNotify) g_hash_table_unref);
    }

  return words;
}

static GVariant *
is_known (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_boolean (g_hash_table_contains (get_words (context), g_variant_get_string (args, NULL)));
}

/* Never ends by itself; one that can be stopped would ask wp_task_context_is_cancelled (). */
static GVariant *
wait_for_ever (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  while (TRUE)
    g_usleep (G_USEC_PER_SEC);

  return NULL;
}

static void
look_up (WpWorkerPool *pool)
{
  g_autoptr (GVariant) known = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  known = wp_worker_pool_map (pool, "is-known", g_variant_new_parsed ("['apple', 'stone', 'pear']"), NULL, NULL,
                              &error);
  if (known == NULL)
    g_error ("%s", error->message);

  text = g_variant_print (known, FALSE);
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

int
main (int argc, char *argv[])
{
  g_autoptr (WpWorkerPool) pool = NULL;

  setlocale (LC_ALL, "");
  wp_register_function ("is-known", is_known, NULL, NULL);
  wp_register_function ("wait-for-ever", wait_for_ever, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  /* Both workers on the first CPU, and after everything else that wants it. */
  pool = wp_worker_pool_new (2);
  wp_worker_pool_set_cpu_ids (pool, g_variant_new_parsed ("[0]"));
  wp_worker_pool_set_nice (pool, 10);

  look_up (pool);
  wait_no_longer (pool);
  /* In the place of the worker that was killed there is a new one. */
  look_up (pool);

  wp_worker_pool_stop_and_join (pool, NULL, NULL);

  return 0;
}
