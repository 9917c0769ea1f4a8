/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Connects a waiting GTask to its cancellable, and lets go of it when the call ends: a cancellable may
 * live long and serve many calls. Between the two the handler may run at any time, in any thread. */

/* Before the call waits. The handler's data is the task. Uses the task's task data. */
void wp_task_watch   (GTask *task, GCallback on_cancelled);
/* In the thread that ends the task, with no lock held that the handler wants. */
void wp_task_unwatch (GTask *task);

G_END_DECLS
