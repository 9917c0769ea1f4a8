/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The reaper's process, in the environment of the test and of all that it starts. */
#define REAPER_VARIABLE "WP_TEST_REAPER"

int
get_reaper (void)
{
  const char *value = g_getenv (REAPER_VARIABLE);

  return value != NULL ? atoi (value) : 0;
}

gboolean
is_the_test (void)
{
  return get_reaper () == (int) getppid ();
}

static int
run_test (char **argv)
{
  const int reaper = (int) getppid ();

  prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid () != reaper)
    return EXIT_FAILURE;

  /* The program anew, not a copy: a process that was forked is something else to the library. */
  execv ("/proc/self/exe", argv);
  return EXIT_FAILURE;
}

gboolean
act_as_reaper (char **argv,
               int   *status)
{
  g_autofree char *reaper = g_strdup_printf ("%d", (int) getpid ());
  int test, ended;

  if (get_reaper () != 0)
    return FALSE;

  g_setenv (REAPER_VARIABLE, reaper, TRUE);
  prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  test = fork ();
  if (test < 0)
    g_error ("Cannot fork the test: %s", g_strerror (errno));
  if (test == 0)
    _exit (run_test (argv));

  while ((ended = waitpid (-1, status, 0)) != test)
    if (ended < 0 && errno != EINTR)
      g_error ("Cannot wait for the test: %s", g_strerror (errno));

  /* The way it ended, for whoever waits for this process. */
  if (WIFSIGNALED (*status))
    {
      signal (WTERMSIG (*status), SIG_DFL);
      raise (WTERMSIG (*status));
    }
  *status = WIFEXITED (*status) ? WEXITSTATUS (*status) : EXIT_FAILURE;
  return TRUE;
}
