/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-transport.h"

#include <errno.h>
#include <gio/gfiledescriptorbased.h>
#include <glib-unix.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel/wp-frame.h"

/* Beside the number of bytes that were read or written. */
#define NOTHING_NOW (-1)
#define BROKEN      (-2)

struct _WpTransport
{
  GSocket *socket; /* or the streams */
  GInputStream *input;
  GOutputStream *output;
  int input_fd;
  int output_fd;
  int timeout_ms; /* of reads that wait; 0: for ever */
};

WpTransport *
wp_transport_new_for_socket (GSocket *socket)
{
  WpTransport *transport = g_new0 (WpTransport, 1);

  transport->socket = g_object_ref (socket);
  transport->input_fd = transport->output_fd = g_socket_get_fd (socket);
  /* So that a read can wait; all others ask not to. */
  g_unix_set_fd_nonblocking (transport->input_fd, FALSE, NULL);
  return transport;
}

WpTransport *
wp_transport_new_for_streams (GInputStream *input, GOutputStream *output)
{
  WpTransport *transport = g_new0 (WpTransport, 1);

  transport->input = g_object_ref (input);
  transport->output = g_object_ref (output);
  transport->input_fd = g_file_descriptor_based_get_fd (G_FILE_DESCRIPTOR_BASED (input));
  transport->output_fd = g_file_descriptor_based_get_fd (G_FILE_DESCRIPTOR_BASED (output));

  /* A writable pipe takes a part of a write only when it is non-blocking; else it blocks for the
   * rest. */
  g_unix_set_fd_nonblocking (transport->input_fd, TRUE, NULL);
  g_unix_set_fd_nonblocking (transport->output_fd, TRUE, NULL);
  return transport;
}

void
wp_transport_free (WpTransport *transport)
{
  g_clear_object (&transport->socket);
  g_clear_object (&transport->input);
  g_clear_object (&transport->output);
  g_free (transport);
}

gboolean
wp_transport_can_wait (WpTransport *transport)
{
  return transport->socket != NULL;
}

