/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Workers that are copies of their owner: what they have of it, and what they must not have. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Counters of this test. */
enum
{
  N_HANGS, /* so many copies are still to hang as soon as they are made */
  N_HUNG,
  N_MESSAGES,
  GATE,
};

/* Set in the environment of this program to make it an owner. */
#define OWNER_VARIABLE "WP_TEST_OWNER"

static guint marker;

static void
hang_after_fork (void)
{
  if (counter_get (N_HANGS) == 0)
    return;

  counter_add (N_HANGS, (guint) -1);
  counter_add (N_HUNG, 1);
  for (;;)
    pause ();
}

static WpWorkerPool *
make_fork_pool (guint n_jobs)
{
  WpWorkerPool *pool = wp_worker_pool_new (n_jobs);

  wp_worker_pool_set_start_method (pool, WP_START_METHOD_FORK);

  return pool;
}

/* What a copy has */

static GVariant *
read_marker (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (marker);
}

static void
test_memory (void)
{
  g_autoptr (WpWorkerPool) pool = make_fork_pool (1);
  g_autoptr (GVariant) first = NULL;
  g_autoptr (GVariant) second = NULL;

  marker = 7;
  first = apply (pool, "read-marker", NULL);
  g_assert_cmpuint (g_variant_get_uint32 (first), ==, 7);

  /* As it was when the worker started. */
  marker = 8;
  second = apply (pool, "read-marker", NULL);
  g_assert_cmpuint (g_variant_get_uint32 (second), ==, 7);
  join_pool (pool);
}

/* Files, but not those that are none: by them it wakes its contexts, and watches its owner. */
static GVariant *
count_descriptors (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  guint n_files = 0;

  for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
      g_autofree char *target = g_file_read_link (path, NULL);

      if (target != NULL && !g_str_has_prefix (target, "anon_inode:"))
        n_files++;
    }

  return g_variant_new_uint32 (n_files);
}

static void
test_descriptors (void)
{
  g_autoptr (WpWorkerPool) other = make_fork_pool (2);
  g_autoptr (WpWorkerPool) pool = make_fork_pool (1);
  g_autoptr (GVariant) result = NULL;
  int pipe_fds[2];
  char byte;

  g_assert_cmpint (pipe (pipe_fds), ==, 0);
  apply_pid (other);

  /* Its channel, and nothing of what is open here. */
  result = apply (pool, "count-descriptors", NULL);
  g_assert_cmpuint (g_variant_get_uint32 (result), ==, 1);

  /* No copy holds the end that is closed here. */
  close (pipe_fds[1]);
  g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 0);
  close (pipe_fds[0]);
  join_pool (pool);
  join_pool (other);
}

static GVariant *
wake_descriptor (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint64 one = 1;
  gssize n = write (g_variant_get_int32 (args), &one, sizeof one);

  return g_variant_new_boolean (n == sizeof one);
}

/* As a GMainContext that the copy has inherited does when it wakes itself. */
static void
test_eventfd (void)
{
  g_autoptr (WpWorkerPool) pool = make_fork_pool (1);
  g_autoptr (GVariant) result = NULL;
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  guint64 value;

  result = apply (pool, "wake-descriptor", g_variant_new_int32 (fd));
  g_assert_true (g_variant_get_boolean (result));
  g_assert_cmpint (read (fd, &value, sizeof value), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  close (fd);
  join_pool (pool);
}

static void
do_nothing (int signum)
{
}

static GVariant *
get_handler (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  struct sigaction action;

  sigaction (g_variant_get_int32 (args), NULL, &action);

  return g_variant_new_string (action.sa_handler == SIG_DFL ? "default"
                               : action.sa_handler == SIG_IGN ? "ignored" : "handled");
}

static void
test_signals (void)
{
  g_autoptr (WpWorkerPool) pool = NULL;
  const int signals[] = { SIGTERM, SIGHUP, SIGUSR1, SIGCHLD };
  struct sigaction before[G_N_ELEMENTS (signals)];

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      const struct sigaction action = { .sa_handler = i == 0 ? SIG_IGN : do_nothing };

      sigaction (signals[i], signals[i] == SIGCHLD ? NULL : &action, &before[i]);
    }

  pool = make_fork_pool (1);
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      g_autoptr (GVariant) result = apply (pool, "get-handler", g_variant_new_int32 (signals[i]));

      g_assert_cmpstr (g_variant_get_string (result, NULL), ==, "default");
      sigaction (signals[i], &before[i], NULL);
    }
  join_pool (pool);
}

static GVariant *
print (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  fputs (g_variant_get_string (args, NULL), stdout);

  return g_variant_new_boolean (TRUE);
}

