/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bracketed-tests.h"
#include "worker-peer.h"

/* Their results do not fit the board at once. */
#define N_MANY 100000

static GVariant *
new_numbers (const gint32 *numbers,
             gsize         n)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, numbers, n, sizeof *numbers);
}

#define NUMBERS(...) \
  new_numbers ((const gint32[]) { __VA_ARGS__ }, sizeof ((const gint32[]) { __VA_ARGS__ }) / sizeof (gint32))

/* Stops the worker, and expects that it ends well. */
static void
stop (Peer *peer)
{
  int status;

  peer_send (peer, WP_FRAME_STOP, 0, NULL, -1);
  status = peer_wait (peer);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
test_chunk_is_answered (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) outcome = NULL;

  peer_send_chunk (peer, 1, "widen", NUMBERS (7, -8, 2147483647));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, 3);
  outcome_assert_value (outcome, 0, "int64 7");
  outcome_assert_value (outcome, 1, "int64 -8");
  outcome_assert_value (outcome, 2, "int64 2147483647");
  g_assert_cmpuint (outcome->n_started, ==, 0);
  g_assert_cmpuint (wp_board_get_claimed (peer->board, 1, 3), ==, 3);

  stop (peer);
  g_assert_cmpuint (wp_board_get_n_finished (peer->board), ==, 3);
}

static void
test_values_keep_their_types (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) outcome = NULL;
  const char *values[] = {
    "(1, 'one', [byte 0x01])", "(2, 'two', @ay [])", "'text'", "@as []", "{'key': <@mi nothing>}", "()", "''", "true",
  };
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    g_variant_builder_add (&builder, "v", g_variant_new_parsed (values[i]));

  peer_send_chunk (peer, 1, "identity", g_variant_builder_end (&builder));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, G_N_ELEMENTS (values));
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autofree char *expected = g_strdup_printf ("<%s>", values[i]);

      outcome_assert_value (outcome, i, expected);
    }
}

static void
test_many_results_come_in_order (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autofree gint32 *numbers = g_new (gint32, N_MANY);
  g_autoptr (Outcome) outcome = NULL;

  for (gint32 i = 0; i < N_MANY; i++)
    numbers[i] = i;

  peer_send_chunk (peer, 1, "widen", new_numbers (numbers, N_MANY));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, N_MANY);
  for (gint32 i = 0; i < N_MANY; i++)
    g_assert_cmpint (g_variant_get_int64 (outcome->values->pdata[i]), ==, i);

  /* More results than the board holds, so they came in parts. */
  g_assert_cmpuint (outcome->n_frames, >, N_MANY * 16 / WP_BOARD_RESULTS_SIZE);
}

static void
test_queued_chunks_are_all_answered (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);

  for (guint64 sequence = 1; sequence <= WP_BOARD_SLOTS; sequence++)
    peer_send_chunk (peer, sequence, "widen", NUMBERS (1, 2));
  peer_send (peer, WP_FRAME_STOP, 0, NULL, -1);

  for (guint64 sequence = 1; sequence <= WP_BOARD_SLOTS; sequence++)
    {
      g_autoptr (Outcome) outcome = peer_collect (peer, sequence);

      g_assert_cmpuint (outcome->values->len, ==, 2);
    }
  g_assert_cmpint (peer_wait (peer), ==, 0);
}

static void
test_context_tells_where (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autofree char *function = peer_get_function ("where");
  g_autoptr (Outcome) outcome = NULL;

  peer_send_chunk_with (peer, 1, function, "", G_MAXUINT32, NUMBERS (0, 0), 0);
  outcome = peer_collect (peer, 1);
  outcome_assert_value (outcome, 0, "(uint32 3, uint64 4294967295)");
  outcome_assert_value (outcome, 1, "(uint32 3, uint64 4294967296)");
}

