/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

typedef struct _WpForkserver WpForkserver;

#define WP_TYPE_FORKSERVER_PROCESS (wp_forkserver_process_get_type ())
G_DECLARE_FINAL_TYPE (WpForkserverProcess, wp_forkserver_process, WP, FORKSERVER_PROCESS, WpWorkerProcess)

/* A worker that a fork server starts, and reaps. It has no number before the server has said so. Keeps a reference of
 * both until it has ended. */
WpForkserverProcess *wp_forkserver_process_new         (WpForkserver *server,
                                                        guint64       id,
                                                        GIOStream    *channel);
guint64              wp_forkserver_process_get_id      (WpForkserverProcess *self);

/* What the server reports. */

gboolean             wp_forkserver_process_is_started  (WpForkserverProcess *self);
/* Takes the pidfd, -1 for none. */
void                 wp_forkserver_process_set_started (WpForkserverProcess *self,
                                                        int                  pid,
                                                        int                  pidfd);
/* It has ended: with that status, or, if the error (nullable, taken) says so, in another way. Who waits is told by the
 * main context, not by this call. */
void                 wp_forkserver_process_end         (WpForkserverProcess *self,
                                                        int                  status,
                                                        GError              *error);
/* The server is gone, for a reason that is taken: the worker ends as soon as its own process has. */
void                 wp_forkserver_process_bereave     (WpForkserverProcess *self,
                                                        GError              *reason);

/* When the server has to have said what is expected of it, by g_get_monotonic_time (); 0 for never. */
gint64               wp_forkserver_process_get_due     (WpForkserverProcess *self);

G_END_DECLS
