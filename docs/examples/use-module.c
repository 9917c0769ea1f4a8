/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <stdlib.h>
#include <workerpool.h>

/* use-module MODULE: counts the words of two lines with a function of a module. */
int
main (int argc, char *argv[])
{
  g_autofree char *path = g_canonicalize_filename (argc > 1 ? argv[1] : "text-module.so", NULL);
  g_autofree char *function = g_strconcat (path, ":count_words", NULL);
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (0);
  g_autoptr (GVariant) counts = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  setlocale (LC_ALL, "");
  counts = wp_worker_pool_map (pool, function, g_variant_new_parsed ("['one', 'one two three']"),
                               NULL, NULL, &error);
  if (counts == NULL)
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }

  text = g_variant_print (counts, TRUE);
  g_print ("%s\n", text);

  return EXIT_SUCCESS;
}
