/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-task-context-private.h"

#include <poll.h>

#include "channel/wp-process.h"
#include "channel/wp-value.h"
#include "worker/wp-cancel-watch.h"

/**
 * WpTaskContext:
 *
 * What a function can ask about the task it runs.
 *
 * A worker has one context, which it passes to every task: a function may use it until it returns, and must
 * not keep it.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (WpTaskContext, wp_task_context, G_TYPE_OBJECT)

static void
wp_task_context_finalize (GObject *object)
{
  WpTaskContext *self = WP_TASK_CONTEXT (object);

  wp_task_context_close (self);
  wp_task_context_set_worker_state (self, NULL, NULL);
  g_clear_pointer (&self->shared_objects, g_variant_unref);

  G_OBJECT_CLASS (wp_task_context_parent_class)->finalize (object);
}

static void
wp_task_context_class_init (WpTaskContextClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = wp_task_context_finalize;
}

static void
wp_task_context_init (WpTaskContext *self)
{
}

/* What is known without reading. */
static gboolean
is_told (gpointer data)
{
  WpTaskContext *self = data;

  if (self->asked != NULL && g_atomic_int_get (self->asked))
    return TRUE;

  if (self->board != NULL)
    return wp_board_is_cancelled (self->board, self->sequence, self->offset);

  /* Nobody waits for a result any more that has no way to go. */
  return g_atomic_int_get (&self->cancelled) || wp_inbox_has_ended (self->inbox);
}

WpTaskContext *
wp_task_context_new (guint      worker_id,
                     WpBoard   *board,
                     WpInbox   *inbox,
                     WpEmitter *emitter,
                     const int *asked)
{
  WpTaskContext *self = g_object_new (WP_TYPE_TASK_CONTEXT, NULL);

  self->worker_id = worker_id;
  self->board = board;
  self->inbox = inbox;
  self->emitter = emitter;
  self->asked = asked;
  self->thread = g_thread_self ();
  self->generation = wp_process_get_generation ();
  if (inbox != NULL)
    self->watch = wp_cancel_watch_new (board, inbox, is_told, self);

  return self;
}

void
wp_task_context_set_shared_objects (WpTaskContext *self,
                                    GVariant      *shared_objects)
{
  self->shared_objects = shared_objects != NULL ? g_variant_ref (shared_objects) : NULL;
}

void
wp_task_context_close (WpTaskContext *self)
{
  g_clear_pointer (&self->watch, wp_cancel_watch_free);
}

void
wp_task_context_begin (WpTaskContext *self,
                       guint64        sequence,
                       guint          offset,
                       guint64        task_index)
{
  self->sequence = sequence;
  self->offset = offset;
  self->task_index = task_index;
  g_atomic_int_set (&self->cancelled, FALSE);
  self->running = TRUE;
}

void
wp_task_context_end (WpTaskContext *self)
{
  self->running = FALSE;
  /* Those of a task that has ended are not taken for those of the next one. */
  if (self->takes_notes)
    wp_board_clear_notes (self->board);
  if (self->watch != NULL)
    wp_cancel_watch_end (self->watch);
}

void
wp_task_context_cancel (WpTaskContext *self,
                        guint64        sequence,
                        guint          offset)
{
  if (!self->running || self->sequence != sequence || self->offset != offset)
    return;

  g_atomic_int_set (&self->cancelled, TRUE);
  wp_cancel_watch_notice (self->watch);
}

/**
 * wp_task_context_get_worker_id:
 * @self: a task context
 *
 * Gets the number of the worker in its pool.
 *
 * Returns: the number, from 0; it stays the same when the worker is replaced
 *
 * Since: 1.0
 */
guint
wp_task_context_get_worker_id (WpTaskContext *self)
{
  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), 0);

  return self->worker_id;
}

/**
 * wp_task_context_get_task_index:
 * @self: a task context
 *
 * Gets the index of the running task in its batch.
 *
 * Returns: the index, from 0
 *
 * Since: 1.0
 */
guint64
wp_task_context_get_task_index (WpTaskContext *self)
{
  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), 0);

  return self->task_index;
}

/**
 * wp_task_context_is_cancelled:
 * @self: a task context
 *
 * Gets whether the caller wants the running task to end early.
 *
 * A function that runs long asks this now and then and returns as soon as it is `TRUE`; whatever it returns is
 * dropped. One that does not is ended by force after a while, with its worker. The call costs a few
 * nanoseconds on a local worker and a system call on one that is reached over standard streams. Helper
 * threads of the task may call it, but on a worker over standard streams only the thread of the task notices
 * a new cancellation.
 *
 * Returns: `TRUE` when the task should end; `FALSE` when none runs
 *
 * Since: 1.0
 */
