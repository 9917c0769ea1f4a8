/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-macros.h"

G_BEGIN_DECLS

#define WP_TYPE_WORKER_PROCESS (wp_worker_process_get_type ())
WP_PUBLIC
G_DECLARE_DERIVABLE_TYPE (WpWorkerProcess, wp_worker_process, WP, WORKER_PROCESS, GObject)

/**
 * WpWorkerProcessClass:
 * @parent_class: the parent class
 * @get_channel: the pool's end of the connection: a [class@Gio.SocketConnection] over an AF_UNIX stream socket, or
 *   any [class@Gio.IOStream] of pollable streams. Transfer none.
 * @get_pid: the process identifier, or 0 when the worker is no process of this machine
 * @send_signal: sends a signal; must do nothing once the process was reaped
 * @wait_async: waits until the process has ended and was reaped
 * @wait_finish: ends the wait: @status gets the status as by waitpid ()
 *
 * The class of a launched worker. All functions are called in the thread of the pool's I/O.
 *
 * Since: 1.0
 */
struct _WpWorkerProcessClass
{
  GObjectClass parent_class;

  GIOStream *(*get_channel) (WpWorkerProcess *self);
  int        (*get_pid)     (WpWorkerProcess *self);
  void       (*send_signal) (WpWorkerProcess *self, int signum);
  void       (*wait_async)  (WpWorkerProcess    *self,
                             GCancellable       *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer            user_data);
  gboolean   (*wait_finish) (WpWorkerProcess *self,
                             GAsyncResult    *result,
                             int             *status,
                             GError         **error);

  /*< private >*/
  gpointer padding[8];
};

WP_PUBLIC
GIOStream *wp_worker_process_get_channel (WpWorkerProcess *self);
WP_PUBLIC
int        wp_worker_process_get_pid     (WpWorkerProcess *self);
WP_PUBLIC
void       wp_worker_process_send_signal (WpWorkerProcess *self, int signum);
WP_PUBLIC
void       wp_worker_process_wait_async  (WpWorkerProcess    *self,
                                          GCancellable       *cancellable,
                                          GAsyncReadyCallback callback,
                                          gpointer            user_data);
WP_PUBLIC
gboolean   wp_worker_process_wait_finish (WpWorkerProcess *self,
                                          GAsyncResult    *result,
                                          int             *status,
                                          GError         **error);

G_END_DECLS
