/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-macros.h"

G_BEGIN_DECLS

#define WP_TYPE_TASK_CONTEXT (wp_task_context_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpTaskContext, wp_task_context, WP, TASK_CONTEXT, GObject)

WP_PUBLIC
guint    wp_task_context_get_worker_id  (WpTaskContext *self);
WP_PUBLIC
guint64  wp_task_context_get_task_index (WpTaskContext *self);
WP_PUBLIC
gboolean wp_task_context_is_cancelled   (WpTaskContext *self);
WP_PUBLIC
GVariant *wp_task_context_get_shared_objects (WpTaskContext *self);
WP_PUBLIC
GCancellable *wp_task_context_get_cancellable (WpTaskContext *self);
WP_PUBLIC
gboolean wp_task_context_emit           (WpTaskContext *self,
                                         GVariant      *value,
                                         GError       **error);
WP_PUBLIC
guint8  *wp_task_context_exchange       (WpTaskContext *self,
                                         const guint8  *result,
                                         gsize          length,
                                         gsize         *next_length,
                                         GError       **error);
WP_PUBLIC
guint8  *wp_task_context_exchange_error (WpTaskContext *self,
                                         const char    *domain,
                                         int            code,
                                         const char    *message,
                                         gsize         *next_length,
                                         GError       **error);
WP_PUBLIC
gpointer wp_task_context_get_notes      (WpTaskContext *self,
                                         gsize         *size);
WP_PUBLIC
gpointer wp_task_context_get_worker_state (WpTaskContext *self);
WP_PUBLIC
void     wp_task_context_set_worker_state (WpTaskContext *self,
                                           gpointer       state,
                                           GDestroyNotify destroy);

G_END_DECLS
