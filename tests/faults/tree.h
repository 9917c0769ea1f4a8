/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The processes that the test has started, those that they have started, and so on, wherever their parents are. */

typedef struct
{
  int pid;
  int parent;
  char state;
  char name[16];
} TreeProcess;

/* Without the test itself; zombies count. (element-type TreeProcess) (transfer full) */
GArray   *tree_list            (void);
guint     tree_count           (void);
/* Waits until none is left, and returns after how many microseconds; fails the test, and says what is left, when it
 * does not come to it. */
gint64    tree_wait_gone       (void);
/* Waits until n of them are stopped. */
void      tree_wait_stopped    (guint n);
/* Sends a signal, and SIGKILL after SIGSTOP, to one that is alive, and never to another process that has its number by
 * now; FALSE if there was none. */
gboolean  tree_signal_at_random (GRand *rand, int signum);

G_END_DECLS
