/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

/* A line on a terminal that follows a batch: a bar when the number of tasks is known, else a
 * counter. */
typedef struct _WpCliProgress WpCliProgress;

WpCliProgress *wp_cli_progress_new  (WpBatch *batch, int fd);
/* Clears the line. */
void           wp_cli_progress_free (WpCliProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliProgress, wp_cli_progress_free)

/* Clears the line until it is drawn again, so that other text can take its place. */
void           wp_cli_progress_hide (WpCliProgress *progress);

G_END_DECLS
