/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "channel/wp-error.h"

/* How a thread waits for its job.
 *
 * A thread that waits for a single task borrows the link to the worker that has it: it reads that
 * channel itself, so that the result wakes it and not the engine's thread before it. To wake another
 * processor is what a round trip costs; this makes it two times instead of three. What else comes on
 * the channel meanwhile it takes as the engine's thread would. A thread that waits at once borrows the
 * link as it submits the task; one that does something else before borrows it as it begins to wait.
 *
 * A link that is returned while its worker has nothing to do is parked: the engine does not poll it
 * until something is sent. A thread that makes one call after the other does so without the cost of
 * moving the link to and fro, 10 µs. That the worker dies meanwhile shows by its process. It stays parked
 * for a moment when the task that is sent has a thread that is going to wait for it, but not at once.
 *
 * Who reads a link is one atomic word, because events are handled without the lock. Links are borrowed
 * and returned with the lock held. Whoever needs one back, or ends the job by other means, makes
 * 'recall' readable; that ends the waiting of all who have borrowed one. */

/* So long the thread stays awake: a processor that need not be woken is worth a third of a round trip,
 * and the answer of a short task comes within this. It yields to whoever wants the processor. */
#define SPIN_NS (100 * 1000)
/* So long the answer to a thread that has something else to do first is left for it to read. An interpreter begins to
 * wait after some microseconds; whoever does not begin has the engine's thread woken once in this time. */
#define EXPECT_NS (1000 * 1000)
/* After n misses in sequence the next 2 ^ n - 1 calls sleep at once, so that long tasks cost next to
 * nothing. */
#define MAX_MISSES 7
/* So long, in milliseconds, the thread then sleeps in a read, which wakes sooner but does not see that
 * the link is recalled; after that it polls for both. */
#define READ_MS 2

gboolean
wp_engine_begin_reading (WpLink *link, WpLinkReader reader)
{
  return g_atomic_int_compare_and_exchange (&link->reader, WP_LINK_UNREAD, reader);
}

void
wp_engine_end_reading (WpLink *link)
{
  g_atomic_int_set (&link->reader, WP_LINK_UNREAD);
}

void
wp_engine_recall_links (WpEngine *self)
{
  if (self->n_borrowed > 0 && !self->recalling)
    {
      self->recalling = TRUE;
      eventfd_write (self->recall, 1);
    }
}

void
wp_engine_claim_link (WpEngine *self, WpLink *link)
{
  while (!wp_engine_begin_reading (link, WP_LINK_READ_BY_ENGINE))
    {
      wp_engine_recall_links (self);
      g_cond_wait (&self->returned, &self->lock);
    }
}

void
wp_engine_borrow_link (WpEngine *self, WpLink *link, WpJob *job)
{
  const int fd = wp_channel_get_input_fd (link->channel);

  if (self->recalling || !link->reading || link->writing ||
      fd != wp_channel_get_output_fd (link->channel))
    return;

  if (self->recall < 0)
    self->recall = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->recall < 0 || !wp_engine_begin_reading (link, WP_LINK_READ_BY_CALLER))
    return;

  if (!link->parked)
    epoll_ctl (self->epoll, EPOLL_CTL_DEL, fd, NULL);
  link->parked = FALSE;
  link->expected_until = 0;
  self->n_borrowed++;
  job->borrowed = (int) link->id;
}

void
wp_engine_expect_reader (WpEngine *self, WpLink *link)
{
  g_assert (link->parked);

  if (link->expected_until != 0)
    return;

  link->expected_until = wp_engine_now () + EXPECT_NS;
  wp_engine_wake_at (self, link->expected_until);
}

gint64
wp_engine_check_expected (WpEngine *self, gint64 now)
{
  gint64 next = G_MAXINT64;

  for (guint i = 0; i < self->config.n_jobs; i++)
    {
      WpLink *link = self->links[i];

      if (link->expected_until == 0)
        continue;

      if (link->expected_until <= now)
        wp_engine_unpark (self, link);
      else
        next = MIN (next, link->expected_until);
    }

  return next;
}

void
wp_engine_unpark (WpEngine *self, WpLink *link)
{
  link->parked = FALSE;
  link->expected_until = 0;
  if (!wp_engine_start_polling (self, link))
    wp_engine_give_up_on (self, link,
                          g_error_new (WP_ERROR, WP_ERROR_WORKER_DIED,
                                       "was ended because its channel cannot be polled any more: %s",
                                       g_strerror (errno)));
}

/* Results of tasks; that it has too much memory, which it may find after its last task; of its exit function. */
static gboolean
may_say_more (WpEngine *self, const WpLink *link)
{
  return wp_scheduler_get_held (self->scheduler, link->id, NULL, 0) > 0 || link->state != WP_LINK_READY ||
         (self->config.settings.soft_memory_limit > 0 && !link->retiring);
}

