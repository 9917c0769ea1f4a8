/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-forkserver-launcher.h"

#include "channel/wp-error.h"
#include "launch/wp-forkserver.h"

struct _WpForkserverLauncher
{
  WpLauncher parent_instance;

  char **argv;
  char **preload;
  char *function;

  GPtrArray *servers; /* that are not gone; only the last may be asked for workers */
};

G_DEFINE_FINAL_TYPE (WpForkserverLauncher, wp_forkserver_launcher, WP_TYPE_LAUNCHER)

static void
forget_gone_servers (WpForkserverLauncher *self)
{
  for (guint i = self->servers->len; i > 0; i--)
    if (wp_forkserver_is_gone (g_ptr_array_index (self->servers, i - 1)))
      g_ptr_array_remove_index (self->servers, i - 1);
}

/* A server that has died or failed is replaced. (transfer none) */
static WpForkserver *
ensure_server (WpForkserverLauncher *self,
               GError              **error)
{
  WpForkserver *server;

  forget_gone_servers (self);
  if (self->servers->len > 0)
    {
      server = g_ptr_array_index (self->servers, self->servers->len - 1);
      if (wp_forkserver_is_usable (server))
        return server;
    }

  server = wp_forkserver_start ((const char *const *) self->argv, (const char *const *) self->preload, self->function,
                                error);
  if (server != NULL)
    g_ptr_array_add (self->servers, server);

  return server;
}

static WpWorkerProcess *
wp_forkserver_launcher_launch (WpLauncher *launcher,
                               guint       worker_id,
                               GError    **error)
{
  WpForkserverLauncher *self = WP_FORKSERVER_LAUNCHER (launcher);
  g_autoptr (GError) cause = NULL;
  WpWorkerProcess *process = NULL;
  WpForkserver *server;

  server = ensure_server (self, &cause);
  if (server == NULL)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "Cannot start the fork server “%s”: %s", self->argv[0], cause->message);
      return NULL;
    }

  process = wp_forkserver_launch (server, &cause);
  if (process == NULL)
    g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                 "Cannot ask the fork server “%s” for a worker: %s", self->argv[0], cause->message);

  return process;
}

static void
end_servers (WpForkserverLauncher *self)
{
  for (guint i = 0; i < self->servers->len; i++)
    wp_forkserver_end (g_ptr_array_index (self->servers, i));
}

static void
wp_forkserver_launcher_shut_down (WpLauncher *launcher)
{
  WpForkserverLauncher *self = WP_FORKSERVER_LAUNCHER (launcher);

  end_servers (self);
  for (forget_gone_servers (self); self->servers->len > 0; forget_gone_servers (self))
    g_main_context_iteration (wp_forkserver_get_context (g_ptr_array_index (self->servers, 0)), TRUE);
}

static void
wp_forkserver_launcher_finalize (GObject *object)
{
  WpForkserverLauncher *self = WP_FORKSERVER_LAUNCHER (object);

  end_servers (self);
  g_clear_pointer (&self->servers, g_ptr_array_unref);
  g_clear_pointer (&self->argv, g_strfreev);
  g_clear_pointer (&self->preload, g_strfreev);
  g_clear_pointer (&self->function, g_free);

  G_OBJECT_CLASS (wp_forkserver_launcher_parent_class)->finalize (object);
}

static void
wp_forkserver_launcher_class_init (WpForkserverLauncherClass *klass)
{
  WpLauncherClass *launcher_class = WP_LAUNCHER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = wp_forkserver_launcher_finalize;

  launcher_class->launch = wp_forkserver_launcher_launch;
  launcher_class->shut_down = wp_forkserver_launcher_shut_down;
}

static void
wp_forkserver_launcher_init (WpForkserverLauncher *self)
{
  self->servers = g_ptr_array_new_with_free_func ((GDestroyNotify) wp_forkserver_unref);
}

WpLauncher *
wp_forkserver_launcher_new (const char *const *argv,
                            const char *const *preload,
                            const char        *function)
{
  WpForkserverLauncher *self = g_object_new (WP_TYPE_FORKSERVER_LAUNCHER, NULL);

  self->argv = g_strdupv ((char **) argv);
  self->preload = g_strdupv ((char **) preload);
  self->function = g_strdup (function);

  return WP_LAUNCHER (self);
}
