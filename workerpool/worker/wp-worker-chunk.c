/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker/wp-worker-state.h"

#include <string.h>
#include <unistd.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-process.h"
#include "worker/wp-function-private.h"
#include "worker/wp-owner-watch.h"
#include "worker/wp-program.h"
#include "worker/wp-task.h"
#include "worker/wp-task-context-private.h"

/* The tasks of a chunk, one after the other. Each is claimed, so that the pool cannot take it back any more; started,
 * which everybody sees on the board; and finished, when its result is committed to memory that survives this process.
 *
 * The function of a task may do what is between two tasks itself, and go on with the next one instead of returning: an
 * exchange (wp_task_context_exchange ()). The next task is claimed before the result of the one that runs is committed,
 * because only who knows that there is a next one may commit. A worker that dies in between has claimed one task more
 * than it has results, and one more than it runs: the pool blames the first without a result, and the others are run
 * elsewhere. */

/* How long a retiring worker waits until the pool has taken back its tasks, and between two looks whether it has. */
#define RECALL_PATIENCE_US (5 * G_USEC_PER_SEC)
#define RECALL_PAUSE_US 200

struct _WpChunkRun
{
  WpWorker *worker;
  WpFrame frame;
  guint64 sequence;
  WpChunkHead head;
  WpFunction *function; /* NULL: the host has none of that name, */
  GError *lookup_error; /* and what each task ends with */
  WpPayloadReader reader;

  guint offset;         /* of the task that runs, or is next */
  WpRecord argument;    /* of the first task that has not started */
  gboolean has_argument;
  WpTaskTimes times;    /* of the task that runs */
  gint64 now;           /* when the task before ended */
  gboolean is_pulled;   /* who pulls the tasks runs the function */
  GError *error;        /* what an exchange has met: the worker cannot go on */
};

static void
wp_chunk_run_clear (WpChunkRun *run)
{
  g_clear_pointer (&run->function, wp_function_unref);
  g_clear_error (&run->lookup_error);
  g_clear_error (&run->error);
  wp_payload_reader_clear (&run->reader);
  wp_frame_clear (&run->frame);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (WpChunkRun, wp_chunk_run_clear)

static WpFunction *
find_function (const WpChunkHead *head,
               GError           **error)
{
  if (*head->codec != '\0')
    {
      g_set_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION,
                   "The host %s cannot run the function “%s”: its arguments are encoded as “%s”, which is for another "
                   "kind of host",
                   wp_program_get_name (), head->function, head->codec);
      return NULL;
    }

  return wp_function_lookup (head->function, error);
}

/* An error that has come through a pool below this worker, or goes on through one above, says which workers it has
 * passed: each adds itself. */
static void
add_to_way (WpWorker *self,
            GError   *task_error)
{
  g_autofree char *message = task_error->message;

  if (self->is_thread)
    task_error->message = g_strdup_printf ("%s ← worker %u (a thread)", message, self->id);
  else
    task_error->message = g_strdup_printf ("%s ← worker %u (pid %d)", message, self->id, (int) getpid ());
}

/* The pool takes back what a retiring worker holds as soon as it hears of it; one that is too busy for that for very
 * long has its tasks run here. */
static void
wait_for_recall (WpWorker *self,
                 guint64   sequence)
{
  const gint64 deadline = g_get_monotonic_time () + RECALL_PATIENCE_US;

  while (!wp_board_is_claimed (self->board, sequence) && !wp_worker_is_asked (self) &&
         g_get_monotonic_time () < deadline)
    g_usleep (RECALL_PAUSE_US);
}

static gboolean
is_last (const WpChunkRun *run)
{
  return run->offset + 1 == run->head.n_tasks;
}

/* Of the first task that has not started. */
static gboolean
read_argument (WpChunkRun *run,
               GError  **error)
{
  GError *read_error = NULL;

  if (run->has_argument)
    return TRUE;

  run->has_argument = wp_payload_reader_next (&run->reader, &run->argument, &read_error);
  if (run->has_argument)
    return TRUE;

  if (read_error == NULL)
    return wp_worker_set_protocol_error (error, "a chunk with fewer arguments than tasks");

  g_propagate_error (error, read_error);
  return FALSE;
}

/* FALSE without error: the pool has taken back the task and what follows. */
static gboolean
claim_task (WpChunkRun *run,
            guint     expected,
            GError  **error)
{
  WpWorker *self = run->worker;
  guint offset;

  if (wp_worker_is_asked (self))
    return wp_worker_set_asked_error (error);

  /* Without a board nothing can be taken back. */
  if (!self->board_is_shared)
    return TRUE;

  if (G_UNLIKELY (self->retiring))
    wait_for_recall (self, run->sequence);
  if (!wp_board_claim (self->board, run->sequence, &offset))
    return FALSE;
  if (offset != expected)
    return wp_worker_set_protocol_error (error, "a chunk whose slot of the board is in use");

  return TRUE;
}

