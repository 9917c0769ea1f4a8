/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gfiledescriptorbased.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-payload.h"
#include "channel/wp-shared-buffer.h"
#include "channel/wp-transport.h"

/* Descriptors that came before the frames they belong to: one for each frame in a read, at the most
 * a few. */
#define MAX_WAITING_FDS 64

/* A piece of output that has to wait. The descriptor belongs to its first byte. */
typedef struct
{
  GBytes *bytes;
  gsize offset;
  int fd;
} Output;

struct _WpChannel
{
  WpTransport *transport;

  WpFrameDecoder *decoder;
  GArray *fds; /* received, not yet asked for by a frame; oldest first */
  GError *input_error;
  /* The last read returned less than there was space for: another would find nothing. */
  gboolean drained;

  GQueue outputs;
  GError *output_error;
};

static void
close_fd (gpointer fd)
{
  if (*(int *) fd >= 0)
    close (*(int *) fd);
}

static WpChannel *
new_channel (WpTransport *transport)
{
  WpChannel *channel = g_new0 (WpChannel, 1);

  channel->transport = transport;
  channel->decoder = wp_frame_decoder_new ();
  channel->fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_array_set_clear_func (channel->fds, close_fd);
  g_queue_init (&channel->outputs);
  return channel;
}

WpChannel *
wp_channel_new_for_socket (GSocket *socket)
{
  return new_channel (wp_transport_new_for_socket (socket));
}

WpChannel *
wp_channel_new_for_streams (GInputStream *input, GOutputStream *output)
{
  g_return_val_if_fail (G_IS_FILE_DESCRIPTOR_BASED (input), NULL);
  g_return_val_if_fail (G_IS_FILE_DESCRIPTOR_BASED (output), NULL);

  return new_channel (wp_transport_new_for_streams (input, output));
}

static void
output_free (gpointer data)
{
  Output *output = data;

  g_bytes_unref (output->bytes);
  if (output->fd >= 0)
    close (output->fd);
  g_free (output);
}

void
wp_channel_free (WpChannel *channel)
{
  g_queue_clear_full (&channel->outputs, output_free);
  g_clear_error (&channel->output_error);
  g_clear_error (&channel->input_error);
  g_array_unref (channel->fds);
  wp_frame_decoder_free (channel->decoder);
  wp_transport_free (channel->transport);
  g_free (channel);
}

gboolean
wp_channel_can_share (WpChannel *channel)
{
  return wp_transport_can_pass_fds (channel->transport);
}

int
wp_channel_get_input_fd (WpChannel *channel)
{
  return wp_transport_get_input_fd (channel->transport);
}

int
wp_channel_get_output_fd (WpChannel *channel)
{
  return wp_transport_get_output_fd (channel->transport);
}

/* Output */

/* FALSE when the connection is broken, now and for ever. */
static gboolean
write_now (WpChannel *channel,
           GOutputVector *vectors,
           guint n_vectors,
           int fd,
           gsize *written,
           GError **error)
{
  if (wp_transport_write (channel->transport, vectors, n_vectors, fd, written,
                          &channel->output_error))
    return TRUE;

  /* A frame may have been cut off: whatever followed would be taken for its rest. */
  g_queue_clear_full (&channel->outputs, output_free);
  if (error != NULL)
    *error = g_error_copy (channel->output_error);
  return FALSE;
}

static gboolean
check_output (WpChannel *channel, GError **error)
{
  if (channel->output_error == NULL)
    return TRUE;

  if (error != NULL)
    *error = g_error_copy (channel->output_error);
  return FALSE;
}

/* Takes bytes and fd. */
static void
queue_output (WpChannel *channel, GBytes *bytes, gsize offset, int fd)
{
  Output *output = g_new (Output, 1);

  output->bytes = bytes;
  output->offset = offset;
  output->fd = fd;
  g_queue_push_tail (&channel->outputs, output);
}

static void
drop_written (WpChannel *channel, gsize written)
{
  while (written > 0)
    {
      Output *output = g_queue_peek_head (&channel->outputs);
      gsize left = g_bytes_get_size (output->bytes) - output->offset;

      if (output->fd >= 0)
        {
          close (output->fd);
          output->fd = -1;
        }

      if (written < left)
        {
          output->offset += written;
          return;
        }

      written -= left;
      output_free (g_queue_pop_head (&channel->outputs));
    }
}

