/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Writes to a descriptor from the main loop, so that a reader that does not read blocks neither the
 * signals nor the pool. */
typedef struct _WpCliWriter WpCliWriter;

/* Called before something is written, and after. */
typedef void (*WpCliWriterFunc)       (gpointer user_data);
/* Called when all was written (error is NULL), and when writing failed; what was put is gone then. */
typedef void (*WpCliWriterDoneFunc)   (const GError *error, gpointer user_data);

WpCliWriter *wp_cli_writer_new         (int                   fd,
                                        WpCliWriterFunc       before,
                                        WpCliWriterFunc       after,
                                        WpCliWriterDoneFunc   done,
                                        gpointer              user_data);
void         wp_cli_writer_free        (WpCliWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpCliWriter, wp_cli_writer_free)

/* What is to be written next: append to it, then call wp_cli_writer_flush (). */
GString     *wp_cli_writer_get_buffer  (WpCliWriter *writer);
void         wp_cli_writer_flush       (WpCliWriter *writer);
gsize        wp_cli_writer_get_pending (WpCliWriter *writer);
/* The bytes that were written since the beginning. */
guint64      wp_cli_writer_get_n_written (WpCliWriter *writer);

G_END_DECLS
