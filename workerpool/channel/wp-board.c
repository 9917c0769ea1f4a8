/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-board.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel/wp-error.h"

#define ON_CACHE_LINE __attribute__ ((aligned (64)))
#define ON_PAGE __attribute__ ((aligned (4096)))

/* How often the pool tries to get hold of something that the worker keeps changing. A worker that
 * plays fair changes a word once a task, so that the second or third try succeeds; another may not
 * make the pool spin. */
#define MAX_TRIES 64

#define BOARD_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* Each side writes its own cache lines, and both write the claims. */
typedef struct
{
  /* The worker's. */
  guint64 running; /* low half of the sequence : offset */
  gint64 started;  /* 0 while nothing runs, and while 'running' changes */
  guint64 n_finished;
  guint64 committed; /* open : committed */

  /* The pool's. */
  guint64 cancelled ON_CACHE_LINE; /* low half of the sequence : offset + 1; 0: nothing */
  guint32 bell; /* how often it has rung; a futex */

  guint64 claims[WP_BOARD_SLOTS] ON_CACHE_LINE; /* next : end */

  guint8 results[WP_BOARD_RESULTS_SIZE] ON_CACHE_LINE;

  /* The task's, if it wants them; else no page of them ever exists. */
  guint8 notes[WP_BOARD_NOTES_SIZE] ON_PAGE;
} BoardMemory;

struct _WpBoard
{
  BoardMemory *memory;
  int fd;
};

static guint64
join (guint32 high, guint32 low)
{
  return (guint64) high << 32 | low;
}

static guint32
get_high (guint64 word)
{
  return word >> 32;
}

static guint32
get_low (guint64 word)
{
  return (guint32) word;
}

static guint64
load (const guint64 *word)
{
  return __atomic_load_n (word, __ATOMIC_ACQUIRE);
}

static void
store (guint64 *word, guint64 value)
{
  __atomic_store_n (word, value, __ATOMIC_RELEASE);
}

static gboolean
compare_and_swap (guint64 *word, guint64 *expected, guint64 value)
{
  return __atomic_compare_exchange_n (word, expected, value, FALSE, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE);
}

static void
set_system_error (GError **error, const char *what)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
               "Could not %s the memory shared with a worker: %s", what, g_strerror (saved_errno));
}

/* Takes the mapping; fd: -1, or what new () has to keep. */
static WpBoard *
new_for_memory (void *memory, int fd)
{
  WpBoard *board = g_new0 (WpBoard, 1);

  board->memory = memory;
  board->fd = fd;
  return board;
}