gboolean
wp_channel_flush (WpChannel *channel, GError **error)
{
  if (!check_output (channel, error))
    return FALSE;

  while (!g_queue_is_empty (&channel->outputs))
    {
      GOutputVector vectors[WP_TRANSPORT_MAX_VECTORS];
      guint n_vectors = 0;
      gsize offered = 0;
      gsize written;
      int fd = ((Output *) g_queue_peek_head (&channel->outputs))->fd;

      for (GList *l = channel->outputs.head; l != NULL && n_vectors < WP_TRANSPORT_MAX_VECTORS;
           l = l->next)
        {
          Output *output = l->data;
          gsize size;
          const guint8 *data = g_bytes_get_data (output->bytes, &size);

          /* Descriptors go with the first byte of a write. */
          if (n_vectors > 0 && output->fd >= 0)
            break;

          vectors[n_vectors].buffer = data + output->offset;
          vectors[n_vectors].size = size - output->offset;
          offered += vectors[n_vectors].size;
          n_vectors++;
        }

      if (!write_now (channel, vectors, n_vectors, fd, &written, error))
        return FALSE;

      drop_written (channel, written);
      if (written < offered)
        break;
    }
  return TRUE;
}

gboolean
wp_channel_has_output (WpChannel *channel)
{
  return !g_queue_is_empty (&channel->outputs);
}

static gsize
get_total_size (GPtrArray *segments)
{
  gsize size = 0;

  if (segments != NULL)
    for (guint i = 0; i < segments->len; i++)
      size += g_bytes_get_size (segments->pdata[i]);
  return size;
}

/* Queues what is left of a frame after 'written' bytes of it. Takes fd, which nothing was written
 * with. */
static void
queue_rest (WpChannel *channel, GBytes *front, GPtrArray *body, gsize written, int fd)
{
  if (written < g_bytes_get_size (front))
    {
      queue_output (channel, g_bytes_ref (front), written, fd);
      written = 0;
    }
  else
    {
      written -= g_bytes_get_size (front);
    }

  for (guint i = 0; body != NULL && i < body->len; i++)
    {
      GBytes *segment = body->pdata[i];
      gsize size = g_bytes_get_size (segment);

      if (written < size)
        queue_output (channel, g_bytes_ref (segment), written, -1);
      written -= MIN (written, size);
    }
}

/* Fills the vectors with a frame; returns their number, or 0 when they are too few. */
static guint
gather_frame (GOutputVector vectors[WP_TRANSPORT_MAX_VECTORS],
              const guint8 *encoded,
              const guint8 *head,
              gsize head_length,
              GPtrArray *body)
{
  guint n = 0;

  vectors[n].buffer = encoded;
  vectors[n++].size = WP_FRAME_HEADER_SIZE;
  if (head_length > 0)
    {
      vectors[n].buffer = head;
      vectors[n++].size = head_length;
    }

  for (guint i = 0; body != NULL && i < body->len; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (body->pdata[i], &size);

      if (size == 0)
        continue;
      if (n == WP_TRANSPORT_MAX_VECTORS)
        return 0;
      vectors[n].buffer = data;
      vectors[n++].size = size;
    }
  return n;
}

/* Sends a frame whose header is final. body: NULL or the segments that go inline. */
static gboolean
send_frame (WpChannel *channel,
            const WpFrameHeader *header,
            const guint8 *head,
            GPtrArray *body,
            int fd,
            GError **error)
{
  guint8 encoded[WP_FRAME_HEADER_SIZE];
  gsize front_size = WP_FRAME_HEADER_SIZE + header->head_length;
  gsize total = front_size + get_total_size (body);
  gboolean was_tried = FALSE;
  gsize written = 0;
  guint8 *front;
  g_autoptr (GBytes) front_bytes = NULL;
  int kept_fd = -1;

  wp_frame_header_encode (header, encoded);
  if (!wp_channel_has_output (channel))
    {
      GOutputVector vectors[WP_TRANSPORT_MAX_VECTORS];
      guint n_vectors = gather_frame (vectors, encoded, head, header->head_length, body);

      was_tried = n_vectors > 0;
      if (was_tried && !write_now (channel, vectors, n_vectors, fd, &written, error))
        return FALSE;
      if (written == total)
        return TRUE;
    }

  if (fd >= 0 && written == 0)
    {
      kept_fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
      if (kept_fd < 0)
        {
          int saved_errno = errno;

          g_set_error (
              error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
              "Could not keep a descriptor until the other end of the channel takes it: %s",
              g_strerror (saved_errno));
          return FALSE;
        }
    }

  front = g_malloc (front_size);
  memcpy (front, encoded, WP_FRAME_HEADER_SIZE);
  if (header->head_length > 0)
    memcpy (front + WP_FRAME_HEADER_SIZE, head, header->head_length);
  front_bytes = g_bytes_new_take (front, front_size);
  queue_rest (channel, front_bytes, body, written, kept_fd);

  return was_tried || wp_channel_flush (channel, error);
}

