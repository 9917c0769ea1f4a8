/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory that a test shares with everything it starts: its workers, their children, the programs it runs as owners
 * of pools. What is written here survives whoever wrote it, and waiting for it is waiting on the condition itself. */

#define SCRATCH_N_COUNTERS 64
#define SCRATCH_N_TASKS 32768

/* Names the memory to what the test starts. Every descendant has it in its environment, and so can be found. */
#define SCRATCH_VARIABLE "WP_TEST_SCRATCH"

/* First thing in main (), in the test and in its workers. */
void  scratch_attach       (void);
/* All counters and tasks at zero. */
void  scratch_reset        (void);

/* Counters, which also serve as gates. */
guint counter_get          (guint counter);
guint counter_add          (guint counter, guint n);
void  counter_set          (guint counter, guint value);
/* Returns when the counter is at least that; fails the test when it does not come. */
void  counter_wait         (guint counter, guint at_least);

/* How often a task was begun, and how often it came to its end. */
guint task_begin           (guint64 index);
void  task_end             (guint64 index);
guint task_get_n_begun     (guint64 index);
guint task_get_n_ended     (guint64 index);

G_END_DECLS
