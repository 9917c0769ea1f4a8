/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <workerpool.h>

static GVariant *
square (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const gint32 number = g_variant_get_int32 (args);

  if (number < 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%d is no side", number);
      return NULL;
    }

  return g_variant_new_int32 (number * number);
}

/* A task with a pool of its own, whose workers are threads of the process that runs the task. */
static GVariant *
square_row (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);

  wp_worker_pool_set_start_method (pool, WP_START_METHOD_THREADING);

  return wp_worker_pool_map (pool, "square", args, NULL, NULL, error);
}

static void
square_rows (gboolean daemon, const char *rows)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (2);
  g_autoptr (GVariant) squares = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_daemon (pool, daemon);
  squares = wp_worker_pool_map (pool, "square-row", g_variant_new_parsed (rows), NULL, NULL, &error);

  if (squares != NULL)
    {
      g_autofree char *text = g_variant_print (squares, FALSE);

      g_print ("%s\n", text);
    }
  else
    {
      g_print ("%s\n", error->message);
    }
}

int
main (int argc, char *argv[])
{
  setlocale (LC_ALL, "");
  wp_register_function ("square", square, NULL, NULL);
  wp_register_function ("square-row", square_row, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  square_rows (TRUE, "[[1, 2], [3, 4]]");
  square_rows (FALSE, "[[1, 2], [3, 4]]");
  square_rows (FALSE, "[[1, 2], [3, -4]]");

  return 0;
}