gboolean
wp_task_context_is_cancelled (WpTaskContext *self)
{
  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), FALSE);

  if (!self->running)
    return FALSE;

  if (is_told (self))
    return TRUE;

  if (self->board != NULL || self->thread != g_thread_self ())
    return FALSE;

  wp_inbox_poll (self->inbox);
  return is_told (self);
}

/**
 * wp_task_context_get_cancellable:
 * @self: a task context
 *
 * Gets a cancellable that is cancelled when the caller wants the running task to end early: for the calls of GIO that
 * the task makes.
 *
 * It says the same as [method@TaskContext.is_cancelled], and reaches a task that is blocked in such a call. Each task
 * has its own, which is never cancelled for another one; it stays as it is once the task has ended. The worker has a
 * thread that watches from the first time that one of its tasks calls this; handlers of
 * [signal@Gio.Cancellable::cancelled] run in that thread. Call this in the thread of the task.
 *
 * Returns: (transfer none) (nullable): the cancellable of the running task; `NULL` when none runs, in a process
 *   that the task has forked, and while a fork server preloads a module
 *
 * Since: 1.0
 */
GCancellable *
wp_task_context_get_cancellable (WpTaskContext *self)
{
  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), NULL);

  return self->running && self->watch != NULL ? wp_cancel_watch_get (self->watch) : NULL;
}

const char *
wp_task_context_get_obstacle (WpTaskContext *self,
                              GIOErrorEnum  *code)
{
  *code = G_IO_ERROR_CLOSED;
  if (!self->running || self->emitter == NULL)
    return "no task is running; a function can talk to the pool until it returns";

  if (self->generation != wp_process_get_generation ())
    return "this process was forked by the task, and only the worker itself can talk to the pool";

  *code = G_IO_ERROR_NOT_SUPPORTED;
  if (self->thread != g_thread_self ())
    return "this is another thread than the one that runs the task; hand the value over to that one";

  return NULL;
}

static gboolean
set_emit_error (GError    **error,
                GIOErrorEnum code,
                const char *why)
{
  g_set_error (error, G_IO_ERROR, code, "The event was not sent: %s", why);
  return FALSE;
}

static gboolean
may_emit (WpTaskContext *self,
          GVariant      *value,
          GError       **error)
{
  GIOErrorEnum code;
  const char *why;

  if (value == NULL)
    return set_emit_error (error, G_IO_ERROR_INVALID_ARGUMENT, "it has no value");

  why = wp_task_context_get_obstacle (self, &code);

  return why == NULL || set_emit_error (error, code, why);
}

/* The pool answers a cancellation on the channel, too, when the task's events are listened to. */
static gboolean
wait_for_credit (WpTaskContext *self,
                 GError       **error)
{
  struct pollfd input = { .fd = wp_inbox_get_fd (self->inbox), .events = POLLIN };

  while (TRUE)
    {
      wp_inbox_poll (self->inbox);
      if (is_told (self))
        return set_emit_error (error, G_IO_ERROR_CANCELLED, "the task is cancelled");
      if (wp_inbox_has_ended (self->inbox))
        return set_emit_error (error, G_IO_ERROR_CLOSED, "the channel to the pool is closed");
      if (wp_emitter_has_credit (self->emitter))
        return TRUE;

      poll (&input, 1, -1);
    }
}

/**
 * wp_task_context_emit:
 * @self: a task context
 * @value: what to tell; a floating reference is consumed
 * @error: return location for an error
 *
 * Sends an event to whoever called the running task: its progress, or a part of its result.
 *
 * The events of a task arrive in order, and before its result: as [signal@Batch::event], and at the callback of
 * [method@TaskOptions.set_event_callback]. They are sent at once. When nobody listened as the task was sent to the
 * worker, the call costs nothing and does nothing.
 *
 * A worker may be ahead of its receiver by 128 events, or by a mebibyte and one event; then the call waits until
 * the receiver has taken some. The wait ends when the task is cancelled. Events that nobody can take, because the
 * thread that would is waiting for the pool, are discarded instead.
 *
 * Events are not a part of the result: those of a task whose worker dies may have arrived or not, and come again when
 * it runs again.
 *
 * Errors: `G_IO_ERROR_CANCELLED` when the task should end; `G_IO_ERROR_INVALID_ARGUMENT` when @value cannot be sent;
 * `G_IO_ERROR_MESSAGE_TOO_LARGE` when it is too large for the channel; `G_IO_ERROR_NOT_SUPPORTED` in another thread
 * than the task's; `G_IO_ERROR_CLOSED` when no task runs, in a process that the task has forked, and when the pool is
 * gone.
 *
 * Returns: `TRUE` when the event is on its way, or nobody wants it
 *
 * Since: 1.0
 */
