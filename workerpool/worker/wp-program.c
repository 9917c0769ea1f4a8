/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-program.h"

#include <string.h>

const char *
wp_program_get_name (void)
{
  static gsize file_name = 0;
  const char *prgname = g_get_prgname ();

  if (prgname != NULL && *prgname != '\0' && strcmp (prgname, "exe") != 0)
    return prgname;

  if (g_once_init_enter (&file_name))
    {
      g_autofree char *path = g_file_read_link ("/proc/self/exe", NULL);
      char *name = path != NULL ? g_path_get_basename (path) : g_strdup ("exe");

      g_once_init_leave (&file_name, (gsize) g_utf8_make_valid (name, -1));
      g_free (name);
    }

  return (const char *) file_name;
}
