/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-worker-state.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-process.h"
#include "worker/wp-owner-watch.h"
#include "worker/wp-placement.h"
#include "worker/wp-program.h"
#include "worker/wp-task.h"
#include "worker/wp-task-context-private.h"
#include "worker/wp-worker-setup.h"

/**
 * WpWorker:
 *
 * The worker's side of a pool: runs the tasks that the pool sends to this process.
 *
 * A C program that registers functions and wants to be its own host needs only this at the start of its main
 * function, before it opens a display or parses its command line:
 *
 * ```c
 * wp_register_function ("thumbnail", make_thumbnail, NULL, NULL);
 * if (wp_worker_is_requested ())
 *   return wp_worker_main ();
 * ```
 *
 * A worker ends when its owner dies, whatever it is doing: first the pools that its tasks have made, then every process
 * of the group that it leads. It ignores SIGINT, which a terminal sends to the owner too.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (WpWorker, wp_worker, G_TYPE_OBJECT)

gint64
wp_worker_get_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);

  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static void
wp_worker_finalize (GObject *object)
{
  WpWorker *self = WP_WORKER (object);

  g_clear_pointer (&self->chunk, wp_chunk_run_free);
  if (self->context != NULL)
    wp_task_context_close (self->context);
  g_clear_object (&self->context);
  g_clear_pointer (&self->shared_objects, g_variant_unref);
  g_clear_pointer (&self->inbox, wp_inbox_free);
  g_clear_pointer (&self->emitter, wp_emitter_free);
  g_clear_pointer (&self->outbox, wp_outbox_free);
  g_clear_pointer (&self->board, wp_board_free);
  g_clear_pointer (&self->channel, wp_channel_free);
  g_free (self->init_function);
  g_free (self->exit_function);

  G_OBJECT_CLASS (wp_worker_parent_class)->finalize (object);
}

static void
wp_worker_class_init (WpWorkerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = wp_worker_finalize;
}

static void
wp_worker_init (WpWorker *self)
{
  wp_memory_watch_init (&self->memory, 0);
  self->generation = wp_process_get_generation ();
}

gboolean
wp_worker_set_protocol_error (GError    **error,
                              const char *what)
{
  g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL, "The pool broke the protocol: it sent %s", what);
  return FALSE;
}

static gboolean
handle_cancel (WpWorker      *self,
               const WpFrame *frame,
               GError       **error)
{
  WpTaskHead head;

  if (!wp_task_head_decode (&head, frame->head, frame->header.head_length, error))
    return FALSE;

  wp_task_context_cancel (self->context, frame->header.sequence, head.offset);

  return TRUE;
}

gboolean
wp_worker_send_payload (WpWorker        *self,
                        WpFrameType      type,
                        WpPayloadWriter *writer,
                        GError         **error)
{
  g_autoptr (GPtrArray) body = wp_payload_writer_finish (writer);
  WpFrameHeader header = { .type = type };

  return wp_channel_send (self->channel, &header, NULL, body, -1, error);
}

/* A worker that has more memory than it should asks to be replaced. The pool then takes back what has not started, and
 * stops it. */
gboolean
wp_worker_look_at_memory (WpWorker *self,
                          gint64    now,
                          GError  **error)
{
  const guint64 size = wp_memory_watch_look (&self->memory, now);
  g_autoptr (WpPayloadWriter) writer = NULL;
  g_autoptr (GVariant) value = NULL;

  self->n_looked_at = self->n_finished;
  if (size == 0)
    return TRUE;

  self->retiring = TRUE;
  writer = wp_payload_writer_new ();
  value = g_variant_ref_sink (g_variant_new_uint64 (size));
  wp_payload_writer_add (writer, value);

  return wp_outbox_flush (self->outbox, now, error) && wp_worker_send_payload (self, WP_FRAME_RETIRE, writer, error);
}

