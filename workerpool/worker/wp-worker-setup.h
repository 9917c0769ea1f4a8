/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-channel.h"
#include "channel/wp-process.h"

G_BEGIN_DECLS

/* Turns this process into a worker: opens the channel that the environment names, ties this process to the life of
 * its owner, and settles its signals and standard streams, before anything can print into the channel.
 *
 * G_IO_ERROR_NOT_SUPPORTED: the process was not started by a pool. G_IO_ERROR_EXISTS: it is a worker already.
 * G_IO_ERROR_CLOSED: the owner has died. G_IO_ERROR_INVALID_ARGUMENT: the environment names no usable channel. */
WpChannel *wp_worker_setup                  (GError **error);

/* Does the same for a copy of a process, and makes it one that shares nothing but memory with what it was copied from:
 * neither descriptors nor signal handlers. Takes the channel. G_IO_ERROR_CLOSED: the parent has died. */
WpChannel *wp_worker_setup_copy             (const WpWorkerRequest *request, GError **error);
/* Makes the calling thread a worker. Takes the channel. */
WpChannel *wp_worker_setup_thread           (const WpWorkerRequest *request, GError **error);

/* Turns this process into a fork server, and returns its socket. -1 after an error: those of
 * wp_worker_setup (). */
int        wp_worker_setup_server           (GError **error);

/* Whether this process is still a child of the one that it is to end with. */
gboolean   wp_worker_setup_check_owner      (int owner, GError **error);
/* The signal the kernel sends this process when its owner dies; 0 for none. */
void       wp_worker_setup_set_death_signal (int signum);

G_END_DECLS
