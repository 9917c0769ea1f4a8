/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-task-watch.h"

void
wp_task_watch (GTask *task, GCallback on_cancelled)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  gulong *handler;

  if (cancellable == NULL)
    return;

  handler = g_new0 (gulong, 1);
  g_task_set_task_data (task, handler, g_free);
  *handler = g_cancellable_connect (cancellable, on_cancelled, g_object_ref (task), g_object_unref);
}

void
wp_task_unwatch (GTask *task)
{
  gulong *handler = g_task_get_task_data (task);

  if (handler != NULL)
    g_cancellable_disconnect (g_task_get_cancellable (task), *handler);
}
