/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-task-options-private.h"

/* A chunk's results and arguments are held in memory as a whole; more tasks than this in one gain
 * nothing, as the cost of a frame is spread over thousands already. */
#define WP_TASK_OPTIONS_MAX_CHUNK_SIZE 32768

/* A day, where growing delays end, too. */
#define WP_TASK_OPTIONS_MAX_RETRY_DELAY 86400000

/**
 * WpTaskOptions:
 *
 * How the tasks of an apply, a map or a batch are to be run.
 *
 * Options are read when the call is made: changing them later changes nothing for calls that were
 * made before, and the same object may serve any number of calls. One thread at a time may use it.
 *
 * Since: 1.0
 */
struct _WpTaskOptions
{
  GObject parent_instance;

  gboolean ordered;
  guint chunk_size;
  guint n_splits;
  guint max_active_tasks;
  guint max_retries;
  guint retry_delay;
  double retry_backoff;
  WpRetryErrors *retry_errors; /* NULL: none */
  WpEventCallback *event_callback; /* nullable */
  guint task_timeout;
  int priority;
  WpOnError on_error;
};

G_DEFINE_FINAL_TYPE (WpTaskOptions, wp_task_options, G_TYPE_OBJECT)

G_DEFINE_ENUM_TYPE (WpOnError,
                    wp_on_error,
                    G_DEFINE_ENUM_VALUE (WP_ON_ERROR_STOP, "stop"),
                    G_DEFINE_ENUM_VALUE (WP_ON_ERROR_CONTINUE, "continue"))

enum
{
  PROP_ORDERED = 1,
  PROP_CHUNK_SIZE,
  PROP_N_SPLITS,
  PROP_MAX_ACTIVE_TASKS,
  PROP_MAX_RETRIES,
  PROP_RETRY_DELAY,
  PROP_RETRY_BACKOFF,
  PROP_TASK_TIMEOUT,
  PROP_PRIORITY,
  PROP_ON_ERROR,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
wp_task_options_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  WpTaskOptions *self = WP_TASK_OPTIONS (object);

