/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "patience.h"
#include "reaper.h"

typedef struct
{
  guint32 counters[SCRATCH_N_COUNTERS];
  guint32 begun[SCRATCH_N_TASKS];
  guint32 ended[SCRATCH_N_TASKS];
} Scratch;

static Scratch *scratch;
static gboolean is_descendant;
static int attached_pid;

/* Asked by LeakSanitizer, where there is one, when a process exits. It looks for leaks by tracing the process from
 * another one; GLib gives up on a child that dies of a signal while it is traced, and its zombie stays. So only the
 * tests themselves are searched, and not the workers, which are killed at any moment, nor the copies of a test, which
 * let go of what they have inherited of its pools. */
int __lsan_is_turned_off (void);

int
__lsan_is_turned_off (void)
{
  return is_descendant || getpid () != attached_pid;
}

void
scratch_attach (void)
{
  /* The tests kill workers in every way there is; nobody wants their cores. */
  const struct rlimit no_core = { 0, 0 };
  const char *path = g_getenv (SCRATCH_VARIABLE);
  int fd;

  is_descendant = path != NULL && !is_the_test ();
  attached_pid = getpid ();
  setrlimit (RLIMIT_CORE, &no_core);

  if (path != NULL)
    {
      fd = open (path, O_RDWR | O_CLOEXEC);
    }
  else
    {
      g_autofree char *name = NULL;

      /* A file without a name: there is nothing to clean up, however the test ends. */
      fd = open (g_get_tmp_dir (), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
      /* Also for a worker of another user. */
      if (fd < 0 || fchmod (fd, 0666) < 0 || ftruncate (fd, sizeof (Scratch)) < 0)
        g_error ("Cannot make the memory of the test: %s", g_strerror (errno));
      name = g_strdup_printf ("/proc/%d/fd/%d", (int) getpid (), fd);
      g_setenv (SCRATCH_VARIABLE, name, TRUE);
    }

  if (fd < 0)
    g_error ("Cannot open the memory of the test, %s: %s", path, g_strerror (errno));

  scratch = mmap (NULL, sizeof (Scratch), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (scratch == MAP_FAILED)
    g_error ("Cannot map the memory of the test: %s", g_strerror (errno));
  /* The others open it through this process. */
  if (path != NULL)
    close (fd);
}

void
scratch_reset (void)
{
  memset (scratch, 0, sizeof (Scratch));
}

static void
wake (guint32 *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE, G_MAXINT, NULL, NULL, 0);
}

guint
counter_get (guint counter)
{
  return __atomic_load_n (&scratch->counters[counter], __ATOMIC_SEQ_CST);
}

guint
counter_add (guint counter, guint n)
{
  guint value = __atomic_add_fetch (&scratch->counters[counter], n, __ATOMIC_SEQ_CST);

  wake (&scratch->counters[counter]);
  return value;
}

void
counter_set (guint counter, guint value)
{
  __atomic_store_n (&scratch->counters[counter], value, __ATOMIC_SEQ_CST);
  wake (&scratch->counters[counter]);
}

void
counter_wait (guint counter, guint at_least)
{
  gint64 deadline = get_patience_end ();
  guint value;

  while ((value = counter_get (counter)) < at_least)
    {
      const struct timespec slice = { 1, 0 };

      if (g_get_monotonic_time () > deadline)
        g_error ("Counter %u is still at %u and not at %u", counter, value, at_least);
      syscall (SYS_futex, &scratch->counters[counter], FUTEX_WAIT, value, &slice, NULL, 0);
    }
}

guint
task_begin (guint64 index)
{
  g_assert (index < SCRATCH_N_TASKS);
  return __atomic_add_fetch (&scratch->begun[index], 1, __ATOMIC_SEQ_CST);
}

void
task_end (guint64 index)
{
  g_assert (index < SCRATCH_N_TASKS);
  __atomic_add_fetch (&scratch->ended[index], 1, __ATOMIC_SEQ_CST);
}

guint
task_get_n_begun (guint64 index)
{
  return __atomic_load_n (&scratch->begun[index], __ATOMIC_SEQ_CST);
}

guint
task_get_n_ended (guint64 index)
{
  return __atomic_load_n (&scratch->ended[index], __ATOMIC_SEQ_CST);
}
