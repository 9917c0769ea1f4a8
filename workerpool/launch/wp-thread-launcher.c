/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-thread-launcher.h"

#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "launch/wp-channel-pair.h"
#include "launch/wp-thread-process.h"

struct _WpThreadLauncher
{
  WpLauncher parent_instance;

  GVariant *shared_objects; /* nullable */
};

G_DEFINE_FINAL_TYPE (WpThreadLauncher, wp_thread_launcher, WP_TYPE_LAUNCHER)

static void
wp_thread_launcher_finalize (GObject *object)
{
  WpThreadLauncher *self = WP_THREAD_LAUNCHER (object);

  g_clear_pointer (&self->shared_objects, g_variant_unref);

  G_OBJECT_CLASS (wp_thread_launcher_parent_class)->finalize (object);
}

static WpWorkerProcess *
wp_thread_launcher_launch (WpLauncher *launcher,
                           guint       worker_id,
                           GError    **error)
{
  g_autoptr (GIOStream) channel = NULL;
  g_autoptr (GError) cause = NULL;
  WpWorkerProcess *process = NULL;
  int worker_fd;

  channel = wp_channel_pair_new (&worker_fd, &cause);
  if (channel != NULL)
    process = wp_thread_process_new (worker_fd, channel, launcher, WP_THREAD_LAUNCHER (launcher)->shared_objects,
                                     &cause);

  if (process == NULL)
    g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "Cannot start a thread as a worker: %s", cause->message);

  return process;
}

static void
wp_thread_launcher_class_init (WpThreadLauncherClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = wp_thread_launcher_finalize;
  WP_LAUNCHER_CLASS (klass)->launch = wp_thread_launcher_launch;
}

static void
wp_thread_launcher_init (WpThreadLauncher *self)
{
}

WpLauncher *
wp_thread_launcher_new (GVariant *shared_objects)
{
  WpThreadLauncher *self = g_object_new (WP_TYPE_THREAD_LAUNCHER, NULL);

  if (shared_objects != NULL)
    self->shared_objects = g_variant_ref (shared_objects);

  return WP_LAUNCHER (self);
}
