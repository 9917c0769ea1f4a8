/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-board.h"
#include "channel/wp-channel.h"
#include "channel/wp-message.h"
#include "launch/wp-launcher.h"
#include "pool/wp-items.h"
#include "pool/wp-shared-objects.h"

G_BEGIN_DECLS

/* The pool's end of one worker: its process, its channel and its status board. It knows nothing of
 * jobs or of the scheduler; the engine's lock guards it. */
typedef enum
{
  WP_LINK_ABSENT,
  WP_LINK_LAUNCHING, /* the launcher is at work, or about to be */
  WP_LINK_STARTING,  /* there is a process, which has not reported in */
  WP_LINK_INITIALIZING, /* it has reported in, and runs its init function */
  WP_LINK_READY,
  WP_LINK_STOPPING,  /* it was asked to end */
} WpLinkState;

typedef enum
{
  WP_LINK_UNREAD,
  WP_LINK_READ_BY_ENGINE,
  WP_LINK_READ_BY_CALLER, /* a thread that waits for its result; the engine does not poll */
} WpLinkReader;

typedef struct
{
  guint id;
  WpLinkState state;
  guint generation; /* counts the processes that had this id */

  WpWorkerProcess *process;
  WpChannel *channel;
  WpBoard *board; /* NULL on a channel that cannot share memory */
  int pid;
  gboolean reading; /* its channel is still open */
  int reader;       /* WpLinkReader; atomic, not guarded */
  guint n_misses;   /* so often in sequence its reader was busy waiting in vain */
  guint n_passes;   /* so often the reader does not do so next */
  gboolean parked;  /* it is not polled, because its worker has nothing to send */
  gint64 expected_until; /* or because until then, in ns, a thread is expected that reads it; else 0 */
  gboolean writing; /* the engine polls for room to write */
  int signal;       /* to be sent by the engine's thread, or 0 */
  gboolean retiring; /* it has asked to be replaced */
  guint64 hard_memory_limit; /* bytes, 0: none */
  gboolean stop_sent; /* before it was ready: it runs its init and its exit function, and ends */
  gboolean unwanted; /* it is killed because it is not needed any more, not for what it did */
  gint64 launched;   /* when its start began, ns */
  gint64 busy_until; /* no task that it has not reported began earlier, ns */
  WpTaskTimes interrupted; /* of the task that it ran when it died, until the next launch; not known: 0 */
  GBytes *notes; /* likewise, nullable */
  gboolean init_failed; /* it has told so, or was told to end because of it */
  gboolean has_exit_result; /* its exit function has ended, one way or the other */
  gint64 start_deadline; /* of the start or the init function; 0: none */
  gint64 task_deadline; /* before it no task of the worker has run too long; G_MAXINT64: none can */
  GError *cause;    /* why the pool ended it, or what it did wrong; NULL: it ended by itself */

  /* Without a board: the task it last reported to have started, and when that was heard. */
  guint64 started_sequence;
  guint started_offset;
  gint64 started_time;
} WpLink;

/* What a worker is told beside its number. */
typedef struct
{
  gboolean daemon;
  guint depth; /* how many workers there are above it */
  int nice;
  int io_priority; /* as ioprio_set() takes it; 0: as it is */
  int oom_score_adj;
  char *init_function; /* nullable */
  char *exit_function; /* nullable */
  GVariant *cpu_ids; /* aau, the sets of CPUs of one worker each, or of all; nullable */
  gboolean timed;    /* results carry their times */
  guint64 soft_memory_limit; /* bytes, 0: none */
  guint64 hard_memory_limit; /* likewise */
  WpSharedObjects *shared_objects; /* nullable, also where workers are threads, which need not be sent them */
} WpLinkSettings;

WpLink  *wp_link_new           (guint id);
void     wp_link_free          (WpLink *self);

/* Takes the process and sends the first frame. */
gboolean wp_link_open          (WpLink *self, WpWorkerProcess *process, const WpLinkSettings *settings, GError **error);
/* Forgets the process, which has ended. */
void     wp_link_reset         (WpLink *self);
/* Sets why it is going to end, unless a reason is known already. */
void     wp_link_set_cause     (WpLink *self, GError *cause);

gboolean wp_link_can_share     (WpLink *self);
/* Makes the head of a CHUNK frame. (transfer full) */
guint8  *wp_link_make_head     (const char *function, guint64 first, guint n_tasks, guint64 stream, gsize *size);
/* Says that events were taken. FALSE: the connection is broken. */
gboolean wp_link_send_credit   (WpLink *self, guint64 stream, const WpCreditHead *credit, GError **error);
void     wp_link_send_stop     (WpLink *self);
/* How many tasks were taken back from the end of the chunk. */
guint    wp_link_recall        (WpLink *self, guint64 sequence, guint n_tasks, guint n_results, guint most);
/* The task that the worker runs, by its chunk, and since when. FALSE: none, or none that the pool knows of. */
gboolean wp_link_get_running   (WpLink  *self,
                                guint64  sequence,
                                guint    n_tasks,
                                guint    n_results,
                                guint   *offset,
                                gint64  *started);
/* Asks the task that the chunk is at to stop. by_frame: beside the board, for a task that may be waiting for what comes
 * on the channel. */
void     wp_link_cancel_task   (WpLink  *self,
                                guint64  sequence,
                                guint    n_tasks,
                                guint    n_results,
                                gboolean by_frame);
/* After its death: whether it was running a task of this chunk, of which n_results have ended. */
gboolean wp_link_was_running   (WpLink *self, guint64 sequence, guint n_tasks, guint n_results);

/* The error of a task that ran on this worker when it ended with this status (as by waitpid ()), or of the
 * worker itself. */
GError  *wp_link_describe_exit (WpLink *self, int status);

G_END_DECLS
