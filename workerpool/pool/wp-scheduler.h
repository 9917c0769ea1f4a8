/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The scheduler decides which worker runs which tasks, and what a death, a cancellation or the end
 * of the pool means for each task. It is pure: events go in by the functions below, actions come out
 * of wp_scheduler_next_action (), and time is an argument (monotonic nanoseconds). It knows tasks only
 * as indices of a batch; arguments, results, processes and callbacks are its caller's.
 *
 * Its invariants, for any history of events:
 *  - each pushed index of a batch ends exactly once: by wp_scheduler_results () (delivered), or by
 *    one WP_ACTION_FAIL_TASKS;
 *  - a batch that is closed, with all its tasks ended, gets exactly one WP_ACTION_BATCH_ENDED;
 *  - a task is with at most one worker at a time, and a worker never holds more chunks than the depth;
 *  - after drain or terminate, and once the workers have gone, WP_ACTION_STOPPED comes, once.
 */

/* The work that an automatic chunk aims at: long against the cost of a frame (tens of microseconds),
 * short against a person's patience with a progress bar. */
#define WP_CHUNK_TARGET_NS (2 * G_GINT64_CONSTANT (1000000))
/* A worker gets its next chunk ahead while it holds less estimated work than this. */
#define WP_PREFETCH_NS (2 * WP_CHUNK_TARGET_NS)
/* An idle worker takes tasks back from one that has not reported for this long. */
#define WP_RECALL_AFTER_NS (2 * WP_CHUNK_TARGET_NS)
#define WP_MAX_CHUNK 32768
/* Each chunk that a worker holds has its own slot of the board: their sequences differ modulo this. */
#define WP_MAX_DEPTH 16

/* Workers that die before they are ready, one after the other with none becoming ready, until the
 * queued tasks fail. */
#define WP_MAX_FAILED_STARTS 5
/* Workers that die while they run no task, with no task ended between. */
#define WP_MAX_IDLE_DEATHS 10
/* While other workers live, the next start after a failed one waits for this. */
#define WP_START_RETRY_NS (G_GINT64_CONSTANT (500) * 1000000)
/* Delays that grow with each retry end here: a task that may run again does so within a day. */
#define WP_MAX_RETRY_DELAY_NS (G_GINT64_CONSTANT (86400) * 1000000000)

/* A task that no worker has run. */
#define WP_NO_WORKER G_MAXUINT

/* So many chunks of a higher priority, one after the other, overtake tasks of lower ones; the next is of the priority
 * that was served longest ago. Enough that what is urgent has nearly all workers, and yet nothing waits for ever. */
#define WP_OVERTAKE_LIMIT 16

typedef struct _WpScheduler WpScheduler;
typedef struct _WpSchedulerBatch WpSchedulerBatch;

typedef struct
{
  guint n_jobs;        /* 1 … */
  guint depth;         /* most chunks in flight on one worker, 1 … WP_MAX_DEPTH */
  gint64 cancel_grace; /* ns between the cancel flag, SIGTERM and SIGKILL */
  gint64 stop_grace;   /* ns a stopping worker has before SIGKILL */
  guint lifespan;      /* tasks that a worker runs before another takes its place; 0: any number */
  gint64 idle_timeout; /* ns a worker may have nothing to do before it is stopped; 0: any time */
  guint min_workers;   /* so many are not stopped for having nothing to do */
  gboolean order_tasks;/* the chunk k of a batch is for the worker k + first_worker, modulo n_jobs; the size of the
                          chunks is then fixed: chunk_size, or that of n_splits, or of 64 for each worker; where
                          n_total is not known, 1 */
} WpSchedulerConfig;

typedef struct
{
  gpointer tag;         /* the caller's; comes back in actions */
  const char *function; /* tasks of one function share an estimate of their run time; copied */
  int priority;         /* higher first (WP_OVERTAKE_LIMIT) */
  guint chunk_size;     /* 0: automatic */
  guint n_splits;       /* 0: automatic; else chunks of ceil (n_total / n_splits), at least 1 */
  guint64 n_total;      /* as far as known; 0, unknown: n_splits has no effect */
  guint max_retries;    /* how often a task may run again after its worker died, or it failed in a way that counts */
  gint64 retry_delay;   /* ns before the first retry; the n-th waits retry_backoff^(n-1) times as long, */
  double retry_backoff; /* … but never more than WP_MAX_RETRY_DELAY_NS; below 1 is 1 */
  guint first_worker;   /* of ordered tasks: for the first chunk */
  gboolean keep_workers;/* FALSE: when this batch has ended and no other is active, workers stop */
} WpBatchPlan;

