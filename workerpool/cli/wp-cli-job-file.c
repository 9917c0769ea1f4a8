/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-job-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE (64 * 1024)

typedef struct
{
  guint64 n_bytes; /* of the results, that are to be written first */
  gsize end;       /* of the line, in the text */
} Line;

struct _WpCliJobFile
{
  char *path;
  int fd;
  GString *text; /* not yet written */
  GArray *lines; /* Line, of the text */
};

static gboolean
set_errno_error (WpCliJobFile *self, const char *what, int errnum, GError **error)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errnum), "The job log “%s” cannot be %s: %s", self->path,
               what, g_strerror (errnum));
  return FALSE;
}

static gboolean
is_regular (WpCliJobFile *self)
{
  struct stat status;

  return fstat (self->fd, &status) == 0 && S_ISREG (status.st_mode);
}

/* A pipe that nobody reads would block the command, and what is no regular file cannot be read again. */
static gboolean
check_type (WpCliJobFile *self, gboolean is_read, GError **error)
{
  struct stat status;

  if (fstat (self->fd, &status) != 0)
    return set_errno_error (self, "opened", errno, error);

  if (S_ISREG (status.st_mode) || (S_ISCHR (status.st_mode) && !is_read))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE, "The job log “%s” is not a regular file",
               self->path);
  return FALSE;
}

/* A log between the results or the items would be neither, and the results may be written over its lines. */
static gboolean
check_streams (WpCliJobFile *self, int input, GError **error)
{
  const int fds[] = { input, STDOUT_FILENO, STDERR_FILENO };
  const char *const names[] = { "input", "standard output", "standard error" };
  struct stat status;
  struct stat other;

  if (fstat (self->fd, &status) != 0)
    return set_errno_error (self, "opened", errno, error);
  if (!S_ISREG (status.st_mode))
    return TRUE;

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0 && fstat (fds[i], &other) == 0 && other.st_dev == status.st_dev && other.st_ino == status.st_ino)
      {
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                     "The job log “%s” is also the %s of this command; name another one", self->path, names[i]);
        return FALSE;
      }

  return TRUE;
}

/* Not flock (): a worker that is being started has a copy of every descriptor for a moment, and would hold on to that
 * lock after this process was killed. */
static gboolean
lock (WpCliJobFile *self, GError **error)
{
  struct flock wanted = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  struct flock found = wanted;

  if (fcntl (self->fd, F_SETLK, &wanted) == 0)
    return TRUE;

  /* Some file systems, and devices, have no locks. */
  if (errno != EAGAIN && errno != EACCES)
    return TRUE;

  if (fcntl (self->fd, F_GETLK, &found) == 0 && found.l_type != F_UNLCK && found.l_pid > 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                 "The job log “%s” is being written by another command (process %d); wait for its end, or name "
                 "another log",
                 self->path, (int) found.l_pid);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                 "The job log “%s” is being written by another command; wait for its end, or name another log",
                 self->path);

  return FALSE;
}

static gboolean
add_bytes (WpCliJobFile *self, WpCliJobLog *log, GError **error)
{
  g_autofree char *buffer = g_malloc (READ_SIZE);
  off_t offset = 0;

  while (TRUE)
    {
      const gssize n = pread (self->fd, buffer, READ_SIZE, offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return set_errno_error (self, "read", errno, error);
      if (n == 0)
        return wp_cli_job_log_end (log, error);
      if (!wp_cli_job_log_read (log, buffer, n, error))
        return FALSE;

      offset += n;
    }
}

static gboolean
read_all (WpCliJobFile *self, WpCliJobLog *log, GError **error)
{
  g_autoptr (GError) read_error = NULL;

  if (add_bytes (self, log, &read_error))
    return TRUE;

  if (!g_error_matches (read_error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA))
    {
      g_propagate_error (error, g_steal_pointer (&read_error));
      return FALSE;
    }

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               "The job log “%s” cannot be used: %s; name another log, or correct this one", self->path,
               read_error->message);
  return FALSE;
}

