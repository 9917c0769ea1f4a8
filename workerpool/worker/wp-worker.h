/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "worker/wp-function.h"

G_BEGIN_DECLS

#define WP_TYPE_WORKER (wp_worker_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpWorker, wp_worker, WP, WORKER, GObject)

WP_PUBLIC
gboolean  wp_worker_is_requested (void);
WP_PUBLIC
int       wp_worker_main         (void);

WP_PUBLIC
WpWorker *wp_worker_new          (GError **error);
WP_PUBLIC
WpWorker *wp_worker_new_in_copy  (int channel, int parent, GError **error);
WP_PUBLIC
guint     wp_worker_get_id       (WpWorker *self);
WP_PUBLIC
gboolean  wp_worker_run          (WpWorker *self, GError **error);

WP_PUBLIC
GVariant *wp_worker_pull         (WpWorker *self, char **function, GError **error);
WP_PUBLIC
WpTaskContext *
          wp_worker_get_context  (WpWorker *self);
WP_PUBLIC
gboolean  wp_worker_answer       (WpWorker *self, GVariant *value, GError **error);
WP_PUBLIC
gboolean  wp_worker_answer_error (WpWorker   *self,
                                  const char *domain,
                                  int         code,
                                  const char *message,
                                  GError    **error);

G_END_DECLS
