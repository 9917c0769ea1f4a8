/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-macros.h"
#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

/**
 * WpStartMethod:
 * @WP_START_METHOD_SPAWN: a fresh process runs the host
 * @WP_START_METHOD_FORK: a copy of the calling process
 * @WP_START_METHOD_FORKSERVER: a copy of a server process that has loaded the host
 * @WP_START_METHOD_THREADING: a thread of the calling process
 *
 * How a worker comes to life.
 *
 * `spawn` is the default: it works everywhere, beside any number of threads, and its workers share nothing with their
 * owner. `forkserver` is as safe, and starts the second and later workers faster when the host takes long to load;
 * its host has to call [func@Worker.main]. With `fork` tasks see the memory of the caller as it was when the worker
 * started, which only a process without other threads can rely on. With `threading` there is no protection from a task
 * that crashes, and a task that runs cannot be stopped; only functions that this program has registered, and those of
 * modules, can run.
 *
 * Since: 1.0
 */
typedef enum
{
  WP_START_METHOD_SPAWN,
  WP_START_METHOD_FORK,
  WP_START_METHOD_FORKSERVER,
  WP_START_METHOD_THREADING,
} WpStartMethod;

#define WP_TYPE_START_METHOD (wp_start_method_get_type ())
WP_PUBLIC
GType wp_start_method_get_type (void);

#define WP_TYPE_LAUNCHER (wp_launcher_get_type ())
WP_PUBLIC
G_DECLARE_DERIVABLE_TYPE (WpLauncher, wp_launcher, WP, LAUNCHER, GObject)

/**
 * WpLauncherClass:
 * @parent_class: the parent class
 * @launch: starts one worker and returns it without waiting for it to report in. Called in the thread of the
 *   pool's I/O, and for one worker at a time.
 * @shut_down: nullable: the pool has ended, and so have its workers: waits until nothing else of what the launcher has
 *   started is left. Called in the same thread, once; it may not take long.
 *
 * The class of the ways to start a worker.
 *
 * Since: 1.0
 */
struct _WpLauncherClass
{
  GObjectClass parent_class;

  WpWorkerProcess *(*launch)    (WpLauncher *self, guint worker_id, GError **error);
  void             (*shut_down) (WpLauncher *self);

  /*< private >*/
  gpointer padding[7];
};

WP_PUBLIC
WpWorkerProcess *wp_launcher_launch    (WpLauncher *self, guint worker_id, GError **error);
WP_PUBLIC
void             wp_launcher_shut_down (WpLauncher *self);

G_END_DECLS