typedef enum
{
  WP_FAIL_WORKER_DIED,  /* it ran on a worker that died (action.worker), and no retry is left */
  WP_FAIL_NO_WORKER,    /* no worker could be started */
  WP_FAIL_CANCELLED,    /* its batch was cancelled */
  WP_FAIL_TERMINATED,   /* the pool was terminated */
} WpFailReason;

typedef enum
{
  WP_ACTION_START_WORKER,  /* worker; answer: worker_ready or worker_gone */
  WP_ACTION_STOP_WORKER,   /* worker: ask it to end; answer: worker_gone */
  WP_ACTION_KILL_WORKER,   /* worker, signal (SIGTERM or SIGKILL); answer: worker_gone */
  WP_ACTION_SEND_CHUNK,    /* worker, sequence, batch, first, n_tasks, attempt */
  WP_ACTION_RECALL,        /* worker, sequence, n_tasks (the most to take); answer at once: recalled () */
  WP_ACTION_CANCEL_TASK,   /* worker, sequence, offset: set the cancel flag of the chunk's running task:
                              the first that has no result yet */
  WP_ACTION_FAIL_TASKS,    /* batch, first, n_tasks, reason, attempt, and the worker that has run them, or
                              WP_NO_WORKER: then 'attempt' is how often they were run */
  WP_ACTION_BATCH_ENDED,   /* batch: the handle is invalid after this, its tag does not come again */
  WP_ACTION_DRAINED,       /* nothing is queued or running any more (edge: there was something) */
  WP_ACTION_STOPPED,       /* drained or terminated, and no worker is left */
} WpActionType;

typedef struct
{
  WpActionType type;
  guint worker;
  guint64 sequence;         /* of the chunk; unique and rising in the scheduler's life, from 1, with gaps */
  WpSchedulerBatch *batch;
  gpointer tag;             /* the batch's */
  guint64 first;
  guint n_tasks;
  guint offset;
  guint attempt;            /* 0 for a first run */
  WpFailReason reason;
  int signal;
} WpAction;

WpScheduler      *wp_scheduler_new          (const WpSchedulerConfig *config);
void              wp_scheduler_free         (WpScheduler *scheduler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpScheduler, wp_scheduler_free)

/* The next thing to do, FALSE when there is none. To be called after every event until FALSE; some
 * actions (RECALL) want their answer before the next call. */
gboolean          wp_scheduler_next_action  (WpScheduler *scheduler, gint64 now, WpAction *action);
/* When wp_scheduler_next_action () must be called next even without an event; G_MAXINT64: never. */
gint64            wp_scheduler_get_deadline (WpScheduler *scheduler);

/* Events of the caller. Not allowed after drain () or terminate (): add_batch, push. */
WpSchedulerBatch *wp_scheduler_add_batch    (WpScheduler *scheduler, const WpBatchPlan *plan);
void              wp_scheduler_push         (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks);
void              wp_scheduler_close        (WpScheduler *scheduler, WpSchedulerBatch *batch);
/* Queued tasks fail at once with CANCELLED, and so does everything that is taken back; a running task is
 * flagged, then SIGTERM, then SIGKILL (its worker's other chunks are taken back before a signal); whatever
 * still comes from it is reported as FAIL_TASKS CANCELLED. Closes the batch. */
void              wp_scheduler_cancel       (WpScheduler *scheduler, WpSchedulerBatch *batch, gint64 now);
/* Makes every worker start that n_jobs allows, tasks or not. */
void              wp_scheduler_start        (WpScheduler *scheduler);
/* Closes every batch, lets the tasks end, stops the workers. */
void              wp_scheduler_drain        (WpScheduler *scheduler);
/* Fails every task with TERMINATED and kills the workers with SIGKILL. May follow drain (). */
void              wp_scheduler_terminate    (WpScheduler *scheduler);

/* Events of the workers. */
/* can_recall: RECALL and exact claims work on this worker's channel. May come after KILL_WORKER, when the worker was
 * quicker than the signal. */
void              wp_scheduler_worker_ready (WpScheduler *scheduler, guint worker, gboolean can_recall);

