/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-cancel-watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "channel/wp-process.h"

struct _WpCancelWatch
{
  WpBoard *board; /* nullable */
  WpInbox *inbox;
  WpCancelCheck check;
  gpointer data;
  guint generation; /* of the process: a copy has no thread, and the lock as it stood */

  GThread *thread; /* NULL until a task has asked; the worker's alone */
  int nudge;       /* an eventfd that ends the thread's poll; -1 with a board; atomic */

  GMutex lock;
  GCond changed;
  GCancellable *cancellable; /* of the running task, once it has asked */
  gboolean watched;          /* and it is not cancelled yet */
  gboolean suspended;
  gboolean ending;
};

WpCancelWatch *
wp_cancel_watch_new (WpBoard      *board,
                     WpInbox      *inbox,
                     WpCancelCheck check,
                     gpointer      data)
{
  WpCancelWatch *self = g_new0 (WpCancelWatch, 1);

  self->board = board;
  self->inbox = inbox;
  self->check = check;
  self->data = data;
  self->generation = wp_process_get_generation ();
  self->nudge = -1;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);

  return self;
}

static gboolean
is_copy (WpCancelWatch *self)
{
  return self->generation != wp_process_get_generation ();
}

/* Wakes the thread, whatever it waits for. */
static void
wake (WpCancelWatch *self)
{
  const int nudge = g_atomic_int_get (&self->nudge);

  if (self->board != NULL)
    wp_board_ring (self->board);
  else if (nudge >= 0)
    eventfd_write (nudge, 1);
}

void
wp_cancel_watch_free (WpCancelWatch *self)
{
  if (self->thread != NULL)
    {
      g_mutex_lock (&self->lock);
      self->ending = TRUE;
      g_cond_signal (&self->changed);
      g_mutex_unlock (&self->lock);
      wake (self);
      g_thread_join (self->thread);
    }

  if (self->nudge >= 0)
    close (self->nudge);
  g_clear_object (&self->cancellable);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Handlers of the task's run without the lock. The task may have ended by then: the next one has a cancellable of its
 * own, and who disconnects a handler waits for it. */
static void
cancel (WpCancelWatch *self)
{
  GCancellable *cancellable = g_object_ref (self->cancellable);

  self->watched = FALSE;
  g_mutex_unlock (&self->lock);
  g_cancellable_cancel (cancellable);
  g_object_unref (cancellable);
  g_mutex_lock (&self->lock);
}

/* Without the lock: until there may be something new. */
static void
wait_for_pool (WpCancelWatch *self,
               guint32        bell)
{
  struct pollfd fds[] = {
    { .fd = wp_inbox_get_fd (self->inbox), .events = POLLIN },
    { .fd = self->nudge, .events = POLLIN },
  };
  eventfd_t count;

  if (self->board != NULL)
    {
      wp_board_wait_bell (self->board, bell);
      return;
    }

  if (poll (fds, G_N_ELEMENTS (fds), -1) > 0 && fds[1].revents != 0)
    eventfd_read (self->nudge, &count);
}

static gpointer
watch (gpointer data)
{
  WpCancelWatch *self = data;

  g_mutex_lock (&self->lock);
  while (!self->ending)
    {
      guint32 bell;

      if (!self->watched || self->suspended)
        {
          g_cond_wait (&self->changed, &self->lock);
          continue;
        }

      /* In this order: what comes after the look ends the wait. */
      bell = self->board != NULL ? wp_board_get_bell (self->board) : 0;
      if (self->board == NULL)
        wp_inbox_poll (self->inbox);
      if (self->check (self->data))
        {
          cancel (self);
          continue;
        }

      g_mutex_unlock (&self->lock);
      wait_for_pool (self, bell);
      g_mutex_lock (&self->lock);
    }
  g_mutex_unlock (&self->lock);

  return NULL;
}

/* FALSE: the system has no thread or descriptor left. */
static gboolean
ensure_thread (WpCancelWatch *self)
{
  g_autoptr (GError) error = NULL;
  sigset_t all, before;

  if (self->thread != NULL)
    return TRUE;

  if (self->board == NULL && self->nudge < 0)
    g_atomic_int_set (&self->nudge, eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (self->board == NULL && self->nudge < 0)
    return FALSE;

  /* Signals are for the thread that runs the tasks. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  self->thread = g_thread_try_new (WP_CANCEL_WATCH_THREAD, watch, self, &error);
  pthread_sigmask (SIG_SETMASK, &before, NULL);

  return self->thread != NULL;
}

GCancellable *
wp_cancel_watch_get (WpCancelWatch *self)
{
  if (is_copy (self))
    return NULL;

  if (self->cancellable != NULL)
    return self->cancellable;

  if (!ensure_thread (self))
    g_warning ("This worker cannot start the thread that watches for cancellation: a task sees it only by asking");

  g_mutex_lock (&self->lock);
  self->cancellable = g_cancellable_new ();
  self->watched = TRUE;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);

  /* A task that asks when it is cancelled already need not wait for the thread. */
  if (self->check (self->data))
    g_cancellable_cancel (self->cancellable);

  return self->cancellable;
}

void
wp_cancel_watch_end (WpCancelWatch *self)
{
  g_autoptr (GCancellable) cancellable = NULL;

  if (G_LIKELY (self->cancellable == NULL) || is_copy (self))
    return;

  g_mutex_lock (&self->lock);
  cancellable = g_steal_pointer (&self->cancellable);
  self->watched = FALSE;
  g_mutex_unlock (&self->lock);
}

void
wp_cancel_watch_suspend (WpCancelWatch *self)
{
  if (self->cancellable == NULL)
    return;

  g_mutex_lock (&self->lock);
  self->suspended = TRUE;
  g_mutex_unlock (&self->lock);
}

void
wp_cancel_watch_resume (WpCancelWatch *self)
{
  if (self->cancellable == NULL)
    return;

  g_mutex_lock (&self->lock);
  self->suspended = FALSE;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
}

void
wp_cancel_watch_notice (WpCancelWatch *self)
{
  if (self->cancellable != NULL && self->board == NULL)
    wake (self);
}
