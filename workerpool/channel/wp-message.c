/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/wp-message.h"

#include <string.h>

#include "channel/wp-error.h"
#include "channel/wp-frame.h"

/* CHUNK:    0 u64 first, 8 u32 n_tasks, 12 u16 length of function, 14 u16 length of codec,
 *           16 u64 stream, 24 function, NUL, codec, NUL, zeros up to a multiple of 8
 * RESULTS:  0 u32 offset, 4 u32 n_results, 8 u64 elapsed
 *           times, at the end of the body: 0 i64 started, 8 i64 elapsed
 * STARTED, CANCEL, EVENT: 0 u32 offset, 4 u32 zero
 * CREDIT:   0 u32 n_events, 4 u32 zero, 8 u64 n_bytes */
#define CHUNK_STRINGS 24

static void
put_u16 (guint8 *buffer, guint16 value)
{
  value = GUINT16_TO_LE (value);
  memcpy (buffer, &value, sizeof value);
}

static void
put_u32 (guint8 *buffer, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (buffer, &value, sizeof value);
}

static void
put_u64 (guint8 *buffer, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (buffer, &value, sizeof value);
}

static guint16
get_u16 (const guint8 *buffer)
{
  guint16 value;

  memcpy (&value, buffer, sizeof value);
  return GUINT16_FROM_LE (value);
}

static guint32
get_u32 (const guint8 *buffer)
{
  guint32 value;

  memcpy (&value, buffer, sizeof value);
  return GUINT32_FROM_LE (value);
}

static guint64
get_u64 (const guint8 *buffer)
{
  guint64 value;

  memcpy (&value, buffer, sizeof value);
  return GUINT64_FROM_LE (value);
}

static gboolean
malformed (GError **error, const char *what)
{
  g_set_error (error, WP_ERROR, WP_ERROR_PROTOCOL,
               WP_CHANNEL_PEER " sent a malformed message: %s", what);
  return FALSE;
}

static gsize
chunk_head_size (gsize function_length, gsize codec_length)
{
  return (CHUNK_STRINGS + function_length + 1 + codec_length + 1 + 7) & ~(gsize) 7;
}

gsize
wp_chunk_head_get_size (const WpChunkHead *head)
{
  return chunk_head_size (strlen (head->function), strlen (head->codec));
}

void
wp_chunk_head_encode (const WpChunkHead *head, guint8 *buffer)
{
  gsize function_length = strlen (head->function);
  gsize codec_length = strlen (head->codec);
  gsize end = CHUNK_STRINGS + function_length + 1 + codec_length + 1;

  g_return_if_fail (function_length <= WP_MESSAGE_MAX_NAME && codec_length <= WP_MESSAGE_MAX_NAME);

  put_u64 (buffer, head->first);
  put_u32 (buffer + 8, head->n_tasks);
  put_u16 (buffer + 12, function_length);
  put_u16 (buffer + 14, codec_length);
  put_u64 (buffer + 16, head->stream);
  memcpy (buffer + CHUNK_STRINGS, head->function, function_length + 1);
  memcpy (buffer + CHUNK_STRINGS + function_length + 1, head->codec, codec_length + 1);
  memset (buffer + end, 0, chunk_head_size (function_length, codec_length) - end);
}

/* A string of that length, and its NUL: the caller has checked that both are within bounds. */
static gboolean
is_name (const guint8 *buffer, gsize length)
{
  return buffer[length] == '\0' && g_utf8_validate ((const char *) buffer, length, NULL);
}

gboolean
wp_chunk_head_decode (WpChunkHead *head, const guint8 *buffer, gsize size, GError **error)
{
  gsize function_length;
  gsize codec_length;
  const guint8 *function;
  const guint8 *codec;

  if (size < CHUNK_STRINGS)
    return malformed (error, "the head of a chunk is too short");

  function_length = get_u16 (buffer + 12);
  codec_length = get_u16 (buffer + 14);
  if (function_length > WP_MESSAGE_MAX_NAME || codec_length > WP_MESSAGE_MAX_NAME ||
      size != chunk_head_size (function_length, codec_length))
    return malformed (error, "the head of a chunk has a wrong length");

  function = buffer + CHUNK_STRINGS;
  codec = function + function_length + 1;
  if (!is_name (function, function_length) || !is_name (codec, codec_length))
    return malformed (error, "the function or the codec of a chunk is no valid UTF-8");

  head->first = get_u64 (buffer);
  head->n_tasks = get_u32 (buffer + 8);
  head->function = (const char *) function;
  head->codec = (const char *) codec;
  head->stream = get_u64 (buffer + 16);
  if (head->n_tasks == 0 || head->first > G_MAXUINT64 - head->n_tasks)
    return malformed (error, "a chunk has no tasks, or too many");

  return TRUE;
}