static gboolean
check_head (const WpFrameHeader *header, GError **error)
{
  if (header->head_length <= WP_FRAME_MAX_HEAD)
    return TRUE;

  g_set_error (
      error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
      "A message of %u bytes before its values is too large for a channel (the most is %u)",
      header->head_length, WP_FRAME_MAX_HEAD);
  return FALSE;
}

gboolean
wp_channel_send (WpChannel *channel,
                 const WpFrameHeader *header,
                 const guint8 *head,
                 GPtrArray *body,
                 int attached,
                 GError **error)
{
  WpFrameHeader final = *header;
  g_autoptr (GError) refusal = NULL;

  if (!check_output (channel, error) || !check_head (header, error))
    return FALSE;

  final.flags &= ~(WP_FRAME_SHARED | WP_FRAME_ATTACHED);
  final.body_length = get_total_size (body);

  /* A frame carries one descriptor, so with another one its body stays inline. */
  if (final.body_length >= WP_PAYLOAD_LARGE && attached < 0 && wp_channel_can_share (channel))
    {
      int fd = wp_shared_buffer_create (body, &refusal);

      if (fd >= 0)
        {
          gboolean sent;

          final.flags |= WP_FRAME_SHARED;
          sent = send_frame (channel, &final, head, NULL, fd, error);
          close (fd);
          return sent;
        }
    }

  if (final.body_length > WP_FRAME_MAX_INLINE)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                   "%" G_GUINT64_FORMAT
                   " bytes are too many for one message: without shared memory the most is "
                   "%" G_GUINT64_FORMAT ", with it %" G_GUINT64_FORMAT "; %s",
                   final.body_length, WP_FRAME_MAX_INLINE, WP_FRAME_MAX_SHARED,
                   refusal != NULL ? refusal->message : "this connection cannot share memory");
      return FALSE;
    }

  if (attached >= 0)
    {
      g_return_val_if_fail (wp_channel_can_share (channel), FALSE);
      final.flags |= WP_FRAME_ATTACHED;
    }
  return send_frame (channel, &final, head, body, attached, error);
}

gboolean
wp_channel_send_shared (WpChannel *channel,
                        const WpFrameHeader *header,
                        const guint8 *head,
                        int fd,
                        gsize length,
                        GError **error)
{
  WpFrameHeader final = *header;

  g_return_val_if_fail (wp_channel_can_share (channel), FALSE);

  if (!check_output (channel, error) || !check_head (header, error))
    return FALSE;

  final.flags &= ~WP_FRAME_ATTACHED;
  final.flags |= WP_FRAME_SHARED;
  final.body_length = length;
  return send_frame (channel, &final, head, NULL, fd, error);
}

gboolean
wp_channel_send_encoded (WpChannel *channel, const guint8 *bytes, gsize size, GError **error)
{
  gboolean is_first = !wp_channel_has_output (channel);
  GOutputVector vector = { bytes, size };
  gsize written = 0;

  if (!check_output (channel, error))
    return FALSE;
  if (size == 0)
    return TRUE;

  if (is_first && !write_now (channel, &vector, 1, -1, &written, error))
    return FALSE;
  if (written < size)
    queue_output (channel, g_bytes_new (bytes + written, size - written), 0, -1);

  return is_first || wp_channel_flush (channel, error);
}

/* Input */

/* Reads once. FALSE when nothing came: with an error when there will be nothing more. */
static gboolean
read_once (WpChannel *channel, gboolean wait, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  guint n_fds = channel->fds->len;
  gsize size;
  guint8 *space = wp_frame_decoder_get_space (channel->decoder, &size);
  gsize n;

  if (!wp_transport_read (channel->transport, space, size, wait, channel->fds, &n, &local_error))
    {
      if (g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CLOSED) &&
          !wp_frame_decoder_is_empty (channel->decoder))
        g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                             WP_CHANNEL_PEER " closed the connection in the middle of a message");
      else
        g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  if (channel->fds->len > MAX_WAITING_FDS)
    {
      g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
                   WP_CHANNEL_PEER " sent %u descriptors that no message asks for",
                   channel->fds->len);
      return FALSE;
    }

  wp_frame_decoder_advance (channel->decoder, n);
  /* A read that descriptors ended says nothing about what follows. */
  channel->drained = n > 0 && n < size && channel->fds->len == n_fds;
  return n > 0;
}

