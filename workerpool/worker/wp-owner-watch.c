/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-owner-watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "channel/wp-process.h"
#include "worker/wp-worker-setup.h"

/* Longer than the pools' end takes when nothing is in its way, and short of a second. */
#define END_TIMEOUT_NS (700 * 1000 * 1000)

/* A process that executes another program loses first its other threads, and a moment after that its end of the
 * channel. */
#define EXEC_TIMEOUT_MS 1000

/* Descriptors. */
enum
{
  OWNER,
  HINT,
  CHANNEL,
  N_WATCHED,
};

static struct pollfd watched[N_WATCHED];
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

/* The thread that made this worker has ended. */
static void
on_hint (int signum)
{
  const int saved = errno;

  eventfd_write (watched[HINT].fd, 1);
  errno = saved;
}

static void
wait_for_end (void)
{
  gboolean hinted = FALSE;
  eventfd_t count;
  int n;

  for (;;)
    {
      /* The channel only for that moment: it is kept open by who polls it, and its end must be seen when a task closes
       * it in a worker that lives on. A hang-up is told without being asked for. */
      n = poll (watched, hinted ? N_WATCHED : CHANNEL, hinted ? EXEC_TIMEOUT_MS : -1);
      if (n < 0)
        continue;
      if (watched[OWNER].revents != 0 || (hinted && (watched[CHANNEL].revents & POLLHUP) != 0))
        return;

      /* A task has closed it. */
      if ((watched[HINT].revents & POLLNVAL) != 0)
        watched[HINT].fd = -1;
      hinted = n > 0 && (watched[HINT].revents & POLLIN) != 0 && eventfd_read (watched[HINT].fd, &count) == 0;
    }
}

/* A thread of its own: tasks run in the worker's, may run for hours, and may block any signal. */
static gpointer
watch_owner (gpointer data)
{
  wait_for_end ();

  start_end_timer ();
  g_atomic_int_set (&has_ended, TRUE);
  wp_process_end_pools ();
  /* The whole group, which this worker leads: with whatever its tasks have left behind. */
  kill (0, SIGKILL);

  return NULL;
}

/* Instead of the SIGKILL that would end this process alone. It reaches one that is stopped, too. */
static void
take_hints (void)
{
  const struct sigaction action = { .sa_handler = on_hint, .sa_flags = SA_RESTART };

  sigaction (SIGCONT, &action, NULL);
  wp_worker_setup_set_death_signal (SIGCONT);
}

gboolean
wp_owner_watch_start (int owner,
                      int channel)
{
  /* Through syscall (), since older C libraries do not know it. */
  const int owner_fd = (int) syscall (SYS_pidfd_open, owner, 0);
  const int hint_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  sigset_t all, before;
  GThread *thread = NULL;

  watched[OWNER] = (struct pollfd){ .fd = owner_fd, .events = POLLIN };
  watched[HINT] = (struct pollfd){ .fd = hint_fd, .events = POLLIN };
  watched[CHANNEL] = (struct pollfd){ .fd = channel };

  if (owner_fd >= 0 && hint_fd >= 0)
    {
      make_end_timer ();
      /* Signals are for the thread that runs the tasks. */
      sigfillset (&all);
      pthread_sigmask (SIG_SETMASK, &all, &before);
      thread = g_thread_try_new (WP_OWNER_WATCH_THREAD, watch_owner, NULL, NULL);
      pthread_sigmask (SIG_SETMASK, &before, NULL);
    }

  if (thread == NULL)
    {
      if (owner_fd >= 0)
        close (owner_fd);
      if (hint_fd >= 0)
        close (hint_fd);
      return FALSE;
    }

  g_thread_unref (thread);
  take_hints ();

  return TRUE;
}

gboolean
wp_owner_watch_has_ended (void)
{
  return g_atomic_int_get (&has_ended);
}
