/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "launch/wp-launcher.h"
#include "pool/wp-job.h"
#include "pool/wp-link.h"

G_BEGIN_DECLS

/* A started pool without its GObject: the scheduler and its lock, the workers, and the thread that
 * launches them, reads from them and sees them die. It outlives the pool for as long as its workers
 * take to end, so that the pool's dispose need not wait. */

/* What the engine tells its pool. Called with the engine's lock held, in any thread, and only while
 * the pool is attached; may not call out. */
typedef struct
{
  void (*completed)      (gpointer pool, WpJob *job, guint64 first, guint n, GBytes *payload, guint skip);
  void (*failed)         (gpointer pool, WpJob *job, guint64 first, guint n, const GError *error);
  void (*worker_started) (gpointer pool, guint worker_id, int pid);
  void (*worker_exited)  (gpointer pool, guint worker_id, int pid, const GError *reason);
  void (*drained)        (gpointer pool);
  void (*insights_changed) (gpointer pool); /* a batch has ended */
} WpEngineObserver;

typedef struct
{
  guint n_jobs;
  WpLinkSettings settings;
  gboolean keep_alive;
  gboolean order_tasks;
  guint start_timeout; /* ms */
  guint grace_period;  /* ms */
  guint init_timeout;  /* ms; 0: none */
  guint exit_timeout;  /* ms; 0: none */
  guint lifespan;      /* tasks; 0: any number */
  guint idle_timeout;  /* ms; 0: none */
  guint min_workers;
  WpLauncher *launcher;
} WpEngineConfig;

WpEngine *wp_engine_new          (const WpEngineConfig   *config,
                                  const WpEngineObserver *observer,
                                  gpointer                pool);
WpEngine *wp_engine_ref          (WpEngine *self);
void      wp_engine_unref        (WpEngine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpEngine, wp_engine_unref)

/* The pool is being disposed: no observer is called any more. */
void      wp_engine_detach       (WpEngine *self);

void      wp_engine_lock         (WpEngine *self);
void      wp_engine_unlock       (WpEngine *self);
/* Want the lock, and release it meanwhile; no longer than until that monotonic time in microseconds, or for any time
 * with G_MAXINT64. Whoever waits for results may return for no reason. FALSE: the time is over. */
void      wp_engine_wait_for_end_until (WpEngine *self, WpJob *job, gint64 end_time);
void      wp_engine_wait_for_results (WpEngine *self, WpJob *job);
gboolean  wp_engine_wait_for_results_until (WpEngine *self, WpJob *job, gint64 end_time);
/* When a timeout in microseconds is over that begins now; below 0: never. Without the lock. */
gint64    wp_engine_get_end_time (gint64 timeout);

/* All of these want the lock. */
gboolean  wp_engine_is_open      (WpEngine *self, GError **error);
gboolean  wp_engine_is_stopped   (WpEngine *self);
gboolean  wp_engine_start        (WpEngine *self, GError **error);
/* Hands the job's items to the scheduler; keep_workers: as without a map (WpBatchPlan). FALSE with
 * WP_ERROR_CLOSED. */
gboolean  wp_engine_submit       (WpEngine *self, WpJob *job, gboolean keep_workers, GError **error);
/* n more items are in job->items. */
void      wp_engine_push         (WpEngine *self, WpJob *job, guint64 n);
void      wp_engine_close        (WpEngine *self, WpJob *job);
/* Lets go of a caller's value when the lock is released; takes it. */
void      wp_engine_drop_item    (WpEngine *self, GVariant *item);
void      wp_engine_cancel       (WpEngine *self, WpJob *job);
/* How many tasks the job may have in flight. */
guint64   wp_engine_get_window   (WpEngine *self, WpJob *job);
void      wp_engine_drain        (WpEngine *self);
void      wp_engine_terminate    (WpEngine *self);
/* What the exit functions have returned so far, in the order in which they ended. (transfer full): "av", not
 * floating. */
GVariant *wp_engine_get_exit_results (WpEngine *self);
void      wp_engine_get_counts   (WpEngine *self, guint *n_workers, guint *n_busy, guint64 *n_queued);

/* NULL: without insights. (transfer full): not floating */
GVariant *wp_engine_get_insights (WpEngine *self);

/* Calls func (data) soon in the engine's thread, without the lock. */
void      wp_engine_call         (WpEngine *self, GFunc func, gpointer data);

/* Without the lock. */
/* Waits until the workers and the thread are gone. FALSE: cancelled meanwhile. */
gboolean  wp_engine_wait_stopped (WpEngine *self, GCancellable *cancellable, GError **error);
/* The same, but for the thread, and no longer than until that monotonic time in microseconds. */
void      wp_engine_wait_stopped_until (WpEngine *self, gint64 end_time);
/* FALSE, with the first failure of an exit function, when one has failed. */
gboolean  wp_engine_check_exit   (WpEngine *self, GError **error);
/* Calls func (data) in the engine's thread as its last act, or here when it has stopped already. */
void      wp_engine_call_stopped (WpEngine *self, GFunc func, gpointer data);
/* The calling thread is the engine's own. */
gboolean  wp_engine_is_current_thread (WpEngine *self);
/* FALSE, with G_IO_ERROR_WOULD_BLOCK: the calling thread is the engine's, or runs a task of it, and would wait for
 * itself. what: what it wants to wait for. */
gboolean  wp_engine_may_wait     (WpEngine *self, const char *what, GError **error);

G_END_DECLS
