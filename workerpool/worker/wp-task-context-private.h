/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-board.h"
#include "worker/wp-cancel-watch.h"
#include "worker/wp-emitter.h"
#include "worker/wp-inbox.h"
#include "worker/wp-task-context.h"

G_BEGIN_DECLS

/* Commits the value (nullable), or the error, as the result of the running task, and starts the chunk's next one. TRUE:
 * *argument are the bytes of its argument, which live until the next exchange or the function returns. FALSE without
 * error: there is none, and nothing was committed. */
typedef gboolean (*WpExchangeFunc) (gpointer       data,
                                    GVariant      *value,
                                    const GError  *task_error,
                                    const guint8 **argument,
                                    gsize         *length,
                                    GError       **error);

struct _WpTaskContext
{
  GObject parent_instance;

  guint worker_id;
  WpBoard *board; /* nullable */
  WpInbox *inbox;
  WpEmitter *emitter;
  const int *asked;
  WpCancelWatch *watch;
  /* The channel may only be read where the worker reads it. */
  GThread *thread;
  guint generation; /* of the process: only the worker itself talks to the pool */

  gboolean running;
  gboolean cancelled; /* atomic; without a board */
  guint64 sequence;
  guint offset;
  guint64 task_index;

  WpExchangeFunc exchange; /* NULL: the task is of no chunk */
  gpointer exchange_data;

  GVariant *shared_objects; /* nullable */

  gboolean takes_notes; /* some task of this worker has asked for them */

  gpointer worker_state;
  GDestroyNotify destroy_worker_state;
};

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
/* func: (nullable). */
void           wp_task_context_set_exchange (WpTaskContext *self, WpExchangeFunc func, gpointer data);
/* Why who calls cannot talk to the pool, for a sentence; NULL: nothing is in the way. */
const char    *wp_task_context_get_obstacle (WpTaskContext *self, GIOErrorEnum *code);
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
