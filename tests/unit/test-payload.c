/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-board.h"
#include "channel/wp-error.h"
#include "channel/wp-payload.h"

#include <string.h>

#include "bracketed-tests.h"

static const char *const texts[] = {
  "true",
  "false",
  "byte 0xff",
  "int16 -2",
  "uint16 65535",
  "int32 -3",
  "uint32 4000000000",
  "int64 -5",
  "uint64 18446744073709551615",
  "handle 7",
  "3.25",
  "''",
  "'a string'",
  "'zwölf Boxkämpfer'",
  "objectpath '/org/gnome'",
  "signature 'a{sv}'",
  "<5>",
  "<('nested', <<@ay []>>)>",
  "()",
  "(1, 2)",
  "(byte 1, int64 2)",
  "@ai []",
  "[1, 2, 3]",
  "@ay []",
  "b'bytes'",
  "[true, false]",
  "@as []",
  "['one', 'two', 'three']",
  "@av []",
  "[<1>, <'two'>, <[3.0]>]",
  "@a{sv} {}",
  "{'key': <1>, 'other': <'value'>}",
  "@mi nothing",
  "@mi 5",
  "@ms 'just'",
  "(1, 'two', [3.0], {'four': <5>}, (byte 6,))",
};

static GVariant *
parse (const char *text)
{
  GError *error = NULL;
  GVariant *value = g_variant_parse (NULL, text, NULL, NULL, &error);

  g_assert_no_error (error);
  return g_variant_ref_sink (value);
}

/* All of a writer's segments as one block of exactly their size, and 8-aligned. */
static GBytes *
finish (WpPayloadWriter *writer)
{
  gsize expected_size = wp_payload_writer_get_size (writer);
  g_autoptr (GPtrArray) segments = wp_payload_writer_finish (writer);
  GByteArray *joined = g_byte_array_new ();

  g_assert_cmpuint (segments->len, >=, 1);
  for (guint i = 0; i < segments->len; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (segments->pdata[i], &size);

      g_byte_array_append (joined, data, size);
    }
  g_assert_cmpuint (joined->len, ==, expected_size);
  g_assert_cmpuint (joined->len % 8, ==, 0);
  g_assert_cmpuint (wp_payload_writer_get_size (writer), ==, 0);
  return g_byte_array_free_to_bytes (joined);
}

static GBytes *
write_value (const char *text)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) value = parse (text);

  wp_payload_writer_add (writer, value);
  return finish (writer);
}

static void
assert_next_equals (WpPayloadReader *reader, GVariant *expected)
{
  WpRecord record;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  g_assert_true (wp_payload_reader_next (reader, &record, &error));
  g_assert_no_error (error);
  g_assert_false (record.is_error);
  g_assert_cmpstr (record.type, ==, g_variant_get_type_string (expected));
  g_assert_cmpuint (record.length, ==, g_variant_get_size (expected));
  g_assert_cmpuint (GPOINTER_TO_SIZE (record.value) % 8, ==, 0);

  value = wp_payload_reader_get_value (reader, &record);
  g_assert_false (g_variant_is_floating (value));
  g_assert_cmpvariant (value, expected);
}

static void
assert_end (WpPayloadReader *reader)
{
  WpRecord record;
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_payload_reader_next (reader, &record, &error));
  g_assert_no_error (error);
}

static void
assert_malformed (GBytes *bytes)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (wp_payload_validate (bytes, NULL, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

static void
assert_all_texts (GBytes *bytes, guint n_rounds, gboolean trusted)
{
  g_auto (WpPayloadReader) reader = { 0 };

  wp_payload_reader_init (&reader, bytes, trusted);
  for (guint round = 0; round < n_rounds; round++)
    for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
      {
        g_autoptr (GVariant) expected = parse (texts[i]);

        assert_next_equals (&reader, expected);
      }
  assert_end (&reader);
}

static void
test_round_trip (void)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GBytes) bytes = NULL;
  guint n_records;

  for (guint round = 0; round < 3; round++)
    for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
      {
        g_autoptr (GVariant) value = parse (texts[i]);

        wp_payload_writer_add (writer, value);
      }

  bytes = finish (writer);
  assert_all_texts (bytes, 3, FALSE);
  assert_all_texts (bytes, 3, TRUE);
  g_assert_true (wp_payload_validate (bytes, &n_records, NULL));
  g_assert_cmpuint (n_records, ==, 3 * G_N_ELEMENTS (texts));
}

