/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-host-process.h"

#include <unistd.h>

#include "channel/wp-process.h"
#include "launch/wp-child-process.h"
#include "launch/wp-spawned-process.h"

/* The first descriptor after the standard streams. */
#define WP_HOST_FD 3

/* In a copy of a process GLib's own thread is missing, without which no GSubprocess ends. */
static WpWorkerProcess *
start_from_copy (const char *const *argv,
                 int                fd,
                 GIOStream         *channel,
                 const char        *channel_value,
                 const char        *owner_value,
                 GError           **error)
{
  const int target = WP_HOST_FD;
  g_auto (GStrv) environment = g_get_environ ();
  gboolean started;
  GPid pid;

  environment = g_environ_setenv (environment, WP_CHANNEL_VARIABLE, channel_value, TRUE);
  environment = g_environ_setenv (environment, WP_OWNER_VARIABLE, owner_value, TRUE);

  started = g_spawn_async_with_pipes_and_fds (NULL, argv, (const char *const *) environment,
                                              G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH, NULL, NULL, -1, -1, -1,
                                              &fd, &target, 1, &pid, NULL, NULL, NULL, error);
  close (fd);

  return started ? wp_child_process_new (pid, channel, error) : NULL;
}

WpWorkerProcess *
wp_host_process_start (const char *const *argv,
                       const char        *role,
                       int                fd,
                       GIOStream         *channel,
                       GError           **error)
{
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  g_autoptr (GSubprocess) subprocess = NULL;
  g_autofree char *channel_value = g_strdup_printf ("%s:%d", role, WP_HOST_FD);
  g_autofree char *owner_value = g_strdup_printf ("%d", (int) getpid ());

  if (wp_process_is_copy ())
    return start_from_copy (argv, fd, channel, channel_value, owner_value, error);

  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_subprocess_launcher_take_fd (launcher, fd, WP_HOST_FD);
  g_subprocess_launcher_setenv (launcher, WP_CHANNEL_VARIABLE, channel_value, TRUE);
  g_subprocess_launcher_setenv (launcher, WP_OWNER_VARIABLE, owner_value, TRUE);

  subprocess = g_subprocess_launcher_spawnv (launcher, argv, error);

  return subprocess != NULL ? wp_spawned_process_new (subprocess, channel) : NULL;
}
