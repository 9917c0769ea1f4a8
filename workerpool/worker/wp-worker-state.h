/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-board.h"
#include "channel/wp-payload.h"
#include "worker/wp-emitter.h"
#include "worker/wp-inbox.h"
#include "worker/wp-memory-limit.h"
#include "worker/wp-outbox.h"
#include "worker/wp-task-context.h"
#include "worker/wp-worker-private.h"

G_BEGIN_DECLS

/* What the worker's files share: wp-worker.c is its life and its talk with the pool, wp-worker-chunk.c runs the tasks
 * of a chunk, wp-worker-pull.c gives them to who pulls them. */

typedef enum
{
  WP_WORKER_NEW,
  WP_WORKER_RUNNING,
  WP_WORKER_ENDED,
} WpWorkerState;

/* What was pulled and is not answered. */
typedef enum
{
  WP_PULLED_NOTHING,
  WP_PULLED_INIT,
  WP_PULLED_TASK,
  WP_PULLED_EXIT,
} WpPulled;

/* A chunk whose tasks are being run. */
typedef struct _WpChunkRun WpChunkRun;

struct _WpWorker
{
  GObject parent_instance;

  WpChannel *channel;
  WpBoard *board; /* shared with the pool, or only the buffer of the results */
  gboolean board_is_shared;
  WpOutbox *outbox;
  WpEmitter *emitter;
  WpTaskContext *context;
  GVariant *shared_objects; /* nullable */
  WpInbox *inbox;
  WpMemoryWatch memory;
  guint64 hard_memory_limit; /* 0: none */
  guint64 n_looked_at;  /* so many tasks had ended when it looked at the memory */
  gboolean retiring;    /* another worker is to take its place */

  WpWorkerState state;
  guint generation;   /* of the process that took the role */
  gboolean is_thread; /* else a process */
  const int *asked;   /* a thread: not 0 once it should end; nullable */
  int owner;          /* a process: the one it ends with, or 0 */
  guint depth;        /* how many workers there are above this one */
  gboolean timed;     /* the pool wants to know when each task ran */
  guint id;
  guint64 n_finished;
  char *init_function; /* nullable */
  char *exit_function; /* nullable */
  gboolean is_initialized;

  WpPulled pulled;
  WpChunkRun *chunk;   /* nullable: tasks are being pulled from it */
  gboolean is_stopped; /* the pool has asked for the end */
};

/* By CLOCK_MONOTONIC, in nanoseconds. */
gint64   wp_worker_get_now            (void);

/* These return FALSE. */
gboolean wp_worker_set_protocol_error (GError **error, const char *what);
gboolean wp_worker_set_asked_error    (GError **error);

/* A worker in a thread was asked to end. */
gboolean wp_worker_is_asked           (WpWorker *self);
gboolean wp_worker_send_payload       (WpWorker *self, WpFrameType type, WpPayloadWriter *writer, GError **error);
/* Asks to be replaced, if it has more memory than it should. */
gboolean wp_worker_look_at_memory     (WpWorker *self, gint64 now, GError **error);
/* Ends a process that a task has forked and that came back from it. */
void     wp_worker_leave_if_copied    (WpWorker *self, const char *function);
/* From the settings to the first frame that is about tasks. */
gboolean wp_worker_configure          (WpWorker *self, GError **error);
gboolean wp_worker_next_frame         (WpWorker *self, WpFrame *frame, GError **error);
/* One that is no chunk and not the end. */
gboolean wp_worker_handle_frame       (WpWorker *self, const WpFrame *frame, GError **error);
/* What a function has come to that runs before or after all tasks; the value is nullable. */
gboolean wp_worker_send_hook          (WpWorker    *self,
                                       WpFrameType  type,
                                       GVariant    *value,
                                       const GError *hook_error,
                                       GError     **error);
gboolean wp_worker_run_hook           (WpWorker    *self,
                                       const char  *function,
                                       WpFrameType  type,
                                       gboolean    *succeeded,
                                       GError     **error);
/* The worker's end, after which it can do nothing. Takes the error, which is set unless the pool asked for the end. */
gboolean wp_worker_end                (WpWorker *self, GError *run_error, GError **error);

/* FALSE: the worker cannot go on. Takes what is in the frame. */
gboolean wp_worker_run_chunk          (WpWorker *self, WpFrame *frame, GError **error);

/* Whether who pulls tasks is to run this function, as the process knows none of that name. */
gboolean wp_worker_may_pull           (const char *function, const GError *lookup_error);
/* Takes what is in the frame. */
WpChunkRun *wp_chunk_run_new          (WpWorker *self, WpFrame *frame, GError **error);
void        wp_chunk_run_free         (WpChunkRun *run);
const char *wp_chunk_run_get_function (WpChunkRun *run);
/* The next task. *args: NULL when there is none. */
gboolean    wp_chunk_run_pull         (WpChunkRun *run, GVariant **args, GError **error);
/* Takes the value, or the error. */
gboolean    wp_chunk_run_answer       (WpChunkRun *run, GVariant *value, GError *task_error, GError **error);

G_END_DECLS
