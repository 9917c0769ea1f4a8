/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-launcher.h"
#include "channel/wp-error.h"

/**
 * WpLauncher:
 *
 * A way to bring workers to life.
 *
 * A pool asks its launcher for one worker at a time, in the thread of the pool. The launcher starts a program
 * that takes the role of a worker (see [func@Worker.is_requested]) and returns at once, without
 * waiting for it to report in: the pool does that, and replaces a worker that does not.
 *
 * [class@SpawnLauncher] starts a process of this machine, or a wrapper such as ssh that reaches
 * another one. Other ways are subclasses.
 *
 * Since: 1.0
 */

G_DEFINE_ABSTRACT_TYPE (WpLauncher, wp_launcher, G_TYPE_OBJECT)

static void
wp_launcher_class_init (WpLauncherClass *klass)
{
}

static void
wp_launcher_init (WpLauncher *self)
{
}

/**
 * wp_launcher_launch: (virtual launch)
 * @self: a launcher
 * @worker_id: the number of the worker in its pool
 * @error: return location for an error
 *
 * Starts one worker.
 *
 * This returns as soon as the worker was started; whether it reports in shows on its channel. It may be
 * called in any thread, but the worker dies with the thread that called it: the kernel's parent-death signal
 * counts the thread, not the process.
 *
 * It fails with `WP_ERROR_START_FAILED` when the system refuses, or when a subclass returns no worker or one
 * that lacks a virtual function.
 *
 * Returns: (transfer full): the worker
 *
 * Since: 1.0
 */
WpWorkerProcess *
wp_launcher_launch (WpLauncher *self,
                    guint       worker_id,
                    GError    **error)
{
  g_autoptr (WpWorkerProcess) worker = NULL;
  WpWorkerProcessClass *process_class;
  GError *launch_error = NULL;
  WpLauncherClass *klass;

  g_return_val_if_fail (WP_IS_LAUNCHER (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  klass = WP_LAUNCHER_GET_CLASS (self);
  if (klass->launch == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "The launcher class %s does not implement launch ()", G_OBJECT_TYPE_NAME (self));
      return NULL;
    }

  worker = klass->launch (self, worker_id, &launch_error);
  if (launch_error != NULL)
    {
      g_propagate_error (error, launch_error);
      return NULL;
    }

  if (!WP_IS_WORKER_PROCESS (worker))
    {
      /* A subclass in another language may return anything. */
      worker = NULL;
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "The launcher %s returned neither a worker nor an error for worker %u",
                   G_OBJECT_TYPE_NAME (self), worker_id);
      return NULL;
    }

  /* Whose end nobody can wait for would never be gone. */
  process_class = WP_WORKER_PROCESS_GET_CLASS (worker);
  if (process_class->get_channel == NULL || process_class->send_signal == NULL ||
      process_class->wait_async == NULL || process_class->wait_finish == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "The launcher %s returned a %s, whose class does not implement all of get_channel (), "
                   "send_signal (), wait_async () and wait_finish ()",
                   G_OBJECT_TYPE_NAME (self), G_OBJECT_TYPE_NAME (worker));
      return NULL;
    }

  return g_steal_pointer (&worker);
}

/**
 * wp_launcher_shut_down: (virtual shut_down)
 * @self: a launcher
 *
 * Ends what the launcher has started beside its workers, and waits until that is gone.
 *
 * A pool calls this in its own thread when its last worker has ended; a launcher that serves several pools
 * should go on serving the others.
 *
 * Since: 1.0
 */
void
wp_launcher_shut_down (WpLauncher *self)
{
  WpLauncherClass *klass;

  g_return_if_fail (WP_IS_LAUNCHER (self));

  klass = WP_LAUNCHER_GET_CLASS (self);
  if (klass->shut_down != NULL)
    klass->shut_down (self);
}

GType
wp_start_method_get_type (void)
{
  static gsize type_id = 0;

  if (g_once_init_enter (&type_id))
    {
      static const GEnumValue values[] = {
        { WP_START_METHOD_SPAWN, "WP_START_METHOD_SPAWN", "spawn" },
        { WP_START_METHOD_FORK, "WP_START_METHOD_FORK", "fork" },
        { WP_START_METHOD_FORKSERVER, "WP_START_METHOD_FORKSERVER", "forkserver" },
        { WP_START_METHOD_THREADING, "WP_START_METHOD_THREADING", "threading" },
        { 0, NULL, NULL },
      };

      g_once_init_leave (&type_id, g_enum_register_static ("WpStartMethod", values));
    }

  return type_id;
}
