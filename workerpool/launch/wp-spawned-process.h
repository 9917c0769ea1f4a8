/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

#define WP_TYPE_SPAWNED_PROCESS (wp_spawned_process_get_type ())
G_DECLARE_FINAL_TYPE (WpSpawnedProcess, wp_spawned_process, WP, SPAWNED_PROCESS, WpWorkerProcess)

/* A worker that is a subprocess, with the pool's end of its channel; NULL for a server of workers. Keeps a
 * reference of both. */
WpWorkerProcess *wp_spawned_process_new (GSubprocess *subprocess, GIOStream *channel);

G_END_DECLS