/* Whoever names a file by mistake is not to lose what is in it. */
static gboolean
check_replaceable (WpCliJobFile *self, GError **error)
{
  char start[sizeof WP_CLI_JOB_LOG_HEADER - 1];
  gssize n;

  do
    n = pread (self->fd, start, sizeof start, 0);
  while (n < 0 && errno == EINTR);

  if (n <= 0 || !is_regular (self) || memcmp (start, WP_CLI_JOB_LOG_HEADER, n) == 0)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
               "The file “%s” is not a job log, and would be overwritten; name another one", self->path);
  return FALSE;
}

/* Cuts a last line that does not end, or everything. */
static gboolean
cut (WpCliJobFile *self, guint64 size, GError **error)
{
  if (is_regular (self) && ftruncate (self->fd, (off_t) size) != 0)
    return set_errno_error (self, "written", errno, error);

  return TRUE;
}

WpCliJobFile *
wp_cli_job_file_open (const char *path, WpCliJobLog *log, int input, GError **error)
{
  g_autoptr (WpCliJobFile) self = g_new0 (WpCliJobFile, 1);
  guint64 size = 0;

  self->path = g_filename_display_name (path);
  self->text = g_string_new (NULL);
  self->lines = g_array_new (FALSE, FALSE, sizeof (Line));

  /* Opening a named pipe would wait for the other end. A regular file takes no notice of O_NONBLOCK. */
  self->fd = open (path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
  if (self->fd < 0)
    {
      set_errno_error (self, "opened", errno, error);
      return NULL;
    }

  if (!check_type (self, log != NULL, error) || !check_streams (self, input, error) || !lock (self, error))
    return NULL;

  if (log != NULL)
    {
      if (!read_all (self, log, error))
        return NULL;
      size = wp_cli_job_log_get_size (log);
    }
  else if (!check_replaceable (self, error))
    {
      return NULL;
    }

  if (!cut (self, size, error))
    return NULL;

  if (size == 0)
    g_string_append (self->text, WP_CLI_JOB_LOG_HEADER);

  return g_steal_pointer (&self);
}

void
wp_cli_job_file_free (WpCliJobFile *self)
{
  if (self->fd >= 0)
    close (self->fd);
  g_string_free (self->text, TRUE);
  g_array_unref (self->lines);
  g_free (self->path);
  g_free (self);
}

void
wp_cli_job_file_add (WpCliJobFile *self, const WpCliJobLine *line, guint64 n_bytes)
{
  Line added = { .n_bytes = n_bytes };

  wp_cli_job_line_format (line, self->text);
  added.end = self->text->len;
  g_array_append_val (self->lines, added);
}

static gboolean
write_text (WpCliJobFile *self, gsize size, GError **error)
{
  gsize written = 0;

  while (written < size)
    {
      const gssize n = write (self->fd, self->text->str + written, size - written);

      if (n < 0 && errno != EINTR)
        return set_errno_error (self, "written", errno, error);
      written += MAX (n, 0);
    }

  g_string_erase (self->text, 0, size);
  return TRUE;
}

gboolean
wp_cli_job_file_flush (WpCliJobFile *self, guint64 n_bytes, GError **error)
{
  gsize size = self->lines->len == 0 ? self->text->len : 0;
  guint n_lines = 0;

  for (; n_lines < self->lines->len; n_lines++)
    {
      const Line *line = &g_array_index (self->lines, Line, n_lines);

      if (line->n_bytes > n_bytes)
        break;
      size = line->end;
    }

  if (size == 0)
    return TRUE;
  if (!write_text (self, size, error))
    return FALSE;

  if (n_lines > 0)
    g_array_remove_range (self->lines, 0, n_lines);
  for (guint i = 0; i < self->lines->len; i++)
    g_array_index (self->lines, Line, i).end -= size;

  return TRUE;
}
