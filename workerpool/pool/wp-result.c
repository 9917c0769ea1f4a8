/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-result-private.h"

/**
 * WpResult:
 *
 * How one task of a batch ended: with a value or with an error.
 *
 * A result is immutable, so that it can be shown in a list view and read from any thread.
 *
 * Since: 1.0
 */
struct _WpResult
{
  GObject parent_instance;

  guint64 index;
  GVariant *value;
  GError *error;
  WpTaskRun run;
};

G_DEFINE_FINAL_TYPE (WpResult, wp_result, G_TYPE_OBJECT)

enum
{
  PROP_INDEX = 1,
  PROP_VALUE,
  PROP_ERROR,
  PROP_WORKER_ID,
  PROP_START_TIME,
  PROP_RUN_TIME,
  PROP_N_RETRIES,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
wp_result_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  WpResult *self = WP_RESULT (object);

  switch (prop_id)
    {
    case PROP_INDEX:
      g_value_set_uint64 (value, self->index);
      break;
    case PROP_VALUE:
      g_value_set_variant (value, self->value);
      break;
    case PROP_ERROR:
      g_value_set_boxed (value, self->error);
      break;
    case PROP_WORKER_ID:
      g_value_set_uint (value, wp_result_get_worker_id (self));
      break;
    case PROP_START_TIME:
      g_value_set_int64 (value, wp_result_get_start_time (self));
      break;
    case PROP_RUN_TIME:
      g_value_set_int64 (value, wp_result_get_run_time (self));
      break;
    case PROP_N_RETRIES:
      g_value_set_uint (value, wp_result_get_n_retries (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_result_finalize (GObject *object)
{
  WpResult *self = WP_RESULT (object);

  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  g_clear_pointer (&self->run.notes, g_bytes_unref);

  G_OBJECT_CLASS (wp_result_parent_class)->finalize (object);
}

static void
wp_result_class_init (WpResultClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = wp_result_get_property;
  object_class->finalize = wp_result_finalize;

  /**
   * WpResult:index:
   *
   * The task's index in its batch, in the order in which the items were pushed, from 0.
   *
   * Since: 1.0
   */
  properties[PROP_INDEX] =
      g_param_spec_uint64 ("index", NULL, NULL, 0, G_MAXUINT64, 0,
                           G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:value:
   *
   * The value that the function returned; `NULL` when the task failed.
   *
   * Since: 1.0
   */
  properties[PROP_VALUE] =
      g_param_spec_variant ("value", NULL, NULL, G_VARIANT_TYPE_ANY, NULL,
                            G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:error:
   *
   * The error of a task that failed; `NULL` when it succeeded.
   *
   * Since: 1.0
   */
  properties[PROP_ERROR] =
      g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  /**
   * WpResult:worker-id:
   *
   * The number of the worker that ran the task last; `G_MAXUINT` when none did, or none is known to have.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_ID] =
      g_param_spec_uint ("worker-id", NULL, NULL, 0, G_MAXUINT, G_MAXUINT, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:start-time:
   *
   * When the task began to run, the last time that it did, in microseconds of g_get_monotonic_time(); 0 when it is not
   * known.
   *
   * Since: 1.0
   */
  properties[PROP_START_TIME] =
      g_param_spec_int64 ("start-time", NULL, NULL, 0, G_MAXINT64, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:run-time:
   *
   * How long the task ran, the last time that it did, in microseconds.
   *
   * Since: 1.0
   */
  properties[PROP_RUN_TIME] =
      g_param_spec_int64 ("run-time", NULL, NULL, 0, G_MAXINT64, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:n-retries:
   *
   * How often the task was run again, as [property@TaskOptions:max-retries] allows.
   *
   * Since: 1.0
   */
  properties[PROP_N_RETRIES] =
      g_param_spec_uint ("n-retries", NULL, NULL, 0, G_MAXUINT, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
wp_result_init (WpResult *self)
{
}

WpResult *
wp_result_new (guint64 index, GVariant *value, GError *error, const WpTaskRun *run)
{
  WpResult *self;

  g_assert ((value == NULL) != (error == NULL));

  self = g_object_new (WP_TYPE_RESULT, NULL);
  self->index = index;
  self->value = value;
  self->error = error;
  self->run = *run;

  return self;
}

/**
 * wp_result_get_index: (attributes org.gtk.Method.get_property=index)
 * @self: a result
 *
 * Gets the task's index in its batch: items are counted from 0 in the order in which they were
 * pushed.
 *
 * Returns: the index
 *
 * Since: 1.0
 */
guint64
wp_result_get_index (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), 0);

  return self->index;
}

/**
 * wp_result_get_value: (attributes org.gtk.Method.get_property=value)
 * @self: a result
 *
 * Gets the value that the function returned.
 *
 * Returns: (transfer none) (nullable): the value, or `NULL` when the task failed
 *
 * Since: 1.0
 */
GVariant *
wp_result_get_value (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), NULL);

  return self->value;
}

/**
 * wp_result_get_error: (attributes org.gtk.Method.get_property=error)
 * @self: a result
 *
 * Gets the error of a task that failed: the function's own, with its domain and code; or one in
 * `WP_ERROR` when the worker died, or `G_IO_ERROR_CANCELLED`.
 *
 * Returns: (transfer none) (nullable): the error, or `NULL` when the task succeeded
 *
 * Since: 1.0
 */
const GError *
wp_result_get_error (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), NULL);

  return self->error;
}

/**
 * wp_result_get_worker_id: (attributes org.gtk.Method.get_property=worker-id)
 * @self: a result
 *
 * Gets the number of the worker that ran the task last.
 *
 * It is known with and without [property@WorkerPool:enable-insights]. Of a task that was running when its pool was
 * terminated it is not.
 *
 * Returns: the number, from 0; or `G_MAXUINT` when no worker ran the task, or none is known to have
 *
 * Since: 1.0
 */
guint
wp_result_get_worker_id (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), G_MAXUINT);

  return self->run.worker;
}

/**
 * wp_result_get_start_time: (attributes org.gtk.Method.get_property=start-time)
 * @self: a result
 *
 * Gets when the task began to run, the last time that it did. It is measured on the worker.
 *
 * Returns: the time in microseconds, as of g_get_monotonic_time(); 0 without
 *   [property@WorkerPool:enable-insights], when the task never started, and when it is not known when it did
 *
 * Since: 1.0
 */
gint64
wp_result_get_start_time (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), 0);

