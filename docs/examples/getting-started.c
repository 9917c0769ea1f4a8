/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <workerpool.h>

/* Runs in a worker: an item in, its result out. */
static GVariant *
square (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const gint64 number = g_variant_get_int32 (args);

  return g_variant_new_int64 (number * number);
}

int
main (int argc, char *argv[])
{
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) squares = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  wp_register_function ("square", square, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  pool = wp_worker_pool_new (0);
  squares = wp_worker_pool_map (pool, "square", g_variant_new_parsed ("[1, 2, 3, 4]"), NULL, NULL,
                                &error);
  if (squares == NULL)
    g_error ("%s", error->message);

  text = g_variant_print (squares, FALSE);
  g_print ("%s\n", text);

  return 0;
}