static void
test_store (void)
{
  g_autofree guint8 *buffer = g_malloc (4096);
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *previous_type = NULL;
  gsize size = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = parse (texts[i]);
      const char *type = g_variant_get_type_string (value);
      gboolean same = g_strcmp0 (previous_type, type) == 0;
      gsize stored;

      memset (buffer + size, 0xaa, 4096 - size);
      stored = wp_payload_store (buffer + size, 4096 - size, type, same, value, FALSE);
      g_assert_cmpuint (stored, >, 0);
      g_assert_cmpuint (buffer[size + stored], ==, 0xaa);

      for (gsize space = 0; space < stored; space++)
        {
          g_autofree guint8 *small = g_malloc (MAX (space, 1));

          g_assert_cmpuint (wp_payload_store (small, space, type, same, value, FALSE), ==, 0);
        }
      g_assert_cmpuint (wp_payload_store (buffer + size, stored, type, same, value, FALSE), ==,
                        stored);

      size += stored;
      g_free (previous_type);
      previous_type = g_strdup (type);
    }

  bytes = g_bytes_new (buffer, size);
  assert_all_texts (bytes, 1, FALSE);
}

static void
test_same_type (void)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) number = parse ("int64 1");
  g_autoptr (GVariant) pair = parse ("(int64 1, int64 2)");
  gsize before;

  for (int i = 1; i <= 10; i++)
    {
      wp_payload_writer_add (writer, number);
      g_assert_cmpuint (wp_payload_writer_get_size (writer), ==, 16 * i);
    }

  wp_payload_writer_add (writer, pair);
  before = wp_payload_writer_get_size (writer);
  wp_payload_writer_add (writer, pair);
  g_assert_cmpuint (wp_payload_writer_get_size (writer) - before, ==, 8 + 16);
}

static void
test_fixed (void)
{
  static const char *const arrays[] = {
    "[byte 1, 2, 3]",
    "[int16 -1, 2]",
    "[true, false, true]",
    "[1, 2, 3, 4, 5]",
    "[int64 -1, 2]",
    "[1.5, 2.5]",
    "[(1, 2), (3, 4)]",
    "[(int64 1, byte 2), (3, 4)]",
    "[(byte 1, byte 2, byte 3), (4, 5, 6)]",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (arrays); i++)
    {
      g_autoptr (GVariant) array = parse (arrays[i]);
      gsize n = g_variant_n_children (array);
      gsize stride = g_variant_get_size (array) / n;
      g_autoptr (WpPayloadWriter) at_once = wp_payload_writer_new ();
      g_autoptr (WpPayloadWriter) one_by_one = wp_payload_writer_new ();
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GBytes) expected = NULL;

      wp_payload_writer_add_fixed (at_once, g_variant_type_element (g_variant_get_type (array)),
                                   g_variant_get_data (array), stride, n);
      wp_payload_writer_add_fixed (at_once, g_variant_type_element (g_variant_get_type (array)),
                                   NULL, stride, 0);
      wp_payload_writer_add_fixed (at_once, g_variant_type_element (g_variant_get_type (array)),
                                   g_variant_get_data (array), stride, 1);
      for (gsize j = 0; j <= n; j++)
        {
          g_autoptr (GVariant) child = g_variant_get_child_value (array, j % n);

          wp_payload_writer_add (one_by_one, child);
        }

      bytes = finish (at_once);
      expected = finish (one_by_one);
      g_assert_true (g_bytes_equal (bytes, expected));
    }
}

