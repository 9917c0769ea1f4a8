/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <signal.h>
#include <workerpool.h>

/* The size of a file. One that is named "crash" stands for a bug in a library. */
static GVariant *
measure (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const char *path = g_variant_get_string (args, NULL);
  g_autofree char *contents = NULL;
  gsize size;

  if (g_str_equal (path, "crash"))
    raise (SIGKILL);

  if (!g_file_get_contents (path, &contents, &size, error))
    return NULL;

  return g_variant_new_uint64 (size);
}

static void
report (WpResult *result)
{
  const GError *error = wp_result_get_error (result);
  const guint index = (guint) wp_result_get_index (result);

  if (error == NULL)
    g_print ("%u: there is something to read\n", index);
  else if (g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    g_print ("%u: there is no such file\n", index);
  else if (g_error_matches (error, WP_ERROR, WP_ERROR_WORKER_DIED))
    g_print ("%u: %s\n", index, error->message);
  else
    g_error ("%s", error->message);
}

int
main (int argc, char *argv[])
{
  const char *const paths[] = { "/proc/self/stat", "/nowhere", "crash", "/proc/self/status" };
  g_autoptr (WpTaskOptions) options = NULL;
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GError) error = NULL;
  WpResult *result;

  setlocale (LC_ALL, "");
  wp_register_function ("measure", measure, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  options = wp_task_options_new ();
  wp_task_options_set_on_error (options, WP_ON_ERROR_CONTINUE);

  pool = wp_worker_pool_new (2);
  batch = wp_worker_pool_start_batch (pool, "measure", options, &error);
  for (guint i = 0; batch != NULL && i < G_N_ELEMENTS (paths); i++)
    wp_batch_push (batch, g_variant_new_string (paths[i]), &error);
  if (error != NULL)
    g_error ("%s", error->message);
  wp_batch_close (batch);

  while ((result = wp_batch_next (batch, NULL, &error)) != NULL)
    {
      report (result);
      g_object_unref (result);
    }

  return 0;
}
