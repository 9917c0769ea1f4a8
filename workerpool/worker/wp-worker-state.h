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
 * of a chunk. */

typedef enum
{
  WP_WORKER_NEW,
  WP_WORKER_RUNNING,
  WP_WORKER_ENDED,
} WpWorkerState;

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
/* FALSE: the worker cannot go on. */
gboolean wp_worker_run_chunk          (WpWorker *self, const WpFrame *frame, GError **error);

G_END_DECLS
