/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include <signal.h>

#include "channel/wp-error.h"
#include "launch/wp-thread-launcher.h"

#define NS_PER_MS G_GINT64_CONSTANT (1000000)

static void
check_start (WpEngine *self, WpLink *link, gint64 now)
{
  if (link->start_deadline == 0 || link->start_deadline > now)
    return;

  link->start_deadline = 0;
  if (link->state == WP_LINK_INITIALIZING)
    {
      wp_engine_expire_init (self, link);
      return;
    }
  if (link->state == WP_LINK_STOPPING)
    {
      wp_engine_expire_exit (self, link);
      wp_engine_signal_later (self, link, SIGKILL);
      return;
    }

  wp_engine_give_up_on (self, link,
                        g_error_new (WP_ERROR, WP_ERROR_START_FAILED,
                                     "did not report in within %u ms (start-timeout); is its host a "
                                     "program that calls wp_worker_main()?",
                                     self->config.start_timeout));
}

static void
expire (WpEngine *self, WpLink *link, const WpHeldChunk *chunk, guint offset, guint timeout)
{
  if (!wp_scheduler_task_expired (self->scheduler, link->id, chunk->sequence, offset))
    return;

  wp_link_set_cause (link, g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "exceeded the task-timeout of %u ms%s",
                                        timeout,
                                        WP_IS_THREAD_LAUNCHER (self->config.launcher)
                                            ? ", and as a thread could only be asked to stop,"
                                            : ""));
  wp_engine_pump (self);
}

/* The board says what runs and since when. A task that has not started yet cannot be over its time before it would
 * have been, had it started now. */
static void
check_task (WpEngine *self, WpLink *link, gint64 now)
{
  g_autofree WpHeldChunk *held = NULL;
  guint n;

  if (link->task_deadline > now)
    return;

  link->task_deadline = G_MAXINT64;
  held = wp_engine_get_held (self, link->id, &n);
  for (guint i = 0; i < n && link->channel != NULL; i++)
    {
      const WpJob *job = held[i].tag;
      const gint64 timeout = job->task_timeout * NS_PER_MS;
      gint64 started;
      guint offset;

      if (timeout == 0)
        continue;

      if (!wp_link_get_running (link, held[i].sequence, held[i].n_tasks, held[i].n_results, &offset, &started))
        started = now;

      if (started + timeout <= now)
        expire (self, link, &held[i], offset, job->task_timeout);
      else
        link->task_deadline = MIN (link->task_deadline, started + timeout);
    }
}

gint64
wp_engine_check_deadlines (WpEngine *self, gint64 now)
{
  gint64 next = G_MAXINT64;

  for (guint i = 0; i < self->config.n_jobs; i++)
    {
      WpLink *link = self->links[i];

      check_start (self, link, now);
      check_task (self, link, now);

      if (link->start_deadline != 0)
        next = MIN (next, link->start_deadline);
      next = MIN (next, link->task_deadline);
    }

  return next;
}

void
wp_engine_watch_tasks (WpEngine *self, WpLink *link, const WpJob *job)
{
  if (job->task_timeout == 0)
    return;

  link->task_deadline = MIN (link->task_deadline, wp_engine_now () + job->task_timeout * NS_PER_MS);
  wp_engine_wake_at (self, link->task_deadline);
}
