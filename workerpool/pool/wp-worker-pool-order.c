/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whom tasks are for. */

#include "pool/wp-worker-pool-private.h"

/**
 * wp_worker_pool_get_order_tasks: (attributes org.gtk.Method.get_property=order-tasks)
 * @self: a pool
 *
 * Gets [property@WorkerPool:order-tasks].
 *
 * Returns: whether tasks go to the workers in order
 *
 * Since: 1.0
 */
gboolean
wp_worker_pool_get_order_tasks (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), FALSE);

  locker = wp_worker_pool_lock (self);

  return self->order_tasks;
}

/**
 * wp_worker_pool_set_order_tasks: (attributes org.gtk.Method.set_property=order-tasks)
 * @self: a pool
 * @order_tasks: whether tasks go to the workers in order
 *
 * Sets [property@WorkerPool:order-tasks]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_order_tasks (WpWorkerPool *self, gboolean order_tasks)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  order_tasks = !!order_tasks;

  if (!wp_worker_pool_begin_change (self, "order-tasks"))
    return;

  changed = self->order_tasks != order_tasks;
  self->order_tasks = order_tasks;
  wp_worker_pool_end_change (self, "order-tasks", changed);
}
