/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-payload.h"

#include <string.h>

#include "channel/wp-error.h"
#include "channel/wp-frame.h"

#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "Values travel as GVariant serialises them in memory, and the channel is little-endian: \
a big-endian machine would have to swap each value (g_variant_byteswap)."
#endif

#define RECORD_HEADER_SIZE 8
#define LONG_LENGTH        G_MAXUINT32

#define ALIGN_8(size) (((size) + 7) & ~(gsize) 7)

/* A failed task's message is cut here, so that its record always fits the board. */
#define MAX_ERROR_MESSAGE (64u * 1024)
#define MAX_ERROR_DOMAIN  128
/* Quarks are never freed: a worker may not fill the process with them. */
#define MAX_FOREIGN_DOMAINS 1024

/* Values below this are copied out of a payload: a kept integer must not keep a chunk of them. */
#define SMALL_VALUE 256

enum
{
  WP_RECORD_ERROR = 1 << 0,
  WP_RECORD_ALL_FLAGS = (1 << 1) - 1,
};

typedef struct
{
  guint32 length;
  guint16 type_length;
  guint8 flags;
  guint8 type_char;
} RecordHeader;

G_STATIC_ASSERT (sizeof (RecordHeader) == RECORD_HEADER_SIZE);

struct _WpPayloadWriter
{
  GPtrArray *segments;
  gsize segments_size;
  guint8 *buffer; /* the segment being written */
  gsize length;
  gsize capacity;
  const char *type; /* of the record before; NULL at the start */
  char *owned_type; /* what type points to, unless that is static */
};

/* The one-character types, as strings that live for ever. */
static const char *
get_basic_type (char type_char, gsize *fixed_size)
{
  switch (type_char)
    {
    case 'b':
      *fixed_size = 1;
      return "b";
    case 'y':
      *fixed_size = 1;
      return "y";
    case 'n':
      *fixed_size = 2;
      return "n";
    case 'q':
      *fixed_size = 2;
      return "q";
    case 'i':
      *fixed_size = 4;
      return "i";
    case 'u':
      *fixed_size = 4;
      return "u";
    case 'h':
      *fixed_size = 4;
      return "h";
    case 'x':
      *fixed_size = 8;
      return "x";
    case 't':
      *fixed_size = 8;
      return "t";
    case 'd':
      *fixed_size = 8;
      return "d";
    case 's':
      *fixed_size = 0;
      return "s";
    case 'o':
      *fixed_size = 0;
      return "o";
    case 'g':
      *fixed_size = 0;
      return "g";
    case 'v':
      *fixed_size = 0;
      return "v";
    default:
      return NULL;
    }
}

static gboolean
same_type (const char *previous_type, const char *type)
{
  return previous_type != NULL && strcmp (previous_type, type) == 0;
}

/* Everything of a record before its value. type_length: 0 when the type is that of the record
 * before. */
static gsize
get_prefix_size (gsize type_length, gsize length)
{
  gsize size = RECORD_HEADER_SIZE;

  if (type_length > 1)
    size += ALIGN_8 (type_length + 1);
  if (length >= LONG_LENGTH)
    size += sizeof (guint64);
  return size;
}

static guint8 *
write_prefix (guint8 *buffer, const char *type, gsize type_length, gsize length, gboolean is_error)
{
  RecordHeader header = {
    .length = MIN (length, LONG_LENGTH),
    .type_length = type_length,
    .flags = is_error ? WP_RECORD_ERROR : 0,
    .type_char = type_length == 1 ? type[0] : 0,
  };

  memcpy (buffer, &header, RECORD_HEADER_SIZE);
  buffer += RECORD_HEADER_SIZE;
  if (type_length > 1)
    {
      gsize padded = ALIGN_8 (type_length + 1);

      memset (buffer + padded - 8, 0, 8);
      memcpy (buffer, type, type_length);
      buffer += padded;
    }
  if (length >= LONG_LENGTH)
    {
      guint64 long_length = length;

      memcpy (buffer, &long_length, sizeof long_length);
      buffer += sizeof long_length;
    }
  return buffer;
}

/* Writing */

WpPayloadWriter *
wp_payload_writer_new (void)
{
  WpPayloadWriter *writer = g_new0 (WpPayloadWriter, 1);

  writer->segments = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  return writer;
}

