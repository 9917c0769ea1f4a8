/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The worker's loop turned inside out, for interpreters that are not always ready to be called, or to which it costs
 * more than to call. */

#include "worker/wp-worker-state.h"

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "worker/wp-function-private.h"
#include "worker/wp-module.h"
#include "worker/wp-task.h"
#include "worker/wp-task-context-private.h"

gboolean
wp_worker_may_pull (const char   *function,
                    const GError *lookup_error)
{
  return g_error_matches (lookup_error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION) &&
         !wp_module_is_function_name (function);
}

/* What runs before or after all tasks: here, or by who pulls. */
static gboolean
pull_hook (WpWorker   *self,
           const char *function,
           WpPulled    pulled,
           GError    **error)
{
  g_autoptr (GError) lookup_error = NULL;
  g_autoptr (WpFunction) known = wp_function_lookup (function, &lookup_error);
  gboolean succeeded;

  if (known == NULL && wp_worker_may_pull (function, lookup_error))
    {
      wp_task_context_begin (self->context, 0, 0, 0);
      self->pulled = pulled;
      return TRUE;
    }

  if (!wp_worker_run_hook (self, function, pulled == WP_PULLED_INIT ? WP_FRAME_INITIALIZED : WP_FRAME_EXIT_RESULT,
                           &succeeded, error))
    return FALSE;

  if (pulled == WP_PULLED_INIT)
    self->is_initialized = succeeded;
  return TRUE;
}

static gboolean
begin (WpWorker *self,
       GError  **error)
{
  self->state = WP_WORKER_RUNNING;
  /* Until its end: a process that leaves while a task runs must not close the channel before it has ended, or the pool
   * would not wait for its status. */
  g_object_ref (self);
  if (!wp_worker_configure (self, error))
    return FALSE;

  self->is_initialized = TRUE;
  return self->init_function == NULL || pull_hook (self, self->init_function, WP_PULLED_INIT, error);
}

static gboolean
handle_stop (WpWorker *self,
             GError  **error)
{
  self->is_stopped = TRUE;
  if (!wp_outbox_flush (self->outbox, wp_worker_get_now (), error))
    return FALSE;

  /* What is left of the last chunk's. */
  wp_emitter_set_stream (self->emitter, 0);

  return self->exit_function == NULL || !self->is_initialized ||
         pull_hook (self, self->exit_function, WP_PULLED_EXIT, error);
}

static gboolean
handle_frame (WpWorker *self,
              GError  **error)
{
  g_auto (WpFrame) frame = { 0 };

  if (!wp_worker_next_frame (self, &frame, error))
    return FALSE;

  if (frame.header.type == WP_FRAME_STOP)
    return handle_stop (self, error);
  if (frame.header.type != WP_FRAME_CHUNK)
    return wp_worker_handle_frame (self, &frame, error);

  self->chunk = wp_chunk_run_new (self, &frame, error);
  return self->chunk != NULL;
}

/* Until something is pulled, or the pool has asked for the end. */
static gboolean
pull (WpWorker  *self,
      GVariant **args,
      GError   **error)
{
  if (self->state == WP_WORKER_NEW && !begin (self, error))
    return FALSE;

  while (self->pulled == WP_PULLED_NOTHING && !self->is_stopped)
    {
      if (self->chunk == NULL)
        {
          if (!handle_frame (self, error))
            return FALSE;
          continue;
        }

      if (!wp_chunk_run_pull (self->chunk, args, error))
        return FALSE;
      if (*args != NULL)
        self->pulled = WP_PULLED_TASK;
      else
        g_clear_pointer (&self->chunk, wp_chunk_run_free);
    }

  if (self->pulled != WP_PULLED_NOTHING && *args == NULL)
    *args = g_variant_ref_sink (g_variant_new_tuple (NULL, 0));
  return TRUE;
}

static const char *
get_pulled_function (WpWorker *self)
{
  switch (self->pulled)
    {
    case WP_PULLED_INIT:
      return self->init_function;
    case WP_PULLED_EXIT:
      return self->exit_function;
    case WP_PULLED_TASK:
      return wp_chunk_run_get_function (self->chunk);
    case WP_PULLED_NOTHING:
    default:
      return NULL;
    }
}

/* As wp_worker_end (). */
static gboolean
end (WpWorker *self,
     GError   *run_error,
     GError  **error)
{
  const gboolean stopped = wp_worker_end (self, run_error, error);

  g_object_unref (self);

  return stopped;
}

