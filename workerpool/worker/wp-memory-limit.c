/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-memory-limit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "channel/wp-error.h"

/* What a worker must be able to have beside what it starts with, to take its first task and to tell what became of
 * it. */
#define LEAST_ROOM (1024 * 1024)

/* In bytes. */
typedef struct
{
  guint64 own;       /* resident, and nobody else's */
  guint64 allocated; /* resident or not, as RLIMIT_DATA counts it, with the stack */
} MemoryUse;

/* The file is opened each time: tasks may close any descriptor, or have it be another file. FALSE: it is not known. */
static gboolean
read_use (MemoryUse *use)
{
  const guint64 page_size = (guint64) sysconf (_SC_PAGESIZE);
  unsigned long resident, shared, data;
  char text[256];
  gssize length;
  int fd;

  fd = open ("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;

  length = read (fd, text, sizeof text - 1);
  close (fd);
  text[MAX (length, 0)] = '\0';
  if (sscanf (text, "%*u %lu %lu %*u %*u %lu", &resident, &shared, &data) != 3)
    return FALSE;

  use->own = (guint64) (resident - MIN (shared, resident)) * page_size;
  use->allocated = (guint64) data * page_size;
  return TRUE;
}

void
wp_memory_watch_init (WpMemoryWatch *watch, guint64 limit)
{
  watch->limit = limit;
  watch->look_at = limit > 0 ? 0 : G_MAXINT64;
}

guint64
wp_memory_watch_look (WpMemoryWatch *watch, gint64 now)
{
  MemoryUse use;

  watch->look_at = now + WP_MEMORY_LOOK_NS;
  if (!read_use (&use) || use.own <= watch->limit)
    return 0;

  watch->look_at = G_MAXINT64;
  return use.own;
}

/* RLIMIT_DATA counts what is private and can be written: heaps, anonymous mappings, the stacks of threads. RLIMIT_AS
 * would also count libraries, shared objects and address space that is only reserved, of which some interpreters and
 * every thread's heap have much. */
gboolean
wp_memory_limit_set (guint64 limit, GError **error)
{
  struct rlimit bounds;
  MemoryUse use;

  if (read_use (&use) && (limit < LEAST_ROOM || use.allocated > limit - LEAST_ROOM))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "cannot run with a hard-memory-limit of %" G_GUINT64_FORMAT " bytes: before its first task it has "
                   "%" G_GUINT64_FORMAT ", and it needs at least %d more; raise the limit",
                   limit, use.allocated, LEAST_ROOM);
      return FALSE;
    }

  getrlimit (RLIMIT_DATA, &bounds);
  bounds.rlim_max = MIN (bounds.rlim_max, (rlim_t) limit);
  bounds.rlim_cur = MIN (bounds.rlim_cur, bounds.rlim_max);
  /* It only lowers both, which nobody is refused. */
  setrlimit (RLIMIT_DATA, &bounds);

  return TRUE;
}
