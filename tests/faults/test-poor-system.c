/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A system that is short of descriptors, processes or shared memory: a pool does what can be done, or says that it
 * cannot. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

/* Set in the environment of this program: how many processes it may have. */
#define N_PROCESSES_VARIABLE "WP_TEST_N_PROCESSES"
/* Likewise: how many descriptors it gets beyond those that it starts with. */
#define N_DESCRIPTORS_VARIABLE "WP_TEST_N_DESCRIPTORS"

/* From here on this process gets only so many descriptors more. */
static void
limit_descriptors (guint n_free, struct rlimit *before)
{
  struct rlimit low;
  int lowest = dup (STDERR_FILENO);

  close (lowest);
  getrlimit (RLIMIT_NOFILE, before);
  low = *before;
  low.rlim_cur = lowest + n_free;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &low), ==, 0);
}

/* The pool works, with fewer workers perhaps, or says that it cannot. */
static void
use_poor_pool (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (4);
  g_autoptr (WpTaskOptions) options = make_options (1, 0, WP_ON_ERROR_STOP);
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GError) error = NULL;

  results = wp_worker_pool_map (pool, "record", make_indices (50), options, NULL, &error);
  if (results != NULL)
    {
      assert_indices (results, 50);
    }
  else
    {
      g_assert_error (error, WP_ERROR, WP_ERROR_START_FAILED);
      g_test_message ("%s", error->message);
    }
  join_pool (pool);
}

static void
test_few_descriptors (void)
{
  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  for (guint n_free = 0; n_free < 30; n_free++)
    {
      struct rlimit limit;
      Census before;

      census_take (&before);
      limit_descriptors (n_free, &limit);
      use_poor_pool ();
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
      census_settle (&before);
    }
}

/* They run out while the pool works. */
static void
test_descriptors_run_out (void)
{
  struct rlimit limit;
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  pool = make_pool (1);
  apply_pid (pool);
  limit_descriptors (0, &limit);

  apply_pid (pool);
  /* A large result comes with a descriptor, for which there is none left. */
  result = wp_worker_pool_apply (pool, "large", g_variant_new ("(tu)", G_GUINT64_CONSTANT (1000000), 0), NULL, NULL,
                                 &error);
  if (result == NULL)
    {
      g_assert_cmpuint (error->domain, !=, 0);
      assert_message (error, "open files");
    }
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  apply_pid (pool);
  join_pool (pool);
}

/* The limit is not for root; and it is a user's, who should have no other processes. */
static void
become_another_user (void)
{
  const uid_t uid = (uid_t) (100000 + getpid ());

  if (getuid () == 0 && setresuid (uid, uid, uid) != 0)
    g_error ("Cannot become another user");

  /* Or nothing below /proc/self could be read. */
  prctl (PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void
test_few_processes (void)
{
  struct rlimit limit, low;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  become_another_user ();
  getrlimit (RLIMIT_NPROC, &limit);
  for (guint n = 0; n < 12; n++)
    {
      low = limit;
      low.rlim_cur = n;
      g_assert_cmpint (setrlimit (RLIMIT_NPROC, &low), ==, 0);
      use_poor_pool ();
    }
  g_assert_cmpint (setrlimit (RLIMIT_NPROC, &limit), ==, 0);
  use_poor_pool ();
}

/* What GLib does for the first subprocess has not been done: in a process of its own. */
static int
act_with_few_processes (const char *n)
{
  const struct rlimit limit = { (rlim_t) atoi (n), (rlim_t) atoi (n) };

  if (setrlimit (RLIMIT_NPROC, &limit) != 0)
    return EXIT_FAILURE;

  use_poor_pool ();

  /* LeakSanitizer wants a process more than there may be. */
  fflush (stdout);
  _exit (EXIT_SUCCESS);
}

static int
act_with_few_descriptors (const char *n)
{
  struct rlimit limit;

  /* Whoever makes a pool has one. */
  g_main_context_default ();
  limit_descriptors (atoi (n), &limit);
  use_poor_pool ();

  return EXIT_SUCCESS;
}

static void
start_poor_processes (const char *variable, guint first, guint end)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);

  for (guint n = first; n < end; n++)
    {
      g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
      g_autofree char *value = g_strdup_printf ("%u", n);
      g_autoptr (GSubprocess) process = NULL;
      g_autoptr (GError) error = NULL;

      g_subprocess_launcher_setenv (launcher, variable, value, TRUE);
      process = g_subprocess_launcher_spawn (launcher, &error, program, NULL);
      g_assert_no_error (error);
      g_assert_true (g_subprocess_wait_check (process, NULL, &error));
      g_assert_no_error (error);
    }
}

static void
test_few_processes_from_the_start (void)
{
  start_poor_processes (N_PROCESSES_VARIABLE, 1, 8);
}

