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
};

G_DEFINE_FINAL_TYPE (WpResult, wp_result, G_TYPE_OBJECT)

enum
{
  PROP_INDEX = 1,
  PROP_VALUE,
  PROP_ERROR,
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

  G_OBJECT_CLASS (wp_result_parent_class)->finalize (object);
}

static void
wp_result_class_init (WpResultClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = wp_result_get_property;
  object_class->finalize = wp_result_finalize;

  /**
   * WpResult:index: (attributes org.gtk.Property.get=wp_result_get_index)
   *
   * The task's index in its batch, in the order in which the items were pushed, from 0.
   *
   * Since: 1.0
   */
  properties[PROP_INDEX] =
      g_param_spec_uint64 ("index", NULL, NULL, 0, G_MAXUINT64, 0,
                           G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:value: (attributes org.gtk.Property.get=wp_result_get_value)
   *
   * The value that the function returned; `NULL` when the task failed.
   *
   * Since: 1.0
   */
  properties[PROP_VALUE] =
      g_param_spec_variant ("value", NULL, NULL, G_VARIANT_TYPE_ANY, NULL,
                            G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * WpResult:error: (attributes org.gtk.Property.get=wp_result_get_error)
   *
   * The error of a task that failed; `NULL` when it succeeded.
   *
   * Since: 1.0
   */
  properties[PROP_ERROR] =
      g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR,
                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
wp_result_init (WpResult *self)
{
}

WpResult *
wp_result_new (guint64 index, GVariant *value, GError *error)
{
  WpResult *self;

  g_assert ((value == NULL) != (error == NULL));

  self = g_object_new (WP_TYPE_RESULT, NULL);
  self->index = index;
  self->value = value;
  self->error = error;

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
