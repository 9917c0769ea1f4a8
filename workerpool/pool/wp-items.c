/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-items.h"

#include "channel/wp-value.h"

/* GVariant finds a child of a serialised array that it does not trust by searching from the start, also when the
 * array is known to be in normal form. An array of small elements is therefore wrapped anew as what it is; one of large
 * elements is left alone, because it may not be serialised yet and that would copy it. That is until it has so many
 * that the searching, about 0.1 ns for each element before, costs more than the copy. */
#define WRAP_BELOW_BYTES 4096
#define WRAP_BELOW_PART 2

struct _WpItems
{
  guint64 n;

  /* An array. */
  GVariant *array;
  const GVariantType *fixed_type; /* the elements' type when it is of fixed size, else NULL */
  const guint8 *fixed_data;
  gsize stride;
  gint64 array_pushed;

  /* Pushed items: a ring of a power of two places, the item i at i & mask; those below 'first' were
   * all dropped. */
  GVariant **ring;
  gint64 *pushed; /* when, beside each place of the ring; NULL: nobody has noted it */
  guint64 mask;
  guint64 first;
};

gboolean
wp_items_check (const char *argument, GVariant *value, GError **error)
{
  const char *flaw = wp_value_get_flaw (value);

  if (flaw == NULL)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               "%s, of type “%.64s”, cannot be sent to a worker: it %s", argument,
               g_variant_get_type_string (value), flaw);
  return FALSE;
}

void
wp_items_serialise (GVariant *value)
{
  if (g_variant_get_size (value) >= WP_PAYLOAD_LARGE)
    g_variant_get_data (value);
}

/* The size of a type's values when they are all of one size, else 0. */
static gsize
fixed_size_of (const GVariantType *type)
{
  switch (g_variant_type_peek_string (type)[0])
    {
    case 'y':
    case 'b':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

GVariant *
wp_items_trust_array (GVariant *items)
{
  const gsize n = g_variant_n_children (items);
  g_autoptr (GBytes) bytes = NULL;

  if (n == 0 || g_variant_get_size (items) / n >= MAX (WRAP_BELOW_BYTES, n / WRAP_BELOW_PART))
    return g_variant_ref (items);

  bytes = g_variant_get_data_as_bytes (items);
  return g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (items), bytes, TRUE));
}

WpItems *
wp_items_new_array (GVariant *items)
{
  WpItems *self = g_new0 (WpItems, 1);
  const GVariantType *type = g_variant_type_element (g_variant_get_type (items));

  self->n = g_variant_n_children (items);
  self->stride = fixed_size_of (type);

  if (self->stride > 0)
    {
      self->array = g_variant_ref (items);
      self->fixed_type = type;
      self->fixed_data = g_variant_get_data (items);
      return self;
    }

  self->array = wp_items_trust_array (items);
  for (guint64 i = 0; self->array == items && i < self->n; i++)
    {
      g_autoptr (GVariant) element = g_variant_get_child_value (items, i);

      wp_items_serialise (element);
    }

  return self;
}

WpItems *
wp_items_new (void)
{
  return g_new0 (WpItems, 1);
}

void
wp_items_free (WpItems *self)
{
  g_clear_pointer (&self->array, g_variant_unref);

  for (guint64 i = self->first; self->ring != NULL && i < self->n; i++)
    g_clear_pointer (&self->ring[i & self->mask], g_variant_unref);
  g_free (self->ring);
  g_free (self->pushed);

  g_free (self);
}

guint64
wp_items_get_n (WpItems *self)
{
  return self->n;
}

gsize
wp_items_get_size (WpItems *self, guint64 index)
{
  g_assert (self->array == NULL && index >= self->first && index < self->n);

  return g_variant_get_size (self->ring[index & self->mask]);
}

void
wp_items_push (WpItems *self, GVariant *value)
{
  g_assert (self->array == NULL);

  if (self->ring == NULL || self->n - self->first > self->mask)
    {
      guint64 size = self->ring == NULL ? 16 : (self->mask + 1) * 2;
      GVariant **ring = g_new0 (GVariant *, size);

      for (guint64 i = self->first; i < self->n; i++)
        ring[i & (size - 1)] = self->ring[i & self->mask];

      if (self->pushed != NULL)
        {
          gint64 *pushed = g_new0 (gint64, size);

          for (guint64 i = self->first; i < self->n; i++)
            pushed[i & (size - 1)] = self->pushed[i & self->mask];
          g_free (self->pushed);
          self->pushed = pushed;
        }

      g_free (self->ring);
      self->ring = ring;
      self->mask = size - 1;
    }

  self->ring[self->n++ & self->mask] = value;
}

void
wp_items_note_pushed (WpItems *self, guint64 n, gint64 time)
{
  g_assert (n <= self->n);

  if (self->array != NULL)
    {
      self->array_pushed = time;
      return;
    }

  if (self->pushed == NULL)
    self->pushed = g_new0 (gint64, self->mask + 1);
  for (guint64 i = self->n - n; i < self->n; i++)
    self->pushed[i & self->mask] = time;
}

gint64
wp_items_get_pushed (WpItems *self, guint64 index)
{
  g_assert (index >= self->first && index < self->n);

  if (self->array != NULL)
    return self->array_pushed;

  return self->pushed != NULL ? self->pushed[index & self->mask] : 0;
}

GVariant *
wp_items_get_element (GVariant *array, gsize index)
{
  g_autoptr (GVariant) element = g_variant_get_child_value (array, index);

  if (g_variant_is_of_type (element, G_VARIANT_TYPE_VARIANT))
    return g_variant_get_variant (element);

  return g_steal_pointer (&element);
}

GVariant *
wp_items_get (WpItems *self, guint64 index)
{
  GVariant *item;

  g_assert (index < self->n);

  if (self->array != NULL)
    return wp_items_get_element (self->array, index);

  item = index >= self->first ? self->ring[index & self->mask] : NULL;

  return item != NULL ? g_variant_ref (item) : NULL;
}

void
wp_items_drop (WpItems *self, guint64 first, guint n, GPtrArray *dropped)
{
  if (self->ring == NULL)
    return;

  for (guint64 i = first; i < first + n; i++)
    g_ptr_array_add (dropped, g_steal_pointer (&self->ring[i & self->mask]));

  while (self->first < self->n && self->ring[self->first & self->mask] == NULL)
    self->first++;
}

gsize
wp_items_store (WpItems *self, guint64 index, guint8 *buffer, gsize space)
{
  GVariant *value;

  if (self->array != NULL)
    return 0;

  value = self->ring[index & self->mask];
  return wp_payload_store (buffer, space, g_variant_get_type_string (value), FALSE, value, FALSE);
}

void
wp_items_write (WpItems *self, guint64 first, guint n, WpPayloadWriter *writer)
{
  g_assert (first + n <= self->n);

  if (self->fixed_type != NULL)
    {
      wp_payload_writer_add_fixed (writer, self->fixed_type, self->fixed_data + first * self->stride,
                                   self->stride, n);
      return;
    }

  for (guint64 i = first; i < first + n; i++)
    {
      g_autoptr (GVariant) value = NULL;

      if (self->array == NULL)
        {
          wp_payload_writer_add (writer, self->ring[i & self->mask]);
          continue;
        }

      value = wp_items_get_element (self->array, i);
      wp_payload_writer_add (writer, value);
    }
}
