/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

#define WP_TYPE_CHILD_PROCESS (wp_child_process_get_type ())
G_DECLARE_FINAL_TYPE (WpChildProcess, wp_child_process, WP, CHILD_PROCESS, WpWorkerProcess)

/* A worker that is a child of this process, known by its number, and not reaped by anybody else, with the pool's end of
 * its channel, of which it keeps a reference; NULL for a server of workers. It is watched through a pidfd, by the
 * thread that waits for it: this works also in a copy of a process, where GLib's own thread for that is missing.
 *
 * After an error the child has been killed and reaped. */
WpWorkerProcess *wp_child_process_new (int pid, GIOStream *channel, GError **error);

G_END_DECLS
