/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A host with two functions of its own. */

#include <workerpool.h>

static GVariant *
identity (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_ref (args);
}

int
main (void)
{
  wp_register_function ("identity", identity, NULL, NULL);
  wp_register_function ("again", identity, NULL, NULL);

  if (wp_worker_is_requested ())
    return wp_worker_main ();

  return 1;
}