static void
test_large_referenced (void)
{
  static const gsize sizes[] = { WP_PAYLOAD_LARGE - 1, WP_PAYLOAD_LARGE, WP_PAYLOAD_LARGE + 1,
                                 3 * WP_PAYLOAD_LARGE + 5 };
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_autoptr (GPtrArray) segments = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_auto (WpPayloadReader) reader = { 0 };
  guint n_referenced = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *content = g_strnfill (sizes[i], 'a' + i);

      g_ptr_array_add (values, g_variant_ref_sink (g_variant_new_fixed_array (
                                   G_VARIANT_TYPE_BYTE, content, sizes[i], 1)));
      g_ptr_array_add (values, g_variant_ref_sink (g_variant_new_int32 (i)));
    }

  for (guint i = 0; i < values->len; i++)
    wp_payload_writer_add (writer, values->pdata[i]);
  segments = wp_payload_writer_finish (writer);
  for (guint i = 0; i < segments->len; i++)
    for (guint j = 0; j < values->len; j++)
      n_referenced += g_bytes_get_data (segments->pdata[i], NULL) ==
                      g_variant_get_data (values->pdata[j]);
  g_assert_cmpuint (n_referenced, ==, 3);

  for (guint i = 0; i < values->len; i++)
    wp_payload_writer_add (writer, values->pdata[i]);
  bytes = finish (writer);
  wp_payload_reader_init (&reader, bytes, FALSE);
  for (guint i = 0; i < values->len; i++)
    assert_next_equals (&reader, values->pdata[i]);
  assert_end (&reader);
}

static void
test_empty (void)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GBytes) bytes = finish (writer);
  guint n_records = 5;

  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 0);
  g_assert_true (wp_payload_validate (bytes, &n_records, NULL));
  g_assert_cmpuint (n_records, ==, 0);
}

static void
test_writer_is_reused (void)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) value = parse ("(1, 'two')");

  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GBytes) bytes = NULL;
      g_auto (WpPayloadReader) reader = { 0 };

      wp_payload_writer_add (writer, value);
      bytes = finish (writer);
      wp_payload_reader_init (&reader, bytes, FALSE);
      assert_next_equals (&reader, value);
      assert_end (&reader);
    }
}

/* A payload of one record, byte by byte. */
static GBytes *
craft (guint32 length,
       guint16 type_length,
       guint8 flags,
       guint8 type_char,
       const char *rest,
       gsize rest_size)
{
  GByteArray *bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *) &length, 4);
  g_byte_array_append (bytes, (const guint8 *) &type_length, 2);
  g_byte_array_append (bytes, &flags, 1);
  g_byte_array_append (bytes, &type_char, 1);
  g_byte_array_append (bytes, (const guint8 *) rest, rest_size);
  return g_byte_array_free_to_bytes (bytes);
}

static void
test_long_length (void)
{
  g_autoptr (GBytes) bytes = craft (G_MAXUINT32, 2, 0, 0,
                                    "ai\0\0\0\0\0\0"
                                    "\x08\0\0\0\0\0\0\0"
                                    "\1\0\0\0\2\0\0\0",
                                    24);
  g_autoptr (GVariant) expected = parse ("[1, 2]");
  g_auto (WpPayloadReader) reader = { 0 };

  wp_payload_reader_init (&reader, bytes, FALSE);
  assert_next_equals (&reader, expected);
  assert_end (&reader);
}