static void
test_errors_keep_identity (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) outcome = NULL;

  peer_send_chunk (peer, 1, "fail", NUMBERS (0, 0));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    {
      GError *error = outcome->errors->pdata[i];

      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
      g_assert_cmpstr (error->message, ==, "failed as asked");
    }
}

static void
assert_fails (Peer       *peer,
              guint64     sequence,
              const char *symbol,
              gint32      argument,
              const char *sentence)
{
  g_autoptr (Outcome) outcome = NULL;
  GError *error;

  peer_send_chunk (peer, sequence, symbol, NUMBERS (argument));
  outcome = peer_collect (peer, sequence);
  g_assert_cmpuint (outcome->values->len, ==, 1);
  error = outcome->errors->pdata[0];
  g_assert_error (error, WP_ERROR, WP_ERROR_INVALID_RESULT);
  g_assert_nonnull (strstr (error->message, symbol));
  g_assert_nonnull (strstr (error->message, sentence));
}

static void
test_invalid_results_are_errors (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) outcome = NULL;
  g_autoptr (Outcome) deepest = NULL;
  GError *error;

  assert_fails (peer, 1, "null", 0, "neither a value nor an error");
  assert_fails (peer, 2, "both", 0, "type “s” beside an error: an error too");
  assert_fails (peer, 3, "handle", 0, "file handle");
  assert_fails (peer, 4, "not_normal", 0, "normal form");
  assert_fails (peer, 5, "deep", 1000, "deeper");
  assert_fails (peer, 6, "deep", 128, "deeper");

  peer_send_chunk (peer, 7, "fail_badly", NUMBERS (0));
  outcome = peer_collect (peer, 7);
  error = outcome->errors->pdata[0];
  g_assert_error (error, G_IO_ERROR, -7);
  g_assert_true (g_str_has_prefix (error->message, "caf"));

  /* The deepest that GVariant can send goes through, and the worker lives on after all of that. */
  peer_send_chunk (peer, 8, "deep", NUMBERS (127));
  deepest = peer_collect (peer, 8);
  g_assert_no_error ((GError *) deepest->errors->pdata[0]);
  stop (peer);
}

static void
test_unknown_function_fails_every_task (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) unknown = NULL;
  g_autoptr (Outcome) encoded = NULL;
  g_autoptr (Outcome) after = NULL;

  peer_send_chunk_with (peer, 1, "unheard-of", "", 0, NUMBERS (1, 2, 3), 0);
  unknown = peer_collect (peer, 1);
  g_assert_cmpuint (unknown->values->len, ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      GError *error = unknown->errors->pdata[i];

      g_assert_error (error, WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
      g_assert_nonnull (strstr (error->message, "workerpool-host"));
      g_assert_nonnull (strstr (error->message, "“unheard-of”"));
    }

  peer_send_chunk_with (peer, 2, "f", "a-codec", 0, NUMBERS (1), 0);
  encoded = peer_collect (peer, 2);
  g_assert_error ((GError *) encoded->errors->pdata[0], WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (((GError *) encoded->errors->pdata[0])->message, "“a-codec”"));

  peer_send_chunk (peer, 3, "widen", NUMBERS (1));
  after = peer_collect (peer, 3);
  outcome_assert_value (after, 0, "int64 1");
}

static void
test_recalled_tasks_do_not_run (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autofree char *function = peer_get_function ("crash");
  g_autoptr (Outcome) some = NULL;
  g_autoptr (Outcome) none = NULL;

  /* The tasks that were taken back would kill the worker. */
  peer_send_chunk_with (peer, 1, function, "", 0, NUMBERS (1, 2, -1, -1), 2);
  some = peer_collect (peer, 1);
  g_assert_cmpuint (some->values->len, ==, 2);

  peer_send_chunk_with (peer, 2, function, "", 0, NUMBERS (-1, -1), 2);
  none = peer_collect (peer, 2);
  g_assert_cmpuint (none->values->len, ==, 0);
  g_assert_cmpuint (none->n_frames, ==, 1);

  stop (peer);
  g_assert_cmpuint (wp_board_get_n_finished (peer->board), ==, 2);
}

