/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"
#include "pool/wp-event-callback.h"

G_BEGIN_DECLS

/* One apply or map from its call to its result. */

typedef enum
{
  WP_CALL_MAP,
  WP_CALL_APPLY,       /* which the calling thread waits for at once */
  WP_CALL_APPLY_LATER, /* which it may wait for at another time */
} WpCallKind;

/* Submits a job and waits in the calling thread. Takes the items. Returns: (transfer full) */
GVariant *wp_call_run   (WpEngine      *engine,
                         const char    *function,
                         WpItems       *items,
                         WpTaskOptions *options,
                         WpCallKind     kind,
                         GCancellable  *cancellable,
                         GError       **error);

/* The same in pieces. */
/* Takes the items. callback (nullable): gets the events in the thread that waits, and must live as long as the job.
 * Returns: (transfer full) */
WpJob    *wp_call_submit (WpEngine        *engine,
                          const char      *function,
                          WpItems         *items,
                          WpTaskOptions   *options,
                          WpCallKind       kind,
                          WpEventCallback *callback,
                          GError         **error);
/* Waits until the job has ended, or for no longer than until that time (wp_engine_get_end_time ()). TRUE: it has. */
gboolean  wp_call_wait   (WpJob *job, WpEventCallback *callback, gint64 end_time);
/* Of an apply that has ended, once. notes: (nullable): what a task that died has left, (transfer full) (nullable).
 * Returns: (transfer full) */
GVariant *wp_call_take_applied (WpJob *job, GBytes **notes, GError **error);

/* Submits a job; the task ends with its result, by way of the delivery, which must lead to the task's context.
 * Takes the items; uses the task data. */
void      wp_call_begin (WpEngine      *engine,
                         GTask         *task,
                         WpDelivery    *delivery,
                         const char    *function,
                         WpItems       *items,
                         WpTaskOptions *options,
                         gboolean       is_map);

G_END_DECLS
