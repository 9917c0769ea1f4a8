/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-board.h"
#include "channel/wp-channel.h"
#include "channel/wp-message.h"

G_BEGIN_DECLS

/* The results on their way to the pool. They are built as encoded RESULTS frames in the board's memory, where the
 * pool finds them should this process be killed before it sends them, and several of them go out with one write.
 *
 * The frame that is being built has a provisional header: its sequence, and the offset in its head, are true; its
 * lengths, counts, flags and elapsed time are not yet. The times of its results, if they are wanted, stand at the end
 * of the memory and grow downwards (wp-message.h), until the frame is whole and they are copied to the end of its body.
 *
 * Every function that returns gboolean fails only because the channel is broken. 'now' is the time by
 * CLOCK_MONOTONIC in nanoseconds, so that the clock is read once a task. */
typedef struct _WpOutbox WpOutbox;

/* A result waits at most this long for company, unless a longer task follows it. A write that wakes a sleeping pool
 * costs both sides some 50 µs: once a millisecond that is 5 % of a core, and a millisecond is more often than any
 * display shows progress. */
#define WP_SEND_INTERVAL_NS (G_GINT64_CONSTANT (1000000))

/* Borrows both. timed: the frames carry the times of their results. */
WpOutbox *wp_outbox_new         (WpChannel *channel, WpBoard *board, gboolean timed);
void      wp_outbox_free        (WpOutbox *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpOutbox, wp_outbox_free)

void      wp_outbox_begin_chunk (WpOutbox *self, guint64 sequence, gint64 now);
/* The result of the chunk's next task. last: the chunk has no task after it. */
gboolean  wp_outbox_add         (WpOutbox          *self,
                                 GVariant          *value,
                                 const WpTaskTimes *times,
                                 gboolean           last,
                                 GError           **error);
gboolean  wp_outbox_add_error   (WpOutbox          *self,
                                 const GError      *task_error,
                                 const WpTaskTimes *times,
                                 GError           **error);
/* The chunk has no more results: its last frame says so. */
gboolean  wp_outbox_end_chunk   (WpOutbox *self, GError **error);
/* For channels without a board: the chunk's next task starts. Goes out at once, with all results before it. */
gboolean  wp_outbox_announce    (WpOutbox *self, gint64 now, GError **error);

/* Results have waited for long enough. */
gboolean  wp_outbox_is_due      (WpOutbox *self, gint64 now);
/* Sends everything, and returns when the kernel has all of it. */
gboolean  wp_outbox_flush       (WpOutbox *self, gint64 now, GError **error);
/* The same for what others have sent through its channel. */
gboolean  wp_outbox_drain       (WpOutbox *self, GError **error);

G_END_DECLS