  switch (prop_id)
    {
    case PROP_ORDERED:
      g_value_set_boolean (value, self->ordered);
      break;
    case PROP_CHUNK_SIZE:
      g_value_set_uint (value, self->chunk_size);
      break;
    case PROP_N_SPLITS:
      g_value_set_uint (value, self->n_splits);
      break;
    case PROP_MAX_ACTIVE_TASKS:
      g_value_set_uint (value, self->max_active_tasks);
      break;
    case PROP_MAX_RETRIES:
      g_value_set_uint (value, self->max_retries);
      break;
    case PROP_RETRY_DELAY:
      g_value_set_uint (value, self->retry_delay);
      break;
    case PROP_RETRY_BACKOFF:
      g_value_set_double (value, self->retry_backoff);
      break;
    case PROP_TASK_TIMEOUT:
      g_value_set_uint (value, self->task_timeout);
      break;
    case PROP_PRIORITY:
      g_value_set_int (value, self->priority);
      break;
    case PROP_ON_ERROR:
      g_value_set_enum (value, self->on_error);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_task_options_set_property (GObject      *object,
                              guint         prop_id,
                              const GValue *value,
                              GParamSpec   *pspec)
{
  WpTaskOptions *self = WP_TASK_OPTIONS (object);

  switch (prop_id)
    {
    case PROP_ORDERED:
      wp_task_options_set_ordered (self, g_value_get_boolean (value));
      break;
    case PROP_CHUNK_SIZE:
      wp_task_options_set_chunk_size (self, g_value_get_uint (value));
      break;
    case PROP_N_SPLITS:
      wp_task_options_set_n_splits (self, g_value_get_uint (value));
      break;
    case PROP_MAX_ACTIVE_TASKS:
      wp_task_options_set_max_active_tasks (self, g_value_get_uint (value));
      break;
    case PROP_MAX_RETRIES:
      wp_task_options_set_max_retries (self, g_value_get_uint (value));
      break;
    case PROP_RETRY_DELAY:
      wp_task_options_set_retry_delay (self, g_value_get_uint (value));
      break;
    case PROP_RETRY_BACKOFF:
      wp_task_options_set_retry_backoff (self, g_value_get_double (value));
      break;
    case PROP_TASK_TIMEOUT:
      wp_task_options_set_task_timeout (self, g_value_get_uint (value));
      break;
    case PROP_PRIORITY:
      wp_task_options_set_priority (self, g_value_get_int (value));
      break;
    case PROP_ON_ERROR:
      wp_task_options_set_on_error (self, g_value_get_enum (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_task_options_finalize (GObject *object)
{
  WpTaskOptions *self = WP_TASK_OPTIONS (object);

  g_clear_pointer (&self->retry_errors, wp_retry_errors_unref);
  g_clear_pointer (&self->event_callback, wp_event_callback_unref);

  G_OBJECT_CLASS (wp_task_options_parent_class)->finalize (object);
}

static void
wp_task_options_class_init (WpTaskOptionsClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = wp_task_options_finalize;
  object_class->get_property = wp_task_options_get_property;
  object_class->set_property = wp_task_options_set_property;

  /**
   * WpTaskOptions:ordered:
   *
   * Whether the results of a batch come in the order in which the items were pushed (`TRUE`, the
   * default), or as the tasks end. The result of a map is always in order.
   *
   * Since: 1.0
   */
  properties[PROP_ORDERED] =
      g_param_spec_boolean ("ordered", NULL, NULL, TRUE, flags);
  /**
   * WpTaskOptions:chunk-size:
   *
   * How many consecutive tasks travel together to a worker, at most 32768; 0, the default, chooses by
   * the measured run time of the tasks. Takes precedence over [property@TaskOptions:n-splits].
   *
   * Since: 1.0
   */
  properties[PROP_CHUNK_SIZE] =
      g_param_spec_uint ("chunk-size", NULL, NULL, 0, WP_TASK_OPTIONS_MAX_CHUNK_SIZE, 0, flags);
  /**
   * WpTaskOptions:n-splits:
   *
   * Into how many chunks a map is divided; 0, the default, leaves it to
   * [property@TaskOptions:chunk-size]. More splits than items give chunks of one task. It has no effect on
   * a batch, whose length is not known when it starts.
   *
   * Since: 1.0
   */
  properties[PROP_N_SPLITS] =
      g_param_spec_uint ("n-splits", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * WpTaskOptions:max-active-tasks:
   *
   * How many tasks of a batch may be pushed and not yet taken back as results; 0, the default, is
   * twice what all workers hold in one chunk each, and at least 64 for each worker. A map, whose
   * items are all there already, has no such bound.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_ACTIVE_TASKS] =
      g_param_spec_uint ("max-active-tasks", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * WpTaskOptions:max-retries:
   *
   * How often a task runs again after the worker that ran it died; 0, the default, lets the task fail
   * with `WP_ERROR_WORKER_DIED` at the first death. An error that the function returns is a result,
   * and the task runs again only for those that [method@TaskOptions.add_retry_error] names.
   *
   * Its arguments are kept until its last run has ended, also those of an item whose source has none to
   * give any more, so each run gets the same.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RETRIES] =
      g_param_spec_uint ("max-retries", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * WpTaskOptions:retry-delay:
   *
   * How long a task waits, in milliseconds, before it runs again for the first time, at most a day
   * (86,400,000 ms); 0, the default, for not at all. A waiting task keeps no worker from other tasks; it
   * counts as queued, a join waits for it, and to cancel the call or to terminate the pool ends it at once.
   *
   * Since: 1.0
   */
  properties[PROP_RETRY_DELAY] =
      g_param_spec_uint ("retry-delay", NULL, NULL, 0, WP_TASK_OPTIONS_MAX_RETRY_DELAY, 0, flags);
  /**
   * WpTaskOptions:retry-backoff:
   *
   * By which factor each retry of a task waits longer than the one before, at least 1, which is the
   * default, and finite: the n-th retry waits for [property@TaskOptions:retry-delay] times the factor to
   * the power of n - 1, but never for more than a day.
   *
   * Since: 1.0
   */
  properties[PROP_RETRY_BACKOFF] =
      g_param_spec_double ("retry-backoff", NULL, NULL, 1.0, G_MAXDOUBLE, 1.0, flags);
  /**
   * WpTaskOptions:task-timeout:
   *
   * How long each task may run, in milliseconds, from the moment when its function is called; 0, the
   * default, for any time. A task that runs longer fails alone, with `G_IO_ERROR_TIMED_OUT`, its worker is
   * killed and replaced, and [property@TaskOptions:on-error] decides about the others. It runs again when
   * [property@TaskOptions:max-retries] allows it, as after the death of its worker.
   *
   * A worker that is a thread cannot be killed: its task sees [method@TaskContext.is_cancelled], and fails
   * when its function returns.
   *
   * Since: 1.0
   */
  properties[PROP_TASK_TIMEOUT] =
      g_param_spec_uint ("task-timeout", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * WpTaskOptions:priority:
   *
   * The place of the tasks in the pool's queue, as for main loop sources: lower numbers go first.
   * Tasks of the same priority share the workers fairly. A task that runs is not interrupted, and none
   * waits for ever: when 16 chunks in a row have overtaken tasks of a priority that goes later, one of
   * those is next. The default is `G_PRIORITY_DEFAULT`.
   *
   * Since: 1.0
   */
  properties[PROP_PRIORITY] =
      g_param_spec_int ("priority", NULL, NULL, G_MININT + 1, G_MAXINT, G_PRIORITY_DEFAULT, flags);
  /**
   * WpTaskOptions:on-error:
   *
   * What a failed task means for the others of its map or batch; `WP_ON_ERROR_STOP` by default.
   *
   * Since: 1.0
   */
  properties[PROP_ON_ERROR] =
      g_param_spec_enum ("on-error", NULL, NULL, WP_TYPE_ON_ERROR, WP_ON_ERROR_STOP, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
wp_task_options_init (WpTaskOptions *self)
{
  self->ordered = TRUE;
  self->retry_backoff = 1.0;
}

/**
 * wp_task_options_new:
 *
 * Creates options with every default.
 *
 * Returns: (transfer full): new options
 *
 * Since: 1.0
 */
WpTaskOptions *
wp_task_options_new (void)
{
  return g_object_new (WP_TYPE_TASK_OPTIONS, NULL);
}

/**
 * wp_task_options_get_ordered: (attributes org.gtk.Method.get_property=ordered)
 * @self: options
 *
 * Gets [property@TaskOptions:ordered].
 *
 * Returns: whether results come in order
 *
 * Since: 1.0
 */
gboolean
wp_task_options_get_ordered (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), TRUE);

  return self->ordered;
}

/**
 * wp_task_options_set_ordered: (attributes org.gtk.Method.set_property=ordered)
 * @self: options
 * @ordered: whether results come in order
 *
 * Sets [property@TaskOptions:ordered].
 *
 * Since: 1.0
 */
void
wp_task_options_set_ordered (WpTaskOptions *self, gboolean ordered)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  ordered = !!ordered;

  if (self->ordered == ordered)
    return;

  self->ordered = ordered;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ORDERED]);
}

/**
 * wp_task_options_get_chunk_size: (attributes org.gtk.Method.get_property=chunk-size)
 * @self: options
 *
 * Gets [property@TaskOptions:chunk-size].
 *
 * Returns: the number of tasks in a chunk, or 0 for automatic
 *
 * Since: 1.0
 */
guint
wp_task_options_get_chunk_size (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 0);

  return self->chunk_size;
}

/**
 * wp_task_options_set_chunk_size: (attributes org.gtk.Method.set_property=chunk-size)
 * @self: options
 * @chunk_size: the number of tasks in a chunk, at most 32768, or 0 for automatic
 *
 * Sets [property@TaskOptions:chunk-size].
 *
 * Since: 1.0
 */
void
wp_task_options_set_chunk_size (WpTaskOptions *self, guint chunk_size)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (chunk_size <= WP_TASK_OPTIONS_MAX_CHUNK_SIZE);

  if (self->chunk_size == chunk_size)
    return;

  self->chunk_size = chunk_size;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CHUNK_SIZE]);
}

/**
 * wp_task_options_get_n_splits: (attributes org.gtk.Method.get_property=n-splits)
 * @self: options
 *
 * Gets [property@TaskOptions:n-splits].
 *
 * Returns: the number of chunks, or 0 for automatic
 *
 * Since: 1.0
 */
guint
wp_task_options_get_n_splits (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 0);

