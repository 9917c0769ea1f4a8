/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-forkserver.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib-unix.h>

#include "channel/wp-error.h"
#include "channel/wp-process.h"
#include "channel/wp-server-socket.h"
#include "launch/wp-channel-pair.h"
#include "launch/wp-host-process.h"

/* How long a server that was asked to end may take for its exit handlers. */
#define END_TIMEOUT (G_TIME_SPAN_SECOND / 2)

typedef enum
{
  SERVER_LOADING, /* it is not known whether it can make workers */
  SERVER_READY,
  SERVER_ENDING,
  SERVER_GONE,
} ServerState;

/* A packet that waits for room in the socket, or for the server to be ready. */
typedef struct
{
  guint64 id; /* of the worker to start, or 0 */
  GBytes *packet;
  int fd; /* or -1 */
} Outgoing;

struct _WpForkserver
{
  grefcount ref_count;

  GMainContext *context;
  WpWorkerProcess *process;
  char *program;
  int pid;

  ServerState state;
  gboolean was_ready;
  gboolean doubted; /* one of its workers was given up before it was ready: it may hang */
  GError *fault;    /* nullable: why it was ended */
  gint64 end_due;   /* when it has to have ended, or 0 */

  int socket; /* -1 once closed */
  GSource *input;
  GSource *output;
  GSource *timer;
  GQueue received; /* WpServerMessage, read ahead */
  GQueue outgoing; /* Outgoing */
  GHashTable *workers; /* id → WpForkserverProcess that has not ended */
  guint64 last_id;
};

static void
outgoing_free (Outgoing *outgoing)
{
  g_bytes_unref (outgoing->packet);
  if (outgoing->fd >= 0)
    close (outgoing->fd);
  g_free (outgoing);
}

static void
received_free (gpointer data)
{
  WpServerMessage *message = data;

  wp_server_message_clear (message);
  g_free (message);
}

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;

  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
close_socket (WpForkserver *self)
{
  clear_source (&self->input);
  clear_source (&self->output);
  g_queue_clear_full (&self->outgoing, (GDestroyNotify) outgoing_free);
  if (self->socket >= 0)
    close (self->socket);
  self->socket = -1;
}

WpForkserver *
wp_forkserver_ref (WpForkserver *self)
{
  g_ref_count_inc (&self->ref_count);

  return self;
}

void
wp_forkserver_unref (WpForkserver *self)
{
  if (!g_ref_count_dec (&self->ref_count))
    return;

  close_socket (self);
  clear_source (&self->timer);
  g_queue_clear_full (&self->received, received_free);
  g_clear_pointer (&self->workers, g_hash_table_unref);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_clear_object (&self->process);
  g_clear_error (&self->fault);
  g_free (self->program);
  g_free (self);
}

/* The workers that have not ended, each with a reference, so that they can be told one by one. */
static GPtrArray *
list_workers (WpForkserver *self)
{
  GPtrArray *workers = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer worker;

  g_hash_table_iter_init (&iter, self->workers);
  while (g_hash_table_iter_next (&iter, NULL, &worker))
    g_ptr_array_add (workers, g_object_ref (worker));

  return workers;
}

/* Ends */

static void
kill_server (WpForkserver *self)
{
  self->state = SERVER_ENDING;
  wp_worker_process_send_signal (self->process, SIGKILL);
}

/* It cannot go on; takes the fault, which continues "it was ended: ". */
static void
end_faulty (WpForkserver *self,
            GError       *fault)
{
  if (self->fault == NULL)
    self->fault = fault;
  else
    g_error_free (fault);

  kill_server (self);
}

static void
fail_worker (WpForkserver        *self,
             WpForkserverProcess *worker,
             const GError        *cause)
{
  wp_forkserver_process_end (worker, 0, g_error_new (cause->domain, cause->code,
                                                     "could not be started by its fork server: %s", cause->message));
  g_hash_table_remove (self->workers, GSIZE_TO_POINTER (wp_forkserver_process_get_id (worker)));
}

