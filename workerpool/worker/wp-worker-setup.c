/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-worker-setup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib-unix.h>
#include <glib/gstdio.h>

#include "channel/wp-process.h"
#include "channel/wp-server-socket.h"
#include "worker/wp-descriptors.h"
#include "worker/wp-inherited-locks.h"
#include "worker/wp-program.h"

/* The kernel's limit for a thread's name, with its NUL. */
#define WP_THREAD_NAME_SIZE 16

void
wp_worker_setup_set_death_signal (int signum)
{
  /* The kernel refuses only numbers that are no signals. */
  prctl (PR_SET_PDEATHSIG, signum, 0, 0, 0);
}

/* An owner that died before the death signal was asked for will never cause it. */
gboolean
wp_worker_setup_check_owner (int      owner,
                             GError **error)
{
  /* It is not known behind a wrapper, where the end of the channel has to do. */
  if (owner == 0 || getppid () == owner)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The owner of this worker, process %d, has died", owner);
  return FALSE;
}

static WpChannel *
wrap_socket (int      fd,
             GError **error)
{
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, error);

  return socket != NULL ? wp_channel_new_for_socket (socket) : NULL;
}

static gboolean
is_unix_socket (int fd,
                int wanted_type)
{
  socklen_t size = sizeof (int);
  int domain = 0;
  int type = 0;

  return getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
         getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
         domain == AF_UNIX && type == wanted_type;
}

static WpChannel *
open_socket (int      fd,
             GError **error)
{
  if (!is_unix_socket (fd, SOCK_STREAM))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "%s names the descriptor %d, which is not a Unix stream socket; a wrapper around the host has to "
                   "pass on that descriptor, or the channel has to use the standard streams",
                   WP_CHANNEL_VARIABLE, fd);
      return NULL;
    }

  /* The programs that tasks start may not hold the channel open. */
  fcntl (fd, F_SETFD, FD_CLOEXEC);

  return wrap_socket (fd, error);
}

/* -1 after an error. */
static int
open_server_socket (const char *channel,
                    GError    **error)
{
  guint64 fd;

  if (!g_str_has_prefix (channel, WP_FORKSERVER_ROLE ":") ||
      !g_ascii_string_to_unsigned (channel + strlen (WP_FORKSERVER_ROLE ":"), 10, 0, G_MAXINT, &fd, NULL) ||
      !is_unix_socket ((int) fd, SOCK_SEQPACKET))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "%s is “%s”, which does not name the Unix seqpacket socket of a fork server; a wrapper around the "
                   "host has to pass on its descriptors",
                   WP_CHANNEL_VARIABLE, channel);
      return -1;
    }

  fcntl ((int) fd, F_SETFD, FD_CLOEXEC);

  return (int) fd;
}

static gboolean
set_io_error (GError    **error,
              const char *what)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", what, g_strerror (saved_errno));
  return FALSE;
}

/* Takes a standard stream away from whoever reads or prints later in this process. */
static int
take_stream (int      fd,
             GError **error)
{
  int taken = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

  if (taken < 0)
    set_io_error (error, fd == STDIN_FILENO ? "The channel's standard input cannot be used"
                                            : "The channel's standard output cannot be used");
  return taken;
}

static gboolean
redirect_standard_streams (GError **error)
{
  int null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  gboolean redirected;

  if (null_fd < 0)
    return set_io_error (error, "Cannot open /dev/null for the worker's standard input");

  /* What was printed by mistake shows on the standard error, or nowhere if that is closed. */
  redirected = dup2 (null_fd, STDIN_FILENO) >= 0 &&
               (dup2 (STDERR_FILENO, STDOUT_FILENO) >= 0 || dup2 (null_fd, STDOUT_FILENO) >= 0);
  if (!redirected)
    set_io_error (error, "Cannot redirect the worker's standard streams");

  if (null_fd > STDERR_FILENO)
    close (null_fd);

  return redirected;
}

static WpChannel *
open_standard_streams (GError **error)
{
  g_autoptr (GOutputStream) output = NULL;
  g_autoptr (GInputStream) input = NULL;
  int input_fd;
  int output_fd;

  input_fd = take_stream (STDIN_FILENO, error);
  if (input_fd < 0)
    return NULL;
  input = g_unix_input_stream_new (input_fd, TRUE);

  output_fd = take_stream (STDOUT_FILENO, error);
  if (output_fd < 0)
    return NULL;
  output = g_unix_output_stream_new (output_fd, TRUE);

  if (!redirect_standard_streams (error))
    return NULL;

  if (!g_pollable_input_stream_can_poll (G_POLLABLE_INPUT_STREAM (input)) ||
      !g_pollable_output_stream_can_poll (G_POLLABLE_OUTPUT_STREAM (output)))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           "The channel's standard input and output have to be pipes or sockets to a pool, not "
                           "files");
      return NULL;
    }

  if (!g_unix_set_fd_nonblocking (input_fd, TRUE, error) || !g_unix_set_fd_nonblocking (output_fd, TRUE, error))
    return NULL;

  return wp_channel_new_for_streams (input, output);
}

static WpChannel *
open_channel (const char *channel,
              GError    **error)
{
  guint64 fd;

  if (strcmp (channel, "stdio") == 0)
    return open_standard_streams (error);

  if (g_str_has_prefix (channel, "fd:") &&
      g_ascii_string_to_unsigned (channel + strlen ("fd:"), 10, 0, G_MAXINT, &fd, NULL))
    return open_socket ((int) fd, error);

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               "%s is “%s”, but has to be “fd:” and a descriptor's number, or “stdio”", WP_CHANNEL_VARIABLE, channel);
  return NULL;
}

static void
do_nothing (int signum)
{
}

