/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-call.h"

#include "pool/wp-engine-events.h"
#include "pool/wp-task-options-private.h"

GVariant *
wp_call_take_applied (WpJob *job, GBytes **notes, GError **error)
{
  guint64 index;
  GVariant *value;
  GError *failure;
  WpTaskRun run;
  gboolean taken = wp_result_queue_take (job->results, &index, &value, &failure, &run);

  g_assert (taken);
  if (notes != NULL)
    *notes = run.notes;
  else
    g_clear_pointer (&run.notes, g_bytes_unref);
  if (failure != NULL)
    g_propagate_error (error, failure);

  return value;
}

/* The job has ended: nobody else uses its results any more, so the lock is not needed. */
static GVariant *
take_mapped (WpJob *job, GError **error)
{
  const GError *failure = job->on_error == WP_ON_ERROR_STOP ? job->failure : NULL;

  if (failure == NULL)
    failure = job->interruption;

  if (failure != NULL)
    {
      g_propagate_error (error, g_error_copy (failure));
      return NULL;
    }

  return wp_result_queue_collect (job->results);
}

static void
on_job_cancelled (GCancellable *cancellable, gpointer user_data)
{
  WpJob *job = user_data;

  wp_engine_lock (job->engine);
  wp_engine_cancel (job->engine, job);
  wp_engine_unlock (job->engine);
}

static void
on_event (guint64 index, GVariant *value, gpointer callback)
{
  wp_event_callback_call (callback, index, value);
}

/* In the thread that waits */

/* The thread takes its events itself, as it iterates no main context. */
static void
wait_with_events (WpEngine *engine, WpJob *job, WpEventCallback *callback, gint64 end_time)
{
  while (TRUE)
    {
      if (wp_engine_has_events (job))
        {
          wp_engine_unlock (engine);
          wp_engine_hand_out (engine, job, on_event, callback);
          wp_engine_lock (engine);
        }
      else if (job->ended)
        break;
      else if (!wp_engine_wait_for_results_until (engine, job, end_time))
        return;
    }

  wp_engine_unlisten (engine, job);
}

WpJob *
wp_call_submit (WpEngine        *engine,
                const char      *function,
                WpItems         *items,
                WpTaskOptions   *options,
                WpCallKind       kind,
                WpEventCallback *callback,
                GError         **error)
{
  const WpEventReceiver receiver = { NULL };
  g_autoptr (WpJob) job = wp_job_new (engine, function, options, items);
  gboolean submitted;

  if (kind != WP_CALL_MAP)
    wp_job_share_items (job);

  wp_engine_lock (engine);
  if (callback != NULL)
    wp_engine_listen (engine, job, &receiver, NULL);
  /* Not while the caller's code may run: others may need the link. */
  job->may_borrow = kind == WP_CALL_APPLY && callback == NULL;
  job->is_awaited = kind == WP_CALL_APPLY_LATER && callback == NULL;
  submitted = wp_engine_submit (engine, job, kind != WP_CALL_MAP, error);
  if (submitted)
    wp_engine_close (engine, job);
  else
    wp_engine_unlisten (engine, job);
  job->may_borrow = FALSE;
  wp_engine_unlock (engine);

  return submitted ? g_steal_pointer (&job) : NULL;
}

gboolean
wp_call_wait (WpJob *job, WpEventCallback *callback, gint64 end_time)
{
  WpEngine *engine = job->engine;
  gboolean ended;

  wp_engine_lock (engine);
  wp_engine_begin_wait (engine, job);
  if (callback != NULL)
    wait_with_events (engine, job, callback, end_time);
  else
    wp_engine_wait_for_end_until (engine, job, end_time);
  wp_engine_end_wait (engine, job);
  ended = job->ended;
  wp_engine_unlock (engine);

  return ended;
}

GVariant *
wp_call_run (WpEngine      *engine,
             const char    *function,
             WpItems       *items,
             WpTaskOptions *options,
             WpCallKind     kind,
             GCancellable  *cancellable,
             GError       **error)
{
  g_autoptr (WpItems) owned_items = items;
  g_autoptr (WpEventCallback) callback = NULL;
  g_autoptr (WpJob) job = NULL;
  gulong handler = 0;

  if (!wp_engine_may_wait (engine, "a task", error))
    return NULL;

  callback = options != NULL ? wp_task_options_ref_event_callback (options) : NULL;
  job = wp_call_submit (engine, function, g_steal_pointer (&owned_items), options, kind, callback, error);
  if (job == NULL)
    return NULL;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_job_cancelled), job, NULL);
  wp_call_wait (job, callback, G_MAXINT64);
  g_cancellable_disconnect (cancellable, handler);

  return kind == WP_CALL_MAP ? take_mapped (job, error) : wp_call_take_applied (job, NULL, error);
}

/* In the main context of the call */

/* An asynchronous call on its way: the task, its job, and where it ends. */
typedef struct
{
  WpJob *job;
  WpDelivery *delivery;
  gboolean is_map;
  gulong handler; /* on the cancellable */
  WpEventCallback *callback; /* nullable */
  gboolean posted; /* a call of 'deliver_events' is on its way; guarded by the engine's lock */
  GVariant *value;
  GError *error;
} Call;

