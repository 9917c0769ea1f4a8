/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib-unix.h>
#include <stdlib.h>
#include <workerpool.h>

/* Counts the primes below a number. It may run long, so it asks whether it should go on. */
static GVariant *
count_primes (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint64 end = g_variant_get_uint64 (args);
  guint64 n_primes = 0;

  for (guint64 number = 2; number < end && !wp_task_context_is_cancelled (context); number++)
    {
      guint64 divisor = 2;

      while (divisor * divisor <= number && number % divisor != 0)
        divisor++;
      n_primes += divisor * divisor > number;
    }

  return g_variant_new_uint64 (n_primes);
}

static void
on_counted (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) counts = wp_worker_pool_map_finish (WP_WORKER_POOL (object), result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_print ("Cancelled\n");
    }
  else if (error != NULL)
    {
      g_printerr ("%s\n", error->message);
    }
  else
    {
      g_autofree char *text = g_variant_print (counts, TRUE);

      g_print ("%s\n", text);
    }

  g_main_loop_quit (user_data);
}

static gboolean
on_interrupted (gpointer user_data)
{
  g_cancellable_cancel (user_data);

  return G_SOURCE_CONTINUE;
}

int
main (int argc, char *argv[])
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GMainLoop) loop = NULL;
  guint64 ends[] = { 10, 1000, 100000 };
  GVariant *items;

  wp_register_function ("count-primes", count_primes, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  if (argc > 1)
    ends[2] = g_ascii_strtoull (argv[1], NULL, 10);

  loop = g_main_loop_new (NULL, FALSE);
  cancellable = g_cancellable_new ();
  g_unix_signal_add (SIGINT, on_interrupted, cancellable);

  items = g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, ends, G_N_ELEMENTS (ends),
                                     sizeof ends[0]);
  pool = wp_worker_pool_new (0);
  wp_worker_pool_map_async (pool, "count-primes", items, NULL, cancellable, on_counted, loop);
  g_print ("Counting; Ctrl-C cancels\n");
  g_main_loop_run (loop);

  return EXIT_SUCCESS;
}
