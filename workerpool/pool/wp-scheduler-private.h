/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-chunk-sizer.h"
#include "pool/wp-scheduler.h"

G_BEGIN_DECLS

/* Where things are:
 *
 *   push → [batch: taken back, fresh] → [level of its priority] → chunk on a worker → results
 *                   ↑   ↑                                              │
 *                   │   └────── recalled, or its worker died ──────────┤
 *                   └──── [waiting] ←── it is to run again, later ─────┘
 *
 * Everything that an event needs is found without a walk over batches, workers or tasks: batches
 * with pending tasks queue in their level, workers in the lists of those that are idle, that have
 * room for another chunk, that could give something back, that wait for a deadline. Each of these
 * lists is in the order of its members' times. Only what is rare (a drain, a stop) looks at every
 * worker.
 */

typedef struct
{
  guint64 first;
  guint64 n_tasks;
  guint attempt;
} WpTaskRange;

typedef struct
{
  int priority;
  GQueue batches; /* with pending tasks; the head is served next */
  GList link;     /* among the levels that have any */
} WpTaskLevel;

/* The pending tasks of an ordered batch that are for one worker. */
typedef struct _WpTaskLane
{
  GList link; /* in the worker's queue while something is pending */
  struct _WpSchedulerBatch *batch;
  struct _WpSchedulerWorker *worker;
  guint64 since;     /* the last sequence when it was served, or got pending tasks */
  guint64 next;      /* the first fresh task of its own that was not handed out */
  guint64 n_pending;
  GQueue taken_back; /* of WpTaskRange, served before the fresh ones */
} WpTaskLane;

/* Tasks that run again after a delay. */
typedef struct
{
  GList batch_link;
  struct _WpSchedulerBatch *batch;
  WpTaskRange range;
  gint64 due;
  guint64 number; /* of those that are due at the same time, the older ones go first */
} WpWaitingTasks;

typedef enum
{
  WP_SCHEDULER_BATCH_OPEN,
  WP_SCHEDULER_BATCH_CLOSED,
  WP_SCHEDULER_BATCH_CANCELLED,
  WP_SCHEDULER_BATCH_ENDED,   /* BATCH_ENDED is in the queue of actions */
  WP_SCHEDULER_BATCH_RELEASED /* … and has left it: only chunks whose 'done' is to come still point
                                 here */
} WpSchedulerBatchState;

struct _WpSchedulerBatch
{
  WpBatchPlan plan; /* its function is kept by run_time */
  WpRunTime *run_time;
  WpSchedulerBatchState state;
  GList link;
  GList ready_link;
  WpTaskLevel *level; /* the one it queues in; NULL: nothing is pending */
  guint64 n_pushed;
  guint64 n_ended;
  guint64 n_pending;
  guint64 n_fresh_taken; /* fresh tasks: n_fresh_taken … n_pushed - 1 */
  GQueue taken_back;     /* of WpTaskRange, served before the fresh ones */
  struct _WpTaskLane *lanes; /* of ordered tasks, one for each worker, instead of the level and of both above */
  guint stride;          /* tasks in a chunk of them */
  GQueue waiting;        /* of WpWaitingTasks: pending only when their delay is over */
  GQueue chunks;         /* held by workers */
  guint proven;          /* the largest chunk that has reported */
  gint64 cancelled_at;
};

typedef struct _WpSchedulerWorker WpSchedulerWorker;

typedef struct
{
  GList worker_link;
  GList batch_link;
  WpSchedulerWorker *worker;
  WpSchedulerBatch *batch;
  guint64 sequence;
  guint64 first;
  guint n_tasks; /* less what was recalled */
  guint n_results;
  guint attempt;
  guint n_flagged;  /* the cancel flag was set for the task before this offset; 0: for none */
  gboolean refused; /* it had nothing to give back since its last report */
  gint64 held_ns;   /* estimated time of the tasks that have not reported */
} WpSchedulerChunk;

