/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-apply-private.h"

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "pool/wp-call.h"
#include "pool/wp-engine-events.h"
#include "pool/wp-task-options-private.h"

/**
 * WpApply:
 *
 * One task on its way, which a thread waits for when it likes to, and for as long as it likes to.
 *
 * It is made by [method@WorkerPool.start_apply]. [method@WorkerPool.apply] starts a task and waits for it, however long
 * that takes; this is the same in pieces, for those who have something else to do in between, like an interpreter that
 * runs its signal handlers: it waits in slices of some 50 ms. It is as fast.
 *
 * No main context takes part: to be called when a task has ended, use [method@WorkerPool.apply_async]. Events of the
 * task, where the options have a callback for them, are handed out in the thread that waits.
 *
 * The methods may be called from any thread. Dropping the last reference cancels a task that has not ended.
 *
 * Since: 1.0
 */
struct _WpApply
{
  GObject parent_instance;

  GObject *pool;
  WpJob *job;
  WpEventCallback *callback; /* nullable */
  guint generation;          /* of the process that made it */

  /*< guarded by the engine's lock >*/
  GVariant *value; /* one of both once the result was taken */
  GError *error;
  GBytes *notes; /* of a task that has died, nullable */
};

G_DEFINE_FINAL_TYPE (WpApply, wp_apply, G_TYPE_OBJECT)

/* One that no pool has made has nothing to wait for. */
static gboolean
is_started (WpApply *self)
{
  return WP_IS_APPLY (self) && self->job != NULL;
}

/* A copy of the process that made it has no more than a copy of it; see the pool. */
static gboolean
is_inherited (WpApply *self)
{
  return self->generation != wp_process_get_generation ();
}

static void
wp_apply_finalize (GObject *object)
{
  WpApply *self = WP_APPLY (object);

  if (self->job != NULL && !is_inherited (self))
    {
      WpEngine *engine = self->job->engine;

      wp_engine_lock (engine);
      wp_engine_unlisten (engine, self->job);
      wp_engine_cancel (engine, self->job);
      wp_engine_unlock (engine);

      wp_job_unref (self->job);
      g_clear_pointer (&self->callback, wp_event_callback_unref);
      g_clear_object (&self->pool);
    }
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  g_clear_pointer (&self->notes, g_bytes_unref);

  G_OBJECT_CLASS (wp_apply_parent_class)->finalize (object);
}

static void
wp_apply_class_init (WpApplyClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = wp_apply_finalize;
}

static void
wp_apply_init (WpApply *self)
{
  self->generation = wp_process_get_generation ();
}

WpApply *
wp_apply_new (GObject       *pool,
              WpEngine      *engine,
              const char    *function,
              WpItems       *items,
              WpTaskOptions *options,
              GError       **error)
{
  g_autoptr (WpItems) owned_items = items;
  g_autoptr (WpEventCallback) callback = NULL;
  g_autoptr (WpJob) job = NULL;
  WpApply *self;

  if (!wp_engine_may_wait (engine, "a task", error))
    return NULL;

  callback = options != NULL ? wp_task_options_ref_event_callback (options) : NULL;
  job = wp_call_submit (engine, function, g_steal_pointer (&owned_items), options, WP_CALL_APPLY_LATER, callback,
                        error);
  if (job == NULL)
    return NULL;

  self = g_object_new (WP_TYPE_APPLY, NULL);
  self->pool = g_object_ref (pool);
  self->job = g_steal_pointer (&job);
  self->callback = g_steal_pointer (&callback);

  return self;
}

/**
 * wp_apply_wait:
 * @self: a task on its way
 * @timeout: how long to wait, in microseconds; 0 to look only, -1 for any time
 *
 * Waits until the task has ended, or for no longer than @timeout.
 *
 * It blocks the calling thread, which reads the worker's answer itself while it waits, so that nobody has to wake it.
 *
 * Returns: `TRUE` once the task has ended; `FALSE` when the time is over, and at once in a thread that may not wait for
 *   it: see the errors of [method@Apply.get_value]
 *
 * Since: 1.0
 */
gboolean
wp_apply_wait (WpApply *self, gint64 timeout)
{
  g_return_val_if_fail (is_started (self), FALSE);
  g_return_val_if_fail (timeout >= -1, FALSE);

  if (is_inherited (self) || !wp_engine_may_wait (self->job->engine, "a task", NULL))
    return FALSE;

  return wp_call_wait (self->job, self->callback, wp_engine_get_end_time (timeout));
}

/**
 * wp_apply_get_value:
 * @self: a task on its way
 * @error: return location for an error
 *
 * Gets the result, waiting for it. Every call returns the same.
 *
 * Errors: those of [method@WorkerPool.apply]; `WP_ERROR_CLOSED` in a process that was forked from the one that started
 * the task; `G_IO_ERROR_WOULD_BLOCK` in a task of the same pool, when its workers are threads.
 *
 * Returns: (transfer full): the value that the function returned, or `NULL` with @error set
 *
 * Since: 1.0
 */
GVariant *
wp_apply_get_value (WpApply *self, GError **error)
{
  g_return_val_if_fail (is_started (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (is_inherited (self))
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                           "the task belongs to the process that this one was forked from, and has no result here; "
                           "make a new pool");
      return NULL;
    }
  if (!wp_engine_may_wait (self->job->engine, "a task", error))
    return NULL;

  wp_call_wait (self->job, self->callback, G_MAXINT64);

  wp_engine_lock (self->job->engine);
  if (self->value == NULL && self->error == NULL)
    self->value = wp_call_take_applied (self->job, &self->notes, &self->error);
  wp_engine_unlock (self->job->engine);

  if (self->value != NULL)
    return g_variant_ref (self->value);

  g_propagate_error (error, g_error_copy (self->error));
  return NULL;
}

/**
 * wp_apply_get_notes:
 * @self: a task on its way
 *
 * Gets the notes that the task had left in its worker when that died, or was ended because the task took too long; as
 * [method@Result.get_notes].
 *
 * Returns: (transfer none) (nullable): a copy of the notes; `NULL` when there are none, and before
 *   [method@Apply.get_value] has returned
 *
 * Since: 1.0
 */
GBytes *
wp_apply_get_notes (WpApply *self)
{
  GBytes *notes;

  g_return_val_if_fail (is_started (self), NULL);
  if (is_inherited (self))
    return NULL;

  wp_engine_lock (self->job->engine);
  notes = self->notes;
  wp_engine_unlock (self->job->engine);

  return notes;
}

/**
 * wp_apply_cancel:
 * @self: a task on its way
 *
 * Cancels the task, if it has not ended. One that waits ends at once with `G_IO_ERROR_CANCELLED`; a running one sees
 * [method@TaskContext.is_cancelled], and if it goes on for [property@WorkerPool:grace-period] its worker gets SIGTERM,
 * and after as long again SIGKILL.
 *
 * Since: 1.0
 */
void
wp_apply_cancel (WpApply *self)
{
  g_return_if_fail (is_started (self));
  if (is_inherited (self))
    return;

  wp_engine_lock (self->job->engine);
  wp_engine_cancel (self->job->engine, self->job);
  wp_engine_unlock (self->job->engine);
}