static void
test_malformed (void)
{
  const struct
  {
    guint32 length;
    guint16 type_length;
    guint8 flags;
    guint8 type_char;
    const char *rest;
    gsize rest_size;
  }
  /* clang-format off */
  wrong[] = {
    { 8, 0, 0, 0, "12345678", 8 },             /* no type before */
    { 8, 1, 2, 'x', "12345678", 8 },           /* an unknown flag */
    { 8, 1, 0, 'm', "12345678", 8 },           /* no type */
    { 8, 1, 0, '*', "12345678", 8 },           /* an indefinite type */
    { 8, 1, 0, 0, "12345678", 8 },             /* */
    { 8, 0, 0, 'x', "12345678", 8 },           /* a type character without its length */
    { 8, 2, 0, 'x', "ay\0\0\0\0\0\0" "12345678", 16 },
    { 7, 1, 0, 'x', "12345678", 8 },           /* a value of another size */
    { 16, 1, 0, 'x', "1234567812345678", 16 }, /* */
    { 0, 1, 0, 'x', "", 0 },                   /* */
    { 1, 1, 0, 'b', "\2\0\0\0\0\0\0\0", 8 },   /* a truth beyond truth */
    { 8, 1, 0, 's', "12345678", 8 },           /* no NUL */
    { 3, 1, 0, 's', "a\0\0\0\0\0\0\0", 8 },    /* a NUL inside */
    { 2, 1, 0, 's', "\xff\0\0\0\0\0\0\0", 8 }, /* no UTF-8 */
    { 0, 1, 0, 's', "", 0 },                   /* */
    { 2, 1, 0, 'o', "a\0\0\0\0\0\0\0", 8 },    /* no object path */
    { 2, 1, 0, 'g', "a\0\0\0\0\0\0\0", 8 },    /* no signature */
    { 0, 1, 0, 'v', "", 0 },                   /* */
    { 4, 1, 0, 'v', "1234\0\0\0\0", 8 },       /* */
    { 16, 1, 0, 's', "1234567", 8 },           /* beyond the end */
    { 9, 1, 0, 's', "12345678", 9 },           /* its padding is beyond the end */
    { 8, 2, 0, 0, "a*\0\0\0\0\0\0" "12345678", 16 },   /* an indefinite type */
    { 8, 2, 0, 0, "a(\0\0\0\0\0\0" "12345678", 16 },   /* no type */
    { 8, 2, 0, 0, "xx\0\0\0\0\0\0" "12345678", 16 },   /* two types */
    { 8, 2, 0, 0, "ay1\0\0\0\0\0" "12345678", 16 },    /* no NUL */
    { 8, 4, 0, 0, "ay\0y\0\0\0\0" "12345678", 16 },    /* a NUL inside */
    { 8, 65535, 0, 0, "ay\0\0\0\0\0\0" "12345678", 16 },
    { 8, 12, 0, 0, "(iiii)\0\0", 8 },                  /* the type is cut off */
    { 6, 2, 0, 0, "ai\0\0\0\0\0\0" "12345678", 16 },   /* half an element */
    { 2, 2, 0, 0, "ab\0\0\0\0\0\0" "\1\2\0\0\0\0\0\0", 16 },
    { 4, 2, 0, 0, "as\0\0\0\0\0\0" "a\0b\7\0\0\0\0", 16 },
    { 4, 4, 0, 0, "(ii)\0\0\0\0" "12345678", 16 },     /* a fixed size it does not have */
    { 8, 4, 0, 0, "(yi)\0\0\0\0" "\1\1\0\0\1\0\0\0", 16 }, /* padding in use */
    { 1, 2, 0, 0, "()\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0", 16 },
    { 8, 1, 1, 'x', "12345678", 8 },                   /* an error of another type */
    { G_MAXUINT32, 1, 0, 's', "", 0 },                 /* the long length is cut off */
    { G_MAXUINT32, 1, 0, 's', "\xff\xff\xff\xff\xff\xff\xff\xff", 8 },
    { G_MAXUINT32, 1, 0, 's', "\xf9\xff\xff\xff\xff\xff\xff\xff", 8 },
  };
  /* clang-format on */

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_autoptr (GBytes) bytes = craft (wrong[i].length, wrong[i].type_length, wrong[i].flags,
                                        wrong[i].type_char, wrong[i].rest, wrong[i].rest_size);

      if (wp_payload_validate (bytes, NULL, NULL))
        g_test_message ("case %" G_GSIZE_FORMAT " passes", i);
      assert_malformed (bytes);
    }
}

