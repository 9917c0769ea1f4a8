/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>
#include "patience.h"

G_BEGIN_DECLS

/* Functions that the tests' workers offer; the test program is their host.
 *
 *   echo    any value → the same
 *   pid     anything → i, the worker's process
 *   record  t, the index of a task in the test's memory → the same; counts that it began and that it ended
 *   work    the same, and takes some microseconds
 *   hold    (uu), a counter that is raised when the task runs, and one to wait for → i, the worker's process
 *   obey    (uu), as hold, but it ends, with an error, when it is cancelled
 *   die     (tsu), the index of a task, a way to end, and in how many of its runs → t, the index
 *   large   (tu), a size in bytes, and a counter that is raised before the result is sent → ay of that size
 *   fail    anything → an error of G_FILE_ERROR
 */

/* The first line of main (). TRUE: this process was a worker, and *status is what to exit with. */
gboolean act_as_worker (int *status);

/* For tasks, which then die by the signal's default, which a sanitizer may have replaced; */
void die_by (int signum);
/* or send their pool something behind their worker's back. */
void write_to_channel (const guint8 *bytes, gsize size);

/* The ways to end of "die", NULL-terminated. */
extern const char *const death_ways[];

/* The byte at that position of a large result. */
guint8 get_large_byte (gsize position);

/* Workers write their process into the counter PID_COUNTER + their id when they run "record", "work", "die" or
 * "large". */
#define PID_COUNTER 32

G_END_DECLS
