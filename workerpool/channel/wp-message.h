/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The name of the function that lists a host's functions. */
#define WP_FUNCTION_LIST "workerpool:functions"

/* The heads of the frames that have one. Pure. Decoding fails with WP_ERROR_PROTOCOL. */

/* The longest name of a function or a codec: a path and a symbol fit, and a head stays well within
 * WP_FRAME_MAX_HEAD. Encoding longer ones is a programming error. */
#define WP_MESSAGE_MAX_NAME (16u * 1024)

/* CHUNK; the body is a payload of n_tasks records. */
typedef struct
{
  guint64 first;        /* index in the batch of the chunk's first task */
  guint32 n_tasks;
  const char *function; /* NUL-terminated UTF-8 */
  const char *codec;    /* NUL-terminated UTF-8; "" means plain GVariant values */
  guint64 stream;       /* of the events of its tasks; 0: nobody wants them */
} WpChunkHead;

/* RESULTS; the body is a payload of n_results records, of the tasks offset … in the chunk. */
typedef struct
{
  guint32 offset;
  guint32 n_results;
  guint64 elapsed;      /* nanoseconds these tasks ran */
} WpResultsHead;
#define WP_RESULTS_HEAD_SIZE 16

/* When a task ran, in nanoseconds. With WP_FRAME_TIMED the body of RESULTS ends with one for each result, that of the
 * last result first: they grow downwards beside the records while these grow upwards, and are in the same order then as
 * in the frame. */
typedef struct
{
  gint64 started;  /* CLOCK_MONOTONIC; 0: it is not known */
  gint64 elapsed;
} WpTaskTimes;
#define WP_TASK_TIMES_SIZE 16

/* STARTED, CANCEL and EVENT: the offset of a task in chunk 'sequence'. */
typedef struct
{
  guint32 offset;
} WpTaskHead;
#define WP_TASK_HEAD_SIZE 8

/* CREDIT: so many events, and bytes of their bodies, have left the window of stream 'sequence'. */
typedef struct
{
  guint32 n_events;
  guint64 n_bytes;
} WpCreditHead;
#define WP_CREDIT_HEAD_SIZE 16

/* The window: a worker sends an event while it has sent fewer than both on that stream which the pool has not given
 * credit for. Enough that a receiver which is quick never lets a worker wait: a window of small events takes some
 * hundred microseconds to fill, and half of it is given back at once. */
#define WP_EVENT_WINDOW 128
#define WP_EVENT_WINDOW_BYTES (1024u * 1024)

/* Returns the head's length; 'buffer' must hold wp_chunk_head_get_size () bytes. */
gsize    wp_chunk_head_get_size (const WpChunkHead *head);
void     wp_chunk_head_encode   (const WpChunkHead *head, guint8 *buffer);
/* The strings point into buffer. */
gboolean wp_chunk_head_decode   (WpChunkHead  *head,
                                 const guint8 *buffer,
                                 gsize         size,
                                 GError      **error);

void     wp_results_head_encode (const WpResultsHead *head, guint8 buffer[WP_RESULTS_HEAD_SIZE]);
gboolean wp_results_head_decode (WpResultsHead *head,
                                 const guint8  *buffer,
                                 gsize          size,
                                 GError       **error);

void     wp_task_times_encode   (const WpTaskTimes *times, guint8 buffer[WP_TASK_TIMES_SIZE]);
/* The times of n results that follow each other, from the memory where they grow downwards: the first of them ends at
 * 'end'. A worker runs one task at a time: whatever is there, no task starts before 'earliest' or before the one before
 * it has ended, and none ends after 'latest', which is not before 'earliest'.
 * Returns: (transfer full): n WpTaskTimes, the first result's first */
GBytes  *wp_task_times_decode   (const guint8 *end, guint n, gint64 earliest, gint64 latest);
/* Where the times of n results begin in the body, which is where the records end. FALSE: it has no room for them. */
gboolean wp_results_find_times  (gsize body_length, guint n_results, gsize *times, GError **error);

void     wp_task_head_encode    (const WpTaskHead *head, guint8 buffer[WP_TASK_HEAD_SIZE]);
gboolean wp_task_head_decode    (WpTaskHead   *head,
                                 const guint8 *buffer,
                                 gsize         size,
                                 GError      **error);

void     wp_credit_head_encode  (const WpCreditHead *head, guint8 buffer[WP_CREDIT_HEAD_SIZE]);
gboolean wp_credit_head_decode  (WpCreditHead *head,
                                 const guint8 *buffer,
                                 gsize         size,
                                 GError      **error);

G_END_DECLS
