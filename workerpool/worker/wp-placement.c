/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-placement.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OOM_SCORE_ADJ "/proc/self/oom_score_adj"
#define OOM_SCORE_ADJ_MAX 1000

static void
log_refusal (const char *what, const char *why)
{
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE,
                    "MESSAGE", "The %s of this worker cannot be set: %s", what, why);
}

/* The kernel derives the I/O priority from it where none was set. */
static void
add_nice (int increment)
{
  int before;

  errno = 0;
  before = getpriority (PRIO_PROCESS, 0);
  if (errno != 0 || setpriority (PRIO_PROCESS, 0, before + increment) != 0)
    log_refusal ("niceness", g_strerror (errno));
}

static void
set_io_priority (int io_priority)
{
  if (syscall (SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io_priority) != 0)
    log_refusal ("io-priority", g_strerror (errno));
}

static void
add_oom_score (int increment)
{
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_get_contents (OOM_SCORE_ADJ, &before, NULL, &error))
    {
      log_refusal ("oom-score-adj", error->message);
      return;
    }

  after = g_strdup_printf ("%" G_GINT64_FORMAT,
                           MIN (g_ascii_strtoll (before, NULL, 10) + increment, OOM_SCORE_ADJ_MAX));
  if (!g_file_set_contents_full (OOM_SCORE_ADJ, after, -1, G_FILE_SET_CONTENTS_NONE, 0, &error))
    log_refusal ("oom-score-adj", error->message);
}

static void
set_cpus (GVariant *cpu_ids)
{
  gsize n;
  const guint32 *cpus = g_variant_get_fixed_array (cpu_ids, &n, sizeof (guint32));
  guint32 highest = 0;
  cpu_set_t *set;

  for (gsize i = 0; i < n; i++)
    highest = MAX (highest, cpus[i]);

  set = CPU_ALLOC (highest + 1);
  CPU_ZERO_S (CPU_ALLOC_SIZE (highest + 1), set);
  for (gsize i = 0; i < n; i++)
    CPU_SET_S (cpus[i], CPU_ALLOC_SIZE (highest + 1), set);

  if (sched_setaffinity (0, CPU_ALLOC_SIZE (highest + 1), set) != 0)
    log_refusal ("CPUs", g_strerror (errno));
  CPU_FREE (set);
}

void
wp_placement_apply (int nice, int io_priority, int oom_score_adj, GVariant *cpu_ids)
{
  if (cpu_ids != NULL)
    set_cpus (cpu_ids);
  if (nice != 0)
    add_nice (nice);
  if (io_priority != 0)
    set_io_priority (io_priority);
  if (oom_score_adj != 0)
    add_oom_score (oom_score_adj);
}
