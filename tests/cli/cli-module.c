/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The functions that the tests of the command map over their items. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <workerpool.h>

#define FUNCTION(name) \
  WP_PUBLIC GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error); \
  GVariant *name (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)

WP_PUBLIC const char *const wp_module_functions[];
const char *const wp_module_functions[] = { "identity", "parse", "fail_on_bad", "fail_with", "know_no_bad",
                                            "die", "die_once", "gate", "note", "block", "worker", "print", "read_input",
                                            NULL };

FUNCTION (identity)
{
  return g_variant_ref (args);
}

/* The value that the item describes in the text format of GVariant. */
FUNCTION (parse)
{
  return g_variant_parse (NULL, g_variant_get_string (args, NULL), NULL, NULL, error);
}

FUNCTION (fail_on_bad)
{
  if (g_str_equal (g_variant_get_string (args, NULL), "bad"))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "This one is bad");
      return NULL;
    }

  return g_variant_ref (args);
}

/* The item is the message. */
FUNCTION (fail_with)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, g_variant_get_string (args, NULL));
  return NULL;
}

FUNCTION (know_no_bad)
{
  if (g_str_equal (g_variant_get_string (args, NULL), "bad"))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION, "Nobody knows it");
      return NULL;
    }

  return g_variant_ref (args);
}

FUNCTION (die)
{
  raise (SIGKILL);
  return NULL;
}

/* Dies unless the file exists, which it makes before. */
FUNCTION (die_once)
{
  int fd = open (g_variant_get_string (args, NULL), O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd >= 0)
    raise (SIGKILL);

  return g_variant_new_string ("survived");
}

/* Returns what someone writes into the named pipe. */
FUNCTION (gate)
{
  char *content = NULL;

  if (!g_file_get_contents (g_variant_get_string (args, NULL), &content, NULL, error))
    return NULL;

  return g_variant_new_take_string (content);
}

/* As gate; before, notes in ITEM.runs that it runs. */
FUNCTION (note)
{
  g_autofree char *runs = g_strconcat (g_variant_get_string (args, NULL), ".runs", NULL);
  int fd = open (runs, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

  if (fd < 0 || write (fd, "x", 1) != 1 || close (fd) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", runs, g_strerror (errno));
      return NULL;
    }

  return gate (context, args, user_data, error);
}

/* Makes the file, then never returns. */
FUNCTION (block)
{
  close (open (g_variant_get_string (args, NULL), O_CREAT | O_CLOEXEC, 0600));
  for (;;)
    pause ();
}

FUNCTION (worker)
{
  return g_variant_new_uint32 (wp_task_context_get_worker_id (context));
}

/* Prints the item itself, and returns another string. */
FUNCTION (print)
{
  printf ("printed %s\n", g_variant_get_string (args, NULL));
  fflush (stdout);

  return g_variant_new_string ("returned");
}

FUNCTION (read_input)
{
  char buffer[16];

  return g_variant_new_int64 (read (STDIN_FILENO, buffer, sizeof buffer));
}