void
wp_payload_writer_free (WpPayloadWriter *writer)
{
  g_ptr_array_unref (writer->segments);
  g_free (writer->buffer);
  g_free (writer->owned_type);
  g_free (writer);
}

static guint8 *
reserve (WpPayloadWriter *writer, gsize size)
{
  guint8 *space;

  if (writer->capacity - writer->length < size)
    {
      writer->capacity = MAX (MAX (2 * writer->capacity, writer->length + size), 128);
      writer->buffer = g_realloc (writer->buffer, writer->capacity);
    }

  space = writer->buffer + writer->length;
  writer->length += size;
  return space;
}

static void
end_segment (WpPayloadWriter *writer)
{
  if (writer->length > 0)
    {
      writer->segments_size += writer->length;
      g_ptr_array_add (writer->segments,
                       g_bytes_new_take (g_steal_pointer (&writer->buffer), writer->length));
      writer->length = writer->capacity = 0;
    }
}

/* The length of the type to write: 0 when it is that of the record before. */
static gsize
note_type (WpPayloadWriter *writer, const char *type)
{
  gsize fixed_size;
  const char *basic;

  if (same_type (writer->type, type))
    return 0;

  g_clear_pointer (&writer->owned_type, g_free);
  basic = type[1] == '\0' ? get_basic_type (type[0], &fixed_size) : NULL;
  writer->type = basic != NULL ? basic : (writer->owned_type = g_strdup (type));
  return strlen (type);
}

/* A large value becomes a segment of its own; the padding after it, too, so that every value that
 * is copied stays aligned in memory. */
static void
add_large (WpPayloadWriter *writer, GVariant *value, gsize size)
{
  static const guint8 zeros[8];
  gsize padding = ALIGN_8 (size) - size;

  end_segment (writer);
  g_ptr_array_add (writer->segments, g_variant_get_data_as_bytes (value));
  if (padding > 0)
    g_ptr_array_add (writer->segments, g_bytes_new_static (zeros, padding));
  writer->segments_size += size + padding;
}

static void
add_record (WpPayloadWriter *writer, GVariant *value, gboolean is_error)
{
  const char *type = g_variant_get_type_string (value);
  gsize size = g_variant_get_size (value);
  gsize type_length = note_type (writer, type);
  gsize prefix_size = get_prefix_size (type_length, size);
  gsize padded = ALIGN_8 (size);
  guint8 *space;

  if (size >= WP_PAYLOAD_LARGE)
    {
      write_prefix (reserve (writer, prefix_size), type, type_length, size, is_error);
      add_large (writer, value, size);
      return;
    }

  space = write_prefix (reserve (writer, prefix_size + padded), type, type_length, size, is_error);
  if (padded > 0)
    {
      memset (space + padded - 8, 0, 8);
      g_variant_store (value, space);
    }
}

void
wp_payload_writer_add (WpPayloadWriter *writer, GVariant *value)
{
  add_record (writer, value, FALSE);
}

/* The string's beginning as valid UTF-8 of at most 'most' bytes. Language bindings can make errors
 * without a domain or a message, which are NULL here. */
static char *
cut_string (const char *string, gsize most)
{
  /* Four bytes more: what is cut through here is cut away below, and not replaced. */
  char *valid = string != NULL ? g_utf8_make_valid (string, strnlen (string, most + 4))
                               : g_strdup ("");

  if (strlen (valid) > most)
    {
      const char *end = g_utf8_find_prev_char (valid, valid + most + 1);

      valid[end != NULL ? end - valid : 0] = '\0';
    }
  return valid;
}

GVariant *
wp_payload_new_error (const GError *error)
{
  /* Too long a name must not arrive as another, shorter one: the reader has to see that it is too
   * long. */
  g_autofree char *domain = cut_string (g_quark_to_string (error->domain), 2 * MAX_ERROR_DOMAIN);
  g_autofree char *message = cut_string (error->message, MAX_ERROR_MESSAGE);

  return g_variant_ref_sink (g_variant_new (WP_RECORD_ERROR_TYPE, domain, error->code, message));
}

