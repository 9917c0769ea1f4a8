/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-task-context-private.h"

#include <string.h>

#include "channel/wp-error.h"

void
wp_task_context_set_exchange (WpTaskContext *self,
                              WpExchangeFunc func,
                              gpointer       data)
{
  self->exchange = func;
  self->exchange_data = data;
}

static gboolean
may_exchange (WpTaskContext *self,
              GError       **error)
{
  GIOErrorEnum code;
  const char *why = wp_task_context_get_obstacle (self, &code);

  if (why == NULL && self->exchange == NULL)
    {
      code = G_IO_ERROR_CLOSED;
      why = "the function runs as that of no task, before the first or after the last one";
    }
  if (why == NULL)
    return TRUE;

  g_set_error (error, G_IO_ERROR, code, "The result was not exchanged for another task: %s", why);
  return FALSE;
}

static guint8 *
run_exchange (WpTaskContext *self,
              GVariant      *value,
              const GError  *task_error,
              gsize         *next_length,
              GError       **error)
{
  const guint8 *argument;

  if (!self->exchange (self->exchange_data, value, task_error, &argument, next_length, error))
    {
      *next_length = 0;
      return NULL;
    }

  return g_memdup2 (argument, *next_length);
}

/**
 * wp_task_context_exchange:
 * @self: a task context
 * @result: (array length=length) (nullable): the bytes of the result, a value of the type `ay`
 * @length: the number of bytes
 * @next_length: (out): the number of bytes of the next task's argument
 * @error: return location for an error
 *
 * Ends the running task with a result and goes on with the next one, without returning from the function.
 *
 * It is for language layers, where it costs more to be called than to call. All that happens between two tasks happens
 * in it, as if the function had returned and were called again: the result is committed and survives the death of the
 * worker, the next task is claimed, and from then on [method@TaskContext.get_task_index],
 * [method@TaskContext.is_cancelled], [method@TaskContext.emit] and time limits are about that one.
 *
 * The next task is one that has been sent to the worker together with the running one, and whose argument is a byte
 * array (`ay`) that is neither empty nor as large as 64 KiB. When there is none, this returns `NULL` and nothing has
 * happened: the function returns the result as usual, and is called again for tasks of another kind.
 *
 * Errors: `G_IO_ERROR_CLOSED` when no task runs, in a function that runs before or after all tasks, in a process that
 * the task has forked, and when the pool is gone or ends the worker; `G_IO_ERROR_NOT_SUPPORTED` in another thread than
 * the task's. After one of them the function should return.
 *
 * Returns: (transfer full) (array length=next_length) (nullable): the bytes of the next task's argument, or `NULL`
 *   without an error when the function has to return the result itself
 *
 * Since: 1.0
 */
guint8 *
wp_task_context_exchange (WpTaskContext *self,
                          const guint8  *result,
                          gsize          length,
                          gsize         *next_length,
                          GError       **error)
{
  g_autoptr (GVariant) value = NULL;

  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), NULL);
  g_return_val_if_fail (result != NULL || length == 0, NULL);
  g_return_val_if_fail (next_length != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *next_length = 0;
  if (!may_exchange (self, error))
    return NULL;

  /* Who calls keeps the bytes, and they are copied or sent before this returns. */
  value = g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, result, length, TRUE, NULL, NULL));

  return run_exchange (self, value, NULL, next_length, error);
}

/**
 * wp_task_context_exchange_error:
 * @self: a task context
 * @domain: the domain of the running task's error
 * @code: its code
 * @message: its message
 * @next_length: (out): the number of bytes of the next task's argument
 * @error: return location for an error
 *
 * Ends the running task with an error and goes on with the next one: the same as [method@TaskContext.exchange] for a
 * task that has failed.
 *
 * Errors: those of [method@TaskContext.exchange]; `G_IO_ERROR_INVALID_ARGUMENT` when @domain is empty.
 *
 * Returns: (transfer full) (array length=next_length) (nullable): the bytes of the next task's argument, or `NULL`
 *   without an error when the function has to return the error itself
 *
 * Since: 1.0
 */
guint8 *
wp_task_context_exchange_error (WpTaskContext *self,
                                const char    *domain,
                                int            code,
                                const char    *message,
                                gsize         *next_length,
                                GError       **error)
{
  g_autoptr (GError) task_error = NULL;

  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), NULL);
  g_return_val_if_fail (domain != NULL && message != NULL, NULL);
  g_return_val_if_fail (next_length != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *next_length = 0;
  if (domain[0] == '\0')
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           "The error was not exchanged for another task: its domain is empty; name the one that it "
                           "belongs to");
      return NULL;
    }
  if (!may_exchange (self, error))
    return NULL;

  task_error = g_error_new_literal (g_quark_from_string (domain), code, message);

  return run_exchange (self, NULL, task_error, next_length, error);
}