/* What the owner has buffered comes once; what the worker has buffered comes, too. */
static void
test_output (void)
{
  g_autoptr (WpWorkerPool) pool = make_fork_pool (1);
  g_autoptr (GVariant) result = NULL;
  char buffer[64] = "";
  int saved, fds[2];
  gssize n;

  fflush (stdout);
  g_assert_cmpint (pipe (fds), ==, 0);
  saved = dup (STDOUT_FILENO);
  dup2 (fds[1], STDOUT_FILENO);
  close (fds[1]);

  fputs ("owner ", stdout);
  result = apply (pool, "print", g_variant_new_string ("worker "));
  join_pool (pool);
  fflush (stdout);
  dup2 (saved, STDOUT_FILENO);
  close (saved);

  while ((n = read (fds[0], buffer + strlen (buffer), sizeof buffer - 1 - strlen (buffer))) > 0)
    continue;
  close (fds[0]);
  g_assert_cmpstr (buffer, ==, "worker owner ");
}

static GVariant *
draw (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (g_random_int ());
}

static void
test_random (void)
{
  guint32 drawn[3];

  g_random_int ();
  for (guint i = 0; i < G_N_ELEMENTS (drawn); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_fork_pool (1);
      g_autoptr (GVariant) result = apply (pool, "draw", NULL);

      drawn[i] = g_variant_get_uint32 (result);
      join_pool (pool);
    }
  /* That three are the same by chance happens once in 2^64 times. */
  g_assert_false (drawn[0] == drawn[1] && drawn[1] == drawn[2]);
}

/* A copy whose thread waits for a lock for ever */

static void
test_hang (void)
{
  g_autoptr (WpWorkerPool) pool = make_fork_pool (2);

  wp_worker_pool_set_start_timeout (pool, 50);
  counter_set (N_HANGS, 2);
  apply_pid (pool);
  g_assert_cmpuint (counter_get (N_HUNG), ==, 2);
  join_pool (pool);
}

static void
test_hang_always (void)
{
  g_autoptr (WpWorkerPool) pool = make_fork_pool (2);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  wp_worker_pool_set_start_timeout (pool, 20);
  counter_set (N_HANGS, 1000);
  result = wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error);
  g_assert_null (result);
  g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
  assert_message (error, "start-timeout");
  g_assert_cmpuint (counter_get (N_HUNG), <, 20);
  counter_set (N_HANGS, 0);
  join_pool (pool);
}

/* The message about threads */

static GLogWriterOutput
count_messages (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, "WORKERPOOL_START_METHOD"))
      {
        counter_add (N_MESSAGES, 1);
        return G_LOG_WRITER_HANDLED;
      }

  return g_log_writer_default (level, fields, n_fields, user_data);
}

static gpointer
wait_for_gate (gpointer data)
{
  counter_wait (GATE, 1);

  return NULL;
}

/* A process of its own, which has said nothing yet and has no thread of GLib. */
static int
act_as_owner_with_threads (void)
{
  WpWorkerPool *pool = make_fork_pool (2);
  GThread *thread;

  /* GLib's thread is made for this pool, and may not have its name yet. */
  g_log_set_writer_func (count_messages, NULL, NULL);
  apply_pid (pool);
  join_pool (pool);
  g_object_unref (pool);
  g_assert_cmpuint (counter_get (N_MESSAGES), ==, 0);

  thread = g_thread_new ("other", wait_for_gate, NULL);
  for (guint i = 0; i < 2; i++)
    {
      pool = make_fork_pool (2);
      apply_pid (pool);
      join_pool (pool);
      g_object_unref (pool);
    }
  g_assert_cmpuint (counter_get (N_MESSAGES), ==, 1);

  counter_set (GATE, 1);
  g_thread_join (thread);

  return 0;
}

static void
run_owner_with_threads (void)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GSubprocess) owner = NULL;
  g_autoptr (GError) error = NULL;

  g_subprocess_launcher_setenv (launcher, OWNER_VARIABLE, "threads", TRUE);
  owner = g_subprocess_launcher_spawn (launcher, &error, program, NULL);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait_check (owner, NULL, &error));
  g_assert_no_error (error);
}

static void
test_message (void)
{
  for (guint i = 0; i < 5; i++)
    {
      scratch_reset ();
      run_owner_with_threads ();
    }
}

static const FaultTest tests[] = {
  { "/fork/has/memory-of-the-owner", test_memory },
  { "/fork/has/no-descriptor-of-the-owner", test_descriptors },
  { "/fork/has/eventfds-of-its-own", test_eventfd },
  { "/fork/has/no-handler-of-the-owner", test_signals },
  { "/fork/has/output-of-its-own", test_output },
  { "/fork/has/random-numbers-of-its-own", test_random },
  { "/fork/hangs/once-and-is-forked-again", test_hang },
  { "/fork/hangs/always-is-an-error", test_hang_always },
  { "/fork/message/once-and-only-with-other-threads", test_message },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("read-marker", read_marker, NULL, NULL);
  wp_register_function ("count-descriptors", count_descriptors, NULL, NULL);
  wp_register_function ("wake-descriptor", wake_descriptor, NULL, NULL);
  wp_register_function ("get-handler", get_handler, NULL, NULL);
  wp_register_function ("print", print, NULL, NULL);
  wp_register_function ("draw", draw, NULL, NULL);
  if (act_as_worker (&status))
    return status;

  if (g_getenv (OWNER_VARIABLE) != NULL)
    return act_as_owner_with_threads ();

  pthread_atfork (NULL, NULL, hang_after_fork);
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
