/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Functions that do what a worker has to cope with, for the tests that start workers: "PATH:symbol". */

#include "workerpool.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define MODULE_FUNCTION(name) \
  G_MODULE_EXPORT GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error); \
  G_MODULE_EXPORT GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)

extern const char *const wp_module_functions[];
G_MODULE_EXPORT const char *const wp_module_functions[] = { "identity", "widen", "fail", "crash", NULL };

MODULE_FUNCTION (identity)
{
  return g_variant_ref (args);
}

/* int32 → int64, floating: the shortest task there is. */
MODULE_FUNCTION (widen)
{
  return g_variant_new_int64 (g_variant_get_int32 (args));
}

MODULE_FUNCTION (fail)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "failed as asked");
  return NULL;
}

/* An error as only broken code makes them. */
MODULE_FUNCTION (fail_badly)
{
  *error = g_error_new_literal (G_IO_ERROR, -7, "");
  g_free ((*error)->message);
  (*error)->message = g_strdup ("caf\xe9");
  return NULL;
}

MODULE_FUNCTION (null)
{
  return NULL;
}

MODULE_FUNCTION (both)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "an error too");
  return g_variant_new_string ("a value");
}

MODULE_FUNCTION (handle)
{
  return g_variant_new ("(sv)", "a handle in a variant", g_variant_new_handle (0));
}

/* Variants within variants, as many as asked for (i). */
MODULE_FUNCTION (deep)
{
  GVariant *value = g_variant_new_string ("bottom");

  for (int i = 0; i < g_variant_get_int32 (args); i++)
    value = g_variant_new_variant (value);

  return value;
}

/* A boolean that is neither. */
MODULE_FUNCTION (not_normal)
{
  static const guint8 two = 2;

  return g_variant_new_from_data (G_VARIANT_TYPE_BOOLEAN, &two, 1, FALSE, NULL, NULL);
}

/* Dies at a negative number (i). */
MODULE_FUNCTION (crash)
{
  if (g_variant_get_int32 (args) < 0)
    raise (SIGKILL);

  return g_variant_ref (args);
}

/* Writes to the standard streams, which are not to be the channel. */
MODULE_FUNCTION (prints)
{
  char byte;

  printf ("printed by a task\n");
  fflush (stdout);
  if (write (STDOUT_FILENO, "written by a task\n", 18) != 18)
    g_error ("Standard output is closed");
  if (read (STDIN_FILENO, &byte, 1) != 0)
    g_error ("Standard input is not empty");

  return g_variant_ref (args);
}

/* As many bytes as asked for (t), of the values 0, 1, … 255, 0, 1, … */
MODULE_FUNCTION (big)
{
  gsize size = g_variant_get_uint64 (args);
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) i;

  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free, bytes);
}

/* Runs until it is cancelled, and returns TRUE; at once for a negative number (i), with FALSE. */
MODULE_FUNCTION (wait_for_cancel)
{
  if (g_variant_get_int32 (args) < 0)
    return g_variant_new_boolean (FALSE);

  while (!wp_task_context_is_cancelled (context))
    g_thread_yield ();

  return g_variant_new_boolean (TRUE);
}

/* Which worker and task this is, as (ut). */
MODULE_FUNCTION (where)
{
  return g_variant_new ("(ut)", wp_task_context_get_worker_id (context), wp_task_context_get_task_index (context));
}

/* The worker's open files, as strings "number target". It watches its owner by descriptors that are none. */
MODULE_FUNCTION (descriptors)
{
  g_autoptr (GDir) folder = g_dir_open ("/proc/self/fd", 0, error);
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_STRING_ARRAY);
  const char *name;

  if (folder == NULL)
    return NULL;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);

      /* The folder that is being read has a descriptor too. */
      if (target != NULL && !g_str_has_prefix (target, "/proc/") && !g_str_has_prefix (target, "anon_inode:"))
        g_variant_builder_add_value (&builder, g_variant_new_take_string (g_strdup_printf ("%s %s", name, target)));
    }

  return g_variant_builder_end (&builder);
}

/* The numbers of the descriptors that a program inherits which a task runs. */
MODULE_FUNCTION (descriptors_of_program)
{
  char line[256] = "";
  FILE *output = popen ("set --; for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /dev/fd/$fd ] && set -- $* $fd; done; "
                        "printf %s \"$*\"", "r");

  if (output == NULL || fgets (line, sizeof line, output) == NULL || pclose (output) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Cannot run a program");
      return NULL;
    }

  return g_variant_new_string (line);
}