  return self->n_splits;
}

/**
 * wp_task_options_set_n_splits: (attributes org.gtk.Method.set_property=n-splits)
 * @self: options
 * @n_splits: the number of chunks, or 0 for automatic
 *
 * Sets [property@TaskOptions:n-splits].
 *
 * Since: 1.0
 */
void
wp_task_options_set_n_splits (WpTaskOptions *self, guint n_splits)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  if (self->n_splits == n_splits)
    return;

  self->n_splits = n_splits;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_SPLITS]);
}

/**
 * wp_task_options_get_max_active_tasks: (attributes org.gtk.Method.get_property=max-active-tasks)
 * @self: options
 *
 * Gets [property@TaskOptions:max-active-tasks].
 *
 * Returns: the bound, or 0 for the default
 *
 * Since: 1.0
 */
guint
wp_task_options_get_max_active_tasks (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 0);

  return self->max_active_tasks;
}

/**
 * wp_task_options_set_max_active_tasks: (attributes org.gtk.Method.set_property=max-active-tasks)
 * @self: options
 * @max_active_tasks: the bound, or 0 for the default
 *
 * Sets [property@TaskOptions:max-active-tasks].
 *
 * Since: 1.0
 */
void
wp_task_options_set_max_active_tasks (WpTaskOptions *self, guint max_active_tasks)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  if (self->max_active_tasks == max_active_tasks)
    return;

  self->max_active_tasks = max_active_tasks;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MAX_ACTIVE_TASKS]);
}

