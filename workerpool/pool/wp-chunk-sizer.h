/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How many tasks travel together. The sizer remembers, for each function, how long its tasks run;
 * of that and of what a batch has shown so far it derives the size of the next chunk. Pure. */

typedef struct _WpChunkSizer WpChunkSizer;
/* What is known of one function's run time; reference-counted, it may outlive the sizer. */
typedef struct _WpRunTime WpRunTime;

/* The functions that are remembered; beyond it the one that was asked for longest ago is forgotten. */
#define WP_MAX_RUN_TIMES 256
/* A chunk is at most so many times as large as the largest chunk of its batch that has reported:
 * what the first tasks cost says little about the next thousand. */
#define WP_CHUNK_GROWTH 16

WpChunkSizer *wp_chunk_sizer_new  (void);
void          wp_chunk_sizer_free (WpChunkSizer *sizer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpChunkSizer, wp_chunk_sizer_free)

/* Returns: (transfer full) */
WpRunTime    *wp_chunk_sizer_get  (WpChunkSizer *sizer, const char *function);

void          wp_run_time_unref   (WpRunTime *run_time);
/* n_tasks took 'elapsed' nanoseconds together. */
void          wp_run_time_report  (WpRunTime *run_time, guint n_tasks, guint64 elapsed);
/* Nanoseconds a task; 0: unknown. */
gint64        wp_run_time_get     (const WpRunTime *run_time);

/* The size that is worth a frame, before anybody asks how much is left; proven: the largest chunk of
 * the batch that has reported. */
guint         wp_chunk_size_automatic (const WpRunTime *run_time, guint proven);
/* The size that n_splits asks for, at least 1. */
guint         wp_chunk_size_split     (guint64 n_total, guint n_splits);
/* No chunk takes more than this of what is left, so that the workers finish together. */
guint         wp_chunk_size_share     (guint64 n_left, guint n_jobs);

G_END_DECLS
