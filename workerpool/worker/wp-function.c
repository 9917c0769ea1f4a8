/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-function-private.h"

#include <string.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-process.h"
#include "worker/wp-function-list.h"
#include "worker/wp-module.h"
#include "worker/wp-program.h"

/* Names travel in the head of every chunk. */
#define WP_FUNCTION_MAX_NAME 1024

/* An error message is for a person: more names than this do not help. */
#define WP_FUNCTION_MAX_DESCRIBED 20

struct _WpFunction
{
  WpTaskFunc function;
  gpointer user_data;
  GDestroyNotify destroy;
};

static GMutex registry_lock;
static GHashTable *registry; /* name → WpFunction */

__attribute__ ((constructor)) static void
protect_registry (void)
{
  wp_process_protect_lock (&registry_lock);
}

static void
wp_function_clear (gpointer data)
{
  WpFunction *self = data;

  if (self->destroy != NULL)
    self->destroy (self->user_data);
}

WpFunction *
wp_function_new (WpTaskFunc     function,
                 gpointer       user_data,
                 GDestroyNotify destroy)
{
  WpFunction *self = g_atomic_rc_box_new0 (WpFunction);

  self->function = function;
  self->user_data = user_data;
  self->destroy = destroy;

  return self;
}

WpFunction *
wp_function_ref (WpFunction *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
wp_function_unref (WpFunction *self)
{
  g_atomic_rc_box_release_full (self, wp_function_clear);
}

GVariant *
wp_function_call (WpFunction    *self,
                  WpTaskContext *context,
                  GVariant      *args,
                  GError       **error)
{
  return self->function (context, args, self->user_data, error);
}

char *
wp_function_describe_names (const char *const *names)
{
  GString *list = g_string_new (NULL);
  guint n_names = g_strv_length ((char **) names);

  for (guint i = 0; i < MIN (n_names, WP_FUNCTION_MAX_DESCRIBED); i++)
    g_string_append_printf (list, "%s%s", i > 0 ? ", " : "", names[i]);

  if (n_names > WP_FUNCTION_MAX_DESCRIBED)
    g_string_append_printf (list, " and %u more", n_names - WP_FUNCTION_MAX_DESCRIBED);

  return g_string_free (list, FALSE);
}

WpFunction *
wp_function_lookup (const char *name,
                    GError    **error)
{
  g_auto (GStrv) names = NULL;
  g_autofree char *known = NULL;
  WpFunction *function = NULL;

  g_mutex_lock (&registry_lock);
  if (registry != NULL)
    function = g_hash_table_lookup (registry, name);
  if (function != NULL)
    wp_function_ref (function);
  g_mutex_unlock (&registry_lock);

  if (function != NULL)
    return function;

  if (g_str_equal (name, WP_FUNCTION_LIST))
    return wp_function_list_new ();

  if (wp_module_is_function_name (name))
    return wp_module_lookup (name, error);

  names = wp_list_functions ();
  if (names[0] == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                   "The host %s does not know the function “%s”: it has registered none; name a function of a "
                   "module as /path/module.so:symbol, or choose a host that registers it",
                   wp_program_get_name (), name);
      return NULL;
    }

  known = wp_function_describe_names ((const char *const *) names);
  g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
               "The host %s does not know the function “%s”; it knows: %s",
               wp_program_get_name (), name, known);

  return NULL;
}

static gboolean
is_valid_name (const char *name)
{
  gsize length = strlen (name);

  if (length == 0 || length > WP_FUNCTION_MAX_NAME || !g_utf8_validate (name, length, NULL))
    return FALSE;

  for (const char *p = name; *p != '\0'; p = g_utf8_next_char (p))
    {
      if (g_unichar_iscntrl (g_utf8_get_char (p)))
        return FALSE;
    }

  return TRUE;
}

/**
 * wp_register_function:
 * @name: the name that callers use: 1 to 1024 bytes of UTF-8 without control characters
 * @function: (scope notified) (closure user_data) (destroy destroy): the function
 * @user_data: data for @function
 * @destroy: (nullable): frees @user_data when the function is replaced or unregistered and no task runs it
 *
 * Makes a function known to this program, so that its workers can run it.
 *
 * An earlier function of that name is replaced; a task that runs it already goes on with it. Register
 * functions at the start of main (), before [func@Worker.is_requested] is asked: a worker is
 * this same program started again, and knows what it registers.
 *
 * Besides registered functions, every worker of a C host can run the functions of modules: the name
 * `/path/module.so:symbol` opens the module at its absolute path with GModule, where `symbol` is a
 * [callback@TaskFunc] that gets no user data. Modules stay loaded. A module may say what it offers in
 * `const char * const wp_module_functions[]`, an array of symbols that ends with `NULL`.
 *
 * This may be called in any thread. @destroy is called in the thread that drops the last use.
 *
 * Since: 1.0
 */
void
wp_register_function (const char    *name,
                      WpTaskFunc     function,
                      gpointer       user_data,
                      GDestroyNotify destroy)
{
  g_autoptr (WpFunction) replaced = NULL;
  g_autofree char *replaced_name = NULL;
  gpointer old_name = NULL;
  gpointer old_function = NULL;

  g_return_if_fail (name != NULL);
  g_return_if_fail (is_valid_name (name));
  g_return_if_fail (function != NULL);

  g_mutex_lock (&registry_lock);

  if (registry == NULL)
    registry = g_hash_table_new (g_str_hash, g_str_equal);

  /* Freed after the lock: 'destroy' is the caller's code. */
  if (g_hash_table_steal_extended (registry, name, &old_name, &old_function))
    {
      replaced_name = old_name;
      replaced = old_function;
    }
  g_hash_table_insert (registry, g_strdup (name), wp_function_new (function, user_data, destroy));

  g_mutex_unlock (&registry_lock);

  wp_process_set_is_host ();
}

/**
 * wp_unregister_function:
 * @name: the name of a function
 *
 * Makes a function unknown again.
 *
 * A task that runs it already goes on with it. This may be called in any thread.
 *
 * Returns: `TRUE` when there was a function of that name
 *
 * Since: 1.0
 */
gboolean
wp_unregister_function (const char *name)
{
  g_autoptr (WpFunction) function = NULL;
  g_autofree char *removed_name = NULL;
  gpointer old_name = NULL;
  gpointer old_function = NULL;

  g_return_val_if_fail (name != NULL, FALSE);

  g_mutex_lock (&registry_lock);
  if (registry != NULL && g_hash_table_steal_extended (registry, name, &old_name, &old_function))
    {
      removed_name = old_name;
      function = old_function;
    }
  g_mutex_unlock (&registry_lock);

  return function != NULL;
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/**
 * wp_list_functions:
 *
 * Lists the functions that this program has registered.
 *
 * This may be called in any thread.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names, sorted by their bytes
 *
 * Since: 1.0
 */
char **
wp_list_functions (void)
{
  GPtrArray *names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name;

  g_mutex_lock (&registry_lock);
  if (registry != NULL)
    {
      g_hash_table_iter_init (&iter, registry);
      while (g_hash_table_iter_next (&iter, &name, NULL))
        g_ptr_array_add (names, g_strdup (name));
    }
  g_mutex_unlock (&registry_lock);

  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);

  return (char **) g_ptr_array_free (names, FALSE);
}
