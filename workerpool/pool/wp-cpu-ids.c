/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-cpu-ids.h"

static gboolean
set_invalid (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
set_invalid (GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list arguments;

  va_start (arguments, format);
  what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "cpu-ids %s", what);

  return FALSE;
}

static gboolean
get_number (GVariant *value, gint64 *number)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT32))
    *number = g_variant_get_int32 (value);
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32))
    *number = g_variant_get_uint32 (value);
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    *number = g_variant_get_int64 (value);
  else
    return FALSE;

  return TRUE;
}

static gboolean
add_number (GArray *set, GVariant *value, guint n_cpus, GError **error)
{
  gint64 number;
  guint32 cpu;

  if (!get_number (value, &number))
    return set_invalid (error, "has a “%s” where the number of a CPU should be", g_variant_get_type_string (value));
  if (number < 0 || number >= n_cpus)
    return set_invalid (error, "names the CPU %" G_GINT64_FORMAT ", but this machine has 0 to %u", number, n_cpus - 1);

  cpu = (guint32) number;
  for (guint i = 0; i < set->len; i++)
    if (g_array_index (set, guint32, i) == cpu)
      return set_invalid (error, "names the CPU %u twice for one worker", cpu);

  g_array_append_val (set, cpu);
  return TRUE;
}

/* value: a number, or an array of them. */
static GVariant *
make_set (GVariant *value, guint n_cpus, GError **error)
{
  g_autoptr (GArray) set = g_array_new (FALSE, FALSE, sizeof (guint32));
  const gboolean is_array = g_variant_is_of_type (value, G_VARIANT_TYPE_ARRAY);
  const gsize n = is_array ? g_variant_n_children (value) : 1;

  if (n == 0 && !set_invalid (error, "leaves a worker without a CPU"))
    return NULL;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = is_array ? g_variant_get_child_value (value, i) : g_variant_ref (value);

      if (!add_number (set, child, n_cpus, error))
        return NULL;
    }

  return g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, set->data, set->len, sizeof (guint32));
}

GVariant *
wp_cpu_ids_normalize (GVariant *cpu_ids, guint n_jobs, guint n_cpus, GError **error)
{
  g_auto (GVariantBuilder) sets = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aau"));
  gsize n;

  if (!g_variant_is_of_type (cpu_ids, G_VARIANT_TYPE_ARRAY))
    {
      set_invalid (error, "is a “%s”, but has to be an array of numbers, or of arrays of numbers",
                   g_variant_get_type_string (cpu_ids));
      return NULL;
    }

  n = g_variant_n_children (cpu_ids);
  if (n != 1 && n != n_jobs)
    {
      set_invalid (error, "is for %" G_GSIZE_FORMAT " workers, but the pool has %u: give one for all of them, or one "
                   "for each", n, n_jobs);
      return NULL;
    }

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (cpu_ids, i);
      GVariant *set = make_set (child, n_cpus, error);

      if (set == NULL)
        return NULL;
      g_variant_builder_add_value (&sets, set);
    }

  return g_variant_ref_sink (g_variant_builder_end (&sets));
}