typedef struct
{
  gpointer tag;       /* NULL when the batch has ended: then n_tasks is 0 */
  guint64 first;      /* index in the batch of the first result that counts */
  guint skip;         /* how many results of the frame to pass over (salvage: seen before) */
  guint n_tasks;      /* how many count */
  guint attempt;      /* 0 for a first run */
  gboolean deliver;   /* FALSE: the batch was cancelled, FAIL_TASKS will come for them */
  gboolean retried;   /* those that were named as failed do not count, but run again */
} WpResultsRange;

/* Results of tasks offset … offset + n_results - 1 of a chunk; elapsed: how long these ran, in ns (0: unknown);
 * done: the chunk has no more; salvage: found after the worker's death, it gets nothing more before worker_gone ().
 * They come in order and without gap, except with salvage, where results seen before may
 * come again, even of chunks that are done. A complete chunk stays with the worker until 'done', which may come alone
 * (n_results 0). FALSE: the worker has no such chunk or task, or 'done' came before the chunk's end: it broke the
 * protocol; nothing has changed. After terminate () everything is accepted and nothing counts. */
gboolean          wp_scheduler_results      (WpScheduler    *scheduler,
                                             guint           worker,
                                             guint64         sequence,
                                             guint           offset,
                                             guint           n_results,
                                             guint64         elapsed,
                                             gboolean        done,
                                             gboolean        salvage,
                                             gint64          now,
                                             WpResultsRange *range);
/* The same. failed: which of the results, counted from the frame's first and rising, are errors after which a task may
 * run again; range->retried says whether they do. */
gboolean          wp_scheduler_results_with_retries
                                            (WpScheduler    *scheduler,
                                             guint           worker,
                                             guint64         sequence,
                                             guint           offset,
                                             guint           n_results,
                                             const guint    *failed,
                                             guint           n_failed,
                                             guint64         elapsed,
                                             gboolean        done,
                                             gboolean        salvage,
                                             gint64          now,
                                             WpResultsRange *range);
/* The answer to RECALL: the last n_tasks of the chunk did not start and never will on this worker. */
void              wp_scheduler_recalled     (WpScheduler *scheduler, guint worker, guint64 sequence, guint n_tasks);

/* The worker has ended, asked or not; a launch that failed counts too (before worker_ready). When it was running
 * a task: running, and that task's chunk and offset (the caller derives them from the board's claims after the
 * salvaged results were reported); a task that it does not hold counts as none. */
void              wp_scheduler_worker_gone  (WpScheduler *scheduler,
                                             guint        worker,
                                             gboolean     running,
                                             guint64      sequence,
                                             guint        offset,
                                             gint64       now);

/* That task of the chunk, which the worker runs, has run for longer than it may: the worker is killed for it. Nothing
 * happens when it has ended meanwhile, or when the worker is ending anyway. FALSE then. */
gboolean          wp_scheduler_task_expired (WpScheduler *scheduler, guint worker, guint64 sequence, guint offset);

/* Another worker should take this one's place: it gets no more tasks, gives back what it has not started, and is
 * stopped after its running task. */
void              wp_scheduler_retire_worker (WpScheduler *scheduler, guint worker);

/* What the worker holds, oldest first: for the caller to compare with the claims. Returns the number of chunks. */
typedef struct
{
  guint64 sequence;
  guint n_tasks;     /* less what was taken back */
  guint n_results;   /* so many have ended */
  gpointer tag;      /* of its batch's plan; NULL when that has ended */
  guint64 first;     /* index in the batch of its first task */
} WpHeldChunk;
guint             wp_scheduler_get_held     (WpScheduler *scheduler, guint worker, WpHeldChunk *held, guint n_held);

guint             wp_scheduler_get_n_workers(WpScheduler *scheduler); /* ready */
guint             wp_scheduler_get_n_busy   (WpScheduler *scheduler); /* with at least one chunk */
guint64           wp_scheduler_get_n_queued (WpScheduler *scheduler); /* tasks with no worker yet */
guint64           wp_scheduler_get_n_active (WpScheduler *scheduler); /* tasks that have not ended */
/* The chunk size that automatic chunking would use now; for the default of max-active-tasks. */
guint             wp_scheduler_get_chunk_size (WpScheduler *scheduler, WpSchedulerBatch *batch);

G_END_DECLS
