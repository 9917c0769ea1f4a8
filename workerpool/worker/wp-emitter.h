/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-message.h"
#include "worker/wp-inbox.h"
#include "worker/wp-outbox.h"

G_BEGIN_DECLS

/* The events of the tasks, on their way to the pool. Each goes out at once, behind the results before it; how many may
 * be on the way is bounded for each stream. Credit may be added by any thread that polls the inbox, everything else is
 * for the worker's. */
typedef struct _WpEmitter WpEmitter;

/* Borrows all. */
WpEmitter *wp_emitter_new        (WpChannel *channel, WpOutbox *outbox);
void       wp_emitter_free       (WpEmitter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpEmitter, wp_emitter_free)

/* Of the chunk that runs; 0: nobody wants its events. */
void       wp_emitter_set_stream (WpEmitter *self, guint64 stream);
gboolean   wp_emitter_is_heard   (WpEmitter *self);
gboolean   wp_emitter_has_credit (WpEmitter *self);
/* FALSE: it is for events that were not sent. */
gboolean   wp_emitter_add_credit (WpEmitter *self, guint64 stream, const WpCreditHead *credit);
/* Wants credit. value: without a flaw. FALSE with G_IO_ERROR_MESSAGE_TOO_LARGE: nothing was sent; with another error
 * the channel is broken. */
gboolean   wp_emitter_send       (WpEmitter *self, guint64 sequence, guint offset, GVariant *value, GError **error);

G_END_DECLS
