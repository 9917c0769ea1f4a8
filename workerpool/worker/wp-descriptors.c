/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DESCRIPTORS "/proc/self/fd"
#define EVENTFD "anon_inode:[eventfd]"

/* A GMainContext wakes itself by an eventfd, which a copy shares with the original: it would wake the other's loop and
 * take its wake-ups. Closed, its number would go to another file, into which the context would write. */
static gboolean
renew_eventfd (const char *name, int fd)
{
  char path[sizeof DESCRIPTORS + 16];
  char target[sizeof EVENTFD + 1] = "";
  int fresh;

  g_snprintf (path, sizeof path, "%s/%s", DESCRIPTORS, name);
  if (readlink (path, target, sizeof target - 1) < 0 || strcmp (target, EVENTFD) != 0)
    return FALSE;

  fresh = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fresh < 0)
    return FALSE;

  dup3 (fresh, fd, O_CLOEXEC);
  close (fresh);

  return TRUE;
}

gboolean
wp_descriptors_is_standard (int fd)
{
  return fd <= STDERR_FILENO && (fcntl (fd, F_GETFD) & FD_CLOEXEC) == 0;
}

void
wp_descriptors_disown (int keep)
{
  DIR *folder = opendir (DESCRIPTORS);
  struct dirent *entry;

  /* Without /proc the contexts cannot be told from the rest, and the channels of other workers must not stay open. */
  if (folder == NULL)
    {
      close_range (STDERR_FILENO + 1, (unsigned) keep - 1, 0);
      close_range ((unsigned) keep + 1, ~0U, 0);
      return;
    }

  while ((entry = readdir (folder)) != NULL)
    {
      int fd = atoi (entry->d_name);

      if (!wp_descriptors_is_standard (fd) && fd != keep && fd != dirfd (folder) && !renew_eventfd (entry->d_name, fd))
        close (fd);
    }

  closedir (folder);
}

void
wp_descriptors_fill_standard (void)
{
  int fd;

  /* The lowest number that is free is given. */
  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);

  if (fd >= 0)
    close (fd);
}
