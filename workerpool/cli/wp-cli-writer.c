/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-writer.h"

#include <errno.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One dispatch writes no more than this, so that signals and input have their turn. */
#define DISPATCH_MAX (64 * 1024)

struct _WpCliWriter
{
  int fd;
  gsize slice;
  WpCliWriterFunc before;
  WpCliWriterFunc after;
  WpCliWriterDoneFunc done;
  gpointer user_data;

  GString *buffer;
  gsize written; /* of the buffer */
  guint64 n_written;
  guint source_id;
};

WpCliWriter *
wp_cli_writer_new (int                   fd,
                   WpCliWriterFunc       before,
                   WpCliWriterFunc       after,
                   WpCliWriterDoneFunc   done,
                   gpointer              user_data)
{
  WpCliWriter *self = g_new0 (WpCliWriter, 1);
  struct stat status;

  self->fd = fd;
  self->before = before;
  self->after = after;
  self->done = done;
  self->user_data = user_data;
  self->buffer = g_string_new (NULL);

  /* A pipe that polls writable takes PIPE_BUF bytes without blocking; more may block. The
   * descriptor is not made non-blocking, because other programs share it. */
  self->slice = PIPE_BUF;
  if (fstat (fd, &status) == 0 && S_ISREG (status.st_mode))
    self->slice = DISPATCH_MAX;

  return self;
}

void
wp_cli_writer_free (WpCliWriter *self)
{
  g_clear_handle_id (&self->source_id, g_source_remove);
  g_string_free (self->buffer, TRUE);
  g_free (self);
}

GString *
wp_cli_writer_get_buffer (WpCliWriter *self)
{
  return self->buffer;
}

gsize
wp_cli_writer_get_pending (WpCliWriter *self)
{
  return self->buffer->len - self->written;
}

guint64
wp_cli_writer_get_n_written (WpCliWriter *self)
{
  return self->n_written;
}

static gboolean
end (WpCliWriter *self, int errnum)
{
  g_autoptr (GError) error = NULL;

  g_string_truncate (self->buffer, 0);
  self->written = 0;
  self->source_id = 0;

  if (errnum != 0)
    g_set_error (&error, G_IO_ERROR, g_io_error_from_errno (errnum),
                 "The results could not be written: %s", g_strerror (errnum));
  self->done (error, self->user_data);

  return G_SOURCE_REMOVE;
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer user_data)
{
  WpCliWriter *self = user_data;
  const gsize until = MIN (self->buffer->len, self->written + DISPATCH_MAX);
  const gsize before = self->written;
  struct pollfd polled = { .fd = fd, .events = POLLOUT };
  int errnum = 0;

  self->before (self->user_data);

  do
    {
      const gsize size = MIN (self->slice, until - self->written);
      gssize n = write (fd, self->buffer->str + self->written, size);

      if (n >= 0)
        self->written += n;
      else if (errno != EINTR)
        errnum = errno;
    }
  while (errnum == 0 && self->written < until && poll (&polled, 1, 0) > 0);

  self->n_written += self->written - before;
  self->after (self->user_data);

  if (errnum != 0 && errnum != EAGAIN)
    return end (self, errnum);
  if (self->written == self->buffer->len)
    return end (self, 0);

  g_string_erase (self->buffer, 0, self->written);
  self->written = 0;

  return G_SOURCE_CONTINUE;
}

void
wp_cli_writer_flush (WpCliWriter *self)
{
  if (self->source_id == 0 && wp_cli_writer_get_pending (self) > 0)
    self->source_id = g_unix_fd_add (self->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, on_writable, self);
}
