/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* From here on this worker ends when the process 'owner' ends, or executes another program, which closes 'channel': its
 * pools first, if it has any, then its process group, with what its tasks have left running. The kernel's
 * PR_SET_PDEATHSIG would end the worker alone. FALSE: the system has no thread or descriptor left for that. */
gboolean wp_owner_watch_start     (int owner, int channel);
/* The owner has ended. Seen before anything that the end of the pools does to the task that uses them: what came of
 * that is no result. The pool itself may live, since a fork server is an owner too. */
gboolean wp_owner_watch_has_ended (void);

G_END_DECLS
