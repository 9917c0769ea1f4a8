/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bulk.h"

#include <string.h>

#include "helpers.h"

#define HEADER_SIZE 56

static guint32
get_u32 (const guint8 *place)
{
  guint32 number;

  memcpy (&number, place, sizeof number);
  return GUINT32_FROM_LE (number);
}

static guint64
get_u64 (const guint8 *place)
{
  guint64 number;

  memcpy (&number, place, sizeof number);
  return GUINT64_FROM_LE (number);
}

/* What stands there, which is filled up with zeros. */
static const guint8 *
skip (Block *block, gsize length)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (block->block, &size);
  const guint8 *place = data + block->position;
  const gsize end = (block->position + length + 7) & ~(gsize) 7;

  g_assert_cmpuint (end, <=, size);
  for (gsize i = block->position + length; i < end; i++)
    g_assert_cmpuint (data[i], ==, 0);
  block->position = end;

  return place;
}

gboolean
block_read (Block *block)
{
  const guint8 *header;
  gsize type_size;

  if (block->block == NULL || block->position == g_bytes_get_size (block->block))
    return FALSE;

  g_assert_cmpuint (block->position % 8, ==, 0);
  header = skip (block, HEADER_SIZE);
  block->index = get_u64 (header);
  block->kind = get_u32 (header + 8);
  block->worker = get_u32 (header + 12);
  block->n_retries = get_u32 (header + 16);
  type_size = get_u32 (header + 20);
  block->started = (gint64) get_u64 (header + 24);
  block->elapsed = (gint64) get_u64 (header + 32);
  block->length = get_u64 (header + 40);
  block->notes_length = get_u64 (header + 48);

  g_assert_cmpuint (block->kind, <=, 2);
  g_assert_true ((type_size > 0) == (block->kind == 1));
  g_assert_cmpuint (type_size % 8, ==, 0);
  block->type = (const char *) skip (block, type_size);
  if (block->kind != 1)
    block->type = NULL;
  block->value = skip (block, block->length);
  block->notes = skip (block, block->notes_length);

  return TRUE;
}

GVariant *
block_get_value (const Block *block)
{
  const char *const types[] = { "ay", block->type, "(sis)" };
  g_autoptr (GBytes) bytes = g_bytes_new (block->value, block->length);
  GVariant *value = g_variant_new_from_bytes (G_VARIANT_TYPE (types[block->kind]), bytes, FALSE);

  g_assert_true (g_variant_is_normal_form (value));

  return g_variant_ref_sink (value);
}

void
block_assert_error (const Block *block, GQuark domain, int code)
{
  g_autoptr (GVariant) value = block_get_value (block);
  const char *name, *message;
  int number;

  g_assert_cmpuint (block->kind, ==, 2);
  g_variant_get (value, "(&si&s)", &name, &number, &message);
  g_assert_cmpstr (name, ==, g_quark_to_string (domain));
  g_assert_cmpint (number, ==, code);
  g_assert_cmpstr (message, !=, "");
}

void
block_clear (Block *block)
{
  g_clear_pointer (&block->block, g_bytes_unref);
  memset (block, 0, sizeof *block);
}

gboolean
take_block (WpBatch *batch, guint most, Block *block)
{
  g_autoptr (GError) error = NULL;

  block_clear (block);
  while (block->block == NULL)
    {
      gboolean found = wp_batch_wait (batch, -1, &error);

      g_assert_no_error (error);
      g_assert_true (found);
      block->block = wp_batch_take (batch, most, &error);
      g_assert_no_error (error);
      /* Nothing is there after all when another thread was quicker; or it is the end. */
      if (block->block == NULL && wp_batch_get_state (batch) >= WP_BATCH_STATE_FINISHED)
        {
          g_autoptr (WpResult) last = wp_batch_next (batch, NULL, &error);

          g_assert_no_error (error);
          g_assert_null (last);
          return FALSE;
        }
    }

  return TRUE;
}