static gboolean
on_timer (gpointer user_data)
{
  WpForkserver *self = user_data;
  const gint64 now = g_get_monotonic_time ();
  g_autoptr (GPtrArray) workers = list_workers (self);
  gint64 next = self->end_due;

  clear_source (&self->timer);
  if (self->end_due != 0 && self->end_due <= now)
    {
      self->end_due = 0;
      kill_server (self);
      return G_SOURCE_REMOVE;
    }

  for (guint i = 0; i < workers->len; i++)
    {
      gint64 due = wp_forkserver_process_get_due (g_ptr_array_index (workers, i));

      if (due != 0 && (next == 0 || due < next))
        next = due;
    }

  if (next == 0)
    return G_SOURCE_REMOVE;

  if (next > now)
    wp_forkserver_expect (self, next);
  else if (self->state == SERVER_LOADING || self->state == SERVER_READY)
    end_faulty (self, g_error_new_literal (WP_ERROR, WP_ERROR_WORKER_DIED,
                                           "it did not answer: it is stopped, or hangs"));

  return G_SOURCE_REMOVE;
}

void
wp_forkserver_expect (WpForkserver *self,
                      gint64        due)
{
  if (self->timer != NULL && g_source_get_ready_time (self->timer) <= due)
    return;

  clear_source (&self->timer);
  self->timer = g_timeout_source_new (0);
  g_source_set_static_name (self->timer, "WorkerPool fork server");
  g_source_set_ready_time (self->timer, due);
  g_source_set_callback (self->timer, on_timer, self, NULL);
  g_source_attach (self->timer, self->context);
}

/* How it ended, as the continuation of a sentence about a worker. */
static char *
describe_end (WpForkserver *self,
              int           status,
              const GError *wait_error)
{
  g_autofree char *server = NULL;

  /* One that was gone before its number could be asked for has none. */
  if (self->pid > 0)
    server = g_strdup_printf ("its fork server (pid %d)", self->pid);
  else
    server = g_strdup ("its fork server");

  if (self->fault != NULL)
    return g_strdup_printf ("%s was ended: %s", server, self->fault->message);
  if (wait_error != NULL)
    return g_strdup_printf ("%s %s", server, wait_error->message);
  if (WIFSIGNALED (status))
    return g_strdup_printf ("%s was killed by signal %d (%s)", server, WTERMSIG (status),
                            g_strsignal (WTERMSIG (status)));

  return g_strdup_printf ("%s exited with status %d", server, WEXITSTATUS (status));
}

static void
bereave_workers (WpForkserver *self,
                 const char   *how)
{
  g_autoptr (GPtrArray) workers = list_workers (self);

  g_hash_table_remove_all (self->workers);
  for (guint i = 0; i < workers->len; i++)
    {
      WpForkserverProcess *worker = g_ptr_array_index (workers, i);

      if (wp_forkserver_process_is_started (worker))
        wp_forkserver_process_bereave (worker, g_error_new (WP_ERROR, WP_ERROR_WORKER_DIED, "ended because %s", how));
      else if (self->was_ready || self->fault != NULL)
        wp_forkserver_process_end (worker, 0, g_error_new (WP_ERROR, WP_ERROR_START_FAILED,
                                                           "could not be started because %s", how));
      else
        wp_forkserver_process_end (worker, 0,
                                   g_error_new (WP_ERROR, WP_ERROR_START_FAILED,
                                                "could not be started because %s before it was ready: the host, here "
                                                "“%s”, has to call wp_worker_main(), and what it preloads must not "
                                                "end it",
                                                how, self->program));
    }
}

/* Messages */

/* The kernel says which process a pidfd is of: no process any more, if the server has waited for it already. A signal
 * that is sent by such a one reaches nobody. Where no descriptor is left to ask with, the worker goes without, as
 * that of a server that had none to send: *fd is closed and -1. */
static gboolean
check_pidfd (int *fd,
             int  pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", *fd);
  g_autofree char *wanted = g_strdup_printf ("\nPid:\t%d\n", pid);
  g_autofree char *info = NULL;
  g_autoptr (GError) error = NULL;

  if (g_file_get_contents (path, &info, NULL, &error))
    return strstr (info, wanted) != NULL || strstr (info, "\nPid:\t-1\n") != NULL;

  if (!g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_MFILE) &&
      !g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NFILE))
    return FALSE;

  close (*fd);
  *fd = -1;
  return TRUE;
}

static gboolean
set_flaw (GError    **error,
          const char *flaw)
{
  g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, flaw);
  return FALSE;
}

/* The worker, if the server was asked for it. */
static WpForkserverProcess *
find_asked_worker (WpForkserver *self,
                   guint64       id)
{
  if (self->state == SERVER_LOADING)
    return NULL;

  for (GList *l = self->outgoing.head; l != NULL; l = l->next)
    if (((Outgoing *) l->data)->id == id)
      return NULL;

  return g_hash_table_lookup (self->workers, GSIZE_TO_POINTER (id));
}

