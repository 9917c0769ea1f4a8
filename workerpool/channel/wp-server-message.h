/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What a pool and its fork server, the process of which its workers are copies, say to each other: bytes in, messages
 * out. Each message is one packet of a Unix seqpacket socket. */

/* Far below what such a socket holds, so that the first message never waits. */
#define WP_SERVER_MESSAGE_MAX 65536

typedef enum
{
  /* From the pool. */
  WP_SERVER_SETUP,  /* preload, function: what to do before the first fork */
  WP_SERVER_FORK,   /* id; comes with the worker's end of its channel */
  WP_SERVER_SIGNAL, /* id, signum */
  /* From the server. */
  WP_SERVER_READY,
  WP_SERVER_FAILED,  /* id, error: that worker, or with 0 the server itself, cannot be started */
  WP_SERVER_STARTED, /* id, pid; comes with a pidfd, if there was a descriptor left */
  WP_SERVER_ENDED,   /* id, status */
} WpServerMessageType;

typedef struct
{
  WpServerMessageType type;
  guint64 id; /* of a worker, from 1 */
  int pid;
  int status; /* as by waitpid () */
  int signum;
  char **preload;
  char *function; /* nullable */
  GError *error;
} WpServerMessage;

/* (transfer full). Longer texts of errors are cut; a setup that is too large is NULL. */
GBytes  *wp_server_message_encode (const WpServerMessage *message);
/* The message is set, and to be cleared, also after an error: of code WP_ERROR_PROTOCOL, which continues "it sent". */
gboolean wp_server_message_decode (WpServerMessage *message,
                                   gconstpointer    data,
                                   gsize            size,
                                   gboolean         from_server,
                                   GError         **error);
void     wp_server_message_clear  (WpServerMessage *message);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (WpServerMessage, wp_server_message_clear)

G_END_DECLS