/**
 * wp_task_options_get_max_retries: (attributes org.gtk.Method.get_property=max-retries)
 * @self: options
 *
 * Gets [property@TaskOptions:max-retries].
 *
 * Returns: the number of retries
 *
 * Since: 1.0
 */
guint
wp_task_options_get_max_retries (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 0);

  return self->max_retries;
}

/**
 * wp_task_options_set_max_retries: (attributes org.gtk.Method.set_property=max-retries)
 * @self: options
 * @max_retries: the number of retries
 *
 * Sets [property@TaskOptions:max-retries].
 *
 * Since: 1.0
 */
void
wp_task_options_set_max_retries (WpTaskOptions *self, guint max_retries)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  if (self->max_retries == max_retries)
    return;

  self->max_retries = max_retries;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MAX_RETRIES]);
}

/**
 * wp_task_options_get_retry_delay: (attributes org.gtk.Method.get_property=retry-delay)
 * @self: options
 *
 * Gets [property@TaskOptions:retry-delay].
 *
 * Returns: the delay in milliseconds
 *
 * Since: 1.0
 */
guint
wp_task_options_get_retry_delay (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 0);

  return self->retry_delay;
}

/**
 * wp_task_options_set_retry_delay: (attributes org.gtk.Method.set_property=retry-delay)
 * @self: options
 * @retry_delay: the delay in milliseconds, at most 86,400,000
 *
 * Sets [property@TaskOptions:retry-delay].
 *
 * Since: 1.0
 */
void
wp_task_options_set_retry_delay (WpTaskOptions *self, guint retry_delay)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (retry_delay <= WP_TASK_OPTIONS_MAX_RETRY_DELAY);

  if (self->retry_delay == retry_delay)
    return;

  self->retry_delay = retry_delay;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RETRY_DELAY]);
}

