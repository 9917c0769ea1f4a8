/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-engine-events.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-payload.h"
#include "pool/wp-engine-private.h"

/* A receiver that has a full window of events and takes none of them for so long, while a thread waits for the pool, is
 * not going to. */
#define STALL_NS G_GINT64_CONSTANT (1000000000)

typedef struct
{
  guint64 index;
  GVariant *value;
  gsize size;  /* as it came */
  guint worker; /* that waits for credit for it, or WP_NO_WORKER */
} Event;

/* What one worker has sent and got no credit for; and the part of it that was taken. Credit is given for half a window
 * at once. */
typedef struct
{
  guint n_sent;
  guint64 bytes_sent;
  guint n_taken;
  guint64 bytes_taken;
} Window;

struct _WpJobEvents
{
  WpEventReceiver receiver;
  gboolean listening;
  GThread *thread;  /* that receives, as far as it is known */
  GThread *handler; /* that runs a handler now */

  GQueue queue; /* Event */
  /* Of those the ones for which credit was given all the same, or whose worker is gone. */
  guint n_forgiven;
  guint64 bytes_forgiven;

  Window *windows; /* n_jobs; NULL until the first event */
  guint n_windows;
  gint64 full_since; /* since then a worker has had no credit left, and nothing was taken; 0: all have some */
  gboolean stalled;
};

static void
event_free (gpointer data)
{
  Event *event = data;

  g_variant_unref (event->value);
  g_free (event);
}

void
wp_job_events_free (WpJobEvents *self)
{
  g_queue_clear_full (&self->queue, event_free);
  g_free (self->windows);
  g_free (self);
}

/* Credit */

static gboolean
is_full (const Window *window)
{
  return window->n_sent >= WP_EVENT_WINDOW || window->bytes_sent >= WP_EVENT_WINDOW_BYTES;
}

static gboolean
has_full_window (WpJobEvents *events)
{
  for (guint i = 0; i < events->n_windows; i++)
    if (is_full (&events->windows[i]))
      return TRUE;

  return FALSE;
}

static void
give_credit (WpEngine *self, WpJob *job, guint worker, guint n, guint64 bytes)
{
  WpLink *link = self->links[worker];
  Window *window = &job->events->windows[worker];
  const WpCreditHead credit = { .n_events = n, .n_bytes = bytes };
  g_autoptr (GError) error = NULL;

  window->n_sent -= n;
  window->bytes_sent -= bytes;
  window->n_taken = 0;
  window->bytes_taken = 0;

  if (link->channel == NULL || !link->reading)
    return;

  if (!wp_link_send_credit (link, job->number, &credit, &error))
    wp_engine_end_deaf (self, link, error);
  wp_engine_update_polling (self, link);
}

static void
note_taken (WpEngine *self, WpJob *job, guint worker, gsize size)
{
  Window *window = &job->events->windows[worker];

  window->n_taken++;
  window->bytes_taken += size;
  if (window->n_taken >= WP_EVENT_WINDOW / 2 || window->bytes_taken >= WP_EVENT_WINDOW_BYTES / 2)
    give_credit (self, job, worker, window->n_taken, window->bytes_taken);
}

/* Gives all credit back. */
static void
settle (WpEngine *self, WpJob *job)
{
  for (guint i = 0; i < job->events->n_windows; i++)
    {
      const Window window = job->events->windows[i];

      if (window.n_sent > 0)
        give_credit (self, job, i, window.n_sent, window.bytes_sent);
    }

  job->events->full_since = 0;
}

/* Keeps events of one worker, or of all, without credit; no more of them than all windows would hold. */
static void
forgive (WpEngine *self, WpJob *job, guint worker)
{
  WpJobEvents *events = job->events;

  for (GList *l = events->queue.head, *next; l != NULL; l = next)
    {
      Event *event = l->data;

      next = l->next;
      if (event->worker == WP_NO_WORKER || (worker != WP_NO_WORKER && event->worker != worker))
        continue;

      event->worker = WP_NO_WORKER;
      if (events->n_forgiven >= self->config.n_jobs * WP_EVENT_WINDOW ||
          events->bytes_forgiven >= (guint64) self->config.n_jobs * WP_EVENT_WINDOW_BYTES)
        {
          event_free (event);
          g_queue_delete_link (&events->queue, l);
          continue;
        }
      events->n_forgiven++;
      events->bytes_forgiven += event->size;
    }
}

/* Whether somebody can take events */

static gboolean
is_blocked (WpEngine *self, WpJob *job)
{
  for (guint i = 0; i < self->waiters->len; i++)
    {
      const WpEngineWaiter *waiter = &g_array_index (self->waiters, WpEngineWaiter, i);

      if (waiter->own != job && (waiter->thread == job->events->thread || waiter->thread == job->events->handler))
        return TRUE;
    }

  return FALSE;
}