static void
wait_until_running (Peer   *peer,
                    guint64 sequence,
                    guint   offset)
{
  guint64 running_sequence;
  guint running_offset;
  gint64 started;

  while (!wp_board_get_running (peer->board, &running_sequence, &running_offset, &started) ||
         running_sequence != sequence || running_offset != offset)
    {
      g_assert_false (peer->ended);
      g_main_context_iteration (NULL, FALSE);
      g_thread_yield ();
    }
  g_assert_cmpint (started, <=, g_get_monotonic_time () * 1000 + 1000);
}

static void
test_recall_from_running_chunk (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) outcome = NULL;

  peer_send_chunk (peer, 1, "wait_for_cancel", NUMBERS (-1, 0, 0, 0));
  wait_until_running (peer, 1, 1);
  g_assert_cmpuint (wp_board_recall (peer->board, 1, 4, 4), ==, 2);
  wp_board_cancel (peer->board, 1, 1);

  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, 2);
  outcome_assert_value (outcome, 0, "false");
  outcome_assert_value (outcome, 1, "true");

  /* The cancelled task was the only one: the next with that number of another chunk waits again. */
  peer_send_chunk (peer, 2, "wait_for_cancel", NUMBERS (-1, 0));
  wait_until_running (peer, 2, 1);
  wp_board_cancel (peer->board, 2, 1);
  g_clear_pointer (&outcome, outcome_free);
  outcome = peer_collect (peer, 2);
  outcome_assert_value (outcome, 1, "true");
}

static void
test_large_results_are_shared (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  const guint64 sizes[] = { 10, 3 * 1000 * 1000, 0, WP_BOARD_RESULTS_SIZE / 2 - 64, WP_BOARD_RESULTS_SIZE / 2, 5,
                            60000, 60000, 60000, WP_BOARD_RESULTS_SIZE };
  g_autoptr (Outcome) outcome = NULL;

  peer_send_chunk (peer, 1, "big",
                   g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, sizes, G_N_ELEMENTS (sizes), sizeof *sizes));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, G_N_ELEMENTS (sizes));
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      const guint8 *bytes;
      gsize size;

      g_assert_no_error ((GError *) outcome->errors->pdata[i]);
      bytes = g_variant_get_fixed_array (outcome->values->pdata[i], &size, 1);
      g_assert_cmpuint (size, ==, sizes[i]);
      for (gsize j = 0; j < size; j++)
        g_assert_cmpuint (bytes[j], ==, j & 0xff);
    }
  g_assert_cmpuint (outcome->n_shared, ==, 3);

  /* The last result was in a frame of its own, which also ended the chunk. */
  stop (peer);
}

static void
test_large_arguments_are_shared (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  gsize size = 1000 * 1000;
  g_autofree guint8 *bytes = g_malloc0 (size);
  g_autoptr (GVariant) args = NULL;
  g_autoptr (GVariant) arg = NULL;
  g_autoptr (Outcome) outcome = NULL;

  memset (bytes, 'x', size);
  arg = g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1));
  args = g_variant_ref_sink (g_variant_new_array (NULL, &arg, 1));
  peer_send_chunk (peer, 1, "identity", args);
  outcome = peer_collect (peer, 1);
  g_assert_no_error ((GError *) outcome->errors->pdata[0]);
  g_assert_true (g_variant_equal (outcome->values->pdata[0], arg));
}

