/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-board.h"
#include "worker/wp-task-context.h"

G_BEGIN_DECLS

/* Reads the channel for messages that cancel the running task, without waiting. */
typedef void (*WpTaskContextPoll) (gpointer data);

/* One of the two says whether a task is cancelled: the board, or messages that 'poll' fetches and passes on to
 * wp_task_context_cancel (). Both must live until the last wp_task_context_end (), and so must 'asked' (nullable), which
 * is not 0 once whatever runs is cancelled. */
WpTaskContext *wp_task_context_new    (guint             worker_id,
                                       WpBoard          *board,
                                       WpTaskContextPoll poll,
                                       gpointer          poll_data,
                                       const int        *asked);

/* shared_objects: (nullable). */
void           wp_task_context_set_shared_objects (WpTaskContext *self, GVariant *shared_objects);
void           wp_task_context_begin  (WpTaskContext    *self,
                                       guint64           sequence,
                                       guint             offset,
                                       guint64           task_index);
void           wp_task_context_end    (WpTaskContext    *self);
/* Does nothing unless this is the task that runs. */
void           wp_task_context_cancel (WpTaskContext    *self,
                                       guint64           sequence,
                                       guint             offset);

G_END_DECLS
