/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <workerpool.h>

/* Longer items are cut in messages: a line on a terminal is to stay readable. */
#define DISPLAY_MAX_CHARS 120

typedef struct
{
  const char *name;
  int (*run) (int argc, char *argv[]);
  const char *summary;
} Command;

static const Command commands[] = {
  { "map", wp_cli_map, "Run a function on every item and print the results" },
  { "info", wp_cli_info, "List the functions that a module or a host offers" },
};

void
wp_cli_complain (const char *format, ...)
{
  g_autofree char *message = NULL;
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  line = wp_cli_display_message (message);
  fprintf (stderr, "workerpool: %s\n", line);
}

static void
append_visible (GString *text, gunichar c)
{
  if (c == '\n')
    g_string_append (text, "\\n");
  else if (c == '\t')
    g_string_append (text, "\\t");
  else if (g_unichar_iscntrl (c))
    g_string_append_printf (text, "\\x%02x", c);
  else
    g_string_append_unichar (text, c);
}

char *
wp_cli_display_message (const char *message)
{
  g_autofree char *valid = g_utf8_make_valid (message, -1);
  GString *display = g_string_new (NULL);

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    append_visible (display, *p == '\n' ? ' ' : g_utf8_get_char (p));

  return g_string_free (display, FALSE);
}

char *
wp_cli_display_item (const char *bytes, gsize length)
{
  g_autofree char *valid = g_utf8_make_valid (bytes, length);
  GString *display = g_string_new (NULL);
  guint n_chars = 0;

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      if (++n_chars > DISPLAY_MAX_CHARS)
        {
          g_string_append (display, "…");
          break;
        }

      append_visible (display, g_utf8_get_char (p));
    }

  return g_string_free (display, FALSE);
}

int
wp_cli_get_exit_status (const GError *error)
{
  if (error->domain == G_OPTION_ERROR ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT))
    return WP_CLI_EXIT_USAGE;

  if (g_error_matches (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION))
    return WP_CLI_EXIT_UNKNOWN_FUNCTION;

  return WP_CLI_EXIT_POOL_FAILED;
}

static const Command *
find_command (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      if (g_str_equal (commands[i].name, name))
        return &commands[i];
    }

  return NULL;
}

static void
fail_output (int errnum)
{
  /* The reader has seen enough. */
  if (errnum == EPIPE)
    _exit (WP_CLI_EXIT_SIGNAL + SIGPIPE);

  wp_cli_complain ("The output could not be written: %s", g_strerror (errnum));
  _exit (WP_CLI_EXIT_OUTPUT_FAILED);
}

/* Also for what GOption prints, which would ignore that it could not be written. */
void
wp_cli_print (const char *text)
{
  if (fputs (text, stdout) == EOF)
    fail_output (errno);
}

static void
flush_output (void)
{
  if (fflush (stdout) == EOF)
    fail_output (errno);
}

static char *
make_help (void)
{
  GString *help = g_string_new ("Usage: workerpool COMMAND [OPTION…]\n"
                                "       workerpool help [COMMAND]\n"
                                "       workerpool --version\n"
                                "\n"
                                "Runs functions on many items over worker processes.\n"
                                "\n"
                                "Commands:\n");

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    g_string_append_printf (help, "  %-6s%s\n", commands[i].name, commands[i].summary);

  g_string_append (
      help,
      "  help  Show this text, or what a command takes\n"
      "\n"
      "For example, to run the function “measure” of a module on every photo of a folder:\n"
      "  workerpool map ./libimages.so:measure *.jpg\n"
      "\n"
      "The manual page, workerpool(1), says how functions are named and what is printed.\n");

  return g_string_free (help, FALSE);
}

static int
print_help (void)
{
  g_autofree char *help = make_help ();

  wp_cli_print (help);
  return WP_CLI_EXIT_SUCCESS;
}

static int
run_help (int argc, char *argv[])
{
  const Command *command;
  char *help_argv[] = { NULL, (char *) "--help", NULL };

  if (argc == 1 || (argc == 2 && g_str_equal (argv[1], "help")))
    return print_help ();

  command = find_command (argv[1]);
  if (command == NULL || argc > 2)
    {
      wp_cli_complain ("There is no help for “%s”; “workerpool help” lists the commands",
                       command == NULL ? argv[1] : argv[2]);
      return WP_CLI_EXIT_USAGE;
    }

  help_argv[0] = argv[1];
  return command->run (2, help_argv);
}

/* The next descriptor to be opened takes the lowest free number: with standard output closed, the
 * results would go to a worker's channel. Opened the wrong way round, the streams fail as closed
 * ones. */
static void
fill_closed_streams (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    {
      if (fcntl (fd, F_GETFD) < 0)
        open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

static void
do_nothing (int signum)
{
}

int
main (int argc, char *argv[])
{
  const Command *command;

  fill_closed_streams ();
  atexit (flush_output);
  g_set_print_handler (wp_cli_print);
  setlocale (LC_ALL, "");
  /* Output past the limit of a file's size fails as on a full disk. A handler is not inherited by the
   * workers, as ignoring the signal would be. */
  signal (SIGXFSZ, do_nothing);
  /* A reader that has gone is seen as EPIPE, so that the workers are ended before this program is. */
  signal (SIGPIPE, SIG_IGN);

  if (argc < 2)
    {
      g_autofree char *help = make_help ();

      fputs (help, stderr);
      return WP_CLI_EXIT_USAGE;
    }

  if (g_str_equal (argv[1], "--version"))
    {
      wp_cli_print ("workerpool " WP_VERSION "\n");
      return WP_CLI_EXIT_SUCCESS;
    }

  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h"))
    return print_help ();

  if (g_str_equal (argv[1], "help"))
    return run_help (argc - 1, argv + 1);

  command = find_command (argv[1]);
  if (command == NULL)
    {
      wp_cli_complain ("There is no command “%s”; “workerpool help” lists them", argv[1]);
      return WP_CLI_EXIT_USAGE;
    }

  return command->run (argc - 1, argv + 1);
}