typedef enum
{
  WP_SCHEDULER_WORKER_ABSENT,
  WP_SCHEDULER_WORKER_STARTING,
  WP_SCHEDULER_WORKER_READY,
  WP_SCHEDULER_WORKER_STOPPING, /* was asked to end */
  WP_SCHEDULER_WORKER_DOOMED    /* was sent a signal */
} WpSchedulerWorkerState;

#define WP_SCHEDULER_N_WORKER_STATES (WP_SCHEDULER_WORKER_DOOMED + 1)

struct _WpSchedulerWorker
{
  guint id;
  WpSchedulerWorkerState state;
  guint incarnation;
  gboolean can_recall;
  gboolean dead; /* its results are being salvaged: worker_gone () is to come */
  gboolean retired; /* it gets no more tasks */
  guint64 n_given;  /* tasks, less those that it gave back */
  gint64 idle_since; /* 0: not seen since it became idle */
  GQueue bound; /* WpTaskLane: ordered tasks for it, highest priority first, then those whose turn it is */
  guint n_overtaking; /* chunks of the highest priority, while a lower one waits */
  guint n_failed_starts; /* in a row, where tasks are ordered */
  GQueue chunks; /* oldest first */
  WpSchedulerChunk *slots[WP_MAX_DEPTH];
  guint64 n_unreported; /* tasks */
  gint64 held_ns;
  gint64 since;    /* last hand-out or report */
  gint64 deadline; /* while it is in a list of deadlines */
  guint64 expired_sequence; /* 0: it is not killed for a task that ran too long; else for that one */
  guint expired_offset;
  GList service_link;
  GQueue *service; /* idle, roomy or spent; NULL: it takes no chunk now */
  GList recallable_link;
  GQueue *recallable;
  GList deadline_link;
  GQueue *deadlines; /* escalating or stopping */
};

/* In the order in which they follow each other. */
typedef enum
{
  WP_SCHEDULER_SERVING,
  WP_SCHEDULER_DRAINING,
  WP_SCHEDULER_TERMINATED,
  WP_SCHEDULER_STOPPED
} WpSchedulerPhase;

typedef struct
{
  WpAction action;
  guint incarnation; /* of the worker it was meant for */
} WpQueuedAction;

struct _WpScheduler
{
  WpSchedulerConfig config;
  gint64 now; /* of the last call that told */

  WpSchedulerWorker *workers;
  guint n_in_state[WP_SCHEDULER_N_WORKER_STATES];
  guint n_busy;
  guint64 *absent; /* a bit for each worker */
  GQueue idle;     /* last used first: its caches are warm */
  GQueue roomy;    /* holding less than the depth and the prefetched work */
  GQueue spent;    /* idle, and to be given nothing more */
  GQueue recallable;
  GQueue escalating; /* cancel_grace after the flag or SIGTERM */
  GQueue stopping;   /* stop_grace after STOP_WORKER */

  GQueue batches; /* that have not ended */
  GTree *levels;  /* of those with pending batches, and level 0; highest priority first */
  WpTaskLevel *default_level;
  GQueue ready_levels; /* those with batches, served longest ago first */
  guint n_overtaking;  /* chunks of the highest one, since another was served or waits */
  WpChunkSizer *sizer;
  guint64 last_sequence;
  guint64 n_pending;
  guint64 n_active;
  GTree *waiting; /* WpWaitingTasks, the first due first */
  guint64 n_waiting; /* tasks */
  guint64 n_waits;   /* in the scheduler's life */

  WpQueuedAction *actions; /* a ring */
  guint n_actions;
  guint first_action;
  guint n_actions_allocated;
  WpSchedulerChunk *asked; /* RECALL is out, the answer is to come */
  guint n_asked;

  guint n_failed_starts;
  gint64 start_retry_at;
  guint n_idle_deaths;

  WpSchedulerPhase phase;
  gboolean stop_when_idle; /* a batch without keep_workers was the last to end */
  gboolean drained_due;
};

static inline gint64
wp_scheduler_add_time (gint64 now, gint64 delay)
{
  return delay > G_MAXINT64 - now ? G_MAXINT64 : now + delay;
}

