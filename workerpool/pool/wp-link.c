/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-link.h"

#include <gio/gfiledescriptorbased.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-process.h"

WpLink *
wp_link_new (guint id)
{
  WpLink *self = g_new0 (WpLink, 1);

  self->id = id;
  self->task_deadline = G_MAXINT64;

  return self;
}

void
wp_link_reset (WpLink *self)
{
  g_clear_pointer (&self->channel, wp_channel_free);
  g_clear_pointer (&self->board, wp_board_free);
  g_clear_object (&self->process);
  self->pid = 0;
  self->signal = 0;
  self->reading = FALSE;
  g_atomic_int_set (&self->reader, WP_LINK_UNREAD);
  self->parked = FALSE;
  self->expected_until = 0;
  self->writing = FALSE;
  self->unwanted = FALSE;
  self->retiring = FALSE;
  self->stop_sent = FALSE;
  self->init_failed = FALSE;
  self->has_exit_result = FALSE;
  self->start_deadline = 0;
  self->task_deadline = G_MAXINT64;
  self->started_sequence = 0;
  self->started_offset = 0;
  self->started_time = 0;
  self->state = WP_LINK_ABSENT;
}

void
wp_link_free (WpLink *self)
{
  wp_link_reset (self);
  g_clear_error (&self->cause);
  g_clear_pointer (&self->notes, g_bytes_unref);
  g_free (self);
}

static WpChannel *
make_channel (GIOStream *stream, GError **error)
{
  GInputStream *input;
  GOutputStream *output;

  if (!G_IS_IO_STREAM (stream))
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_START_FAILED, "has no channel");
      return NULL;
    }

  if (G_IS_SOCKET_CONNECTION (stream))
    return wp_channel_new_for_socket (
        g_socket_connection_get_socket (G_SOCKET_CONNECTION (stream)));

  input = g_io_stream_get_input_stream (stream);
  output = g_io_stream_get_output_stream (stream);
  if (!G_IS_POLLABLE_INPUT_STREAM (input) || !G_IS_POLLABLE_OUTPUT_STREAM (output) ||
      !G_IS_FILE_DESCRIPTOR_BASED (input) || !G_IS_FILE_DESCRIPTOR_BASED (output))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_START_FAILED,
                   "the launcher's channel, a %s, cannot be polled: it must be a socket connection, or "
                   "streams on file descriptors",
                   G_OBJECT_TYPE_NAME (stream));
      return NULL;
    }

  return wp_channel_new_for_streams (input, output);
}

static gboolean
send_configuration (WpLink *self, const WpLinkSettings *settings, GError **error)
{
  const WpFrameHeader header = { .type = WP_FRAME_CONFIGURE };
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) dictionary = NULL;
  g_autoptr (GPtrArray) body = NULL;
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);

  g_variant_dict_insert (&dict, WP_CONFIGURE_WORKER_ID, "u", self->id);
  g_variant_dict_insert (&dict, WP_CONFIGURE_DAEMON, "b", settings->daemon);
  g_variant_dict_insert (&dict, WP_CONFIGURE_DEPTH, "u", settings->depth);
  if (settings->init_function != NULL)
    g_variant_dict_insert (&dict, WP_CONFIGURE_INIT, "s", settings->init_function);
  if (settings->exit_function != NULL)
    g_variant_dict_insert (&dict, WP_CONFIGURE_EXIT, "s", settings->exit_function);
  if (settings->nice != 0)
    g_variant_dict_insert (&dict, WP_CONFIGURE_NICE, "i", settings->nice);
  if (settings->io_priority != 0)
    g_variant_dict_insert (&dict, WP_CONFIGURE_IO_PRIORITY, "i", settings->io_priority);
  if (settings->oom_score_adj != 0)
    g_variant_dict_insert (&dict, WP_CONFIGURE_OOM, "i", settings->oom_score_adj);
  if (settings->timed)
    g_variant_dict_insert (&dict, WP_CONFIGURE_TIMED, "b", TRUE);
  if (settings->cpu_ids != NULL)
    {
      const gsize n_sets = g_variant_n_children (settings->cpu_ids);
      g_autoptr (GVariant) set = g_variant_get_child_value (settings->cpu_ids, self->id % n_sets);

      g_variant_dict_insert_value (&dict, WP_CONFIGURE_CPU_IDS, set);
    }
  if (settings->soft_memory_limit > 0)
    g_variant_dict_insert (&dict, WP_CONFIGURE_SOFT_MEMORY, "t", settings->soft_memory_limit);
  if (settings->hard_memory_limit > 0)
    g_variant_dict_insert (&dict, WP_CONFIGURE_HARD_MEMORY, "t", settings->hard_memory_limit);
  if (settings->shared_objects != NULL)
    g_variant_dict_insert (&dict, WP_CONFIGURE_OBJECTS, "b", TRUE);
  dictionary = g_variant_ref_sink (g_variant_dict_end (&dict));
  wp_payload_writer_add (writer, dictionary);
  body = wp_payload_writer_finish (writer);

  if (!wp_channel_send (self->channel, &header, NULL, body,
                        self->board != NULL ? wp_board_get_fd (self->board) : -1, error))
    return FALSE;

  return settings->shared_objects == NULL || wp_shared_objects_send (settings->shared_objects, self->channel, error);
}

