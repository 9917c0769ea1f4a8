/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-engine.h"
#include "pool/wp-insights.h"
#include "pool/wp-link.h"

G_BEGIN_DECLS

/* What the engine's files share: wp-engine.c is its life and what the pool calls, wp-engine-actions.c carries out what
 * the scheduler decides, wp-engine-insights.c counts the time that it takes, wp-engine-frames.c takes what workers send
 * (wp-engine-retries.c, of it, what is to run again), wp-engine-thread.c launches, polls and buries,
 * wp-engine-wait.c is how threads wait. */

typedef enum
{
  ENGINE_IDLE, /* no thread yet */
  ENGINE_RUNNING,
  ENGINE_DRAINING,
  ENGINE_TERMINATED,
  ENGINE_STOPPED, /* no worker is left; the thread has ended or is about to */
} WpEngineState;

/* A chunk whose arguments are written to shared memory by the engine's thread, without the lock. */
typedef struct
{
  guint worker;
  guint generation;
  WpFrameHeader header;
  guint8 *head;
  GPtrArray *body;
} WpLargeChunk;

typedef struct
{
  GFunc func;
  gpointer data;
} WpEngineCall;

typedef struct
{
  GThread *thread;
  WpJob *own; /* whose events the thread takes while it waits; nullable */
} WpEngineWaiter;

struct _WpEngine
{
  gatomicrefcount ref_count;
  WpEngineConfig config; /* 'launcher' is a reference */
  const WpEngineObserver *observer;

  GMutex lock;
  WpEngineState state;
  gboolean terminated; /* before it had stopped */
  gpointer pool; /* not a reference; NULL once detached */
  WpScheduler *scheduler;
  WpInsights *insights; /* NULL: nobody wants them */
  gboolean pumping;
  WpLink **links; /* n_jobs */
  guint64 n_jobs_submitted;
  guint64 n_applies; /* of ordered tasks */
  GQueue listeners; /* WpJob: those whose events somebody receives, as long as there may be some */
  GArray *waiters;  /* WpEngineWaiter */
  GError *start_error; /* why the last worker did not come up */
  gboolean start_error_is_init; /* its init function did not want it */
  GPtrArray *exit_results; /* GVariant */
  GError *exit_error;  /* the first */
  WpJob *to_wake; /* a reference; its waiting threads are woken when the lock is released */
  GArray *stop_calls;  /* WpEngineCall */

  /* What is let go of when the lock is released: a value or a job may be the last to hold something of the caller's,
   * whose code runs then and may call the pool. */
  GPtrArray *dropped_items; /* GVariant */
  WpJob *dropped_jobs;      /* linked by next_dropped */

  /* Work for the thread. */
  GQueue launches; /* worker ids */
  GQueue signals;  /* worker ids */
  GQueue large_chunks;
  GArray *calls; /* WpEngineCall */
  gint64 wake_time; /* as the source has it, ns; stored atomically */

  GThread *thread; /* until it was joined */
  gboolean ended;  /* the thread's own: it has nothing to do any more */
  gboolean joining;
  GCond stopped; /* the state is, or the thread was joined, or a wait was cancelled */
  GMainContext *context;
  GSource *source;
  int epoll;

  /* Links that waiting threads read. */
  guint n_borrowed;
  gboolean recalling;
  int recall; /* an eventfd, readable while 'recalling'; -1 until a link was borrowed */
  GCond returned; /* a link was, while 'recalling' */
};


/* Monotonic nanoseconds. */
gint64       wp_engine_now              (void);
void         wp_large_chunk_free        (WpLargeChunk *large);

/* These want the lock. */

/* Runs what the scheduler wants, and sees to it that the thread wakes when it wants more. To be called after each
 * event. */
void         wp_engine_pump             (WpEngine *self);
/* Has the thread look at its work. */
void         wp_engine_wake             (WpEngine *self);
/* The same, at the time in nanoseconds at the latest. */
void         wp_engine_wake_at          (WpEngine *self, gint64 time);
/* Moves the time, G_MAXINT64 for never, also to a later one. */
void         wp_engine_set_wake_time    (WpEngine *self, gint64 time);
/* Polls for room to write exactly while something waits to be written: to be called after each send. */
void         wp_engine_update_polling   (WpEngine *self, WpLink *link);
gboolean     wp_engine_start_polling    (WpEngine *self, WpLink *link);
void         wp_engine_stop_reading     (WpEngine *self, WpLink *link);
void         wp_engine_signal_later     (WpEngine *self, WpLink *link, int signum);
/* Puts an end to a worker that cannot be talked to any more; takes the cause. */
void         wp_engine_give_up_on       (WpEngine *self, WpLink *link, GError *cause);
/* Puts an end to a worker that nothing can be sent to: it would wait for ever, and its pool for it. */
void         wp_engine_end_deaf         (WpEngine *self, WpLink *link, const GError *error);
/* The chunk could not be sent, so that the worker will not answer it. */
void         wp_engine_answer_unsent    (WpEngine     *self,
                                         WpLink       *link,
                                         guint64       sequence,
                                         guint         n_tasks,
                                         const GError *error);
/* What the worker holds. (transfer full) */
WpHeldChunk *wp_engine_get_held         (WpEngine *self, guint worker, guint *n);
gboolean     wp_engine_find_held        (WpEngine *self, guint worker, guint64 sequence, WpHeldChunk *chunk);
void         wp_engine_send_chunk_bytes (WpEngine            *self,
                                         WpLink              *link,
                                         const WpFrameHeader *header,
                                         const guint8        *head,
                                         GPtrArray           *body,
                                         guint                n_tasks);