void
wp_payload_writer_add_error (WpPayloadWriter *writer, const GError *error)
{
  g_autoptr (GVariant) value = wp_payload_new_error (error);

  add_record (writer, value, TRUE);
}

/* The records of n values after one of the same type, of 8 bytes at the most. For a stride that is
 * constant this compiles to three moves a value. */
static inline void
write_small (guint8 *space, const guint8 *values, gsize stride, guint n)
{
  const guint64 header = stride;

  for (guint i = 0; i < n; i++)
    {
      guint64 value = 0;

      memcpy (&value, values + i * stride, stride);
      memcpy (space, &header, RECORD_HEADER_SIZE);
      memcpy (space + RECORD_HEADER_SIZE, &value, sizeof value);
      space += RECORD_HEADER_SIZE + sizeof value;
    }
}

void
wp_payload_writer_add_fixed (WpPayloadWriter *writer,
                             const GVariantType *type,
                             gconstpointer values,
                             gsize stride,
                             guint n)
{
  const guint8 *value = values;
  gsize padded = ALIGN_8 (stride);
  g_autofree char *type_string = NULL;
  gsize type_length;
  guint8 *space;

  if (n == 0)
    return;

  type_string = g_variant_type_dup_string (type);
  type_length = note_type (writer, type_string);
  space = reserve (writer, get_prefix_size (type_length, stride) + padded +
                               (n - 1) * (RECORD_HEADER_SIZE + padded));

  for (guint i = 0; i < n; i++)
    {
      space = write_prefix (space, type_string, i == 0 ? type_length : 0, stride, FALSE);
      memset (space + padded - 8, 0, 8);
      memcpy (space, value, stride);
      space += padded;
      value += stride;

      switch (stride)
        {
        case 1:
          write_small (space, value, 1, n - 1);
          return;
        case 2:
          write_small (space, value, 2, n - 1);
          return;
        case 4:
          write_small (space, value, 4, n - 1);
          return;
        case 8:
          write_small (space, value, 8, n - 1);
          return;
        default:
          break;
        }
    }
}

gsize
wp_payload_writer_get_size (WpPayloadWriter *writer)
{
  return writer->segments_size + writer->length;
}

GPtrArray *
wp_payload_writer_finish (WpPayloadWriter *writer)
{
  GPtrArray *segments;

  end_segment (writer);
  segments = g_steal_pointer (&writer->segments);
  if (segments->len == 0)
    g_ptr_array_add (segments, g_bytes_new_static ("", 0));

  writer->segments = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  writer->segments_size = 0;
  writer->type = NULL;
  g_clear_pointer (&writer->owned_type, g_free);
  return segments;
}

gsize
wp_payload_store (guint8 *buffer,
                  gsize space,
                  const char *type,
                  gboolean same_type_before,
                  GVariant *value,
                  gboolean is_error)
{
  gsize size = g_variant_get_size (value);
  gsize type_length = same_type_before ? 0 : strlen (type);
  gsize prefix_size = get_prefix_size (type_length, size);
  gsize padded = ALIGN_8 (size);

  if (prefix_size > space || padded > space - prefix_size)
    return 0;

  buffer = write_prefix (buffer, type, type_length, size, is_error);
  if (padded > 0)
    {
      memset (buffer + padded - 8, 0, 8);
      g_variant_store (value, buffer);
    }
  return prefix_size + padded;
}

/* Reading */

void
wp_payload_reader_init (WpPayloadReader *reader, GBytes *bytes, gboolean trusted)
{
  memset (reader, 0, sizeof *reader);
  reader->bytes = g_bytes_ref (bytes);
  reader->data = g_bytes_get_data (bytes, &reader->size);
  reader->trusted = trusted;
}

void
wp_payload_reader_clear (WpPayloadReader *reader)
{
  g_clear_pointer (&reader->bytes, g_bytes_unref);
  reader->data = NULL;
  reader->size = reader->position = 0;
}

static gboolean G_GNUC_NO_INLINE
malformed (WpPayloadReader *reader, GError **error, const char *what)
{
  g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
               WP_CHANNEL_PEER " sent a malformed record (at %" G_GSIZE_FORMAT
               " of %" G_GSIZE_FORMAT " bytes): %s",
               reader->position, reader->size, what);
  return FALSE;
}

