/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "pool/wp-items.h"
#include "pool/wp-result-queue.h"
#include "pool/wp-retry-errors.h"
#include "pool/wp-scheduler.h"
#include "pool/wp-task-options.h"

G_BEGIN_DECLS

/* One apply, map or batch in flight, as the engine sees it: the arguments, the results so far, and the
 * place in the scheduler. Shared by the caller's object and the engine, so it outlives both.
 *
 * Fields below the mark are guarded by the engine's lock. */
typedef struct _WpEngine WpEngine;
typedef struct _WpJob WpJob;
typedef struct _WpJobEvents WpJobEvents;

/* Called with the engine's lock held after results came in, and when the job ended; may not call out. */
typedef void (*WpJobFunc) (WpJob *job, gpointer data);

/* What a thread can wait for. */
typedef enum
{
  WP_JOB_END,
  WP_JOB_RESULTS, /* or the end */
  WP_JOB_N_WAITS,
} WpJobWait;

struct _WpJob
{
  gatomicrefcount ref_count;
  WpEngine *engine; /* a reference */
  char *function;
  WpOnError on_error;
  guint max_active_tasks; /* 0: the default */
  guint task_timeout;     /* ms; 0: none */
  WpRetryErrors *retry_errors; /* NULL: none */
  WpBatchPlan plan;

  /*< guarded by the engine's lock >*/
  guint64 number; /* of the job in its pool, from 1; 0 before it was submitted */
  WpSchedulerBatch *scheduled; /* NULL before it was submitted and after it has ended */
  WpItems *items;
  WpResultQueue *results;
  guint64 window; /* the widest that the default of max-active-tasks has been */
  guint64 n_ended;
  guint64 n_failed;
  gboolean closed;
  gboolean cancelled;
  gboolean ended;
  GError *failure; /* of the first task that failed otherwise than by cancellation */
  GError *interruption; /* why tasks ended that never ran, or that were cancelled: not their own fault */
  int shared_fd;   /* the only task's arguments as a shared buffer, or -1 */
  gsize shared_length;

  WpJobEvents *events; /* NULL: nobody will ever want them */

  WpJob *next_dropped; /* by the engine, which is done with both */

  WpJobFunc changed;
  gpointer changed_data;
  GCond condition; /* signalled beside 'changed', to threads that wait for it: */
  guint n_waiting[WP_JOB_N_WAITS];
  /* A thread that submits its only task, and then waits, reads the worker's channel itself. */
  gboolean may_borrow;
  gboolean is_awaited; /* a thread is going to wait for its only task soon */
  int borrowed;     /* the worker whose link that thread has, or -1 */
  gboolean polling; /* it is in poll () */
  gboolean spun;    /* it was busy waiting in vain */
  int sent_to;      /* the worker that was sent tasks last, or -1 */
};

/* options: (nullable). items: (transfer full). */
WpJob  *wp_job_new           (WpEngine *engine, const char *function, WpTaskOptions *options, WpItems *items);
WpJob  *wp_job_ref           (WpJob *self);
void    wp_job_unref         (WpJob *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpJob, wp_job_unref)

/* Makes the shared buffer of a large single argument ahead, in the caller's thread and without the lock. */
void    wp_job_share_items   (WpJob *self);

/* The number by which signals name a task. */
guint64 wp_job_get_task_id   (WpJob *self, guint64 index);

G_END_DECLS
