/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-launcher.h"

G_BEGIN_DECLS

/**
 * WpTransport:
 * @WP_TRANSPORT_SOCKET: a socketpair beside the worker's standard streams; it can share memory
 * @WP_TRANSPORT_STDIO: the worker's standard input and output, for hosts behind a wrapper such as ssh; the
 *   worker's own standard output becomes its standard error
 *
 * What carries the channel of a spawned worker.
 *
 * Since: 1.0
 */
typedef enum
{
  WP_TRANSPORT_SOCKET,
  WP_TRANSPORT_STDIO,
} WpTransport;

#define WP_TYPE_TRANSPORT (wp_transport_get_type ())
WP_PUBLIC
GType wp_transport_get_type (void);

#define WP_TYPE_SPAWN_LAUNCHER (wp_spawn_launcher_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpSpawnLauncher, wp_spawn_launcher, WP, SPAWN_LAUNCHER, WpLauncher)

WP_PUBLIC
WpLauncher         *wp_spawn_launcher_new           (const char * const *argv, WpTransport transport);
WP_PUBLIC
const char * const *wp_spawn_launcher_get_argv      (WpSpawnLauncher *self);
WP_PUBLIC
WpTransport         wp_spawn_launcher_get_transport (WpSpawnLauncher *self);

G_END_DECLS