/* A copy of a small value, a view of a large one. */
static GVariant *
new_value (WpPayloadReader *reader, const WpRecord *record, gboolean trusted)
{
  g_autoptr (GBytes) bytes = NULL;

  if (record->length < SMALL_VALUE)
    bytes = g_bytes_new (record->value, record->length);
  else
    bytes = g_bytes_new_from_bytes (reader->bytes, (const guint8 *) record->value - reader->data,
                                    record->length);

  return g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (record->type), bytes, trusted));
}

static gboolean
is_normal_value (WpPayloadReader *reader, const WpRecord *record)
{
  g_autoptr (GVariant) value = NULL;
  gsize element_size;

  if (reader->fixed_size > 0)
    return record->type[0] != 'b' || *(const guint8 *) record->value <= 1;

  if (record->type[0] == 's')
    return record->length > 0 && ((const char *) record->value)[record->length - 1] == '\0' &&
           g_utf8_validate (record->value, record->length - 1, NULL);

  /* Bytes under a codec, above all. */
  if (record->type[0] == 'a' && record->type[2] == '\0' && record->type[1] != 'b' &&
      get_basic_type (record->type[1], &element_size) != NULL && element_size > 0)
    return record->length % element_size == 0;

  value = new_value (reader, record, FALSE);
  return g_variant_is_normal_form (value);
}

static gboolean
read_type (WpPayloadReader *reader, const RecordHeader *header, gsize *position, GError **error)
{
  const char *type = (const char *) reader->data + *position;
  gsize padded = ALIGN_8 ((gsize) header->type_length + 1);

  if (header->type_length > WP_PAYLOAD_MAX_TYPE)
    return malformed (reader, error, "its type is too long");
  if (padded > reader->size - *position)
    return malformed (reader, error, "its type is cut off");
  if (type[header->type_length] != '\0' || strlen (type) != header->type_length ||
      !g_variant_type_string_is_valid (type) || !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    return malformed (reader, error, "its type is no definite type");

  reader->type = type;
  reader->fixed_size = 0;
  *position += padded;
  return TRUE;
}

gboolean
wp_payload_reader_next (WpPayloadReader *reader, WpRecord *record, GError **error)
{
  gsize position = reader->position;
  RecordHeader header;
  guint64 length;

  if (position == reader->size)
    return FALSE;
  if (reader->size - position < RECORD_HEADER_SIZE)
    return malformed (reader, error, "it is cut off");

  memcpy (&header, reader->data + position, RECORD_HEADER_SIZE);
  position += RECORD_HEADER_SIZE;
  if ((header.flags & ~WP_RECORD_ALL_FLAGS) != 0 ||
      (header.type_length != 1 && header.type_char != 0))
    return malformed (reader, error, "it uses reserved bits");

  if (header.type_length == 1)
    {
      reader->type = get_basic_type (header.type_char, &reader->fixed_size);
      if (reader->type == NULL)
        return malformed (reader, error, "its type is no definite type");
    }
  else if (header.type_length > 1)
    {
      if (!read_type (reader, &header, &position, error))
        return FALSE;
    }
  else if (reader->type == NULL)
    {
      return malformed (reader, error, "the first one has no type");
    }

  length = header.length;
  if (length == LONG_LENGTH)
    {
      if (reader->size - position < sizeof length)
        return malformed (reader, error, "its length is cut off");
      memcpy (&length, reader->data + position, sizeof length);
      position += sizeof length;
    }

  if (length > reader->size - position || ALIGN_8 (length) > reader->size - position)
    return malformed (reader, error, "its value is cut off");
  if (reader->fixed_size > 0 && length != reader->fixed_size)
    return malformed (reader, error, "its value is not of its type's size");

  record->type = reader->type;
  record->value = reader->data + position;
  record->length = length;
  record->is_error = (header.flags & WP_RECORD_ERROR) != 0;
  if (!reader->trusted)
    {
      if (!is_normal_value (reader, record))
        return malformed (reader, error, "its value is not in normal form");
      if (record->is_error && strcmp (record->type, WP_RECORD_ERROR_TYPE) != 0)
        return malformed (reader, error, "it is an error of another type");
    }

  reader->position = position + ALIGN_8 (length);
  return TRUE;
}

guint
wp_payload_reader_skip_numbers (WpPayloadReader *reader, const WpRecord *record, guint most)
{
  const guint64 header = reader->fixed_size;
  guint n = 0;

  if (record->is_error || reader->fixed_size == 0 || record->type[0] == 'b')
    return 0;

  /* The header of such a record is its length and zeros. */
  while (n < most && reader->size - reader->position >= WP_RECORD_NUMBER_STRIDE &&
         memcmp (reader->data + reader->position, &header, RECORD_HEADER_SIZE) == 0)
    {
      reader->position += WP_RECORD_NUMBER_STRIDE;
      n++;
    }
  return n;
}

GBytes *
wp_payload_reader_get_rest (WpPayloadReader *reader)
{
  RecordHeader header;

  if (reader->size - reader->position < RECORD_HEADER_SIZE)
    return NULL;

  memcpy (&header, reader->data + reader->position, RECORD_HEADER_SIZE);
  if (header.type_length == 0)
    return NULL;

  return g_bytes_new_from_bytes (reader->bytes, reader->position, reader->size - reader->position);
}

gboolean
wp_payload_validate (GBytes *bytes, guint *n_records, GError **error)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GError) local_error = NULL;
  WpRecord record;
  guint n = 0;

  wp_payload_reader_init (&reader, bytes, FALSE);
  while (wp_payload_reader_next (&reader, &record, &local_error))
    {
      if (++n == G_MAXUINT)
        return malformed (&reader, error, "there are too many");
      n += wp_payload_reader_skip_numbers (&reader, &record, G_MAXUINT - 1 - n);
    }

  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  if (n_records != NULL)
    *n_records = n;
  return TRUE;
}

