/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-fork-server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/wp-board.h"
#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "channel/wp-server-socket.h"
#include "worker/wp-function-private.h"
#include "worker/wp-module.h"
#include "worker/wp-program.h"
#include "worker/wp-task.h"
#include "worker/wp-task-context-private.h"
#include "worker/wp-worker-setup.h"

typedef struct
{
  int socket; /* to the pool; blocks */
  int signals; /* readable when a child has ended */
  GHashTable *ids; /* pid → guint64, of the workers that were not reaped */
} Server;

static void
server_clear (Server *self)
{
  if (self->socket >= 0)
    close (self->socket);
  if (self->signals >= 0)
    close (self->signals);
  g_clear_pointer (&self->ids, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Server, server_clear)

static gboolean
send_message (Server                *self,
              const WpServerMessage *message,
              int                    fd,
              GError               **error)
{
  g_autoptr (GBytes) packet = wp_server_message_encode (message);

  return wp_server_socket_send (self->socket, packet, fd, error);
}

/* Loading */

static gboolean
call_function (const char *name,
               GError    **error)
{
  g_autoptr (GVariant) args = g_variant_ref_sink (g_variant_new ("()"));
  g_autoptr (WpTaskContext) context = NULL;
  g_autoptr (WpFunction) function = NULL;
  g_autoptr (GVariant) value = NULL;
  WpBoard *board;

  function = wp_function_lookup (name, error);
  if (function == NULL)
    return FALSE;

  board = wp_board_new_private ();
  context = wp_task_context_new (0, board, NULL, NULL, NULL);
  wp_task_context_begin (context, 0, 0, 0);
  value = wp_task_run (function, name, context, args, error);
  wp_task_context_end (context);
  g_clear_object (&context);
  wp_board_free (board);

  return value != NULL;
}

static gboolean
load (const WpServerMessage *setup,
      GError               **error)
{
  for (guint i = 0; setup->preload[i] != NULL; i++)
    if (!wp_module_preload (setup->preload[i], error))
      {
        g_prefix_error (error, "preload failed: ");
        return FALSE;
      }

  if (setup->function != NULL && !call_function (setup->function, error))
    {
      g_prefix_error (error, "preload-function “%s” failed: ", setup->function);
      return FALSE;
    }

  return TRUE;
}

/* The first message; the pool sends it before this process exists. */
static gboolean
receive_setup (Server          *self,
               WpServerMessage *setup,
               GError         **error)
{
  int fd;

  if (!wp_server_socket_receive (self->socket, FALSE, setup, &fd, error))
    return FALSE;

  if (fd >= 0)
    close (fd);
  if (setup->type == WP_SERVER_SETUP)
    return TRUE;

  g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "The pool broke the protocol: it sent no setup");
  return FALSE;
}

static void
warn_of_threads (void)
{
  g_autoptr (GDir) threads = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;

  while (threads != NULL && g_dir_read_name (threads) != NULL)
    n++;
  if (n <= 1)
    return;

  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE,
                    "WORKERPOOL_START_METHOD", "forkserver",
                    "MESSAGE", "What the fork server of %s has loaded has started threads (%u): they are not in the "
                    "workers, which hang if one of them holds a lock that a task needs; start threads in a task "
                    "instead, or use the start method “spawn”",
                    wp_program_get_name (), n - 1);
}

static gboolean
watch_children (Server  *self,
                GError **error)
{
  sigset_t child_ended;

  sigemptyset (&child_ended);
  sigaddset (&child_ended, SIGCHLD);
  /* What was loaded may have set another one, and then none of the ends would be seen. A worker's mask is its own. */
  signal (SIGCHLD, SIG_DFL);
  pthread_sigmask (SIG_BLOCK, &child_ended, NULL);

  self->signals = signalfd (-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);
  if (self->signals >= 0)
    return TRUE;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "The ends of workers cannot be watched: %s",
               g_strerror (errno));
  return FALSE;
}

/* Workers */

/* In the new worker. The pool has to hear that it has started before it hears anything from it; then the other end of
 * the gate is closed. */
G_GNUC_NORETURN static void
become_worker (WpWorkerRequest *request,
               int              gate)
{
  int status;
  char byte;

  while (read (gate, &byte, sizeof byte) < 0 && errno == EINTR)
    continue;

  status = wp_process_enter_worker (request);
  /* What the tasks have printed; whatever else waits to be written belongs to the server. */
  fflush (stdout);
  _exit (status);
}

static gboolean
set_fork_error (GError **error)
{
  int saved_errno = errno;

  g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED, "%s", g_strerror (saved_errno));
  return FALSE;
}

/* FALSE: the worker cannot be started, which is not the end of the server. Takes the channel. */
static gboolean
fork_worker (Server  *self,
             guint64  id,
             int      channel,
             GError **error)
{
  WpWorkerRequest request = { .channel = channel, .parent = (int) getpid () };
  WpServerMessage message = { .type = WP_SERVER_STARTED, .id = id };
  int gate[2];
  int pidfd;

  if (pipe2 (gate, O_CLOEXEC) < 0)
    {
      set_fork_error (error);
      close (channel);
      return FALSE;
    }

  message.pid = fork ();
  if (message.pid == 0)
    {
      close (gate[1]);
      become_worker (&request, gate[0]);
    }

  if (message.pid < 0)
    set_fork_error (error);
  close (channel);
  close (gate[0]);

  if (message.pid > 0)
    {
      g_hash_table_insert (self->ids, GINT_TO_POINTER (message.pid), g_memdup2 (&id, sizeof id));
      /* Through syscall (), since older C libraries do not know it. Without it the pool asks this process. */
      pidfd = (int) syscall (SYS_pidfd_open, message.pid, 0);
      /* A pool that is gone shows as the end of the socket. */
      send_message (self, &message, pidfd, NULL);
      if (pidfd >= 0)
        close (pidfd);
    }
  close (gate[1]);

  return message.pid > 0;
}

