/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include "pool/wp-engine.h"

G_BEGIN_DECLS

/* The events of a job's tasks, on their way from the workers to whoever called.
 *
 * A worker sends an event only while it has credit, which it gets back when the receiver has taken events: so the
 * events in flight are bounded, and a slow receiver slows the tasks down. That must not become a deadlock: events which
 * nobody can take are discarded. Nobody can while the thread that would take them waits in a synchronous call of the
 * same pool; and when some thread does so, or the pool is being joined, whoever takes no event for a while is taken for
 * one that never will. */

typedef struct
{
  /* Both with the engine's lock held; they may not call out. Nullable: there always is a listener; and a thread that
   * waits for the job receives. */
  gboolean (*is_heard) (gpointer data);
  void     (*arrived)  (gpointer data);
  gpointer data;
} WpEventReceiver;

typedef void (*WpEventHandler) (guint64 index, GVariant *value, gpointer data);

void     wp_job_events_free      (WpJobEvents *events);

/* These want the lock. */

/* Before the job is submitted, or has items. context: the receiver's, NULL for the calling thread alone. */
void     wp_engine_listen        (WpEngine              *self,
                                  WpJob                 *job,
                                  const WpEventReceiver *receiver,
                                  GMainContext          *context);
/* Discards what has not been taken; again and again does nothing. To be called before the receiver lets go of the
 * job. */
void     wp_engine_unlisten      (WpEngine *self, WpJob *job);
gboolean wp_engine_has_events    (WpJob *job);
/* The calling thread is the one that receives. */
gboolean wp_engine_receives_here (WpJob *job);
/* A thread waits for the engine, and itself takes only the events of that job (nullable). */
void     wp_engine_begin_wait    (WpEngine *self, WpJob *own);
void     wp_engine_end_wait      (WpEngine *self, WpJob *own);

/* Without the lock: gives the handler the events that are there now, in order. */
void     wp_engine_hand_out      (WpEngine *self, WpJob *job, WpEventHandler handler, gpointer data);

G_END_DECLS
