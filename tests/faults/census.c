/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "census.h"

#include <string.h>
#include <unistd.h>

#include <workerpool.h>

#include "helpers.h"
#include "reaper.h"
#include "scratch.h"
#include "tree.h"

/* An exit takes a moment: the pool's thread ends after the last worker was reaped, GLib's own closes what it watched
 * it by after that. */
#define PATIENCE_S 20

typedef void (*Visit) (const char *name, gpointer data);

static void
visit_folder (const char *path, Visit visit, gpointer data)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    visit (name, data);
}

static void
count (const char *name, gpointer data)
{
  (*(guint *) data)++;
}

static void
count_processes (Census *census)
{
  g_autoptr (GArray) tree = tree_list ();

  for (guint i = 0; i < tree->len; i++)
    if (g_array_index (tree, TreeProcess, i).parent == getpid ())
      census->n_children++;
    else
      census->n_descendants++;
}

static guint
count_mappings (void)
{
  g_autofree char *maps = NULL;
  guint n = 0;

  if (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL))
    for (const char *s = maps; (s = strstr (s, "memfd:")) != NULL; s++)
      n++;
  return n;
}

void
census_take (Census *census)
{
  memset (census, 0, sizeof *census);
  visit_folder ("/proc/self/fd", count, &census->n_descriptors);
  visit_folder ("/proc/self/task", count, &census->n_threads);
  count_processes (census);
  census->n_mappings = count_mappings ();
}

static void
print_descriptor (const char *name, gpointer data)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%s", name);
  g_autofree char *target = g_file_read_link (path, NULL);

  g_test_message ("descriptor %s: %s", name, target != NULL ? target : "?");
}

static void
print_thread (const char *name, gpointer data)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/comm", name);
  g_autofree char *comm = NULL;

  g_file_get_contents (path, &comm, NULL, NULL);
  g_test_message ("thread %s: %s", name, comm != NULL ? g_strchomp (comm) : "?");
}

static void
print_processes (void)
{
  g_autoptr (GArray) tree = tree_list ();

  for (guint i = 0; i < tree->len; i++)
    {
      const TreeProcess *process = &g_array_index (tree, TreeProcess, i);

      g_test_message ("process %d, %s, in state %c, of process %d", process->pid, process->name, process->state,
                      process->parent);
    }
}

void
census_settle (const Census *before)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_S * G_TIME_SPAN_SECOND;
  Census now;

  for (;;)
    {
      census_take (&now);
      if (now.n_descriptors <= before->n_descriptors && now.n_threads <= before->n_threads &&
          now.n_children <= before->n_children && now.n_descendants <= before->n_descendants &&
          now.n_mappings <= before->n_mappings)
        return;
      if (g_get_monotonic_time () > deadline)
        break;
      g_thread_yield ();
    }

  visit_folder ("/proc/self/fd", print_descriptor, NULL);
  visit_folder ("/proc/self/task", print_thread, NULL);
  print_processes ();
  g_assert_cmpuint (now.n_descriptors, <=, before->n_descriptors);
  g_assert_cmpuint (now.n_threads, <=, before->n_threads);
  g_assert_cmpuint (now.n_children, <=, before->n_children);
  g_assert_cmpuint (now.n_descendants, <=, before->n_descendants);
  g_assert_cmpuint (now.n_mappings, <=, before->n_mappings);
}

static void
run_between_two_counts (gconstpointer data)
{
  const FaultTest *test = data;
  Census before;

  if (test->needs_processes && get_start_method () == WP_START_METHOD_THREADING)
    {
      g_test_skip ("its tasks end, or must be ended, with the process that runs them, which is this one");
      return;
    }

  scratch_reset ();
  census_take (&before);
  test->run ();
  /* What was posted to this thread's context is the test's to receive. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  census_settle (&before);
}

static void
run_one_task (void)
{
  g_autoptr (WpWorkerPool) pool = wp_worker_pool_new (1);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = wp_worker_pool_apply (pool, "echo", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (result);
  wp_worker_pool_stop_and_join (pool, NULL, &error);
  g_assert_no_error (error);
}

/* GLib starts a thread of its own with the first subprocess, and keeps it. What it watched that process by goes a
 * moment after the pool has ended, and must not be counted as held: the second pool gives it the time. */
static void
warm_up (void)
{
  Census census;

  g_main_context_default ();
  run_one_task ();
  census_take (&census);
  run_one_task ();
  census_settle (&census);
}

int
run_fault_tests (int argc, char **argv, const FaultTest *tests, gsize n_tests)
{
  int status;

  if (act_as_reaper (argv, &status))
    return status;

  g_test_init (&argc, &argv, NULL);
  warm_up ();
  for (gsize i = 0; i < n_tests; i++)
    g_test_add_data_func (tests[i].path, &tests[i], run_between_two_counts);
  return g_test_run ();
}
