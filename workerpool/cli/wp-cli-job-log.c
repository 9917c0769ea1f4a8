/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-job-log.h"

#include <string.h>

#include "wp-cli-format.h"

#define N_COLUMNS 8
#define UNKNOWN "-"

/* No line is as long: an item is shortened to 120 characters, of at most 4 bytes each, and a domain to DOMAIN_MAX. What
 * is longer is another file, which is not to be held in memory. */
#define LINE_MAX_BYTES 4096
#define DOMAIN_MAX 256

/* A digest tells jobs apart that were mixed up by mistake, for which 64 bits are enough. */
#define DIGEST_DIGITS 16

/* Lines */

/* Of another program, which may have put anything in. */
static void
append_domain (GString *text, GQuark domain)
{
  const gsize start = text->len;

  for (const char *p = g_quark_to_string (domain); *p != '\0' && text->len - start < DOMAIN_MAX; p++)
    {
      if (g_ascii_isgraph (*p) && *p != '\\')
        g_string_append_c (text, *p);
      else
        g_string_append_printf (text, "\\x%02x", (guchar) *p);
    }
}

void
wp_cli_job_line_format (const WpCliJobLine *line, GString *text)
{
  g_string_append_printf (text, "%" G_GUINT64_FORMAT "\t", line->index);

  if (line->worker >= 0)
    g_string_append_printf (text, "%" G_GINT64_FORMAT "\t", line->worker);
  else
    g_string_append (text, UNKNOWN "\t");

  if (line->start >= 0)
    g_string_append_printf (text, "%" G_GINT64_FORMAT ".%03d\t%" G_GINT64_FORMAT ".%06d\t",
                            line->start / G_USEC_PER_SEC, (int) (line->start % G_USEC_PER_SEC / 1000),
                            line->run_time / G_USEC_PER_SEC, (int) (line->run_time % G_USEC_PER_SEC));
  else
    g_string_append (text, UNKNOWN "\t" UNKNOWN "\t");

  if (line->error == NULL)
    {
      g_string_append (text, "ok");
    }
  else
    {
      append_domain (text, line->error->domain);
      g_string_append_printf (text, ":%d", line->error->code);
    }

  g_string_append_printf (text, "\t%u\t%016" G_GINT64_MODIFIER "x\t%s\n", line->n_retries, line->digest, line->item);
}

/* The digest */

struct _WpCliJobDigest
{
  GChecksum *function;
  GString *bytes; /* of the item */
};

WpCliJobDigest *
wp_cli_job_digest_new (const char *function)
{
  WpCliJobDigest *self = g_new0 (WpCliJobDigest, 1);

  self->function = g_checksum_new (G_CHECKSUM_SHA256);
  self->bytes = g_string_new (NULL);
  /* With the NUL, so that no part of an item can be taken for one of the name. */
  g_checksum_update (self->function, (const guchar *) function, strlen (function) + 1);

  return self;
}

void
wp_cli_job_digest_free (WpCliJobDigest *self)
{
  g_checksum_free (self->function);
  g_string_free (self->bytes, TRUE);
  g_free (self);
}

guint64
wp_cli_job_digest_get (WpCliJobDigest *self, GVariant *item)
{
  g_autoptr (GChecksum) checksum = g_checksum_copy (self->function);
  guint8 digest[32];
  gsize length = sizeof digest;
  guint64 start;

  g_string_truncate (self->bytes, 0);
  wp_cli_format_text (self->bytes, item);
  g_checksum_update (checksum, (const guchar *) self->bytes->str, self->bytes->len);
  g_checksum_get_digest (checksum, digest, &length);
  memcpy (&start, digest, sizeof start);

  return GUINT64_FROM_BE (start);
}

/* Reading a log */

struct _WpCliJobLog
{
  GString *rest;    /* of a line whose end has not been read */
  GArray *records;  /* WpCliJobRecord; in the end sorted by index, one for each */
  guint64 n_lines;
  guint64 size;
  guint n_failed;
};

WpCliJobLog *
wp_cli_job_log_new (void)
{
  WpCliJobLog *self = g_new0 (WpCliJobLog, 1);

  self->rest = g_string_new (NULL);
  self->records = g_array_new (FALSE, FALSE, sizeof (WpCliJobRecord));

  return self;
}

void
wp_cli_job_log_free (WpCliJobLog *self)
{
  g_string_free (self->rest, TRUE);
  g_array_unref (self->records);
  g_free (self);
}

static gboolean
parse_number (const char *text, guint base, guint64 *number)
{
  return g_ascii_string_to_unsigned (text, base, 0, G_MAXUINT64, number, NULL);
}

static gboolean
is_number_or_unknown (const char *text)
{
  return g_str_equal (text, UNKNOWN) || (*text != '\0' && text[strspn (text, "0123456789")] == '\0');
}

static gboolean
is_decimal_or_unknown (const char *text)
{
  const gsize n_digits = strspn (text, "0123456789");

  return g_str_equal (text, UNKNOWN) || (n_digits > 0 && text[n_digits] == '.' && text[n_digits + 1] != '\0' &&
                                         is_number_or_unknown (text + n_digits + 1));
}

