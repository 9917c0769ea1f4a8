/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-frame.h"

#include <string.h>

#include "channel/wp-error.h"

#define FRAME_MAGIC 0x01465057u /* "WPF" 0x01 */

/* One read of a busy socket fills about this much, and a frame beyond it is worth its own memory.
 */
#define READ_BUFFER_SIZE (64u * 1024)

struct _WpFrameDecoder
{
  /* [start, end) of buffer is the stream from the header of the next frame on. */
  guint8 *buffer;
  gsize capacity;
  gsize start;
  gsize end;

  WpFrameHeader header;
  gboolean has_header;

  /* A frame too large for the buffer: its head and body are collected in memory of their own,
   * and the buffer is empty. */
  guint8 *large_head;
  guint8 *large_body;
  gsize body_capacity;
  gsize body_filled;

  GBytes *empty_body;
  GError *corruption;
  /* next () has looked at all there is. */
  gboolean starved;
};

void
wp_frame_clear (WpFrame *frame)
{
  g_clear_pointer (&frame->body, g_bytes_unref);
  g_clear_pointer (&frame->storage, g_free);
  frame->head = NULL;
}

static void
put_u32 (guint8 *buffer, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (buffer, &value, sizeof value);
}

static void
put_u64 (guint8 *buffer, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (buffer, &value, sizeof value);
}

static guint32
get_u32 (const guint8 *buffer)
{
  guint32 value;

  memcpy (&value, buffer, sizeof value);
  return GUINT32_FROM_LE (value);
}

static guint64
get_u64 (const guint8 *buffer)
{
  guint64 value;

  memcpy (&value, buffer, sizeof value);
  return GUINT64_FROM_LE (value);
}

void
wp_frame_header_encode (const WpFrameHeader *header, guint8 buffer[WP_FRAME_HEADER_SIZE])
{
  put_u32 (buffer, FRAME_MAGIC);
  put_u32 (buffer + 4, (guint32) header->type | (guint32) header->flags << 8);
  put_u32 (buffer + 8, header->head_length);
  put_u32 (buffer + 12, 0);
  put_u64 (buffer + 16, header->body_length);
  put_u64 (buffer + 24, header->sequence);
}

static gboolean
protocol_error (GError **error, const char *what, guint64 value)
{
  g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
               WP_CHANNEL_PEER " sent a frame with %s (%#" G_GINT64_MODIFIER "x)", what,
               value);
  return FALSE;
}

gboolean
wp_frame_header_decode (WpFrameHeader *header,
                        const guint8 buffer[WP_FRAME_HEADER_SIZE],
                        GError **error)
{
  guint32 magic = get_u32 (buffer);
  guint8 type = buffer[4];
  guint8 flags = buffer[5];
  guint64 longest_body;

  if (magic != FRAME_MAGIC)
    {
      if ((magic & 0xffffff) == (FRAME_MAGIC & 0xffffff))
        g_set_error (
            error, WP_ERROR, WP_ERROR_PROTOCOL,
            WP_CHANNEL_PEER " speaks version %u of the protocol, and this program "
            "version %u; use the same version of the library on both sides",
            magic >> 24, FRAME_MAGIC >> 24);
      else
        g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                     WP_CHANNEL_PEER " sent something else than a frame (%#010x); "
                     "is its program a worker's host, and does nothing else write to the channel?",
                     magic);
      return FALSE;
    }

  if (type < WP_FRAME_CONFIGURE || type > WP_FRAME_LAST)
    return protocol_error (error, "an unknown type", type);
  if ((flags & ~WP_FRAME_ALL_FLAGS) != 0 ||
      ((flags & (WP_FRAME_DONE | WP_FRAME_TIMED)) != 0 && type != WP_FRAME_RESULTS))
    return protocol_error (error, "flags that its type does not have", flags);
  if (buffer[6] != 0 || buffer[7] != 0 || get_u32 (buffer + 12) != 0)
    return protocol_error (error, "a reserved field in use", get_u32 (buffer + 12));

  header->type = (WpFrameType) type;
  header->flags = (WpFrameFlags) flags;
  header->head_length = get_u32 (buffer + 8);
  header->body_length = get_u64 (buffer + 16);
  header->sequence = get_u64 (buffer + 24);

  if (header->head_length > WP_FRAME_MAX_HEAD)
    return protocol_error (error, "too long a head", header->head_length);
  longest_body = (flags & WP_FRAME_SHARED) != 0 ? WP_FRAME_MAX_SHARED : WP_FRAME_MAX_INLINE;
  if (header->body_length > longest_body)
    return protocol_error (error, "too long a body", header->body_length);

  return TRUE;
}

WpFrameDecoder *
wp_frame_decoder_new (void)
{
  WpFrameDecoder *decoder = g_new0 (WpFrameDecoder, 1);

  decoder->capacity = READ_BUFFER_SIZE;
  decoder->buffer = g_malloc (decoder->capacity);
  decoder->empty_body = g_bytes_new_static ("", 0);
  return decoder;
}

void
wp_frame_decoder_free (WpFrameDecoder *decoder)
{
  g_free (decoder->buffer);
  g_free (decoder->large_head);
  g_free (decoder->large_body);
  g_bytes_unref (decoder->empty_body);
  g_clear_error (&decoder->corruption);
  g_free (decoder);
}

