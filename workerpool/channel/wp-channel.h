/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-frame.h"

G_BEGIN_DECLS

/* A framed, bidirectional connection that does not block: a GSocket (AF_UNIX, which can pass
 * descriptors), or a pair of streams (stdin and stdout, which cannot).
 *
 * Not thread-safe: the owner serialises the calls (the pool by its lock), but one thread may receive
 * while another sends. Reading and writing never block; wait() does, for the worker's side. */
typedef struct _WpChannel WpChannel;

/* Takes over the socket's use, and makes it non-blocking; keeps a reference. */
WpChannel *wp_channel_new_for_socket  (GSocket *socket);
/* Both must be GFileDescriptorBased, on descriptors that can be polled; these become non-blocking,
 * and are used beside the streams, which only keep them open. */
WpChannel *wp_channel_new_for_streams (GInputStream *input, GOutputStream *output);
void       wp_channel_free            (WpChannel *channel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpChannel, wp_channel_free)

gboolean   wp_channel_can_share       (WpChannel *channel);
/* Descriptors to poll; equal for a socket. */
int        wp_channel_get_input_fd    (WpChannel *channel);
int        wp_channel_get_output_fd   (WpChannel *channel);

/* Queues a frame and writes what can be written now. head: head_length bytes. body: (element-type
 * GBytes) (nullable), sent inline, or as shared memory when it is WP_PAYLOAD_LARGE or more, the
 * channel can share and the system gives a memfd; the flags and body_length in the header are set
 * accordingly.
 * attached: a descriptor to send along (only where the channel can share), -1 for none; it is
 * duplicated when it has to wait, and keeps the body inline.
 * FALSE when the connection is broken, or with G_IO_ERROR_MESSAGE_TOO_LARGE when the body can
 * neither be shared nor go inline (then nothing was sent and the channel lives on). */
gboolean   wp_channel_send            (WpChannel           *channel,
                                       const WpFrameHeader *header,
                                       const guint8        *head,
                                       GPtrArray           *body,
                                       int                  attached,
                                       GError             **error);
/* The same for bytes that are whole encoded frames without descriptors (the board's results);
 * they are copied only when they have to wait. */
gboolean   wp_channel_send_encoded    (WpChannel    *channel,
                                       const guint8 *bytes,
                                       gsize         size,
                                       GError      **error);
/* A frame whose body is a shared buffer made before. fd stays the caller's. */
gboolean   wp_channel_send_shared     (WpChannel           *channel,
                                       const WpFrameHeader *header,
                                       const guint8        *head,
                                       int                  fd,
                                       gsize                length,
                                       GError             **error);

/* Writes what is queued as far as possible; FALSE when the connection is broken. */
gboolean   wp_channel_flush           (WpChannel *channel, GError **error);
/* Bytes wait for the peer to read. */
gboolean   wp_channel_has_output      (WpChannel *channel);

/* TRUE: *frame is the next frame (attached: its descriptor, owned by the caller, or -1; for a SHARED
 * frame frame->body is already the mapped memory and attached is -1).
 * FALSE without error: nothing to read now. FALSE with an error: G_IO_ERROR_CLOSED at a clean end of
 * the stream, G_IO_ERROR_PARTIAL_INPUT at an end within a frame, WP_ERROR_PROTOCOL when corrupt, other
 * G_IO_ERRORs of the system. */
gboolean   wp_channel_receive         (WpChannel *channel,
                                       WpFrame   *frame,
                                       int       *attached,
                                       GError   **error);
/* A frame may be had without waiting for the peer: bytes of it were read already. */
gboolean   wp_channel_has_input       (WpChannel *channel);

/* Blocks until the condition (G_IO_IN, G_IO_OUT) holds, or for ever (timeout -1) or so many
 * milliseconds. FALSE at the time-out. Interrupted waits are resumed. */
gboolean   wp_channel_wait            (WpChannel *channel, GIOCondition condition, int timeout_ms);

/* Blocks until there is input, or an end, to receive (), as wait () does; it may return FALSE early, after a
 * signal. On a socket it reads instead of polling: not only a system call less. A reader that sleeps in
 * poll () is woken when its message comes; one that sleeps in a read is also woken when the peer takes
 * the message before it, and so its processor is up again when the answer comes (between two processors
 * of a virtual machine 65 µs a round trip instead of 115 µs). */
gboolean   wp_channel_wait_input      (WpChannel *channel, int timeout_ms);

G_END_DECLS
