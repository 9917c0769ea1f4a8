/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-task-options.h"

G_BEGIN_DECLS

/* What receives the events of calls, shared by the options and the calls that were made with them. Whoever gives up the
 * last reference frees the caller's data. */
typedef struct _WpEventCallback WpEventCallback;

WpEventCallback *wp_event_callback_new   (WpEventFunc func, gpointer user_data, GDestroyNotify destroy);
WpEventCallback *wp_event_callback_ref   (WpEventCallback *self);
void             wp_event_callback_unref (WpEventCallback *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpEventCallback, wp_event_callback_unref)

void             wp_event_callback_call  (WpEventCallback *self, guint64 index, GVariant *value);

G_END_DECLS
