/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bracketed-tests.h"
#include "launch/wp-child-process.h"
#include "worker-peer.h"

/* More descriptors than a launch needs. */
#define N_DESCRIPTOR_LIMITS 16

/* A launcher whose launch () does what it is told. */
typedef enum
{
  BEHAVIOUR_NOTHING,
  BEHAVIOUR_ERROR,
  BEHAVIOUR_BOTH,
  BEHAVIOUR_LACKING,
} Behaviour;

typedef struct
{
  WpLauncher parent_instance;
  Behaviour behaviour;
} BadLauncher;

typedef WpLauncherClass BadLauncherClass;

static GType bad_launcher_get_type (void);
G_DEFINE_TYPE (BadLauncher, bad_launcher, WP_TYPE_LAUNCHER)

typedef WpLauncher AbsentLauncher;
typedef WpLauncherClass AbsentLauncherClass;

static GType absent_launcher_get_type (void);
G_DEFINE_TYPE (AbsentLauncher, absent_launcher, WP_TYPE_LAUNCHER)

/* A worker without virtual functions. */
typedef WpWorkerProcess LackingProcess;
typedef WpWorkerProcessClass LackingProcessClass;

static GType lacking_process_get_type (void);
G_DEFINE_TYPE (LackingProcess, lacking_process, WP_TYPE_WORKER_PROCESS)

static void
lacking_process_class_init (LackingProcessClass *klass)
{
}

static void
lacking_process_init (LackingProcess *self)
{
}

static WpWorkerProcess *
bad_launcher_launch (WpLauncher *launcher,
                     guint       worker_id,
                     GError    **error)
{
  const char *argv[] = { "true", NULL };
  g_autoptr (WpLauncher) good = wp_spawn_launcher_new (argv, WP_TRANSPORT_SOCKET);
  BadLauncher *self = (BadLauncher *) launcher;

  if (self->behaviour == BEHAVIOUR_LACKING)
    return g_object_new (lacking_process_get_type (), NULL);

  if (self->behaviour != BEHAVIOUR_NOTHING)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "no worker %u today", worker_id);

  return self->behaviour == BEHAVIOUR_BOTH ? wp_launcher_launch (good, worker_id, NULL) : NULL;
}

static void
bad_launcher_class_init (BadLauncherClass *klass)
{
  klass->launch = bad_launcher_launch;
}

static void
bad_launcher_init (BadLauncher *self)
{
}

static void
absent_launcher_class_init (AbsentLauncherClass *klass)
{
}

static void
absent_launcher_init (AbsentLauncher *self)
{
}

