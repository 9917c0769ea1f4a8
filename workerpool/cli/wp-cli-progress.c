/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-progress.h"

#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_INTERVAL_MS 100
/* Between two lines that stay: often enough for who watches, and some hundred lines for a job of an hour. */
#define LINE_INTERVAL_US (10 * G_USEC_PER_SEC)
#define DEFAULT_COLUMNS 80
#define MIN_BAR 10

/* Back to the first column, and clear up to the end of the line. */
#define CLEAR_LINE "\r\033[K"

struct _WpCliProgress
{
  WpBatch *batch;
  int fd;
  WpCliProgressStyle style;
  guint source_id;
  gint64 since; /* when the last line was printed that stays, or this was made */
  gboolean has_printed;
  char *shown; /* NULL: the line is clear */
};

/* Failing to draw is no reason to fail. */
static void
put (WpCliProgress *self, const char *text)
{
  G_GNUC_UNUSED gssize n = write (self->fd, text, strlen (text));
}

static guint
get_columns (WpCliProgress *self)
{
  struct winsize size = { 0 };

  if (ioctl (self->fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return DEFAULT_COLUMNS;

  return size.ws_col;
}

static void
append_duration (GString *text, double seconds)
{
  const guint64 s = (guint64) seconds;

  if (s >= 3600)
    g_string_append_printf (text, "%u:%02u:%02u", (guint) (s / 3600), (guint) (s / 60 % 60),
                            (guint) (s % 60));
  else
    g_string_append_printf (text, "%u:%02u", (guint) (s / 60), (guint) (s % 60));
}

static void
append_bar (GString *text, double fraction, guint width)
{
  const guint done = (guint) (CLAMP (fraction, 0.0, 1.0) * width);

  g_string_append (text, " [");
  for (guint i = 0; i < width; i++)
    g_string_append_c (text, i < done ? '#' : '.');
  g_string_append_c (text, ']');
}

static void
append_count (GString *text, WpBatch *batch)
{
  const guint64 n_total = wp_batch_get_n_total (batch);

  g_string_append_printf (text, "%" G_GUINT64_FORMAT, wp_batch_get_n_completed (batch));
  if (n_total > 0)
    g_string_append_printf (text, "/%" G_GUINT64_FORMAT, n_total);
  else
    g_string_append (text, " done");
}

static void
append_rate (GString *text, WpBatch *batch)
{
  const double rate = wp_batch_get_rate (batch);

  if (rate > 0)
    g_string_append_printf (text, rate < 10 ? "  %.1f/s" : "  %.0f/s", rate);
}

static void
append_failed (GString *text, WpBatch *batch)
{
  const guint64 n_failed = wp_batch_get_n_failed (batch);

  if (n_failed > 0)
    g_string_append_printf (text, "  %" G_GUINT64_FORMAT " failed", n_failed);
}

/* Seconds; below 0: they cannot be told. */
static double
get_remaining (WpBatch *batch)
{
  const double remaining = wp_batch_get_remaining (batch);

  if (wp_batch_get_state (batch) == WP_BATCH_STATE_FINISHED)
    return 0;

  return wp_batch_get_n_total (batch) > 0 && isfinite (remaining) ? ceil (remaining) : -1;
}

static char *
make_line (WpCliProgress *self)
{
  const guint64 n_total = wp_batch_get_n_total (self->batch);
  const double remaining = get_remaining (self->batch);
  const guint columns = get_columns (self);
  g_autoptr (GString) facts = g_string_new (NULL);
  GString *line = g_string_new (NULL);

  append_count (line, self->batch);
  append_rate (facts, self->batch);
  if (remaining >= 0)
    {
      g_string_append (facts, "  ");
      append_duration (facts, remaining);
      g_string_append (facts, " left");
    }
  append_failed (facts, self->batch);

  /* The brackets and the space before them take three columns; the last column stays free, where
   * some terminals would wrap. */
  if (n_total > 0 && line->len + facts->len + MIN_BAR + 4 <= columns)
    append_bar (line, wp_batch_get_fraction (self->batch), columns - line->len - facts->len - 4);

  g_string_append (line, facts->str);
  if (columns > 1 && line->len > columns - 1)
    g_string_truncate (line, columns - 1);

  return g_string_free (line, FALSE);
}

static gboolean
draw (gpointer user_data)
{
  WpCliProgress *self = user_data;
  g_autofree char *line = make_line (self);
  g_autofree char *text = NULL;

  if (g_strcmp0 (line, self->shown) == 0)
    return G_SOURCE_CONTINUE;

  text = g_strconcat (CLEAR_LINE, line, NULL);
  put (self, text);
  g_free (self->shown);
  self->shown = g_steal_pointer (&line);

  return G_SOURCE_CONTINUE;
}

static void
print_line (WpCliProgress *self)
{
  const double remaining = get_remaining (self->batch);
  g_autoptr (GString) line = g_string_new ("ETA ");

  if (remaining >= 0)
    append_duration (line, remaining);
  else
    g_string_append (line, "unknown");

  g_string_append (line, "  ");
  append_count (line, self->batch);
  append_rate (line, self->batch);
  append_failed (line, self->batch);
  g_string_append_c (line, '\n');
  put (self, line->str);
}

/* The first line comes as soon as it can tell the time. */
static gboolean
print_line_in_time (gpointer user_data)
{
  WpCliProgress *self = user_data;
  const gint64 now = g_get_monotonic_time ();

  if (now - self->since < LINE_INTERVAL_US && (self->has_printed || get_remaining (self->batch) < 0))
    return G_SOURCE_CONTINUE;

  print_line (self);
  self->since = now;
  self->has_printed = TRUE;

  return G_SOURCE_CONTINUE;
}

WpCliProgress *
wp_cli_progress_new (WpBatch *batch, int fd, WpCliProgressStyle style)
{
  WpCliProgress *self = g_new0 (WpCliProgress, 1);

  self->batch = g_object_ref (batch);
  self->fd = fd;
  self->style = style;
  self->since = g_get_monotonic_time ();
  self->source_id = g_timeout_add (REDRAW_INTERVAL_MS, style == WP_CLI_PROGRESS_BAR ? draw : print_line_in_time, self);

  return self;
}

void
wp_cli_progress_free (WpCliProgress *self)
{
  wp_cli_progress_hide (self);
  if (self->style == WP_CLI_PROGRESS_LINES)
    print_line (self);
  g_source_remove (self->source_id);
  g_object_unref (self->batch);
  g_free (self);
}

void
wp_cli_progress_hide (WpCliProgress *self)
{
  if (self->shown == NULL)
    return;

  put (self, CLEAR_LINE);
  g_clear_pointer (&self->shown, g_free);
}
