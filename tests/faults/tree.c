/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reaper.h"
#include "scratch.h"

#define PATIENCE_S 20

/* Everything here makes do with the C library, whose locks a fork takes care of: it runs beside pools that fork. */

/* Returns the length, 0 for a process that is gone. */
static gsize
read_file (int pid, const char *name, char *content, gsize size)
{
  char path[64];
  gssize length;
  int fd;

  g_snprintf (path, sizeof path, "/proc/%d/%s", pid, name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;

  length = read (fd, content, size - 1);
  close (fd);
  length = MAX (length, 0);
  content[length] = '\0';
  return length;
}

static gboolean
read_process (int pid, TreeProcess *process)
{
  char stat[512];
  const char *name;
  char *after_name;

  if (read_file (pid, "stat", stat, sizeof stat) == 0)
    return FALSE;

  name = strchr (stat, '(');
  after_name = strrchr (stat, ')');
  if (name == NULL || after_name == NULL ||
      sscanf (after_name, ") %c %d", &process->state, &process->parent) != 2)
    return FALSE;

  process->pid = pid;
  *after_name = '\0';
  g_strlcpy (process->name, name + 1, sizeof process->name);
  return TRUE;
}

/* It has this test's memory in its environment. */
static gboolean
has_marker (int pid)
{
  char environment[65536];
  char entry[128];
  gsize length;

  g_snprintf (entry, sizeof entry, SCRATCH_VARIABLE "=%s", g_getenv (SCRATCH_VARIABLE));
  length = read_file (pid, "environ", environment, sizeof environment);
  for (const char *s = environment; s < environment + length; s += strlen (s) + 1)
    if (strcmp (s, entry) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
has_pid (GArray *processes, int pid)
{
  for (guint i = 0; i < processes->len; i++)
    if (g_array_index (processes, TreeProcess, i).pid == pid)
      return TRUE;
  return FALSE;
}

static gboolean
is_of_the_tree (const TreeProcess *process, GArray *tree)
{
  return process->parent == getpid () || (get_reaper () != 0 && process->parent == get_reaper ()) ||
         has_pid (tree, process->parent) || has_marker (process->pid);
}

GArray *
tree_list (void)
{
  GArray *others = g_array_new (FALSE, FALSE, sizeof (TreeProcess));
  GArray *tree = g_array_new (FALSE, FALSE, sizeof (TreeProcess));
  DIR *folder = opendir ("/proc");
  struct dirent *entry;
  guint n_before;

  while (folder != NULL && (entry = readdir (folder)) != NULL)
    {
      int pid = atoi (entry->d_name);
      TreeProcess process;

      if (pid > 0 && pid != getpid () && pid != get_reaper () && read_process (pid, &process))
        g_array_append_val (others, process);
    }
  if (folder != NULL)
    closedir (folder);

  do
    {
      n_before = tree->len;
      for (guint i = 0; i < others->len; i++)
        {
          const TreeProcess *process = &g_array_index (others, TreeProcess, i);

          if (!has_pid (tree, process->pid) && is_of_the_tree (process, tree))
            g_array_append_val (tree, *process);
        }
    }
  while (tree->len > n_before);

  g_array_unref (others);
  return tree;
}

guint
tree_count (void)
{
  g_autoptr (GArray) tree = tree_list ();

  return tree->len;
}

gint64
tree_wait_gone (void)
{
  const gint64 start = g_get_monotonic_time ();

  while (tree_count () > 0)
    {
      g_autoptr (GArray) tree = NULL;

      if (g_get_monotonic_time () < start + PATIENCE_S * G_TIME_SPAN_SECOND)
        {
          g_thread_yield ();
          continue;
        }

      tree = tree_list ();
      for (guint i = 0; i < tree->len; i++)
        {
          const TreeProcess *process = &g_array_index (tree, TreeProcess, i);

          g_test_message ("process %d, %s, in state %c, of process %d", process->pid, process->name, process->state,
                          process->parent);
        }
      g_error ("%u processes are left", tree->len);
    }

  return g_get_monotonic_time () - start;
}

static gboolean
send_signal (int fd, int signum)
{
  return syscall (SYS_pidfd_send_signal, fd, signum, NULL, 0) == 0;
}

gboolean
tree_signal_at_random (GRand *rand, int signum)
{
  g_autoptr (GArray) tree = tree_list ();
  const TreeProcess *process;
  TreeProcess now;
  gboolean sent;
  int fd;

  if (tree->len == 0)
    return FALSE;

  process = &g_array_index (tree, TreeProcess, g_rand_int_range (rand, 0, tree->len));
  fd = (int) syscall (SYS_pidfd_open, process->pid, 0);
  if (fd < 0)
    return FALSE;

  /* What the descriptor holds is still what was listed. */
  sent = read_process (process->pid, &now) && now.state != 'Z' && is_of_the_tree (&now, tree) &&
         send_signal (fd, signum);
  if (sent && signum == SIGSTOP)
    send_signal (fd, SIGKILL);

  close (fd);
  return sent;
}

void
tree_wait_stopped (guint n)
{
  const gint64 end_time = g_get_monotonic_time () + PATIENCE_S * G_TIME_SPAN_SECOND;

  for (;;)
    {
      g_autoptr (GArray) processes = tree_list ();
      guint n_stopped = 0;

      for (guint i = 0; i < processes->len; i++)
        n_stopped += g_array_index (processes, TreeProcess, i).state == 'T';
      if (n_stopped >= n)
        return;

      if (g_get_monotonic_time () > end_time)
        g_error ("Only %u of %u processes have stopped", n_stopped, n);
      g_thread_yield ();
    }
}
