/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Functions for the generic host, called from every language: "PATH:symbol". */

#include "workerpool.h"

#define MODULE_FUNCTION(name) \
  G_MODULE_EXPORT GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error); \
  G_MODULE_EXPORT GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)

/* Between two looks for a file. */
#define LOOK_INTERVAL_US 1000

extern const char *const wp_module_functions[];
G_MODULE_EXPORT const char *const wp_module_functions[] = { "square", "fail", "fail_odd", "hold", "hold_on", "objects",
  "emit", "echo", NULL };

MODULE_FUNCTION (echo)
{
  return g_variant_ref (args);
}

/* int32 → int64 */
MODULE_FUNCTION (square)
{
  gint64 number = g_variant_get_int32 (args);

  return g_variant_new_int64 (number * number);
}

MODULE_FUNCTION (fail)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "failed as asked");
  return NULL;
}

/* As square, but fails at odd numbers. */
MODULE_FUNCTION (fail_odd)
{
  if (g_variant_get_int32 (args) % 2 == 0)
    return square (context, args, user_data, error);

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%d is odd", g_variant_get_int32 (args));
  return NULL;
}

/* Says that it runs, by the file PATH.running, and runs until there is a file PATH. */
static GVariant *
wait_for_file (WpTaskContext *context,
               const char    *path,
               gboolean       minds_cancel,
               GError       **error)
{
  g_autofree char *running = g_strconcat (path, ".running", NULL);

  if (!g_file_set_contents (running, "", 0, error))
    return NULL;

  while (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      if (minds_cancel && wp_task_context_is_cancelled (context))
        return g_variant_new_boolean (FALSE);
      g_usleep (LOOK_INTERVAL_US);
    }

  return g_variant_new_boolean (TRUE);
}

/* PATH (s) → TRUE, or FALSE when it was cancelled. */
MODULE_FUNCTION (hold)
{
  return wait_for_file (context, g_variant_get_string (args, NULL), TRUE, error);
}

/* The same, deaf to a cancellation. */
MODULE_FUNCTION (hold_on)
{
  return wait_for_file (context, g_variant_get_string (args, NULL), FALSE, error);
}

/* → what the workers of the pool share. */
MODULE_FUNCTION (objects)
{
  GVariant *objects = wp_task_context_get_shared_objects (context);

  return objects != NULL ? g_variant_ref (objects) : g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL);
}

/* int32: emits as many numbers, from 0 → the same */
MODULE_FUNCTION (emit)
{
  for (int i = 0; i < g_variant_get_int32 (args); i++)
    if (!wp_task_context_emit (context, g_variant_new_int32 (i), error))
      return NULL;

  return g_variant_ref (args);
}
