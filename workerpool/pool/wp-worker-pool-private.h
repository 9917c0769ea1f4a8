/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"
#include "pool/wp-pool-signals.h"
#include "pool/wp-worker-pool.h"

G_BEGIN_DECLS

/* What the pool's files share: wp-worker-pool.c is the object, wp-worker-pool-start.c how it comes by its engine,
 * wp-worker-pool-calls.c what callers do, wp-worker-pool-reset.c how it begins anew; wp-worker-pool-settings.c has its settings and counters, but for those of its
 * workers' memory (-memory.c), life (-lifecycle.c), place at the disk (-io-priority.c) and turn (-order.c), and what is
 * told of their time (-insights.c). */

#define WP_WORKER_POOL_MAX_N_JOBS G_MAXUINT16

typedef enum
{
  WP_POOL_OPEN,
  WP_POOL_JOINED,
  WP_POOL_TERMINATED,
  WP_POOL_INHERITED, /* by a copy of the process that made it */
} WpPoolEnd;

struct _WpWorkerPool
{
  GObject parent_instance;

  WpDelivery *delivery; /* to the context in which the pool was made */
  WpPoolSignals *signals;
  guint generation; /* of the process that made it */

  GMutex lock;
  guint n_jobs;
  gboolean daemon;
  WpStartMethod start_method;
  gboolean keep_alive;
  gboolean order_tasks;
  char **host;
  char **preload;
  char *preload_function;
  WpLauncher *launcher;
  guint start_timeout;
  guint grace_period;
  int nice;
  WpIoPriority io_priority;
  int oom_score_adj;
  char *worker_init;
  char *worker_exit;
  guint worker_init_timeout; /* ms */
  guint worker_exit_timeout; /* ms */
  guint worker_lifespan;
  guint idle_timeout;        /* ms */
  guint min_workers;
  GVariant *cpu_ids; /* as the caller gave it */
  gboolean enable_insights;
  WpSharedObjects *shared_objects;
  guint64 soft_memory_limit;
  guint64 hard_memory_limit;
  WpEngine *engine; /* NULL before the first task, and after a reset */
  WpEngine *ended;  /* what a reset has ended, until there is another engine: for its insights and exit results */
  WpPoolEnd end;      /* how a pool ended that had no engine */
};

/* A copy of the process that made the pool has a copy of it: one without workers and without a thread, that may have
 * been in the middle of a change. Here it becomes one that has ended, and what it had is never touched. To be called
 * before the lock is taken. */
void      wp_worker_pool_settle_copy       (WpWorkerPool *self);
/* Settles a copy, and takes the lock. */
GMutexLocker *wp_worker_pool_lock          (WpWorkerPool *self);

/* As ioprio_set() takes it; 0: as it is. */
int       wp_io_priority_to_kernel         (WpIoPriority io_priority);

/* Settings are read when the pool starts. TRUE: this one may be changed, and the pool is locked until end_change (). */
gboolean  wp_worker_pool_begin_change      (WpWorkerPool *self, const char *property);
void      wp_worker_pool_end_change        (WpWorkerPool *self, const char *property, gboolean changed);

/* FALSE: it was inherited from the process that this one is a copy of. To be called before values are touched: another
 * thread may have held one of their locks at the fork. */
gboolean  wp_worker_pool_check_process     (WpWorkerPool *self, GError **error);

/* All return a reference. The first makes it; the second is NULL when there is none; the third, too, and then ends the
 * pool that never started. The fourth is the one that has something to tell, which may have ended with a reset. */
WpEngine *wp_worker_pool_ensure_engine      (WpWorkerPool *self, GError **error);
WpEngine *wp_worker_pool_get_engine         (WpWorkerPool *self);
WpEngine *wp_worker_pool_get_engine_to_end  (WpWorkerPool *self, WpPoolEnd end);
WpEngine *wp_worker_pool_get_engine_to_tell (WpWorkerPool *self);

G_END_DECLS