static void
forget_ignored (int signum)
{
  struct sigaction action;

  if (sigaction (signum, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
    signal (signum, SIG_DFL);
}

static void
settle_signals (void)
{
  /* Not SIG_IGN: the programs that tasks run would inherit that. */
  const struct sigaction nothing = { .sa_handler = do_nothing, .sa_flags = SA_RESTART };
  sigset_t none;

  /* Whoever interrupts the owner means the owner, which decides what becomes of its workers. */
  sigaction (SIGINT, &nothing, NULL);
  /* A pool that is gone shows as an error of the write. */
  sigaction (SIGPIPE, &nothing, NULL);
  /* An owner that ignores these would have workers that cannot be asked to end, and whose children are not waited
   * for. */
  forget_ignored (SIGTERM);
  forget_ignored (SIGCHLD);

  /* A group of its own, by which the pool ends the processes that tasks have left behind. */
  setpgid (0, 0);

  /* The mask is inherited from the thread that launched, which may have blocked SIGTERM. */
  sigemptyset (&none);
  pthread_sigmask (SIG_SETMASK, &none, NULL);
}

/* What a new program would not inherit either: handlers, which belong to what was copied. Those of faults may stay,
 * since whoever has set them wants to be told of one. */
static void
forget_signal_handlers (void)
{
  for (int signum = 1; signum < NSIG; signum++)
    {
      struct sigaction action;

      if (signum == SIGSEGV || signum == SIGBUS || signum == SIGILL || signum == SIGFPE || signum == SIGTRAP ||
          signum == SIGABRT || signum == SIGSYS)
        continue;

      if (sigaction (signum, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
        signal (signum, SIG_DFL);
    }
}

/* A worker that was started through /proc/self/exe would be "exe" in top and ps. */
static void
settle_name (void)
{
  char name[WP_THREAD_NAME_SIZE] = "";

  if (prctl (PR_GET_NAME, name, 0, 0, 0) == 0 && strcmp (name, "exe") == 0)
    prctl (PR_SET_NAME, wp_program_get_name (), 0, 0, 0);
}

/* What the environment says, and the ties to the owner. (transfer full), NULL after an error. */
static char *
take_role (GError **error)
{
  g_autofree char *channel = NULL;

  if (!wp_process_is_requested ())
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "%s cannot be a worker: it was not started by a pool", wp_program_get_name ());
      return NULL;
    }

  channel = wp_process_take_channel ();
  if (channel == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                   "%s has its worker already: a process can be one worker only", wp_program_get_name ());
      return NULL;
    }

  wp_worker_setup_set_death_signal (SIGKILL);
  if (!wp_worker_setup_check_owner (wp_process_get_owner (), error))
    return NULL;

  wp_descriptors_fill_standard ();
  settle_name ();

  return g_steal_pointer (&channel);
}

/* Refuses to be a fork server, so that the pool need not wait for what does not come. */
static void
refuse_to_serve (const char *channel,
                 GError    **error)
{
  int fd = open_server_socket (channel, error);
  WpServerMessage message = { .type = WP_SERVER_FAILED };
  g_autoptr (GBytes) packet = NULL;

  if (fd < 0)
    return;

  message.error = g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                               "the host %s does not know the start method “forkserver”, because it does not call "
                               "wp_worker_main(); use “spawn”",
                               wp_program_get_name ());
  packet = wp_server_message_encode (&message);
  wp_server_socket_send (fd, packet, -1, NULL);
  close (fd);
  g_propagate_error (error, message.error);
}

WpChannel *
wp_worker_setup (GError **error)
{
  g_autofree char *channel = NULL;
  const gboolean is_server = wp_process_is_server_requested ();
  WpChannel *opened;

  channel = take_role (error);
  if (channel == NULL)
    return NULL;

  if (is_server)
    {
      refuse_to_serve (channel, error);
      return NULL;
    }

  opened = open_channel (channel, error);
  /* After the channel: making the first GSocket has GLib ignore SIGPIPE. */
  settle_signals ();

  return opened;
}

int
wp_worker_setup_server (GError **error)
{
  g_autofree char *channel = NULL;
  int fd;

  channel = take_role (error);
  if (channel == NULL)
    return -1;

  fd = open_server_socket (channel, error);
  settle_signals ();

  return fd;
}

/* Else all copies would draw the same numbers, and make the same identifiers with g_uuid_string_random (). */
static void
renew_random (void)
{
  guint32 seed;

  if (getrandom (&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
    g_random_set_seed (seed);
}

WpChannel *
wp_worker_setup_copy (const WpWorkerRequest *request,
                      GError               **error)
{
  WpChannel *channel;
  int null_fd;

  wp_worker_setup_set_death_signal (SIGKILL);
  if (!wp_worker_setup_check_owner (request->parent, error))
    {
      close (request->channel);
      return NULL;
    }

  wp_descriptors_disown (request->channel);
  wp_descriptors_fill_standard ();
  wp_inherited_locks_begin_trial ();

  /* What the original had printed and not yet written it will write itself. */
  __fpurge (stdout);
  __fpurge (stderr);
  null_fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd >= 0)
    {
      if (wp_descriptors_is_standard (STDIN_FILENO))
        dup2 (null_fd, STDIN_FILENO);
      close (null_fd);
    }

  channel = wrap_socket (request->channel, error);
  renew_random ();
  forget_signal_handlers ();
  settle_signals ();
  wp_inherited_locks_end_trial ();

  return channel;
}

WpChannel *
wp_worker_setup_thread (const WpWorkerRequest *request,
                        GError               **error)
{
  wp_process_set_thread_pool (request->pool);

  return wrap_socket (request->channel, error);
}
