/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-task.h"

#include "channel/wp-error.h"
#include "channel/wp-value.h"
#include "worker/wp-task-context-private.h"

/* Takes over what the function returned. */
static GError *
explain_breach (const char *function_name,
                GVariant   *value,
                GError     *task_error,
                const char *flaw)
{
  GError *breach;

  if (value == NULL)
    breach = g_error_new (WP_ERROR, WP_ERROR_INVALID_RESULT,
                          "The function “%s” returned neither a value nor an error", function_name);
  else if (task_error != NULL)
    breach = g_error_new (WP_ERROR, WP_ERROR_INVALID_RESULT,
                          "The function “%s” returned a value of type “%s” beside an error: %s",
                          function_name, g_variant_get_type_string (value), task_error->message);
  else
    breach = g_error_new (WP_ERROR, WP_ERROR_INVALID_RESULT,
                          "The function “%s” returned a value that cannot be sent: it %s", function_name, flaw);

  g_clear_pointer (&value, g_variant_unref);
  g_clear_error (&task_error);

  return breach;
}

GVariant *
wp_task_check (const char *function_name,
               GVariant   *value,
               GError     *task_error,
               GError    **error)
{
  const char *flaw = NULL;

  if (G_LIKELY (value != NULL && task_error == NULL))
    {
      flaw = wp_value_get_flaw (value);
      if (G_LIKELY (flaw == NULL))
        return value;
    }
  else if (value == NULL && task_error != NULL)
    {
      g_propagate_error (error, task_error);
      return NULL;
    }

  g_propagate_error (error, explain_breach (function_name, value, task_error, flaw));
  return NULL;
}

GVariant *
wp_task_run (WpFunction    *function,
             const char    *function_name,
             WpTaskContext *context,
             GVariant      *args,
             GError       **error)
{
  GError *task_error = NULL;
  GVariant *value = wp_function_call (function, context, args, &task_error);

  return wp_task_check (function_name, value != NULL ? g_variant_take_ref (value) : NULL, task_error, error);
}

gboolean
wp_task_run_hook (const char    *function_name,
                  WpTaskContext *context,
                  GVariant     **value,
                  GError       **error)
{
  g_autoptr (GVariant) args = g_variant_ref_sink (g_variant_new_tuple (NULL, 0));
  g_autoptr (WpFunction) function = wp_function_lookup (function_name, error);
  g_autoptr (GVariant) returned = NULL;
  GError *hook_error = NULL;
  const char *flaw;

  if (function == NULL)
    return FALSE;

  /* No chunk has this number. */
  wp_task_context_begin (context, 0, 0, 0);
  returned = wp_function_call (function, context, args, &hook_error);
  wp_task_context_end (context);
  if (returned != NULL)
    returned = g_variant_take_ref (g_steal_pointer (&returned));

  if (returned == NULL && hook_error != NULL)
    {
      g_propagate_error (error, hook_error);
      return FALSE;
    }

  flaw = returned != NULL ? wp_value_get_flaw (returned) : NULL;
  if (hook_error != NULL || flaw != NULL)
    {
      g_propagate_error (error, explain_breach (function_name, g_steal_pointer (&returned), hook_error, flaw));
      return FALSE;
    }

  *value = g_steal_pointer (&returned);
  return TRUE;
}
