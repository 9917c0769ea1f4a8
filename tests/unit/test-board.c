/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-board.h"
#include "channel/wp-error.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bracketed-tests.h"

/* The two ends of one board, in one process. */
typedef struct
{
  WpBoard *pool;
  WpBoard *worker;
} Ends;

static void
ends_open (Ends *ends)
{
  g_autoptr (GError) error = NULL;

  ends->pool = wp_board_new (&error);
  g_assert_no_error (error);
  ends->worker = wp_board_new_from_fd (wp_board_get_fd (ends->pool), &error);
  g_assert_no_error (error);
}

static void
ends_close (Ends *ends)
{
  wp_board_free (ends->pool);
  wp_board_free (ends->worker);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Ends, ends_close)

/* The board's bytes, as a worker that does not care for the rules sees them. */
static guint8 *
map_raw (WpBoard *board, gsize *size)
{
  struct stat info;
  guint8 *raw;

  g_assert_no_errno (fstat (wp_board_get_fd (board), &info));
  *size = info.st_size;
  raw = mmap (NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, wp_board_get_fd (board), 0);
  g_assert_true (raw != MAP_FAILED);
  return raw;
}

static void
test_claims_in_order (void)
{
  g_auto (Ends) ends = { 0 };
  guint offset;

  ends_open (&ends);
  for (guint64 sequence = 1; sequence < 100; sequence++)
    {
      guint n_tasks = sequence * 3;

      wp_board_open_chunk (ends.pool, sequence, n_tasks);
      for (guint i = 0; i < n_tasks; i++)
        {
          g_assert_cmpuint (wp_board_get_claimed (ends.pool, sequence, n_tasks), ==, i);
          g_assert_true (wp_board_claim (ends.worker, sequence, &offset));
          g_assert_cmpuint (offset, ==, i);
        }
      g_assert_false (wp_board_claim (ends.worker, sequence, &offset));
      g_assert_cmpuint (wp_board_get_claimed (ends.pool, sequence, n_tasks), ==, n_tasks);
      g_assert_cmpuint (wp_board_recall (ends.pool, sequence, n_tasks, n_tasks), ==, 0);
    }
}

static void
test_chunks_side_by_side (void)
{
  g_auto (Ends) ends = { 0 };
  guint offset;

  ends_open (&ends);
  for (guint64 sequence = 100; sequence < 100 + WP_BOARD_SLOTS; sequence++)
    wp_board_open_chunk (ends.pool, sequence, G_MAXUINT32);

  for (guint64 sequence = 100; sequence < 100 + WP_BOARD_SLOTS; sequence++)
    for (guint i = 0; i < sequence - 99; i++)
      {
        g_assert_true (wp_board_claim (ends.worker, sequence, &offset));
        g_assert_cmpuint (offset, ==, i);
      }

  for (guint64 sequence = 100; sequence < 100 + WP_BOARD_SLOTS; sequence++)
    g_assert_cmpuint (wp_board_get_claimed (ends.pool, sequence, G_MAXUINT32), ==, sequence - 99);
}

static void
test_recall_from_the_end (void)
{
  g_auto (Ends) ends = { 0 };
  guint offset;

  ends_open (&ends);
  wp_board_open_chunk (ends.pool, 7, 10);
  g_assert_true (wp_board_claim (ends.worker, 7, &offset));
  g_assert_true (wp_board_claim (ends.worker, 7, &offset));
  g_assert_cmpuint (wp_board_recall (ends.pool, 7, 10, 0), ==, 0);
  g_assert_cmpuint (wp_board_recall (ends.pool, 7, 10, 3), ==, 3);
  g_assert_false (wp_board_is_claimed (ends.worker, 7));
  g_assert_cmpuint (wp_board_recall (ends.pool, 7, 7, 100), ==, 5);
  g_assert_cmpuint (wp_board_recall (ends.pool, 7, 2, 100), ==, 0);
  g_assert_true (wp_board_is_claimed (ends.worker, 7));
  g_assert_false (wp_board_claim (ends.worker, 7, &offset));
  g_assert_cmpuint (wp_board_get_claimed (ends.pool, 7, 2), ==, 2);
}

typedef struct
{
  WpBoard *board;
  int round; /* atomic: the rounds that may run */
  int done;  /* atomic: the rounds that have ended */
  int n_rounds;
  guint n_claimed;
  guint last_offset;
} Claimer;

static gpointer
claim_rounds (gpointer data)
{
  Claimer *claimer = data;

  for (int round = 1; round <= claimer->n_rounds; round++)
    {
      guint offset;
      guint n = 0;

      while (g_atomic_int_get (&claimer->round) < round)
        g_thread_yield ();
      while (wp_board_claim (claimer->board, round, &offset))
        g_assert_cmpuint (offset, ==, n++);
      claimer->n_claimed = n;
      g_atomic_int_set (&claimer->done, round);
    }
  return NULL;
}

