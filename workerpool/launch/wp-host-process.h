/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

/* Starts a program of this machine and tells it what it is: the descriptor 'fd', which is taken also after an error,
 * is the only one that it gets beside the standard streams, and 'role' says what that is. 'channel' is the pool's end
 * of a worker's channel, NULL for a process that is no worker. */
WpWorkerProcess *wp_host_process_start (const char *const *argv,
                                        const char        *role,
                                        int                fd,
                                        GIOStream         *channel,
                                        GError           **error);

G_END_DECLS