static void
test_longest_type (void)
{
  g_autoptr (GString) type = g_string_new ("(");
  g_autoptr (GString) rest = g_string_new (NULL);

  for (gsize i = 0; i < WP_PAYLOAD_MAX_TYPE - 2; i++)
    g_string_append_c (type, 'y');
  g_string_append_c (type, ')');

  for (int beyond = 0; beyond <= 1; beyond++)
    {
      gsize length = type->len - 2; /* one byte for each y */
      g_autoptr (GBytes) bytes = NULL;

      g_string_assign (rest, type->str);
      g_string_append_c (rest, '\0');
      while (rest->len % 8 != 0)
        g_string_append_c (rest, '\0');
      for (gsize i = 0; i < ((length + 7) & ~(gsize) 7); i++)
        g_string_append_c (rest, '\0');

      bytes = craft (length, type->len, 0, 0, rest->str, rest->len);
      if (beyond)
        assert_malformed (bytes);
      else
        g_assert_true (wp_payload_validate (bytes, NULL, NULL));

      g_string_insert_c (type, 1, 'y');
    }
}

static void
test_truncated (void)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GHashTable) ends = g_hash_table_new (NULL, NULL);
  g_autoptr (GBytes) bytes = NULL;
  gsize size;

  g_hash_table_add (ends, GSIZE_TO_POINTER (0));
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = parse (texts[i]);

      wp_payload_writer_add (writer, value);
      g_hash_table_add (ends, GSIZE_TO_POINTER (wp_payload_writer_get_size (writer)));
    }

  bytes = finish (writer);
  size = g_bytes_get_size (bytes);
  for (gsize n = 0; n < size; n++)
    {
      g_autoptr (GBytes) cut = g_bytes_new (g_bytes_get_data (bytes, NULL), n);

      if (g_hash_table_contains (ends, GSIZE_TO_POINTER (n)))
        g_assert_true (wp_payload_validate (cut, NULL, NULL));
      else
        assert_malformed (cut);
    }
}

/* Whatever the bytes are, what passes the reader is a value in normal form that can be printed. */
static void
test_mutated (void)
{
  for (int round = 0; round < 20000; round++)
    {
      g_autoptr (GBytes)
          original = write_value (texts[g_test_rand_int_range (0, G_N_ELEMENTS (texts))]);
      gsize size;
      g_autofree guint8 *data = g_bytes_unref_to_data (g_steal_pointer (&original), &size);
      g_autoptr (GBytes) bytes = NULL;
      g_auto (WpPayloadReader) reader = { 0 };
      WpRecord record;

      for (int i = g_test_rand_int_range (0, 4); i >= 0; i--)
        data[g_test_rand_int_range (0, size)] ^= 1 << g_test_rand_int_range (0, 8);

      bytes = g_bytes_new_take (g_steal_pointer (&data), size);
      wp_payload_reader_init (&reader, bytes, FALSE);
      while (wp_payload_reader_next (&reader, &record, NULL))
        {
          g_autoptr (GVariant) value = wp_payload_reader_get_value (&reader, &record);
          g_autoptr (GBytes) content = g_bytes_new (record.value, record.length);
          g_autoptr (GVariant) untrusted = g_variant_ref_sink (
              g_variant_new_from_bytes (G_VARIANT_TYPE (record.type), content, FALSE));
          g_autofree char *printed = g_variant_print (value, TRUE);

          g_assert_nonnull (printed);
          g_assert_true (g_variant_is_normal_form (untrusted));
        }
    }
}

static void
mark (gpointer data)
{
  *(gboolean *) data = TRUE;
}

/* Reads the value of a payload that says when its memory goes. */
static GVariant *
read_and_let_go (const char *text, gboolean *gone)
{
  g_autoptr (GBytes) original = write_value (text);
  g_autoptr (GBytes) bytes = NULL;
  g_auto (WpPayloadReader) reader = { 0 };
  WpRecord record;

  *gone = FALSE;
  bytes = g_bytes_new_with_free_func (g_bytes_get_data (original, NULL),
                                      g_bytes_get_size (original), mark, gone);
  wp_payload_reader_init (&reader, bytes, TRUE);
  g_assert_true (wp_payload_reader_next (&reader, &record, NULL));
  return wp_payload_reader_get_value (&reader, &record);
}

