/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "channel/wp-board.h"
#include "channel/wp-context.h"
#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "pool/wp-engine-events.h"
#include "pool/wp-glib-thread.h"
#include "pool/wp-live-engines.h"

/* How long a worker that was asked to end may take before it is killed. */
#define STOP_GRACE_NS (5 * G_GINT64_CONSTANT (1000000000))

gint64
wp_engine_now (void)
{
  return g_get_monotonic_time () * 1000;
}

void
wp_large_chunk_free (WpLargeChunk *large)
{
  g_free (large->head);
  g_ptr_array_unref (large->body);
  g_free (large);
}

void
wp_engine_lock (WpEngine *self)
{
  g_mutex_lock (&self->lock);
}

static GPtrArray *
steal_dropped_items (WpEngine *self)
{
  GPtrArray *stolen = NULL;

  if (self->dropped_items->len > 0)
    {
      stolen = self->dropped_items;
      self->dropped_items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
    }

  return stolen;
}

void
wp_engine_drop_item (WpEngine *self, GVariant *item)
{
  g_ptr_array_add (self->dropped_items, item);
}

/* A thread that is woken while the lock is held runs into it and sleeps again, which costs as much as a
 * round trip to a worker. */
void
wp_engine_unlock (WpEngine *self)
{
  WpJob *job = g_steal_pointer (&self->to_wake);
  g_autoptr (GPtrArray) items G_GNUC_UNUSED = steal_dropped_items (self);
  WpJob *dropped = g_steal_pointer (&self->dropped_jobs);

  g_mutex_unlock (&self->lock);

  if (job != NULL)
    {
      g_cond_broadcast (&job->condition);
      wp_job_unref (job);
    }

  while (dropped != NULL)
    {
      WpJob *next = g_steal_pointer (&dropped->next_dropped);

      wp_job_unref (dropped);
      dropped = next;
    }
}

/* An exit function has its own time, or any. */
static gint64
get_stop_grace (const WpEngineConfig *config)
{
  if (config->settings.exit_function == NULL)
    return STOP_GRACE_NS;

  return config->exit_timeout > 0 ? config->exit_timeout * G_GINT64_CONSTANT (1000000) : G_MAXINT64;
}

