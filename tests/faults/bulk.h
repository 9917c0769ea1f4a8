/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

/* The records of a block of wp_batch_take (), read as its documentation says. */
typedef struct
{
  GBytes *block; /* (nullable) */
  gsize position;

  /* Of the record that was read last; the bytes are the block's. */
  guint64 index;
  guint32 kind;
  guint32 worker;
  guint32 n_retries;
  gint64 started;
  gint64 elapsed;
  const char *type; /* NULL unless the kind is 1 */
  const guint8 *value;
  guint64 length;
  const guint8 *notes;
  guint64 notes_length;
} Block;

/* FALSE at the end of the block. */
gboolean  block_read      (Block *block);
/* Of the record that was read, whatever its kind; not floating. */
GVariant *block_get_value (const Block *block);
/* That of an error is. */
void      block_assert_error (const Block *block, GQuark domain, int code);
void      block_clear     (Block *block);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Block, block_clear)

/* Waits for results and takes a block of them; FALSE at the end. A large result makes the test fail. */
gboolean  take_block      (WpBatch *batch, guint most, Block *block);

G_END_DECLS
