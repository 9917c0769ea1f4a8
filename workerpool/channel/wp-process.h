/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What both sides must agree on about a worker process: how it is told that it is one, and what
 * this process is. The state here is set once, at the start of the process. */

/* "fd:N", or "stdio". Read, and removed from the environment, by the first call of a function
 * below. */
#define WP_CHANNEL_VARIABLE "WORKERPOOL_CHANNEL"
/* The pid of the owner, for the check that it still lives after PR_SET_PDEATHSIG was set. */
#define WP_OWNER_VARIABLE "WORKERPOOL_OWNER"

/* Keys of the CONFIGURE frame's body, an a{sv} as the one record of a payload. */
#define WP_CONFIGURE_WORKER_ID "worker-id" /* u */
#define WP_CONFIGURE_DAEMON    "daemon"    /* b */
/* Keys of the READY frame's body, likewise. */
#define WP_READY_PID           "pid"       /* i */

/* The process was started to be a worker (the variable is, or was, in the environment). */
gboolean    wp_process_is_requested (void);
/* Takes the role: returns the channel's variable, once; NULL when there is none. is_requested ()
 * stays TRUE afterwards. (transfer full) (nullable) */
char       *wp_process_take_channel (void);
/* The owner's pid, or 0 when it is not known; its variable is removed likewise. */
int         wp_process_get_owner    (void);
/* The process was asked to be a worker but main () has not taken the role. */
gboolean    wp_process_ignored_request (void);

/* This process is a daemonic worker: it may not have children pools. */
void        wp_process_set_daemonic (gboolean daemonic);
gboolean    wp_process_is_daemonic  (void);

/* This program registered functions, so it can be its own host. */
void        wp_process_set_is_host  (void);
gboolean    wp_process_is_host      (void);
/* The argv that starts this program again: /proc/self/exe and the arguments of this process.
 * (transfer full) */
char      **wp_process_get_argv     (GError **error);

G_END_DECLS
