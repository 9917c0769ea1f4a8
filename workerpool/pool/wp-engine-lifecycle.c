/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The functions that workers run before their first task and after their last. */

#include "pool/wp-engine-private.h"

#include "channel/wp-error.h"
#include "channel/wp-payload.h"

#define NS_PER_MS G_GINT64_CONSTANT (1000000)

/* How long a worker that has no function left to run may take to end: as one that has none at all. */
#define END_GRACE_NS (5000 * NS_PER_MS)

static void
limit_end (WpEngine *self, WpLink *link)
{
  link->start_deadline = wp_engine_now () + END_GRACE_NS;
  wp_engine_wake_at (self, link->start_deadline);
}

static void
become_ready (WpEngine *self, WpLink *link)
{
  const gint64 now = wp_engine_now ();

  link->state = WP_LINK_READY;
  link->busy_until = now;
  link->start_deadline = 0;
  wp_scheduler_worker_ready (self->scheduler, link->id, link->board != NULL);
  if (self->pool != NULL)
    self->observer->worker_started (self->pool, link->id, link->pid);
  wp_engine_pump (self);
}

void
wp_engine_begin_init (WpEngine *self, WpLink *link)
{
  link->busy_until = wp_engine_now ();
  if (self->insights != NULL)
    wp_insights_ready (self->insights, link->id, link->busy_until);

  if (self->config.settings.init_function == NULL)
    {
      become_ready (self, link);
      return;
    }

  link->state = WP_LINK_INITIALIZING;
  if (self->insights != NULL)
    wp_insights_initializing (self->insights, link->id);
  if (self->config.init_timeout == 0)
    return;

  link->start_deadline = link->busy_until + self->config.init_timeout * NS_PER_MS;
  wp_engine_wake_at (self, link->start_deadline);
}

gboolean
wp_engine_spare (WpEngine *self, WpLink *link)
{
  const gboolean starting = link->state == WP_LINK_LAUNCHING || link->state == WP_LINK_STARTING ||
                            link->state == WP_LINK_INITIALIZING;

  if (!starting || self->config.settings.init_function == NULL || self->state == ENGINE_TERMINATED)
    return FALSE;

  if (!link->stop_sent && link->state != WP_LINK_LAUNCHING)
    {
      wp_link_send_stop (link);
      wp_engine_update_polling (self, link);
    }
  link->stop_sent = TRUE;
  link->unwanted = TRUE;
  return TRUE;
}

static void
begin_exit (WpEngine *self, WpLink *link)
{
  if (self->insights != NULL)
    wp_insights_asked (self->insights, link->id, wp_engine_now ());
  link->state = WP_LINK_STOPPING;
  link->start_deadline = 0;
  if (self->config.settings.exit_function == NULL)
    {
      limit_end (self, link);
      return;
    }
  if (self->config.exit_timeout == 0)
    return;

  link->start_deadline = wp_engine_now () + self->config.exit_timeout * NS_PER_MS;
  wp_engine_wake_at (self, link->start_deadline);
}

void
wp_engine_expire_init (WpEngine *self, WpLink *link)
{
  link->init_failed = TRUE;
  /* Does nothing when the function has failed, and the worker did not end. */
  wp_engine_give_up_on (self, link,
                        g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                     "exceeded the worker-init-timeout of %u ms in “%s”", self->config.init_timeout,
                                     self->config.settings.init_function));
}

/* What the worker has told of a function: at most one record. */
static gboolean
read_outcome (GBytes *body, GVariant **value, GError **failure, GError **error)
{
  g_auto (WpPayloadReader) reader = { 0 };
  g_autoptr (GError) malformed = NULL;
  WpRecord record;

  wp_payload_reader_init (&reader, body, FALSE);
  if (wp_payload_reader_next (&reader, &record, &malformed))
    {
      if (record.is_error)
        *failure = wp_payload_reader_get_error (&reader, &record);
      else
        *value = wp_payload_reader_get_value (&reader, &record);

      if (wp_payload_reader_next (&reader, &record, &malformed))
        g_set_error_literal (&malformed, WP_ERROR, WP_ERROR_PROTOCOL, "sent more than one result of one function");
    }

  if (malformed == NULL)
    return TRUE;

  g_clear_error (failure);
  g_clear_pointer (value, g_variant_unref);
  g_propagate_error (error, g_steal_pointer (&malformed));
  return FALSE;
}