/* Takes the descriptor. */
static gboolean
take_started (WpForkserver          *self,
              const WpServerMessage *message,
              int                    fd,
              GError               **error)
{
  WpForkserverProcess *worker = find_asked_worker (self, message->id);
  const char *flaw = NULL;

  if (worker == NULL || wp_forkserver_process_is_started (worker))
    flaw = "the start of a worker that it was not asked for";
  else if (message->pid == getpid () || message->pid == getpgrp () || message->pid == self->pid)
    flaw = "a number that is no worker's process";
  else if (fd >= 0 && !check_pidfd (&fd, message->pid))
    flaw = "a descriptor that is not its worker's";

  if (flaw != NULL)
    {
      if (fd >= 0)
        close (fd);
      return set_flaw (error, flaw);
    }

  wp_forkserver_process_set_started (worker, message->pid, fd);

  return TRUE;
}

static gboolean
take_ended (WpForkserver          *self,
            const WpServerMessage *message,
            GError               **error)
{
  WpForkserverProcess *worker = find_asked_worker (self, message->id);

  if (worker == NULL || !wp_forkserver_process_is_started (worker))
    return set_flaw (error, "the end of a worker that it had not started");

  wp_forkserver_process_end (worker, message->status, NULL);
  g_hash_table_remove (self->workers, GSIZE_TO_POINTER (message->id));

  return TRUE;
}

static void send_outgoing (WpForkserver *self);

static gboolean
take_ready (WpForkserver *self,
            GError      **error)
{
  if (self->state != SERVER_LOADING)
    return set_flaw (error, "twice that it is ready");

  self->state = SERVER_READY;
  self->was_ready = TRUE;
  send_outgoing (self);

  return TRUE;
}

static gboolean
take_failed (WpForkserver          *self,
             const WpServerMessage *message,
             GError               **error)
{
  g_autoptr (GPtrArray) workers = NULL;
  WpForkserverProcess *worker;

  if (message->id != 0)
    {
      worker = find_asked_worker (self, message->id);
      if (worker == NULL || wp_forkserver_process_is_started (worker))
        return set_flaw (error, "the failure of a worker that it was not asked for");

      fail_worker (self, worker, message->error);
      return TRUE;
    }

  if (self->state != SERVER_LOADING)
    return set_flaw (error, "that it cannot start when it had started");

  workers = list_workers (self);
  for (guint i = 0; i < workers->len; i++)
    fail_worker (self, g_ptr_array_index (workers, i), message->error);
  wp_forkserver_end (self);

  return TRUE;
}

static gboolean
take_message (WpForkserver          *self,
              const WpServerMessage *message,
              GError               **error)
{
  /* What it says after a fault is worth nothing, and when it was asked to end only the ends of its workers are. */
  if (self->fault != NULL || (self->state == SERVER_ENDING && message->type != WP_SERVER_ENDED))
    return TRUE;

  switch (message->type)
    {
    case WP_SERVER_READY:
      return take_ready (self, error);

    case WP_SERVER_FAILED:
      return take_failed (self, message, error);

    case WP_SERVER_ENDED:
      return take_ended (self, message, error);

    case WP_SERVER_SETUP:
    case WP_SERVER_FORK:
    case WP_SERVER_SIGNAL:
    case WP_SERVER_STARTED:
    default:
      g_assert_not_reached ();
    }
}

/* Reads what is there; workers that have started learn of it at once, everything else waits in its order. FALSE:
 * nothing can follow. */
static gboolean
read_messages (WpForkserver *self,
               GError      **error)
{
  while (self->socket >= 0)
    {
      g_auto (WpServerMessage) message = { 0 };
      g_autoptr (GError) read_error = NULL;
      int fd = -1;

      if (wp_server_socket_receive (self->socket, TRUE, &message, &fd, &read_error))
        {
          if (message.type == WP_SERVER_STARTED)
            {
              if (!take_started (self, &message, fd, error))
                return FALSE;
              continue;
            }

          g_queue_push_tail (&self->received, g_memdup2 (&message, sizeof message));
          memset (&message, 0, sizeof message);
        }

      if (fd >= 0)
        close (fd);
      if (g_error_matches (read_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return TRUE;
      if (read_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&read_error));
          return FALSE;
        }
    }

  return TRUE;
}

static gboolean
take_messages (WpForkserver *self,
               GError      **error)
{
  WpServerMessage *message;

  while ((message = g_queue_pop_head (&self->received)) != NULL)
    {
      gboolean taken = take_message (self, message, error);

      received_free (message);
      if (!taken)
        return FALSE;
    }

  return TRUE;
}

