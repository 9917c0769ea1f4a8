/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-channel-pair.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static gboolean
lift (int *fd)
{
  int lifted = fcntl (*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

  if (lifted < 0)
    return FALSE;

  close (*fd);
  *fd = lifted;

  return TRUE;
}

gboolean
wp_socket_pair_new (int type,
                    int fds[2])
{
  gboolean are_lifted = TRUE;

  if (socketpair (AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
    return FALSE;

  for (guint i = 0; i < 2 && are_lifted; i++)
    if (fds[i] <= STDERR_FILENO)
      are_lifted = lift (&fds[i]);

  if (!are_lifted)
    {
      int saved_errno = errno;

      close (fds[0]);
      close (fds[1]);
      errno = saved_errno;
    }

  return are_lifted;
}

GIOStream *
wp_channel_pair_new (int     *worker_fd,
                     GError **error)
{
  g_autoptr (GSocket) socket = NULL;
  int fds[2];

  if (!wp_socket_pair_new (SOCK_STREAM | SOCK_NONBLOCK, fds))
    {
      int saved_errno = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
                   "the socketpair of its channel cannot be made: %s", g_strerror (saved_errno));
      return NULL;
    }

  socket = g_socket_new_from_fd (fds[0], error);
  if (socket == NULL)
    {
      close (fds[0]);
      close (fds[1]);
      return NULL;
    }

  *worker_fd = fds[1];

  return G_IO_STREAM (g_socket_connection_factory_create_connection (socket));
}