static gboolean
handle_credit (WpWorker      *self,
               const WpFrame *frame,
               GError       **error)
{
  WpCreditHead credit;

  if (!wp_credit_head_decode (&credit, frame->head, frame->header.head_length, error))
    return FALSE;

  return wp_emitter_add_credit (self->emitter, frame->header.sequence, &credit) ||
         wp_worker_set_protocol_error (error, "credit for events that it was not sent");
}

/* The inbox's: other frames wait until the task has ended. */
static gboolean
handle_early (const WpFrame *frame,
              gpointer       data,
              GError       **error)
{
  if (frame->header.type == WP_FRAME_CANCEL)
    handle_cancel (data, frame, error);
  else if (frame->header.type == WP_FRAME_CREDIT)
    handle_credit (data, frame, error);
  else
    return FALSE;

  return TRUE;
}

/* Waits for the next frame; nothing that the pool waits for is held back meanwhile. */
gboolean
wp_worker_next_frame (WpWorker *self,
            WpFrame  *frame,
            GError  **error)
{
  GError *read_error = NULL;

  while (!wp_inbox_take (self->inbox, frame, &read_error))
    {
      if (read_error != NULL)
        {
          g_propagate_error (error, read_error);
          return FALSE;
        }

      if (self->outbox != NULL && !wp_outbox_flush (self->outbox, wp_worker_get_now (), error))
        return FALSE;
      if (self->n_looked_at != self->n_finished && self->memory.look_at != G_MAXINT64 &&
          !wp_worker_look_at_memory (self, wp_worker_get_now (), error))
        return FALSE;
      wp_channel_wait_input (self->channel, -1);
    }

  return TRUE;
}

/* Above its tasks, and below its owner. */
static gboolean
take_place (WpWorker *self,
            gboolean  daemonic,
            GError  **error)
{
  wp_process_set_depth (self->depth + 1, self->is_thread);

  if (self->is_thread)
    {
      wp_process_set_thread_daemonic (daemonic);
      return TRUE;
    }

  wp_process_set_daemonic (daemonic);
  if (self->owner == 0 || !wp_owner_watch_start (self->owner, wp_channel_get_input_fd (self->channel)))
    return TRUE;

  /* It may have ended just before. */
  return wp_worker_setup_check_owner (self->owner, error);
}

/* The values of the pool are without a flaw: it has checked them, and here nobody has to walk over them. */
static gboolean
receive_shared_objects (WpWorker *self,
                        GError  **error)
{
  g_auto (WpFrame) frame = { 0 };
  g_auto (WpPayloadReader) reader = { NULL };
  GError *read_error = NULL;
  WpRecord record;

  if (!wp_worker_next_frame (self, &frame, error))
    return FALSE;
  if (frame.header.type != WP_FRAME_OBJECTS)
    return wp_worker_set_protocol_error (error, "something else than the shared objects");

  wp_payload_reader_init (&reader, frame.body, TRUE);
  if (!wp_payload_reader_next (&reader, &record, &read_error))
    {
      if (read_error == NULL)
        return wp_worker_set_protocol_error (error, "no shared objects");

      g_propagate_error (error, read_error);
      return FALSE;
    }

  self->shared_objects = wp_payload_reader_get_value (&reader, &record);

  return TRUE;
}

