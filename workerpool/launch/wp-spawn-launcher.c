/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-spawn-launcher.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib-unix.h>
#include <glib/gstdio.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "launch/wp-channel-pair.h"
#include "launch/wp-host-process.h"
#include "launch/wp-spawned-process.h"

/**
 * WpSpawnLauncher:
 *
 * Starts each worker as a fresh process.
 *
 * The process inherits the environment, the working directory, standard output and standard error as they
 * are at the launch, and nothing else: with [enum@Transport] `socket` its only further descriptor
 * is its end of the channel, and its standard input is /dev/null.
 *
 * Since: 1.0
 */
struct _WpSpawnLauncher
{
  WpLauncher parent_instance;

  char **argv;
  WpTransport transport;
};

enum
{
  PROP_0,
  PROP_ARGV,
  PROP_TRANSPORT,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (WpSpawnLauncher, wp_spawn_launcher, WP_TYPE_LAUNCHER)

static WpWorkerProcess *
spawn_with_socket (WpSpawnLauncher *self,
                   GError         **error)
{
  g_autoptr (GIOStream) channel = NULL;
  int worker_fd;

  channel = wp_channel_pair_new (&worker_fd, error);
  if (channel == NULL)
    return NULL;

  return wp_host_process_start ((const char *const *) self->argv, "fd", worker_fd, channel, error);
}

static gboolean
set_nonblocking (int      fd,
                 GError **error)
{
  GError *unix_error = NULL;

  if (g_unix_set_fd_nonblocking (fd, TRUE, &unix_error))
    return TRUE;

  g_propagate_error (error, unix_error);
  return FALSE;
}

static WpWorkerProcess *
spawn_with_stdio (WpSpawnLauncher *self,
                  GError         **error)
{
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  g_autoptr (GSubprocess) subprocess = NULL;
  g_autoptr (GIOStream) stream = NULL;
  GOutputStream *output;
  GInputStream *input;

  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_subprocess_launcher_setenv (launcher, WP_CHANNEL_VARIABLE, "stdio", TRUE);
  /* The worker's parent may be the wrapper; the end of its standard input says that the owner died. */
  g_subprocess_launcher_unsetenv (launcher, WP_OWNER_VARIABLE);

  subprocess = g_subprocess_launcher_spawnv (launcher, (const char *const *) self->argv, error);
  if (subprocess == NULL)
    return NULL;

  input = g_subprocess_get_stdout_pipe (subprocess);
  output = g_subprocess_get_stdin_pipe (subprocess);
  /* A pipe that polls as writable still blocks a write that is larger than its free space. */
  if (!set_nonblocking (g_unix_input_stream_get_fd (G_UNIX_INPUT_STREAM (input)), error) ||
      !set_nonblocking (g_unix_output_stream_get_fd (G_UNIX_OUTPUT_STREAM (output)), error))
    {
      g_subprocess_force_exit (subprocess);
      return NULL;
    }

  stream = g_simple_io_stream_new (input, output);

  return wp_spawned_process_new (subprocess, stream);
}

static WpWorkerProcess *
wp_spawn_launcher_launch (WpLauncher *launcher,
                          guint       worker_id,
                          GError    **error)
{
  WpSpawnLauncher *self = WP_SPAWN_LAUNCHER (launcher);
  g_autoptr (GError) cause = NULL;
  WpWorkerProcess *process;

  if (self->argv == NULL || self->argv[0] == NULL || self->argv[0][0] == '\0')
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_START_FAILED,
                           "Cannot start a host: its argv is empty; the first string has to name a program");
      return NULL;
    }

  if (self->transport == WP_TRANSPORT_STDIO)
    process = spawn_with_stdio (self, &cause);
  else
    process = spawn_with_socket (self, &cause);

  if (process == NULL)
    g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                 "Cannot start the host “%s”: %s", self->argv[0], cause->message);

  return process;
}

static void
wp_spawn_launcher_finalize (GObject *object)
{
  WpSpawnLauncher *self = WP_SPAWN_LAUNCHER (object);

  g_clear_pointer (&self->argv, g_strfreev);

  G_OBJECT_CLASS (wp_spawn_launcher_parent_class)->finalize (object);
}