gboolean
wp_link_open (WpLink *self, WpWorkerProcess *process, const WpLinkSettings *settings, GError **error)
{
  g_autoptr (GError) send_error = NULL;

  self->process = g_object_ref (process);
  self->pid = wp_worker_process_get_pid (process);
  self->generation++;
  self->hard_memory_limit = settings->hard_memory_limit;

  self->channel = make_channel (wp_worker_process_get_channel (process), error);
  if (self->channel == NULL)
    return FALSE;

  /* A system that refuses memfds still has workers; they send as frames what the board would show. */
  if (wp_channel_can_share (self->channel))
    self->board = wp_board_new (NULL);

  /* A worker that has ended already: how it ended says more than that nobody reads what it is sent. */
  if (!send_configuration (self, settings, &send_error) &&
      !g_error_matches (send_error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
    {
      g_propagate_error (error, g_steal_pointer (&send_error));
      return FALSE;
    }

  if (self->board != NULL)
    wp_board_drop_fd (self->board);
  self->reading = TRUE;
  self->state = WP_LINK_STARTING;

  return TRUE;
}

void
wp_link_set_cause (WpLink *self, GError *cause)
{
  if (self->cause == NULL)
    self->cause = cause;
  else
    g_error_free (cause);
}

gboolean
wp_link_can_share (WpLink *self)
{
  return wp_channel_can_share (self->channel);
}

guint8 *
wp_link_make_head (const char *function, guint64 first, guint n_tasks, guint64 stream, gsize *size)
{
  const WpChunkHead head = { first, n_tasks, function, "", stream };
  guint8 *bytes;

  *size = wp_chunk_head_get_size (&head);
  bytes = g_malloc (*size);
  wp_chunk_head_encode (&head, bytes);

  return bytes;
}

void
wp_link_send_stop (WpLink *self)
{
  const WpFrameHeader header = { .type = WP_FRAME_STOP };

  /* A broken channel shows as its end, which is what was wanted. */
  wp_channel_send (self->channel, &header, NULL, NULL, -1, NULL);
}

gboolean
wp_link_send_credit (WpLink *self, guint64 stream, const WpCreditHead *credit, GError **error)
{
  const WpFrameHeader header = {
    .type = WP_FRAME_CREDIT,
    .sequence = stream,
    .head_length = WP_CREDIT_HEAD_SIZE,
  };
  guint8 bytes[WP_CREDIT_HEAD_SIZE];

  wp_credit_head_encode (credit, bytes);

  return wp_channel_send (self->channel, &header, bytes, NULL, -1, error);
}

guint
wp_link_recall (WpLink *self, guint64 sequence, guint n_tasks, guint n_results, guint most)
{
  if (self->board == NULL)
    return 0;

  return wp_board_recall (self->board, sequence, n_tasks, MIN (most, n_tasks - n_results));
}

gboolean
wp_link_get_running (WpLink  *self,
                     guint64  sequence,
                     guint    n_tasks,
                     guint    n_results,
                     guint   *offset,
                     gint64  *started)
{
  guint64 running;

  if (self->board == NULL)
    {
      *offset = self->started_offset;
      *started = self->started_time;
      return wp_link_was_running (self, sequence, n_tasks, n_results);
    }

  return wp_board_get_running (self->board, &running, offset, started) && running == (sequence & G_MAXUINT32) &&
         *offset >= n_results && *offset < n_tasks;
}

void
wp_link_cancel_task (WpLink *self, guint64 sequence, guint n_tasks, guint n_results, gboolean by_frame)
{
  guint8 bytes[WP_TASK_HEAD_SIZE];
  const WpFrameHeader header = { .type = WP_FRAME_CANCEL,
                                 .sequence = sequence,
                                 .head_length = sizeof bytes };
  WpTaskHead head;

  if (self->board != NULL)
    {
      guint n_claimed = wp_board_get_claimed (self->board, sequence, n_tasks);

      if (n_claimed == n_results)
        return;

      wp_board_cancel (self->board, sequence, n_claimed - 1);
      if (!by_frame)
        return;

      head.offset = n_claimed - 1;
    }
  else if (self->started_sequence == sequence)
    head.offset = self->started_offset;
  else
    return;

  wp_task_head_encode (&head, bytes);
  wp_channel_send (self->channel, &header, bytes, NULL, -1, NULL);
}

gboolean
wp_link_was_running (WpLink *self, guint64 sequence, guint n_tasks, guint n_results)
{
  if (self->board != NULL)
    return wp_board_get_claimed (self->board, sequence, n_tasks) > n_results;

  return self->started_sequence == sequence && self->started_offset == n_results &&
         n_results < n_tasks;
}

/* How most programs end that are refused memory: GLib by a trap, C++ by abort (), others as they use what they have not
 * got, or with a status of their own. */
static gboolean
may_lack_memory (int status)
{
  if (WIFEXITED (status))
    return WEXITSTATUS (status) != 0;

  return WIFSIGNALED (status) && (WTERMSIG (status) == SIGTRAP || WTERMSIG (status) == SIGABRT ||
                                  WTERMSIG (status) == SIGSEGV || WTERMSIG (status) == SIGBUS);
}

GError *
wp_link_describe_exit (WpLink *self, int status)
{
  g_autofree char *who = NULL;
  g_autofree char *how = NULL;

  /* One that is no process of this machine, or was gone before its number could be asked for, has none. */
  if (self->pid > 0)
    who = g_strdup_printf ("worker %u (pid %d)", self->id, self->pid);
  else
    who = g_strdup_printf ("worker %u", self->id);

  if (WIFSIGNALED (status))
    how = g_strdup_printf ("was killed by signal %d (%s)", WTERMSIG (status),
                           g_strsignal (WTERMSIG (status)));
  else if (WIFEXITED (status) && self->state == WP_LINK_STARTING)
    how = g_strdup_printf ("exited with status %d before it reported in; is its host a program that calls "
                           "wp_worker_main()?",
                           WEXITSTATUS (status));
  else if (WIFEXITED (status))
    how = g_strdup_printf ("exited with status %d", WEXITSTATUS (status));
  else
    how = g_strdup_printf ("ended with wait status 0x%x", (guint) status);

  if (self->cause != NULL)
    {
      const char *what = self->cause->message;

      if (g_str_has_prefix (what, WP_CHANNEL_PEER " "))
        what += strlen (WP_CHANNEL_PEER " ");

      return g_error_new (self->cause->domain, self->cause->code, "%s %s", who, what);
    }

  if (self->hard_memory_limit > 0 && may_lack_memory (status))
    return g_error_new (WP_ERROR, WP_ERROR_WORKER_DIED,
                        "%s %s, perhaps because it wanted more memory than its hard-memory-limit of %" G_GUINT64_FORMAT
                        " bytes (raise it, or have tasks do less),",
                        who, how, self->hard_memory_limit);

  return g_error_new (WP_ERROR, WP_ERROR_WORKER_DIED, "%s %s", who, how);
}
