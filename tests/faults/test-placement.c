/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where and how eagerly workers run. */

#include <linux/ioprio.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "census.h"
#include "helpers.h"
#include "scratch.h"
#include "tasks.h"

static int
get_oom_score_adj (void)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_file_get_contents ("/proc/self/oom_score_adj", &text, NULL, &error);
  g_assert_no_error (error);

  return (int) g_ascii_strtoll (text, NULL, 10);
}

/* → (iiau): the worker's niceness, its score and its CPUs. */
static GVariant *
get_placement (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_auto (GVariantBuilder) cpus = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("au"));
  cpu_set_t set;

  g_assert_cmpint (sched_getaffinity (0, sizeof set, &set), ==, 0);
  for (guint cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET (cpu, &set))
      g_variant_builder_add (&cpus, "u", cpu);

  return g_variant_new ("(iiau)", getpriority (PRIO_PROCESS, 0), get_oom_score_adj (), &cpus);
}

static void
test_nice (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) placement = NULL;
  const int own = getpriority (PRIO_PROCESS, 0);
  int nice;

  wp_worker_pool_set_nice (pool, 5);
  placement = apply (pool, "get-placement", NULL);
  g_variant_get (placement, "(iiau)", &nice, NULL, NULL);
  g_assert_cmpint (nice, ==, MIN (own + 5, 19));
  g_assert_cmpint (getpriority (PRIO_PROCESS, 0), ==, own);
  join_pool (pool);
}

/* → i: the worker's I/O priority, as ioprio_get() tells it. */
static GVariant *
get_io_priority (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 ((int) syscall (SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
}

static void
check_io_priority (WpIoPriority io_priority, int nice, int class, int level)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) found = NULL;
  const long own = syscall (SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

  wp_worker_pool_set_io_priority (pool, io_priority);
  wp_worker_pool_set_nice (pool, nice);
  found = apply (pool, "get-io-priority", NULL);
  g_assert_cmpint (IOPRIO_PRIO_CLASS (g_variant_get_int32 (found)), ==, class);
  if (level >= 0)
    g_assert_cmpint (IOPRIO_PRIO_DATA (g_variant_get_int32 (found)), ==, level);
  g_assert_cmpint (syscall (SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), ==, own);
  join_pool (pool);
}

static void
test_io_priority (void)
{
  const long own = syscall (SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

  if (own < 0)
    {
      g_test_skip ("this kernel has no I/O priorities");
      return;
    }

  check_io_priority (WP_IO_PRIORITY_LOW, 0, IOPRIO_CLASS_BE, 7);
  check_io_priority (WP_IO_PRIORITY_IDLE, 5, IOPRIO_CLASS_IDLE, -1);
  /* None is set: what counts is derived when the disk is used. */
  check_io_priority (WP_IO_PRIORITY_DEFAULT, 10, IOPRIO_PRIO_CLASS (own), -1);
}

static void
test_oom_score (void)
{
  g_autoptr (WpWorkerPool) pool = make_pool (1);
  g_autoptr (GVariant) placement = NULL;
  const int own = get_oom_score_adj ();
  int score;

  wp_worker_pool_set_oom_score_adj (pool, 300);
  placement = apply (pool, "get-placement", NULL);
  g_variant_get (placement, "(iiau)", NULL, &score, NULL);
  g_assert_cmpint (score, ==, MIN (own + 300, 1000));
  g_assert_cmpint (get_oom_score_adj (), ==, own);
  join_pool (pool);
}

/* What the placements of two workers are with these cpu-ids. */
static void
check_cpus (const char *cpu_ids, const char *first, const char *second)
{
  g_autoptr (WpWorkerPool) pool = make_pool (2);
  const char *const expected[] = { first, second };

  wp_worker_pool_set_cpu_ids (pool, g_variant_new_parsed (cpu_ids));
  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (GVariant) placement = apply (pool, "get-placement-of-worker", NULL);
      g_autoptr (GVariant) cpus = g_variant_get_child_value (placement, 1);
      g_autofree char *printed = g_variant_print (cpus, FALSE);
      guint worker;

      g_variant_get_child (placement, 0, "u", &worker);
      g_assert_cmpstr (printed, ==, expected[worker]);
    }
  join_pool (pool);
}

/* → (uau) */
static GVariant *
get_placement_of_worker (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) placement = g_variant_ref_sink (get_placement (context, args, user_data, error));
  g_autoptr (GVariant) cpus = g_variant_get_child_value (placement, 2);

  return g_variant_new ("(u@au)", wp_task_context_get_worker_id (context), cpus);
}

static void
test_cpus (void)
{
  cpu_set_t set;

  if (sched_getaffinity (0, sizeof set, &set) != 0 || !CPU_ISSET (0, &set) || !CPU_ISSET (1, &set))
    {
      g_test_skip ("this process may not use the CPUs 0 and 1");
      return;
    }

  check_cpus ("[0]", "[0]", "[0]");
  check_cpus ("[1, 0]", "[1]", "[0]");
  check_cpus ("[[0, 1]]", "[0, 1]", "[0, 1]");
  check_cpus ("[[uint32 1], [0, 1]]", "[1]", "[0, 1]");
  check_cpus ("[int64 1]", "[1]", "[1]");
}

static void
test_bad_cpus (void)
{
  const char *const bad[][2] = {
    { "[-1]", "names the CPU -1" },
    { "[100000]", "names the CPU 100000" },
    { "[[0, 0]]", "twice" },
    { "[0, 0, 0]", "is for 3 workers, but the pool has 2" },
    { "@ai []", "is for 0 workers" },
    { "@aai [[]]", "without a CPU" },
    { "['0']", "where the number of a CPU should be" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (WpWorkerPool) pool = make_pool (2);
      g_autoptr (GError) error = NULL;

      wp_worker_pool_set_cpu_ids (pool, g_variant_new_parsed (bad[i][0]));
      g_assert_false (wp_worker_pool_start (pool, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      assert_message (error, bad[i][1]);

      /* Nothing has started: it can be set right. */
      wp_worker_pool_set_cpu_ids (pool, NULL);
      apply_pid (pool);
      join_pool (pool);
    }
}

static const FaultTest tests[] = {
  { "/placement/nice", test_nice },
  { "/placement/io-priority", test_io_priority },
  { "/placement/oom-score-adj", test_oom_score, TRUE },
  { "/placement/cpu-ids", test_cpus },
  { "/placement/cpu-ids/bad", test_bad_cpus },
};

int
main (int argc, char **argv)
{
  int status;

  wp_register_function ("get-io-priority", get_io_priority, NULL, NULL);
  wp_register_function ("get-placement", get_placement, NULL, NULL);
  wp_register_function ("get-placement-of-worker", get_placement_of_worker, NULL, NULL);
  if (act_as_worker (&status))
    return status;
  return run_fault_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
