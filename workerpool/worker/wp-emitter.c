/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-emitter.h"

#include "channel/wp-payload.h"

/* What was sent on a stream and not credited. */
typedef struct
{
  guint64 stream; /* the key */
  guint n_events;
  guint64 n_bytes;
} Window;

struct _WpEmitter
{
  WpChannel *channel;
  WpOutbox *outbox;
  guint64 stream;

  GMutex lock;
  GHashTable *windows; /* those that are not empty; also of streams whose chunks ran before */
};

WpEmitter *
wp_emitter_new (WpChannel *channel,
                WpOutbox  *outbox)
{
  WpEmitter *self = g_new0 (WpEmitter, 1);

  self->channel = channel;
  self->outbox = outbox;
  g_mutex_init (&self->lock);
  self->windows = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);

  return self;
}

void
wp_emitter_free (WpEmitter *self)
{
  g_hash_table_unref (self->windows);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
wp_emitter_set_stream (WpEmitter *self,
                       guint64    stream)
{
  self->stream = stream;
}

gboolean
wp_emitter_is_heard (WpEmitter *self)
{
  return self->stream != 0;
}

gboolean
wp_emitter_has_credit (WpEmitter *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  const Window *window = g_hash_table_lookup (self->windows, &self->stream);

  return window == NULL ||
         (window->n_events < WP_EVENT_WINDOW && window->n_bytes < WP_EVENT_WINDOW_BYTES);
}

gboolean
wp_emitter_add_credit (WpEmitter          *self,
                       guint64             stream,
                       const WpCreditHead *credit)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  Window *window = g_hash_table_lookup (self->windows, &stream);

  if (window == NULL || window->n_events < credit->n_events || window->n_bytes < credit->n_bytes)
    return FALSE;

  window->n_events -= credit->n_events;
  window->n_bytes -= credit->n_bytes;
  if (window->n_events == 0)
    g_hash_table_remove (self->windows, &stream);

  return TRUE;
}

/* Before the pool can answer. */
static void
use_credit (WpEmitter *self,
            gsize      size)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  Window *window = g_hash_table_lookup (self->windows, &self->stream);

  if (window == NULL)
    {
      window = g_new0 (Window, 1);
      window->stream = self->stream;
      g_hash_table_insert (self->windows, &window->stream, window);
    }

  window->n_events++;
  window->n_bytes += size;
}

gboolean
wp_emitter_send (WpEmitter *self,
                 guint64    sequence,
                 guint      offset,
                 GVariant  *value,
                 GError   **error)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GPtrArray) body = NULL;
  const WpTaskHead head = { .offset = offset };
  const WpFrameHeader header = {
    .type = WP_FRAME_EVENT,
    .sequence = sequence,
    .head_length = WP_TASK_HEAD_SIZE,
  };
  guint8 head_bytes[WP_TASK_HEAD_SIZE];
  WpCreditHead unused = { .n_events = 1 };

  if (!wp_outbox_flush (self->outbox, g_get_monotonic_time () * 1000, error))
    return FALSE;

  wp_task_head_encode (&head, head_bytes);
  wp_payload_writer_add (writer, value);
  unused.n_bytes = wp_payload_writer_get_size (writer);
  body = wp_payload_writer_finish (writer);

  use_credit (self, unused.n_bytes);
  if (!wp_channel_send (self->channel, &header, head_bytes, body, -1, error))
    {
      wp_emitter_add_credit (self, self->stream, &unused);
      return FALSE;
    }

  return wp_outbox_drain (self->outbox, error);
}
