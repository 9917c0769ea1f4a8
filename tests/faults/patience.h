/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How a test waits: on the condition itself, and not for ever. What does not come fails the test, and the message names
 * it. In any thread, and in workers. */

/* Far beyond any real delay, also under a sanitizer on a loaded machine. */
#define PATIENCE_S 60

/* While nothing tells that the condition may have changed. */
#define yield_until(condition)                                            \
  G_STMT_START                                                            \
    {                                                                     \
      const gint64 patience_end = get_patience_end ();                    \
                                                                          \
      while (!(condition))                                                \
        yield_before (patience_end, G_STRLOC ": " #condition);            \
    }                                                                     \
  G_STMT_END

/* The same in the thread that iterates the default main context. */
#define poll_until(condition)                                             \
  G_STMT_START                                                            \
    {                                                                     \
      const gint64 patience_end = get_patience_end ();                    \
                                                                          \
      while (!(condition))                                                \
        {                                                                 \
          g_main_context_iteration (NULL, FALSE);                         \
          yield_before (patience_end, G_STRLOC ": " #condition);          \
        }                                                                 \
    }                                                                     \
  G_STMT_END

/* While only what that context (nullable) dispatches changes the condition. */
#define iterate_context_until(context, condition)                         \
  G_STMT_START                                                            \
    {                                                                     \
      GSource *patience = begin_patience (context, G_STRLOC ": " #condition); \
                                                                          \
      while (!(condition))                                                \
        g_main_context_iteration (context, TRUE);                         \
      end_patience (patience);                                            \
    }                                                                     \
  G_STMT_END

/* The same for a flag, which may be set in any thread that wakes the default main context. */
void     iterate_until    (const gboolean *done);

/* The macros'. */
gint64   get_patience_end (void);
void     yield_before     (gint64 end, const char *what);
GSource *begin_patience   (GMainContext *context, const char *what);
void     end_patience     (GSource *patience);

G_END_DECLS
