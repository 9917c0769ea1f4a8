/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How errors of what was received begin; who knows the other end by a name puts that in its place. */
#define WP_CHANNEL_PEER "The other end of the channel"

/* A frame is a header of WP_FRAME_HEADER_SIZE bytes, a head of head_length bytes whose layout
 * belongs to the type (wp-message.h), and a body of body_length bytes. With WP_FRAME_SHARED the
 * body is not in the stream: it is the content of the file descriptor sent along. All integers
 * are little-endian.
 *
 *   0  u32  magic and version, "WPF" 0x01
 *   4  u8   type
 *   5  u8   flags
 *   6  u16  zero
 *   8  u32  head_length
 *  12  u32  zero
 *  16  u64  body_length
 *  24  u64  sequence
 *
 * This file is pure: bytes in, frames out. It does no I/O.
 */
#define WP_FRAME_HEADER_SIZE 32

/* What an untrusted peer may make us allocate: the buffer grows with the bytes that arrive, never
 * with what a header claims, and these are the ends of that growth. */
#define WP_FRAME_MAX_HEAD   (64u * 1024)
#define WP_FRAME_MAX_INLINE (G_GUINT64_CONSTANT (1) << 30)
#define WP_FRAME_MAX_SHARED (G_GUINT64_CONSTANT (1) << 46)

typedef enum
{
  WP_FRAME_CONFIGURE = 1, /* pool → worker, first: settings in the body; the board is attached */
  WP_FRAME_READY,         /* worker → pool, answers CONFIGURE; the body is an error when it cannot run */
  WP_FRAME_CHUNK,         /* pool → worker: tasks to run; sequence numbers the chunk */
  WP_FRAME_RESULTS,       /* worker → pool: results of some tasks of chunk 'sequence' */
  WP_FRAME_STARTED,       /* worker → pool, channels without a board: a task starts */
  WP_FRAME_CANCEL,        /* pool → worker, channels without a board: cancel the running task */
  WP_FRAME_STOP,          /* pool → worker: end after the chunks already sent */
  WP_FRAME_OBJECTS,       /* pool → worker, second if CONFIGURE says so: the shared objects, a payload of one record */
  WP_FRAME_RETIRE,        /* worker → pool, once: another should take its place; its memory in bytes (t) in the body */
  WP_FRAME_INITIALIZED,   /* worker → pool, after READY where there is an init function: how that ended; the body is
                             empty, or holds its error */
  WP_FRAME_EXIT_RESULT,   /* worker → pool, after STOP where there is an exit function: its value or error, or an empty
                             body when it returned none */
  WP_FRAME_EVENT,         /* worker → pool: what a task of chunk 'sequence' has emitted; one value in the body */
  WP_FRAME_CREDIT,        /* pool → worker: events that were taken from the stream 'sequence' */
  WP_FRAME_LAST = WP_FRAME_CREDIT,
} WpFrameType;

typedef enum
{
  WP_FRAME_SHARED = 1 << 0,   /* the body is the attached descriptor's content */
  WP_FRAME_ATTACHED = 1 << 1, /* one descriptor comes with the frame (implied by SHARED) */
  WP_FRAME_DONE = 1 << 2,     /* RESULTS: the last ones of the chunk */
  WP_FRAME_TIMED = 1 << 3,    /* RESULTS: the body ends with the times of each (wp-message.h) */
  WP_FRAME_ALL_FLAGS = (1 << 4) - 1,
} WpFrameFlags;

typedef struct
{
  WpFrameType type;
  WpFrameFlags flags;
  guint64 sequence;
  guint32 head_length;
  guint64 body_length; /* of the shared body when SHARED is set */
} WpFrameHeader;

/* A decoded frame. head and body are 8-aligned. */
typedef struct
{
  WpFrameHeader header;
  const guint8 *head; /* NULL when head_length is 0 */
  GBytes *body;       /* owned; NULL for SHARED frames; empty, never NULL, otherwise */
  guint8 *storage;    /* owned: the head's bytes */
} WpFrame;

void     wp_frame_clear         (WpFrame *frame);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (WpFrame, wp_frame_clear)

void     wp_frame_header_encode (const WpFrameHeader *header, guint8 buffer[WP_FRAME_HEADER_SIZE]);
/* FALSE with WP_ERROR_PROTOCOL when the bytes are no valid header: wrong magic, version, type,
 * flags, a non-zero reserved field, or a length beyond the bounds above. */
gboolean wp_frame_header_decode (WpFrameHeader *header,
                                 const guint8   buffer[WP_FRAME_HEADER_SIZE],
                                 GError       **error);

/* The decoder owns the buffer that the transport reads into, so that bytes are copied at most once
 * between the kernel and a frame, and a large body not at all. */
typedef struct _WpFrameDecoder WpFrameDecoder;

WpFrameDecoder *wp_frame_decoder_new  (void);
void            wp_frame_decoder_free (WpFrameDecoder *decoder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpFrameDecoder, wp_frame_decoder_free)

/* Where to put the next bytes; *size is at least 1. Valid until the next call on the decoder. */
guint8  *wp_frame_decoder_get_space (WpFrameDecoder *decoder, gsize *size);
/* n bytes have been put there. */
void     wp_frame_decoder_advance   (WpFrameDecoder *decoder, gsize n);
/* TRUE: *frame is the next one (what it held before is overwritten). FALSE without error: more bytes
 * are needed.
 * FALSE with WP_ERROR_PROTOCOL: the stream is corrupt, and stays so. */
gboolean wp_frame_decoder_next      (WpFrameDecoder *decoder, WpFrame *frame, GError **error);
/* TRUE when a call of next() may find a frame in bytes that were read already. */
gboolean wp_frame_decoder_has_bytes (WpFrameDecoder *decoder);
/* TRUE between two frames: no byte of the next one has arrived. */
gboolean wp_frame_decoder_is_empty  (WpFrameDecoder *decoder);

G_END_DECLS
