/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Loaded by the fork servers of a test, which says in the environment what goes wrong meanwhile. */

#include <workerpool.h>

#include <fcntl.h>
#include <gmodule.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload-module.h"

#define MODULE_FUNCTION(name) \
  G_MODULE_EXPORT GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error); \
  G_MODULE_EXPORT GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)

static int loaded_by;
static guint n_prepared;
static int prepared_by;

__attribute__ ((constructor)) static void
load (void)
{
  const char *flaw = g_getenv (PRELOAD_VARIABLE);

  loaded_by = getpid ();
  if (flaw == NULL)
    return;

  if (strcmp (flaw, "crash") == 0)
    {
      signal (SIGSEGV, SIG_DFL);
      raise (SIGSEGV);
    }
  else if (strcmp (flaw, "exit") == 0)
    {
      _exit (7);
    }
  else if (strcmp (flaw, "hang") == 0)
    {
      for (;;)
        pause ();
    }
}

MODULE_FUNCTION (prepare)
{
  n_prepared++;
  prepared_by = getpid ();

  return g_variant_ref (args);
}

MODULE_FUNCTION (fail)
{
  g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_NXIO, "there is no such device");
  return NULL;
}

/* Leaves what no worker may inherit. */
MODULE_FUNCTION (litter)
{
  sigset_t all;

  if (open ("/dev/zero", O_RDONLY) < 0)
    abort ();
  signal (SIGTERM, SIG_IGN);
  signal (SIGCHLD, SIG_IGN);
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, NULL);

  return prepare (context, args, user_data, error);
}

/* (iuii): the process that loaded the module, how often it was prepared, by which process, and the parent of this
 * one. */
MODULE_FUNCTION (get_state)
{
  return g_variant_new ("(iuii)", loaded_by, n_prepared, prepared_by, (int) getppid ());
}