static void
test_small_values_are_copies (void)
{
  gboolean gone;

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) expected = parse (texts[i]);
      g_autoptr (GVariant) value = read_and_let_go (texts[i], &gone);

      g_assert_true (gone);
      g_assert_cmpvariant (value, expected);
    }
}

static void
test_large_values_are_views (void)
{
  g_autofree char *content = g_strnfill (100000, 'x');
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) original = g_variant_ref_sink (g_variant_new ("(is)", 1, content));
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;
  WpPayloadReader reader;
  WpRecord record;

  wp_payload_writer_add (writer, original);
  bytes = finish (writer);
  wp_payload_reader_init (&reader, bytes, FALSE);
  g_assert_true (wp_payload_reader_next (&reader, &record, NULL));
  value = wp_payload_reader_get_value (&reader, &record);
  wp_payload_reader_clear (&reader);
  g_assert_true (g_variant_get_data (value) == record.value);

  g_clear_pointer (&bytes, g_bytes_unref);
  g_assert_cmpvariant (value, original);
}

/* Errors */

static GError *
pass_error (const GError *error)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_auto (WpPayloadReader) reader = { 0 };
  WpRecord record;

  wp_payload_writer_add_error (writer, error);
  bytes = finish (writer);
  g_assert_cmpuint (g_bytes_get_size (bytes), <=, WP_BOARD_RESULTS_SIZE - 1024);

  wp_payload_reader_init (&reader, bytes, FALSE);
  g_assert_true (wp_payload_reader_next (&reader, &record, NULL));
  g_assert_true (record.is_error);
  return wp_payload_reader_get_error (&reader, &record);
}

static void
test_errors_keep_identity (void)
{
  g_autoptr (GError)
      original = g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "No “%s” here", "file");
  g_autoptr (GError) passed = pass_error (original);
  g_autoptr (GError)
      own = g_error_new_literal (g_quark_from_string ("my-app-error-quark"), -17, "");
  g_autoptr (GError) own_passed = pass_error (own);

  g_assert_error (passed, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_cmpstr (passed->message, ==, original->message);
  g_assert_error (own_passed, g_quark_from_string ("my-app-error-quark"), -17);
  g_assert_cmpstr (own_passed->message, ==, "");
}

static void
test_error_among_values (void)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "failed");
  g_autoptr (GVariant) alike = parse ("('g-io-error-quark', 0, 'failed')");
  g_autoptr (GBytes) bytes = NULL;
  g_auto (WpPayloadReader) reader = { 0 };
  WpRecord record;

  wp_payload_writer_add (writer, alike);
  wp_payload_writer_add_error (writer, error);
  wp_payload_writer_add (writer, alike);
  bytes = finish (writer);

  wp_payload_reader_init (&reader, bytes, FALSE);
  assert_next_equals (&reader, alike);
  g_assert_true (wp_payload_reader_next (&reader, &record, NULL));
  g_assert_true (record.is_error);
  assert_next_equals (&reader, alike);
  assert_end (&reader);
}

static void
test_long_messages_are_cut (void)
{
  static const char *const letters[] = { "x", "ö", "€", "𝄞", "\xff" };

  for (gsize i = 0; i < G_N_ELEMENTS (letters); i++)
    for (gsize shift = 0; shift < 4; shift++)
      {
        g_autoptr (GString) message = g_string_new (NULL);
        g_autoptr (GError) error = NULL;
        g_autoptr (GError) passed = NULL;

        for (gsize j = 0; j < shift; j++)
          g_string_append_c (message, '-');
        while (message->len < 200000)
          g_string_append (message, letters[i]);

        error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, message->str);
        passed = pass_error (error);
        g_assert_true (g_utf8_validate (passed->message, -1, NULL));
        g_assert_cmpuint (strlen (passed->message), <=, 65536);
        g_assert_cmpuint (strlen (passed->message), >, 65536 - 8);
        if (i < 4)
          g_assert_true (g_str_has_prefix (message->str, passed->message));
      }
}