static inline guint
wp_scheduler_chunk_get_n_unreported (const WpSchedulerChunk *chunk)
{
  return chunk->n_tasks - chunk->n_results;
}

/* Actions that wait to be carried out, in their order. */
WpAction *wp_scheduler_queue_action (WpScheduler *scheduler, WpActionType type);
WpAction *wp_scheduler_queue_worker_action (WpScheduler *scheduler,
                                            WpActionType type,
                                            const WpSchedulerWorker *worker);
void wp_scheduler_queue_chunk_action (WpScheduler *scheduler,
                                      WpActionType type,
                                      const WpSchedulerChunk *chunk);
gboolean wp_scheduler_pop_action (WpScheduler *scheduler, WpAction *action);

/* Batches: which tasks are pending, and how tasks end. */
void wp_scheduler_init_levels (WpScheduler *scheduler);
WpSchedulerBatch *wp_scheduler_get_next_batch (WpScheduler *scheduler);
/* To be called before a chunk of the batch is taken. */
void wp_scheduler_note_turn (WpScheduler *scheduler, const WpSchedulerBatch *batch);
void wp_scheduler_count_pending (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks);
/* Tasks that become pending have their own tries to start a worker. */
void wp_scheduler_renew_starts (WpScheduler *scheduler);
/* From the first of the ranges (WpTaskRange) that came back. FALSE: there is none. */
gboolean wp_scheduler_take_again (GQueue *taken_back, guint64 most, WpTaskRange *taken);
WpTaskRange wp_scheduler_take_pending (WpScheduler *scheduler,
                                       WpSchedulerBatch *batch,
                                       guint64 most);
void wp_scheduler_put_back (WpScheduler *scheduler,
                            WpSchedulerBatch *batch,
                            guint64 first,
                            guint64 n_tasks,
                            guint attempt);
void wp_scheduler_end_tasks (WpScheduler *scheduler, WpSchedulerBatch *batch, guint64 n_tasks);
void wp_scheduler_fail_tasks (WpScheduler *scheduler,
                              WpSchedulerBatch *batch,
                              const WpTaskRange *range,
                              WpFailReason reason,
                              guint worker);
void wp_scheduler_fail_pending (WpScheduler *scheduler,
                                WpSchedulerBatch *batch,
                                WpFailReason reason);
void wp_scheduler_fail_all_pending (WpScheduler *scheduler, WpFailReason reason);
void wp_scheduler_check_batch_ended (WpScheduler *scheduler, WpSchedulerBatch *batch);
void wp_scheduler_batch_free (const WpScheduler *scheduler, WpSchedulerBatch *batch);

/* Retries: tasks that wait to run again. */
void wp_scheduler_init_retries (WpScheduler *scheduler);
void wp_scheduler_clear_retries (WpScheduler *scheduler);
/* The tasks run again, as the attempt that is given. */
void wp_scheduler_retry (WpScheduler *scheduler,
                         WpSchedulerBatch *batch,
                         const WpTaskRange *range,
                         gint64 now);
/* The same for results of a chunk that are failed, those from 'skip' on: their tasks begin at 'first'. Returns how
 * many they are. */
guint wp_scheduler_retry_failed (WpScheduler *scheduler,
                                 const WpSchedulerChunk *chunk,
                                 guint64 first,
                                 const guint *failed,
                                 guint n_failed,
                                 guint skip,
                                 gint64 now);
void wp_scheduler_fail_waiting (WpScheduler *scheduler,
                                WpSchedulerBatch *batch,
                                WpFailReason reason);
/* Moves what is due to the pending tasks. */
void wp_scheduler_end_waits (WpScheduler *scheduler, gint64 now);
gint64 wp_scheduler_get_retry_time (const WpScheduler *scheduler);

/* Ordered tasks: each is for one worker. */
void wp_scheduler_init_lanes (WpScheduler *scheduler, WpSchedulerBatch *batch);
void wp_scheduler_clear_lanes (const WpScheduler *scheduler, WpSchedulerBatch *batch);
void wp_scheduler_bind_fresh (WpScheduler *scheduler,
                              WpSchedulerBatch *batch,
                              guint64 first,
                              guint64 n_tasks);