/* Completes a frame by the descriptor that belongs to it. */
static gboolean
take_attachment (WpChannel *channel, WpFrame *frame, int *attached, GError **error)
{
  gboolean shared = (frame->header.flags & WP_FRAME_SHARED) != 0;
  int fd;

  *attached = -1;
  if (!shared && (frame->header.flags & WP_FRAME_ATTACHED) == 0)
    return TRUE;

  if (channel->fds->len == 0)
    {
      g_set_error_literal (
          error, WP_ERROR, WP_ERROR_PROTOCOL,
          WP_CHANNEL_PEER " sent a message without the descriptor that belongs to it");
      return FALSE;
    }

  fd = g_array_index (channel->fds, int, 0);
  g_array_index (channel->fds, int, 0) = -1;
  g_array_remove_index (channel->fds, 0);

  if (!shared)
    {
      *attached = fd;
      return TRUE;
    }

  frame->body = wp_shared_buffer_map (fd, frame->header.body_length, error);
  close (fd);
  return frame->body != NULL;
}

/* FALSE with *failure set makes the stream fail for ever. */
static gboolean
receive (WpChannel *channel, WpFrame *frame, int *attached, GError **failure)
{
  for (;;)
    {
      if (wp_frame_decoder_next (channel->decoder, frame, failure))
        return take_attachment (channel, frame, attached, failure);
      if (*failure != NULL)
        return FALSE;

      if (channel->fds->len > 0 && wp_frame_decoder_is_empty (channel->decoder))
        {
          g_set_error_literal (
              failure, WP_ERROR, WP_ERROR_PROTOCOL,
              WP_CHANNEL_PEER " sent a descriptor that no message asks for");
          return FALSE;
        }

      if (channel->drained)
        {
          channel->drained = FALSE;
          return FALSE;
        }

      if (!read_once (channel, FALSE, failure))
        return FALSE;
    }
}

gboolean
wp_channel_receive (WpChannel *channel, WpFrame *frame, int *attached, GError **error)
{
  *attached = -1;
  memset (frame, 0, sizeof *frame);

  if (channel->input_error == NULL)
    {
      if (receive (channel, frame, attached, &channel->input_error))
        return TRUE;
      wp_frame_clear (frame);
    }

  if (channel->input_error != NULL && error != NULL)
    *error = g_error_copy (channel->input_error);
  return FALSE;
}

gboolean
wp_channel_has_input (WpChannel *channel)
{
  return channel->input_error == NULL && wp_frame_decoder_has_bytes (channel->decoder);
}

gboolean
wp_channel_wait (WpChannel *channel, GIOCondition condition, int timeout_ms)
{
  struct pollfd fds[2] = {
    { .fd = wp_channel_get_input_fd (channel), .events = POLLIN },
    { .fd = wp_channel_get_output_fd (channel), .events = POLLOUT },
  };
  gint64 deadline = timeout_ms < 0 ? -1 : g_get_monotonic_time () + (gint64) timeout_ms * 1000;
  int n;

  if ((condition & G_IO_IN) != 0 && wp_channel_has_input (channel))
    return TRUE;

  /* poll () passes over negative descriptors. */
  if ((condition & G_IO_IN) == 0)
    fds[0].fd = -1;
  if ((condition & G_IO_OUT) == 0)
    fds[1].fd = -1;

  while ((n = poll (fds, G_N_ELEMENTS (fds), timeout_ms)) < 0 && errno == EINTR)
    {
      if (deadline >= 0)
        timeout_ms = MAX (deadline - g_get_monotonic_time () + 999, 0) / 1000;
    }

  channel->drained = FALSE;
  return n != 0;
}

gboolean
wp_channel_wait_input (WpChannel *channel, int timeout_ms)
{
  if (channel->input_error != NULL || wp_channel_has_input (channel))
    return TRUE;
  if (!wp_transport_can_wait (channel->transport) && timeout_ms != 0)
    return wp_channel_wait (channel, G_IO_IN, timeout_ms);

  if (timeout_ms != 0)
    wp_transport_set_timeout (channel->transport, MAX (timeout_ms, 0));
  return read_once (channel, timeout_ms != 0, &channel->input_error) || channel->input_error != NULL;
}
