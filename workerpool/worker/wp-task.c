/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-task.h"

#include "channel/wp-error.h"
#include "channel/wp-value.h"

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
wp_task_run (WpFunction    *function,
             const char    *function_name,
             WpTaskContext *context,
             GVariant      *args,
             GError       **error)
{
  GError *task_error = NULL;
  const char *flaw = NULL;
  GVariant *value;

  value = wp_function_call (function, context, args, &task_error);
  if (value != NULL)
    value = g_variant_take_ref (value);

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
