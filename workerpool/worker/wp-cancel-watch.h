/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-board.h"
#include "worker/wp-inbox.h"

G_BEGIN_DECLS

/* Cancels the GCancellable of a running task, which may be blocked in the worker's thread. A thread of its own does so;
 * it is made when a task first asks for its cancellable.
 *
 * On a worker with a board it sleeps until the pool rings, on another it reads the channel in the task's stead. */
typedef struct _WpCancelWatch WpCancelWatch;

/* Whether the running task is to end; called in any thread, while a task runs. */
typedef gboolean (*WpCancelCheck) (gpointer data);

/* board: NULL where there is none that is shared. Borrows both. */
WpCancelWatch *wp_cancel_watch_new     (WpBoard *board, WpInbox *inbox, WpCancelCheck check, gpointer data);
/* Waits for the thread. */
void           wp_cancel_watch_free    (WpCancelWatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCancelWatch, wp_cancel_watch_free)

/* In the thread of the task: its cancellable, the same for each call. (transfer none) (nullable): NULL in a copy of the
 * worker. */
GCancellable  *wp_cancel_watch_get     (WpCancelWatch *self);
/* The task has ended: its cancellable is nobody's concern any more. */
void           wp_cancel_watch_end     (WpCancelWatch *self);
/* Between these only the caller reads the channel. */
void           wp_cancel_watch_suspend (WpCancelWatch *self);
void           wp_cancel_watch_resume  (WpCancelWatch *self);
/* 'check' has become true by what another thread has read. */
void           wp_cancel_watch_notice  (WpCancelWatch *self);

G_END_DECLS