WpEngine *
wp_engine_new (const WpEngineConfig *config, const WpEngineObserver *observer, gpointer pool)
{
  const gint64 grace = config->grace_period * G_GINT64_CONSTANT (1000000);
  const WpSchedulerConfig scheduler_config = {
    .n_jobs = config->n_jobs,
    .depth = WP_BOARD_SLOTS,
    .cancel_grace = grace,
    .order_tasks = config->order_tasks,
    .stop_grace = get_stop_grace (config),
    .lifespan = config->lifespan,
    .idle_timeout = config->idle_timeout * G_GINT64_CONSTANT (1000000),
    .min_workers = config->min_workers,
  };
  WpEngine *self = g_new0 (WpEngine, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->config = *config;
  self->config.launcher = g_object_ref (config->launcher);
  if (config->settings.cpu_ids != NULL)
    self->config.settings.cpu_ids = g_variant_ref (config->settings.cpu_ids);
  if (config->settings.shared_objects != NULL)
    wp_shared_objects_ref (config->settings.shared_objects);
  self->config.settings.init_function = g_strdup (config->settings.init_function);
  self->config.settings.exit_function = g_strdup (config->settings.exit_function);
  self->exit_results = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  self->observer = observer;
  self->pool = pool;
  g_mutex_init (&self->lock);
  g_cond_init (&self->stopped);
  self->scheduler = wp_scheduler_new (&scheduler_config);
  if (config->settings.timed)
    self->insights = wp_insights_new (config->n_jobs);
  self->links = g_new0 (WpLink *, config->n_jobs);
  for (guint i = 0; i < config->n_jobs; i++)
    self->links[i] = wp_link_new (i);
  self->dropped_items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  self->stop_calls = g_array_new (FALSE, FALSE, sizeof (WpEngineCall));
  self->calls = g_array_new (FALSE, FALSE, sizeof (WpEngineCall));
  g_queue_init (&self->listeners);
  self->waiters = g_array_new (FALSE, FALSE, sizeof (WpEngineWaiter));
  g_queue_init (&self->launches);
  g_queue_init (&self->signals);
  g_queue_init (&self->large_chunks);
  self->wake_time = G_MAXINT64;
  self->epoll = -1;
  self->recall = -1;
  g_cond_init (&self->returned);

  return self;
}

WpEngine *
wp_engine_ref (WpEngine *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
close_epoll (WpEngine *self)
{
  if (self->epoll >= 0)
    close (self->epoll);
  self->epoll = -1;
}

void
wp_engine_unref (WpEngine *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  if (self->source != NULL)
    {
      g_source_destroy (self->source);
      g_source_unref (self->source);
      g_main_context_unref (self->context);
    }
  g_clear_pointer (&self->thread, g_thread_unref);
  close_epoll (self);
  g_queue_clear_full (&self->large_chunks, (GDestroyNotify) wp_large_chunk_free);
  g_queue_clear (&self->launches);
  g_queue_clear (&self->signals);
  g_ptr_array_unref (self->dropped_items);
  g_clear_pointer (&self->stop_calls, g_array_unref);
  g_array_unref (self->calls);
  g_queue_clear (&self->listeners);
  g_array_unref (self->waiters);
  for (guint i = 0; i < self->config.n_jobs; i++)
    wp_link_free (self->links[i]);
  g_free (self->links);
  wp_scheduler_free (self->scheduler);
  g_clear_pointer (&self->insights, wp_insights_free);
  g_clear_error (&self->start_error);
  g_clear_error (&self->exit_error);
  g_ptr_array_unref (self->exit_results);
  g_free (self->config.settings.init_function);
  g_free (self->config.settings.exit_function);
  g_object_unref (self->config.launcher);
  g_clear_pointer (&self->config.settings.cpu_ids, g_variant_unref);
  g_clear_pointer (&self->config.settings.shared_objects, wp_shared_objects_unref);
  if (self->recall >= 0)
    close (self->recall);
  g_cond_clear (&self->returned);
  g_cond_clear (&self->stopped);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
wp_engine_detach (WpEngine *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  self->pool = NULL;
}

gboolean
wp_engine_is_open (WpEngine *self, GError **error)
{
  if (self->state == ENGINE_IDLE || self->state == ENGINE_RUNNING)
    return TRUE;

  if (self->terminated)
    g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                         "the pool was terminated and takes no more tasks; make a new one");
  else
    g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                         "the pool has been joined and takes no more tasks; make a new one, or use "
                         "keep-alive instead of joining between maps");
  return FALSE;
}

gboolean
wp_engine_is_stopped (WpEngine *self)
{
  return self->state == ENGINE_STOPPED;
}

/* FALSE when the system has no thread or descriptor left. */
static gboolean
ensure_thread (WpEngine *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (self->state != ENGINE_IDLE)
    return TRUE;

  if (!wp_glib_thread_ensure (&local_error))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "the pool cannot start: %s", local_error->message);
      return FALSE;
    }

  self->epoll = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll < 0)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "the pool cannot start: %s",
                   g_strerror (errno));
      return FALSE;
    }

  self->context = wp_context_new (&local_error);
  if (self->context == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "the pool cannot start: %s", local_error->message);
      close_epoll (self);
      return FALSE;
    }

  self->source = wp_engine_source_new (self);
  g_source_attach (self->source, self->context);

  wp_live_engines_add (self, !self->config.settings.daemon);
  self->thread = g_thread_try_new (WP_ENGINE_THREAD, wp_engine_run, wp_engine_ref (self), &local_error);
  if (self->thread == NULL)
    {
      wp_live_engines_remove (self);
      g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
      g_clear_pointer (&self->context, g_main_context_unref);
      close_epoll (self);
      g_atomic_ref_count_dec (&self->ref_count);
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "the pool cannot start its thread: %s",
                   local_error->message);
      return FALSE;
    }
  self->state = ENGINE_RUNNING;
  wp_process_note_pool ();

  return TRUE;
}

gboolean
wp_engine_start (WpEngine *self, GError **error)
{
  if (!wp_engine_is_open (self, error) || !ensure_thread (self, error))
    return FALSE;

  wp_scheduler_start (self->scheduler);
  wp_engine_pump (self);

  return TRUE;
}

gboolean
wp_engine_submit (WpEngine *self, WpJob *job, gboolean keep_workers, GError **error)
{
  guint64 n_items = wp_items_get_n (job->items);

  if (!wp_engine_is_open (self, error) || !ensure_thread (self, error))
    return FALSE;

  job->number = ++self->n_jobs_submitted;
  job->plan.keep_workers = keep_workers || self->config.keep_alive;
  /* Applies take turns; each map and each batch begins with the first worker. */
  if (keep_workers && self->config.order_tasks)
    job->plan.first_worker = self->n_applies++ % self->config.n_jobs;
  job->scheduled = wp_scheduler_add_batch (self->scheduler, &job->plan);
  wp_job_ref (job);
  if (n_items > 0)
    wp_engine_push (self, job, n_items);

  return TRUE;
}

void
wp_engine_push (WpEngine *self, WpJob *job, guint64 n)
{
  if (self->insights != NULL)
    wp_items_note_pushed (job->items, n, wp_engine_now ());
  wp_scheduler_push (self->scheduler, job->scheduled, n);
  wp_engine_pump (self);
}

void
wp_engine_close (WpEngine *self, WpJob *job)
{
  if (job->closed)
    return;

  job->closed = TRUE;
  wp_scheduler_close (self->scheduler, job->scheduled);
  wp_engine_pump (self);
}

