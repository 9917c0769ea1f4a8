/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* For a worker that may have pools of its own, and so is not simply killed with its owner: from here on it ends when
 * the process 'owner' has ended, after its pools. FALSE: the system has no thread or descriptor left for that. */
gboolean wp_owner_watch_start     (int owner);
/* The owner has ended. Seen before anything that the end of the pools does to the task that uses them: what came of that
 * is no result. The pool itself may live, since a fork server is an owner too. */
gboolean wp_owner_watch_has_ended (void);

G_END_DECLS