static void
test_incomplete_errors (void)
{
  GError bare = { 0, 5, NULL };
  g_autoptr (GError) passed = pass_error (&bare);

  g_assert_error (passed, WP_ERROR, WP_ERROR_FAILED);
}

static GError *
read_error (const char *domain)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant)
      value = g_variant_ref_sink (g_variant_new ("(sis)", domain, 3, "the message"));
  g_autoptr (GBytes) bytes = NULL;
  g_auto (WpPayloadReader) reader = { 0 };
  WpRecord record;

  wp_payload_writer_add (writer, value);
  bytes = finish (writer);
  wp_payload_reader_init (&reader, bytes, FALSE);
  g_assert_true (wp_payload_reader_next (&reader, &record, NULL));
  return wp_payload_reader_get_error (&reader, &record);
}

static void
test_odd_domains (void)
{
  g_autofree char *longest = g_strnfill (128, 'd');
  g_autofree char *too_long = g_strnfill (129, 'e');
  const char *const odd[] = { "", "two words", "new\nline", "dömäne", too_long };
  g_autoptr (GError) kept = read_error (longest);
  g_autoptr (GError)
      long_error = g_error_new_literal (g_quark_from_string (too_long), 3, "the message");
  g_autoptr (GError) passed = NULL;

  g_assert_error (kept, g_quark_from_string (longest), 3);
  for (gsize i = 0; i < G_N_ELEMENTS (odd); i++)
    {
      g_autoptr (GError) error = NULL;

      if (odd[i] == too_long)
        continue;
      error = read_error (odd[i]);
      g_assert_error (error, WP_ERROR, WP_ERROR_FAILED);
      g_assert_nonnull (strstr (error->message, "the message"));
      g_assert_cmpuint (g_quark_try_string (odd[i]), ==, 0);
    }

  /* This process knows the domain, however long. */
  passed = pass_error (long_error);
  g_assert_error (passed, g_quark_from_string (too_long), 3);
}

static GVariant *
random_number (void)
{
  switch (g_test_rand_int_range (0, 5))
    {
    case 0:
      return g_variant_new_byte (g_test_rand_int_range (0, 256));
    case 1:
      return g_variant_new_int64 (g_test_rand_int ());
    case 2:
      return g_variant_new_boolean (g_test_rand_bit ());
    case 3:
      return g_variant_new_string ("between");
    default:
      return g_variant_new_int32 (g_test_rand_int ());
    }
}

/* Random runs, with errors between, read by next () alone and with numbers passed over. */
static void
test_numbers_are_skipped (void)
{
  g_autoptr (GError) failure = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "between");

  for (guint round = 0; round < 500; round++)
    {
      g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
      g_autoptr (GBytes) bytes = NULL;
      g_auto (WpPayloadReader) each = { 0 };
      g_auto (WpPayloadReader) some = { 0 };
      WpRecord expected, record;

      for (gint n = g_test_rand_int_range (1, 20); n > 0; n--)
        {
          g_autoptr (GVariant) value = g_variant_ref_sink (random_number ());

          for (gint i = g_test_rand_int_range (1, 6); i > 0; i--)
            wp_payload_writer_add (writer, value);
          if (g_test_rand_bit ())
            wp_payload_writer_add_error (writer, failure);
        }
      bytes = finish (writer);
      wp_payload_reader_init (&each, bytes, FALSE);
      wp_payload_reader_init (&some, bytes, FALSE);

      while (wp_payload_reader_next (&some, &record, NULL))
        {
          guint most = g_test_rand_int_range (0, 8);
          guint n = wp_payload_reader_skip_numbers (&some, &record, most);

          g_assert_cmpuint (n, <=, most);
          for (guint i = 0; i <= n; i++)
            {
              g_assert_true (wp_payload_reader_next (&each, &expected, NULL));
              g_assert_cmpstr (expected.type, ==, record.type);
              g_assert_cmpuint (expected.length, ==, record.length);
              g_assert_cmpint (expected.is_error, ==, record.is_error);
              g_assert_true (expected.value ==
                             (const guint8 *) record.value + i * WP_RECORD_NUMBER_STRIDE);
            }
        }
      g_assert_false (wp_payload_reader_next (&each, &expected, NULL));
    }
}

