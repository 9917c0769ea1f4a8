/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What both sides must agree on about a worker process: how it is told that it is one, and what
 * this process is. The state here is set once, at the start of the process. */

/* "fd:N" or "stdio" for a worker, "forkserver:N" for a fork server. Read, and removed from the environment, by the
 * first call of a function below. */
#define WP_CHANNEL_VARIABLE "WORKERPOOL_CHANNEL"
#define WP_FORKSERVER_ROLE "forkserver"
/* The pid of the owner, for the check that it still lives after PR_SET_PDEATHSIG was set. */
#define WP_OWNER_VARIABLE "WORKERPOOL_OWNER"

/* The names of the library's threads. */
#define WP_ENGINE_THREAD "workerpool"
#define WP_WORKER_THREAD "worker"
#define WP_OWNER_WATCH_THREAD "owner-watch"
#define WP_CANCEL_WATCH_THREAD "cancel-watch"

/* Keys of the CONFIGURE frame's body, an a{sv} as the one record of a payload. */
#define WP_CONFIGURE_WORKER_ID "worker-id" /* u */
#define WP_CONFIGURE_DAEMON    "daemon"    /* b */
#define WP_CONFIGURE_DEPTH     "depth"     /* u, how many workers there are above */
#define WP_CONFIGURE_NICE      "nice"      /* i, added to the niceness; absent: 0 */
#define WP_CONFIGURE_IO_PRIORITY "io-priority" /* i, as ioprio_set() takes it; absent: as it is */
#define WP_CONFIGURE_OOM       "oom-score-adj" /* i, added to the owner's; absent: 0 */
#define WP_CONFIGURE_INIT      "init"      /* s, the function to call before the first task; absent: none */
#define WP_CONFIGURE_EXIT      "exit"      /* s, the function to call after the last task; absent: none */
#define WP_CONFIGURE_CPU_IDS   "cpu-ids"   /* au, the CPUs that it may use; absent: all that its owner may */
#define WP_CONFIGURE_TIMED     "timed"     /* b, results carry their times; absent: FALSE */
#define WP_CONFIGURE_SOFT_MEMORY "soft-memory-limit" /* t, bytes; absent: none */
#define WP_CONFIGURE_HARD_MEMORY "hard-memory-limit" /* t, bytes; absent: none */
#define WP_CONFIGURE_OBJECTS   "objects"   /* b, whether an OBJECTS frame follows; absent: none */
/* Keys of the READY frame's body, likewise. */
#define WP_READY_PID           "pid"       /* i */

/* The process was started to be a worker (the variable is, or was, in the environment). */
gboolean    wp_process_is_requested (void);
/* Takes the role: returns the channel's variable, once; NULL when there is none. is_requested ()
 * stays TRUE afterwards. (transfer full) (nullable) */
char       *wp_process_take_channel (void);
/* The role, not taken yet, is that of a fork server. */
gboolean    wp_process_is_server_requested (void);
/* The owner's pid, or 0 when it is not known; its variable is removed likewise. */
int         wp_process_get_owner    (void);
/* The process was asked to be a worker but main () has not taken the role. */
gboolean    wp_process_ignored_request (void);

/* This process is a daemonic worker: it may not have children pools. */
void        wp_process_set_daemonic (gboolean daemonic);
/* The same for the calling thread alone. */
void        wp_process_set_thread_daemonic (gboolean daemonic);
/* Of the process or of the thread. */
gboolean    wp_process_is_daemonic  (void);

/* This program registered functions, so it can be its own host. */
void        wp_process_set_is_host  (void);
gboolean    wp_process_is_host      (void);
/* The argv that starts this program again: /proc/self/exe and the arguments of this process.
 * (transfer full) */
char      **wp_process_get_argv     (GError **error);

/* Workers in this process: a copy of it, or a thread of it. */

typedef struct
{
  int channel;        /* the worker's end, a Unix stream socket; taken */
  int parent;         /* a copy: the process that made it, whose end is the worker's */
  gboolean is_thread; /* else a copy, made for this */
  const int *asked;   /* a thread: not 0 once it should end; atomic, outlives the worker */
  gconstpointer pool; /* a thread: what its pool is known by here */
  GVariant *shared_objects; /* a thread: what all workers of its pool see, outlives the entry; nullable */
  GMainContext *context; /* a thread: its own; taken */
} WpWorkerRequest;

/* Runs a worker to its end and returns its exit status. */
typedef int (*WpWorkerEntry) (const WpWorkerRequest *request);

/* The worker's side sets it when it is loaded. */
void        wp_process_set_entry    (WpWorkerEntry entry);
int         wp_process_enter_worker (const WpWorkerRequest *request);

/* Forks. What belongs to another generation than the present one was inherited from the process that this one is a
 * copy of: its locks may be held by threads that are not here, and its descriptors may be closed. */

/* For a constructor: no fork happens while another thread holds this lock, which must be none under which the library
 * calls out, or takes another one of these. */
void        wp_process_protect_lock (GMutex *lock);
/* How many forks led from the start of the program to this process; cheap. */
guint       wp_process_get_generation (void);
/* This process was forked and has run no other program since. GLib's own threads, which reap the children that GLib
 * started, are not here. */
gboolean    wp_process_is_copy      (void);

/* Pools in this process. */

typedef void (*WpPoolsEnder) (void);

/* The pools' side sets it; it kills the workers of every pool in this process and waits until they are gone, but not
 * for long. */
void        wp_process_set_pools_ender (WpPoolsEnder ender);
void        wp_process_end_pools    (void);
/* A pool has started in the calling thread; and whether one ever has, in it or (for the worker of a process) in any. */
void        wp_process_note_pool    (void);
gboolean    wp_process_had_pool     (gboolean this_thread);

/* How many workers there are above: 0 in a process that is none. Of the process, or of the calling thread. */
void        wp_process_set_depth    (guint depth, gboolean this_thread);
guint       wp_process_get_depth    (void);
/* The calling thread is a worker itself; and what its pool is known by. */
gboolean    wp_process_is_worker_thread (void);
void        wp_process_set_thread_pool (gconstpointer pool);
gconstpointer wp_process_get_thread_pool (void);

G_END_DECLS