/* Adds what the worker committed to its board but did not send. */
static void
salvage (Peer    *peer,
         Outcome *outcome)
{
  g_autoptr (GBytes) bytes = NULL;
  gsize position = 0;
  gsize open = 0;

  bytes = wp_board_salvage (peer->board, &open);
  if (bytes == NULL)
    return;

  while (position < g_bytes_get_size (bytes))
    {
      const guint8 *data = g_bytes_get_data (bytes, NULL);
      gsize overhead = WP_FRAME_HEADER_SIZE + WP_RESULTS_HEAD_SIZE;
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) body = NULL;
      WpFrameHeader header;
      WpResultsHead head;
      gsize size;

      g_assert_true (wp_frame_header_decode (&header, data + position, &error));
      g_assert_true (wp_results_head_decode (&head, data + position + WP_FRAME_HEADER_SIZE, WP_RESULTS_HEAD_SIZE,
                                             &error));
      size = position < open ? header.body_length : g_bytes_get_size (bytes) - position - overhead;
      body = g_bytes_new_from_bytes (bytes, position + overhead, size);
      g_assert_cmpuint (head.offset, <=, outcome->values->len);
      outcome_add_payload (outcome, body, outcome->values->len - head.offset);
      position += overhead + size;
    }
}

static void
test_killed_worker_leaves_its_results (void)
{
  for (guint repetition = 0; repetition < 20; repetition++)
    {
      g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
      g_autoptr (Outcome) outcome = outcome_new ();
      guint64 sequence;
      gint64 started;
      guint offset;
      int status;

      peer_send_chunk (peer, 1, "crash", NUMBERS (10, 20, -1, 40));
      status = peer_wait (peer);
      g_assert_true (WIFSIGNALED (status));
      g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);

      while (TRUE)
        {
          g_auto (WpFrame) frame = { 0 };

          if (!peer_try_receive (peer, &frame))
            break;
          outcome_add_frame (outcome, &frame);
          g_assert_false (outcome->done);
        }
      salvage (peer, outcome);

      g_assert_cmpuint (outcome->values->len, ==, 2);
      outcome_assert_value (outcome, 0, "10");
      outcome_assert_value (outcome, 1, "20");
      g_assert_cmpuint (wp_board_get_claimed (peer->board, 1, 4), ==, 3);
      g_assert_true (wp_board_get_running (peer->board, &sequence, &offset, &started));
      g_assert_cmpuint (sequence, ==, 1);
      g_assert_cmpuint (offset, ==, 2);
    }
}

static void
test_only_the_channel_is_inherited (void)
{
  g_autoptr (Peer) peer = NULL;
  g_autoptr (Outcome) outcome = NULL;
  g_autofree const char **descriptors = NULL;
  int inheritable[8];
  gsize n;

  for (guint i = 0; i < G_N_ELEMENTS (inheritable); i++)
    {
      inheritable[i] = open ("/dev/zero", O_RDONLY);
      g_assert_cmpint (inheritable[i], >=, 0);
    }

  peer = peer_start (WP_TRANSPORT_SOCKET);
  peer_send_chunk (peer, 1, "descriptors", NUMBERS (0));
  outcome = peer_collect (peer, 1);
  g_assert_no_error ((GError *) outcome->errors->pdata[0]);
  descriptors = g_variant_get_strv (outcome->values->pdata[0], &n);
  g_assert_cmpuint (n, ==, 4);
  g_assert_cmpstr (descriptors[0], ==, "0 /dev/null");
  g_assert_true (g_str_has_prefix (descriptors[1], "1 "));
  g_assert_true (g_str_has_prefix (descriptors[2], "2 "));
  g_assert_true (g_str_has_prefix (descriptors[3], "3 socket:"));

  for (guint i = 0; i < G_N_ELEMENTS (inheritable); i++)
    close (inheritable[i]);
}

static void
test_programs_of_tasks_inherit_no_channel (void)
{
  const WpTransport transports[] = { WP_TRANSPORT_SOCKET, WP_TRANSPORT_STDIO };

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (Peer) peer = peer_start (transports[i]);
      g_autoptr (Outcome) outcome = NULL;

      peer_send_chunk (peer, 1, "descriptors_of_program", NUMBERS (0));
      outcome = peer_collect (peer, 1);
      outcome_assert_value (outcome, 0, "'0 1 2'");
    }
}

