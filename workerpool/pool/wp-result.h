/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-macros.h"

G_BEGIN_DECLS

#define WP_TYPE_RESULT (wp_result_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpResult, wp_result, WP, RESULT, GObject)

WP_PUBLIC
guint64       wp_result_get_index (WpResult *self);
WP_PUBLIC
GVariant     *wp_result_get_value (WpResult *self);
WP_PUBLIC
const GError *wp_result_get_error (WpResult *self);
WP_PUBLIC
guint         wp_result_get_worker_id  (WpResult *self);
WP_PUBLIC
gint64        wp_result_get_start_time (WpResult *self);
WP_PUBLIC
gint64        wp_result_get_run_time   (WpResult *self);
WP_PUBLIC
guint         wp_result_get_n_retries  (WpResult *self);
WP_PUBLIC
GBytes       *wp_result_get_notes      (WpResult *self);

G_END_DECLS
