/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-process.h"

#include <string.h>

/* Where the kernel says which program this process runs, even after the program's file was
 * replaced. */
#define SELF "/proc/self/exe"

static GMutex process_lock;
static gboolean environment_read;
static gboolean requested;
static gboolean taken;
static char *channel_value;
static int owner;

static gboolean daemonic; /* atomic */
static gboolean is_host;  /* atomic */

/* Reads and removes the variables. They are meant for this process alone: its children must not
 * believe that they are workers too. */
static void
read_environment (void)
{
  const char *value;

  if (environment_read)
    return;
  environment_read = TRUE;

  value = g_getenv (WP_CHANNEL_VARIABLE);
  if (value != NULL)
    {
      channel_value = g_strdup (value);
      requested = TRUE;
      g_unsetenv (WP_CHANNEL_VARIABLE);
    }

  value = g_getenv (WP_OWNER_VARIABLE);
  if (value != NULL)
    {
      guint64 pid;

      if (g_ascii_string_to_unsigned (value, 10, 1, G_MAXINT, &pid, NULL))
        owner = (int) pid;
      g_unsetenv (WP_OWNER_VARIABLE);
    }
}

gboolean
wp_process_is_requested (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return requested;
}

char *
wp_process_take_channel (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  taken = TRUE;
  return g_steal_pointer (&channel_value);
}

int
wp_process_get_owner (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return owner;
}

gboolean
wp_process_ignored_request (void)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&process_lock);

  read_environment ();
  return requested && !taken;
}

void
wp_process_set_daemonic (gboolean is_daemonic)
{
  g_atomic_int_set (&daemonic, is_daemonic);
}

gboolean
wp_process_is_daemonic (void)
{
  return g_atomic_int_get (&daemonic);
}

void
wp_process_set_is_host (void)
{
  g_atomic_int_set (&is_host, TRUE);
}

gboolean
wp_process_is_host (void)
{
  return g_atomic_int_get (&is_host);
}

/* The path where this program can still be started: the link itself when the file is gone, which
 * works as long as this process lives. */
static char *
find_program (GError **error)
{
  char *path = g_file_read_link (SELF, error);

  if (path != NULL && g_str_has_suffix (path, " (deleted)") &&
      !g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_free (path);
      path = g_strdup (SELF);
    }
  return path;
}

char **
wp_process_get_argv (GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *arguments = NULL;
  char *program;
  gsize length;

  program = find_program (error);
  if (program == NULL)
    {
      g_prefix_error (error, "Could not find out which program this process runs: ");
      return NULL;
    }
  g_ptr_array_add (argv, program);

  if (!g_file_get_contents ("/proc/self/cmdline", &arguments, &length, error))
    {
      g_prefix_error (error, "Could not read the arguments of this process: ");
      return NULL;
    }

  /* NUL-terminated strings; the first is the name the program was started by. */
  for (const char *argument = arguments; argument < arguments + length;
       argument += strlen (argument) + 1)
    if (argument != arguments)
      g_ptr_array_add (argv, g_strdup (argument));

  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_steal (argv, NULL);
}