/* A host behind a shell, with its standard error in a file. */
static Peer *
launch_with_errors_in (const char  *path,
                       WpTransport  transport)
{
  g_auto (GStrv) host = wp_host_get_default_argv (NULL);
  const char *argv[] = { "/bin/sh", "-c", "exec \"$0\" 2>\"$1\"", host[0], path, NULL };

  return peer_launch (argv, transport);
}

static char *
make_file (void)
{
  g_autoptr (GError) error = NULL;
  char *path;
  int fd = g_file_open_tmp ("test-worker-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);

  return path;
}

static char *
take_text (const char *path)
{
  g_autoptr (GError) error = NULL;
  char *text;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (unlink (path), ==, 0);

  return text;
}

static void
test_prints_do_not_corrupt_stdio (void)
{
  g_autofree char *path = make_file ();
  g_autoptr (Peer) peer = launch_with_errors_in (path, WP_TRANSPORT_STDIO);
  g_autoptr (Outcome) outcome = NULL;
  g_autofree char *text = NULL;

  peer_configure (peer, 0, TRUE);
  peer_send_chunk (peer, 1, "prints", NUMBERS (1, 2, 3));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_no_error ((GError *) outcome->errors->pdata[i]);

  stop (peer);
  text = take_text (path);
  g_assert_cmpstr (text, ==,
                   "printed by a task\nwritten by a task\nprinted by a task\nwritten by a task\n"
                   "printed by a task\nwritten by a task\n");
}

static void
test_stdio_announces_each_task (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_STDIO);
  g_autoptr (Outcome) outcome = NULL;
  g_autoptr (Outcome) large = NULL;
  guint64 size = 3 * 1000 * 1000;

  peer_send_chunk (peer, 1, "widen", NUMBERS (1, 2, 3, 4, 5));
  outcome = peer_collect (peer, 1);
  g_assert_cmpuint (outcome->values->len, ==, 5);
  g_assert_cmpuint (outcome->n_started, ==, 5);

  peer_send_chunk (peer, 2, "big", g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, &size, 1, sizeof size));
  large = peer_collect (peer, 2);
  g_assert_cmpuint (g_variant_n_children (large->values->pdata[0]), ==, size);
  g_assert_cmpuint (large->n_shared, ==, 0);

  stop (peer);
}

static void
send_cancel (Peer   *peer,
             guint64 sequence,
             guint   offset)
{
  g_autoptr (GError) error = NULL;
  WpFrameHeader header = { .type = WP_FRAME_CANCEL, .sequence = sequence, .head_length = WP_TASK_HEAD_SIZE };
  WpTaskHead head = { .offset = offset };
  guint8 head_bytes[WP_TASK_HEAD_SIZE];

  wp_task_head_encode (&head, head_bytes);
  wp_channel_send (peer->channel, &header, head_bytes, NULL, -1, &error);
  g_assert_no_error (error);
}

static void
test_stdio_cancels_by_message (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_STDIO);
  g_autoptr (Outcome) first = NULL;
  g_autoptr (Outcome) second = NULL;
  g_autoptr (Outcome) third = NULL;

  /* The other chunks arrive while the first waits, and keep their order. */
  peer_send_chunk (peer, 1, "wait_for_cancel", NUMBERS (0));
  peer_send_chunk (peer, 2, "wait_for_cancel", NUMBERS (-1, 0));
  peer_send_chunk (peer, 3, "widen", NUMBERS (1));
  send_cancel (peer, 2, 0);
  send_cancel (peer, 1, 1);
  send_cancel (peer, 1, 0);
  first = peer_collect (peer, 1);
  outcome_assert_value (first, 0, "true");

  while (TRUE)
    {
      g_auto (WpFrame) frame = { 0 };
      WpTaskHead head;

      g_assert_true (peer_try_receive (peer, &frame));
      g_assert_cmpuint (frame.header.sequence, ==, 2);
      if (frame.header.type != WP_FRAME_STARTED)
        continue;
      g_assert_true (wp_task_head_decode (&head, frame.head, frame.header.head_length, NULL));
      if (head.offset == 1)
        break;
    }
  send_cancel (peer, 2, 1);
  second = outcome_new ();
  g_ptr_array_add (second->values, NULL);
  g_ptr_array_add (second->errors, NULL);
  while (!second->done)
    {
      g_auto (WpFrame) frame = { 0 };

      peer_receive (peer, WP_FRAME_RESULTS, &frame);
      outcome_add_frame (second, &frame);
    }
  outcome_assert_value (second, 1, "true");
  third = peer_collect (peer, 3);
  outcome_assert_value (third, 0, "int64 1");
  stop (peer);
}

