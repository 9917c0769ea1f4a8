/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  fprintf (stderr, "workerpool: %s\n", message);
}

char *
wp_cli_display (const char *bytes, gsize length)
{
  g_autofree char *valid = g_utf8_make_valid (bytes, length);
  GString *display = g_string_new (NULL);
  guint n_chars = 0;

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (++n_chars > DISPLAY_MAX_CHARS)
        {
          g_string_append (display, "…");
          break;
        }

      if (c == '\n')
        g_string_append (display, "\\n");
      else if (c == '\t')
        g_string_append (display, "\\t");
      else if (g_unichar_iscntrl (c))
        g_string_append_printf (display, "\\x%02x", c);
      else
        g_string_append_unichar (display, c);
    }

  return g_string_free (display, FALSE);
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
print_help (FILE *stream)
{
  fputs ("Usage: workerpool COMMAND [OPTION…]\n"
         "       workerpool help [COMMAND]\n"
         "       workerpool --version\n"
         "\n"
         "Runs functions on many items over worker processes.\n"
         "\n"
         "Commands:\n",
         stream);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (stream, "  %-6s%s\n", commands[i].name, commands[i].summary);
  fputs ("  help  Show this text, or what a command takes\n", stream);
}

static int
run_help (int argc, char *argv[])
{
  const Command *command;
  char *help_argv[] = { NULL, (char *) "--help", NULL };

  if (argc == 1)
    {
      print_help (stdout);
      return WP_CLI_EXIT_SUCCESS;
    }

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

int
main (int argc, char *argv[])
{
  const Command *command;

  fill_closed_streams ();
  setlocale (LC_ALL, "");
  /* A reader that has gone is seen as EPIPE, so that the workers are ended before this program is. */
  signal (SIGPIPE, SIG_IGN);

  if (argc < 2)
    {
      print_help (stderr);
      return WP_CLI_EXIT_USAGE;
    }

  if (g_str_equal (argv[1], "--version"))
    {
      printf ("workerpool %s\n", WP_VERSION);
      return WP_CLI_EXIT_SUCCESS;
    }

  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h"))
    {
      print_help (stdout);
      return WP_CLI_EXIT_SUCCESS;
    }

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
