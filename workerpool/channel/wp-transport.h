/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What carries a channel's bytes, and its descriptors where it can: an AF_UNIX socket, or a pair of
 * streams. It does not block, keeps no bytes, and knows nothing of frames. */
typedef struct _WpTransport WpTransport;

/* The most pieces of one write. */
#define WP_TRANSPORT_MAX_VECTORS 64

/* As wp_channel_new_for_socket () and wp_channel_new_for_streams (). */
WpTransport *wp_transport_new_for_socket  (GSocket *socket);
WpTransport *wp_transport_new_for_streams (GInputStream *input, GOutputStream *output);
void         wp_transport_free            (WpTransport *transport);

gboolean     wp_transport_can_pass_fds    (WpTransport *transport);
int          wp_transport_get_input_fd    (WpTransport *transport);
int          wp_transport_get_output_fd   (WpTransport *transport);

/* Writes once; *written may be 0. fd, -1 for none, goes with the first byte and stays the caller's.
 * FALSE when the connection is broken. */
gboolean     wp_transport_write           (WpTransport   *transport,
                                           GOutputVector *vectors,
                                           guint          n_vectors,
                                           int            fd,
                                           gsize         *written,
                                           GError       **error);
/* A read can wait. */
gboolean     wp_transport_can_wait        (WpTransport *transport);
/* For how long, 0: for ever. */
void         wp_transport_set_timeout     (WpTransport *transport, int timeout_ms);
/* Reads once; *n_read may be 0, also after having waited. Descriptors that came are appended to fds, an array of int;
 * the kernel ends a read where they came. FALSE with G_IO_ERROR_CLOSED at the end, else when the connection is
 * broken. */
gboolean     wp_transport_read            (WpTransport *transport,
                                           guint8      *space,
                                           gsize        size,
                                           gboolean     wait,
                                           GArray      *fds,
                                           gsize       *n_read,
                                           GError     **error);

G_END_DECLS