static void
start_worker (Server *self,
              guint64 id,
              int     channel)
{
  WpServerMessage failed = { .type = WP_SERVER_FAILED, .id = id };
  gboolean started;

  if (channel >= 0)
    {
      started = fork_worker (self, id, channel, &failed.error);
    }
  else
    {
      started = FALSE;
      failed.error = g_error_new_literal (WP_ERROR, WP_ERROR_START_FAILED,
                                          "its channel did not arrive: there are too many open files");
    }

  if (!started)
    send_message (self, &failed, -1, NULL);
  g_clear_error (&failed.error);
}

static void
signal_worker (Server *self,
               guint64 id,
               int     signum)
{
  GHashTableIter iter;
  gpointer pid, worker_id;

  g_hash_table_iter_init (&iter, self->ids);
  while (g_hash_table_iter_next (&iter, &pid, &worker_id))
    if (*(guint64 *) worker_id == id)
      kill (GPOINTER_TO_INT (pid), signum);
}

static void
reap_children (Server *self)
{
  struct signalfd_siginfo ended;
  siginfo_t info = { 0 };

  while (read (self->signals, &ended, sizeof ended) > 0)
    continue;

  while (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0)
    {
      WpServerMessage message = { .type = WP_SERVER_ENDED };
      const guint64 *id = g_hash_table_lookup (self->ids, GINT_TO_POINTER (info.si_pid));

      /* A worker leads a process group, so what its tasks have started and left ends with it. Its number is still
       * taken, by the zombie. */
      if (id != NULL)
        kill (-info.si_pid, SIGKILL);
      if (waitpid (info.si_pid, &message.status, 0) < 0)
        return;

      if (id != NULL)
        {
          message.id = *id;
          send_message (self, &message, -1, NULL);
          g_hash_table_remove (self->ids, GINT_TO_POINTER (info.si_pid));
        }
      info.si_pid = 0;
    }
}

/* FALSE without error: the pool has closed its end. */
static gboolean
take_request (Server  *self,
              GError **error)
{
  g_auto (WpServerMessage) message = { 0 };
  g_autoptr (GError) receive_error = NULL;
  int fd = -1;

  if (!wp_server_socket_receive (self->socket, FALSE, &message, &fd, &receive_error))
    {
      if (fd >= 0)
        close (fd);
      if (receive_error->domain == WP_ERROR)
        g_propagate_error (error, g_steal_pointer (&receive_error));
      return FALSE;
    }

  if (message.type == WP_SERVER_FORK)
    {
      start_worker (self, message.id, fd);
      return TRUE;
    }

  if (fd >= 0)
    close (fd);
  if (message.type == WP_SERVER_SIGNAL)
    {
      signal_worker (self, message.id, message.signum);
      return TRUE;
    }

  g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "The pool broke the protocol: it sent the setup twice");
  return FALSE;
}

static gboolean
serve (Server  *self,
       GError **error)
{
  struct pollfd sources[] = {
    { .fd = self->socket, .events = POLLIN },
    { .fd = self->signals, .events = POLLIN },
  };
  GError *request_error = NULL;

  for (;;)
    {
      if (poll (sources, G_N_ELEMENTS (sources), -1) < 0)
        continue;

      if (sources[1].revents != 0)
        reap_children (self);
      if (sources[0].revents != 0 && !take_request (self, &request_error))
        break;
    }

  if (request_error != NULL)
    g_propagate_error (error, request_error);

  return request_error == NULL;
}

gboolean
wp_fork_server_run (GError **error)
{
  const WpServerMessage ready = { .type = WP_SERVER_READY };
  WpServerMessage failed = { .type = WP_SERVER_FAILED };
  g_auto (WpServerMessage) setup = { 0 };
  g_autoptr (GError) send_error = NULL;
  g_auto (Server) self = { .socket = -1, .signals = -1 };

  self.socket = wp_worker_setup_server (error);
  if (self.socket < 0)
    return FALSE;

  self.ids = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  if (!receive_setup (&self, &setup, error))
    return FALSE;

  if (!load (&setup, &failed.error) || !watch_children (&self, &failed.error))
    {
      send_message (&self, &failed, -1, NULL);
      g_propagate_error (error, failed.error);
      return FALSE;
    }

  warn_of_threads ();
  /* What was printed meanwhile is printed once, and by this process. */
  fflush (stdout);

  /* A pool that has ended meanwhile is not there to hear it. */
  if (!send_message (&self, &ready, -1, &send_error) &&
      !g_error_matches (send_error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
    {
      g_propagate_error (error, g_steal_pointer (&send_error));
      return FALSE;
    }

  return serve (&self, error);
}
