/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wp-cli-pending.h"

#include "wp-cli.h"
#include "wp-cli-format.h"

typedef struct
{
  guint64 index;
  GVariant *item;
} Held;

struct _WpCliPending
{
  WpCliItems *items;
  guint64 n_read;

  WpCliJobLog *log; /* NULL: everything is to be run */
  WpCliJobDigest *digest;
  gboolean retry_failed;
  GQueue held; /* Held: items that the log should have shown, but that are to be run */
};

WpCliPending *
wp_cli_pending_new (WpCliItems *items)
{
  WpCliPending *self = g_new0 (WpCliPending, 1);

  self->items = items;
  g_queue_init (&self->held);

  return self;
}

static void
held_free (Held *held)
{
  g_variant_unref (held->item);
  g_free (held);
}

void
wp_cli_pending_free (WpCliPending *self)
{
  g_queue_clear_full (&self->held, (GDestroyNotify) held_free);
  g_clear_pointer (&self->digest, wp_cli_job_digest_free);
  g_clear_pointer (&self->log, wp_cli_job_log_free);
  wp_cli_items_free (self->items);
  g_free (self);
}

void
wp_cli_pending_skip (WpCliPending *self, WpCliJobLog *log, const char *function, gboolean retry_failed)
{
  self->log = log;
  self->digest = wp_cli_job_digest_new (function);
  self->retry_failed = retry_failed;
}

int
wp_cli_pending_get_fd (WpCliPending *self)
{
  return wp_cli_items_get_fd (self->items);
}

gboolean
wp_cli_pending_read (WpCliPending *self, GError **error)
{
  return wp_cli_items_read (self->items, error);
}

guint64
wp_cli_pending_get_total (WpCliPending *self)
{
  const guint64 n_items = wp_cli_items_get_total (self->items);
  guint64 n_skipped = 0;

  if (self->log != NULL)
    n_skipped = wp_cli_job_log_get_n_ended (self->log);
  if (self->retry_failed)
    n_skipped -= wp_cli_job_log_get_n_failed (self->log);

  return n_items > n_skipped ? n_items - n_skipped : 0;
}

static void
set_other_job (GError **error, const char *what)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               "The job log is of another job, with another function or other items: %s; name another log", what);
}

static gboolean
check_item (WpCliPending *self, const WpCliJobRecord *record, GVariant *item, GError **error)
{
  g_autoptr (GString) text = NULL;
  g_autofree char *shown_item = NULL;
  g_autofree char *what = NULL;

  if (record->digest == wp_cli_job_digest_get (self->digest, item))
    return TRUE;

  text = g_string_new (NULL);
  wp_cli_format_text (text, item);
  shown_item = wp_cli_display_item (text->str, text->len);
  what = g_strdup_printf ("it does not show item %" G_GUINT64_FORMAT " (%s)", record->index, shown_item);

  set_other_job (error, what);
  return FALSE;
}

static void
set_missing_items (WpCliPending *self, GError **error)
{
  g_autofree char *what = NULL;

  what = g_strdup_printf ("it shows item %" G_GUINT64_FORMAT ", but there are only %" G_GUINT64_FORMAT " items",
                          wp_cli_job_log_get_end (self->log) - 1, self->n_read);
  set_other_job (error, what);
}

/* Reads what the log shows, and keeps what of it is to be run: little, unless much has failed. */
static WpCliItemsState
compare (WpCliPending *self, GError **error)
{
  while (self->n_read < wp_cli_job_log_get_end (self->log))
    {
      g_autoptr (GVariant) item = NULL;
      const WpCliItemsState state = wp_cli_items_next (self->items, &item);
      const WpCliJobRecord *record;

      if (state == WP_CLI_ITEMS_END)
        {
          set_missing_items (self, error);
          return WP_CLI_ITEMS_FAILED;
        }
      if (state != WP_CLI_ITEMS_READY)
        return state;

      record = wp_cli_job_log_find (self->log, self->n_read);
      if (record != NULL && !check_item (self, record, item, error))
        return WP_CLI_ITEMS_FAILED;

      if (record == NULL || (record->failed && self->retry_failed))
        {
          Held *held = g_new (Held, 1);

          held->index = self->n_read;
          held->item = g_steal_pointer (&item);
          g_queue_push_tail (&self->held, held);
        }
      self->n_read++;
    }

  return WP_CLI_ITEMS_READY;
}

WpCliItemsState
wp_cli_pending_next (WpCliPending *self, guint64 *index, GVariant **item, GError **error)
{
  WpCliItemsState state;
  Held *held;

  if (self->log != NULL)
    {
      state = compare (self, error);
      if (state != WP_CLI_ITEMS_READY)
        return state;

      held = g_queue_pop_head (&self->held);
      if (held != NULL)
        {
          *index = held->index;
          *item = g_variant_ref (held->item);
          held_free (held);
          return WP_CLI_ITEMS_READY;
        }
    }

  state = wp_cli_items_next (self->items, item);
  if (state == WP_CLI_ITEMS_READY)
    *index = self->n_read++;

  return state;
}