/* It is told to end, so that this is done when its process is gone. */
static void
end_failed (WpEngine *self, WpLink *link, const GError *failure)
{
  limit_end (self, link);
  link->init_failed = TRUE;
  if (self->insights != NULL)
    wp_insights_asked (self->insights, link->id, wp_engine_now ());
  wp_link_set_cause (link, g_error_new (failure->domain, failure->code, "failed in its init function “%s”: %s",
                                        self->config.settings.init_function, failure->message));
  /* It was asked to end before. */
  if (link->stop_sent)
    return;

  wp_link_send_stop (link);
  wp_engine_update_polling (self, link);
}

gboolean
wp_engine_take_initialized (WpEngine *self, WpLink *link, GBytes *body, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) failure = NULL;
  gboolean expected;

  if (!read_outcome (body, &value, &failure, error))
    return FALSE;

  wp_engine_lock (self);
  expected = link->state == WP_LINK_INITIALIZING && !link->init_failed && value == NULL;
  if (expected && self->insights != NULL)
    wp_insights_initialized (self->insights, link->id, wp_engine_now () - link->busy_until);
  if (expected && failure != NULL)
    end_failed (self, link, failure);
  else if (expected && link->stop_sent)
    begin_exit (self, link);
  else if (expected)
    become_ready (self, link);
  wp_engine_unlock (self);

  if (!expected)
    g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "told of an init function that it was not to run");

  return expected;
}

static void
set_exit_error (WpEngine *self, GError *error)
{
  if (self->exit_error == NULL)
    self->exit_error = error;
  else
    g_error_free (error);
}

gboolean
wp_engine_take_exit_result (WpEngine *self, WpLink *link, GBytes *body, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) failure = NULL;
  gboolean expected;

  if (!read_outcome (body, &value, &failure, error))
    return FALSE;

  wp_engine_lock (self);
  expected = link->state == WP_LINK_STOPPING && self->config.settings.exit_function != NULL && !link->has_exit_result;
  if (expected)
    {
      link->has_exit_result = TRUE;
      limit_end (self, link);
    }
  if (expected && failure != NULL)
    set_exit_error (self, g_error_new (failure->domain, failure->code,
                                       "worker %u failed in its exit function “%s”: %s", link->id,
                                       self->config.settings.exit_function, failure->message));
  else if (expected && value != NULL)
    g_ptr_array_add (self->exit_results, g_steal_pointer (&value));
  wp_engine_unlock (self);

  if (!expected)
    g_set_error_literal (error, WP_ERROR, WP_ERROR_PROTOCOL, "told of an exit function that it was not to run");

  return expected;
}

void
wp_engine_expire_exit (WpEngine *self, WpLink *link)
{
  if (self->config.settings.exit_function == NULL || link->has_exit_result || self->state == ENGINE_TERMINATED)
    return;

  wp_link_set_cause (link, g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                        "exceeded the worker-exit-timeout of %u ms in “%s”",
                                        self->config.exit_timeout, self->config.settings.exit_function));
}

GError *
wp_engine_explain_end (WpEngine *self, WpLink *link, GError *reason)
{
  const gboolean in_init = link->state == WP_LINK_INITIALIZING && !link->init_failed;
  const gboolean in_exit = link->state == WP_LINK_STOPPING && self->config.settings.exit_function != NULL &&
                           !link->has_exit_result && self->state != ENGINE_TERMINATED;

  /* What the pool did to it says more than that the function did not end. */
  if ((in_init || in_exit) && link->cause == NULL)
    {
      g_autofree char *message = reason->message;

      reason->message = g_strdup_printf ("%s before its %s function “%s” had ended", message,
                                         in_init ? "init" : "exit",
                                         in_init ? self->config.settings.init_function
                                                 : self->config.settings.exit_function);
    }

  if (in_exit)
    set_exit_error (self, g_error_copy (reason));

  return reason;
}

GVariant *
wp_engine_get_exit_results (WpEngine *self)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));

  for (guint i = 0; i < self->exit_results->len; i++)
    g_variant_builder_add (&builder, "v", g_ptr_array_index (self->exit_results, i));

  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

gboolean
wp_engine_check_exit (WpEngine *self, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  if (self->exit_error == NULL)
    return TRUE;

  g_propagate_error (error, g_error_copy (self->exit_error));
  return FALSE;
}
