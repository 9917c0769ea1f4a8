/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-delivery.h"

#include "channel/wp-process.h"

/* One dispatch delivers no longer than this, so that a pile of results does not take a frame from
 * a window that is being drawn: at 60 Hz a frame has 16 ms. */
#define DISPATCH_MAX_US 4000

typedef struct
{
  WpDeliveryFunc func;
  gpointer data;
  GDestroyNotify destroy;
} Call;

/* The calls that wait. The source that is attached while there are any holds only these and not the delivery, which
 * holds the context: a context that is never iterated again must not be kept alive by what waits in it. */
typedef struct
{
  gatomicrefcount ref_count;

  GMutex lock;
  GArray *calls; /* Call */
  guint n_done;  /* of calls, from the front */
  gboolean attached;
  guint generation; /* of the process that it is for */
} CallQueue;

struct _WpDelivery
{
  gatomicrefcount ref_count;
  GMainContext *context;
  CallQueue *queue;
};

typedef struct
{
  GSource source;
  CallQueue *queue;
} DeliverySource;

static void
drop_call (const Call *call)
{
  if (call->destroy != NULL)
    call->destroy (call->data);
}

static CallQueue *
call_queue_new (void)
{
  CallQueue *self = g_new0 (CallQueue, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->generation = wp_process_get_generation ();
  self->calls = g_array_new (FALSE, FALSE, sizeof (Call));

  return self;
}

static CallQueue *
call_queue_ref (CallQueue *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
call_queue_unref (CallQueue *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  for (guint i = self->n_done; i < self->calls->len; i++)
    drop_call (&g_array_index (self->calls, Call, i));
  g_array_unref (self->calls);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static gboolean
call_queue_take (CallQueue *self, Call *call)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  if (self->n_done == self->calls->len)
    {
      g_array_set_size (self->calls, 0);
      self->n_done = 0;
      self->attached = FALSE;
      return FALSE;
    }

  *call = g_array_index (self->calls, Call, self->n_done++);
  return TRUE;
}

static gboolean
delivery_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  CallQueue *queue = ((DeliverySource *) source)->queue;
  gint64 end = g_get_monotonic_time () + DISPATCH_MAX_US;
  Call call;

  /* A copy of the process that iterates the context which it has inherited. */
  if (queue->generation != wp_process_get_generation ())
    return G_SOURCE_REMOVE;

  do
    {
      if (!call_queue_take (queue, &call))
        return G_SOURCE_REMOVE;

      call.func (call.data);
    }
  while (g_get_monotonic_time () < end);

  return G_SOURCE_CONTINUE;
}

static void
delivery_source_finalize (GSource *source)
{
  CallQueue *queue = ((DeliverySource *) source)->queue;

  if (queue->generation == wp_process_get_generation ())
    call_queue_unref (queue);
}

static GSourceFuncs delivery_source_funcs = {
  .dispatch = delivery_source_dispatch,
  .finalize = delivery_source_finalize,
};

static void
attach (WpDelivery *self)
{
  g_autoptr (GSource) source = g_source_new (&delivery_source_funcs, sizeof (DeliverySource));

  ((DeliverySource *) source)->queue = call_queue_ref (self->queue);
  g_source_set_static_name (source, "WorkerPool results");
  g_source_set_ready_time (source, 0);
  /* A callback that runs a nested main loop must still get the results it waits for. */
  g_source_set_can_recurse (source, TRUE);
  g_source_attach (source, self->context);
}

WpDelivery *
wp_delivery_new (GMainContext *context)
{
  WpDelivery *self = g_new0 (WpDelivery, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->context = context != NULL ? g_main_context_ref (context)
                                  : g_main_context_ref (g_main_context_default ());
  self->queue = call_queue_new ();

  return self;
}

WpDelivery *
wp_delivery_ref (WpDelivery *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
wp_delivery_unref (WpDelivery *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  call_queue_unref (self->queue);
  g_main_context_unref (self->context);
  g_free (self);
}

GMainContext *
wp_delivery_get_context (WpDelivery *self)
{
  return self->context;
}

void
wp_delivery_post (WpDelivery *self, WpDeliveryFunc func, gpointer data, GDestroyNotify destroy)
{
  const Call call = { func, data, destroy };
  gboolean was_attached;

  g_mutex_lock (&self->queue->lock);
  g_array_append_val (self->queue->calls, call);
  was_attached = self->queue->attached;
  self->queue->attached = TRUE;
  g_mutex_unlock (&self->queue->lock);

  if (!was_attached)
    attach (self);
}

static gboolean
run_timed_call (gpointer user_data)
{
  Call *call = user_data;

  call->destroy = NULL;
  call->func (call->data);
  return G_SOURCE_REMOVE;
}

static void
timed_call_free (gpointer user_data)
{
  Call *call = user_data;

  drop_call (call);
  g_free (call);
}

static gboolean
timed_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs timed_source_funcs = {
  .dispatch = timed_source_dispatch,
};

void
wp_delivery_post_at (WpDelivery     *self,
                     gint64          time,
                     WpDeliveryFunc  func,
                     gpointer        data,
                     GDestroyNotify  destroy)
{
  const Call call = { func, data, destroy };
  g_autoptr (GSource) source = g_source_new (&timed_source_funcs, sizeof (GSource));

  g_source_set_callback (source, run_timed_call, g_memdup2 (&call, sizeof call), timed_call_free);
  g_source_set_ready_time (source, time);
  g_source_set_static_name (source, "WorkerPool progress");
  g_source_attach (source, self->context);
}