static void
test_host_lists_functions (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autofree char *first = peer_get_function ("identity");
  g_autoptr (Outcome) lists = NULL;
  g_autofree const char **declared = NULL;
  gsize n_names;

  peer_send_chunk_with (peer, 1, WP_FUNCTION_LIST, "", 0,
                        g_variant_new_parsed ("[('',), (%s,), ('/nowhere/absent.so',)]",
                                              g_getenv ("WORKERPOOL_TEST_MODULE")),
                        0);
  lists = peer_collect (peer, 1);

  outcome_assert_value (lists, 0, "@as []");
  declared = g_variant_get_strv (lists->values->pdata[1], &n_names);
  g_assert_cmpuint (n_names, ==, 4);
  g_assert_cmpstr (declared[0], ==, first);
  g_assert_error ((GError *) lists->errors->pdata[2], WP_ERROR, WP_ERROR_UNKNOWN_FUNCTION);
}

static void
test_end_of_channel_ends_worker (void)
{
  const WpTransport transports[] = { WP_TRANSPORT_SOCKET, WP_TRANSPORT_STDIO };

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (Peer) peer = peer_start (transports[i]);
      int status;

      peer_close (peer);
      status = peer_wait (peer);
      g_assert_true (WIFEXITED (status));
      g_assert_cmpint (WEXITSTATUS (status), ==, 1);
    }
}

static void
test_broken_protocol_ends_worker (void)
{
  g_autofree char *path = make_file ();
  g_autoptr (Peer) peer = launch_with_errors_in (path, WP_TRANSPORT_SOCKET);
  g_autofree char *text = NULL;
  int status;

  peer_configure (peer, 0, TRUE);
  peer_send (peer, WP_FRAME_READY, 0, NULL, -1);
  status = peer_wait (peer);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 2);
  text = take_text (path);
  g_assert_nonnull (strstr (text, "workerpool-host: The pool broke the protocol"));
}

static void
test_interrupts_are_ignored (void)
{
  g_autoptr (Peer) peer = peer_start (WP_TRANSPORT_SOCKET);
  g_autoptr (Outcome) outcome = NULL;

  peer_send_chunk (peer, 1, "wait_for_cancel", NUMBERS (0));
  wait_until_running (peer, 1, 0);
  wp_worker_process_send_signal (peer->process, SIGINT);
  wp_board_cancel (peer->board, 1, 0);
  outcome = peer_collect (peer, 1);
  outcome_assert_value (outcome, 0, "true");
  stop (peer);
}

/* A launcher that has blocked signals, as many programs block them in all threads but one. */
static void
test_signal_mask_is_reset (void)
{
  g_autoptr (Peer) peer = NULL;
  sigset_t all;
  sigset_t before;
  int status;

  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, &before);
  peer = peer_start (WP_TRANSPORT_SOCKET);
  sigprocmask (SIG_SETMASK, &before, NULL);

  peer_send_chunk (peer, 1, "wait_for_cancel", NUMBERS (0));
  wait_until_running (peer, 1, 0);
  wp_worker_process_send_signal (peer->process, SIGTERM);
  status = peer_wait (peer);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGTERM);
}

