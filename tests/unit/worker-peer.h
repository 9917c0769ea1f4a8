/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "channel/wp-board.h"
#include "channel/wp-channel.h"
#include "channel/wp-error.h"
#include "channel/wp-message.h"
#include "channel/wp-payload.h"
#include "channel/wp-process.h"
#include "launch/wp-host.h"
#include "launch/wp-spawn-launcher.h"

/* The pool's side of one worker, by hand: real processes, and frames as they are. */
typedef struct
{
  WpWorkerProcess *process;
  WpChannel *channel;
  WpBoard *board; /* NULL: the worker has none */
  gboolean ended;
  int status;
} Peer;

/* Far beyond any real delay: a test that waits so long has failed. */
#define PEER_PATIENCE_MS 60000

static inline void
on_peer_ended (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  g_autoptr (GError) error = NULL;
  Peer *peer = user_data;

  g_assert_true (wp_worker_process_wait_finish (WP_WORKER_PROCESS (source), result, &peer->status, &error));
  g_assert_no_error (error);
  peer->ended = TRUE;
}

/* Launches without a word on the channel. */
static inline Peer *
peer_launch (const char *const *argv,
             WpTransport        transport)
{
  g_autoptr (WpLauncher) launcher = wp_spawn_launcher_new (argv, transport);
  g_autoptr (GError) error = NULL;
  Peer *peer = g_new0 (Peer, 1);
  GIOStream *stream;

  peer->process = wp_launcher_launch (launcher, 0, &error);
  g_assert_no_error (error);
  g_assert_nonnull (peer->process);

  stream = wp_worker_process_get_channel (peer->process);
  if (G_IS_SOCKET_CONNECTION (stream))
    peer->channel = wp_channel_new_for_socket (g_socket_connection_get_socket (G_SOCKET_CONNECTION (stream)));
  else
    peer->channel = wp_channel_new_for_streams (g_io_stream_get_input_stream (stream),
                                                g_io_stream_get_output_stream (stream));

  wp_worker_process_wait_async (peer->process, NULL, on_peer_ended, peer);

  return peer;
}

/* Waits until the process was reaped; returns the status as by waitpid (). */
static inline int
peer_wait (Peer *peer)
{
  while (!peer->ended)
    g_main_context_iteration (NULL, TRUE);

  return peer->status;
}

static inline void
peer_close (Peer *peer)
{
  GIOStream *stream = wp_worker_process_get_channel (peer->process);

  g_clear_pointer (&peer->channel, wp_channel_free);
  if (stream != NULL)
    g_assert_true (g_io_stream_close (stream, NULL, NULL));
}

/* Ends the worker whatever it is doing, and leaves no trace of it. */
static inline void
peer_free (Peer *peer)
{
  siginfo_t child;

  if (!peer->ended)
    wp_worker_process_send_signal (peer->process, SIGKILL);
  peer_wait (peer);

  peer_close (peer);
  g_clear_pointer (&peer->board, wp_board_free);
  g_clear_object (&peer->process);
  g_free (peer);

  g_assert_cmpint (waitid (P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Peer, peer_free)

static inline gboolean
has_pidfd (void)
{
  g_autoptr (GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);

      if (target != NULL && strstr (target, "pidfd") != NULL)
        return TRUE;
    }

  return FALSE;
}

/* The first subprocess opens the descriptors of GLib's own thread, which stay, and one to watch the child by, which
 * does not. */
static inline void
peer_warm_up (const char *const *argv)
{
  peer_free (peer_launch (argv, WP_TRANSPORT_SOCKET));
  while (has_pidfd ())
    g_thread_yield ();
}

static inline void
peer_flush (Peer *peer)
{
  g_autoptr (GError) error = NULL;

  while (wp_channel_has_output (peer->channel))
    {
      g_assert_true (wp_channel_wait (peer->channel, G_IO_OUT, PEER_PATIENCE_MS));
      wp_channel_flush (peer->channel, &error);
      g_assert_no_error (error);
    }
}

/* value: the body's only record, floating or not; NULL for no body. */
static inline void
peer_send (Peer        *peer,
           WpFrameType  type,
           guint64      sequence,
           GVariant    *value,
           int          attached)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) owned = value != NULL ? g_variant_ref_sink (value) : NULL;
  g_autoptr (GPtrArray) body = NULL;
  g_autoptr (GError) error = NULL;
  WpFrameHeader header = { .type = type, .sequence = sequence };

  if (owned != NULL)
    wp_payload_writer_add (writer, owned);
  body = wp_payload_writer_finish (writer);
  wp_channel_send (peer->channel, &header, NULL, body, attached, &error);
  g_assert_no_error (error);
  peer_flush (peer);
}

