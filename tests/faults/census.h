/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a process holds of the system: open descriptors, threads, children and further descendants in any state (zombies
 * too), and mappings of shared memory. */
typedef struct
{
  guint n_descriptors;
  guint n_threads;
  guint n_children;
  guint n_descendants;
  guint n_mappings;
} Census;

void census_take   (Census *census);
/* Waits until this process holds what it held; says what it holds beyond that when it does not come to it. */
void census_settle (const Census *before);

typedef struct
{
  const char *path;
  void (*run) (void);
  gboolean needs_processes; /* skipped where workers are threads */
} FaultTest;

/* The main () of a test program after its first lines: runs tests, each of which must leave nothing behind. */
int  run_fault_tests (int argc, char **argv, const FaultTest *tests, gsize n_tests);

G_END_DECLS
