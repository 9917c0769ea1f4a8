/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-owner-watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel/wp-process.h"

static gboolean has_ended; /* atomic */

/* A thread of its own: tasks run in the worker's, may run for hours, and may block any signal. */
static gpointer
watch_owner (gpointer data)
{
  struct pollfd owner = { .fd = GPOINTER_TO_INT (data), .events = POLLIN };

  while (poll (&owner, 1, -1) < 0 && errno == EINTR)
    continue;

  g_atomic_int_set (&has_ended, TRUE);
  wp_process_end_pools ();
  /* The whole group, which this worker leads: with whatever its tasks have left behind. */
  kill (0, SIGKILL);

  return NULL;
}

gboolean
wp_owner_watch_start (int owner)
{
  /* Through syscall (), since older C libraries do not know it. */
  int fd = (int) syscall (SYS_pidfd_open, owner, 0);
  sigset_t all, before;
  GThread *thread;

  if (fd < 0)
    return FALSE;

  /* Signals are for the thread that runs the tasks. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  thread = g_thread_try_new (WP_OWNER_WATCH_THREAD, watch_owner, GINT_TO_POINTER (fd), NULL);
  pthread_sigmask (SIG_SETMASK, &before, NULL);

  if (thread == NULL)
    {
      close (fd);
      return FALSE;
    }

  g_thread_unref (thread);
  return TRUE;
}

gboolean
wp_owner_watch_has_ended (void)
{
  return g_atomic_int_get (&has_ended);
}
