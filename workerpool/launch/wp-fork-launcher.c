/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-fork-launcher.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "launch/wp-channel-pair.h"
#include "launch/wp-child-process.h"

/* A thread names itself as soon as it runs, for which it may have to wait on a busy machine. */
#define NAMING_TIMEOUT_US (100 * G_TIME_SPAN_MILLISECOND)
#define NAMING_PAUSE_US 500

struct _WpForkLauncher
{
  WpLauncher parent_instance;
};

G_DEFINE_FINAL_TYPE (WpForkLauncher, wp_fork_launcher, WP_TYPE_LAUNCHER)

/* The library's own threads hold none of the locks that a copy needs, or hold them across no fork. GLib's sleep as long
 * as the program asks nothing of them, and are there as soon as there is a pool. */
static gboolean
is_own_thread (const char *name)
{
  const char *const names[] = { "gmain", "pool-spawner", WP_ENGINE_THREAD, WP_WORKER_THREAD, WP_OWNER_WATCH_THREAD,
                                WP_CANCEL_WATCH_THREAD, NULL };

  return g_strv_contains (names, name);
}

/* The threads of this process beside the first one and the library's own; and whether one has the name of the first,
 * as those have that are just being made. */
static guint
count_other_threads (gboolean *has_unnamed)
{
  DIR *folder = opendir ("/proc/self/task");
  g_autofree char *first = NULL;
  struct dirent *entry;
  guint n_threads = 0;

  *has_unnamed = FALSE;
  if (folder == NULL)
    return 0;
  if (g_file_get_contents ("/proc/self/comm", &first, NULL, NULL))
    g_strchomp (first);

  while ((entry = readdir (folder)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/comm", entry->d_name);
      g_autofree char *name = NULL;

      if (entry->d_name[0] == '.' || atoi (entry->d_name) == (int) getpid () ||
          !g_file_get_contents (path, &name, NULL, NULL))
        continue;

      if (is_own_thread (g_strchomp (name)))
        continue;

      n_threads++;
      if (g_strcmp0 (name, first) == 0)
        *has_unnamed = TRUE;
    }
  closedir (folder);

  return n_threads;
}

/* GLib's thread may have been made a moment ago, for this very pool. */
static guint
count_named_threads (void)
{
  const gint64 end_time = g_get_monotonic_time () + NAMING_TIMEOUT_US;
  gboolean has_unnamed;
  guint n_threads = count_other_threads (&has_unnamed);

  while (has_unnamed && g_get_monotonic_time () < end_time)
    {
      g_usleep (NAMING_PAUSE_US);
      n_threads = count_other_threads (&has_unnamed);
    }

  return n_threads;
}

static void
warn_of_threads (void)
{
  static int warned;
  guint n_threads;

  if (g_atomic_int_get (&warned))
    return;

  n_threads = count_named_threads ();
  if (n_threads == 0 || !g_atomic_int_compare_and_exchange (&warned, FALSE, TRUE))
    return;

  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE,
                    "WORKERPOOL_START_METHOD", "fork",
                    "MESSAGE", "This process has other threads (%u): a worker that is made by “fork” hangs if one of "
                    "them holds a lock that its task needs; the start methods “forkserver” and “spawn” are safe",
                    n_threads);
}

static WpWorkerProcess *
fork_worker (GError **error)
{
  g_autoptr (GIOStream) channel = NULL;
  WpWorkerRequest request = { .parent = (int) getpid () };
  int saved_errno;
  int pid;

  channel = wp_channel_pair_new (&request.channel, error);
  if (channel == NULL)
    return NULL;

  pid = fork ();
  if (pid == 0)
    _exit (wp_process_enter_worker (&request));

  saved_errno = errno;
  close (request.channel);
  if (pid < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s", g_strerror (saved_errno));
      return NULL;
    }

  return wp_child_process_new (pid, channel, error);
}

static WpWorkerProcess *
wp_fork_launcher_launch (WpLauncher *launcher,
                         guint       worker_id,
                         GError    **error)
{
  g_autoptr (GError) cause = NULL;
  WpWorkerProcess *process;

  warn_of_threads ();

  process = fork_worker (&cause);
  if (process == NULL)
    g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "Cannot fork a worker: %s", cause->message);

  return process;
}

static void
wp_fork_launcher_class_init (WpForkLauncherClass *klass)
{
  WP_LAUNCHER_CLASS (klass)->launch = wp_fork_launcher_launch;
}

static void
wp_fork_launcher_init (WpForkLauncher *self)
{
}

WpLauncher *
wp_fork_launcher_new (void)
{
  return g_object_new (WP_TYPE_FORK_LAUNCHER, NULL);
}