static void
test_subclass_is_checked (void)
{
  g_autoptr (GObject) bad = g_object_new (bad_launcher_get_type (), NULL);
  g_autoptr (GObject) absent = g_object_new (absent_launcher_get_type (), NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_launcher_launch (WP_LAUNCHER (bad), 4, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  g_assert_nonnull (strstr (error->message, "BadLauncher"));
  g_clear_error (&error);

  ((BadLauncher *) bad)->behaviour = BEHAVIOUR_ERROR;
  g_assert_null (wp_launcher_launch (WP_LAUNCHER (bad), 4, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_cmpstr (error->message, ==, "no worker 4 today");
  g_clear_error (&error);
  g_assert_null (wp_launcher_launch (WP_LAUNCHER (bad), 4, NULL));

  /* The error counts, and the worker beside it is let go. */
  ((BadLauncher *) bad)->behaviour = BEHAVIOUR_BOTH;
  g_assert_null (wp_launcher_launch (WP_LAUNCHER (bad), 4, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_clear_error (&error);

  ((BadLauncher *) bad)->behaviour = BEHAVIOUR_LACKING;
  g_assert_null (wp_launcher_launch (WP_LAUNCHER (bad), 4, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  g_assert_nonnull (strstr (error->message, "LackingProcess"));
  g_assert_nonnull (strstr (error->message, "wait_async ()"));
  g_clear_error (&error);

  g_assert_null (wp_launcher_launch (WP_LAUNCHER (absent), 0, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  g_assert_nonnull (strstr (error->message, "AbsentLauncher"));
}

static void
assert_cannot_start (const char *program,
                     const char *cause)
{
  const WpTransport transports[] = { WP_TRANSPORT_SOCKET, WP_TRANSPORT_STDIO };
  const char *argv[] = { program, "argument", NULL };

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (WpLauncher) launcher = wp_spawn_launcher_new (argv, transports[i]);
      g_autoptr (GError) error = NULL;

      g_assert_null (wp_launcher_launch (launcher, 0, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
      g_assert_true (g_str_has_prefix (error->message, "Cannot start the host “"));
      g_assert_nonnull (strstr (error->message, program));
      g_assert_nonnull (strstr (error->message, cause));
    }
}

static void
test_missing_program_is_an_error (void)
{
  assert_cannot_start ("/nowhere/absent-host", "No such file or directory");
  assert_cannot_start ("absent-host-that-no-path-holds", "No such file or directory");
}

static void
test_not_executable_is_an_error (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  int fd;

  fd = g_file_open_tmp ("test-launcher-XXXXXX", &path, &error);
  g_assert_no_error (error);
  close (fd);
  g_assert_cmpint (chmod (path, 0600), ==, 0);
  assert_cannot_start (path, "Permission denied");
  g_assert_cmpint (unlink (path), ==, 0);

  assert_cannot_start ("/", "Permission denied");
}

static void
test_empty_argv_is_an_error (void)
{
  const char *const empty[] = { NULL };
  g_autoptr (GObject) without = g_object_new (WP_TYPE_SPAWN_LAUNCHER, NULL);
  g_autoptr (GObject) with_none = g_object_new (WP_TYPE_SPAWN_LAUNCHER, "argv", empty, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_launcher_launch (WP_LAUNCHER (without), 0, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  g_clear_error (&error);
  g_assert_null (wp_launcher_launch (WP_LAUNCHER (with_none), 0, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
}

/* Starts workers with more and more descriptors allowed, until it works; each failure has to be clean. */
static void
try_descriptor_limits (WpTransport transport)
{
  const char *argv[] = { "true", NULL };
  g_autoptr (WpLauncher) launcher = wp_spawn_launcher_new (argv, transport);
  guint n_failed = 0;
  gboolean started = FALSE;
  guint before = count_open_descriptors ();
  struct rlimit limit;
  int next;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  /* The limit is on numbers, and the lowest free one is taken first. */
  next = open ("/dev/null", O_RDONLY);
  close (next);

  for (guint i = 0; i < N_DESCRIPTOR_LIMITS && !started; i++)
    {
      g_autoptr (WpWorkerProcess) process = NULL;
      g_autoptr (GError) error = NULL;

      limit.rlim_cur = next + i;
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
      process = wp_launcher_launch (launcher, 0, &error);
      limit.rlim_cur = limit.rlim_max;
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);

      if (process == NULL)
        {
          g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
          g_assert_true (g_str_has_prefix (error->message, "Cannot start the host “true”: "));
          g_assert_cmpuint (count_open_descriptors (), ==, before);
          n_failed++;
        }
      else
        {
          g_assert_no_error (error);
          started = TRUE;
        }
    }

  g_assert_cmpuint (n_failed, >=, 2);
  g_assert_true (started);
}

static void
test_too_many_open_files (void)
{
  if (g_test_subprocess ())
    {
      try_descriptor_limits (WP_TRANSPORT_SOCKET);
      return;
    }

  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

static void
test_too_many_open_files_stdio (void)
{
  if (g_test_subprocess ())
    {
      try_descriptor_limits (WP_TRANSPORT_STDIO);
      return;
    }

  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

static void
test_status_and_pid (void)
{
  const char *argv[] = { "/bin/sh", "-c", "read line; exit 7", NULL };
  g_autoptr (Peer) peer = peer_launch (argv, WP_TRANSPORT_STDIO);
  int pid = wp_worker_process_get_pid (peer->process);
  int status;

  peer_close (peer);
  status = peer_wait (peer);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 7);
  g_assert_cmpint (pid, >, 1);

  /* Nobody else is hit: with the pid reused, this would be the test itself or another process. */
  wp_worker_process_send_signal (peer->process, SIGKILL);
  g_assert_cmpint (wp_worker_process_get_pid (peer->process), ==, pid);
}

static void
test_signals_arrive (void)
{
  const char *argv[] = { "/bin/sh", "-c", "read line", NULL };
  g_autoptr (Peer) peer = peer_launch (argv, WP_TRANSPORT_STDIO);
  int status;

  wp_worker_process_send_signal (peer->process, SIGTERM);
  status = peer_wait (peer);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGTERM);
}

static void
on_wait_cancelled (GObject      *source,
                   GAsyncResult *result,
                   gpointer      user_data)
{
  gboolean *cancelled = user_data;
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_worker_process_wait_finish (WP_WORKER_PROCESS (source), result, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  *cancelled = TRUE;
}

/* In a process group of its own, since a kill of 0 or of a negative number ends groups. */
static void
test_no_child_is_an_error (void)
{
  int pids[2] = { 0 };

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  g_assert_cmpint (setpgid (0, 0), ==, 0);
  pids[1] = -getpid ();
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (wp_child_process_new (pids[i], NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    }
}

static void
test_wait_can_be_cancelled (void)
{
  const char *argv[] = { "/bin/sh", "-c", "read line", NULL };
  g_autoptr (Peer) peer = peer_launch (argv, WP_TRANSPORT_STDIO);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gboolean cancelled = FALSE;

  wp_worker_process_wait_async (peer->process, cancellable, on_wait_cancelled, &cancelled);
  g_cancellable_cancel (cancellable);
  while (!cancelled)
    g_main_context_iteration (NULL, TRUE);

  /* The worker and the other wait live on. */
  g_assert_false (peer->ended);
}

static void
test_environment_names_channel_and_owner (void)
{
  const char *socket_argv[] = {
    "/bin/sh", "-c", "test \"$WORKERPOOL_CHANNEL\" = fd:3 && test \"$WORKERPOOL_OWNER\" = $PPID && test -S /dev/fd/3",
    NULL,
  };
  const char *stdio_argv[] = {
    "/bin/sh", "-c", "test \"$WORKERPOOL_CHANNEL\" = stdio && test -z \"$WORKERPOOL_OWNER\" && ! test -e /dev/fd/3",
    NULL,
  };
  g_autoptr (Peer) over_socket = peer_launch (socket_argv, WP_TRANSPORT_SOCKET);
  g_autoptr (Peer) over_stdio = NULL;

  g_assert_cmpint (peer_wait (over_socket), ==, 0);
  over_stdio = peer_launch (stdio_argv, WP_TRANSPORT_STDIO);
  g_assert_cmpint (peer_wait (over_stdio), ==, 0);
}

static void
test_environment_is_that_of_the_launch (void)
{
  const char *argv[] = { "/bin/sh", "-c", "test \"$WORKERPOOL_TEST_VARIABLE\" = now", NULL };
  g_autoptr (WpLauncher) launcher = wp_spawn_launcher_new (argv, WP_TRANSPORT_SOCKET);
  g_autoptr (WpWorkerProcess) process = NULL;
  g_autoptr (GError) error = NULL;
  Peer peer = { 0 };

  g_setenv ("WORKERPOOL_TEST_VARIABLE", "now", TRUE);
  process = wp_launcher_launch (launcher, 0, &error);
  g_unsetenv ("WORKERPOOL_TEST_VARIABLE");
  g_assert_no_error (error);

  wp_worker_process_wait_async (process, NULL, on_peer_ended, &peer);
  g_assert_cmpint (peer_wait (&peer), ==, 0);
}

static void
test_channels_never_block (void)
{
  const char *argv[] = { "/bin/sh", "-c", "exec sleep 1000 <&0", NULL };
  const WpTransport transports[] = { WP_TRANSPORT_SOCKET, WP_TRANSPORT_STDIO };
  const WpFrameHeader header = { .type = WP_FRAME_CHUNK };
  g_autoptr (GPtrArray) body = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  g_ptr_array_add (body, g_bytes_new_take (g_malloc0 (32 * 1024), 32 * 1024));
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (Peer) peer = peer_launch (argv, transports[i]);
      g_auto (WpFrame) frame = { 0 };
      int attached;

      /* Nobody reads. */
      while (!wp_channel_has_output (peer->channel))
        g_assert_true (wp_channel_send (peer->channel, &header, NULL, body, -1, NULL));
      g_assert_false (wp_channel_receive (peer->channel, &frame, &attached, NULL));
      g_assert_cmpint (fcntl (wp_channel_get_input_fd (peer->channel), F_GETFD) & FD_CLOEXEC, !=, 0);
      g_assert_cmpint (fcntl (wp_channel_get_output_fd (peer->channel), F_GETFD) & FD_CLOEXEC, !=, 0);
    }
}

static void
test_end_of_process_ends_channel (void)
{
  const char *argv[] = { "true", NULL };
  const WpTransport transports[] = { WP_TRANSPORT_SOCKET, WP_TRANSPORT_STDIO };

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (Peer) peer = peer_launch (argv, transports[i]);
      g_auto (WpFrame) frame = { 0 };

      g_assert_false (peer_try_receive (peer, &frame));
    }
}

static void
test_default_host (void)
{
  g_autofree char *folder = g_strdup (g_getenv ("WORKERPOOL_HOST_DIR"));
  g_autofree char *expected = g_build_filename (folder, "workerpool-host", NULL);
  g_auto (GStrv) generic = NULL;
  g_auto (GStrv) itself = NULL;
  g_autofree char *program = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  generic = wp_host_get_default_argv (&error);
  g_assert_no_error (error);
  g_assert_cmpstrv (generic, ((const char *const[]) { expected, NULL }));

  g_setenv ("WORKERPOOL_HOST_DIR", "/nowhere", TRUE);
  g_assert_null (wp_host_get_default_argv (&error));
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  g_assert_nonnull (strstr (error->message, "/nowhere/workerpool-host"));
  g_clear_error (&error);

  /* A program that registers functions is its own host, with its own arguments. */
  wp_process_set_is_host ();
  itself = wp_host_get_default_argv (&error);
  g_assert_no_error (error);
  program = g_file_read_link ("/proc/self/exe", NULL);
  g_assert_cmpstr (itself[0], ==, program);
  g_assert_cmpuint (g_strv_length (itself), >, 1);
}

static void
test_properties (void)
{
  const char *argv[] = { "program", "argument", NULL };
  g_autoptr (WpLauncher) launcher = wp_spawn_launcher_new (argv, WP_TRANSPORT_STDIO);
  g_auto (GStrv) read_argv = NULL;
  g_autofree char *nick = NULL;
  WpTransport transport;

  g_object_get (launcher, "argv", &read_argv, "transport", &transport, NULL);
  g_assert_cmpstrv (read_argv, argv);
  g_assert_cmpint (transport, ==, WP_TRANSPORT_STDIO);
  g_assert_cmpstrv (wp_spawn_launcher_get_argv (WP_SPAWN_LAUNCHER (launcher)), argv);
  g_assert_cmpint (wp_spawn_launcher_get_transport (WP_SPAWN_LAUNCHER (launcher)), ==, WP_TRANSPORT_STDIO);

  nick = g_enum_to_string (WP_TYPE_TRANSPORT, WP_TRANSPORT_STDIO);
  g_assert_cmpstr (nick, ==, "WP_TRANSPORT_STDIO");
  g_clear_pointer (&nick, g_free);
  nick = g_enum_to_string (WP_TYPE_START_METHOD, WP_START_METHOD_FORKSERVER);
  g_assert_cmpstr (nick, ==, "WP_START_METHOD_FORKSERVER");
}

static const BracketedTest tests[] = {
  { "/launch/launcher/subclass-is-checked", test_subclass_is_checked },
  { "/launch/spawn/missing-program-is-an-error", test_missing_program_is_an_error },
  { "/launch/spawn/program-that-is-not-executable-is-an-error", test_not_executable_is_an_error },
  { "/launch/spawn/empty-argv-is-an-error", test_empty_argv_is_an_error },
  { "/launch/spawn/too-many-open-files-is-an-error", test_too_many_open_files },
  { "/launch/spawn/too-many-open-files-is-an-error-over-stdio", test_too_many_open_files_stdio },
  { "/launch/spawn/environment-names-channel-and-owner", test_environment_names_channel_and_owner },
  { "/launch/spawn/environment-is-that-of-the-launch", test_environment_is_that_of_the_launch },
  { "/launch/spawn/channels-never-block", test_channels_never_block },
  { "/launch/spawn/end-of-process-ends-its-channel", test_end_of_process_ends_channel },
  { "/launch/spawn/properties-are-what-was-given", test_properties },
  { "/launch/process/status-and-pid-are-kept", test_status_and_pid },
  { "/launch/process/signals-arrive", test_signals_arrive },
  { "/launch/process/wait-can-be-cancelled", test_wait_can_be_cancelled },
  { "/launch/process/that-is-no-child-is-an-error", test_no_child_is_an_error },
  { "/launch/host/default-is-found", test_default_host },
};

int
main (int   argc,
      char *argv[])
{
  const char *true_argv[] = { "true", NULL };

  peer_warm_up (true_argv);

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
