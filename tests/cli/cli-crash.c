/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A module that cannot be opened: it ends the process that tries. */

#include <signal.h>

#include <glib.h>

static void crash (void) __attribute__ ((constructor));

static void
crash (void)
{
  raise (SIGKILL);
}
