/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A copy of a process has GLib's locks as they were: one that another thread held will never be free. What a copy does
 * between these two calls ends with it when it meets such a lock, and the pool makes another copy; the second one tries
 * the locks that tasks need most. Later a task would wait for ever. */
void wp_inherited_locks_begin_trial (void);
void wp_inherited_locks_end_trial   (void);

G_END_DECLS
