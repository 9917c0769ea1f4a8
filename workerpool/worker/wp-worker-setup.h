/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-channel.h"

G_BEGIN_DECLS

/* Turns this process into a worker: opens the channel that the environment names, ties this process to the life of
 * its owner, and settles its signals and standard streams, before anything can print into the channel.
 *
 * G_IO_ERROR_NOT_SUPPORTED: the process was not started by a pool. G_IO_ERROR_EXISTS: it is a worker already.
 * G_IO_ERROR_CLOSED: the owner has died. G_IO_ERROR_INVALID_ARGUMENT: the environment names no usable channel. */
WpChannel *wp_worker_setup                  (GError **error);

/* The signal the kernel sends this process when its owner dies. */
void       wp_worker_setup_set_death_signal (int signum);

G_END_DECLS
