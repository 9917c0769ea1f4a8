/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-batch-private.h"

/* What a batch says of itself: how far it is, how fast, and how much is left. */

static guint64
count_total (WpBatch *self)
{
  guint64 n_pushed = wp_items_get_n (self->job->items);

  return self->job->closed ? n_pushed : MAX (self->n_total, self->n_total > 0 ? n_pushed : 0);
}

static double
get_fraction (WpBatch *self)
{
  guint64 total = MAX (count_total (self), wp_items_get_n (self->job->items));

  if (total == 0)
    return self->job->ended ? 1 : 0;

  return (double) self->job->n_ended / total;
}

/**
 * wp_batch_get_function: (attributes org.gtk.Method.get_property=function)
 * @self: a batch
 *
 * Gets the name of the function that the tasks run.
 *
 * Returns: (transfer none): the name
 *
 * Since: 1.0
 */
const char *
wp_batch_get_function (WpBatch *self)
{
  g_return_val_if_fail (wp_batch_is_started (self), NULL);
  if (wp_batch_is_inherited (self))
    return NULL;

  return self->job->function;
}

/**
 * wp_batch_get_id: (attributes org.gtk.Method.get_property=id)
 * @self: a batch
 *
 * Gets the id of the batch's first task, as it stands in the pool's signals.
 *
 * Returns: the id
 *
 * Since: 1.0
 */
guint64
wp_batch_get_id (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = wp_job_get_task_id (self->job, 0);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_state: (attributes org.gtk.Method.get_property=state)
 * @self: a batch
 *
 * Gets whether the batch takes tasks, runs them out, or has ended.
 *
 * Returns: the state
 *
 * Since: 1.0
 */
WpBatchState
wp_batch_get_state (WpBatch *self)
{
  WpBatchState value;

  g_return_val_if_fail (wp_batch_is_started (self), WP_BATCH_STATE_FINISHED);
  if (wp_batch_is_inherited (self))
    return WP_BATCH_STATE_FINISHED;

  wp_engine_lock (self->engine);
  value = wp_batch_find_state (self);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_pushed: (attributes org.gtk.Method.get_property=n-pushed)
 * @self: a batch
 *
 * Counts the items that were pushed.
 *
 * Returns: the number of items
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_pushed (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = wp_items_get_n (self->job->items);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_completed: (attributes org.gtk.Method.get_property=n-completed)
 * @self: a batch
 *
 * Counts the tasks that have ended, the failed ones included.
 *
 * Returns: the number of tasks
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_completed (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = self->job->n_ended;
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_failed: (attributes org.gtk.Method.get_property=n-failed)
 * @self: a batch
 *
 * Counts the tasks that have ended with an error.
 *
 * Returns: the number of tasks
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_failed (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = self->job->n_failed;
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_n_total: (attributes org.gtk.Method.get_property=n-total)
 * @self: a batch
 *
 * Gets how many items there are going to be: what was set, or what was pushed once the batch is closed.
 *
 * Returns: the number of items, or 0 when it is not known
 *
 * Since: 1.0
 */
guint64
wp_batch_get_n_total (WpBatch *self)
{
  guint64 value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = count_total (self);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_fraction: (attributes org.gtk.Method.get_property=fraction)
 * @self: a batch
 *
 * Gets the part of the tasks that has ended.
 *
 * Returns: a number from 0 to 1
 *
 * Since: 1.0
 */
double
wp_batch_get_fraction (WpBatch *self)
{
  double value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = get_fraction (self);
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_rate: (attributes org.gtk.Method.get_property=rate)
 * @self: a batch
 *
 * Gets how many tasks end in a second at present.
 *
 * Returns: the rate, or 0 when it is not known yet
 *
 * Since: 1.0
 */
double
wp_batch_get_rate (WpBatch *self)
{
  double value;

  g_return_val_if_fail (wp_batch_is_started (self), 0);
  if (wp_batch_is_inherited (self))
    return 0;

  wp_engine_lock (self->engine);
  value = self->progress.rate;
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_get_remaining: (attributes org.gtk.Method.get_property=remaining)
 * @self: a batch
 *
 * Gets the time until all tasks have ended, at the present rate.
 *
 * Returns: the seconds, or -1 when it cannot be told
 *
 * Since: 1.0
 */
double
wp_batch_get_remaining (WpBatch *self)
{
  double value;

  g_return_val_if_fail (wp_batch_is_started (self), -1);
  if (wp_batch_is_inherited (self))
    return -1;

  wp_engine_lock (self->engine);
  value = wp_progress_get_remaining (&self->progress, self->job->n_ended, count_total (self));
  wp_engine_unlock (self->engine);

  return value;
}

/**
 * wp_batch_set_n_total: (attributes org.gtk.Method.set_property=n-total)
 * @self: a batch
 * @n_total: how many items are going to be pushed, or 0 when it is not known
 *
 * Says how many items are going to be pushed, for [property@Batch:fraction] and
 * [property@Batch:remaining]. It is no limit.
 *
 * Since: 1.0
 */
void
wp_batch_set_n_total (WpBatch *self, guint64 n_total)
{
  gboolean changed;

  g_return_if_fail (wp_batch_is_started (self));
  if (wp_batch_is_inherited (self))
    return;

  wp_engine_lock (self->engine);
  changed = self->n_total != n_total;
  self->n_total = n_total;
  wp_engine_unlock (self->engine);

  if (!changed)
    return;

  g_object_notify (G_OBJECT (self), "n-total");
  g_object_notify (G_OBJECT (self), "fraction");
  g_object_notify (G_OBJECT (self), "remaining");
}
