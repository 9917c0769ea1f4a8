/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-launcher.h"
#include "pool/wp-apply.h"
#include "pool/wp-batch.h"
#include "pool/wp-task-options.h"

G_BEGIN_DECLS

/**
 * WpIoPriority:
 * @WP_IO_PRIORITY_DEFAULT: as the kernel derives it from the niceness, or as the owner's, where that was set
 * @WP_IO_PRIORITY_LOW: after all others that are not idle: the last of the best-effort class
 * @WP_IO_PRIORITY_IDLE: only when nobody else uses the disk: the idle class
 *
 * When workers get to read from disks and to write to them.
 *
 * Since: 1.0
 */
typedef enum
{
  WP_IO_PRIORITY_DEFAULT,
  WP_IO_PRIORITY_LOW,
  WP_IO_PRIORITY_IDLE,
} WpIoPriority;

#define WP_TYPE_IO_PRIORITY (wp_io_priority_get_type ())
WP_PUBLIC
GType wp_io_priority_get_type (void);

#define WP_TYPE_WORKER_POOL (wp_worker_pool_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpWorkerPool, wp_worker_pool, WP, WORKER_POOL, GObject)

WP_PUBLIC
WpWorkerPool       *wp_worker_pool_new                  (guint n_jobs);

WP_PUBLIC
guint               wp_worker_pool_get_n_jobs           (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_n_jobs           (WpWorkerPool *self, guint n_jobs);
WP_PUBLIC
gboolean            wp_worker_pool_get_daemon           (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_daemon           (WpWorkerPool *self, gboolean daemon);
WP_PUBLIC
WpStartMethod       wp_worker_pool_get_start_method     (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_start_method     (WpWorkerPool *self, WpStartMethod start_method);
WP_PUBLIC
gboolean            wp_worker_pool_get_order_tasks      (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_order_tasks      (WpWorkerPool *self, gboolean order_tasks);
WP_PUBLIC
gboolean            wp_worker_pool_get_keep_alive       (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_keep_alive       (WpWorkerPool *self, gboolean keep_alive);
WP_PUBLIC
const char * const *wp_worker_pool_get_host             (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_host             (WpWorkerPool *self, const char * const *host);
WP_PUBLIC
const char * const *wp_worker_pool_get_preload          (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_preload          (WpWorkerPool *self, const char * const *preload);
WP_PUBLIC
const char         *wp_worker_pool_get_preload_function (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_preload_function (WpWorkerPool *self, const char *function);
WP_PUBLIC
WpLauncher         *wp_worker_pool_get_launcher         (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_launcher         (WpWorkerPool *self, WpLauncher *launcher);
WP_PUBLIC
guint               wp_worker_pool_get_start_timeout    (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_start_timeout    (WpWorkerPool *self, guint milliseconds);
WP_PUBLIC
guint               wp_worker_pool_get_grace_period     (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_grace_period     (WpWorkerPool *self, guint milliseconds);
WP_PUBLIC
int                 wp_worker_pool_get_nice             (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_nice             (WpWorkerPool *self, int nice);
WP_PUBLIC
WpIoPriority        wp_worker_pool_get_io_priority      (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_io_priority      (WpWorkerPool *self, WpIoPriority io_priority);
WP_PUBLIC
int                 wp_worker_pool_get_oom_score_adj    (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_oom_score_adj    (WpWorkerPool *self, int oom_score_adj);
WP_PUBLIC
GVariant           *wp_worker_pool_get_cpu_ids          (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_cpu_ids          (WpWorkerPool *self, GVariant *cpu_ids);
WP_PUBLIC
gboolean            wp_worker_pool_get_enable_insights  (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_enable_insights  (WpWorkerPool *self, gboolean enable_insights);
WP_PUBLIC
GVariant           *wp_worker_pool_get_insights         (WpWorkerPool *self);
WP_PUBLIC
char               *wp_worker_pool_format_insights      (WpWorkerPool *self);
WP_PUBLIC
GVariant           *wp_worker_pool_get_shared_objects   (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_shared_objects   (WpWorkerPool *self, GVariant *shared_objects);
WP_PUBLIC
guint64             wp_worker_pool_get_soft_memory_limit (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_soft_memory_limit (WpWorkerPool *self, guint64 bytes);
WP_PUBLIC
guint64             wp_worker_pool_get_hard_memory_limit (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_hard_memory_limit (WpWorkerPool *self, guint64 bytes);
WP_PUBLIC
const char         *wp_worker_pool_get_worker_init         (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_worker_init         (WpWorkerPool *self, const char *function);
WP_PUBLIC
guint               wp_worker_pool_get_worker_init_timeout (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_worker_init_timeout (WpWorkerPool *self, guint milliseconds);
WP_PUBLIC
const char         *wp_worker_pool_get_worker_exit         (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_worker_exit         (WpWorkerPool *self, const char *function);
WP_PUBLIC
guint               wp_worker_pool_get_worker_exit_timeout (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_worker_exit_timeout (WpWorkerPool *self, guint milliseconds);
WP_PUBLIC
guint               wp_worker_pool_get_worker_lifespan     (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_worker_lifespan     (WpWorkerPool *self, guint n_tasks);
WP_PUBLIC
guint               wp_worker_pool_get_idle_timeout        (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_idle_timeout        (WpWorkerPool *self, guint milliseconds);
WP_PUBLIC
guint               wp_worker_pool_get_min_workers         (WpWorkerPool *self);
WP_PUBLIC
void                wp_worker_pool_set_min_workers         (WpWorkerPool *self, guint n_workers);
WP_PUBLIC
GVariant           *wp_worker_pool_get_exit_results     (WpWorkerPool *self, GError **error);
WP_PUBLIC
guint               wp_worker_pool_get_n_workers        (WpWorkerPool *self);
WP_PUBLIC
guint               wp_worker_pool_get_n_busy           (WpWorkerPool *self);
WP_PUBLIC
guint64             wp_worker_pool_get_n_queued         (WpWorkerPool *self);

WP_PUBLIC
gboolean            wp_worker_pool_start                (WpWorkerPool *self, GError **error);

WP_PUBLIC
GVariant           *wp_worker_pool_apply                (WpWorkerPool  *self,
                                                         const char    *function,
                                                         GVariant      *args,
                                                         WpTaskOptions *options,
                                                         GCancellable  *cancellable,
                                                         GError       **error);
WP_PUBLIC
WpApply            *wp_worker_pool_start_apply          (WpWorkerPool  *self,
                                                         const char    *function,
                                                         GVariant      *args,
                                                         WpTaskOptions *options,
                                                         GError       **error);
WP_PUBLIC
void                wp_worker_pool_apply_async          (WpWorkerPool       *self,
                                                         const char         *function,
                                                         GVariant           *args,
                                                         WpTaskOptions      *options,
                                                         GCancellable       *cancellable,
                                                         GAsyncReadyCallback callback,
                                                         gpointer            user_data);
WP_PUBLIC
GVariant           *wp_worker_pool_apply_finish         (WpWorkerPool *self,
                                                         GAsyncResult *result,
                                                         GError      **error);
WP_PUBLIC
GVariant           *wp_worker_pool_map                  (WpWorkerPool  *self,
                                                         const char    *function,
                                                         GVariant      *items,
                                                         WpTaskOptions *options,
                                                         GCancellable  *cancellable,
                                                         GError       **error);
WP_PUBLIC
void                wp_worker_pool_map_async            (WpWorkerPool       *self,
                                                         const char         *function,
                                                         GVariant           *items,
                                                         WpTaskOptions      *options,
                                                         GCancellable       *cancellable,
                                                         GAsyncReadyCallback callback,
                                                         gpointer            user_data);
WP_PUBLIC
GVariant           *wp_worker_pool_map_finish           (WpWorkerPool *self,
                                                         GAsyncResult *result,
                                                         GError      **error);
WP_PUBLIC
WpBatch            *wp_worker_pool_start_batch          (WpWorkerPool  *self,
                                                         const char    *function,
                                                         WpTaskOptions *options,
                                                         GError       **error);
WP_PUBLIC
char              **wp_worker_pool_list_functions       (WpWorkerPool *self,
                                                         const char   *module,
                                                         GCancellable *cancellable,
                                                         GError      **error);

WP_PUBLIC
gboolean            wp_worker_pool_stop_and_join        (WpWorkerPool *self,
                                                         GCancellable *cancellable,
                                                         GError      **error);
WP_PUBLIC
void                wp_worker_pool_stop_and_join_async  (WpWorkerPool       *self,
                                                         GCancellable       *cancellable,
                                                         GAsyncReadyCallback callback,
                                                         gpointer            user_data);
WP_PUBLIC
gboolean            wp_worker_pool_stop_and_join_finish (WpWorkerPool *self,
                                                         GAsyncResult *result,
                                                         GError      **error);
WP_PUBLIC
gboolean            wp_worker_pool_join                 (WpWorkerPool *self,
                                                         GCancellable *cancellable,
                                                         GError      **error);
WP_PUBLIC
void                wp_worker_pool_terminate            (WpWorkerPool *self);
WP_PUBLIC
gboolean            wp_worker_pool_reset                (WpWorkerPool *self,
                                                         GCancellable *cancellable,
                                                         GError      **error);
WP_PUBLIC
void                wp_worker_pool_reset_async          (WpWorkerPool       *self,
                                                         GCancellable       *cancellable,
                                                         GAsyncReadyCallback callback,
                                                         gpointer            user_data);
WP_PUBLIC
gboolean            wp_worker_pool_reset_finish         (WpWorkerPool *self,
                                                         GAsyncResult *result,
                                                         GError      **error);

G_END_DECLS
