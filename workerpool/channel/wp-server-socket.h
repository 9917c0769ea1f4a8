/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-server-message.h"

G_BEGIN_DECLS

/* The socket between a pool and its fork server: packets, each with a descriptor or none. */

/* 'fd' is -1, or sent along and not taken. G_IO_ERROR_WOULD_BLOCK, when the socket does not block: there is no room
 * yet. G_IO_ERROR_BROKEN_PIPE: the other side has closed its end. */
gboolean wp_server_socket_send    (int socket, GBytes *packet, int fd, GError **error);
/* 'fd' gets the descriptor that came along, close-on-exec, or -1, also after an error. G_IO_ERROR_WOULD_BLOCK: nothing
 * is there. G_IO_ERROR_CLOSED: the other side has closed its end. WP_ERROR_PROTOCOL: as of wp_server_message_decode
 * (). */
gboolean wp_server_socket_receive (int              socket,
                                   gboolean         from_server,
                                   WpServerMessage *message,
                                   int             *fd,
                                   GError         **error);

G_END_DECLS
