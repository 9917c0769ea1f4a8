/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-payload.h"
#include "pool/wp-task-run.h"

G_BEGIN_DECLS

/* Results as one block of bytes, for callers to whom an object for each is dear. All numbers are little-endian. Each
 * result is a record, at a multiple of 8:
 *
 *    0  u64  index of the task
 *    8  u32  WpResultKind
 *   12  u32  worker
 *   16  u32  n_retries
 *   20  u32  size of the type string, padded
 *   24  i64  start time, in microseconds
 *   32  i64  run time, in microseconds
 *   40  u64  length of the value
 *   48  u64  length of the notes
 *   56  the type string with its NUL, the value, the notes, each padded with zeros to a multiple of 8
 *
 * Pure. The layout is public: wp_batch_take () has it in its documentation. */
typedef struct _WpResultBlock WpResultBlock;

typedef enum
{
  WP_RESULT_KIND_BYTES, /* the bytes of a value of type "ay", without its type string */
  WP_RESULT_KIND_VALUE, /* any other value, serialised */
  WP_RESULT_KIND_ERROR, /* serialised "(sis)": domain, code, message; without its type string */
} WpResultKind;

#define WP_RESULT_BLOCK_HEADER_SIZE 56

/* A value of at least this many bytes is better shared than copied: none is added. */
#define WP_RESULT_BLOCK_VALUE_MAX (1024u * 1024)
/* A block of at least this many bytes is full. It is built with the engine's lock held, which takes as long as it takes
 * to copy and first touch that much: about 100 µs. */
#define WP_RESULT_BLOCK_SIZE (256u * 1024)

WpResultBlock *wp_result_block_new       (void);
void           wp_result_block_free      (WpResultBlock *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpResultBlock, wp_result_block_free)

void           wp_result_block_add       (WpResultBlock   *self,
                                          guint64          index,
                                          const WpTaskRun *run,
                                          const WpRecord  *record);
void           wp_result_block_add_error (WpResultBlock   *self,
                                          guint64          index,
                                          const WpTaskRun *run,
                                          const GError    *error);
gboolean       wp_result_block_is_full   (WpResultBlock *self);
/* Frees the block. (transfer full) */
GBytes        *wp_result_block_end       (WpResultBlock *self);

G_END_DECLS
