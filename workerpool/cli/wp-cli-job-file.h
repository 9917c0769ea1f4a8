/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "wp-cli-job-log.h"

G_BEGIN_DECLS

/* The job log as a file, which this command alone writes to. */
typedef struct _WpCliJobFile WpCliJobFile;

/* With a log, to which everything is added that is in the file, the file is continued; without, it starts again: then
 * it is emptied, unless it is no job log. It may not be what the items are read from; @input is -1 where they are
 * arguments. */
WpCliJobFile *wp_cli_job_file_open  (const char *path, WpCliJobLog *log, int input, GError **error);
void          wp_cli_job_file_free  (WpCliJobFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliJobFile, wp_cli_job_file_free)

/* A line that may be written once so many bytes of the results are, which are no less than for the line before. */
void          wp_cli_job_file_add   (WpCliJobFile *file, const WpCliJobLine *line, guint64 n_bytes);
/* Writes the lines whose results are written, all at once; and the first line, of a new file. */
gboolean      wp_cli_job_file_flush (WpCliJobFile *file, guint64 n_bytes, GError **error);

G_END_DECLS
