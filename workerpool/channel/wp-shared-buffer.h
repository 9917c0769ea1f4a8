/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Large payloads as sealed memfds: written once, then immutable for everybody. */

/* A memfd that holds the segments, sealed against writing, growing and shrinking.
 * Returns the descriptor (close-on-exec), or -1 with the G_IO_ERROR of the system's refusal. */
int     wp_shared_buffer_create (GPtrArray *segments, GError **error);

/* Maps 'length' bytes of fd read-only; fd stays the caller's and may be closed. WP_ERROR_PROTOCOL
 * when a seal is missing or the file is shorter; G_IO_ERROR when the system refuses to map. */
GBytes *wp_shared_buffer_map    (int fd, gsize length, GError **error);

G_END_DECLS