/* The task that was claimed. */
static gboolean
start_task (WpChunkRun *run,
            GError  **error)
{
  WpWorker *self = run->worker;

  /* Else a task's time has the sending of the results before it, which spares a look at the clock. */
  if (self->timed)
    run->now = wp_worker_get_now ();
  run->times.started = run->now;
  run->has_argument = FALSE;

  if (self->board_is_shared)
    wp_board_set_running (self->board, run->sequence, run->offset, run->now);
  else if (!wp_outbox_announce (self->outbox, run->now, error))
    return FALSE;

  if (run->function != NULL || run->is_pulled)
    wp_task_context_begin (self->context, run->sequence, run->offset, run->head.first + run->offset);

  return TRUE;
}

/* The task that runs has come to its end; takes the value (nullable), or the error. */
static gboolean
finish_task (WpChunkRun *run,
             GVariant *value,
             GError   *task_error,
             GError  **error)
{
  WpWorker *self = run->worker;
  g_autoptr (GVariant) owned_value G_GNUC_UNUSED = value;
  g_autoptr (GError) owned_error G_GNUC_UNUSED = task_error;
  const gboolean last = is_last (run);

  if (task_error != NULL && (self->depth > 0 || wp_process_had_pool (self->is_thread)))
    add_to_way (self, task_error);

  run->now = wp_worker_get_now ();
  run->times.elapsed = run->now - run->times.started;
  /* Its pools were ended below it, and this process is about to be killed. */
  if (!self->is_thread && wp_owner_watch_has_ended ())
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The owner of this worker has died");
      return FALSE;
    }

  self->n_finished++;
  run->offset++;
  if (G_LIKELY (value != NULL))
    {
      if (!wp_outbox_add (self->outbox, value, &run->times, last, error))
        return FALSE;
    }
  else if (!wp_outbox_add_error (self->outbox, task_error != NULL ? task_error : run->lookup_error, &run->times, error))
    return FALSE;

  if (!last && wp_outbox_is_due (self->outbox, run->now) && !wp_outbox_flush (self->outbox, run->now, error))
    return FALSE;

  return G_LIKELY (run->now < self->memory.look_at) || wp_worker_look_at_memory (self, run->now, error);
}

/* Whether the next task can take the place of the one that runs. Others are given to the function as it is called: a
 * large argument is not copied then. */
static gboolean
can_exchange (WpChunkRun *run,
              GError  **error)
{
  if (is_last (run) || run->worker->retiring || !read_argument (run, error))
    return FALSE;

  return g_str_equal (run->argument.type, "ay") && run->argument.length > 0 && run->argument.length < WP_PAYLOAD_LARGE;
}

/* As wp_task_context_exchange () has it; the context's. Takes the value, or the error, unless it returns FALSE without
 * an error. */
static gboolean
exchange (gpointer       data,
          GVariant      *value,
          const GError  *task_error,
          const guint8 **argument,
          gsize         *length,
          GError       **error)
{
  WpChunkRun *run = data;
  WpWorker *self = run->worker;

  if (run->error == NULL && can_exchange (run, &run->error) && claim_task (run, run->offset + 1, &run->error))
    {
      wp_task_context_end (self->context);
      *argument = run->argument.value;
      *length = run->argument.length;
      if (finish_task (run, value != NULL ? g_variant_ref (value) : NULL,
                       task_error != NULL ? g_error_copy (task_error) : NULL, &run->error) &&
          start_task (run, &run->error))
        return TRUE;
    }

  if (run->error != NULL)
    g_propagate_error (error, g_error_copy (run->error));
  return FALSE;
}

/* The function has come back from the task that runs. FALSE: the task has no result, as the worker was told to end. This
 * is as if it had been killed. */
static gboolean
leave_task (WpChunkRun *run,
            GError    **error)
{
  WpWorker *self = run->worker;

  wp_worker_leave_if_copied (self, run->head.function);
  wp_task_context_end (self->context);

  return !wp_worker_is_asked (self) || wp_worker_set_asked_error (error);
}

/* Calls the function, which may go on with further tasks. */
static gboolean
run_function (WpChunkRun *run,
              GVariant  **value,
              GError    **task_error,
              GError    **error)
{
  g_autoptr (GVariant) args = wp_payload_reader_get_value (&run->reader, &run->argument);

  *value = wp_task_run (run->function, run->head.function, run->worker->context, args, task_error);
  if (leave_task (run, error) && run->error == NULL)
    return TRUE;

  g_clear_pointer (value, g_variant_unref);
  g_clear_error (task_error);
  if (run->error != NULL)
    {
      g_clear_error (error);
      g_propagate_error (error, g_steal_pointer (&run->error));
    }
  return FALSE;
}

