/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-job.h"

#include <unistd.h>

#include "channel/wp-shared-buffer.h"
#include "pool/wp-engine-events.h"
#include "pool/wp-task-options-private.h"

#define NS_PER_MS G_GINT64_CONSTANT (1000000)

WpJob *
wp_job_new (WpEngine *engine, const char *function, WpTaskOptions *options, WpItems *items)
{
  WpJob *self = g_new0 (WpJob, 1);
  gboolean ordered = TRUE;

  g_atomic_ref_count_init (&self->ref_count);
  self->engine = wp_engine_ref (engine);
  self->function = g_strdup (function);
  self->items = items;
  self->shared_fd = -1;
  self->borrowed = -1;
  self->sent_to = -1;
  g_cond_init (&self->condition);

  self->plan.tag = self;
  self->plan.function = self->function;
  self->plan.n_total = wp_items_get_n (items);

  if (options != NULL)
    {
      ordered = wp_task_options_get_ordered (options);
      self->on_error = wp_task_options_get_on_error (options);
      self->max_active_tasks = wp_task_options_get_max_active_tasks (options);
      self->task_timeout = wp_task_options_get_task_timeout (options);
      self->plan.chunk_size = wp_task_options_get_chunk_size (options);
      self->plan.n_splits = wp_task_options_get_n_splits (options);
      self->plan.max_retries = wp_task_options_get_max_retries (options);
      self->plan.retry_delay = wp_task_options_get_retry_delay (options) * NS_PER_MS;
      self->plan.retry_backoff = wp_task_options_get_retry_backoff (options);
      self->retry_errors = wp_task_options_ref_retry_errors (options);
      /* In GLib the lower number goes first, in the scheduler the higher. */
      self->plan.priority = -wp_task_options_get_priority (options);
    }

  self->results = wp_result_queue_new (ordered);

  return self;
}

WpJob *
wp_job_ref (WpJob *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
wp_job_unref (WpJob *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  wp_items_free (self->items);
  wp_result_queue_free (self->results);
  g_clear_pointer (&self->events, wp_job_events_free);
  g_clear_pointer (&self->retry_errors, wp_retry_errors_unref);
  g_clear_error (&self->failure);
  g_clear_error (&self->interruption);
  if (self->shared_fd >= 0)
    close (self->shared_fd);
  g_cond_clear (&self->condition);
  g_free (self->function);
  wp_engine_unref (self->engine);
  g_free (self);
}

void
wp_job_share_items (WpJob *self)
{
  g_autoptr (WpPayloadWriter) writer = NULL;
  g_autoptr (GPtrArray) segments = NULL;

  g_assert (wp_items_get_n (self->items) == 1);

  if (wp_items_get_size (self->items, 0) < WP_PAYLOAD_LARGE)
    return;

  writer = wp_payload_writer_new ();
  wp_items_write (self->items, 0, 1, writer);
  self->shared_length = wp_payload_writer_get_size (writer);
  /* Refused: the arguments go through the channel, as those of any other chunk. */
  segments = wp_payload_writer_finish (writer);
  self->shared_fd = wp_shared_buffer_create (segments, NULL);
}

guint64
wp_job_get_task_id (WpJob *self, guint64 index)
{
  return (self->number << 32) | (index & G_MAXUINT32);
}
