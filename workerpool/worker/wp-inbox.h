/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-channel.h"

G_BEGIN_DECLS

/* What the pool sends, on its way to the worker. Most frames are taken one by one between the tasks. Those that are
 * for the running task are handled as soon as somebody looks; others that are found then wait for their turn. */
typedef struct _WpInbox WpInbox;

/* Handles the frame if it is for the running task. FALSE: it has to wait. With an error: it was malformed. Any
 * thread that polls. */
typedef gboolean (*WpInboxFunc) (const WpFrame *frame, gpointer data, GError **error);

/* Borrows the channel. */
WpInbox *wp_inbox_new       (WpChannel *channel, WpInboxFunc func, gpointer data);
void     wp_inbox_free      (WpInbox *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpInbox, wp_inbox_free)

/* The next frame. FALSE without error: none has come. In the worker's thread, while nobody polls. */
gboolean wp_inbox_take      (WpInbox *self, WpFrame *frame, GError **error);
/* One may be taken without waiting. */
gboolean wp_inbox_has_frame (WpInbox *self);

/* Reads what has come, without waiting. From any thread, while a task runs. */
void     wp_inbox_poll      (WpInbox *self);
/* Nothing more can come. */
gboolean wp_inbox_has_ended (WpInbox *self);
/* To wait on. */
int      wp_inbox_get_fd    (WpInbox *self);

G_END_DECLS
