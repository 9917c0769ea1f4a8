/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-format.h"

#include <math.h>

void
wp_cli_format_text (GString *text, GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    {
      g_autoptr (GVariant) inner = g_variant_get_variant (value);

      wp_cli_format_text (text, inner);
    }
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      g_string_append (text, g_variant_get_string (value, NULL));
    }
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    {
      gsize length;
      const char *bytes = g_variant_get_fixed_array (value, &length, 1);

      /* A bytestring ends with a NUL that is not part of it. */
      if (length > 0 && bytes[length - 1] == '\0')
        length--;
      if (length > 0)
        g_string_append_len (text, bytes, length);
    }
  else
    {
      g_variant_print_string (value, text, FALSE);
    }
}

/* json-glib is not used for this: as of 1.6 it writes an unsigned 64-bit number past 2^63 as a
 * negative one, and infinities as “inf.0”, which no parser takes. The mapping of types is the same. */
static void
append_string (GString *text, const char *string)
{
  g_string_append_c (text, '"');
  for (const char *p = string; *p != '\0'; p++)
    {
      const guchar c = *p;

      if (c == '"' || c == '\\')
        g_string_append_printf (text, "\\%c", c);
      else if (c == '\n')
        g_string_append (text, "\\n");
      else if (c < 0x20 || c == 0x7f)
        g_string_append_printf (text, "\\u%04x", c);
      else
        g_string_append_c (text, c);
    }
  g_string_append_c (text, '"');
}

static void
append_double (GString *text, double number)
{
  static const char *const formats[] = { "%.15g", "%.16g", "%.17g" };
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  /* JSON has no word for these. */
  if (!isfinite (number))
    {
      g_string_append (text, "null");
      return;
    }

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      double back;

      g_ascii_formatd (buffer, sizeof buffer, formats[i], number);
      back = g_ascii_strtod (buffer, NULL);
      if (!(back < number) && !(back > number))
        break;
    }

  g_string_append (text, buffer);
}

static void append_value (GString *text, GVariant *value);

static gboolean
is_object (const GVariantType *type)
{
  return g_variant_type_is_subtype_of (type, G_VARIANT_TYPE_DICTIONARY);
}

static void
append_children (GString *text, GVariant *value)
{
  const gsize n = g_variant_n_children (value);

  g_string_append_c (text, '[');
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      if (i > 0)
        g_string_append_c (text, ',');
      append_value (text, child);
    }
  g_string_append_c (text, ']');
}

static void
append_object (GString *text, GVariant *value)
{
  const gsize n = g_variant_n_children (value);

  g_string_append_c (text, '{');
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (value, i);
      g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);
      g_autoptr (GVariant) inner = g_variant_get_child_value (entry, 1);
      g_autoptr (GString) name = g_string_new (NULL);

      wp_cli_format_text (name, key);
      if (i > 0)
        g_string_append_c (text, ',');
      append_string (text, name->str);
      g_string_append_c (text, ':');
      append_value (text, inner);
    }
  g_string_append_c (text, '}');
}

static void
append_value (GString *text, GVariant *value)
{
  g_autoptr (GVariant) inner = NULL;

  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      g_string_append (text, g_variant_get_boolean (value) ? "true" : "false");
      break;
    case G_VARIANT_CLASS_BYTE:
      g_string_append_printf (text, "%u", g_variant_get_byte (value));
      break;
    case G_VARIANT_CLASS_INT16:
      g_string_append_printf (text, "%d", g_variant_get_int16 (value));
      break;
    case G_VARIANT_CLASS_UINT16:
      g_string_append_printf (text, "%u", g_variant_get_uint16 (value));
      break;
    case G_VARIANT_CLASS_INT32:
      g_string_append_printf (text, "%d", g_variant_get_int32 (value));
      break;
    case G_VARIANT_CLASS_UINT32:
      g_string_append_printf (text, "%u", g_variant_get_uint32 (value));
      break;
    case G_VARIANT_CLASS_INT64:
      g_string_append_printf (text, "%" G_GINT64_FORMAT, g_variant_get_int64 (value));
      break;
    case G_VARIANT_CLASS_UINT64:
      g_string_append_printf (text, "%" G_GUINT64_FORMAT, g_variant_get_uint64 (value));
      break;
    case G_VARIANT_CLASS_HANDLE:
      g_string_append_printf (text, "%d", g_variant_get_handle (value));
      break;
    case G_VARIANT_CLASS_DOUBLE:
      append_double (text, g_variant_get_double (value));
      break;
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      append_string (text, g_variant_get_string (value, NULL));
      break;
    case G_VARIANT_CLASS_VARIANT:
      inner = g_variant_get_variant (value);
      append_value (text, inner);
      break;
    case G_VARIANT_CLASS_MAYBE:
      inner = g_variant_get_maybe (value);
      if (inner != NULL)
        append_value (text, inner);
      else
        g_string_append (text, "null");
      break;
    case G_VARIANT_CLASS_ARRAY:
      if (is_object (g_variant_get_type (value)))
        append_object (text, value);
      else
        append_children (text, value);
      break;
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
      append_children (text, value);
      break;
    default:
      g_assert_not_reached ();
    }
}

void
wp_cli_format_json (GString *text, guint64 index, GVariant *value)
{
  g_string_append_printf (text, "{\"index\":%" G_GUINT64_FORMAT ",\"value\":", index);
  append_value (text, value);
  g_string_append_c (text, '}');
}

void
wp_cli_format_json_error (GString *text, guint64 index, const GError *error)
{
  g_autofree char *message = g_utf8_make_valid (error->message, -1);

  g_string_append_printf (text, "{\"index\":%" G_GUINT64_FORMAT ",\"error\":{\"domain\":", index);
  append_string (text, g_quark_to_string (error->domain));
  g_string_append_printf (text, ",\"code\":%d,\"message\":", error->code);
  append_string (text, message);
  g_string_append (text, "}}");
}
