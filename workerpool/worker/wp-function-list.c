/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-function-list.h"

#include "worker/wp-module.h"

static GVariant *
list_functions (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_auto (GStrv) names = NULL;
  const char *module;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE ("(s)")))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the functions are listed for “(s)”, the path of a module or nothing, not for “%s”",
                   g_variant_get_type_string (args));
      return NULL;
    }

  g_variant_get (args, "(&s)", &module);
  names = module[0] == '\0' ? wp_list_functions () : wp_module_list_functions (module, error);

  return names != NULL ? g_variant_new_strv ((const char *const *) names, -1) : NULL;
}

WpFunction *
wp_function_list_new (void)
{
  return wp_function_new (list_functions, NULL, NULL);
}
