/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-macros.h"

G_BEGIN_DECLS

#define WP_TYPE_APPLY (wp_apply_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpApply, wp_apply, WP, APPLY, GObject)

WP_PUBLIC
gboolean  wp_apply_wait      (WpApply *self, gint64 timeout);
WP_PUBLIC
GVariant *wp_apply_get_value (WpApply *self, GError **error);
WP_PUBLIC
GBytes   *wp_apply_get_notes (WpApply *self);
WP_PUBLIC
void      wp_apply_cancel    (WpApply *self);

G_END_DECLS