static void
call_free (Call *call)
{
  g_clear_pointer (&call->job, wp_job_unref);
  g_clear_pointer (&call->delivery, wp_delivery_unref);
  g_clear_pointer (&call->callback, wp_event_callback_unref);
  g_clear_pointer (&call->value, g_variant_unref);
  g_clear_error (&call->error);
  g_free (call);
}

static void
deliver_events (gpointer data)
{
  g_autoptr (GTask) task = data;
  Call *call = g_task_get_task_data (task);

  wp_engine_lock (call->job->engine);
  call->posted = FALSE;
  wp_engine_unlock (call->job->engine);

  /* What comes from here on is posted anew, and so before the result. */
  wp_engine_hand_out (call->job->engine, call->job, on_event, call->callback);
}

/* With the lock held. */
static void
on_event_arrived (gpointer data)
{
  GTask *task = data;
  Call *call = g_task_get_task_data (task);

  if (call->posted)
    return;

  call->posted = TRUE;
  wp_delivery_post (call->delivery, deliver_events, g_object_ref (task), g_object_unref);
}

static void
stop_listening (Call *call)
{
  if (call->callback == NULL)
    return;

  wp_engine_lock (call->job->engine);
  wp_engine_unlisten (call->job->engine, call->job);
  wp_engine_unlock (call->job->engine);
}

static void
return_call (gpointer data)
{
  g_autoptr (GTask) task = data;
  Call *call = g_task_get_task_data (task);

  /* In a handler that iterates the main context, the rest of its events. */
  if (call->callback != NULL)
    wp_engine_hand_out (call->job->engine, call->job, on_event, call->callback);
  stop_listening (call);
  g_cancellable_disconnect (g_task_get_cancellable (task), call->handler);

  if (!call->is_map)
    call->value = wp_call_take_applied (call->job, NULL, &call->error);

  if (call->error != NULL)
    g_task_return_error (task, g_steal_pointer (&call->error));
  else
    g_task_return_pointer (task, g_steal_pointer (&call->value), (GDestroyNotify) g_variant_unref);
}

/* In the engine's thread: a million results are put together here, not in a thread that draws. */
static void
collect_call (gpointer data, gpointer unused)
{
  GTask *task = data;
  Call *call = g_task_get_task_data (task);
  g_autoptr (WpDelivery) delivery = wp_delivery_ref (call->delivery);

  call->value = take_mapped (call->job, &call->error);
  wp_delivery_post (delivery, return_call, task, NULL);
}

static void
on_call_changed (WpJob *job, gpointer data)
{
  GTask *task = data;
  Call *call = g_task_get_task_data (task);

  if (!job->ended)
    return;

  job->changed = NULL;
  if (call->is_map)
    wp_engine_call (job->engine, collect_call, task);
  else
    wp_delivery_post (call->delivery, return_call, task, NULL);
}

void
wp_call_begin (WpEngine      *engine,
               GTask         *task,
               WpDelivery    *delivery,
               const char    *function,
               WpItems       *items,
               WpTaskOptions *options,
               gboolean       is_map)
{
  const WpEventReceiver receiver = { .arrived = on_event_arrived, .data = task };
  GCancellable *cancellable = g_task_get_cancellable (task);
  g_autoptr (GError) error = NULL;
  gboolean submitted;
  Call *call;

  /* The job itself ends with G_IO_ERROR_CANCELLED, when its tasks really have. */
  g_task_set_check_cancellable (task, FALSE);

  call = g_new0 (Call, 1);
  call->job = wp_job_new (engine, function, options, items);
  call->is_map = is_map;
  call->delivery = wp_delivery_ref (delivery);
  call->callback = options != NULL ? wp_task_options_ref_event_callback (options) : NULL;
  g_task_set_task_data (task, call, (GDestroyNotify) call_free);
  if (!is_map)
    wp_job_share_items (call->job);

  /* Connected while the call is ours alone: once it was submitted it may end at any time, and its end
   * disconnects. A cancellation before that finds a job that is not there yet, hence the second look. */
  if (cancellable != NULL)
    call->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_job_cancelled),
                                           wp_job_ref (call->job), (GDestroyNotify) wp_job_unref);

  wp_engine_lock (engine);
  call->job->changed = on_call_changed;
  call->job->changed_data = g_object_ref (task);
  if (call->callback != NULL)
    wp_engine_listen (engine, call->job, &receiver, wp_delivery_get_context (delivery));
  submitted = wp_engine_submit (engine, call->job, !is_map, &error);
  if (submitted)
    {
      wp_engine_close (engine, call->job);
      if (g_cancellable_is_cancelled (cancellable))
        wp_engine_cancel (engine, call->job);
    }
  wp_engine_unlock (engine);

  if (submitted)
    return;

  call->job->changed = NULL;
  stop_listening (call);
  g_cancellable_disconnect (cancellable, call->handler);
  g_task_return_error (task, g_steal_pointer (&error));
  g_object_unref (task);
}
