/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What workers share of memory, and how much of it they may have. */

#include "pool/wp-worker-pool-private.h"

/**
 * wp_worker_pool_get_shared_objects: (attributes org.gtk.Method.get_property=shared-objects)
 * @self: a pool
 *
 * Gets [property@WorkerPool:shared-objects].
 *
 * Returns: (transfer full) (nullable): the value, which is equal to the one that was set but may be another object in a
 *   pool that has started, or `NULL`
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_get_shared_objects (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  locker = wp_worker_pool_lock (self);

  return self->shared_objects != NULL ? wp_shared_objects_dup_value (self->shared_objects) : NULL;
}

/**
 * wp_worker_pool_set_shared_objects: (attributes org.gtk.Method.set_property=shared-objects)
 * @self: a pool
 * @shared_objects: (nullable): what all tasks may read, or `NULL`; a floating reference is consumed
 *
 * Sets [property@WorkerPool:shared-objects]. Once the pool has started this has no effect but a warning.
 *
 * The value is looked through here, unless its type tells that there is nothing to look for, as that of an array of
 * numbers or bytes does.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_shared_objects (WpWorkerPool *self, GVariant *shared_objects)
{
  /* Dropped without the lock: the memory may be the caller's, and so what frees it. */
  g_autoptr (WpSharedObjects) replaced = NULL;
  WpSharedObjects *taken = NULL;
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  if (shared_objects != NULL)
    taken = wp_shared_objects_new (shared_objects);

  if (!wp_worker_pool_begin_change (self, "shared-objects"))
    {
      g_clear_pointer (&taken, wp_shared_objects_unref);
      return;
    }

  changed = self->shared_objects != NULL || taken != NULL;
  replaced = self->shared_objects;
  self->shared_objects = taken;
  wp_worker_pool_end_change (self, "shared-objects", changed);
}