/* Tasks of one chunk that were with their worker before. */
void wp_scheduler_bind_again (WpScheduler *scheduler,
                              WpSchedulerBatch *batch,
                              const WpTaskRange *range);
WpTaskRange wp_scheduler_take_from_lane (WpScheduler *scheduler, WpTaskLane *lane, guint64 most);
/* The lane whose turn it is with a worker that something is bound to. */
WpTaskLane *wp_scheduler_get_next_lane (const WpSchedulerWorker *worker);
/* Both: NULL when there is none. */
WpSchedulerWorker *wp_scheduler_find_bound (const GQueue *workers);
WpSchedulerWorker *wp_scheduler_find_absent_bound (const WpScheduler *scheduler);
void wp_scheduler_fail_lanes (WpScheduler *scheduler,
                              WpSchedulerBatch *batch,
                              WpFailReason reason);
void wp_scheduler_count_failed_start_of (WpScheduler *scheduler, WpSchedulerWorker *worker);

/* Workers: their states, their chunks, and the lists they are found in. */
WpSchedulerWorker *wp_scheduler_get_worker (WpScheduler *scheduler, guint worker);
void wp_scheduler_start_worker (WpScheduler *scheduler, WpSchedulerWorker *worker);
void wp_scheduler_set_worker_state (WpScheduler *scheduler,
                                    WpSchedulerWorker *worker,
                                    WpSchedulerWorkerState state);
void wp_scheduler_doom_worker (WpScheduler *scheduler,
                               WpSchedulerWorker *worker,
                               int signal_number);
void wp_scheduler_set_deadline (WpSchedulerWorker *worker, GQueue *deadlines, gint64 deadline);
void wp_scheduler_queue_recalls (WpScheduler *scheduler, WpSchedulerWorker *worker);
void wp_scheduler_leave_list (GList *link, GQueue **at);
void wp_scheduler_update_lists (WpScheduler *scheduler,
                                WpSchedulerWorker *worker,
                                gboolean touched);
void wp_scheduler_review_cancel (WpScheduler *scheduler, WpSchedulerWorker *worker, gint64 now);
void wp_scheduler_flag_running_task (WpScheduler *scheduler, WpSchedulerChunk *chunk);
void wp_scheduler_expire_worker (WpScheduler *scheduler, WpSchedulerWorker *worker);
void wp_scheduler_expire_deadlines (WpScheduler *scheduler, gint64 now);
void wp_scheduler_add_chunk (WpScheduler *scheduler,
                             WpSchedulerWorker *worker,
                             WpSchedulerBatch *batch,
                             const WpTaskRange *range);
void wp_scheduler_remove_chunk (WpScheduler *scheduler, WpSchedulerChunk *chunk);
WpTaskRange wp_scheduler_chunk_get_unreported (const WpSchedulerChunk *chunk);
guint wp_scheduler_chunk_get_recallable (const WpSchedulerChunk *chunk,
                                         const WpSchedulerChunk *current);
void wp_scheduler_chunk_estimate (WpSchedulerChunk *chunk);
WpSchedulerChunk *wp_scheduler_worker_get_current (const WpSchedulerWorker *worker);
WpSchedulerChunk *wp_scheduler_worker_find_chunk (const WpSchedulerWorker *worker,
                                                  guint64 sequence);
WpSchedulerChunk *wp_scheduler_worker_find_recallable (const WpSchedulerWorker *worker);

/* Which workers end in order. */
/* How many more tasks it may be given. */
guint wp_scheduler_worker_get_room (const WpScheduler *scheduler, const WpSchedulerWorker *worker);
void wp_scheduler_end_workers (WpScheduler *scheduler, gint64 now);
/* To be called when nothing could be found for those that are idle. */
void wp_scheduler_end_idle_workers (WpScheduler *scheduler, gint64 now);
/* When the next of them has been idle for too long. */
gint64 wp_scheduler_get_idle_deadline (const WpScheduler *scheduler);

G_END_DECLS
