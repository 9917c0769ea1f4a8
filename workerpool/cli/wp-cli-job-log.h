/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The job log as text: what stands in a line, and what the lines of a whole log say. No file is touched here.
 *
 * The first line names the columns; each line after it is one task that has ended, with a tab between two columns. A
 * task that ran again later has another line, and the last one counts. */
#define WP_CLI_JOB_LOG_HEADER "index\tworker\tstart\tseconds\tstatus\tretries\tdigest\titem\n"

/* What a line tells. */
typedef struct
{
  guint64 index;
  gint64 worker;   /* -1: no worker ran it */
  gint64 start;    /* Unix time in microseconds; -1: not known */
  gint64 run_time; /* in microseconds; not known when the start is not */
  guint n_retries;
  const GError *error; /* NULL: the task succeeded */
  guint64 digest;
  const char *item; /* for people; one line without tabs */
} WpCliJobLine;

void         wp_cli_job_line_format (const WpCliJobLine *line, GString *text);

/* Tells one job from another: the same function, of the same item. */
typedef struct _WpCliJobDigest WpCliJobDigest;

WpCliJobDigest *wp_cli_job_digest_new  (const char *function);
void            wp_cli_job_digest_free (WpCliJobDigest *digest);
guint64         wp_cli_job_digest_get  (WpCliJobDigest *digest, GVariant *item);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliJobDigest, wp_cli_job_digest_free)

/* How a task ended, as its last line says. */
typedef struct
{
  guint64 index;
  guint64 digest;
  gboolean failed;
} WpCliJobRecord;

/* What a log says of all tasks. */
typedef struct _WpCliJobLog WpCliJobLog;

WpCliJobLog          *wp_cli_job_log_new      (void);
void                  wp_cli_job_log_free     (WpCliJobLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliJobLog, wp_cli_job_log_free)

/* Reads the next bytes of a log, cut anywhere. Fails with G_IO_ERROR_INVALID_DATA at what no log has. */
gboolean              wp_cli_job_log_read     (WpCliJobLog *log, const char *bytes, gsize length, GError **error);
/* After the last byte: only then are there records. A last line that does not end is not part of the log, because it
 * may have been cut. */
gboolean              wp_cli_job_log_end      (WpCliJobLog *log, GError **error);

/* The bytes of the lines that end. */
guint64               wp_cli_job_log_get_size (WpCliJobLog *log);
guint                 wp_cli_job_log_get_n_ended  (WpCliJobLog *log);
guint                 wp_cli_job_log_get_n_failed (WpCliJobLog *log);
/* One more than the largest index. */
guint64               wp_cli_job_log_get_end  (WpCliJobLog *log);
/* (nullable): no line tells of it. */
const WpCliJobRecord *wp_cli_job_log_find     (WpCliJobLog *log, guint64 index);

G_END_DECLS
