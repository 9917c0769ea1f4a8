/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"

G_BEGIN_DECLS

/* One apply or map from its call to its result. */

/* Submits a job and waits in the calling thread. Takes the items. Returns: (transfer full) */
GVariant *wp_call_run   (WpEngine      *engine,
                         const char    *function,
                         WpItems       *items,
                         WpTaskOptions *options,
                         gboolean       is_map,
                         GCancellable  *cancellable,
                         GError       **error);

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
