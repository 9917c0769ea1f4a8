/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* As socketpair () for the domain AF_UNIX, but with neither number that of a standard stream: a program that has closed
 * those may print all the same, and so may its copies. FALSE with errno set. */
gboolean   wp_socket_pair_new  (int type, int fds[2]);

/* Makes the two ends of a local worker's channel: the pool's (transfer full), NULL after an error, and the worker's
 * descriptor. */
GIOStream *wp_channel_pair_new (int *worker_fd, GError **error);

G_END_DECLS