static void
test_few_descriptors_from_the_start (void)
{
  start_poor_processes (N_DESCRIPTORS_VARIABLE, 0, 6);
}

/* For this process and all that it starts. */
static void
refuse_memfd (void)
{
  struct sock_filter instructions[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = { G_N_ELEMENTS (instructions), instructions };

  g_assert_cmpint (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
  g_assert_cmpint (prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==, 0);
  g_assert_cmpint (memfd_create ("refused", 0), ==, -1);
}

static GVariant *
make_large (gsize size)
{
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = get_large_byte (i);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, size, TRUE, g_free, bytes);
}

static guint64
get_large_sum (gsize size)
{
  guint64 sum = 0;

  for (gsize i = 0; i < size; i++)
    sum += get_large_byte (i);
  return sum;
}

/* → t: the sum of the bytes that the pool shares. */
static GVariant *
sum_objects (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint64 (sum_bytes (wp_task_context_get_shared_objects (context)));
}

static guint64
get_sum (GVariant *results, gsize index)
{
  g_autoptr (GVariant) boxed = g_variant_get_child_value (results, index);
  g_autoptr (GVariant) value = g_variant_get_variant (boxed);

  return g_variant_get_uint64 (value);
}

static void
check_without_memfd (WpTransport transport)
{
  const gsize sizes[] = { 1000, 100000, 1000000, 30000000 };
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  g_autoptr (WpLauncher) launcher = make_launcher (transport);
  g_autoptr (WpTaskOptions) options = make_options (40, 0, WP_ON_ERROR_CONTINUE);
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_auto (Outcome) cancelled = { 0 };

  wp_worker_pool_set_launcher (pool, launcher);
  wp_worker_pool_set_shared_objects (pool, make_large (3000000));
  results = wp_worker_pool_map (pool, "record", make_indices (5000), NULL, NULL, &error);
  g_assert_no_error (error);
  assert_indices (results, 5000);

  g_variant_unref (results);
  results = wp_worker_pool_map (pool, "sum-objects", make_indices (4), NULL, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (get_sum (results, i), ==, get_large_sum (3000000));

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GVariant) args = g_variant_ref_sink (make_large (sizes[i]));
      g_autoptr (GVariant) copy = NULL;

      copy = wp_worker_pool_apply (pool, "echo", args, NULL, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_equal (args, copy));
    }

  /* Who died of what is told as well as ever. */
  scratch_reset ();
  batch = start_batch (pool, "die", options);
  for (guint64 i = 0; i < 40; i++)
    push_item (batch, g_variant_new ("(tsu)", i, "SIGKILL", i == 17 ? 1 : 0));
  wp_batch_close (batch);
  for (guint64 i = 0; i < 40; i++)
    {
      g_autoptr (WpResult) result = next_result (batch);

      g_assert_cmpuint (task_get_n_begun (i), ==, 1);
      if (i == 17)
        {
          g_assert_error (wp_result_get_error (result), WP_ERROR, WP_ERROR_WORKER_DIED);
          assert_message (wp_result_get_error (result), "task 17 of “die”");
        }
      else
        {
          g_assert_no_error (wp_result_get_error (result));
        }
    }

  wp_worker_pool_apply_async (pool, "obey", g_variant_new ("(uu)", 0, 1), NULL, cancellable, on_applied, &cancelled);
  counter_wait (0, 1);
  g_cancellable_cancel (cancellable);
  iterate_until (&cancelled.done);
  g_assert_error (cancelled.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  join_pool (pool);
}

static void
test_no_memfd (void)
{
  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }

  refuse_memfd ();
  check_without_memfd (WP_TRANSPORT_SOCKET);
  scratch_reset ();
  check_without_memfd (WP_TRANSPORT_STDIO);
}

static const FaultTest tests[] = {
  { "/poor-system/few-descriptors", test_few_descriptors },
  { "/poor-system/few-descriptors-from-the-start", test_few_descriptors_from_the_start },
  { "/poor-system/descriptors-run-out", test_descriptors_run_out },
  { "/poor-system/few-processes", test_few_processes },
  { "/poor-system/few-processes-from-the-start", test_few_processes_from_the_start },
  { "/poor-system/no-memfd", test_no_memfd },
};

int
main (int argc, char **argv)
{
  const gboolean is_poor = g_getenv (N_PROCESSES_VARIABLE) != NULL;
  int status;

  if (is_poor && !wp_worker_is_requested ())
    {
      become_another_user ();
      /* Its workers could not open the test's. */
      g_unsetenv (SCRATCH_VARIABLE);
    }
  wp_register_function ("sum-objects", sum_objects, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  if (is_poor)
    return act_with_few_processes (g_getenv (N_PROCESSES_VARIABLE));
  if (g_getenv (N_DESCRIPTORS_VARIABLE) != NULL)
    return act_with_few_descriptors (g_getenv (N_DESCRIPTORS_VARIABLE));
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