void
wp_engine_cancel (WpEngine *self, WpJob *job)
{
  if (job->scheduled == NULL)
    return;

  job->closed = TRUE;
  job->cancelled = TRUE;
  wp_scheduler_cancel (self->scheduler, job->scheduled, wp_engine_now ());
  wp_engine_pump (self);
}

guint64
wp_engine_get_window (WpEngine *self, WpJob *job)
{
  guint64 chunk_size;

  if (job->max_active_tasks > 0)
    return job->max_active_tasks;
  if (job->scheduled == NULL)
    return 0;

  /* As mpire's default, twice a chunk for each worker; no less than its 64 tasks for each, so that
   * the first measurements do not decide on a handful. */
  chunk_size = wp_scheduler_get_chunk_size (self->scheduler, job->scheduled);
  /* It never shrinks: room that a caller was told of stays. */
  job->window = MAX (job->window, MAX (chunk_size * 2, 64) * self->config.n_jobs);
  return job->window;
}

static void
stop_unstarted (WpEngine *self)
{
  self->state = ENGINE_STOPPED;
  g_cond_broadcast (&self->stopped);
}

void
wp_engine_drain (WpEngine *self)
{
  if (self->state == ENGINE_IDLE)
    stop_unstarted (self);
  if (self->state != ENGINE_RUNNING)
    return;

  self->state = ENGINE_DRAINING;
  wp_engine_drain_events (self);
  wp_scheduler_drain (self->scheduler);
  wp_engine_pump (self);
}

void
wp_engine_terminate (WpEngine *self)
{
  if (self->state != ENGINE_STOPPED)
    self->terminated = TRUE;
  if (self->state == ENGINE_IDLE)
    stop_unstarted (self);
  if (self->state != ENGINE_RUNNING && self->state != ENGINE_DRAINING)
    return;

  self->state = ENGINE_TERMINATED;
  wp_scheduler_terminate (self->scheduler);
  wp_engine_pump (self);
}

void
wp_engine_get_counts (WpEngine *self, guint *n_workers, guint *n_busy, guint64 *n_queued)
{
  *n_workers = wp_scheduler_get_n_workers (self->scheduler);
  *n_busy = wp_scheduler_get_n_busy (self->scheduler);
  *n_queued = wp_scheduler_get_n_queued (self->scheduler);
}

gboolean
wp_engine_is_current_thread (WpEngine *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  return self->thread != NULL && self->thread == g_thread_self ();
}

gboolean
wp_engine_may_wait (WpEngine *self, const char *what, GError **error)
{
  if (wp_engine_is_current_thread (self))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "a launcher cannot wait for %s of its own pool", what);
      return FALSE;
    }

  if (wp_process_get_thread_pool () == self->config.launcher)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                   "a task cannot wait for %s of the pool that runs it: it may be waiting for itself; make a pool "
                   "for it, or use the asynchronous call",
                   what);
      return FALSE;
    }

  return TRUE;
}

void
wp_engine_call (WpEngine *self, GFunc func, gpointer data)
{
  const WpEngineCall call = { func, data };

  g_array_append_val (self->calls, call);
  wp_engine_wake (self);
}

static void
on_wait_cancelled (GCancellable *cancellable, gpointer user_data)
{
  WpEngine *self = user_data;

  wp_engine_lock (self);
  g_cond_broadcast (&self->stopped);
  wp_engine_unlock (self);
}

gboolean
wp_engine_wait_stopped (WpEngine *self, GCancellable *cancellable, GError **error)
{
  gulong handler = 0;
  gboolean gone;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_wait_cancelled), self, NULL);

  wp_engine_lock (self);
  wp_engine_begin_wait (self, NULL);
  while ((self->state != ENGINE_STOPPED || self->joining) && !g_cancellable_is_cancelled (cancellable))
    g_cond_wait (&self->stopped, &self->lock);

  gone = self->state == ENGINE_STOPPED && !self->joining;
  if (gone && self->thread != NULL)
    {
      self->joining = TRUE;
      wp_engine_unlock (self);
      g_thread_join (self->thread);
      wp_engine_lock (self);
      self->thread = NULL;
      self->joining = FALSE;
      g_cond_broadcast (&self->stopped);
    }
  wp_engine_end_wait (self, NULL);
  wp_engine_unlock (self);

  g_cancellable_disconnect (cancellable, handler);

  return gone || !g_cancellable_set_error_if_cancelled (cancellable, error);
}

void
wp_engine_wait_stopped_until (WpEngine *self, gint64 end_time)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  while (self->state != ENGINE_STOPPED)
    if (!g_cond_wait_until (&self->stopped, &self->lock, end_time))
      return;
}

void
wp_engine_call_stopped (WpEngine *self, GFunc func, gpointer data)
{
  const WpEngineCall call = { func, data };
  gboolean stopped;

  wp_engine_lock (self);
  stopped = self->stop_calls == NULL || self->thread == NULL;
  if (!stopped)
    g_array_append_val (self->stop_calls, call);
  wp_engine_unlock (self);

  if (stopped)
    func (data, NULL);
}