GVariant *
wp_payload_reader_get_value (WpPayloadReader *reader, const WpRecord *record)
{
  const char *type = record->type;
  GVariant *value = NULL;

  if (type[1] == '\0')
    {
      switch (type[0])
        {
        case 'b':
          value = g_variant_new_boolean (*(const guint8 *) record->value != 0);
          break;
        case 'y':
          value = g_variant_new_byte (*(const guint8 *) record->value);
          break;
        case 'i':
          value = g_variant_new_int32 (*(const gint32 *) record->value);
          break;
        case 'u':
          value = g_variant_new_uint32 (*(const guint32 *) record->value);
          break;
        case 'x':
          value = g_variant_new_int64 (*(const gint64 *) record->value);
          break;
        case 't':
          value = g_variant_new_uint64 (*(const guint64 *) record->value);
          break;
        case 'd':
          value = g_variant_new_double (*(const double *) record->value);
          break;
        default:
          break;
        }
    }

  return value != NULL ? g_variant_ref_sink (value) : new_value (reader, record, TRUE);
}

/* The quark of a domain that a worker named, or 0 when it may not have one. */
static GQuark
get_domain (const char *name)
{
  static guint n_foreign_domains; /* atomic */
  GQuark domain = g_quark_try_string (name);
  gsize length = strlen (name);

  if (domain != 0)
    return domain;

  if (length == 0 || length > MAX_ERROR_DOMAIN)
    return 0;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isgraph (name[i]))
      return 0;

  if (g_atomic_int_add (&n_foreign_domains, 1) >= MAX_FOREIGN_DOMAINS)
    {
      g_atomic_int_add (&n_foreign_domains, -1);
      return 0;
    }
  return g_quark_from_string (name);
}

GError *
wp_payload_reader_get_error (WpPayloadReader *reader, const WpRecord *record)
{
  g_autoptr (GVariant) value = new_value (reader, record, TRUE);
  g_autofree char *shortened = NULL;
  g_autofree char *printable = NULL;
  const char *domain_name;
  const char *message;
  GQuark domain;
  int code;

  g_variant_get (value, "(&si&s)", &domain_name, &code, &message);
  domain = get_domain (domain_name);
  if (domain != 0)
    return g_error_new_literal (domain, code, message);

  shortened = g_strndup (domain_name, MAX_ERROR_DOMAIN);
  printable = g_strescape (shortened, NULL);
  return g_error_new (WP_ERROR, WP_ERROR_FAILED, "%s (error %d of domain “%s”)", message, code,
                      printable);
}
