/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-glib-thread.h"

#include "channel/wp-context.h"

/* Hundreds of times what the end of a thread takes. */
#define PROBE_TIMEOUT_US (20 * G_TIME_SPAN_MILLISECOND)

static guint
count_threads (void)
{
  g_autoptr (GDir) threads = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;

  while (threads != NULL && g_dir_read_name (threads) != NULL)
    n++;

  return n;
}

static gpointer
do_nothing (gpointer data)
{
  return NULL;
}

static gboolean
try_thread (GError **error)
{
  const guint n_before = count_threads ();
  GThread *thread = g_thread_try_new ("probe", do_nothing, NULL, error);
  gint64 end_time;

  if (thread == NULL)
    return FALSE;
  g_thread_join (thread);

  /* The kernel counts a thread for a moment after it was joined. Others may have come meanwhile. */
  end_time = g_get_monotonic_time () + PROBE_TIMEOUT_US;
  while (count_threads () > n_before && g_get_monotonic_time () < end_time)
    g_thread_yield ();

  return TRUE;
}

gboolean
wp_glib_thread_ensure (GError **error)
{
  if (g_type_from_name ("GTask") != 0)
    return TRUE;

  /* The thread has a main context. */
  if (!try_thread (error) || !wp_context_can_be_made (error))
    return FALSE;

  g_type_ensure (G_TYPE_TASK);

  return TRUE;
}
