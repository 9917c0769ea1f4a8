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
 * How a worker comes to life. A pool of this version starts with `WP_START_METHOD_SPAWN` only.
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
 *
 * The class of the ways to start a worker.
 *
 * Since: 1.0
 */
struct _WpLauncherClass
{
  GObjectClass parent_class;

  WpWorkerProcess *(*launch) (WpLauncher *self, guint worker_id, GError **error);

  /*< private >*/
  gpointer padding[8];
};

WP_PUBLIC
WpWorkerProcess *wp_launcher_launch (WpLauncher *self, guint worker_id, GError **error);

G_END_DECLS
