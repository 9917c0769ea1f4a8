/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-shared-objects.h"

#include <unistd.h>

#include "channel/wp-payload.h"
#include "channel/wp-shared-buffer.h"
#include "channel/wp-value.h"

struct _WpSharedObjects
{
  gatomicrefcount ref_count;
  const char *flaw;

  GMutex lock; /* of the value, while the caller may ask for it */
  GVariant *value;

  int fd; /* the shared buffer, a payload of one record; -1: none */
  gsize length;
};

WpSharedObjects *
wp_shared_objects_new (GVariant *value)
{
  WpSharedObjects *self = g_new0 (WpSharedObjects, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->value = g_variant_ref_sink (value);
  self->flaw = wp_value_get_flaw (self->value);
  self->fd = -1;

  return self;
}

WpSharedObjects *
wp_shared_objects_ref (WpSharedObjects *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
wp_shared_objects_unref (WpSharedObjects *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  wp_shared_objects_close (self);
  g_variant_unref (self->value);
  g_mutex_clear (&self->lock);
  g_free (self);
}

const char *
wp_shared_objects_get_flaw (WpSharedObjects *self)
{
  return self->flaw;
}

GVariant *
wp_shared_objects_dup_value (WpSharedObjects *self)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  return g_variant_ref (self->value);
}

static GPtrArray *
make_payload (WpSharedObjects *self)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) value = wp_shared_objects_dup_value (self);

  wp_payload_writer_add (writer, value);

  return wp_payload_writer_finish (writer);
}

/* The value as it is in the buffer, or NULL when the system refuses to map it. */
static GVariant *
map_value (WpSharedObjects *self)
{
  g_autoptr (GBytes) bytes = wp_shared_buffer_map (self->fd, self->length, NULL);
  g_auto (WpPayloadReader) reader = { NULL };
  WpRecord record;

  if (bytes == NULL)
    return NULL;

  wp_payload_reader_init (&reader, bytes, TRUE);

  return wp_payload_reader_next (&reader, &record, NULL) ? wp_payload_reader_get_value (&reader, &record) : NULL;
}

void
wp_shared_objects_share (WpSharedObjects *self)
{
  g_autoptr (GPtrArray) payload = NULL;
  g_autoptr (GVariant) replaced = NULL;
  GVariant *mapped;

  if (self->fd >= 0)
    return;

  payload = make_payload (self);
  self->length = 0;
  for (guint i = 0; i < payload->len; i++)
    self->length += g_bytes_get_size (payload->pdata[i]);
  if (self->length < WP_PAYLOAD_LARGE)
    return;

  self->fd = wp_shared_buffer_create (payload, NULL);
  if (self->fd < 0)
    return;

  mapped = map_value (self);
  if (mapped == NULL)
    return;

  g_mutex_lock (&self->lock);
  replaced = self->value;
  self->value = mapped;
  g_mutex_unlock (&self->lock);
}

gboolean
wp_shared_objects_send (WpSharedObjects *self, WpChannel *channel, GError **error)
{
  const WpFrameHeader header = { .type = WP_FRAME_OBJECTS };
  g_autoptr (GPtrArray) payload = NULL;

  if (self->fd >= 0 && wp_channel_can_share (channel))
    return wp_channel_send_shared (channel, &header, NULL, self->fd, self->length, error);

  payload = make_payload (self);

  return wp_channel_send (channel, &header, NULL, payload, -1, error);
}

void
wp_shared_objects_close (WpSharedObjects *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
}