static gboolean
apply_settings (WpWorker      *self,
                const WpFrame *frame,
                GError       **error)
{
  g_auto (WpPayloadReader) reader = { NULL };
  g_autoptr (GVariant) settings = NULL;
  g_autoptr (GVariant) cpu_ids = NULL;
  gboolean has_objects = FALSE;
  guint64 soft_memory_limit = 0;
  gboolean daemonic = TRUE;
  int io_priority = 0;
  int oom_score_adj = 0;
  int nice = 0;
  GError *read_error = NULL;
  WpRecord record;

  wp_payload_reader_init (&reader, frame->body, FALSE);
  if (!wp_payload_reader_next (&reader, &record, &read_error))
    {
      if (read_error == NULL)
        return wp_worker_set_protocol_error (error, "no settings");

      g_propagate_error (error, read_error);
      return FALSE;
    }

  settings = wp_payload_reader_get_value (&reader, &record);
  if (record.is_error || !g_variant_is_of_type (settings, G_VARIANT_TYPE_VARDICT))
    return wp_worker_set_protocol_error (error, "settings of an unknown type");

  g_variant_lookup (settings, WP_CONFIGURE_WORKER_ID, "u", &self->id);
  g_variant_lookup (settings, WP_CONFIGURE_DAEMON, "b", &daemonic);
  g_variant_lookup (settings, WP_CONFIGURE_DEPTH, "u", &self->depth);
  g_variant_lookup (settings, WP_CONFIGURE_NICE, "i", &nice);
  g_variant_lookup (settings, WP_CONFIGURE_IO_PRIORITY, "i", &io_priority);
  g_variant_lookup (settings, WP_CONFIGURE_OOM, "i", &oom_score_adj);
  g_variant_lookup (settings, WP_CONFIGURE_TIMED, "b", &self->timed);
  g_variant_lookup (settings, WP_CONFIGURE_OBJECTS, "b", &has_objects);
  g_variant_lookup (settings, WP_CONFIGURE_SOFT_MEMORY, "t", &soft_memory_limit);
  g_variant_lookup (settings, WP_CONFIGURE_HARD_MEMORY, "t", &self->hard_memory_limit);
  wp_memory_watch_init (&self->memory, soft_memory_limit);
  g_variant_lookup (settings, WP_CONFIGURE_INIT, "s", &self->init_function);
  g_variant_lookup (settings, WP_CONFIGURE_EXIT, "s", &self->exit_function);
  cpu_ids = g_variant_lookup_value (settings, WP_CONFIGURE_CPU_IDS, G_VARIANT_TYPE ("au"));
  /* The process of a thread is its owner's. */
  wp_placement_apply (nice, io_priority, self->is_thread ? 0 : oom_score_adj, cpu_ids);

  return take_place (self, daemonic, error) && (!has_objects || receive_shared_objects (self, error));
}

static gboolean
send_ready (WpWorker *self,
            GError  **error)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) facts = NULL;
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);

  g_variant_dict_insert (&dict, WP_READY_PID, "i", (gint32) getpid ());
  facts = g_variant_ref_sink (g_variant_dict_end (&dict));
  wp_payload_writer_add (writer, facts);

  return wp_worker_send_payload (self, WP_FRAME_READY, writer, error);
}

/* Instead of what the pool would say of the exit. Takes the reason. */
static gboolean
refuse_to_run (WpWorker *self,
               GError   *reason,
               GError  **error)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();

  wp_payload_writer_add_error (writer, reason);
  wp_worker_send_payload (self, WP_FRAME_READY, writer, NULL);
  g_propagate_error (error, reason);

  return FALSE;
}

/* The first frame says what this worker is, and brings the board. */
gboolean
wp_worker_configure (WpWorker *self,
           GError  **error)
{
  g_auto (WpFrame) frame = { 0 };
  GError *receive_error = NULL;
  GError *limit_error = NULL;
  int board_fd = -1;

  while (!wp_channel_receive (self->channel, &frame, &board_fd, &receive_error))
    {
      if (receive_error != NULL)
        {
          g_propagate_error (error, receive_error);
          return FALSE;
        }
      wp_channel_wait_input (self->channel, -1);
    }

  if (board_fd >= 0)
    {
      self->board = wp_board_new_from_fd (board_fd, error);
      close (board_fd);
      if (self->board == NULL)
        return FALSE;
      self->board_is_shared = TRUE;
    }
  else
    {
      self->board = wp_board_new_private ();
    }

  if (frame.header.type != WP_FRAME_CONFIGURE)
    return wp_worker_set_protocol_error (error, "something before the settings");
  if (!apply_settings (self, &frame, error))
    return FALSE;

  /* What all workers share has been received, and does not count. */
  if (self->hard_memory_limit > 0 && !wp_memory_limit_set (self->hard_memory_limit, &limit_error))
    return refuse_to_run (self, limit_error, error);

  self->outbox = wp_outbox_new (self->channel, self->board, self->timed);
  self->emitter = wp_emitter_new (self->channel, self->outbox);
  self->context = wp_task_context_new (self->id, self->board_is_shared ? self->board : NULL, self->inbox, self->emitter,
                                       self->asked);

  wp_task_context_set_shared_objects (self->context, self->shared_objects);

  return send_ready (self, error);
}

