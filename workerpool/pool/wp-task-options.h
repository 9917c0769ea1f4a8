/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-macros.h"

G_BEGIN_DECLS

/**
 * WpOnError:
 * @WP_ON_ERROR_STOP: the first failed task cancels the tasks that have not ended yet
 * @WP_ON_ERROR_CONTINUE: the other tasks go on
 *
 * What a failed task means for the others of its map or batch.
 *
 * Since: 1.0
 */
typedef enum
{
  WP_ON_ERROR_STOP,
  WP_ON_ERROR_CONTINUE,
} WpOnError;

#define WP_TYPE_ON_ERROR (wp_on_error_get_type ())
WP_PUBLIC
GType wp_on_error_get_type (void);

/**
 * WP_RETRY_ANY_CODE:
 *
 * Stands for every code of an error domain, in [method@TaskOptions.add_retry_error].
 *
 * Since: 1.0
 */
#define WP_RETRY_ANY_CODE (-1)

/**
 * WpEventFunc:
 * @index: the index of the task in its batch or map; 0 in an apply
 * @value: what the task has emitted
 * @user_data: the data of the callback
 *
 * Receives the events of tasks; see [method@TaskOptions.set_event_callback].
 *
 * Since: 1.0
 */
typedef void (*WpEventFunc) (guint64 index, GVariant *value, gpointer user_data);

#define WP_TYPE_TASK_OPTIONS (wp_task_options_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpTaskOptions, wp_task_options, WP, TASK_OPTIONS, GObject)

WP_PUBLIC
WpTaskOptions *wp_task_options_new                  (void);
WP_PUBLIC
gboolean       wp_task_options_get_ordered          (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_ordered          (WpTaskOptions *self, gboolean ordered);
WP_PUBLIC
guint          wp_task_options_get_chunk_size       (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_chunk_size       (WpTaskOptions *self, guint chunk_size);
WP_PUBLIC
guint          wp_task_options_get_n_splits         (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_n_splits         (WpTaskOptions *self, guint n_splits);
WP_PUBLIC
guint          wp_task_options_get_max_active_tasks (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_max_active_tasks (WpTaskOptions *self, guint max_active_tasks);
WP_PUBLIC
guint          wp_task_options_get_max_retries      (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_max_retries      (WpTaskOptions *self, guint max_retries);
WP_PUBLIC
guint          wp_task_options_get_retry_delay      (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_retry_delay      (WpTaskOptions *self, guint retry_delay);
WP_PUBLIC
double         wp_task_options_get_retry_backoff    (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_retry_backoff    (WpTaskOptions *self, double retry_backoff);
WP_PUBLIC
void           wp_task_options_add_retry_error      (WpTaskOptions *self, GQuark domain, int code);
WP_PUBLIC
void           wp_task_options_add_retry_error_by_name
                                                    (WpTaskOptions *self, const char *domain, int code);
WP_PUBLIC
void           wp_task_options_clear_retry_errors   (WpTaskOptions *self);
WP_PUBLIC
gboolean       wp_task_options_is_retry_error       (WpTaskOptions *self, const GError *error);
WP_PUBLIC
guint          wp_task_options_get_task_timeout     (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_task_timeout     (WpTaskOptions *self, guint task_timeout);
WP_PUBLIC
int            wp_task_options_get_priority         (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_priority         (WpTaskOptions *self, int priority);
WP_PUBLIC
WpOnError      wp_task_options_get_on_error         (WpTaskOptions *self);
WP_PUBLIC
void           wp_task_options_set_on_error         (WpTaskOptions *self, WpOnError on_error);
WP_PUBLIC
void           wp_task_options_set_event_callback   (WpTaskOptions *self,
                                                     WpEventFunc    callback,
                                                     gpointer       user_data,
                                                     GDestroyNotify destroy);

G_END_DECLS
