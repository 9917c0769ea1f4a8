/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which workers end in order: those that nothing waits for, that have been idle for long, or whose place another is to
 * take. */

#include "pool/wp-scheduler-private.h"

#include <signal.h>

guint
wp_scheduler_worker_get_room (const WpScheduler *scheduler, const WpSchedulerWorker *worker)
{
  const guint64 lifespan = scheduler->config.lifespan;

  if (worker->retired)
    return 0;

  return lifespan == 0 ? WP_MAX_CHUNK : (guint) (lifespan - worker->n_given);
}

static void
stop_worker (WpScheduler *scheduler, WpSchedulerWorker *worker, gint64 now)
{
  wp_scheduler_set_worker_state (scheduler, worker, WP_SCHEDULER_WORKER_STOPPING);
  wp_scheduler_update_lists (scheduler, worker, FALSE);
  wp_scheduler_set_deadline (worker, &scheduler->stopping, wp_scheduler_add_time (now, scheduler->config.stop_grace));
  wp_scheduler_queue_worker_action (scheduler, WP_ACTION_STOP_WORKER, worker);
}

/* The last of the idle ones has been so for the longest time, unless as many as may be idle for ever are left. */
static WpSchedulerWorker *
get_longest_idle (const WpScheduler *scheduler)
{
  const guint n_alive = scheduler->n_in_state[WP_SCHEDULER_WORKER_READY] +
                        scheduler->n_in_state[WP_SCHEDULER_WORKER_STARTING];

  if (scheduler->config.idle_timeout == 0 || n_alive <= scheduler->config.min_workers ||
      scheduler->idle.tail == NULL)
    return NULL;

  return scheduler->idle.tail->data;
}

static gint64
get_idle_end (const WpScheduler *scheduler, const WpSchedulerWorker *worker)
{
  return wp_scheduler_add_time (worker->idle_since, scheduler->config.idle_timeout);
}

void
wp_scheduler_end_idle_workers (WpScheduler *scheduler, gint64 now)
{
  WpSchedulerWorker *worker;

  if (scheduler->config.idle_timeout == 0)
    return;

  /* Those that have become idle since the last look are in front. */
  for (GList *l = scheduler->idle.head; l != NULL && ((WpSchedulerWorker *) l->data)->idle_since == 0; l = l->next)
    ((WpSchedulerWorker *) l->data)->idle_since = now;

  while ((worker = get_longest_idle (scheduler)) != NULL && get_idle_end (scheduler, worker) <= now)
    stop_worker (scheduler, worker, now);
}

gint64
wp_scheduler_get_idle_deadline (const WpScheduler *scheduler)
{
  const WpSchedulerWorker *worker = get_longest_idle (scheduler);

  return worker != NULL ? get_idle_end (scheduler, worker) : G_MAXINT64;
}

/* Ends the workers that nothing waits for any more. */
static void
end_unneeded_workers (WpScheduler *scheduler, gint64 now)
{
  gboolean draining = scheduler->phase != WP_SCHEDULER_SERVING;
  gboolean stop = (draining || scheduler->stop_when_idle) && scheduler->batches.length == 0 &&
                  scheduler->n_in_state[WP_SCHEDULER_WORKER_READY] > 0;
  gboolean kill_starting = draining && scheduler->n_pending == 0 && scheduler->n_waiting == 0 &&
                           scheduler->recallable.length == 0 &&
                           scheduler->n_in_state[WP_SCHEDULER_WORKER_STARTING] > 0;

  if (!stop && !kill_starting)
    return;

  for (guint i = 0; i < scheduler->config.n_jobs; i++)
    {
      WpSchedulerWorker *worker = &scheduler->workers[i];

      if (stop && worker->state == WP_SCHEDULER_WORKER_READY)
        stop_worker (scheduler, worker, now);
      else if (kill_starting && worker->state == WP_SCHEDULER_WORKER_STARTING)
        wp_scheduler_doom_worker (scheduler, worker, SIGKILL);
    }
}

void
wp_scheduler_end_workers (WpScheduler *scheduler, gint64 now)
{
  while (scheduler->spent.head != NULL)
    stop_worker (scheduler, scheduler->spent.head->data, now);

  end_unneeded_workers (scheduler, now);
}

void
wp_scheduler_retire_worker (WpScheduler *scheduler, guint worker_id)
{
  WpSchedulerWorker *worker = wp_scheduler_get_worker (scheduler, worker_id);

  if (worker->state != WP_SCHEDULER_WORKER_READY || worker->retired)
    return;

  worker->retired = TRUE;
  wp_scheduler_queue_recalls (scheduler, worker);
  wp_scheduler_update_lists (scheduler, worker, FALSE);
}
