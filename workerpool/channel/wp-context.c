/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-context.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

gboolean
wp_context_can_be_made (GError **error)
{
  int fd = eventfd (0, EFD_CLOEXEC);
  int saved_errno = errno;

  if (fd >= 0)
    {
      close (fd);
      return TRUE;
    }

  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), g_strerror (saved_errno));
  return FALSE;
}

GMainContext *
wp_context_new (GError **error)
{
  return wp_context_can_be_made (error) ? g_main_context_new () : NULL;
}
