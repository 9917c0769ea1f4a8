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

/**
 * wp_worker_pool_get_soft_memory_limit: (attributes org.gtk.Method.get_property=soft-memory-limit)
 * @self: a pool
 *
 * Gets [property@WorkerPool:soft-memory-limit].
 *
 * Returns: the limit in bytes, or 0 for none
 *
 * Since: 1.0
 */
guint64
wp_worker_pool_get_soft_memory_limit (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

  return self->soft_memory_limit;
}

/**
 * wp_worker_pool_set_soft_memory_limit: (attributes org.gtk.Method.set_property=soft-memory-limit)
 * @self: a pool
 * @bytes: the limit, or 0 for none
 *
 * Sets [property@WorkerPool:soft-memory-limit]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_soft_memory_limit (WpWorkerPool *self, guint64 bytes)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  if (!wp_worker_pool_begin_change (self, "soft-memory-limit"))
    return;

  changed = self->soft_memory_limit != bytes;
  self->soft_memory_limit = bytes;
  wp_worker_pool_end_change (self, "soft-memory-limit", changed);
}

/**
 * wp_worker_pool_get_hard_memory_limit: (attributes org.gtk.Method.get_property=hard-memory-limit)
 * @self: a pool
 *
 * Gets [property@WorkerPool:hard-memory-limit].
 *
 * Returns: the limit in bytes, or 0 for none
 *
 * Since: 1.0
 */
guint64
wp_worker_pool_get_hard_memory_limit (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), 0);

  locker = wp_worker_pool_lock (self);

  return self->hard_memory_limit;
}

/**
 * wp_worker_pool_set_hard_memory_limit: (attributes org.gtk.Method.set_property=hard-memory-limit)
 * @self: a pool
 * @bytes: the limit, or 0 for none
 *
 * Sets [property@WorkerPool:hard-memory-limit]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_hard_memory_limit (WpWorkerPool *self, guint64 bytes)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));

  if (!wp_worker_pool_begin_change (self, "hard-memory-limit"))
    return;

  changed = self->hard_memory_limit != bytes;
  self->hard_memory_limit = bytes;
  wp_worker_pool_end_change (self, "hard-memory-limit", changed);
}
