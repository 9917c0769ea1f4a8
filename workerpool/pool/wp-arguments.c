/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-arguments.h"

#include <string.h>

/* A name is meant to be read in an error; this is the longest that the registry takes. */
#define MAX_FUNCTION_NAME 1024

gboolean
wp_arguments_check_function (const char *function, GError **error)
{
  const char *wrong = NULL;

  if (function == NULL || function[0] == '\0')
    wrong = "is empty; it must be the name of a function that the host knows";
  else if (!g_utf8_validate (function, -1, NULL))
    wrong = "is not valid UTF-8";
  else if (strlen (function) > MAX_FUNCTION_NAME)
    wrong = "is longer than 1024 bytes";

  if (wrong == NULL)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "the function's name %s", wrong);
  return FALSE;
}

WpItems *
wp_arguments_to_item (const char *function, GVariant *args, GError **error)
{
  g_autoptr (GVariant) value =
      g_variant_ref_sink (args != NULL ? args : g_variant_new_tuple (NULL, 0));
  WpItems *items;

  if (!wp_arguments_check_function (function, error) || !wp_items_check ("the argument", value, error))
    return NULL;

  wp_items_serialise (value);
  items = wp_items_new ();
  wp_items_push (items, g_steal_pointer (&value));

  return items;
}

gboolean
wp_arguments_check_array (GVariant *items, GError **error)
{
  if (items != NULL && g_variant_is_of_type (items, G_VARIANT_TYPE_ARRAY))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
               "the items are %s%s, but they must be an array, with one element for each task",
               items == NULL ? "NULL" : "of type ",
               items == NULL ? "" : g_variant_get_type_string (items));
  return FALSE;
}

WpItems *
wp_arguments_to_items (const char *function, GVariant *items, GError **error)
{
  g_autoptr (GVariant) array = items != NULL ? g_variant_ref_sink (items) : NULL;

  if (!wp_arguments_check_function (function, error))
    return NULL;

  if (!wp_arguments_check_array (array, error) || !wp_items_check ("the array of items", array, error))
    return NULL;

  return wp_items_new_array (array);
}