/**
 * wp_worker_pull:
 * @self: a worker
 * @function: (out) (transfer full) (nullable): the name of the function that is to be run
 * @error: return location for an error
 *
 * Waits for the next task that this program has to run itself, in place of [method@Worker.run].
 *
 * It is for language layers: a worker that pulls its tasks is never called, and finds the functions by their names
 * itself. Functions of modules, and those that are registered, are run before this returns. Each task is answered with
 * [method@Worker.answer] or [method@Worker.answer_error] before the next one is pulled;
 * [method@Worker.get_context] is about it until then. The functions that run before and after all tasks are pulled
 * likewise, with the empty tuple.
 *
 * It blocks the calling thread, which has to be the same each time; no main context is iterated. Errors are those of
 * [method@Worker.run], after which the worker has ended; and `G_IO_ERROR_PENDING` when the task before was not
 * answered.
 *
 * Returns: (transfer full) (nullable): the arguments, or `NULL` without an error when the pool asked for the end
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pull (WpWorker *self,
                char    **function,
                GError  **error)
{
  GError *run_error = NULL;
  GVariant *args = NULL;

  g_return_val_if_fail (WP_IS_WORKER (self), NULL);
  g_return_val_if_fail (self->channel != NULL, NULL);
  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *function = NULL;
  if (self->state == WP_WORKER_ENDED)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "A worker runs only once");
      return NULL;
    }
  if (self->pulled != WP_PULLED_NOTHING)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_PENDING,
                   "The task of the function “%s” was pulled and has not been answered", get_pulled_function (self));
      return NULL;
    }

  if (!pull (self, &args, &run_error) || args == NULL)
    {
      end (self, run_error, error);
      return NULL;
    }

  *function = g_strdup (get_pulled_function (self));
  return args;
}

/**
 * wp_worker_get_context:
 * @self: a worker
 *
 * Gets the context of the tasks that are pulled.
 *
 * Returns: (transfer none) (nullable): the context, which is the same for all tasks; `NULL` before the first
 *
 * Since: 1.0
 */
WpTaskContext *
wp_worker_get_context (WpWorker *self)
{
  g_return_val_if_fail (WP_IS_WORKER (self), NULL);

  return self->context;
}

static gboolean
answer_hook (WpWorker *self,
             WpPulled  pulled,
             GVariant *value,
             GError   *hook_error,
             GError  **error)
{
  wp_task_context_end (self->context);
  if (pulled == WP_PULLED_EXIT)
    return wp_worker_send_hook (self, WP_FRAME_EXIT_RESULT, value, hook_error, error);

  self->is_initialized = hook_error == NULL;
  return wp_worker_send_hook (self, WP_FRAME_INITIALIZED, NULL, hook_error, error);
}

/* Takes the value and the error; both are nullable. */
static gboolean
answer (WpWorker *self,
        GVariant *value,
        GError   *task_error,
        GError  **error)
{
  const WpPulled pulled = self->pulled;
  g_autoptr (GVariant) owned = value;
  GError *checked_error = NULL;
  GError *run_error = NULL;
  gboolean answered;

  if (pulled == WP_PULLED_NOTHING)
    {
      g_clear_error (&task_error);
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "There is no task to answer: pull one first");
      return FALSE;
    }

  if (pulled == WP_PULLED_TASK || value != NULL || task_error != NULL)
    owned = wp_task_check (get_pulled_function (self), g_steal_pointer (&owned), task_error, &checked_error);
  self->pulled = WP_PULLED_NOTHING;

  if (pulled == WP_PULLED_TASK)
    {
      answered = wp_chunk_run_answer (self->chunk, g_steal_pointer (&owned), checked_error, &run_error);
    }
  else
    {
      answered = answer_hook (self, pulled, owned, checked_error, &run_error);
      g_clear_error (&checked_error);
    }

  return answered || end (self, run_error, error);
}

/**
 * wp_worker_answer:
 * @self: a worker
 * @value: (nullable): the result of the task that was pulled; `NULL` only for a function that runs before or after all
 *   tasks
 * @error: return location for an error
 *
 * Ends the task that was pulled with its result.
 *
 * A result that cannot be sent ends it with `WP_ERROR_INVALID_RESULT`.
 *
 * Returns: `TRUE`, or `FALSE` with an error of [method@Worker.run] when the worker has ended, or with
 *   `G_IO_ERROR_CLOSED` when there is no task to answer
 *
 * Since: 1.0
 */
gboolean
wp_worker_answer (WpWorker *self,
                  GVariant *value,
                  GError  **error)
{
  g_return_val_if_fail (WP_IS_WORKER (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return answer (self, value != NULL ? g_variant_ref_sink (value) : NULL, NULL, error);
}

/**
 * wp_worker_answer_error:
 * @self: a worker
 * @domain: the domain of the error of the task that was pulled
 * @code: its code
 * @message: its message
 * @error: return location for an error
 *
 * Ends the task that was pulled with an error.
 *
 * Returns: as [method@Worker.answer]
 *
 * Since: 1.0
 */
gboolean
wp_worker_answer_error (WpWorker   *self,
                        const char *domain,
                        int         code,
                        const char *message,
                        GError    **error)
{
  g_return_val_if_fail (WP_IS_WORKER (self), FALSE);
  g_return_val_if_fail (domain != NULL && *domain != '\0', FALSE);
  g_return_val_if_fail (message != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return answer (self, NULL, g_error_new_literal (g_quark_from_string (domain), code, message), error);
}
