/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When workers get to use the disks. */

#include "pool/wp-worker-pool-private.h"

#include <linux/ioprio.h>

/* The last of the eight in its class. */
#define LOWEST_LEVEL 7

G_DEFINE_ENUM_TYPE (WpIoPriority,
                    wp_io_priority,
                    G_DEFINE_ENUM_VALUE (WP_IO_PRIORITY_DEFAULT, "default"),
                    G_DEFINE_ENUM_VALUE (WP_IO_PRIORITY_LOW, "low"),
                    G_DEFINE_ENUM_VALUE (WP_IO_PRIORITY_IDLE, "idle"))

int
wp_io_priority_to_kernel (WpIoPriority io_priority)
{
  switch (io_priority)
    {
    case WP_IO_PRIORITY_LOW:
      return IOPRIO_PRIO_VALUE (IOPRIO_CLASS_BE, LOWEST_LEVEL);
    case WP_IO_PRIORITY_IDLE:
      return IOPRIO_PRIO_VALUE (IOPRIO_CLASS_IDLE, LOWEST_LEVEL);
    case WP_IO_PRIORITY_DEFAULT:
    default:
      return 0;
    }
}

/**
 * wp_worker_pool_get_io_priority: (attributes org.gtk.Method.get_property=io-priority)
 * @self: a pool
 *
 * Gets [property@WorkerPool:io-priority].
 *
 * Returns: when the workers get to use the disks
 *
 * Since: 1.0
 */
WpIoPriority
wp_worker_pool_get_io_priority (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), WP_IO_PRIORITY_DEFAULT);

  locker = wp_worker_pool_lock (self);

  return self->io_priority;
}

/**
 * wp_worker_pool_set_io_priority: (attributes org.gtk.Method.set_property=io-priority)
 * @self: a pool
 * @io_priority: when the workers get to use the disks
 *
 * Sets [property@WorkerPool:io-priority]. Once the pool has started this has no effect but a warning.
 *
 * Since: 1.0
 */
void
wp_worker_pool_set_io_priority (WpWorkerPool *self, WpIoPriority io_priority)
{
  gboolean changed;

  g_return_if_fail (WP_IS_WORKER_POOL (self));
  g_return_if_fail (io_priority >= WP_IO_PRIORITY_DEFAULT && io_priority <= WP_IO_PRIORITY_IDLE);

  if (!wp_worker_pool_begin_change (self, "io-priority"))
    return;

  changed = self->io_priority != io_priority;
  self->io_priority = io_priority;
  wp_worker_pool_end_change (self, "io-priority", changed);
}