static void
test_cut_numbers_are_not_skipped (void)
{
  static const gint32 numbers[] = { 1, 2, 3 };
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GBytes) bytes = NULL;

  wp_payload_writer_add_fixed (writer, G_VARIANT_TYPE_INT32, numbers, sizeof numbers[0],
                               G_N_ELEMENTS (numbers));
  bytes = finish (writer);

  for (gsize cut = 1; cut < WP_RECORD_NUMBER_STRIDE; cut++)
    {
      g_autoptr (GBytes) rest = g_bytes_new_from_bytes (bytes, 0, g_bytes_get_size (bytes) - cut);
      g_autoptr (GError) error = NULL;
      g_auto (WpPayloadReader) reader = { 0 };
      WpRecord record;

      wp_payload_reader_init (&reader, rest, FALSE);
      g_assert_true (wp_payload_reader_next (&reader, &record, NULL));
      g_assert_cmpuint (wp_payload_reader_skip_numbers (&reader, &record, G_MAXUINT), ==, 1);
      g_assert_false (wp_payload_reader_next (&reader, &record, &error));
      g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
    }
}

/* Last, because it uses up what the process allows. */
static void
test_domains_are_limited (void)
{
  g_autoptr (GError) known = NULL;
  guint n_kept = 0;

  for (guint i = 0; i < 3000; i++)
    {
      g_autofree char *domain = g_strdup_printf ("foreign-domain-%u", i);
      g_autoptr (GError) error = read_error (domain);

      if (error->domain == g_quark_try_string (domain))
        {
          g_assert_cmpuint (n_kept, ==, i);
          n_kept++;
        }
      else
        {
          g_assert_error (error, WP_ERROR, WP_ERROR_FAILED);
          g_assert_nonnull (strstr (error->message, domain));
        }
    }

  g_assert_cmpuint (n_kept, >, 900);
  g_assert_cmpuint (n_kept, <=, 1024);
  known = read_error ("g-io-error-quark");
  g_assert_error (known, G_IO_ERROR, 3);
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/payload/round-trip/any-type", test_round_trip },
    { "/payload/round-trip/into-memory-of-the-caller", test_store },
    { "/payload/round-trip/a-long-length", test_long_length },
    { "/payload/writer/a-repeated-type-costs-nothing", test_same_type },
    { "/payload/writer/fixed-values-are-like-single-ones", test_fixed },
    { "/payload/writer/large-values-are-referenced", test_large_referenced },
    { "/payload/writer/empty-is-one-empty-segment", test_empty },
    { "/payload/writer/starts-anew-after-finish", test_writer_is_reused },
    { "/payload/reader/malformed-records-are-refused", test_malformed },
    { "/payload/reader/types-are-limited", test_longest_type },
    { "/payload/reader/any-cut-is-noticed", test_truncated },
    { "/payload/reader/what-passes-is-normal", test_mutated },
    { "/payload/reader/small-values-do-not-keep-the-payload", test_small_values_are_copies },
    { "/payload/reader/large-values-are-not-copied", test_large_values_are_views },
    { "/payload/reader/skips-just-the-numbers", test_numbers_are_skipped },
    { "/payload/reader/cut-numbers-are-not-skipped", test_cut_numbers_are_not_skipped },
    { "/payload/error/keeps-domain-code-and-message", test_errors_keep_identity },
    { "/payload/error/is-no-value", test_error_among_values },
    { "/payload/error/long-messages-are-cut", test_long_messages_are_cut },
    { "/payload/error/without-a-domain-fails-plainly", test_incomplete_errors },
    { "/payload/error/odd-domains-fail-plainly", test_odd_domains },
    { "/payload/error/new-domains-are-limited", test_domains_are_limited },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
