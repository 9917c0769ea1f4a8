/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-server-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/wp-error.h"

/* The kernel's rounding leaves room for a second descriptor, which nobody may send. */
#define MAX_DESCRIPTORS 2

typedef union
{
  struct cmsghdr header; /* for its alignment */
  char bytes[CMSG_SPACE (MAX_DESCRIPTORS * sizeof (int))];
} Control;

static gboolean
set_io_error (GError    **error,
              const char *what)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", what, g_strerror (saved_errno));
  return FALSE;
}

gboolean
wp_server_socket_send (int      socket,
                       GBytes  *packet,
                       int      fd,
                       GError **error)
{
  Control control = { .bytes = "" };
  struct msghdr header = { 0 };
  struct iovec vector;
  gsize size;
  ssize_t sent;

  vector.iov_base = (gpointer) g_bytes_get_data (packet, &size);
  vector.iov_len = size;
  header.msg_iov = &vector;
  header.msg_iovlen = 1;

  if (fd >= 0)
    {
      struct cmsghdr *rights;

      header.msg_control = control.bytes;
      header.msg_controllen = CMSG_SPACE (sizeof fd);
      rights = CMSG_FIRSTHDR (&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (rights), &fd, sizeof fd);
    }

  do
    sent = sendmsg (socket, &header, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);

  return sent >= 0 || set_io_error (error, "A message between a pool and its fork server cannot be sent");
}

/* The one descriptor; FALSE when there were more, which are closed with it. */
static gboolean
take_descriptor (struct msghdr *header,
                 int           *fd)
{
  guint n = 0;

  for (struct cmsghdr *rights = CMSG_FIRSTHDR (header); rights != NULL; rights = CMSG_NXTHDR (header, rights))
    {
      if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
        continue;

      for (gsize at = 0; CMSG_LEN (at + sizeof *fd) <= rights->cmsg_len; at += sizeof *fd)
        {
          if (*fd >= 0)
            close (*fd);
          memcpy (fd, CMSG_DATA (rights) + at, sizeof *fd);
          n++;
        }
    }

  return n <= 1;
}

gboolean
wp_server_socket_receive (int              socket,
                          gboolean         from_server,
                          WpServerMessage *message,
                          int             *fd,
                          GError         **error)
{
  /* One byte more shows that a packet is too long. */
  guint8 packet[WP_SERVER_MESSAGE_MAX + 1];
  Control control = { .bytes = "" };
  struct iovec vector = { packet, sizeof packet };
  struct msghdr header = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = control.bytes,
    .msg_controllen = sizeof control.bytes,
  };
  ssize_t received;

  *fd = -1;
  memset (message, 0, sizeof *message);

  /* A side that ends without having read everything resets the connection, which is said once, before what that side
   * has sent can be read. */
  do
    received = recvmsg (socket, &header, MSG_CMSG_CLOEXEC);
  while (received < 0 && (errno == EINTR || errno == ECONNRESET));

  if (received < 0)
    return set_io_error (error, "No message can be received between a pool and its fork server");

  if (!take_descriptor (&header, fd))
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "several descriptors at once");
      return FALSE;
    }
  if (received == 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The other side has closed the socket");
      return FALSE;
    }

  return wp_server_message_decode (message, packet, received, from_server, error);
}
