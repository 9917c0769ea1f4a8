/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A process above the test, to which every orphan of the test's descendants comes: nothing that was left behind can
 * hide, and what has ended is reaped without taking the end of a process from the pool that waits for it. */

/* TRUE: this process was the reaper of a test program, which has ended so. In the test itself it returns FALSE. */
gboolean act_as_reaper (char **argv, int *status);
/* The reaper's process; 0 where there is none. */
int      get_reaper    (void);
/* This process runs the tests. */
gboolean is_the_test   (void);

G_END_DECLS