/* Every task is either claimed or taken back, and none is both. */
static void
test_race (void)
{
  g_auto (Ends) ends = { 0 };
  Claimer claimer = { .n_rounds = 20000 };
  guint n_contested = 0;
  GThread *thread;

  ends_open (&ends);
  claimer.board = ends.worker;
  thread = g_thread_new ("claimer", claim_rounds, &claimer);
  for (int round = 1; round <= claimer.n_rounds; round++)
    {
      guint n_tasks = g_test_rand_int_range (1, 400);
      guint left = n_tasks;
      guint most = g_test_rand_int_range (1, 20);

      wp_board_open_chunk (ends.pool, round, n_tasks);
      g_atomic_int_set (&claimer.round, round);
      for (;;)
        {
          guint taken = wp_board_recall (ends.pool, round, left, most);

          g_assert_cmpuint (taken, <=, MIN (most, left));
          left -= taken;
          if (g_atomic_int_get (&claimer.done) == round && taken == 0)
            break;
          /* On one CPU, too, both sides get their turns. */
          if (g_test_rand_bit ())
            g_thread_yield ();
        }

      g_assert_cmpuint (claimer.n_claimed, ==, left);
      g_assert_cmpuint (wp_board_get_claimed (ends.pool, round, left), ==, left);
      n_contested += left > 0 && left < n_tasks;
    }

  g_thread_join (thread);
  g_test_message ("%u of %d rounds had tasks on both sides", n_contested, claimer.n_rounds);
  g_assert_cmpuint (n_contested, >, 0);
}

static void
assert_clamped (WpBoard *pool, guint64 sequence, guint n_tasks)
{
  g_autoptr (GBytes) bytes = NULL;
  guint64 running_sequence;
  guint offset;
  gint64 started;
  gsize open = 0;

  g_assert_cmpuint (wp_board_get_claimed (pool, sequence, n_tasks), <=, n_tasks);
  g_assert_cmpuint (wp_board_recall (pool, sequence, n_tasks, n_tasks / 2), <=, n_tasks / 2);
  if (wp_board_get_running (pool, &running_sequence, &offset, &started))
    g_assert_cmpuint (running_sequence, <=, G_MAXUINT32);
  wp_board_get_n_finished (pool);

  bytes = wp_board_salvage (pool, &open);
  if (bytes != NULL)
    {
      g_assert_cmpuint (g_bytes_get_size (bytes), <=, WP_BOARD_RESULTS_SIZE);
      g_assert_cmpuint (open, <=, g_bytes_get_size (bytes));
    }
}

static void
test_hostile_content (void)
{
  static const guint8 fills[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
  g_auto (Ends) ends = { 0 };
  guint8 *raw;
  gsize size;

  ends_open (&ends);
  raw = map_raw (ends.pool, &size);
  for (gsize i = 0; i < G_N_ELEMENTS (fills); i++)
    {
      memset (raw, fills[i], size);
      assert_clamped (ends.pool, 3, 10);
      g_assert_cmpuint (
          wp_board_get_claimed (ends.pool, 3, 10) + wp_board_recall (ends.pool, 3, 10, 10), ==, 10);
    }

  for (int round = 0; round < 1000; round++)
    {
      for (gsize i = 0; i < 1024; i++)
        raw[i] = g_test_rand_int ();
      assert_clamped (ends.pool, g_test_rand_int (), g_test_rand_int_range (0, 100000));
    }
  munmap (raw, size);
}

typedef struct
{
  guint8 *raw;
  int stop; /* atomic */
} Scribbler;

static gpointer
scribble (gpointer data)
{
  Scribbler *scribbler = data;
  guint32 state = 12345;

  while (!g_atomic_int_get (&scribbler->stop))
    for (gsize i = 0; i < 1024; i += 4)
      {
        state = state * 1664525 + 1013904223;
        memcpy (scribbler->raw + i, &state, 4);
      }
  return NULL;
}

static void
test_hostile_while_reading (void)
{
  g_auto (Ends) ends = { 0 };
  Scribbler scribbler = { 0 };
  GThread *thread;
  gsize size;

  ends_open (&ends);
  scribbler.raw = map_raw (ends.pool, &size);
  thread = g_thread_new ("scribbler", scribble, &scribbler);
  for (int round = 0; round < 5000; round++)
    assert_clamped (ends.pool, round, 1000);
  g_atomic_int_set (&scribbler.stop, TRUE);
  g_thread_join (thread);
  munmap (scribbler.raw, size);
}

static void
assert_no_board (int fd)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (wp_board_new_from_fd (fd, &error));
  g_assert_error (error, WP_ERROR, WP_ERROR_PROTOCOL);
}