/* *started: FALSE when the chunk has no further task, or the pool has taken it back. */
static gboolean
start_next (WpChunkRun *run,
            gboolean   *started,
            GError    **error)
{
  GError *claim_error = NULL;

  *started = FALSE;
  if (run->offset == run->head.n_tasks)
    return TRUE;
  if (!read_argument (run, error))
    return FALSE;

  if (!claim_task (run, run->offset, &claim_error))
    {
      if (claim_error == NULL)
        return TRUE;

      g_propagate_error (error, claim_error);
      return FALSE;
    }

  *started = TRUE;
  return start_task (run, error);
}

static gboolean
run_here (WpChunkRun *run,
          GError    **error)
{
  GError *task_error = NULL;
  GVariant *value = NULL;

  return (G_UNLIKELY (run->function == NULL) || run_function (run, &value, &task_error, error)) &&
         finish_task (run, value, task_error, error);
}

/* Takes the frame. */
static gboolean
begin_chunk (WpChunkRun *run,
             WpWorker   *self,
             WpFrame    *frame,
             GError    **error)
{
  run->worker = self;
  run->frame = *frame;
  memset (frame, 0, sizeof *frame);
  run->sequence = run->frame.header.sequence;
  run->now = wp_worker_get_now ();
  if (!wp_chunk_head_decode (&run->head, run->frame.head, run->frame.header.head_length, error))
    return FALSE;

  run->function = find_function (&run->head, &run->lookup_error);
  /* What the pool sends it has checked: it made the values itself. */
  wp_payload_reader_init (&run->reader, run->frame.body, TRUE);
  wp_outbox_begin_chunk (self->outbox, run->sequence, run->now);
  wp_emitter_set_stream (self->emitter, run->head.stream);

  return TRUE;
}

static gboolean
end_chunk (WpChunkRun *run,
           GError    **error)
{
  WpWorker *self = run->worker;

  if (self->board_is_shared)
    wp_board_set_idle (self->board, self->n_finished);

  if (!wp_outbox_end_chunk (self->outbox, error))
    return FALSE;

  /* A worker that has its next chunk already saves a write, and the pool a wake-up. */
  if (wp_inbox_has_frame (self->inbox) && !wp_outbox_is_due (self->outbox, run->now))
    return TRUE;

  return wp_outbox_flush (self->outbox, run->now, error);
}

gboolean
wp_worker_run_chunk (WpWorker *self,
                     WpFrame  *frame,
                     GError  **error)
{
  g_auto (WpChunkRun) run = { NULL };
  gboolean started = TRUE;
  gboolean went_on;

  if (!begin_chunk (&run, self, frame, error))
    return FALSE;

  wp_task_context_set_exchange (self->context, exchange, &run);
  do
    went_on = start_next (&run, &started, error) && (!started || run_here (&run, error));
  while (went_on && started);
  wp_task_context_set_exchange (self->context, NULL, NULL);

  return went_on && end_chunk (&run, error);
}

/* For who pulls tasks */

WpChunkRun *
wp_chunk_run_new (WpWorker *self,
                  WpFrame  *frame,
                  GError  **error)
{
  WpChunkRun *run = g_new0 (WpChunkRun, 1);

  if (!begin_chunk (run, self, frame, error))
    {
      wp_chunk_run_free (run);
      return NULL;
    }

  run->is_pulled = run->function == NULL && wp_worker_may_pull (run->head.function, run->lookup_error);
  return run;
}

void
wp_chunk_run_free (WpChunkRun *run)
{
  wp_chunk_run_clear (run);
  g_free (run);
}

const char *
wp_chunk_run_get_function (WpChunkRun *run)
{
  return run->head.function;
}

gboolean
wp_chunk_run_pull (WpChunkRun *run,
                   GVariant  **args,
                   GError    **error)
{
  gboolean started;

  *args = NULL;
  while (start_next (run, &started, error))
    {
      if (!started)
        return end_chunk (run, error);

      if (run->is_pulled)
        {
          *args = wp_payload_reader_get_value (&run->reader, &run->argument);
          return TRUE;
        }
      if (!run_here (run, error))
        return FALSE;
    }

  return FALSE;
}

gboolean
wp_chunk_run_answer (WpChunkRun *run,
                     GVariant   *value,
                     GError     *task_error,
                     GError    **error)
{
  if (leave_task (run, error))
    return finish_task (run, value, task_error, error);

  g_clear_pointer (&value, g_variant_unref);
  g_clear_error (&task_error);
  return FALSE;
}
