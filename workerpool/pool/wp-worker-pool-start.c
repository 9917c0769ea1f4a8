/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a pool comes by its engine: what it refuses to start with, and what starts its workers. */

#include "pool/wp-worker-pool-private.h"

#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "launch/wp-fork-launcher.h"
#include "launch/wp-forkserver-launcher.h"
#include "launch/wp-host.h"
#include "launch/wp-spawn-launcher.h"
#include "launch/wp-thread-launcher.h"
#include "pool/wp-arguments.h"
#include "pool/wp-cpu-ids.h"

/* They need not be sent what they share with this process. */
static gboolean
has_threads (WpWorkerPool *self)
{
  return self->launcher == NULL && self->start_method == WP_START_METHOD_THREADING;
}

static WpLauncher *
make_launcher (WpWorkerPool *self, GError **error)
{
  g_autoptr (GVariant) shared_objects = NULL;
  g_auto (GStrv) argv = NULL;

  if (self->launcher != NULL)
    return g_object_ref (self->launcher);

  if (self->host != NULL &&
      (self->start_method == WP_START_METHOD_FORK || self->start_method == WP_START_METHOD_THREADING))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "the start method “%s” runs this program's own functions and cannot start the host “%s”; use "
                   "“spawn” or “forkserver”, or set no host",
                   self->start_method == WP_START_METHOD_FORK ? "fork" : "threading", self->host[0]);
      return NULL;
    }

  if (self->shared_objects != NULL)
    shared_objects = wp_shared_objects_dup_value (self->shared_objects);

  if (self->start_method == WP_START_METHOD_FORK)
    return wp_fork_launcher_new ();
  if (has_threads (self))
    return wp_thread_launcher_new (shared_objects);

  argv = self->host != NULL ? g_strdupv (self->host) : wp_host_get_default_argv (error);
  if (argv == NULL)
    return NULL;

  if (self->start_method == WP_START_METHOD_FORKSERVER)
    return wp_forkserver_launcher_new ((const char *const *) argv, (const char *const *) self->preload,
                                       self->preload_function);

  return wp_spawn_launcher_new ((const char *const *) argv, WP_TRANSPORT_SOCKET);
}

static gboolean
check_process (WpWorkerPool *self, GError **error)
{
  if (self->end != WP_POOL_INHERITED)
    return TRUE;

  g_set_error_literal (error, WP_ERROR, WP_ERROR_CLOSED,
                       "the pool belongs to the process that this one was forked from, and cannot be used here; "
                       "make a new one");
  return FALSE;
}

gboolean
wp_worker_pool_check_process (WpWorkerPool *self, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);

  return check_process (self, error);
}

/* What no host can know is not worth five starts of a worker. */
static gboolean
check_hook (const char *property, const char *function, GError **error)
{
  if (function == NULL || wp_arguments_check_function (function, error))
    return TRUE;

  g_prefix_error (error, "%s: ", property);
  return FALSE;
}

/* Under the pool's lock. */
static WpEngine *
make_engine (WpWorkerPool *self, GError **error)
{
  g_autoptr (WpLauncher) launcher = NULL;
  g_autoptr (GVariant) cpu_ids = NULL;
  WpEngineConfig config = { 0 };

  if (!check_process (self, error))
    return NULL;

  if (self->end != WP_POOL_OPEN)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_CLOSED,
                   "the pool was %s and takes no more tasks; make a new one",
                   self->end == WP_POOL_JOINED ? "joined" : "terminated");
      return NULL;
    }

  if (wp_process_is_daemonic ())
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_NESTED,
                           "daemonic workers are not allowed to have children pools; set "
                           "daemon=FALSE on the outer pool");
      return NULL;
    }

  if (wp_process_ignored_request ())
    {
      g_set_error (error, WP_ERROR, WP_ERROR_NESTED,
                   "this process, %s, was started as a worker but does not act as one: its main() must "
                   "call wp_worker_main() when wp_worker_is_requested()",
                   g_get_prgname () != NULL ? g_get_prgname () : "a host");
      return NULL;
    }

  if (self->cpu_ids != NULL)
    {
      cpu_ids = wp_cpu_ids_normalize (self->cpu_ids, self->n_jobs, (guint) sysconf (_SC_NPROCESSORS_CONF), error);
      if (cpu_ids == NULL)
        return NULL;
    }

  if (has_threads (self) && (self->soft_memory_limit > 0 || self->hard_memory_limit > 0))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "the start method “threading” has no %s-memory-limit: its workers have the memory of this process; "
                   "use “spawn”, “fork” or “forkserver”, or set no limit",
                   self->soft_memory_limit > 0 ? "soft" : "hard");
      return NULL;
    }

  if (self->shared_objects != NULL && wp_shared_objects_get_flaw (self->shared_objects) != NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "shared-objects cannot be shared: the value %s",
                   wp_shared_objects_get_flaw (self->shared_objects));
      return NULL;
    }

  if (!check_hook ("worker-init", self->worker_init, error) || !check_hook ("worker-exit", self->worker_exit, error))
    return NULL;

  launcher = make_launcher (self, error);
  if (launcher == NULL)
    return NULL;

  config.n_jobs = self->n_jobs;
  config.settings.daemon = self->daemon;
  config.settings.depth = wp_process_get_depth ();
  config.settings.nice = self->nice;
  config.settings.io_priority = wp_io_priority_to_kernel (self->io_priority);
  config.settings.oom_score_adj = self->oom_score_adj;
  config.settings.cpu_ids = cpu_ids;
  config.settings.timed = self->enable_insights;
  config.settings.soft_memory_limit = self->soft_memory_limit;
  config.settings.hard_memory_limit = self->hard_memory_limit;
  config.settings.shared_objects = has_threads (self) ? NULL : self->shared_objects;
  config.settings.init_function = self->worker_init;
  config.settings.exit_function = self->worker_exit;
  config.keep_alive = self->keep_alive;
  config.order_tasks = self->order_tasks;
  config.start_timeout = self->start_timeout;
  config.grace_period = self->grace_period;
  config.init_timeout = self->worker_init_timeout;
  config.exit_timeout = self->worker_exit_timeout;
  config.lifespan = self->worker_lifespan;
  config.idle_timeout = self->idle_timeout;
  config.min_workers = self->min_workers;
  config.launcher = launcher;

  return wp_engine_new (&config, &wp_pool_signals_observer, self->signals);
}

WpEngine *
wp_worker_pool_ensure_engine (WpWorkerPool *self, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);

  if (self->engine == NULL)
    self->engine = make_engine (self, error);
  if (self->engine != NULL)
    g_clear_pointer (&self->ended, wp_engine_unref);

  return self->engine != NULL ? wp_engine_ref (self->engine) : NULL;
}

WpEngine *
wp_worker_pool_get_engine (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);

  return self->engine != NULL ? wp_engine_ref (self->engine) : NULL;
}

WpEngine *
wp_worker_pool_get_engine_to_tell (WpWorkerPool *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);
  WpEngine *engine = self->engine != NULL ? self->engine : self->ended;

  return engine != NULL ? wp_engine_ref (engine) : NULL;
}

WpEngine *
wp_worker_pool_get_engine_to_end (WpWorkerPool *self, WpPoolEnd end)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = wp_worker_pool_lock (self);

  if (self->engine != NULL)
    return wp_engine_ref (self->engine);

  if (self->end == WP_POOL_OPEN)
    self->end = end;

  return NULL;
}