gboolean
wp_worker_is_asked (WpWorker *self)
{
  return self->asked != NULL && g_atomic_int_get (self->asked);
}

gboolean
wp_worker_set_asked_error (GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "This worker was asked to end");
  return FALSE;
}

/* A process that the task has forked may come back from it as well: by mistake, or as what daemon () has left. The pool
 * talks to one process, and this is not the one. */
void
wp_worker_leave_if_copied (WpWorker   *self,
                           const char *function)
{
  if (G_LIKELY (self->generation == wp_process_get_generation ()))
    return;

  dprintf (STDERR_FILENO,
           "%s: process %d, which the function “%s” has forked, came back from it and ends here: only the worker "
           "itself can answer the pool\n",
           wp_program_get_name (), (int) getpid (), function);
  _exit (WP_EXIT_FAILED);
}

gboolean
wp_worker_send_hook (WpWorker     *self,
                     WpFrameType   type,
                     GVariant     *value,
                     const GError *hook_error,
                     GError      **error)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();

  if (wp_worker_is_asked (self))
    return wp_worker_set_asked_error (error);

  if (hook_error != NULL)
    wp_payload_writer_add_error (writer, hook_error);
  else if (value != NULL && type == WP_FRAME_EXIT_RESULT)
    wp_payload_writer_add (writer, value);
  if (!wp_worker_send_payload (self, type, writer, error))
    return FALSE;

  while (wp_channel_has_output (self->channel))
    {
      wp_channel_wait (self->channel, G_IO_OUT, -1);
      if (!wp_channel_flush (self->channel, error))
        return FALSE;
    }

  return TRUE;
}

/* Calls the function before or after all tasks, and tells the pool what came of it. */
gboolean
wp_worker_run_hook (WpWorker    *self,
                    const char  *function,
                    WpFrameType  type,
                    gboolean    *succeeded,
                    GError     **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) hook_error = NULL;

  *succeeded = wp_task_run_hook (function, self->context, &value, &hook_error);
  wp_worker_leave_if_copied (self, function);

  return wp_worker_send_hook (self, type, value, hook_error, error);
}

/* After a failure the worker waits to be told to end, as the pool knows by then. */
static gboolean
initialize (WpWorker *self,
            GError  **error)
{
  self->is_initialized = TRUE;

  return self->init_function == NULL ||
         wp_worker_run_hook (self, self->init_function, WP_FRAME_INITIALIZED, &self->is_initialized, error);
}

static gboolean
finalize_tasks (WpWorker *self,
                GError  **error)
{
  gboolean succeeded;

  /* What is left of the last chunk's. */
  wp_emitter_set_stream (self->emitter, 0);

  return self->exit_function == NULL || !self->is_initialized ||
         wp_worker_run_hook (self, self->exit_function, WP_FRAME_EXIT_RESULT, &succeeded, error);
}

gboolean
wp_worker_handle_frame (WpWorker      *self,
                        const WpFrame *frame,
                        GError       **error)
{
  switch (frame->header.type)
    {
    case WP_FRAME_CANCEL:
      return handle_cancel (self, frame, error);

    case WP_FRAME_CREDIT:
      return handle_credit (self, frame, error);

    case WP_FRAME_CHUNK:
    case WP_FRAME_STOP:
      g_assert_not_reached ();

    case WP_FRAME_CONFIGURE:
    case WP_FRAME_READY:
    case WP_FRAME_RESULTS:
    case WP_FRAME_STARTED:
    case WP_FRAME_OBJECTS:
    case WP_FRAME_RETIRE:
    case WP_FRAME_INITIALIZED:
    case WP_FRAME_EXIT_RESULT:
    case WP_FRAME_EVENT:
    default:
      return wp_worker_set_protocol_error (error, "a frame that only workers send, or settings twice");
    }
}

