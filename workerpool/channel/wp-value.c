/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-value.h"

#include <string.h>

#include "channel/wp-payload.h"

/* GVariant's limit for serialised values (G_VARIANT_MAX_RECURSION_DEPTH, not public). Values built in memory may be
 * deeper, and only the receiver would find out. */
#define WP_VALUE_MAX_DEPTH 128

/* Values whose depth may exceed this by a rough count are checked exactly. */
#define WP_VALUE_SURE_DEPTH 64

static const char flaw_depth[] = "nests containers deeper than GVariant can send";
static const char flaw_handle[] = "holds a file handle (type “h”), which means nothing in another process";
static const char flaw_form[] = "is not in normal form";
static const char flaw_type[] = "has a type of more than 4096 characters";

G_STATIC_ASSERT (WP_PAYLOAD_MAX_TYPE == 4096);

/* At least the depth of the type's containers. */
static guint
count_containers (const char *type)
{
  guint n = 0;

  for (; *type != '\0'; type++)
    n += *type == 'a' || *type == 'm' || *type == '(' || *type == '{' || *type == 'v';

  return n;
}

/* From this many children on, a value is worth wrapping anew. */
#define WP_VALUE_MANY_CHILDREN 64

/* A serialised value that GVariant does not trust is searched from the start for each of its children, also when
 * it is known to be in normal form: at 60,000 children one takes 10 microseconds. */
static GVariant *
trust (GVariant *value)
{
  g_autoptr (GBytes) bytes = NULL;

  if (!g_variant_is_container (value) || g_variant_n_children (value) < WP_VALUE_MANY_CHILDREN)
    return g_variant_ref (value);

  bytes = g_variant_get_data_as_bytes (value);
  return g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, TRUE));
}

/* Only subtrees that hold variants have to be looked into: the type tells the rest. */
static const char *
find_flaw (GVariant *value,
           guint     depth,
           gboolean *may_be_deep)
{
  const char *type = g_variant_get_type_string (value);
  g_autoptr (GVariant) trusted = NULL;
  gsize n_children;

  if (strchr (type, 'h') != NULL)
    return flaw_handle;
  if (depth >= WP_VALUE_MAX_DEPTH)
    return flaw_depth;
  if (depth + count_containers (type) > WP_VALUE_SURE_DEPTH)
    *may_be_deep = TRUE;
  if (strchr (type, 'v') == NULL)
    return NULL;

  trusted = trust (value);
  n_children = g_variant_n_children (trusted);
  /* The key of a dictionary entry is never a container. */
  for (gsize i = *type == '{' ? 1 : 0; i < n_children; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (trusted, i);
      const char *flaw = find_flaw (child, depth + 1, may_be_deep);

      if (flaw != NULL)
        return flaw;
    }

  return NULL;
}

/* The receiver's own check is the only exact one. */
static gboolean
is_normal_when_sent (GVariant *value)
{
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (value);
  g_autoptr (GVariant) sent = NULL;

  sent = g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, FALSE));

  return g_variant_is_normal_form (sent);
}

/* Any bytes are numbers, but GVariant looks at each element. A size that is no multiple of the
 * element's shows as an array without elements. */
static gboolean
is_normal (GVariant *value, const char *type)
{
  if (type[0] == 'a' && strchr ("ynqiuxtd", type[1]) != NULL)
    return g_variant_n_children (value) > 0 || g_variant_get_size (value) == 0;

  return g_variant_is_normal_form (value);
}

const char *
wp_value_get_flaw (GVariant *value)
{
  const char *type = g_variant_get_type_string (value);
  gboolean may_be_deep = FALSE;
  const char *flaw;

  if (G_LIKELY (type[1] == '\0' && *type != 'v' && *type != 'h'))
    return g_variant_is_normal_form (value) ? NULL : flaw_form;

  if (strlen (type) > WP_PAYLOAD_MAX_TYPE)
    return flaw_type;
  if (!is_normal (value, type))
    return flaw_form;

  flaw = find_flaw (value, 0, &may_be_deep);
  if (flaw == NULL && may_be_deep && !is_normal_when_sent (value))
    flaw = flaw_depth;

  return flaw;
}
