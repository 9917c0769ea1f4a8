/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Where and how eagerly the kernel runs this worker: the calling thread, before it has made others, and for
 * 'oom_score_adj' its process. What the kernel refuses is logged and no more: the tasks run all the same.
 * io_priority: as ioprio_set() takes it; 0: as it is. cpu_ids: (nullable): "au". */
void wp_placement_apply (int nice, int io_priority, int oom_score_adj, GVariant *cpu_ids);

G_END_DECLS
