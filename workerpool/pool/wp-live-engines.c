/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-live-engines.h"

#include <stdlib.h>

#include "channel/wp-process.h"

/* A kill takes a few milliseconds. A worker whose owner has died is to be gone within a second. */
#define END_TIMEOUT_US (500 * G_TIME_SPAN_MILLISECOND)

typedef struct
{
  WpEngine *engine;
  gboolean is_awaited;
} Entry;

static GMutex live_lock;
static GArray *live; /* Entry */
static guint live_generation;

/* Under the lock. What a copy of a process finds here is its original's. */
static GArray *
get_live (void)
{
  const guint generation = wp_process_get_generation ();

  if (live == NULL || live_generation != generation)
    {
      live = g_array_new (FALSE, FALSE, sizeof (Entry));
      live_generation = generation;
    }

  return live;
}

/* (element-type WpEngine) (transfer full) */
static GPtrArray *
get_engines (gboolean awaited_only)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&live_lock);
  GPtrArray *engines = g_ptr_array_new_with_free_func ((GDestroyNotify) wp_engine_unref);
  GArray *entries = get_live ();

  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = &g_array_index (entries, Entry, i);

      if (entry->is_awaited || !awaited_only)
        g_ptr_array_add (engines, wp_engine_ref (entry->engine));
    }

  return engines;
}

static void
end_all (void)
{
  g_autoptr (GPtrArray) engines = get_engines (FALSE);
  const gint64 end_time = g_get_monotonic_time () + END_TIMEOUT_US;

  for (guint i = 0; i < engines->len; i++)
    {
      WpEngine *engine = g_ptr_array_index (engines, i);

      wp_engine_lock (engine);
      wp_engine_terminate (engine);
      wp_engine_unlock (engine);
    }

  for (guint i = 0; i < engines->len; i++)
    wp_engine_wait_stopped_until (g_ptr_array_index (engines, i), end_time);
}

static void
join_at_exit (void)
{
  g_autoptr (GPtrArray) engines = NULL;

  /* A task that ends the process would wait for itself. */
  if (wp_process_is_worker_thread ())
    return;

  engines = get_engines (TRUE);
  for (guint i = 0; i < engines->len; i++)
    {
      WpEngine *engine = g_ptr_array_index (engines, i);

      wp_engine_lock (engine);
      wp_engine_drain (engine);
      wp_engine_unlock (engine);
    }

  for (guint i = 0; i < engines->len; i++)
    {
      WpEngine *engine = g_ptr_array_index (engines, i);

      if (!wp_engine_is_current_thread (engine))
        wp_engine_wait_stopped (engine, NULL, NULL);
    }
}

__attribute__ ((constructor)) static void
protect_live_engines (void)
{
  wp_process_protect_lock (&live_lock);
  wp_process_set_pools_ender (end_all);
}

void
wp_live_engines_add (WpEngine *engine,
                     gboolean  is_awaited)
{
  static int is_registered;
  const Entry entry = { engine, is_awaited };

  if (is_awaited && g_atomic_int_compare_and_exchange (&is_registered, FALSE, TRUE))
    atexit (join_at_exit);

  g_mutex_lock (&live_lock);
  g_array_append_val (get_live (), entry);
  g_mutex_unlock (&live_lock);
}

void
wp_live_engines_remove (WpEngine *engine)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&live_lock);
  GArray *entries = get_live ();

  for (guint i = 0; i < entries->len; i++)
    {
      if (g_array_index (entries, Entry, i).engine != engine)
        continue;

      g_array_remove_index_fast (entries, i);
      break;
    }

  /* Nothing is left of a program's last pool. */
  if (entries->len == 0)
    g_clear_pointer (&live, g_array_unref);
}