/**
 * wp_task_options_get_retry_backoff: (attributes org.gtk.Method.get_property=retry-backoff)
 * @self: options
 *
 * Gets [property@TaskOptions:retry-backoff].
 *
 * Returns: the factor
 *
 * Since: 1.0
 */
double
wp_task_options_get_retry_backoff (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 1.0);

  return self->retry_backoff;
}

/**
 * wp_task_options_set_retry_backoff: (attributes org.gtk.Method.set_property=retry-backoff)
 * @self: options
 * @retry_backoff: the factor, at least 1 and finite
 *
 * Sets [property@TaskOptions:retry-backoff].
 *
 * Since: 1.0
 */
void
wp_task_options_set_retry_backoff (WpTaskOptions *self, double retry_backoff)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (retry_backoff >= 1.0 && retry_backoff <= G_MAXDOUBLE);

  if (self->retry_backoff == retry_backoff)
    return;

  self->retry_backoff = retry_backoff;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RETRY_BACKOFF]);
}

/**
 * wp_task_options_add_retry_error:
 * @self: options
 * @domain: an error domain
 * @code: a code of it, or [const@WorkerPool.RETRY_ANY_CODE] for all of them
 *
 * Lets a task whose function returns such an error run again, as often as
 * [property@TaskOptions:max-retries] allows. The error of its last run is then its result; those before
 * are not reported. That its worker died or that it ran for too long always counts.
 *
 * What has been added stays until [method@TaskOptions.clear_retry_errors] is called.
 *
 * Since: 1.0
 */
void
wp_task_options_add_retry_error (WpTaskOptions *self, GQuark domain, int code)
{
  WpRetryErrors *others;

  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (domain != 0);

  others = self->retry_errors;
  self->retry_errors = wp_retry_errors_new (others, domain, code);
  g_clear_pointer (&others, wp_retry_errors_unref);
}

/**
 * wp_task_options_add_retry_error_by_name:
 * @self: options
 * @domain: the name of an error domain, for instance `"g-io-error-quark"`
 * @code: a code of it, or [const@WorkerPool.RETRY_ANY_CODE] for all of them
 *
 * Like [method@TaskOptions.add_retry_error], for a domain that the process need not know: only the
 * workers have to.
 *
 * Since: 1.0
 */
void
wp_task_options_add_retry_error_by_name (WpTaskOptions *self, const char *domain, int code)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (domain != NULL && domain[0] != '\0');

  wp_task_options_add_retry_error (self, g_quark_from_string (domain), code);
}

/**
 * wp_task_options_clear_retry_errors:
 * @self: options
 *
 * Takes back every [method@TaskOptions.add_retry_error].
 *
 * Since: 1.0
 */
void
wp_task_options_clear_retry_errors (WpTaskOptions *self)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  g_clear_pointer (&self->retry_errors, wp_retry_errors_unref);
}

/**
 * wp_task_options_is_retry_error:
 * @self: options
 * @error: an error
 *
 * Tells whether a task that fails with this error may run again.
 *
 * Returns: whether [method@TaskOptions.add_retry_error] was called for it
 *
 * Since: 1.0
 */
gboolean
wp_task_options_is_retry_error (WpTaskOptions *self, const GError *error)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), FALSE);
  g_return_val_if_fail (error != NULL, FALSE);

  return self->retry_errors != NULL && wp_retry_errors_contain (self->retry_errors, error);
}

WpRetryErrors *
wp_task_options_ref_retry_errors (WpTaskOptions *self)
{
  return self->retry_errors != NULL ? wp_retry_errors_ref (self->retry_errors) : NULL;
}

/**
 * wp_task_options_get_task_timeout: (attributes org.gtk.Method.get_property=task-timeout)
 * @self: options
 *
 * Gets [property@TaskOptions:task-timeout].
 *
 * Returns: the time in milliseconds, or 0 for any time
 *
 * Since: 1.0
 */
guint
wp_task_options_get_task_timeout (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), 0);

  return self->task_timeout;
}