WpBoard *
wp_board_new (GError **error)
{
  int fd = memfd_create ("workerpool-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  void *memory;

  if (fd < 0)
    {
      set_system_error (error, "create");
      return NULL;
    }

  if (ftruncate (fd, sizeof (BoardMemory)) < 0 ||
      fcntl (fd, F_ADD_SEALS, BOARD_SEALS | F_SEAL_SEAL) < 0)
    {
      set_system_error (error, "prepare");
      close (fd);
      return NULL;
    }

  memory = mmap (NULL, sizeof (BoardMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    {
      set_system_error (error, "map");
      close (fd);
      return NULL;
    }

  return new_for_memory (memory, fd);
}

WpBoard *
wp_board_new_from_fd (int fd, GError **error)
{
  struct stat info;
  void *memory;
  int seals = fcntl (fd, F_GET_SEALS);

  /* Without the seals, whoever holds the file could shrink it, and a look at the board would
   * kill. */
  if (seals < 0 || (seals & BOARD_SEALS) != BOARD_SEALS || fstat (fd, &info) < 0 ||
      info.st_size != sizeof (BoardMemory))
    {
      g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL,
                           "The descriptor that came as the worker's status board is none; "
                           "use the same version of the library on both sides");
      return NULL;
    }

  memory = mmap (NULL, sizeof (BoardMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    {
      set_system_error (error, "map");
      return NULL;
    }

  return new_for_memory (memory, -1);
}

WpBoard *
wp_board_new_private (void)
{
  void *memory = mmap (NULL, sizeof (BoardMemory), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    g_error ("Could not allocate %" G_GSIZE_FORMAT " bytes", sizeof (BoardMemory));

  return new_for_memory (memory, -1);
}

void
wp_board_free (WpBoard *board)
{
  wp_board_drop_fd (board);
  munmap (board->memory, sizeof (BoardMemory));
  g_free (board);
}

int
wp_board_get_fd (WpBoard *board)
{
  return board->fd;
}

void
wp_board_drop_fd (WpBoard *board)
{
  if (board->fd >= 0)
    close (board->fd);
  board->fd = -1;
}

/* Claims */

static guint64 *
get_claim (WpBoard *board, guint64 sequence)
{
  return &board->memory->claims[sequence % WP_BOARD_SLOTS];
}

void
wp_board_open_chunk (WpBoard *board, guint64 sequence, guint n_tasks)
{
  store (get_claim (board, sequence), join (0, n_tasks));
}

gboolean
wp_board_claim (WpBoard *board, guint64 sequence, guint *offset)
{
  guint64 *claim = get_claim (board, sequence);
  guint64 word = load (claim);

  while (get_high (word) < get_low (word))
    {
      if (compare_and_swap (claim, &word, join (get_high (word) + 1, get_low (word))))
        {
          *offset = get_high (word);
          return TRUE;
        }
    }
  return FALSE;
}

gboolean
wp_board_is_claimed (WpBoard *board, guint64 sequence)
{
  const guint64 word = load (get_claim (board, sequence));

  return get_high (word) >= get_low (word);
}

guint
wp_board_recall (WpBoard *board, guint64 sequence, guint n_tasks, guint most)
{
  guint64 *claim = get_claim (board, sequence);
  guint64 word = load (claim);

  /* The end is the pool's: what the memory says of it is not believed. */
  for (int i = 0; i < MAX_TRIES; i++)
    {
      guint next = MIN (get_high (word), n_tasks);
      guint taken = MIN (n_tasks - next, most);

      if (taken == 0 || compare_and_swap (claim, &word, join (next, n_tasks - taken)))
        return taken;
    }
  return 0;
}

guint
wp_board_get_claimed (WpBoard *board, guint64 sequence, guint n_tasks)
{
  return MIN (get_high (load (get_claim (board, sequence))), n_tasks);
}

/* What runs */

void
wp_board_set_running (WpBoard *board, guint64 sequence, guint offset, gint64 started)
{
  BoardMemory *memory = board->memory;

  /* 'started' guards 'running': a reader that sees the same start before and after has seen its
   * task. */
  __atomic_store_n (&memory->started, 0, __ATOMIC_RELAXED);
  __atomic_thread_fence (__ATOMIC_RELEASE);
  __atomic_store_n (&memory->running, join ((guint32) sequence, offset), __ATOMIC_RELAXED);
  __atomic_store_n (&memory->started, started, __ATOMIC_RELEASE);
}

void
wp_board_set_idle (WpBoard *board, guint64 n_finished)
{
  __atomic_store_n (&board->memory->started, 0, __ATOMIC_RELEASE);
  store (&board->memory->n_finished, n_finished);
}

gboolean
wp_board_get_running (WpBoard *board, guint64 *sequence_low32, guint *offset, gint64 *started)
{
  BoardMemory *memory = board->memory;

  for (int i = 0; i < MAX_TRIES; i++)
    {
      gint64 before = __atomic_load_n (&memory->started, __ATOMIC_ACQUIRE);
      guint64 running = __atomic_load_n (&memory->running, __ATOMIC_RELAXED);
      gint64 after;

      __atomic_thread_fence (__ATOMIC_ACQUIRE);
      after = __atomic_load_n (&memory->started, __ATOMIC_RELAXED);
      if (before == 0)
        return FALSE;
      if (before == after)
        {
          *sequence_low32 = get_high (running);
          *offset = get_low (running);
          *started = before;
          return TRUE;
        }
    }
  return FALSE;
}

guint64
wp_board_get_n_finished (WpBoard *board)
{
  return load (&board->memory->n_finished);
}

void
wp_board_cancel (WpBoard *board, guint64 sequence, guint offset)
{
  store (&board->memory->cancelled, join ((guint32) sequence, offset + 1));
  wp_board_ring (board);
}

gboolean
wp_board_is_cancelled (WpBoard *board, guint64 sequence, guint offset)
{
  return load (&board->memory->cancelled) == join ((guint32) sequence, offset + 1);
}

void
wp_board_ring (WpBoard *board)
{
  guint32 *bell = &board->memory->bell;

  __atomic_add_fetch (bell, 1, __ATOMIC_ACQ_REL);
  /* Not a private futex: most often who waits is another process. */
  syscall (SYS_futex, bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

guint32
wp_board_get_bell (WpBoard *board)
{
  return __atomic_load_n (&board->memory->bell, __ATOMIC_ACQUIRE);
}

void
wp_board_wait_bell (WpBoard *board, guint32 bell)
{
  syscall (SYS_futex, &board->memory->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
}

/* Results */

guint8 *
wp_board_get_results (WpBoard *board)
{
  return board->memory->results;
}

void
wp_board_commit (WpBoard *board, guint32 open, guint32 committed)
{
  store (&board->memory->committed, join (open, committed));
}

GBytes *
wp_board_salvage (WpBoard *board, gsize *open)
{
  guint64 word = load (&board->memory->committed);
  gsize committed = MIN (get_low (word), WP_BOARD_RESULTS_SIZE);

  *open = MIN (get_high (word), committed);
  if (committed == 0)
    return NULL;

  /* A copy, because a child that the worker has left behind may still write there. */
  return g_bytes_new (board->memory->results, committed);
}

GBytes *
wp_board_salvage_tail (WpBoard *board, gsize size)
{
  g_assert (size <= WP_BOARD_RESULTS_SIZE);

  return g_bytes_new (board->memory->results + WP_BOARD_RESULTS_SIZE - size, size);
}

/* Notes */

gpointer
wp_board_get_notes (WpBoard *board)
{
  return board->memory->notes;
}

void
wp_board_clear_notes (WpBoard *board)
{
  memset (board->memory->notes, 0, WP_BOARD_NOTES_CLEARED);
}

GBytes *
wp_board_salvage_notes (WpBoard *board)
{
  /* A copy first: what a stray child writes meanwhile may not change its length. */
  g_autofree guint8 *notes = g_memdup2 (board->memory->notes, WP_BOARD_NOTES_SIZE);
  gsize size = WP_BOARD_NOTES_SIZE;

  while (size > 0 && notes[size - 1] == 0)
    size--;

  return size > 0 ? g_bytes_new (notes, size) : NULL;
}
