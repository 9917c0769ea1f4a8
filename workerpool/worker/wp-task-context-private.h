/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-board.h"
#include "worker/wp-emitter.h"
#include "worker/wp-inbox.h"
#include "worker/wp-task-context.h"

G_BEGIN_DECLS

/* board: where there is none that is shared, messages say that a task is cancelled, which the inbox passes on to
 * wp_task_context_cancel (). inbox and emitter: NULL where there are no tasks, in a
 * fork server. asked (nullable): not 0 once whatever runs is cancelled. All must live until the last
 * wp_task_context_end (). */
WpTaskContext *wp_task_context_new    (guint             worker_id,
                                       WpBoard          *board,
                                       WpInbox          *inbox,
                                       WpEmitter        *emitter,
                                       const int        *asked);

/* shared_objects: (nullable). */
void           wp_task_context_set_shared_objects (WpTaskContext *self, GVariant *shared_objects);
/* Ends what serves tasks; none may run. */
void           wp_task_context_close  (WpTaskContext    *self);
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