static void
wp_spawn_launcher_get_property (GObject    *object,
                                guint       prop_id,
                                GValue     *value,
                                GParamSpec *pspec)
{
  WpSpawnLauncher *self = WP_SPAWN_LAUNCHER (object);

  switch (prop_id)
    {
    case PROP_ARGV:
      g_value_set_boxed (value, self->argv);
      break;

    case PROP_TRANSPORT:
      g_value_set_enum (value, self->transport);
      break;

    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_spawn_launcher_set_property (GObject      *object,
                                guint         prop_id,
                                const GValue *value,
                                GParamSpec   *pspec)
{
  WpSpawnLauncher *self = WP_SPAWN_LAUNCHER (object);

  switch (prop_id)
    {
    case PROP_ARGV:
      self->argv = g_value_dup_boxed (value);
      break;

    case PROP_TRANSPORT:
      self->transport = g_value_get_enum (value);
      break;

    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
wp_spawn_launcher_class_init (WpSpawnLauncherClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = wp_spawn_launcher_finalize;
  object_class->get_property = wp_spawn_launcher_get_property;
  object_class->set_property = wp_spawn_launcher_set_property;

  WP_LAUNCHER_CLASS (klass)->launch = wp_spawn_launcher_launch;

  /**
   * WpSpawnLauncher:argv: (getter get_argv)
   *
   * The program of the host and its arguments. A program without a slash is searched in `PATH`.
   *
   * Since: 1.0
   */
  properties[PROP_ARGV] =
    g_param_spec_boxed ("argv", NULL, NULL, G_TYPE_STRV,
                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * WpSpawnLauncher:transport: (getter get_transport)
   *
   * What carries the channel.
   *
   * Since: 1.0
   */
  properties[PROP_TRANSPORT] =
    g_param_spec_enum ("transport", NULL, NULL, WP_TYPE_TRANSPORT, WP_TRANSPORT_SOCKET,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
wp_spawn_launcher_init (WpSpawnLauncher *self)
{
}

/**
 * wp_spawn_launcher_new:
 * @argv: (array zero-terminated=1): the program of the host and its arguments, at least the program
 * @transport: what carries the channel
 *
 * Creates a launcher that starts each worker as a fresh process.
 *
 * Nothing is started or looked up yet: a program that is missing shows in [method@Launcher.launch].
 *
 * Returns: (transfer full) (type WpSpawnLauncher): a launcher
 *
 * Since: 1.0
 */
WpLauncher *
wp_spawn_launcher_new (const char *const *argv,
                       WpTransport        transport)
{
  g_return_val_if_fail (argv != NULL && argv[0] != NULL, NULL);

  return g_object_new (WP_TYPE_SPAWN_LAUNCHER, "argv", argv, "transport", transport, NULL);
}

/**
 * wp_spawn_launcher_get_argv: (get-property argv)
 * @self: a launcher
 *
 * Gets the program of the host and its arguments.
 *
 * Returns: (transfer none) (array zero-terminated=1) (nullable): the argv
 *
 * Since: 1.0
 */
const char *const *
wp_spawn_launcher_get_argv (WpSpawnLauncher *self)
{
  g_return_val_if_fail (WP_IS_SPAWN_LAUNCHER (self), NULL);

  return (const char *const *) self->argv;
}

/**
 * wp_spawn_launcher_get_transport: (get-property transport)
 * @self: a launcher
 *
 * Gets what carries the channel.
 *
 * Returns: the transport
 *
 * Since: 1.0
 */
WpTransport
wp_spawn_launcher_get_transport (WpSpawnLauncher *self)
{
  g_return_val_if_fail (WP_IS_SPAWN_LAUNCHER (self), WP_TRANSPORT_SOCKET);

  return self->transport;
}

GType
wp_transport_get_type (void)
{
  static gsize type_id = 0;

  if (g_once_init_enter (&type_id))
    {
      static const GEnumValue values[] = {
        { WP_TRANSPORT_SOCKET, "WP_TRANSPORT_SOCKET", "socket" },
        { WP_TRANSPORT_STDIO, "WP_TRANSPORT_STDIO", "stdio" },
        { 0, NULL, NULL },
      };

      g_once_init_leave (&type_id, g_enum_register_static ("WpTransport", values));
    }

  return type_id;
}