/* FALSE at the end of the stream. */
static inline gboolean
peer_try_receive (Peer    *peer,
                  WpFrame *frame)
{
  while (TRUE)
    {
      g_autoptr (GError) error = NULL;
      int attached;

      if (wp_channel_receive (peer->channel, frame, &attached, &error))
        {
          g_assert_cmpint (attached, ==, -1);
          return TRUE;
        }
      if (error != NULL)
        return FALSE;
      g_assert_true (wp_channel_wait (peer->channel, G_IO_IN, PEER_PATIENCE_MS));
    }
}

static inline void
peer_receive (Peer        *peer,
              WpFrameType  type,
              WpFrame     *frame)
{
  g_assert_true (peer_try_receive (peer, frame));
  g_assert_cmpint (frame->header.type, ==, type);
}

/* Sends the settings and checks the answer. */
static inline void
peer_configure (Peer    *peer,
                guint    worker_id,
                gboolean daemonic)
{
  g_auto (GVariantDict) settings = G_VARIANT_DICT_INIT (NULL);
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GVariant) facts = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (WpFrame) frame = { 0 };
  WpRecord record;
  gint32 pid;

  g_variant_dict_insert (&settings, WP_CONFIGURE_WORKER_ID, "u", worker_id);
  g_variant_dict_insert (&settings, WP_CONFIGURE_DAEMON, "b", daemonic);
  g_variant_dict_insert (&settings, "a-setting-of-the-future", "s", "ignored");

  if (wp_channel_can_share (peer->channel))
    {
      peer->board = wp_board_new (&error);
      g_assert_no_error (error);
    }
  peer_send (peer, WP_FRAME_CONFIGURE, 0, g_variant_dict_end (&settings),
             peer->board != NULL ? wp_board_get_fd (peer->board) : -1);
  if (peer->board != NULL)
    wp_board_drop_fd (peer->board);

  peer_receive (peer, WP_FRAME_READY, &frame);
  wp_payload_reader_init (&reader, frame.body, FALSE);
  g_assert_true (wp_payload_reader_next (&reader, &record, &error));
  facts = wp_payload_reader_get_value (&reader, &record);
  g_assert_true (g_variant_lookup (facts, WP_READY_PID, "i", &pid));
  g_assert_cmpint (pid, >, 0);
}

/* The generic host, configured and ready. */
static inline Peer *
peer_start (WpTransport transport)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = wp_host_get_default_argv (&error);
  Peer *peer;

  g_assert_no_error (error);
  peer = peer_launch ((const char *const *) argv, transport);
  peer_configure (peer, 3, TRUE);

  return peer;
}

static inline char *
peer_get_function (const char *symbol)
{
  return g_strdup_printf ("%s:%s", g_getenv ("WORKERPOOL_TEST_MODULE"), symbol);
}

/* Sends a chunk of which 'n_recalled' tasks were taken back before it was sent. args: an array, one element each
 * task. */
static inline void
peer_send_chunk_with (Peer       *peer,
                      guint64     sequence,
                      const char *function,
                      const char *codec,
                      guint64     first,
                      GVariant   *args,
                      guint       n_recalled)
{
  g_autoptr (WpPayloadWriter) writer = wp_payload_writer_new ();
  g_autoptr (GVariant) owned = g_variant_ref_sink (args);
  g_autoptr (GPtrArray) body = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *head_bytes = NULL;
  WpChunkHead head = {
    .first = first,
    .n_tasks = g_variant_n_children (owned),
    .function = function,
    .codec = codec,
  };
  WpFrameHeader header = { .type = WP_FRAME_CHUNK, .sequence = sequence };

  for (guint i = 0; i < head.n_tasks; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (owned, i);

      wp_payload_writer_add (writer, child);
    }

  header.head_length = wp_chunk_head_get_size (&head);
  head_bytes = g_malloc0 (header.head_length);
  wp_chunk_head_encode (&head, head_bytes);
  body = wp_payload_writer_finish (writer);

  if (peer->board != NULL)
    {
      wp_board_open_chunk (peer->board, sequence, head.n_tasks);
      if (n_recalled > 0)
        g_assert_cmpuint (wp_board_recall (peer->board, sequence, head.n_tasks, n_recalled), ==, n_recalled);
    }

  wp_channel_send (peer->channel, &header, head_bytes, body, -1, &error);
  g_assert_no_error (error);
  peer_flush (peer);
}