static gboolean
on_input (int          fd,
          GIOCondition condition,
          gpointer     user_data)
{
  WpForkserver *self = user_data;
  g_autoptr (GError) error = NULL;

  g_source_set_ready_time (self->input, -1);
  if (read_messages (self, &error) && take_messages (self, &error))
    return G_SOURCE_CONTINUE;
  if (self->state == SERVER_GONE)
    return G_SOURCE_REMOVE;

  /* What it sent before. */
  take_messages (self, NULL);
  if (error->domain == WP_ERROR)
    {
      close_socket (self);
      end_faulty (self, g_error_new (WP_ERROR, WP_ERROR_PROTOCOL, "it sent %s", error->message));
      return G_SOURCE_REMOVE;
    }

  /* Most often it is dying, and how it dies says more than that its socket ended. */
  close_socket (self);
  if (self->state != SERVER_ENDING)
    wp_forkserver_end (self);

  return G_SOURCE_REMOVE;
}

void
wp_forkserver_read_ahead (WpForkserver *self)
{
  g_autoptr (GError) error = NULL;

  if (self->socket < 0 || self->state != SERVER_READY)
    return;

  /* An error shows again, or is made to show, where something can follow from it. */
  if (!read_messages (self, &error) && error->domain == WP_ERROR)
    end_faulty (self, g_error_new (WP_ERROR, WP_ERROR_PROTOCOL, "it sent %s", error->message));
  if (!g_queue_is_empty (&self->received))
    g_source_set_ready_time (self->input, 0);
}

/* Requests */

static gboolean
on_output (int          fd,
           GIOCondition condition,
           gpointer     user_data)
{
  send_outgoing (user_data);

  return G_SOURCE_CONTINUE;
}

