/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-insights.h"
#include "pool/wp-worker-pool-private.h"

/**
 * wp_worker_pool_get_insights: (attributes org.gtk.Method.get_property=insights)
 * @self: a pool
 *
 * Gets what the workers have spent their time on so far, and how long tasks waited and ran.
 *
 * It may be called from any thread and at any time, while tasks run and after the pool has ended. All times are in
 * seconds, of the type `d`; arrays have an element for each worker id, which stands for all workers that had it one
 * after the other:
 *
 * | Key | Type | What it is |
 * |---|---|---|
 * | `start_up_time`, `init_time`, `waiting_time`, `working_time`, `exit_time` | `ad` | until the worker reported in; in its init function; without a task; with one; from when it was asked to end until it did |
 * | `time` | `ad` | from the launch of the worker until its end or now, the sum of these five |
 * | `total_start_up_time`, `total_init_time`, `total_waiting_time`, `total_working_time`, `total_exit_time`, `total_time` | `d` | the sums over all workers |
 * | `start_up_time_mean`, `start_up_time_std`, and so on | `d` | the mean and the standard deviation over the workers that were launched |
 * | `start_up_ratio`, and so on | `d` | the part of the total time, from 0 to 1 |
 * | `n_completed_tasks` | `at` | the tasks that ended on the worker with a value or an error |
 * | `top_5_max_task_durations`, `top_5_max_task_args` | `ad`, `as` | the longest tasks, longest first, and their arguments as text, which is cut to 120 characters; those whose worker ended while they ran are among them |
 * | `wait_time_p50`, `wait_time_p95`, `wait_time_p99` | `d` | percentiles of the time from when a task was pushed until it began to run; tasks that run again are not counted again |
 * | `run_time_p50`, `run_time_p95`, `run_time_p99` | `d` | percentiles of the time for which tasks ran |
 *
 * A percentile is off by at most 1/64 of itself. A worker that dies while it runs a task has worked until then.
 *
 * Returns: (transfer full) (nullable): a vardict, `a{sv}`; or `NULL` without [property@WorkerPool:enable-insights]
 *
 * Since: 1.0
 */
GVariant *
wp_worker_pool_get_insights (WpWorkerPool *self)
{
  g_autoptr (WpInsights) none = NULL;
  g_autoptr (WpEngine) engine = NULL;
  GVariant *insights;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  if (!wp_worker_pool_get_enable_insights (self))
    return NULL;

  engine = wp_worker_pool_get_engine_to_tell (self);
  if (engine == NULL)
    {
      none = wp_insights_new (wp_worker_pool_get_n_jobs (self));
      return wp_insights_get (none, 0, NULL);
    }

  wp_engine_lock (engine);
  insights = wp_engine_get_insights (engine);
  wp_engine_unlock (engine);

  return insights;
}

/**
 * wp_worker_pool_format_insights:
 * @self: a pool
 *
 * Puts [method@WorkerPool.get_insights] into a table for people to read, in a font of fixed width. Only workers that
 * were launched have a line.
 *
 * Returns: (transfer full) (nullable): the text, whose lines end with a line feed; or `NULL` without
 *   [property@WorkerPool:enable-insights]
 *
 * Since: 1.0
 */
char *
wp_worker_pool_format_insights (WpWorkerPool *self)
{
  g_autoptr (GVariant) insights = NULL;

  g_return_val_if_fail (WP_IS_WORKER_POOL (self), NULL);

  insights = wp_worker_pool_get_insights (self);

  return insights != NULL ? wp_insights_format (insights) : NULL;
}
