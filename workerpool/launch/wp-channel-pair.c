/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "launch/wp-channel-pair.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

GIOStream *
wp_channel_pair_new (int     *worker_fd,
                     GError **error)
{
  g_autoptr (GSocket) socket = NULL;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
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
