/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "wp-cli-items.h"
#include "wp-cli-job-log.h"

G_BEGIN_DECLS

/* The items that are to be run: all of them, or those that a job log does not show as done. */
typedef struct _WpCliTodo WpCliTodo;

/* Takes the items. */
WpCliTodo       *wp_cli_todo_new         (WpCliItems *items);
void             wp_cli_todo_free        (WpCliTodo *todo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliTodo, wp_cli_todo_free)

/* Leaves out what the log shows, which is to be of the same function and items; all that it shows, or what succeeded.
 * Takes the log. */
void             wp_cli_todo_skip        (WpCliTodo   *todo,
                                          WpCliJobLog *log,
                                          const char  *function,
                                          gboolean     retry_failed);

/* As of WpCliItems. */
int              wp_cli_todo_get_fd      (WpCliTodo *todo);
gboolean         wp_cli_todo_read        (WpCliTodo *todo, GError **error);
guint64          wp_cli_todo_get_total   (WpCliTodo *todo);

/* As wp_cli_items_next (); index: the item's, among all items. FAILED: the log is of another job. That is found before
 * there is a first item: everything that the log shows is read and compared before. */
WpCliItemsState  wp_cli_todo_next        (WpCliTodo *todo, guint64 *index, GVariant **item, GError **error);

G_END_DECLS