  return self->run.started / 1000;
}

/**
 * wp_result_get_run_time: (attributes org.gtk.Method.get_property=run-time)
 * @self: a result
 *
 * Gets how long the task ran, the last time that it did: on the worker, from the call of the function until it
 * returned; or, of a worker that died, until the pool noticed.
 *
 * Returns: the time in microseconds, rounded down; 0 where [method@Result.get_start_time] is
 *
 * Since: 1.0
 */
gint64
wp_result_get_run_time (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), 0);

  return self->run.elapsed / 1000;
}

/**
 * wp_result_get_n_retries: (attributes org.gtk.Method.get_property=n-retries)
 * @self: a result
 *
 * Gets how often the task was run again, as [property@TaskOptions:max-retries] allows. It is known with and without
 * [property@WorkerPool:enable-insights].
 *
 * Returns: the number; 0 for a task that ran once or never
 *
 * Since: 1.0
 */
guint
wp_result_get_n_retries (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), 0);

  return self->run.n_retries;
}

/**
 * wp_result_get_notes:
 * @self: a result
 *
 * Gets the notes that the task had left in its worker when that died, or was ended because the task took too long; see
 * [method@TaskContext.get_notes]. They end with the last byte that is not zero.
 *
 * Returns: (transfer none) (nullable): a copy of the notes; `NULL` when the task did not end with its worker, and when
 *   there are none
 *
 * Since: 1.0
 */
GBytes *
wp_result_get_notes (WpResult *self)
{
  g_return_val_if_fail (WP_IS_RESULT (self), NULL);

  return self->run.notes;
}
