/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-insights.h"

/* The columns between the number of tasks and the total. */
static const struct
{
  const char *title;
  const char *name;
} columns[] = {
  { "start-up", "start_up" },
  { "init", "init" },
  { "waiting", "waiting" },
  { "working", "working" },
  { "exit", "exit" },
};

static double
get_double (GVariant *insights, const char *prefix, const char *name, const char *suffix)
{
  g_autofree char *key = g_strconcat (prefix, name, suffix, NULL);
  double value = 0;

  g_variant_lookup (insights, key, "d", &value);

  return value;
}

static GVariant *
get_array (GVariant *insights, const char *name, const char *suffix)
{
  g_autofree char *key = g_strconcat (name, suffix, NULL);

  return g_variant_lookup_value (insights, key, G_VARIANT_TYPE_ARRAY);
}

/* In the unit that leaves three digits or more before the point at most. */
static char *
format_time (double seconds)
{
  if (seconds >= 1)
    return g_strdup_printf ("%.3f s", seconds);
  if (seconds >= 1e-3)
    return g_strdup_printf ("%.3f ms", seconds * 1e3);

  return g_strdup_printf ("%.3f µs", seconds * 1e6);
}

static void
add_titles (GString *text)
{
  g_string_append_printf (text, "%6s %12s", "worker", "tasks");
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    g_string_append_printf (text, " %11s", columns[i].title);
  g_string_append_printf (text, " %11s\n", "total");
}

static guint64
add_workers (GString *text, GVariant *insights)
{
  g_autoptr (GVariant) n_tasks = get_array (insights, "n_completed_tasks", "");
  g_autoptr (GVariant) walls = get_array (insights, "time", "");
  const gsize n = g_variant_n_children (n_tasks);
  guint64 total = 0;

  for (gsize i = 0; i < n; i++)
    {
      guint64 n_own;
      double wall;

      g_variant_get_child (n_tasks, i, "t", &n_own);
      g_variant_get_child (walls, i, "d", &wall);
      total += n_own;
      if (wall <= 0)
        continue;

      g_string_append_printf (text, "%6" G_GSIZE_FORMAT " %12" G_GUINT64_FORMAT, i, n_own);
      for (guint j = 0; j < G_N_ELEMENTS (columns); j++)
        {
          g_autoptr (GVariant) part = get_array (insights, columns[j].name, "_time");
          double seconds;

          g_variant_get_child (part, i, "d", &seconds);
          g_string_append_printf (text, " %9.3f s", seconds);
        }
      g_string_append_printf (text, " %9.3f s\n", wall);
    }

  return total;
}

static void
add_statistics (GString *text, GVariant *insights, guint64 n_tasks)
{
  g_string_append_printf (text, "%6s %12" G_GUINT64_FORMAT, "all", n_tasks);
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    g_string_append_printf (text, " %9.3f s", get_double (insights, "total_", columns[i].name, "_time"));
  g_string_append_printf (text, " %9.3f s\n", get_double (insights, "total_time", "", ""));

  g_string_append_printf (text, "%6s %12s", "mean", "");
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    g_string_append_printf (text, " %9.3f s", get_double (insights, "", columns[i].name, "_time_mean"));
  g_string_append_printf (text, "\n%6s %12s", "std", "");
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    g_string_append_printf (text, " %9.3f s", get_double (insights, "", columns[i].name, "_time_std"));
  g_string_append_printf (text, "\n%6s %12s", "ratio", "");
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    g_string_append_printf (text, " %9.1f %%", 100 * get_double (insights, "", columns[i].name, "_ratio"));
  g_string_append_c (text, '\n');
}

static void
add_percentiles (GString *text, GVariant *insights, const char *title, const char *name)
{
  g_autofree char *half = format_time (get_double (insights, "", name, "_p50"));
  g_autofree char *most = format_time (get_double (insights, "", name, "_p95"));
  g_autofree char *nearly_all = format_time (get_double (insights, "", name, "_p99"));

  g_string_append_printf (text, "%s: p50 %s, p95 %s, p99 %s\n", title, half, most, nearly_all);
}

static void
add_longest (GString *text, GVariant *insights)
{
  g_autoptr (GVariant) durations = get_array (insights, "top_5_max_task_durations", "");
  g_autoptr (GVariant) args = get_array (insights, "top_5_max_task_args", "");
  const gsize n = g_variant_n_children (durations);

  if (n == 0)
    return;

  g_string_append (text, "Longest tasks:\n");
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *duration = NULL;
      const char *printed;
      double seconds;

      g_variant_get_child (durations, i, "d", &seconds);
      g_variant_get_child (args, i, "&s", &printed);
      duration = format_time (seconds);
      g_string_append_printf (text, "  %s  %s\n", duration, printed);
    }
}

char *
wp_insights_format (GVariant *insights)
{
  GString *text = g_string_new (NULL);
  guint64 n_tasks;

  add_titles (text);
  n_tasks = add_workers (text, insights);
  add_statistics (text, insights, n_tasks);
  add_percentiles (text, insights, "Waiting time of tasks", "wait_time");
  add_percentiles (text, insights, "Run time of tasks", "run_time");
  add_longest (text, insights);

  return g_string_free (text, FALSE);
}
