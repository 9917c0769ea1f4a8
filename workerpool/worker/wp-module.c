/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-module.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>

#include <gmodule.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"

static GMutex cache_lock;
static GHashTable *cache; /* function name → WpFunction */

__attribute__ ((constructor)) static void
protect_cache (void)
{
  wp_process_protect_lock (&cache_lock);
}

/* The symbol of "/path/module.so:symbol", NULL when the name has another form. */
static const char *
get_symbol (const char *name)
{
  const char *colon = strrchr (name, ':');

  if (*name != '/' || colon == NULL || colon[1] == '\0' || colon[-1] == '/' || strchr (colon, '/') != NULL)
    return NULL;

  return colon + 1;
}

gboolean
wp_module_is_function_name (const char *name)
{
  return get_symbol (name) != NULL;
}

static GModule *
open_module (const char *path,
             GError    **error)
{
  g_autoptr (GError) module_error = NULL;
  GModule *module;

  module = g_module_open_full (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL, &module_error);
  if (module == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                   "The module “%s” cannot be opened: %s", path, module_error->message);
      return NULL;
    }

  g_module_make_resident (module);

  return module;
}

/* The loader also finds the symbols of every library that the module is linked to: without this,
 * "/path/module.so:system" would call the C library with a task's context for a command. */
static gboolean
is_defined_in (GModule *module,
               gpointer address)
{
  struct stat symbol_file;
  struct stat module_file;
  Dl_info info;

  return dladdr (address, &info) != 0 && info.dli_fname != NULL &&
         stat (info.dli_fname, &symbol_file) == 0 &&
         stat (g_module_name (module), &module_file) == 0 &&
         symbol_file.st_dev == module_file.st_dev && symbol_file.st_ino == module_file.st_ino;
}

static gpointer
find_symbol (GModule    *module,
             const char *name)
{
  gpointer address = NULL;

  if (!g_module_symbol (module, name, &address) || address == NULL || !is_defined_in (module, address))
    return NULL;

  return address;
}

static WpFunction *
cache_lookup (const char *name)
{
  WpFunction *function = NULL;

  g_mutex_lock (&cache_lock);
  if (cache != NULL)
    function = g_hash_table_lookup (cache, name);
  if (function != NULL)
    wp_function_ref (function);
  g_mutex_unlock (&cache_lock);

  return function;
}

static void
cache_insert (const char *name,
              WpFunction *function)
{
  g_mutex_lock (&cache_lock);
  if (cache == NULL)
    cache = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) wp_function_unref);
  g_hash_table_insert (cache, g_strdup (name), wp_function_ref (function));
  g_mutex_unlock (&cache_lock);
}

WpFunction *
wp_module_lookup (const char *name,
                  GError    **error)
{
  g_autofree char *path = NULL;
  g_autofree char *declared = NULL;
  const char *const *names;
  const char *symbol;
  WpFunction *function;
  GModule *module;
  gpointer address;

  symbol = get_symbol (name);
  g_assert (symbol != NULL);

  function = cache_lookup (name);
  if (function != NULL)
    return function;

  path = g_strndup (name, symbol - 1 - name);
  module = open_module (path, error);
  if (module == NULL)
    return NULL;

  address = find_symbol (module, symbol);
  if (address != NULL)
    {
      function = wp_function_new ((WpTaskFunc) address, NULL, NULL);
      cache_insert (name, function);
      return function;
    }

  names = find_symbol (module, WP_MODULE_LIST_SYMBOL);
  if (names != NULL && names[0] != NULL)
    declared = wp_function_describe_names (names);

  if (declared != NULL)
    g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                 "The module “%s” has no symbol “%s”; it declares: %s", path, symbol, declared);
  else
    g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                 "The module “%s” has no symbol “%s”; a function must not be static or hidden to be found",
                 path, symbol);

  return NULL;
}

static GModule *
open_absolute (const char *path,
               GError    **error)
{
  if (!g_path_is_absolute (path))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                   "The module “%s” is not named by its absolute path", path);
      return NULL;
    }

  return open_module (path, error);
}

char **
wp_module_list_functions (const char *path,
                          GError    **error)
{
  g_autoptr (GStrvBuilder) builder = NULL;
  const char *const *names;
  GModule *module;

  module = open_absolute (path, error);
  if (module == NULL)
    return NULL;

  names = find_symbol (module, WP_MODULE_LIST_SYMBOL);
  if (names == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                   "The module “%s” does not say which functions it has: it exports no “%s”",
                   path, WP_MODULE_LIST_SYMBOL);
      return NULL;
    }

  builder = g_strv_builder_new ();
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autofree char *valid = g_utf8_make_valid (names[i], -1);
      g_autofree char *name = g_strdup_printf ("%s:%s", path, valid);

      g_strv_builder_add (builder, name);
    }

  return g_strv_builder_end (builder);
}

gboolean
wp_module_preload (const char *path,
                   GError    **error)
{
  return open_absolute (path, error) != NULL;
}
