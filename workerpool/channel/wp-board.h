/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The status board: memory that a pool shares with one worker, where each side publishes what the
 * other must know without a message.
 *
 * Claims. Each chunk in flight has a slot (its sequence modulo WP_BOARD_SLOTS) with one atomic
 * word, next:32 | end:32. The worker takes its next task by raising 'next', the pool takes tasks
 * that have not started back by lowering 'end': whoever's compare-and-swap wins has the task, so a
 * task is never both run and returned.
 *
 * Results. The worker builds its outgoing RESULTS frames here and commits each result with one
 * atomic store of open:32 | committed:32: bytes [0, open) are whole frames, [open, committed) is
 * the header, the head and the records so far of the frame being built. After a worker's death the
 * pool reads what the worker had committed but not yet sent, so that a finished task is not lost.
 *
 * Notes. Memory that the task that runs writes what it likes to, which nobody looks at unless it dies.
 *
 * The pool believes nothing it reads here: every number is clamped to what it knows itself.
 */
#define WP_BOARD_SLOTS 16
/* Holds about a millisecond's results of the shortest tasks; beyond it they are sent earlier. */
#define WP_BOARD_RESULTS_SIZE (128u * 1024)

/* What a task may leave there for whoever learns of its death, in whole pages. The first bytes are zero when it starts,
 * which is enough for what it wants to begin with. */
#define WP_BOARD_NOTES_SIZE (64u * 1024)
#define WP_BOARD_NOTES_CLEARED 64

typedef struct _WpBoard WpBoard;

/* The pool's end: a fresh memfd, sealed against growing and shrinking, already mapped. */
WpBoard *wp_board_new         (GError **error);
/* The descriptor to send to the worker; -1 once dropped. */
int      wp_board_get_fd      (WpBoard *board);
void     wp_board_drop_fd     (WpBoard *board);
/* The worker's end: maps fd, which stays the caller's. */
WpBoard *wp_board_new_from_fd (int fd, GError **error);
/* Private memory, for a channel that cannot share it: the results half still serves as buffer. */
WpBoard *wp_board_new_private (void);
void     wp_board_free        (WpBoard *board);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpBoard, wp_board_free)

/* Pool: before the chunk is sent. */
void     wp_board_open_chunk   (WpBoard *board, guint64 sequence, guint n_tasks);
/* Worker: the next task of the chunk, as an offset; FALSE when none is left. */
gboolean wp_board_claim        (WpBoard *board, guint64 sequence, guint *offset);
/* Worker: none of the chunk's tasks is left to claim. */
gboolean wp_board_is_claimed   (WpBoard *board, guint64 sequence);
/* Pool: takes back up to 'most' tasks from the chunk's end; returns how many it got. n_tasks is
 * what the pool gave and has not taken back. */
guint    wp_board_recall       (WpBoard *board, guint64 sequence, guint n_tasks, guint most);
/* Pool: how many tasks of the chunk the worker has claimed, clamped to n_tasks. */
guint    wp_board_get_claimed  (WpBoard *board, guint64 sequence, guint n_tasks);

/* Worker: a task starts, at CLOCK_MONOTONIC nanoseconds; or (idle) none runs. */
void     wp_board_set_running  (WpBoard *board, guint64 sequence, guint offset, gint64 started);
void     wp_board_set_idle     (WpBoard *board, guint64 n_finished);
/* Pool: TRUE and what runs; FALSE when idle. */
gboolean wp_board_get_running  (WpBoard *board,
                                guint64 *sequence_low32,
                                guint   *offset,
                                gint64  *started);
guint64  wp_board_get_n_finished (WpBoard *board);

/* Pool: asks the task to stop. Worker: has this task been asked to stop? */
void     wp_board_cancel       (WpBoard *board, guint64 sequence, guint offset);
gboolean wp_board_is_cancelled (WpBoard *board, guint64 sequence, guint offset);

/* The bell: a thread of the worker sleeps until the pool has something for the running task. Cancelling rings it. The
 * pool never reads it, so both sides may ring. */
void     wp_board_ring         (WpBoard *board);
guint32  wp_board_get_bell     (WpBoard *board);
/* Returns once the bell has rung since it was 'bell'; or earlier, for no reason. */
void     wp_board_wait_bell    (WpBoard *board, guint32 bell);

/* Worker: the memory the outgoing frames are built in, and the commit. */
guint8  *wp_board_get_results  (WpBoard *board);
void     wp_board_commit       (WpBoard *board, guint32 open, guint32 committed);
/* Pool, after the worker's death: a copy of the committed bytes, clamped.
 * Returns: (transfer full) (nullable) */
GBytes  *wp_board_salvage      (WpBoard *board, gsize *open);
/* The same of the last bytes of that memory, at most all of them. */
GBytes  *wp_board_salvage_tail (WpBoard *board, gsize size);

/* Worker: the memory for the notes of the task that runs; and their end, when it has. */
gpointer wp_board_get_notes    (WpBoard *board);
void     wp_board_clear_notes  (WpBoard *board);
/* Pool, after the worker's death: a copy of the notes, up to the last byte that is not zero.
 * Returns: (transfer full) (nullable): NULL when all are zero */
GBytes  *wp_board_salvage_notes (WpBoard *board);

G_END_DECLS
