/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-signals.h"

#include <glib-unix.h>
#include <signal.h>

static const int ending_signals[] = { SIGHUP, SIGINT, SIGTERM };

typedef struct
{
  WpCliSignals *signals;
  int signum;
  guint source_id;
} Watch;

struct _WpCliSignals
{
  WpCliSignalFunc func;
  gpointer user_data;
  Watch watches[G_N_ELEMENTS (ending_signals)];
};

/* Without its sources GLib gives the signals their default action back. */
static void
unwatch (WpCliSignals *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->watches); i++)
    g_clear_handle_id (&self->watches[i].source_id, g_source_remove);
}

static gboolean
on_signal (gpointer user_data)
{
  Watch *watch = user_data;
  WpCliSignals *self = watch->signals;

  watch->source_id = 0;
  unwatch (self);
  self->func (watch->signum, self->user_data);

  return G_SOURCE_REMOVE;
}

WpCliSignals *
wp_cli_signals_new (WpCliSignalFunc func, gpointer user_data)
{
  WpCliSignals *self = g_new0 (WpCliSignals, 1);

  self->func = func;
  self->user_data = user_data;

  for (guint i = 0; i < G_N_ELEMENTS (self->watches); i++)
    {
      Watch *watch = &self->watches[i];
      struct sigaction action;

      watch->signals = self;
      watch->signum = ending_signals[i];

      /* By "nohup", or by a shell for a job in the background: it is not meant for this one. */
      if (sigaction (watch->signum, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        continue;

      watch->source_id = g_unix_signal_add (watch->signum, on_signal, watch);
    }

  return self;
}

void
wp_cli_signals_free (WpCliSignals *self)
{
  unwatch (self);
  g_free (self);
}