static guint8 *
get_body_space (WpFrameDecoder *decoder, gsize *size)
{
  if (decoder->body_filled == decoder->body_capacity)
    {
      decoder->body_capacity = MIN (decoder->header.body_length,
                                    2 * (guint64) decoder->body_capacity);
      decoder->large_body = g_realloc (decoder->large_body, decoder->body_capacity);
    }

  *size = decoder->body_capacity - decoder->body_filled;
  return decoder->large_body + decoder->body_filled;
}

guint8 *
wp_frame_decoder_get_space (WpFrameDecoder *decoder, gsize *size)
{
  if (decoder->large_body != NULL && decoder->body_filled < decoder->header.body_length)
    return get_body_space (decoder, size);

  if (decoder->corruption != NULL)
    decoder->start = decoder->end;

  if (decoder->start == decoder->end)
    {
      decoder->start = decoder->end = 0;
    }
  else if (decoder->start > 0 && decoder->capacity - decoder->end < decoder->capacity / 2)
    {
      decoder->end -= decoder->start;
      memmove (decoder->buffer, decoder->buffer + decoder->start, decoder->end);
      decoder->start = 0;
    }

  if (decoder->end == decoder->capacity)
    {
      decoder->capacity *= 2;
      decoder->buffer = g_realloc (decoder->buffer, decoder->capacity);
    }

  *size = decoder->capacity - decoder->end;
  return decoder->buffer + decoder->end;
}

void
wp_frame_decoder_advance (WpFrameDecoder *decoder, gsize n)
{
  if (decoder->large_body != NULL && decoder->body_filled < decoder->header.body_length)
    {
      g_return_if_fail (n <= decoder->body_capacity - decoder->body_filled);
      decoder->body_filled += n;
    }
  else
    {
      g_return_if_fail (n <= decoder->capacity - decoder->end);
      decoder->end += n;
    }

  decoder->starved = FALSE;
}

static gboolean
starve (WpFrameDecoder *decoder)
{
  decoder->starved = TRUE;
  return FALSE;
}

/* Moves what has arrived of a large frame into memory of its own. */
static void
begin_large_body (WpFrameDecoder *decoder)
{
  const guint8 *head = decoder->buffer + decoder->start + WP_FRAME_HEADER_SIZE;
  const guint8 *body = head + decoder->header.head_length;

  decoder->large_head = g_memdup2 (head, decoder->header.head_length);
  decoder->body_filled = decoder->buffer + decoder->end - body;
  /* What a header claims costs its sender nothing; what has arrived did. */
  decoder->body_capacity = MIN (decoder->header.body_length,
                                2 * MAX (decoder->body_filled, READ_BUFFER_SIZE));
  decoder->large_body = g_malloc (decoder->body_capacity);
  memcpy (decoder->large_body, body, decoder->body_filled);
  decoder->start = decoder->end = 0;
}

static void
take_large_frame (WpFrameDecoder *decoder, WpFrame *frame)
{
  frame->header = decoder->header;
  frame->storage = g_steal_pointer (&decoder->large_head);
  frame->head = frame->storage;
  frame->body = g_bytes_new_take (g_steal_pointer (&decoder->large_body), decoder->body_filled);
  decoder->has_header = FALSE;
}

static void
take_small_frame (WpFrameDecoder *decoder, WpFrame *frame)
{
  const guint8 *head = decoder->buffer + decoder->start + WP_FRAME_HEADER_SIZE;
  gsize head_length = decoder->header.head_length;
  gsize body_length = 0;

  frame->header = decoder->header;
  frame->storage = g_memdup2 (head, head_length);
  frame->head = frame->storage;

  if ((decoder->header.flags & WP_FRAME_SHARED) == 0)
    {
      body_length = decoder->header.body_length;
      frame->body = body_length == 0 ? g_bytes_ref (decoder->empty_body)
                                     : g_bytes_new (head + head_length, body_length);
    }

  decoder->start += WP_FRAME_HEADER_SIZE + head_length + body_length;
  decoder->has_header = FALSE;
}

gboolean
wp_frame_decoder_next (WpFrameDecoder *decoder, WpFrame *frame, GError **error)
{
  gsize available = decoder->end - decoder->start;
  gsize until_body;
  gsize total;

  memset (frame, 0, sizeof *frame);

  if (decoder->large_body != NULL)
    {
      if (decoder->body_filled < decoder->header.body_length)
        return starve (decoder);

      take_large_frame (decoder, frame);
      return TRUE;
    }

  if (decoder->corruption == NULL && !decoder->has_header)
    {
      if (available < WP_FRAME_HEADER_SIZE)
        return starve (decoder);

      decoder->has_header = wp_frame_header_decode (
          &decoder->header, decoder->buffer + decoder->start, &decoder->corruption);
    }

  if (decoder->corruption != NULL)
    {
      if (error != NULL)
        *error = g_error_copy (decoder->corruption);
      return FALSE;
    }

  until_body = WP_FRAME_HEADER_SIZE + decoder->header.head_length;
  total = until_body;
  if ((decoder->header.flags & WP_FRAME_SHARED) == 0)
    total += decoder->header.body_length;

  if (available >= total)
    {
      take_small_frame (decoder, frame);
      return TRUE;
    }

  if (available >= until_body && total > READ_BUFFER_SIZE)
    begin_large_body (decoder);
  return starve (decoder);
}

gboolean
wp_frame_decoder_has_bytes (WpFrameDecoder *decoder)
{
  return !decoder->starved && decoder->corruption == NULL && !wp_frame_decoder_is_empty (decoder);
}

gboolean
wp_frame_decoder_is_empty (WpFrameDecoder *decoder)
{
  return decoder->large_body == NULL && decoder->start == decoder->end;
}
