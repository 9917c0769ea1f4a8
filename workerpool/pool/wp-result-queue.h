/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "pool/wp-task-run.h"

G_BEGIN_DECLS

/* The results of a job as they came from the workers: runs of consecutive tasks, kept as the bytes
 * of their frame until somebody takes them. Not thread-safe. */
typedef struct _WpResultQueue WpResultQueue;

/* Where results come from: all of these are of one worker. */
typedef struct
{
  guint worker;    /* that ran the tasks last, or G_MAXUINT for none */
  guint n_retries; /* how often they were run again */
  GBytes *notes;   /* that a task has left as it died, or NULL */
  GBytes *times;   /* WpTaskTimes (wp-message.h), one for each record of the payload or for the failed task, or NULL */
} WpResultOrigin;

/* ordered: results are taken by index without a gap; else as they were added. */
WpResultQueue *wp_result_queue_new        (gboolean ordered);
void           wp_result_queue_free       (WpResultQueue *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpResultQueue, wp_result_queue_free)

/* The records skip … skip + n - 1 of a validated payload are the results of tasks first …. */
void           wp_result_queue_add        (WpResultQueue *self,
                                           guint64        first,
                                           guint          n,
                                           GBytes        *payload,
                                           guint          skip,
                                           const WpResultOrigin *origin);
/* Tasks first … failed with this error. */
void           wp_result_queue_add_error  (WpResultQueue *self,
                                           guint64        first,
                                           guint          n,
                                           const GError  *error,
                                           const WpResultOrigin *origin);
/* A result can be taken now. */
gboolean       wp_result_queue_can_take   (WpResultQueue *self);
/* The next result: exactly one of *value (not floating) and *failure. described: (nullable), with a reference on
 * the notes. FALSE: not now. */
gboolean       wp_result_queue_take       (WpResultQueue *self,
                                           guint64       *index,
                                           GVariant     **value,
                                           GError       **failure,
                                           WpTaskRun     *described);
/* As many of the next results as fit, up to 'most', as a block (wp-result-block.h). NULL: none now, or one that is to be
 * taken by itself. (transfer full) (nullable) */
GBytes        *wp_result_queue_take_block (WpResultQueue *self, guint most);
/* Results that were added and not taken. */
guint64        wp_result_queue_get_length (WpResultQueue *self);

/* Everything that was added, none of it taken before, as the "av" of a map's results. A failed task
 * stands as a variant of "mv" that holds nothing. (transfer full): not floating. */
GVariant      *wp_result_queue_collect    (WpResultQueue *self);

G_END_DECLS
