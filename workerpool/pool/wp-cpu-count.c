/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-cpu-count.h"

#include <sched.h>
#include <stdio.h>

/* Reads a small file of the kernel's; NULL when it is not there. */
static char *
read_line (const char *directory, const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;

  return g_strstrip (g_steal_pointer (&text));
}

static guint
quota_to_cpus (gint64 quota, gint64 period)
{
  if (quota <= 0 || period <= 0)
    return G_MAXUINT;

  /* Rounded up, as nproc-like tools do: half a CPU is still one worker. */
  return (guint) MIN (MAX ((quota + period - 1) / period, 1), (gint64) G_MAXUINT);
}

/* cgroup v2: "cpu.max" holds "QUOTA PERIOD" or "max PERIOD", in microseconds. */
static guint
limit_v2 (const char *directory)
{
  g_autofree char *line = read_line (directory, "cpu.max");
  gint64 quota, period;

  if (line == NULL || sscanf (line, "%" G_GINT64_FORMAT " %" G_GINT64_FORMAT, &quota, &period) != 2)
    return G_MAXUINT;

  return quota_to_cpus (quota, period);
}

/* cgroup v1: the quota is -1 when there is none. */
static guint
limit_v1 (const char *directory)
{
  g_autofree char *quota = read_line (directory, "cpu.cfs_quota_us");
  g_autofree char *period = read_line (directory, "cpu.cfs_period_us");

  if (quota == NULL || period == NULL)
    return G_MAXUINT;

  return quota_to_cpus (g_ascii_strtoll (quota, NULL, 10), g_ascii_strtoll (period, NULL, 10));
}

/* The tightest limit of a group and its ancestors: each of them applies. */
static guint
limit_of_hierarchy (const char *root, const char *group, guint (*limit) (const char *directory))
{
  g_autofree char *path = g_strdup (group);
  guint lowest = G_MAXUINT;

  for (;;)
    {
      g_autofree char *directory = g_build_filename (root, path, NULL);
      char *slash;

      lowest = MIN (lowest, limit (directory));

      slash = strrchr (path, '/');
      if (slash == NULL)
        return lowest;
      *slash = '\0';
    }
}

static guint
cgroup_limit (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint lowest = G_MAXUINT;

  if (!g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL))
    return G_MAXUINT;

  /* Lines are "ID:CONTROLLERS:GROUP"; version 2 has the ID 0 and no controllers. */
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) fields = g_strsplit (lines[i], ":", 3);
      g_auto (GStrv) controllers = NULL;

      if (g_strv_length (fields) != 3)
        continue;

      controllers = g_strsplit (fields[1], ",", -1);
      if (fields[1][0] == '\0')
        lowest = MIN (lowest, limit_of_hierarchy ("/sys/fs/cgroup", fields[2], limit_v2));
      else if (g_strv_contains ((const char *const *) controllers, "cpu"))
        lowest = MIN (lowest, limit_of_hierarchy ("/sys/fs/cgroup/cpu", fields[2], limit_v1));
    }

  return lowest;
}

/**
 * wp_cpu_count:
 *
 * Counts the CPUs that this process may use: those of its affinity mask, and no more than the CPU
 * quota of its control group and the groups above it allows, rounded up. This is what a pool with
 * [property@WorkerPool:n-jobs] 0 starts.
 *
 * Returns: the number of usable CPUs, at least 1
 *
 * Since: 1.0
 */
guint
wp_cpu_count (void)
{
  guint n_cpus = g_get_num_processors ();

  /* The mask must hold every CPU that the kernel knows, which can be more than CPU_SETSIZE. */
  for (int n_bits = CPU_SETSIZE; n_bits <= CPU_SETSIZE * 64; n_bits *= 2)
    {
      cpu_set_t *mask = CPU_ALLOC (n_bits);
      gsize size = CPU_ALLOC_SIZE (n_bits);
      gboolean known = sched_getaffinity (0, size, mask) == 0;

      if (known)
        n_cpus = CPU_COUNT_S (size, mask);
      CPU_FREE (mask);
      if (known)
        break;
    }

  return MAX (MIN (n_cpus, cgroup_limit ()), 1);
}