/* Starts the host with the variables and a standard input from nowhere; returns its exit status. */
static int
run_host (const char *channel,
          const char *owner,
          const char *argument,
          char      **text)
{
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  g_autoptr (GSubprocess) subprocess = NULL;
  g_auto (GStrv) host = wp_host_get_default_argv (NULL);
  g_autoptr (GError) error = NULL;

  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
  if (channel != NULL)
    g_subprocess_launcher_setenv (launcher, WP_CHANNEL_VARIABLE, channel, TRUE);
  if (owner != NULL)
    g_subprocess_launcher_setenv (launcher, WP_OWNER_VARIABLE, owner, TRUE);

  subprocess = g_subprocess_launcher_spawn (launcher, &error, host[0], argument, NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (subprocess, NULL, NULL, text, NULL, &error);
  g_assert_no_error (error);

  return g_subprocess_get_exit_status (subprocess);
}

static void
assert_host_says (const char *channel,
                  const char *argument,
                  int         status,
                  const char *sentence)
{
  g_autofree char *text = NULL;

  g_assert_cmpint (run_host (channel, NULL, argument, &text), ==, status);
  g_assert_nonnull (text);
  g_assert_nonnull (strstr (text, sentence));
}

static void
test_host_explains_itself (void)
{
  assert_host_says (NULL, NULL, 2, "is started by a pool");
  assert_host_says (NULL, "--version", 0, "workerpool-host ");
  assert_host_says (NULL, "--unheard-of", 2, "--unheard-of");
  assert_host_says ("fd:0", NULL, 2, "not a Unix stream socket");
  assert_host_says ("fd:77", NULL, 2, "not a Unix stream socket");
  assert_host_says ("fd:", NULL, 2, "“fd:”");
  assert_host_says ("tcp:1", NULL, 2, "“tcp:1”");
  /* The standard input is /dev/null. */
  assert_host_says (NULL, "--stdio", 2, "pipes or sockets");
}

static void
test_orphan_ends_silently (void)
{
  g_autofree char *text = NULL;

  /* Process 1 is not this test, so the owner that the variable names is not the parent. */
  g_assert_cmpint (run_host ("fd:0", "1", NULL, &text), ==, 1);
  g_assert_cmpstr (text, ==, "");
}

static void
test_stdio_option_needs_no_environment (void)
{
  g_auto (GStrv) host = wp_host_get_default_argv (NULL);
  const char *argv[] = { "/usr/bin/env", "-i", NULL, host[0], "--stdio", NULL };
  g_autofree char *library_path = g_strdup_printf ("LD_LIBRARY_PATH=%s", g_getenv ("LD_LIBRARY_PATH") ?: "");
  g_autoptr (Peer) peer = NULL;
  g_autoptr (Outcome) outcome = NULL;

  argv[2] = library_path;
  peer = peer_launch (argv, WP_TRANSPORT_STDIO);
  peer_configure (peer, 0, TRUE);
  peer_send_chunk (peer, 1, "widen", NUMBERS (1));
  outcome = peer_collect (peer, 1);
  outcome_assert_value (outcome, 0, "int64 1");
  stop (peer);
}

/* What this program does when it is started as the owner of a worker that will not end by itself. */
static int
own_a_worker (gboolean daemonic)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = wp_host_get_default_argv (&error);
  Peer *peer = peer_launch ((const char *const *) argv, WP_TRANSPORT_SOCKET);

  peer_configure (peer, 0, daemonic);
  peer_send_chunk (peer, 1, "wait_for_cancel", NUMBERS (0));
  wait_until_running (peer, 1, 0);
  g_print ("%d\n", wp_worker_process_get_pid (peer->process));
  peer_wait (peer);

  return 0;
}

