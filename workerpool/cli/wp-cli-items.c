/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-items.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a pipe holds by default. */
#define READ_SIZE (64 * 1024)

/* Counting the items of a file ahead reads it once more: a tenth of a second for a file of this
 * size. */
#define COUNT_MAX (256 * 1024 * 1024)

struct _WpCliItems
{
  char **strings; /* NULL for a stream */

  int fd;
  char separator;
  gboolean at_end;
  GByteArray *bytes;
  gsize start;   /* of the next item in bytes */
  gsize scanned; /* no separator lies between start and here */
};

WpCliItems *
wp_cli_items_new_strv (char **strings)
{
  WpCliItems *self = g_new0 (WpCliItems, 1);

  self->strings = strings;
  self->fd = -1;

  return self;
}

WpCliItems *
wp_cli_items_new_fd (int fd, char separator)
{
  WpCliItems *self = g_new0 (WpCliItems, 1);

  self->fd = fd;
  self->separator = separator;
  self->bytes = g_byte_array_new ();

  return self;
}

void
wp_cli_items_free (WpCliItems *self)
{
  if (self->fd >= 0)
    close (self->fd);
  g_clear_pointer (&self->bytes, g_byte_array_unref);
  g_free (self);
}

int
wp_cli_items_get_fd (WpCliItems *self)
{
  return self->fd;
}

/* A regular file can be read twice. */
static guint64
count_file (WpCliItems *self)
{
  g_autofree char *buffer = g_malloc (READ_SIZE);
  off_t offset = lseek (self->fd, 0, SEEK_CUR);
  guint64 n_items = 0;
  char last = self->separator;
  gssize n;

  while ((n = pread (self->fd, buffer, READ_SIZE, offset)) > 0)
    {
      for (const char *p = buffer; (p = memchr (p, self->separator, buffer + n - p)) != NULL; p++)
        n_items++;
      last = buffer[n - 1];
      offset += n;
    }

  return last == self->separator ? n_items : n_items + 1;
}

guint64
wp_cli_items_get_total (WpCliItems *self)
{
  struct stat status;

  if (self->strings != NULL)
    return g_strv_length (self->strings);

  if (fstat (self->fd, &status) == 0 && S_ISREG (status.st_mode) && status.st_size <= COUNT_MAX)
    return count_file (self);

  return 0;
}

static GVariant *
make_item (const char *bytes, gsize length)
{
  char *copy = g_malloc (length + 1);

  memcpy (copy, bytes, length);
  copy[length] = '\0';

  if (g_utf8_validate (copy, length, NULL))
    return g_variant_ref_sink (g_variant_new_take_string (copy));

  return g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, copy, length + 1, TRUE, g_free, copy));
}

WpCliItemsState
wp_cli_items_next (WpCliItems *self, GVariant **item)
{
  const char *bytes;
  const char *end;

  if (self->strings != NULL)
    {
      if (*self->strings == NULL)
        return WP_CLI_ITEMS_END;

      *item = make_item (*self->strings, strlen (*self->strings));
      self->strings++;
      return WP_CLI_ITEMS_READY;
    }

  if (self->start == self->bytes->len)
    return self->at_end ? WP_CLI_ITEMS_END : WP_CLI_ITEMS_LATER;

  bytes = (const char *) self->bytes->data;
  end = memchr (bytes + self->scanned, self->separator, self->bytes->len - self->scanned);
  if (end == NULL && !self->at_end)
    {
      self->scanned = self->bytes->len;
      return WP_CLI_ITEMS_LATER;
    }

  if (end == NULL)
    {
      *item = make_item (bytes + self->start, self->bytes->len - self->start);
      self->start = self->bytes->len;
    }
  else
    {
      *item = make_item (bytes + self->start, end - (bytes + self->start));
      self->start = end + 1 - bytes;
    }
  self->scanned = self->start;

  return WP_CLI_ITEMS_READY;
}

gboolean
wp_cli_items_read (WpCliItems *self, GError **error)
{
  guint used;
  gssize n;

  if (self->start > 0)
    {
      g_byte_array_remove_range (self->bytes, 0, self->start);
      self->scanned -= self->start;
      self->start = 0;
    }

  used = self->bytes->len;
  if (used > G_MAXUINT / 2)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                   "An item of the input is longer than 2 GiB; is the separator right?");
      return FALSE;
    }

  g_byte_array_set_size (self->bytes, used + READ_SIZE);
  do
    n = read (self->fd, self->bytes->data + used, READ_SIZE);
  while (n < 0 && errno == EINTR);
  g_byte_array_set_size (self->bytes, used + MAX (n, 0));

  /* Another program made the descriptor, which it shares with this one, non-blocking. */
  if (n < 0 && errno == EAGAIN)
    return TRUE;

  if (n < 0)
    {
      const int saved_errno = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
                   "The input could not be read: %s", g_strerror (saved_errno));
      return FALSE;
    }

  self->at_end = n == 0;
  return TRUE;
}
