/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

/* Tests of which each must leave as many descriptors open as it found. */
typedef struct
{
  const char *path;
  void (*run) (void);
} BracketedTest;

static inline guint
count_open_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static inline void
run_bracketed (gconstpointer data)
{
  const BracketedTest *test = data;
  guint before = count_open_descriptors ();
  gint64 deadline;

  test->run ();

  /* GLib's own thread tells of a child's end before it closes what it watched the child by. */
  deadline = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;
  while (count_open_descriptors () != before && g_get_monotonic_time () < deadline)
    g_thread_yield ();
  g_assert_cmpuint (count_open_descriptors (), ==, before);
}

static inline int
run_tests (int argc, char **argv, const BracketedTest *tests, gsize n_tests)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < n_tests; i++)
    g_test_add_data_func (tests[i].path, &tests[i], run_bracketed);
  return g_test_run ();
}