static gboolean
discards (WpEngine *self, WpJob *job)
{
  return !job->events->listening || job->cancelled || job->events->stalled || is_blocked (self, job);
}

/* A worker may be waiting for credit that nobody earns it. */
static void
let_go_on (WpEngine *self, WpJob *job)
{
  if (!has_full_window (job->events) || !discards (self, job))
    return;

  forgive (self, job, WP_NO_WORKER);
  settle (self, job);
}

static gboolean
may_stall (WpEngine *self)
{
  return self->waiters->len > 0 || self->state == ENGINE_DRAINING;
}

gint64
wp_engine_check_events (WpEngine *self, gint64 now)
{
  gint64 next = G_MAXINT64;

  if (self->listeners.length == 0 || !may_stall (self))
    return next;

  for (GList *l = self->listeners.head; l != NULL; l = l->next)
    {
      WpJob *job = l->data;
      WpJobEvents *events = job->events;
      gint64 due = events->full_since + STALL_NS;

      if (events->full_since == 0)
        continue;

      /* A handler takes the time it needs. */
      if (due <= now && events->handler != NULL)
        due = now + STALL_NS;
      if (due > now)
        {
          next = MIN (next, due);
          continue;
        }

      events->stalled = TRUE;
      let_go_on (self, job);
    }

  return next;
}

static void
watch_for_stall (WpEngine *self)
{
  if (self->listeners.length > 0 && may_stall (self))
    wp_engine_wake_at (self, wp_engine_check_events (self, 0));
}

void
wp_engine_begin_wait (WpEngine *self, WpJob *own)
{
  const WpEngineWaiter waiter = { g_thread_self (), own };

  g_array_append_val (self->waiters, waiter);
  for (GList *l = self->listeners.head; l != NULL; l = l->next)
    let_go_on (self, l->data);
  watch_for_stall (self);
}

void
wp_engine_end_wait (WpEngine *self, WpJob *own)
{
  for (guint i = self->waiters->len; i-- > 0;)
    {
      const WpEngineWaiter *waiter = &g_array_index (self->waiters, WpEngineWaiter, i);

      if (waiter->thread == g_thread_self () && waiter->own == own)
        {
          g_array_remove_index_fast (self->waiters, i);
          return;
        }
    }
}

void
wp_engine_drain_events (WpEngine *self)
{
  watch_for_stall (self);
}

/* The receiver */

/* The thread that iterates the context, as far as it can be told before it does. */
static GThread *
find_thread (GMainContext *context)
{
  GMainContext *own = g_main_context_get_thread_default ();
  const gboolean is_first_thread = syscall (SYS_gettid) == getpid ();

  if (context == NULL || g_main_context_is_owner (context) || context == own ||
      (own == NULL && is_first_thread && context == g_main_context_default ()))
    return g_thread_self ();

  return NULL;
}

void
wp_engine_listen (WpEngine              *self,
                  WpJob                 *job,
                  const WpEventReceiver *receiver,
                  GMainContext          *context)
{
  g_assert (job->events == NULL);

  job->events = g_new0 (WpJobEvents, 1);
  job->events->receiver = *receiver;
  job->events->listening = TRUE;
  job->events->thread = find_thread (context);
  g_queue_init (&job->events->queue);
  g_queue_push_tail (&self->listeners, job);
}

static void
forget_listener (WpEngine *self, WpJob *job)
{
  g_queue_remove (&self->listeners, job);
  settle (self, job);
}

void
wp_engine_unlisten (WpEngine *self, WpJob *job)
{
  if (job->events == NULL || !job->events->listening)
    return;

  job->events->listening = FALSE;
  job->events->receiver = (WpEventReceiver){ NULL };
  g_queue_clear_full (&job->events->queue, event_free);
  forget_listener (self, job);
}

/* Every event was taken, and no other one can come: workers forget the stream. */
void
wp_engine_end_events (WpEngine *self, WpJob *job)
{
  if (job->events != NULL && job->events->listening && job->ended && g_queue_is_empty (&job->events->queue))
    forget_listener (self, job);
}

guint64
wp_engine_get_stream (WpJob *job)
{
  const WpJobEvents *events = job->events;

  if (events == NULL || !events->listening || job->cancelled ||
      (events->receiver.is_heard != NULL && !events->receiver.is_heard (events->receiver.data)))
    return 0;

  return job->number;
}

gboolean
wp_engine_has_events (WpJob *job)
{
  return job->events != NULL && !g_queue_is_empty (&job->events->queue);
}

gboolean
wp_engine_receives_here (WpJob *job)
{
  return job->events != NULL && job->events->thread == g_thread_self ();
}