static void
return_link (WpEngine *self, WpLink *link)
{
  eventfd_t value;

  wp_engine_end_reading (link);
  /* What has arrived and was not read yet shows again. */
  link->parked = link->reading;
  if (link->reading && (link->writing || may_say_more (self, link)))
    wp_engine_unpark (self, link);

  self->n_borrowed--;
  if (!self->recalling)
    return;

  if (self->n_borrowed == 0)
    {
      self->recalling = FALSE;
      eventfd_read (self->recall, &value);
    }
  g_cond_broadcast (&self->returned);
}

/* How long to poll until then: at most 'most', -1 for no limit. */
static int
get_rest_ms (gint64 end_time, int most)
{
  gint64 rest;

  if (end_time == G_MAXINT64)
    return most;

  rest = CLAMP ((end_time - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
  return most < 0 ? (int) rest : MIN ((int) rest, most);
}

/* No longer than until that time. */
static gboolean
poll_link (WpEngine *self, WpLink *link, gint64 end_time)
{
  struct pollfd fds[] = {
    { .fd = wp_channel_get_input_fd (link->channel), .events = POLLIN },
    { .fd = self->recall, .events = POLLIN },
  };

  return poll (fds, G_N_ELEMENTS (fds), get_rest_ms (end_time, -1)) > 0 && fds[0].revents != 0;
}

/* Looks for the answer for a while. TRUE: something has come. */
static gboolean
spin (WpLink *link)
{
  const gint64 end = wp_engine_now () + SPIN_NS;

  if (link->n_passes > 0)
    {
      link->n_passes--;
      return FALSE;
    }

  do
    {
      sched_yield ();
      if (wp_channel_wait_input (link->channel, 0))
        {
          link->n_misses = 0;
          return TRUE;
        }
    }
  while (wp_engine_now () < end);

  link->n_misses = MIN (link->n_misses + 1, MAX_MISSES);
  link->n_passes = (1u << link->n_misses) - 1;

  return FALSE;
}

static gboolean
is_over (gint64 end_time)
{
  return end_time != G_MAXINT64 && g_get_monotonic_time () >= end_time;
}

/* Returns when the job has ended, the link was recalled or has come to its end, or the time is over. */
static void
read_link (WpEngine *self, WpLink *link, WpJob *job, gint64 end_time)
{
  gboolean polls = FALSE;

  while (!job->ended && link->reading && !self->recalling && !is_over (end_time))
    {
      const gboolean spins = !job->spun;
      gboolean readable;

      job->polling = TRUE;
      wp_engine_unlock (self);
      if (polls)
        readable = poll_link (self, link, end_time);
      else
        readable = (spins && spin (link)) || wp_channel_wait_input (link->channel, get_rest_ms (end_time, READ_MS));
      polls = polls || !readable;
      wp_engine_lock (self);
      job->polling = FALSE;
      /* A thread that waits in slices is busy waiting in the first. */
      job->spun = polls;
      wp_engine_unlock (self);

      if (readable)
        wp_engine_read (self, link);
      wp_engine_lock (self);
    }
}

gint64
wp_engine_get_end_time (gint64 timeout)
{
  const gint64 now = g_get_monotonic_time ();

  return timeout < 0 || timeout > G_MAXINT64 - now ? G_MAXINT64 : now + timeout;
}

/* FALSE: the time is over. */
static gboolean
wait_for_change (WpEngine *self, WpJob *job, WpJobWait what, gint64 end_time)
{
  gboolean changed = TRUE;

  /* What is due when the lock is released. */
  if (self->to_wake != NULL || self->dropped_items->len > 0 || self->dropped_jobs != NULL)
    {
      wp_engine_unlock (self);
      wp_engine_lock (self);
      return TRUE;
    }

  job->n_waiting[what]++;
  if (end_time == G_MAXINT64)
    g_cond_wait (&job->condition, &self->lock);
  else
    changed = g_cond_wait_until (&job->condition, &self->lock, end_time);
  job->n_waiting[what]--;

  return changed;
}

void
wp_engine_wait_for_results (WpEngine *self, WpJob *job)
{
  wait_for_change (self, job, WP_JOB_RESULTS, G_MAXINT64);
}

gboolean
wp_engine_wait_for_results_until (WpEngine *self, WpJob *job, gint64 end_time)
{
  return wait_for_change (self, job, WP_JOB_RESULTS, end_time);
}

/* The link to the worker that was sent the job's tasks last, if that can be. They may have moved on: then their end
 * recalls it. */
static void
borrow_where_sent (WpEngine *self, WpJob *job)
{
  if (job->borrowed < 0 && job->sent_to >= 0 && self->links[job->sent_to]->state == WP_LINK_READY)
    wp_engine_borrow_link (self, self->links[job->sent_to], job);
}

void
wp_engine_wait_for_end_until (WpEngine *self, WpJob *job, gint64 end_time)
{
  if (!job->ended && !is_over (end_time))
    borrow_where_sent (self, job);

  if (job->borrowed >= 0)
    {
      WpLink *link = self->links[job->borrowed];

      job->borrowed = -1;
      read_link (self, link, job, end_time);
      return_link (self, link);
    }

  while (!job->ended && wait_for_change (self, job, WP_JOB_END, end_time))
    ;
}
