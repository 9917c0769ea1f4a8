/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gmodule.h>
#include <workerpool.h>

/* What the generic host looks up by name must be exported. */
G_MODULE_EXPORT GVariant *
count_words (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error);
G_MODULE_EXPORT extern const char *const wp_module_functions[];

/* What the module offers; for people and tools that ask. */
const char *const wp_module_functions[] = { "count_words", NULL };

GVariant *
count_words (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_auto (GStrv) words = NULL;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE_STRING))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "count_words takes a string, not “%s”", g_variant_get_type_string (args));
      return NULL;
    }

  words = g_strsplit_set (g_variant_get_string (args, NULL), " \t\n", -1);

  return g_variant_new_uint32 (g_strv_length (words));
}
