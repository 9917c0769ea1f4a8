/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

/* Numbers of what wp_worker_pool_get_insights () returns. */

static inline double
look_up (GVariant *insights, const char *key)
{
  double value;

  if (!g_variant_lookup (insights, key, "d", &value))
    g_error ("There is no “%s”", key);

  return value;
}

static inline double
look_up_worker (GVariant *insights, const char *key, guint worker)
{
  g_autoptr (GVariant) array = g_variant_lookup_value (insights, key, G_VARIANT_TYPE ("ad"));
  double value;

  g_assert_nonnull (array);
  g_variant_get_child (array, worker, "d", &value);

  return value;
}