static void
assert_dies_with_owner (const char *argument)
{
  g_autoptr (GSubprocess) owner = NULL;
  g_autoptr (GDataInputStream) output = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;
  struct pollfd worker = { .events = POLLIN };

  owner = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "/proc/self/exe", argument, NULL);
  g_assert_no_error (error);
  output = g_data_input_stream_new (g_subprocess_get_stdout_pipe (owner));
  line = g_data_input_stream_read_line (output, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (line);

  worker.fd = syscall (SYS_pidfd_open, (pid_t) g_ascii_strtoll (line, NULL, 10), 0);
  g_assert_cmpint (worker.fd, >=, 0);
  g_assert_cmpint (poll (&worker, 1, 0), ==, 0);

  g_subprocess_force_exit (owner);
  g_assert_true (g_subprocess_wait (owner, NULL, &error));
  g_assert_cmpint (poll (&worker, 1, PEER_PATIENCE_MS), ==, 1);
  close (worker.fd);
}

static void
test_worker_dies_with_owner (void)
{
  assert_dies_with_owner ("--own-a-daemon");
  assert_dies_with_owner ("--own-a-parent");
}

static const BracketedTest tests[] = {
  { "/worker/chunk/is-answered", test_chunk_is_answered },
  { "/worker/chunk/values-keep-their-types", test_values_keep_their_types },
  { "/worker/chunk/many-results-come-in-order", test_many_results_come_in_order },
  { "/worker/chunk/queued-ones-are-all-answered", test_queued_chunks_are_all_answered },
  { "/worker/chunk/context-tells-worker-and-task", test_context_tells_where },
  { "/worker/chunk/errors-keep-their-identity", test_errors_keep_identity },
  { "/worker/chunk/invalid-results-are-errors", test_invalid_results_are_errors },
  { "/worker/chunk/unknown-function-fails-every-task", test_unknown_function_fails_every_task },
  { "/worker/chunk/large-results-are-shared", test_large_results_are_shared },
  { "/worker/chunk/large-arguments-are-shared", test_large_arguments_are_shared },
  { "/worker/board/recalled-tasks-do-not-run", test_recalled_tasks_do_not_run },
  { "/worker/board/running-chunk-can-be-recalled-and-cancelled", test_recall_from_running_chunk },
  { "/worker/board/killed-worker-leaves-its-results", test_killed_worker_leaves_its_results },
  { "/worker/process/only-the-channel-is-inherited", test_only_the_channel_is_inherited },
  { "/worker/process/programs-of-tasks-inherit-no-channel", test_programs_of_tasks_inherit_no_channel },
  { "/worker/process/end-of-channel-ends-it", test_end_of_channel_ends_worker },
  { "/worker/process/broken-protocol-ends-it", test_broken_protocol_ends_worker },
  { "/worker/process/interrupts-are-ignored", test_interrupts_are_ignored },
  { "/worker/process/signal-mask-is-reset", test_signal_mask_is_reset },
  { "/worker/process/dies-with-its-owner", test_worker_dies_with_owner },
  { "/worker/process/orphan-ends-silently", test_orphan_ends_silently },
  { "/worker/stdio/prints-do-not-corrupt-the-channel", test_prints_do_not_corrupt_stdio },
  { "/worker/stdio/each-task-is-announced", test_stdio_announces_each_task },
  { "/worker/stdio/cancels-by-message", test_stdio_cancels_by_message },
  { "/worker/stdio/option-needs-no-environment", test_stdio_option_needs_no_environment },
  { "/worker/host/lists-its-functions", test_host_lists_functions },
  { "/worker/host/explains-itself", test_host_explains_itself },
};

int
main (int   argc,
      char *argv[])
{
  const char *true_argv[] = { "true", NULL };

  if (g_strcmp0 (argv[1], "--own-a-daemon") == 0)
    return own_a_worker (TRUE);
  if (g_strcmp0 (argv[1], "--own-a-parent") == 0)
    return own_a_worker (FALSE);

  /* A shell's background jobs ignore SIGINT, and a worker would inherit that. */
  signal (SIGINT, SIG_DFL);
  peer_warm_up (true_argv);

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