/**
 * wp_task_options_set_task_timeout: (attributes org.gtk.Method.set_property=task-timeout)
 * @self: options
 * @task_timeout: the time in milliseconds, or 0 for any time
 *
 * Sets [property@TaskOptions:task-timeout].
 *
 * Since: 1.0
 */
void
wp_task_options_set_task_timeout (WpTaskOptions *self, guint task_timeout)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  if (self->task_timeout == task_timeout)
    return;

  self->task_timeout = task_timeout;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TASK_TIMEOUT]);
}

/**
 * wp_task_options_get_priority: (attributes org.gtk.Method.get_property=priority)
 * @self: options
 *
 * Gets [property@TaskOptions:priority].
 *
 * Returns: the priority
 *
 * Since: 1.0
 */
int
wp_task_options_get_priority (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), G_PRIORITY_DEFAULT);

  return self->priority;
}

/**
 * wp_task_options_set_priority: (attributes org.gtk.Method.set_property=priority)
 * @self: options
 * @priority: the priority, above `G_MININT`; lower numbers go first
 *
 * Sets [property@TaskOptions:priority].
 *
 * Since: 1.0
 */
void
wp_task_options_set_priority (WpTaskOptions *self, int priority)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (priority > G_MININT);

  if (self->priority == priority)
    return;

  self->priority = priority;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PRIORITY]);
}

/**
 * wp_task_options_get_on_error: (attributes org.gtk.Method.get_property=on-error)
 * @self: options
 *
 * Gets [property@TaskOptions:on-error].
 *
 * Returns: what a failed task means for the others
 *
 * Since: 1.0
 */
WpOnError
wp_task_options_get_on_error (WpTaskOptions *self)
{
  g_return_val_if_fail (WP_IS_TASK_OPTIONS (self), WP_ON_ERROR_STOP);

  return self->on_error;
}

/**
 * wp_task_options_set_on_error: (attributes org.gtk.Method.set_property=on-error)
 * @self: options
 * @on_error: what a failed task means for the others
 *
 * Sets [property@TaskOptions:on-error].
 *
 * Since: 1.0
 */
void
wp_task_options_set_on_error (WpTaskOptions *self, WpOnError on_error)
{
  g_return_if_fail (WP_IS_TASK_OPTIONS (self));
  g_return_if_fail (on_error == WP_ON_ERROR_STOP || on_error == WP_ON_ERROR_CONTINUE);

  if (self->on_error == on_error)
    return;

  self->on_error = on_error;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ON_ERROR]);
}

/**
 * wp_task_options_set_event_callback:
 * @self: options
 * @callback: (nullable) (scope notified) (closure user_data) (destroy destroy): called with each event, or `NULL` for
 *   none
 * @user_data: data for @callback
 * @destroy: (nullable): frees @user_data when neither the options nor a call made with them needs it any more
 *
 * Sets what is called when a running task has emitted an event, by [method@TaskContext.emit].
 *
 * It is called in the thread-default main context of the thread that made the asynchronous call or the batch, before
 * the result of the task comes there. A synchronous call, which iterates no main context, calls it in its own thread.
 * It may make calls of the pool. A batch emits [signal@Batch::event] as well.
 *
 * The events of one task come in order; those of different tasks come as they come. A callback that is slow makes the
 * tasks wait, once they are a window of events ahead.
 *
 * Since: 1.0
 */
void
wp_task_options_set_event_callback (WpTaskOptions *self,
                                    WpEventFunc    callback,
                                    gpointer       user_data,
                                    GDestroyNotify destroy)
{
  WpEventCallback *before;

  g_return_if_fail (WP_IS_TASK_OPTIONS (self));

  before = self->event_callback;
  self->event_callback = callback != NULL ? wp_event_callback_new (callback, user_data, destroy) : NULL;
  if (callback == NULL && destroy != NULL)
    destroy (user_data);
  g_clear_pointer (&before, wp_event_callback_unref);
}

WpEventCallback *
wp_task_options_ref_event_callback (WpTaskOptions *self)
{
  return self->event_callback != NULL ? wp_event_callback_ref (self->event_callback) : NULL;
}