static inline void
peer_send_chunk (Peer       *peer,
                 guint64     sequence,
                 const char *symbol,
                 GVariant   *args)
{
  g_autofree char *function = peer_get_function (symbol);

  peer_send_chunk_with (peer, sequence, function, "", 0, args, 0);
}

/* What came back from one chunk, in order. */
typedef struct
{
  GPtrArray *values; /* GVariant, or NULL where there is an error */
  GPtrArray *errors; /* GError, or NULL where there is a value */
  guint n_frames;
  guint n_shared;
  guint n_started;
  gboolean done;
} Outcome;

static inline void
free_error (gpointer error)
{
  if (error != NULL)
    g_error_free (error);
}

static inline void
free_value (gpointer value)
{
  if (value != NULL)
    g_variant_unref (value);
}

static inline Outcome *
outcome_new (void)
{
  Outcome *outcome = g_new0 (Outcome, 1);

  outcome->values = g_ptr_array_new_with_free_func (free_value);
  outcome->errors = g_ptr_array_new_with_free_func (free_error);

  return outcome;
}

static inline void
outcome_free (Outcome *outcome)
{
  g_ptr_array_unref (outcome->values);
  g_ptr_array_unref (outcome->errors);
  g_free (outcome);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Outcome, outcome_free)

/* Adds the records of a payload; passes over the first 'skip'. Returns how many there were. */
static inline guint
outcome_add_payload (Outcome *outcome,
                     GBytes  *payload,
                     guint    skip)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GError) error = NULL;
  WpRecord record;
  guint n = 0;

  wp_payload_reader_init (&reader, payload, FALSE);
  while (wp_payload_reader_next (&reader, &record, &error))
    {
      if (n++ < skip)
        continue;
      g_ptr_array_add (outcome->values, record.is_error ? NULL : wp_payload_reader_get_value (&reader, &record));
      g_ptr_array_add (outcome->errors, record.is_error ? wp_payload_reader_get_error (&reader, &record) : NULL);
    }
  g_assert_no_error (error);

  return n;
}

static inline void
outcome_add_frame (Outcome       *outcome,
                   const WpFrame *frame)
{
  g_autoptr (GError) error = NULL;
  WpResultsHead head;

  wp_results_head_decode (&head, frame->head, frame->header.head_length, &error);
  g_assert_no_error (error);
  /* In order and without a gap. */
  g_assert_cmpuint (head.offset, ==, outcome->values->len);
  g_assert_cmpuint (outcome_add_payload (outcome, frame->body, 0), ==, head.n_results);

  outcome->n_frames++;
  outcome->n_shared += (frame->header.flags & WP_FRAME_SHARED) != 0;
  outcome->done = (frame->header.flags & WP_FRAME_DONE) != 0;
}

/* Receives the results of a chunk to its end. */
static inline Outcome *
peer_collect (Peer    *peer,
              guint64  sequence)
{
  g_autoptr (Outcome) outcome = outcome_new ();

  while (!outcome->done)
    {
      g_auto (WpFrame) frame = { 0 };

      g_assert_true (peer_try_receive (peer, &frame));
      g_assert_cmpuint (frame.header.sequence, ==, sequence);
      if (frame.header.type == WP_FRAME_STARTED)
        {
          g_autoptr (GError) error = NULL;
          WpTaskHead head;

          wp_task_head_decode (&head, frame.head, frame.header.head_length, &error);
          g_assert_no_error (error);
          /* Every result before it has arrived. */
          g_assert_cmpuint (head.offset, ==, outcome->values->len);
          outcome->n_started++;
          continue;
        }

      g_assert_cmpint (frame.header.type, ==, WP_FRAME_RESULTS);
      outcome_add_frame (outcome, &frame);
    }

  return g_steal_pointer (&outcome);
}

static inline void
outcome_assert_value (Outcome    *outcome,
                      guint       index,
                      const char *expected)
{
  g_autofree char *printed = NULL;

  g_assert_cmpuint (index, <, outcome->values->len);
  g_assert_no_error ((GError *) outcome->errors->pdata[index]);
  printed = g_variant_print (outcome->values->pdata[index], TRUE);
  g_assert_cmpstr (printed, ==, expected);
}
