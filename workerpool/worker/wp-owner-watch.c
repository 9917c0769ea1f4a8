/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-owner-watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "channel/wp-process.h"

/* Longer than the pools' end takes when nothing is in its way, and short of a second. */
#define END_TIMEOUT_NS (700 * 1000 * 1000)

static gboolean has_ended; /* atomic */
static timer_t end_timer;
static gboolean has_end_timer;

/* A task may stop this process at the very moment, this thread with it. The kernel's SIGKILL comes all the same. */
static void
make_end_timer (void)
{
  struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };

  has_end_timer = timer_create (CLOCK_MONOTONIC, &event, &end_timer) == 0;
}

static void
start_end_timer (void)
{
  const struct itimerspec once = { .it_value = { .tv_nsec = END_TIMEOUT_NS } };

  if (has_end_timer)
    timer_settime (end_timer, 0, &once, NULL);
}

/* A thread of its own: tasks run in the worker's, may run for hours, and may block any signal. */
static gpointer
watch_owner (gpointer data)
{
  struct pollfd owner = { .fd = GPOINTER_TO_INT (data), .events = POLLIN };

  while (poll (&owner, 1, -1) < 0 && errno == EINTR)
    continue;

  start_end_timer ();
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
  make_end_timer ();

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