/* "ok", or a domain and a code. */
static gboolean
parse_status (const char *text, gboolean *failed)
{
  const char *colon = strrchr (text, ':');

  *failed = !g_str_equal (text, "ok");
  return !*failed || (colon != NULL && colon > text &&
                      g_ascii_string_to_signed (colon + 1, 10, G_MININT, G_MAXINT, NULL, NULL));
}

static gboolean
parse_line (char *line, WpCliJobRecord *record)
{
  char *columns[N_COLUMNS];
  guint n_columns = 0;

  for (char *next = line; next != NULL; n_columns++)
    {
      if (n_columns == N_COLUMNS)
        return FALSE;

      columns[n_columns] = next;
      next = strchr (next, '\t');
      if (next != NULL)
        *next++ = '\0';
    }

  return n_columns == N_COLUMNS && parse_number (columns[0], 10, &record->index) && record->index < G_MAXUINT64 &&
         is_number_or_unknown (columns[1]) && is_decimal_or_unknown (columns[2]) &&
         is_decimal_or_unknown (columns[3]) && parse_status (columns[4], &record->failed) &&
         is_number_or_unknown (columns[5]) && strlen (columns[6]) == DIGEST_DIGITS &&
         parse_number (columns[6], 16, &record->digest);
}

static gboolean
is_start_of_header (const char *text, gsize length)
{
  return length <= strlen (WP_CLI_JOB_LOG_HEADER) && memcmp (text, WP_CLI_JOB_LOG_HEADER, length) == 0;
}

static gboolean
fail_header (GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "it does not begin as a job log does");
  return FALSE;
}

/* With its end. */
static gboolean
read_line (WpCliJobLog *self, char *line, gsize length, GError **error)
{
  WpCliJobRecord record = { 0 };

  if (self->n_lines == 0)
    {
      if (length != strlen (WP_CLI_JOB_LOG_HEADER) || !is_start_of_header (line, length))
        return fail_header (error);
    }
  else
    {
      line[length - 1] = '\0';
      if (strlen (line) != length - 1 || !parse_line (line, &record))
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       "its line %" G_GUINT64_FORMAT " is not one of a job log", self->n_lines + 1);
          return FALSE;
        }
      g_array_append_val (self->records, record);
    }

  self->n_lines++;
  self->size += length;

  return TRUE;
}

gboolean
wp_cli_job_log_read (WpCliJobLog *self, const char *bytes, gsize length, GError **error)
{
  const char *end;

  while ((end = memchr (bytes, '\n', length)) != NULL)
    {
      const gsize n = end + 1 - bytes;

      g_string_append_len (self->rest, bytes, n);
      if (!read_line (self, self->rest->str, self->rest->len, error))
        return FALSE;

      g_string_truncate (self->rest, 0);
      bytes += n;
      length -= n;
    }

  if (self->n_lines == 0 && self->rest->len + length > strlen (WP_CLI_JOB_LOG_HEADER))
    return fail_header (error);

  if (self->rest->len + length > LINE_MAX_BYTES)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "its line %" G_GUINT64_FORMAT " is longer than any of a job log", self->n_lines + 1);
      return FALSE;
    }

  g_string_append_len (self->rest, bytes, length);
  return TRUE;
}

static gint
compare_records (gconstpointer a, gconstpointer b)
{
  const guint64 one = ((const WpCliJobRecord *) a)->index;
  const guint64 other = ((const WpCliJobRecord *) b)->index;

  return (one > other) - (one < other);
}

gboolean
wp_cli_job_log_end (WpCliJobLog *self, GError **error)
{
  guint n_kept = 0;

  if (self->n_lines == 0 && !is_start_of_header (self->rest->str, self->rest->len))
    return fail_header (error);

  /* The sort is stable: of the records of one task the last one stays. */
  g_array_sort (self->records, compare_records);
  for (guint i = 0; i < self->records->len; i++)
    {
      const WpCliJobRecord *record = &g_array_index (self->records, WpCliJobRecord, i);

      if (i + 1 < self->records->len && record[1].index == record->index)
        continue;

      self->n_failed += record->failed;
      g_array_index (self->records, WpCliJobRecord, n_kept++) = *record;
    }
  g_array_set_size (self->records, n_kept);

  return TRUE;
}

guint64
wp_cli_job_log_get_size (WpCliJobLog *self)
{
  return self->size;
}

guint
wp_cli_job_log_get_n_ended (WpCliJobLog *self)
{
  return self->records->len;
}

guint
wp_cli_job_log_get_n_failed (WpCliJobLog *self)
{
  return self->n_failed;
}

guint64
wp_cli_job_log_get_end (WpCliJobLog *self)
{
  if (self->records->len == 0)
    return 0;

  return g_array_index (self->records, WpCliJobRecord, self->records->len - 1).index + 1;
}

const WpCliJobRecord *
wp_cli_job_log_find (WpCliJobLog *self, guint64 index)
{
  const WpCliJobRecord key = { .index = index };
  guint position;

  if (!g_array_binary_search (self->records, &key, compare_records, &position))
    return NULL;

  return &g_array_index (self->records, WpCliJobRecord, position);
}