static void
test_seals (void)
{
  g_autoptr (WpBoard) board = wp_board_new (NULL);
  int fd = wp_board_get_fd (board);
  struct stat info;
  int other;

  g_assert_no_errno (fstat (fd, &info));
  g_assert_cmpint (ftruncate (fd, info.st_size - 1), ==, -1);
  g_assert_cmpint (ftruncate (fd, info.st_size + 1), ==, -1);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_WRITE), ==, -1);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);

  other = memfd_create ("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_assert_no_errno (ftruncate (other, info.st_size));
  assert_no_board (other);
  g_assert_no_errno (fcntl (other, F_ADD_SEALS, F_SEAL_SHRINK));
  assert_no_board (other);
  close (other);

  other = memfd_create ("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_assert_no_errno (ftruncate (other, info.st_size - 1));
  g_assert_no_errno (fcntl (other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  assert_no_board (other);
  close (other);

  other = open ("/dev/zero", O_RDWR | O_CLOEXEC);
  assert_no_board (other);
  close (other);
  assert_no_board (-1);
}

static void
test_descriptor_is_dropped (void)
{
  g_autoptr (WpBoard) board = wp_board_new (NULL);
  int fd = wp_board_get_fd (board);
  guint offset;

  wp_board_drop_fd (board);
  g_assert_cmpint (wp_board_get_fd (board), ==, -1);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, -1);
  wp_board_drop_fd (board);

  wp_board_open_chunk (board, 1, 1);
  g_assert_true (wp_board_claim (board, 1, &offset));
}

static void
test_running (void)
{
  g_auto (Ends) ends = { 0 };
  guint64 sequence;
  guint offset;
  gint64 started;

  ends_open (&ends);
  g_assert_false (wp_board_get_running (ends.pool, &sequence, &offset, &started));

  wp_board_set_running (ends.worker, G_GUINT64_CONSTANT (0x500000007), 4, 12345);
  g_assert_true (wp_board_get_running (ends.pool, &sequence, &offset, &started));
  g_assert_cmpuint (sequence, ==, 7);
  g_assert_cmpuint (offset, ==, 4);
  g_assert_cmpint (started, ==, 12345);

  wp_board_set_idle (ends.worker, 99);
  g_assert_false (wp_board_get_running (ends.pool, &sequence, &offset, &started));
  g_assert_cmpuint (wp_board_get_n_finished (ends.pool), ==, 99);
}

typedef struct
{
  WpBoard *board;
  int stop; /* atomic */
} Runner;

static gpointer
run_tasks (gpointer data)
{
  Runner *runner = data;

  for (guint i = 1; !g_atomic_int_get (&runner->stop); i++)
    wp_board_set_running (runner->board, i, i * 7, (gint64) i << 8);
  return NULL;
}

/* A deadline must not be applied to a task that has just begun. */
static void
test_start_belongs_to_task (void)
{
  g_auto (Ends) ends = { 0 };
  Runner runner = { 0 };
  guint n_seen = 0;
  GThread *thread;

  ends_open (&ends);
  runner.board = ends.worker;
  thread = g_thread_new ("runner", run_tasks, &runner);
  while (n_seen < 100000)
    {
      guint64 sequence;
      guint offset;
      gint64 started;

      if (!wp_board_get_running (ends.pool, &sequence, &offset, &started))
        continue;
      g_assert_cmpuint (offset, ==, (guint) sequence * 7);
      g_assert_cmpint ((guint32) (started >> 8), ==, (guint32) sequence);
      n_seen++;
    }
  g_atomic_int_set (&runner.stop, TRUE);
  g_thread_join (thread);
}

static void
test_cancel (void)
{
  g_auto (Ends) ends = { 0 };

  ends_open (&ends);
  g_assert_false (wp_board_is_cancelled (ends.worker, 0, 0));
  g_assert_false (wp_board_is_cancelled (ends.worker, G_GUINT64_CONSTANT (1) << 32, 0));

  wp_board_cancel (ends.pool, 5, 3);
  g_assert_true (wp_board_is_cancelled (ends.worker, 5, 3));
  g_assert_false (wp_board_is_cancelled (ends.worker, 5, 2));
  g_assert_false (wp_board_is_cancelled (ends.worker, 5, 4));
  g_assert_false (wp_board_is_cancelled (ends.worker, 6, 3));

  wp_board_cancel (ends.pool, 6, 0);
  g_assert_true (wp_board_is_cancelled (ends.worker, 6, 0));
  g_assert_false (wp_board_is_cancelled (ends.worker, 5, 3));
}

static void
test_salvage (void)
{
  g_auto (Ends) ends = { 0 };
  guint8 *results;
  gsize open;

  ends_open (&ends);
  results = wp_board_get_results (ends.worker);
  g_assert_cmpuint (GPOINTER_TO_SIZE (results) % 8, ==, 0);
  g_assert_null (wp_board_salvage (ends.pool, &open));
  g_assert_cmpuint (open, ==, 0);

  for (gsize i = 0; i < WP_BOARD_RESULTS_SIZE; i++)
    results[i] = i * 13;
  for (guint32 committed = 1; committed <= WP_BOARD_RESULTS_SIZE; committed = committed * 3 + 1)
    {
      g_autoptr (GBytes) bytes = NULL;

      wp_board_commit (ends.worker, committed / 2, committed);
      bytes = wp_board_salvage (ends.pool, &open);
      g_assert_cmpuint (open, ==, committed / 2);
      g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), results,
                       committed);
    }

  wp_board_commit (ends.worker, 0, 0);
  g_assert_null (wp_board_salvage (ends.pool, &open));

  for (gsize size = 0; size <= WP_BOARD_RESULTS_SIZE; size = size * 3 + 1)
    {
      g_autoptr (GBytes) tail = wp_board_salvage_tail (ends.pool, size);

      g_assert_cmpmem (g_bytes_get_data (tail, NULL), g_bytes_get_size (tail), results + WP_BOARD_RESULTS_SIZE - size,
                       size);
    }
}

