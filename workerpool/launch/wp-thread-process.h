/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

#define WP_TYPE_THREAD_PROCESS (wp_thread_process_get_type ())
G_DECLARE_FINAL_TYPE (WpThreadProcess, wp_thread_process, WP, THREAD_PROCESS, WpWorkerProcess)

/* A worker that is a thread of this process: starts it on its end of the channel, which is taken, and keeps a reference
 * of the pool's end. It has no process identifier. It cannot be killed: a signal sets its tasks' flag and ends its
 * channel, so that it ends when its task does. shared_objects: (nullable): what all workers of the pool see. */
WpWorkerProcess *wp_thread_process_new (int           worker_fd,
                                        GIOStream    *channel,
                                        gconstpointer pool,
                                        GVariant     *shared_objects,
                                        GError      **error);

G_END_DECLS