void
wp_transport_set_timeout (WpTransport *transport, int timeout_ms)
{
  const struct timeval timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

  if (transport->timeout_ms == timeout_ms)
    return;

  transport->timeout_ms = timeout_ms;
  setsockopt (transport->input_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

gboolean
wp_transport_can_pass_fds (WpTransport *transport)
{
  return transport->socket != NULL;
}

int
wp_transport_get_input_fd (WpTransport *transport)
{
  return transport->input_fd;
}

int
wp_transport_get_output_fd (WpTransport *transport)
{
  return transport->output_fd;
}

static void
fill_pieces (struct iovec *pieces, const GOutputVector *vectors, guint n_vectors)
{
  for (guint i = 0; i < n_vectors; i++)
    pieces[i] = (struct iovec){ .iov_base = (void *) vectors[i].buffer,
                                .iov_len = vectors[i].size };
}

/* What errno says: nothing now, or an error. */
static gssize
fail (GError **error, const char *what)
{
  int saved_errno = errno;

  if (saved_errno == EAGAIN || saved_errno == EWOULDBLOCK)
    return NOTHING_NOW;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
               "Could not %s the channel: %s", what, g_strerror (saved_errno));
  return BROKEN;
}

/* Sockets are used through their descriptor, as streams are: GSocket can only poll for what is to
 * come, and a read that blocks wakes sooner (wp_channel_wait_input ()). */
static gssize
write_to_socket (WpTransport *transport,
                 GOutputVector *vectors,
                 guint n_vectors,
                 int fd,
                 GError **error)
{
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec pieces[WP_TRANSPORT_MAX_VECTORS];
  struct msghdr message = { .msg_iov = pieces, .msg_iovlen = n_vectors };
  gssize written;

  fill_pieces (pieces, vectors, n_vectors);
  if (fd >= 0)
    {
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
      message.msg_control = &control;
      message.msg_controllen = sizeof control;
    }

  do
    written = sendmsg (transport->output_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (written < 0 && errno == EINTR);

  return written >= 0 ? written : fail (error, "write to");
}

/* Streams are written and read through their descriptors:
 * g_pollable_output_stream_writev_nonblocking () of GLib 2.74 logs a warning when the pipe is
 * broken, and both directions would cost two more system calls each.
 *
 * A write to a pipe that nobody reads raises SIGPIPE, which only sockets can be told not to do. The
 * signal goes to the thread that writes, which takes it back: the process never sees it. */
static gssize
write_to_stream (WpTransport *transport, GOutputVector *vectors, guint n_vectors, GError **error)
{
  const struct timespec at_once = { 0, 0 };
  struct iovec pieces[WP_TRANSPORT_MAX_VECTORS];
  sigset_t pipe_signal;
  sigset_t saved;
  gssize written;
  int saved_errno;

  fill_pieces (pieces, vectors, n_vectors);

  sigemptyset (&pipe_signal);
  sigaddset (&pipe_signal, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &pipe_signal, &saved);

  do
    written = writev (transport->output_fd, pieces, n_vectors);
  while (written < 0 && errno == EINTR);
  saved_errno = errno;

  if (written < 0 && saved_errno == EPIPE)
    while (sigtimedwait (&pipe_signal, NULL, &at_once) < 0 && errno == EINTR)
      ;
  pthread_sigmask (SIG_SETMASK, &saved, NULL);

  errno = saved_errno;
  return written >= 0 ? written : fail (error, "write to");
}

gboolean
wp_transport_write (WpTransport *transport,
                    GOutputVector *vectors,
                    guint n_vectors,
                    int fd,
                    gsize *written,
                    GError **error)
{
  gssize result;

  g_return_val_if_fail (n_vectors <= WP_TRANSPORT_MAX_VECTORS, FALSE);

  if (transport->socket != NULL)
    result = write_to_socket (transport, vectors, n_vectors, fd, error);
  else
    result = write_to_stream (transport, vectors, n_vectors, error);

  *written = MAX (result, 0);
  return result != BROKEN;
}

static void
take_fds (GArray *fds, struct msghdr *message)
{
  for (struct cmsghdr *part = CMSG_FIRSTHDR (message); part != NULL;
       part = CMSG_NXTHDR (message, part))
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
      g_array_append_vals (fds, CMSG_DATA (part), (part->cmsg_len - CMSG_LEN (0)) / sizeof (int));
}

static gssize
read_from_socket (WpTransport *transport,
                  guint8 *space,
                  gsize size,
                  gboolean wait,
                  GArray *fds,
                  GError **error)
{
  /* The kernel passes no more of them with one message. */
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (253 * sizeof (int))];
  } control;
  struct iovec piece = { space, size };
  struct msghdr message = {
    .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  gssize n;

  do
    n = recvmsg (transport->input_fd, &message, (wait ? 0 : MSG_DONTWAIT) | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR && !wait);

  /* Who waits may want to look at what a signal's handler has changed. */
  if (n < 0 && errno == EINTR)
    return NOTHING_NOW;
  if (n < 0)
    return fail (error, "read from");

  take_fds (fds, &message);
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES,
                           "A descriptor that came over the channel was lost: this process has too "
                           "many open files; raise its limit (ulimit -n)");
      return BROKEN;
    }
  return n;
}

static gssize
read_from_stream (WpTransport *transport, guint8 *space, gsize size, GError **error)
{
  gssize n;

  do
    n = read (transport->input_fd, space, size);
  while (n < 0 && errno == EINTR);

  return n >= 0 ? n : fail (error, "read from");
}

gboolean
wp_transport_read (WpTransport *transport,
                   guint8 *space,
                   gsize size,
                   gboolean wait,
                   GArray *fds,
                   gsize *n_read,
                   GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gssize n;

  if (transport->socket != NULL)
    n = read_from_socket (transport, space, size, wait, fds, &local_error);
  else
    n = read_from_stream (transport, space, size, &local_error);

  *n_read = MAX (n, 0);
  if (n > 0 || n == NOTHING_NOW)
    return TRUE;

  /* A peer that goes without having read everything resets the connection: that is an end, too. */
  if (n == 0 || g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                         WP_CHANNEL_PEER " closed it");
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}
