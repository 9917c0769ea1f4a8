/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-join.h"

/* A join on its way; whoever comes first, the end or a cancellation, answers it. */
typedef struct
{
  gatomicrefcount ref_count;
  GTask *task;
  WpEngine *engine;
  WpDelivery *delivery;
  gulong handler;
  int answered;
} Join;

static void
join_unref (Join *join)
{
  if (!g_atomic_ref_count_dec (&join->ref_count))
    return;

  g_object_unref (join->task);
  g_clear_pointer (&join->engine, wp_engine_unref);
  wp_delivery_unref (join->delivery);
  g_free (join);
}

static void
return_join (gpointer data)
{
  Join *join = data;
  GCancellable *cancellable = g_task_get_cancellable (join->task);
  GError *error = NULL;

  g_cancellable_disconnect (cancellable, join->handler);

  /* At the end of the pool the thread is about to return, so that this does not wait. */
  if (wp_engine_wait_stopped (join->engine, cancellable, &error) && wp_engine_check_exit (join->engine, &error))
    g_task_return_boolean (join->task, TRUE);
  else
    g_task_return_error (join->task, error);
  join_unref (join);
}

static void
answer_join (Join *join)
{
  if (!g_atomic_int_compare_and_exchange (&join->answered, FALSE, TRUE))
    return;

  g_atomic_ref_count_inc (&join->ref_count);
  wp_delivery_post (join->delivery, return_join, join, NULL);
}

static void
on_join_cancelled (GCancellable *cancellable, gpointer user_data)
{
  answer_join (user_data);
}

static void
on_stopped (gpointer data, gpointer unused)
{
  answer_join (data);
  join_unref (data);
}

void
wp_join_begin (WpEngine *engine, GTask *task, WpDelivery *delivery)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  Join *join = g_new0 (Join, 1);

  g_atomic_ref_count_init (&join->ref_count);
  join->task = g_object_ref (task);
  join->engine = wp_engine_ref (engine);
  join->delivery = wp_delivery_ref (delivery);

  /* A cancellation in another thread may answer before the handler's number is known here; it stays connected then,
   * and has nothing to do any more. */
  if (cancellable != NULL)
    {
      g_atomic_ref_count_inc (&join->ref_count);
      join->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_join_cancelled), join,
                                             (GDestroyNotify) join_unref);
    }

  wp_engine_lock (engine);
  wp_engine_drain (engine);
  wp_engine_unlock (engine);
  wp_engine_call_stopped (engine, on_stopped, join);
}
