/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-result-block.h"

#include <string.h>

/* What most blocks need at first; it grows by half. */
#define FIRST_SIZE 4096

struct _WpResultBlock
{
  guint8 *data;
  gsize size;
  gsize allocated;
};

WpResultBlock *
wp_result_block_new (void)
{
  return g_new0 (WpResultBlock, 1);
}

void
wp_result_block_free (WpResultBlock *self)
{
  g_free (self->data);
  g_free (self);
}

static gsize
pad (gsize size)
{
  return (size + 7) & ~(gsize) 7;
}

static guint8 *
append (WpResultBlock *self, gsize size)
{
  const gsize end = self->size + size;
  guint8 *place;

  if (end > self->allocated)
    {
      self->allocated = MAX (end, MAX (FIRST_SIZE, self->allocated + self->allocated / 2));
      self->data = g_realloc (self->data, self->allocated);
    }

  place = self->data + self->size;
  self->size = end;

  return place;
}

static void
append_padded (WpResultBlock *self, gconstpointer bytes, gsize length)
{
  guint8 *place = append (self, pad (length));

  if (length > 0)
    memcpy (place, bytes, length);
  memset (place + length, 0, pad (length) - length);
}

static void
put_u32 (guint8 *place, guint32 number)
{
  number = GUINT32_TO_LE (number);
  memcpy (place, &number, sizeof number);
}

static void
put_u64 (guint8 *place, guint64 number)
{
  number = GUINT64_TO_LE (number);
  memcpy (place, &number, sizeof number);
}

static void
add_record (WpResultBlock   *self,
            WpResultKind     kind,
            guint64          index,
            const WpTaskRun *run,
            const char      *type,
            gconstpointer    value,
            gsize            length)
{
  const gsize type_size = type != NULL ? strlen (type) + 1 : 0;
  gsize notes_length = 0;
  gconstpointer notes = run->notes != NULL ? g_bytes_get_data (run->notes, &notes_length) : NULL;
  guint8 *header = append (self, WP_RESULT_BLOCK_HEADER_SIZE);

  put_u64 (header, index);
  put_u32 (header + 8, kind);
  put_u32 (header + 12, run->worker);
  put_u32 (header + 16, run->n_retries);
  put_u32 (header + 20, (guint32) pad (type_size));
  put_u64 (header + 24, (guint64) (run->started / 1000));
  put_u64 (header + 32, (guint64) (run->elapsed / 1000));
  put_u64 (header + 40, length);
  put_u64 (header + 48, notes_length);

  append_padded (self, type, type_size);
  append_padded (self, value, length);
  append_padded (self, notes, notes_length);
}

void
wp_result_block_add (WpResultBlock *self, guint64 index, const WpTaskRun *run, const WpRecord *record)
{
  const gboolean is_bytes = g_str_equal (record->type, "ay");

  add_record (self, is_bytes ? WP_RESULT_KIND_BYTES : WP_RESULT_KIND_VALUE, index, run, is_bytes ? NULL : record->type,
              record->value, record->length);
}

void
wp_result_block_add_error (WpResultBlock *self, guint64 index, const WpTaskRun *run, const GError *error)
{
  g_autoptr (GVariant) value = wp_payload_new_error (error);

  add_record (self, WP_RESULT_KIND_ERROR, index, run, NULL, g_variant_get_data (value), g_variant_get_size (value));
}

gboolean
wp_result_block_is_full (WpResultBlock *self)
{
  return self->size >= WP_RESULT_BLOCK_SIZE;
}

GBytes *
wp_result_block_end (WpResultBlock *self)
{
  GBytes *bytes = g_bytes_new_take (g_steal_pointer (&self->data), self->size);

  wp_result_block_free (self);

  return bytes;
}
