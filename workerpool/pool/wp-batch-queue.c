/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pool/wp-batch-queue.h"

#include "channel/wp-error.h"
#include "pool/wp-result-private.h"
#include "pool/wp-task-watch.h"

typedef struct
{
  GTask *task;
  GVariant *item;
} Pusher;

void
wp_batch_queue_init (WpBatchQueue *self, WpJob *job, WpDelivery *delivery)
{
  self->job = job;
  self->engine = job->engine;
  self->delivery = delivery;
  self->closing = FALSE;
  g_queue_init (&self->takers);
  g_queue_init (&self->pushers);
}

gboolean
wp_batch_queue_is_awaited (WpBatchQueue *self)
{
  return !g_queue_is_empty (&self->takers) || !g_queue_is_empty (&self->pushers);
}

static guint64
count_delivered (WpBatchQueue *self)
{
  return self->job->n_ended - wp_result_queue_get_length (self->job->results);
}

guint64
wp_batch_queue_get_room (WpBatchQueue *self)
{
  guint64 n_active = wp_items_get_n (self->job->items) - count_delivered (self);
  guint64 window = wp_engine_get_window (self->engine, self->job);

  return window > n_active ? window - n_active : 0;
}

gboolean
wp_batch_queue_check_open (WpBatchQueue *self, gboolean waiting, GError **error)
{
  if (!wp_engine_is_open (self->engine, error))
    return FALSE;

  if (self->job->closed || (self->closing && !waiting))
    {
      g_set_error (error, WP_ERROR, WP_ERROR_CLOSED,
                   self->job->cancelled || self->job->failure != NULL
                       ? "the batch of “%s” was cancelled and takes no more items"
                       : "the batch of “%s” was closed and takes no more items",
                   self->job->function);
      return FALSE;
    }

  return TRUE;
}

void
wp_batch_queue_push_values (WpBatchQueue *self, GVariant *const *items, guint n)
{
  if (n == 0)
    return;

  for (guint i = 0; i < n; i++)
    wp_items_push (self->job->items, g_variant_ref (items[i]));
  wp_engine_push (self->engine, self->job, n);
}

void
wp_batch_queue_push (WpBatchQueue *self, GVariant *item)
{
  wp_batch_queue_push_values (self, &item, 1);
}

WpResult *
wp_batch_queue_take (WpBatchQueue *self)
{
  guint64 index;
  GVariant *value;
  GError *failure;
  WpTaskRun run;

  if (!wp_result_queue_take (self->job->results, &index, &value, &failure, &run))
    return NULL;

  return wp_result_new (index, value, failure, &run);
}

typedef struct
{
  GTask *task;
  /* Of a context of its own. Let go of there: whoever has the context last runs what is left in it, the caller's code,
   * which may want the lock under which the answer is posted. */
  WpDelivery *delivery; /* (nullable) */
  gboolean pushed;
  WpResult *result; /* (nullable) */
  GError *error;
} Answer;

static void
give_answer (gpointer data)
{
  g_autofree Answer *answer = data;
  g_autoptr (GTask) task = answer->task;
  g_autoptr (WpDelivery) delivery G_GNUC_UNUSED = answer->delivery;

  wp_task_unwatch (task);
  if (answer->error != NULL)
    g_task_return_error (task, answer->error);
  else if (answer->result != NULL)
    g_task_return_pointer (task, answer->result, g_object_unref);
  else if (answer->pushed)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_pointer (task, NULL, NULL);
}

/* Ends a waiting call in its own context. */
static void
answer_later (WpBatchQueue *self, GTask *task, gboolean pushed, WpResult *result, GError *error)
{
  GMainContext *context = g_task_get_context (task);
  Answer *answer = g_new0 (Answer, 1);

  answer->task = task;
  answer->pushed = pushed;
  answer->result = result;
  answer->error = error;

  if (context != wp_delivery_get_context (self->delivery))
    answer->delivery = wp_delivery_new (context);
  wp_delivery_post (answer->delivery != NULL ? answer->delivery : self->delivery, give_answer, answer, NULL);
}

static void
serve_takers (WpBatchQueue *self)
{
  while (!g_queue_is_empty (&self->takers))
    {
      WpResult *result = wp_batch_queue_take (self);

      if (result == NULL && !self->job->ended)
        return;

      answer_later (self, g_queue_pop_head (&self->takers), FALSE, result, NULL);
    }
}

static void
serve_pushers (WpBatchQueue *self)
{
  while (!g_queue_is_empty (&self->pushers))
    {
      g_autoptr (GError) error = NULL;
      g_autofree Pusher *pusher = NULL;

      if (wp_batch_queue_check_open (self, TRUE, &error) && wp_batch_queue_get_room (self) == 0)
        return;

      pusher = g_queue_pop_head (&self->pushers);
      if (error == NULL)
        wp_batch_queue_push (self, pusher->item);
      wp_engine_drop_item (self->engine, pusher->item);
      answer_later (self, pusher->task, TRUE, NULL, g_steal_pointer (&error));
    }

  if (self->closing && !self->job->closed)
    wp_engine_close (self->engine, self->job);
}

void
wp_batch_queue_serve (WpBatchQueue *self)
{
  serve_takers (self);
  serve_pushers (self);
}

gboolean
wp_batch_queue_can_push (WpBatchQueue *self)
{
  return g_queue_is_empty (&self->pushers) && wp_batch_queue_get_room (self) > 0;
}

void
wp_batch_queue_wait_push (WpBatchQueue *self, GTask *task, GVariant *item)
{
  Pusher *pusher = g_new (Pusher, 1);

  pusher->task = task;
  pusher->item = item;
  g_queue_push_tail (&self->pushers, pusher);
}

void
wp_batch_queue_wait_take (WpBatchQueue *self, GTask *task)
{
  g_queue_push_tail (&self->takers, task);
  wp_batch_queue_serve (self);
}

gboolean
wp_batch_queue_cancel_wait (WpBatchQueue *self, GTask *task)
{
  gboolean waited = g_queue_remove (&self->takers, task);

  for (GList *l = self->pushers.head; l != NULL && !waited; l = l->next)
    {
      Pusher *pusher = l->data;

      if (pusher->task != task)
        continue;

      waited = TRUE;
      g_queue_delete_link (&self->pushers, l);
      wp_engine_drop_item (self->engine, pusher->item);
      g_free (pusher);
      break;
    }

  if (waited)
    answer_later (self, task, FALSE, NULL,
                  g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "Operation was cancelled"));

  return waited;
}