void
wp_results_head_encode (const WpResultsHead *head, guint8 buffer[WP_RESULTS_HEAD_SIZE])
{
  put_u32 (buffer, head->offset);
  put_u32 (buffer + 4, head->n_results);
  put_u64 (buffer + 8, head->elapsed);
}

gboolean
wp_results_head_decode (WpResultsHead *head, const guint8 *buffer, gsize size, GError **error)
{
  if (size != WP_RESULTS_HEAD_SIZE)
    return malformed (error, "the head of results has a wrong length");

  head->offset = get_u32 (buffer);
  head->n_results = get_u32 (buffer + 4);
  head->elapsed = get_u64 (buffer + 8);
  if (head->offset > G_MAXUINT32 - head->n_results)
    return malformed (error, "there are more results than a chunk has tasks");

  return TRUE;
}

void
wp_task_times_encode (const WpTaskTimes *times, guint8 buffer[WP_TASK_TIMES_SIZE])
{
  put_u64 (buffer, (guint64) times->started);
  put_u64 (buffer + 8, (guint64) times->elapsed);
}

GBytes *
wp_task_times_decode (const guint8 *end, guint n, gint64 earliest, gint64 latest)
{
  WpTaskTimes *times = g_new (WpTaskTimes, n);

  for (guint i = 0; i < n; i++)
    {
      const guint8 *buffer = end - (gsize) (i + 1) * WP_TASK_TIMES_SIZE;
      const gint64 started = (gint64) get_u64 (buffer);
      const gint64 elapsed = (gint64) get_u64 (buffer + 8);

      times[i].started = CLAMP (started, earliest, latest);
      times[i].elapsed = CLAMP (elapsed, 0, latest - times[i].started);
      earliest = times[i].started + times[i].elapsed;
    }

  return g_bytes_new_take (times, n * sizeof *times);
}

gboolean
wp_results_find_times (gsize body_length, guint n_results, gsize *times, GError **error)
{
  if (body_length / WP_TASK_TIMES_SIZE < n_results)
    return malformed (error, "there are more results than times");

  *times = body_length - (gsize) n_results * WP_TASK_TIMES_SIZE;
  return TRUE;
}

void
wp_task_head_encode (const WpTaskHead *head, guint8 buffer[WP_TASK_HEAD_SIZE])
{
  put_u32 (buffer, head->offset);
  put_u32 (buffer + 4, 0);
}

gboolean
wp_task_head_decode (WpTaskHead *head, const guint8 *buffer, gsize size, GError **error)
{
  if (size != WP_TASK_HEAD_SIZE)
    return malformed (error, "the head of a task's message has a wrong length");
  if (get_u32 (buffer + 4) != 0)
    return malformed (error, "a task's message uses a reserved field");

  head->offset = get_u32 (buffer);
  return TRUE;
}

void
wp_credit_head_encode (const WpCreditHead *head, guint8 buffer[WP_CREDIT_HEAD_SIZE])
{
  put_u32 (buffer, head->n_events);
  put_u32 (buffer + 4, 0);
  put_u64 (buffer + 8, head->n_bytes);
}

gboolean
wp_credit_head_decode (WpCreditHead *head, const guint8 *buffer, gsize size, GError **error)
{
  if (size != WP_CREDIT_HEAD_SIZE)
    return malformed (error, "the head of a credit has a wrong length");
  if (get_u32 (buffer + 4) != 0)
    return malformed (error, "a credit uses a reserved field");

  head->n_events = get_u32 (buffer);
  head->n_bytes = get_u64 (buffer + 8);
  if (head->n_events == 0)
    return malformed (error, "a credit is for no events");

  return TRUE;
}