static void
send_outgoing (WpForkserver *self)
{
  Outgoing *next;

  if (self->state != SERVER_READY)
    return;

  while ((next = g_queue_peek_head (&self->outgoing)) != NULL)
    {
      g_autoptr (GError) error = NULL;
      WpForkserverProcess *worker;

      wp_server_socket_send (self->socket, next->packet, next->fd, &error);
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        {
          if (self->output == NULL)
            {
              self->output = g_unix_fd_source_new (self->socket, G_IO_OUT);
              g_source_set_static_name (self->output, "WorkerPool fork server");
              g_source_set_callback (self->output, G_SOURCE_FUNC (on_output), self, NULL);
              g_source_attach (self->output, self->context);
            }
          return;
        }

      worker = g_hash_table_lookup (self->workers, GSIZE_TO_POINTER (next->id));
      /* A server that is gone shows as the end of its process. */
      if (error != NULL && worker != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        fail_worker (self, worker, error);
      outgoing_free (g_queue_pop_head (&self->outgoing));
    }

  clear_source (&self->output);
}

static void
queue_message (WpForkserver          *self,
               const WpServerMessage *message,
               int                    fd)
{
  Outgoing *outgoing = g_new0 (Outgoing, 1);

  outgoing->id = message->type == WP_SERVER_FORK ? message->id : 0;
  outgoing->packet = wp_server_message_encode (message);
  outgoing->fd = fd;
  g_queue_push_tail (&self->outgoing, outgoing);
  send_outgoing (self);
}

WpWorkerProcess *
wp_forkserver_launch (WpForkserver *self,
                      GError      **error)
{
  const WpServerMessage message = { .type = WP_SERVER_FORK, .id = self->last_id + 1 };
  g_autoptr (GIOStream) channel = NULL;
  WpForkserverProcess *worker;
  int worker_fd;

  channel = wp_channel_pair_new (&worker_fd, error);
  if (channel == NULL)
    return NULL;

  worker = wp_forkserver_process_new (self, ++self->last_id, channel);
  g_hash_table_insert (self->workers, GSIZE_TO_POINTER (self->last_id), g_object_ref (worker));
  queue_message (self, &message, worker_fd);

  return WP_WORKER_PROCESS (worker);
}

gboolean
wp_forkserver_withdraw (WpForkserver *self,
                        guint64       id)
{
  for (GList *l = self->outgoing.head; l != NULL; l = l->next)
    {
      Outgoing *outgoing = l->data;

      if (outgoing->id != id)
        continue;

      g_queue_delete_link (&self->outgoing, l);
      outgoing_free (outgoing);
      g_hash_table_remove (self->workers, GSIZE_TO_POINTER (id));

      if (self->state == SERVER_LOADING)
        {
          self->doubted = TRUE;
          if (g_hash_table_size (self->workers) == 0)
            kill_server (self);
        }
      return TRUE;
    }

  return FALSE;
}

void
wp_forkserver_send_signal (WpForkserver *self,
                           guint64       id,
                           int           signum)
{
  const WpServerMessage message = { .type = WP_SERVER_SIGNAL, .id = id, .signum = signum };

  if (self->state == SERVER_READY && self->socket >= 0)
    queue_message (self, &message, -1);
}

/* Life */

gboolean
wp_forkserver_is_usable (WpForkserver *self)
{
  return self->socket >= 0 && !self->doubted && (self->state == SERVER_LOADING || self->state == SERVER_READY);
}

gboolean
wp_forkserver_is_gone (WpForkserver *self)
{
  return self->state == SERVER_GONE;
}

GMainContext *
wp_forkserver_get_context (WpForkserver *self)
{
  return self->context;
}

void
wp_forkserver_end (WpForkserver *self)
{
  const gboolean loading = self->state == SERVER_LOADING;

  if (self->state == SERVER_GONE)
    return;

  self->state = SERVER_ENDING;
  close_socket (self);
  /* One that is still loading does not look at its socket. */
  if (loading && g_hash_table_size (self->workers) == 0)
    kill_server (self);
  else if (self->end_due == 0)
    {
      self->end_due = g_get_monotonic_time () + END_TIMEOUT;
      wp_forkserver_expect (self, self->end_due);
    }
}

static void
on_server_ended (GObject      *source,
                 GAsyncResult *result,
                 gpointer      user_data)
{
  g_autoptr (WpForkserver) self = user_data;
  g_autoptr (GError) wait_error = NULL;
  g_autoptr (GError) read_error = NULL;
  g_autofree char *how = NULL;
  int status = 0;

  wp_worker_process_wait_finish (WP_WORKER_PROCESS (source), result, &status, &wait_error);

  /* What it had said before. */
  read_messages (self, &read_error);
  take_messages (self, NULL);

  self->state = SERVER_GONE;
  close_socket (self);
  clear_source (&self->timer);
  how = describe_end (self, status, wait_error);
  bereave_workers (self, how);
}

static gboolean
send_setup (WpForkserver      *self,
            const char *const *preload,
            const char        *function,
            GError           **error)
{
  const WpServerMessage message = {
    .type = WP_SERVER_SETUP,
    .preload = (char **) preload,
    .function = (char *) function,
  };
  g_autoptr (GBytes) packet = wp_server_message_encode (&message);

  if (packet == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the names of the modules to preload are longer than %d bytes together", WP_SERVER_MESSAGE_MAX);
      return FALSE;
    }

  return wp_server_socket_send (self->socket, packet, -1, error);
}

WpForkserver *
wp_forkserver_start (const char *const *argv,
                     const char *const *preload,
                     const char        *function,
                     GError           **error)
{
  g_autoptr (WpForkserver) self = g_new0 (WpForkserver, 1);
  int fds[2];

  g_ref_count_init (&self->ref_count);
  self->socket = -1;
  self->program = g_strdup (argv[0]);
  self->context = g_main_context_ref_thread_default ();
  self->workers = g_hash_table_new_full (NULL, NULL, NULL, g_object_unref);
  g_queue_init (&self->received);
  g_queue_init (&self->outgoing);

  if (!wp_socket_pair_new (SOCK_SEQPACKET, fds))
    {
      int saved_errno = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
                   "the socketpair of its fork server cannot be made: %s", g_strerror (saved_errno));
      return NULL;
    }

  self->socket = fds[0];
  if (!g_unix_set_fd_nonblocking (self->socket, TRUE, error) || !send_setup (self, preload, function, error))
    {
      close (fds[1]);
      return NULL;
    }

  self->process = wp_host_process_start (argv, WP_FORKSERVER_ROLE, fds[1], NULL, error);
  if (self->process == NULL)
    return NULL;

  self->pid = wp_worker_process_get_pid (self->process);
  self->input = g_unix_fd_source_new (self->socket, G_IO_IN);
  g_source_set_static_name (self->input, "WorkerPool fork server");
  g_source_set_callback (self->input, G_SOURCE_FUNC (on_input), self, NULL);
  g_source_attach (self->input, self->context);
  wp_worker_process_wait_async (self->process, NULL, on_server_ended, wp_forkserver_ref (self));

  return g_steal_pointer (&self);
}
