/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-process.h"

#include <sys/stat.h>
#include <unistd.h>

#include "bracketed-tests.h"

/* Run as the copy of a program whose file goes away while it runs. */
#define DELETED_ARGUMENT "--deleted"

static char **main_argv;

/* What a process is, it is for good: so each case has a process of its own. */
static gboolean
fork_case (const char *channel, const char *owner)
{
  if (g_test_subprocess ())
    return TRUE;

  if (channel != NULL)
    g_setenv (WP_CHANNEL_VARIABLE, channel, TRUE);
  if (owner != NULL)
    g_setenv (WP_OWNER_VARIABLE, owner, TRUE);
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
  g_unsetenv (WP_CHANNEL_VARIABLE);
  g_unsetenv (WP_OWNER_VARIABLE);
  return FALSE;
}

static void
test_taken_once (void)
{
  g_autofree char *channel = NULL;

  if (!fork_case ("fd:7", "1234"))
    return;

  g_assert_true (wp_process_is_requested ());
  g_assert_null (g_getenv (WP_CHANNEL_VARIABLE));
  g_assert_null (g_getenv (WP_OWNER_VARIABLE));
  g_assert_true (wp_process_ignored_request ());
  g_assert_cmpint (wp_process_get_owner (), ==, 1234);

  channel = wp_process_take_channel ();
  g_assert_cmpstr (channel, ==, "fd:7");
  g_assert_null (wp_process_take_channel ());
  g_assert_false (wp_process_ignored_request ());
  g_assert_true (wp_process_is_requested ());
  g_assert_cmpint (wp_process_get_owner (), ==, 1234);
}

static void
test_not_requested (void)
{
  if (!fork_case (NULL, "five"))
    return;

  g_assert_false (wp_process_is_requested ());
  g_assert_false (wp_process_ignored_request ());
  g_assert_cmpint (wp_process_get_owner (), ==, 0);
  g_assert_null (wp_process_take_channel ());
  g_assert_false (wp_process_ignored_request ());
}

static void
test_later_variable (void)
{
  if (!fork_case (NULL, NULL))
    return;

  g_assert_false (wp_process_is_requested ());
  g_setenv (WP_CHANNEL_VARIABLE, "fd:3", TRUE);
  g_assert_false (wp_process_is_requested ());
  g_assert_null (wp_process_take_channel ());
}

static void
test_flags (void)
{
  if (!fork_case (NULL, NULL))
    return;

  g_assert_false (wp_process_is_daemonic ());
  g_assert_false (wp_process_is_host ());
  wp_process_set_daemonic (TRUE);
  wp_process_set_is_host ();
  g_assert_true (wp_process_is_daemonic ());
  g_assert_true (wp_process_is_host ());
  wp_process_set_daemonic (FALSE);
  g_assert_false (wp_process_is_daemonic ());
}

static void
test_argv (void)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = wp_process_get_argv (&error);
  struct stat found;
  struct stat expected;

  g_assert_no_error (error);
  g_assert_no_errno (stat (argv[0], &found));
  g_assert_no_errno (stat ("/proc/self/exe", &expected));
  g_assert_cmpuint (found.st_ino, ==, expected.st_ino);
  g_assert_cmpstrv (argv + 1, main_argv + 1);
}

static void
test_deleted (void)
{
  g_autofree char *directory = g_dir_make_tmp ("workerpool-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "program", NULL);
  g_autofree char *content = NULL;
  g_autofree char *output = NULL;
  char *argv[] = { path, (char *) DELETED_ARGUMENT, (char *) "", (char *) "an argument", NULL };
  g_autoptr (GError) error = NULL;
  gsize size;

  g_assert_true (g_file_get_contents ("/proc/self/exe", &content, &size, NULL));
  g_assert_true (
      g_file_set_contents_full (path, content, size, G_FILE_SET_CONTENTS_NONE, 0700, &error));
  g_assert_no_error (error);
  g_assert_true (
      g_spawn_sync (NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (output, ==, "/proc/self/exe|" DELETED_ARGUMENT "||an argument");
  rmdir (directory);
}

static int
run_deleted (const char *path)
{
  g_auto (GStrv) argv = NULL;
  g_autofree char *joined = NULL;

  unlink (path);
  argv = wp_process_get_argv (NULL);
  joined = g_strjoinv ("|", argv);
  g_print ("%s", joined);
  return 0;
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/process/role/is-taken-once", test_taken_once },
    { "/process/role/needs-the-variable", test_not_requested },
    { "/process/role/is-settled-at-the-first-look", test_later_variable },
    { "/process/role/flags", test_flags },
    { "/process/argv/starts-this-program-again", test_argv },
    { "/process/argv/works-without-the-program-s-file", test_deleted },
  };

  if (argc > 1 && g_str_equal (argv[1], DELETED_ARGUMENT))
    return run_deleted (argv[0]);

  main_argv = g_strdupv (argv);
  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
