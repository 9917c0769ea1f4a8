/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tasks.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "patience.h"
#include "scratch.h"

/* How long "work" works: short against a chunk, long against a kill's way. */
#define WORK_US 30

const char *const death_ways[] = {
  "SIGKILL", "SIGSEGV", "abort", "_exit(0)", "exit(3)", "rubbish", "close", "close-all", "stray", "SIGSTOP", NULL,
};

static GVariant *
echo (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_ref (args);
}

static GVariant *
get_pid (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (getpid ());
}

static GVariant *
record (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);

  counter_set (PID_COUNTER + wp_task_context_get_worker_id (context), getpid ());
  task_begin (index);
  task_end (index);

  return g_variant_ref (args);
}

static GVariant *
work (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index = g_variant_get_uint64 (args);
  gint64 end = g_get_monotonic_time () + WORK_US;

  counter_set (PID_COUNTER + wp_task_context_get_worker_id (context), getpid ());
  task_begin (index);
  while (g_get_monotonic_time () < end)
    ;
  task_end (index);

  return g_variant_ref (args);
}

static GVariant *
hold (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint running, gate;

  g_variant_get (args, "(uu)", &running, &gate);
  counter_add (running, 1);
  counter_wait (gate, 1);

  return g_variant_new_int32 (getpid ());
}

static GVariant *
obey (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint running, gate;

  g_variant_get (args, "(uu)", &running, &gate);
  counter_add (running, 1);
  yield_until (counter_get (gate) > 0 || wp_task_context_is_cancelled (context));
  if (counter_get (gate) == 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "as you wish");
      return NULL;
    }

  return g_variant_new_int32 (getpid ());
}

static gboolean
is_pipe (int fd)
{
  struct stat info;

  return fstat (fd, &info) == 0 && S_ISFIFO (info.st_mode);
}

static gboolean
is_socket (int fd)
{
  struct stat info;

  return fstat (fd, &info) == 0 && S_ISSOCK (info.st_mode);
}

/* The worker's channel: a socket, or a pipe to read from, and then the next descriptor is to write to. */
static int
find_channel (void)
{
  for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
    if (is_socket (fd) || (is_pipe (fd) && is_pipe (fd + 1)))
      return fd;

  g_error ("This worker has no channel");
}

static void
close_channel (void)
{
  int fd = find_channel ();

  if (is_pipe (fd))
    close (fd + 1);
  close (fd);
}

void
die_by (int signum)
{
  signal (signum, SIG_DFL);
  raise (signum);
}

void
write_to_channel (const guint8 *bytes, gsize size)
{
  int channel = find_channel ();
  int fd = is_pipe (channel) ? channel + 1 : channel;

  if (write (fd, bytes, size) != (gssize) size)
    abort ();
}

static void
write_rubbish (void)
{
  guint8 bytes[512];

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = get_large_byte (i);
  write_to_channel (bytes, sizeof bytes);
}

/* Leaves a child that holds the channel open, until the test raises counter 0. */
static void
leave_stray_child (void)
{
  if (fork () > 0)
    die_by (SIGKILL);

  prctl (PR_SET_PDEATHSIG, 0, 0, 0, 0);
  counter_add (1, 1);
  counter_wait (0, 1);
  _exit (0);
}

static void
end_by (const char *way)
{
  if (strcmp (way, "SIGKILL") == 0)
    die_by (SIGKILL);
  else if (strcmp (way, "SIGSEGV") == 0)
    die_by (SIGSEGV);
  else if (strcmp (way, "abort") == 0)
    die_by (SIGABRT);
  else if (strcmp (way, "_exit(0)") == 0)
    _exit (0);
  else if (strcmp (way, "exit(3)") == 0)
    exit (3);
  else if (strcmp (way, "rubbish") == 0)
    write_rubbish ();
  else if (strcmp (way, "close") == 0)
    close_channel ();
  else if (strcmp (way, "close-all") == 0)
    for (int fd = 0; fd < 256; fd++)
      close (fd);
  else if (strcmp (way, "stray") == 0)
    leave_stray_child ();
  else if (strcmp (way, "SIGSTOP") == 0)
    raise (SIGSTOP);
  else
    g_error ("No such way to end: %s", way);

  /* The worker lives, but nobody can hear it: the pool has to end it. */
  for (;;)
    pause ();
}

static GVariant *
die (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 index;
  const char *way;
  guint n_deaths;

  g_variant_get (args, "(t&su)", &index, &way, &n_deaths);
  counter_set (PID_COUNTER + wp_task_context_get_worker_id (context), getpid ());
  if (task_begin (index) <= n_deaths)
    end_by (way);
  task_end (index);

  return g_variant_new_uint64 (index);
}

guint8
get_large_byte (gsize position)
{
  return (guint8) (position ^ (position >> 8) ^ (position >> 16) ^ 0xA5);
}

static GVariant *
large (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint64 size;
  guint running;
  guint8 *bytes;

  g_variant_get (args, "(tu)", &size, &running);
  bytes = g_malloc (size);
  for (gsize i = 0; i < size; i++)
    bytes[i] = get_large_byte (i);
  counter_set (PID_COUNTER + wp_task_context_get_worker_id (context), getpid ());
  counter_add (running, 1);

  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free, bytes);
}

static GVariant *
fail (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_ISDIR, "it is a folder");
  return NULL;
}

gboolean
act_as_worker (int *status)
{
  scratch_attach ();
  wp_register_function ("echo", echo, NULL, NULL);
  wp_register_function ("pid", get_pid, NULL, NULL);
  wp_register_function ("record", record, NULL, NULL);
  wp_register_function ("work", work, NULL, NULL);
  wp_register_function ("hold", hold, NULL, NULL);
  wp_register_function ("obey", obey, NULL, NULL);
  wp_register_function ("die", die, NULL, NULL);
  wp_register_function ("large", large, NULL, NULL);
  wp_register_function ("fail", fail, NULL, NULL);

  if (!wp_worker_is_requested ())
    return FALSE;

  *status = wp_worker_main ();
  return TRUE;
}