/* Returns when the pool asks for the end (TRUE), or cannot be served any more. */
static gboolean
serve (WpWorker *self,
       GError  **error)
{
  while (TRUE)
    {
      g_auto (WpFrame) frame = { 0 };

      if (!wp_worker_next_frame (self, &frame, error))
        return FALSE;
      if (frame.header.type == WP_FRAME_STOP)
        return wp_outbox_flush (self->outbox, wp_worker_get_now (), error) && finalize_tasks (self, error);

      if (frame.header.type == WP_FRAME_CHUNK ? !wp_worker_run_chunk (self, &frame, error)
                                              : !wp_worker_handle_frame (self, &frame, error))
        return FALSE;
    }
}

/* However the end of the owner shows, it is one error to the caller. */
static void
propagate_end (GError **error,
               GError  *cause)
{
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
      g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE) ||
      g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The owner of this worker has closed the channel");
      g_error_free (cause);
      return;
    }

  g_propagate_error (error, cause);
}

gboolean
wp_worker_end (WpWorker *self,
               GError   *run_error,
               GError  **error)
{
  self->state = WP_WORKER_ENDED;
  if (self->context != NULL)
    wp_task_context_close (self->context);

  /* What its tasks have left running would keep the process from ending, or outlive it. */
  if (!self->is_thread)
    wp_process_end_pools ();

  if (run_error == NULL)
    return TRUE;

  propagate_end (error, run_error);
  return FALSE;
}

WpWorker *
wp_worker_new_for_channel (WpChannel *channel,
                           int        owner)
{
  WpWorker *self = g_object_new (WP_TYPE_WORKER, NULL);

  self->channel = channel;
  self->inbox = wp_inbox_new (channel, handle_early, self);
  self->owner = owner;

  return self;
}

WpWorker *
wp_worker_new_in_thread (WpChannel *channel,
                         const int *asked,
                         GVariant  *shared_objects)
{
  WpWorker *self = wp_worker_new_for_channel (channel, 0);

  self->is_thread = TRUE;
  self->asked = asked;
  if (shared_objects != NULL)
    self->shared_objects = g_variant_ref (shared_objects);

  return self;
}

/**
 * wp_worker_get_id:
 * @self: a worker
 *
 * Gets the number of the worker in its pool.
 *
 * Returns: the number, from 0; 0 before [method@Worker.run] has heard from the pool
 *
 * Since: 1.0
 */
guint
wp_worker_get_id (WpWorker *self)
{
  g_return_val_if_fail (WP_IS_WORKER (self), 0);

  return self->id;
}

/**
 * wp_worker_run:
 * @self: a worker
 * @error: return location for an error
 *
 * Runs tasks until the pool asks for the end.
 *
 * It blocks the calling thread, in which all tasks run; no main context is iterated. A worker runs once: it fails with
 * `G_IO_ERROR_CLOSED` when it has ended before, or when the owner has died; with `WP_ERROR_PROTOCOL` when the pool
 * sends what it cannot understand; and with other `G_IO_ERROR` codes when the system fails.
 *
 * Returns: `TRUE` when the pool asked for the end
 *
 * Since: 1.0
 */
gboolean
wp_worker_run (WpWorker *self,
               GError  **error)
{
  GError *run_error = NULL;
  gboolean stopped;

  g_return_val_if_fail (WP_IS_WORKER (self), FALSE);
  g_return_val_if_fail (self->channel != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (self->state != WP_WORKER_NEW)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "A worker runs only once");
      return FALSE;
    }

  self->state = WP_WORKER_RUNNING;
  stopped = wp_worker_configure (self, &run_error) && initialize (self, &run_error) && serve (self, &run_error);
  g_assert (stopped == (run_error == NULL));

  return wp_worker_end (self, run_error, error);
}