/* Leaves a parked link for a moment to the thread that is going to wait for the task which it is about to be sent. */
void         wp_engine_expect_reader    (WpEngine *self, WpLink *link);
/* Polls the links whose readers did not come; returns when to look again. For the engine's thread. */
gint64       wp_engine_check_expected   (WpEngine *self, gint64 now);
/* Polls a parked link again. */
void         wp_engine_unpark           (WpEngine *self, WpLink *link);
/* Lends the link to the thread that holds the lock, if that can be: job->borrowed tells. */
void         wp_engine_borrow_link      (WpEngine *self, WpLink *link, WpJob *job);
/* After a chunk of the job was sent: sees to it that its tasks do not run for longer than they may. */
void         wp_engine_watch_tasks      (WpEngine *self, WpLink *link, const WpJob *job);
/* Ends what takes too long, starts and tasks; returns when to look again. For the engine's thread. */
gint64       wp_engine_check_deadlines  (WpEngine *self, gint64 now);
/* The frames of init and exit functions. */
gboolean     wp_engine_take_initialized (WpEngine *self, WpLink *link, GBytes *body, GError **error);
gboolean     wp_engine_take_exit_result (WpEngine *self, WpLink *link, GBytes *body, GError **error);
/* The worker has reported in. With the lock. */
void         wp_engine_begin_init       (WpEngine *self, WpLink *link);
/* The worker is not needed any more before it was ready. TRUE: it may have begun its init function, and is asked to end
 * instead of being killed in the middle. With the lock. */
gboolean     wp_engine_spare            (WpEngine *self, WpLink *link);
/* The init function has taken too long. With the lock. */
void         wp_engine_expire_init      (WpEngine *self, WpLink *link);
/* It is killed because it did not end when it was asked to. With the lock. */
void         wp_engine_expire_exit      (WpEngine *self, WpLink *link);
/* The worker has ended for this reason; says when that was in the middle of such a function. With the lock. */
GError      *wp_engine_explain_end      (WpEngine *self, WpLink *link, GError *reason);
/* Ends the polling of the threads that have borrowed a link. */
void         wp_engine_recall_links     (WpEngine *self);
/* For the engine's thread: becomes the link's reader, waiting for it to be returned. */
void         wp_engine_claim_link       (WpEngine *self, WpLink *link);
/* Results of tasks that count; takes first_failure, which is NULL when n_failed is 0. origin: with the times of all
 * records of the payload. */
void         wp_engine_add_results      (WpEngine *self,
                                         WpJob    *job,
                                         guint64   first,
                                         guint     n,
                                         GBytes   *payload,
                                         guint     skip,
                                         const WpResultOrigin *origin,
                                         guint     n_failed,
                                         GError   *first_failure);

/* The same for what is left of a range of results whose tasks run again where 'failed' (guint) names their records. */
void         wp_engine_add_other_results (WpEngine             *self,
                                          const WpResultsRange *range,
                                          GBytes               *payload,
                                          const WpResultOrigin *origin,
                                          GArray               *failed);
/* Wakes the threads that wait for what has come. */
void         wp_engine_wake_waiting     (WpEngine *self, WpJob *job);

/* Events, beside wp-engine-events.h. */

/* What to call the stream of the job's events to a worker; 0: nobody wants them now. */
guint64      wp_engine_get_stream       (WpJob *job);
/* The job has ended. */
void         wp_engine_end_events       (WpEngine *self, WpJob *job);
/* The pool is being joined. */
void         wp_engine_drain_events     (WpEngine *self);
/* The worker is gone, and waits for nothing any more. */
void         wp_engine_forget_sender    (WpEngine *self, WpLink *link);
/* Looks for receivers that take nothing; returns when to look again. For the engine's thread. */
gint64       wp_engine_check_events     (WpEngine *self, gint64 now);

/* With insights: what the results of a frame, with the times of all its records, say of the worker's time. Before their
 * items are dropped. */
void         wp_engine_count_results    (WpEngine *self, WpLink *link, const WpResultsRange *range, GBytes *times);
/* The same of link->interrupted, the task that this chunk was at. */
void         wp_engine_count_interrupted (WpEngine *self, WpLink *link, const WpHeldChunk *chunk);

/* These want the link's reader, without the lock. */

/* The records (guint) of a chunk's results that hold an error after which the job's tasks may run again; NULL: none. */
GArray      *wp_engine_find_retries     (WpEngine *self, WpLink *link, guint64 sequence, GBytes *payload);

/* FALSE: somebody else reads the link. */
gboolean     wp_engine_begin_reading    (WpLink *link, WpLinkReader reader);
void         wp_engine_end_reading      (WpLink *link);
/* Takes every frame that is there. FALSE: the channel has ended or broken. */
gboolean     wp_engine_read_frames      (WpEngine *self, WpLink *link, GError **error);
/* The same, and what follows from the end of the channel. */
void         wp_engine_read             (WpEngine *self, WpLink *link);
gboolean     wp_engine_take_event       (WpEngine *self,
                                         WpLink   *link,
                                         guint64   sequence,
                                         guint     offset,
                                         GBytes   *body,
                                         GError  **error);

/* These want the engine's thread, without the lock. */

/* Takes the results that a dead worker had committed to its board and not sent. */
void         wp_engine_salvage          (WpEngine *self, WpLink *link);

/* The thread and its source. */
GSource     *wp_engine_source_new       (WpEngine *self);
/* data: a reference on the engine, which it takes. */
gpointer     wp_engine_run              (gpointer data);

G_END_DECLS