static GVariant *
take_event (WpEngine *self, WpJob *job, guint64 *index)
{
  WpJobEvents *events = job->events;
  g_autofree Event *event = g_queue_pop_head (&events->queue);

  if (event == NULL)
    return NULL;

  if (event->worker != WP_NO_WORKER)
    note_taken (self, job, event->worker, event->size);
  else
    {
      events->n_forgiven--;
      events->bytes_forgiven -= event->size;
    }

  events->stalled = FALSE;
  if (events->full_since != 0)
    events->full_since = has_full_window (events) ? wp_engine_now () : 0;

  *index = event->index;
  return event->value;
}

void
wp_engine_hand_out (WpEngine *self, WpJob *job, WpEventHandler handler, gpointer data)
{
  GVariant *value;
  guint64 index;
  guint n;

  wp_engine_lock (self);
  if (job->events == NULL)
    {
      wp_engine_unlock (self);
      return;
    }

  /* A handler that iterates the main context finds the next one at the front. */
  job->events->thread = g_thread_self ();
  for (n = job->events->queue.length; n > 0 && (value = take_event (self, job, &index)) != NULL; n--)
    {
      GThread *before = job->events->handler;

      job->events->handler = g_thread_self ();
      wp_engine_unlock (self);

      handler (index, value, data);
      g_variant_unref (value);

      wp_engine_lock (self);
      job->events->handler = before;
    }
  wp_engine_end_events (self, job);
  wp_engine_unlock (self);
}

/* What workers send */

/* NULL: malformed. */
static GVariant *
read_value (GBytes *body, GError **error)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) malformed = NULL;
  WpRecord record;

  wp_payload_reader_init (&reader, body, FALSE);
  if (wp_payload_reader_next (&reader, &record, &malformed) && !record.is_error)
    value = wp_payload_reader_get_value (&reader, &record);
  if (value != NULL && !wp_payload_reader_next (&reader, &record, &malformed) && malformed == NULL)
    return g_steal_pointer (&value);

  if (malformed != NULL)
    g_propagate_error (error, g_steal_pointer (&malformed));
  else
    g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "sent an event that is not one value");
  return NULL;
}

/* Takes the value. FALSE: there is no credit for it. */
static gboolean
add_event (WpEngine *self, WpLink *link, WpJob *job, guint64 index, GVariant *value, gsize size)
{
  WpJobEvents *events = job->events;
  g_autoptr (GVariant) owned = value;
  Window *window;
  Event *event;

  if (events->windows == NULL)
    {
      events->n_windows = self->config.n_jobs;
      events->windows = g_new0 (Window, events->n_windows);
    }

  window = &events->windows[link->id];
  if (is_full (window))
    return FALSE;

  window->n_sent++;
  window->bytes_sent += size;
  if (!events->listening || job->cancelled)
    {
      note_taken (self, job, link->id, size);
      /* With what was there before. */
      let_go_on (self, job);
      return TRUE;
    }

  event = g_new (Event, 1);
  event->index = index;
  event->value = g_steal_pointer (&owned);
  event->size = size;
  event->worker = link->id;
  g_queue_push_tail (&events->queue, event);
  if (is_full (window))
    {
      if (events->full_since == 0)
        events->full_since = wp_engine_now ();
      let_go_on (self, job);
      watch_for_stall (self);
    }

  if (events->receiver.arrived != NULL)
    events->receiver.arrived (events->receiver.data);
  wp_engine_wake_waiting (self, job);

  return TRUE;
}

gboolean
wp_engine_take_event (WpEngine *self, WpLink *link, guint64 sequence, guint offset, GBytes *body, GError **error)
{
  g_autoptr (GVariant) value = read_value (body, error);
  const char *breach = NULL;
  WpHeldChunk chunk;

  if (value == NULL)
    return FALSE;

  wp_engine_lock (self);
  if (self->state != ENGINE_TERMINATED && self->state != ENGINE_STOPPED)
    {
      /* Results go before the events of the next task, so that only one task can have any. */
      if (!wp_engine_find_held (self, link->id, sequence, &chunk) || chunk.tag == NULL ||
          offset >= chunk.n_tasks || offset != chunk.n_results)
        breach = "which it does not run";
      else if (((WpJob *) chunk.tag)->events == NULL)
        breach = "whose events nobody wants";
      else if (!add_event (self, link, chunk.tag, chunk.first + offset, g_steal_pointer (&value),
                           g_bytes_get_size (body)))
        breach = "which has no credit for it";
    }
  wp_engine_unlock (self);

  if (breach == NULL)
    return TRUE;

  g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL, "sent an event of task %u of chunk %" G_GUINT64_FORMAT ", %s",
               offset, sequence, breach);
  return FALSE;
}

void
wp_engine_forget_sender (WpEngine *self, WpLink *link)
{
  for (GList *l = self->listeners.head; l != NULL; l = l->next)
    {
      WpJob *job = l->data;

      if (job->events->windows == NULL)
        continue;

      forgive (self, job, link->id);
      job->events->windows[link->id] = (Window){ 0 };
    }
}
