/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-forkserver-process.h"

G_BEGIN_DECLS

/* The pool's end of a fork server: a process that runs the host, loads what the workers need, and then makes them as
 * copies of itself. Everything here happens in one thread, whose thread-default context it was started with. What the
 * server sends is not trusted. */

/* Starts a server; it is heard of later whether that works. 'preload' and 'function' are nullable. */
WpForkserver    *wp_forkserver_start         (const char *const *argv,
                                              const char *const *preload,
                                              const char        *function,
                                              GError           **error);
WpForkserver    *wp_forkserver_ref           (WpForkserver *self);
void             wp_forkserver_unref         (WpForkserver *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpForkserver, wp_forkserver_unref)

/* It can be asked for further workers. */
gboolean         wp_forkserver_is_usable     (WpForkserver *self);
/* Its process was reaped. */
gboolean         wp_forkserver_is_gone       (WpForkserver *self);

/* Asks for a worker, without waiting for it. */
WpWorkerProcess *wp_forkserver_launch        (WpForkserver *self, GError **error);
/* Asks it to end, and sees to it that it does. */
void             wp_forkserver_end           (WpForkserver *self);

/* For its workers. */

GMainContext    *wp_forkserver_get_context   (WpForkserver *self);
/* Takes the word of workers that have started, without anything that follows from a worker's or the server's end. */
void             wp_forkserver_read_ahead    (WpForkserver *self);
/* Takes back what was asked for. FALSE: the server was told already. */
gboolean         wp_forkserver_withdraw      (WpForkserver *self, guint64 id);
void             wp_forkserver_send_signal   (WpForkserver *self, guint64 id, int signum);
/* Looks at that time whether an answer is due. */
void             wp_forkserver_expect        (WpForkserver *self, gint64 due);

G_END_DECLS
