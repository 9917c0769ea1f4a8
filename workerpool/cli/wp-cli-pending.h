/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "wp-cli-items.h"
#include "wp-cli-job-log.h"

G_BEGIN_DECLS

/* The items that are to be run: all of them, or those that a job log does not show as done. */
typedef struct _WpCliPending WpCliPending;

/* Takes the items. */
WpCliPending       *wp_cli_pending_new         (WpCliItems *items);
void             wp_cli_pending_free        (WpCliPending *pending);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliPending, wp_cli_pending_free)

/* Leaves out what the log shows, which is to be of the same function and items; all that it shows, or what succeeded.
 * Takes the log. */
void             wp_cli_pending_skip        (WpCliPending   *pending,
                                          WpCliJobLog *log,
                                          const char  *function,
                                          gboolean     retry_failed);

/* As of WpCliItems. */
int              wp_cli_pending_get_fd      (WpCliPending *pending);
gboolean         wp_cli_pending_read        (WpCliPending *pending, GError **error);
guint64          wp_cli_pending_get_total   (WpCliPending *pending);

/* As wp_cli_items_next (); index: the item's, among all items. FAILED: the log is of another job. That is found before
 * there is a first item: everything that the log shows is read and compared before. */
WpCliItemsState  wp_cli_pending_next        (WpCliPending *pending, guint64 *index, GVariant **item, GError **error);

G_END_DECLS
