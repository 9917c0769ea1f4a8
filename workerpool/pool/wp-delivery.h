/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Hands calls over to a main context: one source for all that has piled up, not one each. */
typedef struct _WpDelivery WpDelivery;

typedef void (*WpDeliveryFunc) (gpointer data);

WpDelivery   *wp_delivery_new         (GMainContext *context);
WpDelivery   *wp_delivery_ref         (WpDelivery *self);
void          wp_delivery_unref       (WpDelivery *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpDelivery, wp_delivery_unref)

GMainContext *wp_delivery_get_context (WpDelivery *self);

/* Runs func (data) in the context, after what was posted before; it owns data. When the context ends before, destroy
 * (data) is called instead, unless it is NULL. May be called from any thread and with locks held. */
void          wp_delivery_post        (WpDelivery     *self,
                                       WpDeliveryFunc  func,
                                       gpointer        data,
                                       GDestroyNotify  destroy);
/* The same, at the monotonic time in microseconds; out of order with the others. */
void          wp_delivery_post_at     (WpDelivery     *self,
                                       gint64          time,
                                       WpDeliveryFunc  func,
                                       gpointer        data,
                                       GDestroyNotify  destroy);

G_END_DECLS