gboolean
wp_task_context_emit (WpTaskContext *self,
                      GVariant      *value,
                      GError       **error)
{
  g_autoptr (GVariant) owned = value != NULL ? g_variant_ref_sink (value) : NULL;
  const char *flaw;
  gboolean ready;

  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!may_emit (self, owned, error))
    return FALSE;
  if (!wp_emitter_is_heard (self->emitter))
    return TRUE;

  flaw = wp_value_get_flaw (owned);
  if (flaw != NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "The event was not sent: its value %s", flaw);
      return FALSE;
    }

  if (wp_task_context_is_cancelled (self))
    return set_emit_error (error, G_IO_ERROR_CANCELLED, "the task is cancelled");

  if (!wp_emitter_has_credit (self->emitter))
    {
      wp_cancel_watch_suspend (self->watch);
      ready = wait_for_credit (self, error);
      wp_cancel_watch_resume (self->watch);
      if (!ready)
        return FALSE;
    }

  return wp_emitter_send (self->emitter, self->sequence, self->offset, owned, error);
}

/**
 * wp_task_context_get_shared_objects:
 * @self: a task context
 *
 * Gets what the owner has given to all workers of the pool, as [property@WorkerPool:shared-objects].
 *
 * Workers that are processes of this machine see one copy of it in memory that nobody can change; those that are
 * threads have the very object that the owner has set. It costs nothing to ask for it in each task, nor to take
 * children of it.
 *
 * Returns: (transfer none) (nullable): the value, or `NULL` when the pool has none
 *
 * Since: 1.0
 */
GVariant *
wp_task_context_get_shared_objects (WpTaskContext *self)
{
  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), NULL);

  return self->shared_objects;
}

/**
 * wp_task_context_get_notes:
 * @self: a task context
 * @size: (out) (optional): how many bytes there are
 *
 * Gets memory in which the running task can leave notes, for whoever learns that it has died.
 *
 * It is shared with the pool. When the worker dies while the task runs, or is ended because the task takes too long, a
 * copy of the notes is part of the task's result: [method@Result.get_notes]. What the notes say, and when they may be
 * read while they are being written, is a matter between the two ends; the library never looks at them. The memory is
 * the same for all tasks of a worker, 64 KiB at a multiple of 4096 bytes. Its first 64 bytes are zero when a task
 * starts; the others are what an earlier task may have left.
 *
 * In languages other than C it is a number, the address.
 *
 * Returns: (type gsize): the memory, which is the worker's; `NULL` on a worker that cannot share any with its pool,
 *   because it is reached over standard streams, and when no task runs
 *
 * Since: 1.0
 */
gpointer
wp_task_context_get_notes (WpTaskContext *self,
                           gsize         *size)
{
  gboolean available;

  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), NULL);

  available = self->running && self->board != NULL;
  if (size != NULL)
    *size = available ? WP_BOARD_NOTES_SIZE : 0;
  if (!available)
    return NULL;

  self->takes_notes = TRUE;

  return wp_board_get_notes (self->board);
}

/**
 * wp_task_context_get_worker_state: (skip)
 * @self: a task context
 *
 * Gets what an earlier task of this worker has left for the next ones.
 *
 * Returns: (transfer none) (nullable): the state; `NULL` in a worker that has just started
 *
 * Since: 1.0
 */
gpointer
wp_task_context_get_worker_state (WpTaskContext *self)
{
  g_return_val_if_fail (WP_IS_TASK_CONTEXT (self), NULL);

  return self->worker_state;
}

/**
 * wp_task_context_set_worker_state: (skip)
 * @self: a task context
 * @state: (nullable): what the next tasks of this worker find
 * @destroy: (nullable): frees @state when it is replaced or the worker ends in order
 *
 * Keeps something in this worker for the tasks that come: a connection, a model, a cache.
 *
 * It belongs to this worker alone, also where workers are threads of one process, so that it needs no lock. A worker
 * that takes the place of one that died starts without. Call this in the thread of the task.
 *
 * Since: 1.0
 */
void
wp_task_context_set_worker_state (WpTaskContext *self,
                                  gpointer       state,
                                  GDestroyNotify destroy)
{
  GDestroyNotify destroy_before;
  gpointer before;

  g_return_if_fail (WP_IS_TASK_CONTEXT (self));

  before = self->worker_state;
  destroy_before = self->destroy_worker_state;
  self->worker_state = state;
  self->destroy_worker_state = destroy;

  if (destroy_before != NULL && before != NULL)
    destroy_before (before);
}