/* What was committed survives kill -9, and what was not is not seen. */
static void
test_salvage_after_death (void)
{
  for (int n_commits = 0; n_commits < 20; n_commits++)
    {
      g_autoptr (WpBoard) board = wp_board_new (NULL);
      g_autoptr (GBytes) bytes = NULL;
      gsize open;
      int status;
      pid_t pid = fork ();

      if (pid == 0)
        {
          guint8 *results = wp_board_get_results (board);

          for (int i = 0; i < n_commits; i++)
            {
              memset (results + 8 * i, i + 1, 8);
              wp_board_commit (board, 8 * (i / 2), 8 * (i + 1));
            }
          memset (results + 8 * n_commits, 0xff, 4);
          raise (SIGKILL);
        }

      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
      bytes = wp_board_salvage (board, &open);
      if (n_commits == 0)
        {
          g_assert_null (bytes);
          continue;
        }

      g_assert_cmpuint (g_bytes_get_size (bytes), ==, 8 * n_commits);
      g_assert_cmpuint (open, ==, 8 * ((n_commits - 1) / 2));
      for (int i = 0; i < 8 * n_commits; i++)
        g_assert_cmpuint (((const guint8 *) g_bytes_get_data (bytes, NULL))[i], ==, i / 8 + 1);
    }
}

static void
test_private (void)
{
  g_autoptr (WpBoard) board = wp_board_new_private ();
  g_autoptr (GBytes) bytes = NULL;
  gsize open;

  g_assert_cmpint (wp_board_get_fd (board), ==, -1);
  memset (wp_board_get_results (board), 5, WP_BOARD_RESULTS_SIZE);
  wp_board_commit (board, 8, WP_BOARD_RESULTS_SIZE);
  bytes = wp_board_salvage (board, &open);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, WP_BOARD_RESULTS_SIZE);
}

int
main (int argc, char **argv)
{
  static const BracketedTest tests[] = {
    { "/board/claims/come-in-order", test_claims_in_order },
    { "/board/claims/of-chunks-are-independent", test_chunks_side_by_side },
    { "/board/claims/are-taken-back-from-the-end", test_recall_from_the_end },
    { "/board/claims/no-task-is-both-run-and-returned", test_race },
    { "/board/trust/any-content-is-clamped", test_hostile_content },
    { "/board/trust/changing-content-is-clamped", test_hostile_while_reading },
    { "/board/seals/size-is-fixed-and-checked", test_seals },
    { "/board/descriptor/can-be-dropped", test_descriptor_is_dropped },
    { "/board/running/is-seen-by-the-pool", test_running },
    { "/board/running/start-belongs-to-its-task", test_start_belongs_to_task },
    { "/board/cancel/reaches-one-task", test_cancel },
    { "/board/salvage/is-what-was-committed", test_salvage },
    { "/board/salvage/survives-death", test_salvage_after_death },
    { "/board/private/buffers-results", test_private },
  };

  return run_tests (argc, argv, tests, G_N_ELEMENTS (tests));
}
