/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How much memory this process may have. */

/* Monotonic nanoseconds between two looks at the memory while task follows task: a look takes some 10 µs. */
#define WP_MEMORY_LOOK_NS (5 * G_GINT64_CONSTANT (1000000))

typedef struct
{
  guint64 limit;  /* bytes */
  gint64 look_at; /* monotonic ns; G_MAXINT64: never */
} WpMemoryWatch;

/* limit: 0 for none. */
void     wp_memory_watch_init (WpMemoryWatch *watch, guint64 limit);
/* How many bytes the process has, if that is more than the limit; then it does not look any more. Else 0, also when the
 * kernel does not tell. */
guint64  wp_memory_watch_look (WpMemoryWatch *watch, gint64 now);

/* From here on the process is refused more memory than so many bytes, and so are the programs that it starts.
 * WP_ERROR_START_FAILED: it has that much already, and nothing has changed. */
gboolean wp_memory_limit_set  (guint64 limit, GError **error);

G_END_DECLS
