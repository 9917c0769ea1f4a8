/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "patience.h"

gint64
get_patience_end (void)
{
  return g_get_monotonic_time () + PATIENCE_S * G_TIME_SPAN_SECOND;
}

static void
give_up (const char *what)
{
  g_error ("What the test waits for did not come within %d seconds: %s", PATIENCE_S, what);
}

void
yield_before (gint64 end, const char *what)
{
  if (g_get_monotonic_time () > end)
    give_up (what);

  g_thread_yield ();
}

static gboolean
on_patience_ended (gpointer what)
{
  give_up (what);
  return G_SOURCE_REMOVE;
}

GSource *
begin_patience (GMainContext *context, const char *what)
{
  GSource *patience = g_timeout_source_new_seconds (PATIENCE_S);

  g_source_set_callback (patience, on_patience_ended, (gpointer) what, NULL);
  g_source_attach (patience, context);
  return patience;
}

void
end_patience (GSource *patience)
{
  g_source_destroy (patience);
  g_source_unref (patience);
}

void
iterate_until (const gboolean *done)
{
  iterate_context_until (NULL, g_atomic_int_get (done));
}
