/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

/* Follows a batch. */
typedef struct _WpCliProgress WpCliProgress;

typedef enum
{
  WP_CLI_PROGRESS_BAR,   /* one line of a terminal: a bar when the number of tasks is known, else a counter */
  WP_CLI_PROGRESS_LINES, /* a line now and then, and at the end, to be kept in a file */
} WpCliProgressStyle;

WpCliProgress *wp_cli_progress_new  (WpBatch *batch, int fd, WpCliProgressStyle style);
/* Clears the line, or prints the last one. */
void           wp_cli_progress_free (WpCliProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliProgress, wp_cli_progress_free)

/* Clears the line until it is drawn again, so that other text can take its place. */
void           wp_cli_progress_hide (WpCliProgress *progress);

G_END_DECLS
