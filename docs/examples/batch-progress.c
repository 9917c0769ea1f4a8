/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <workerpool.h>

#define N_ITEMS 100000

typedef struct
{
  GMainLoop *loop;
  WpBatch *batch;
  guint next;
  guint64 sum;
} Squares;

static GVariant *
square (WpTaskContext *context, GVariant *args, gpointer user_data, GError **error)
{
  const guint64 number = g_variant_get_uint32 (args);

  return g_variant_new_uint64 (number * number);
}

/* Pushes what there is room for, then waits until the workers have made more. */
static void
push_items (Squares *self, GAsyncReadyCallback on_pushed)
{
  g_autoptr (GError) error = NULL;

  while (self->next < N_ITEMS && wp_batch_get_room (self->batch) > 0)
    {
      if (!wp_batch_push (self->batch, g_variant_new_uint32 (self->next++), &error))
        g_error ("%s", error->message);
    }

  if (self->next == N_ITEMS)
    wp_batch_close (self->batch);
  else
    wp_batch_push_async (self->batch, g_variant_new_uint32 (self->next++), NULL, on_pushed, self);
}

static void
on_pushed (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (!wp_batch_push_finish (WP_BATCH (object), result, &error))
    g_error ("%s", error->message);

  push_items (user_data, on_pushed);
}

static void
on_result (WpBatch *batch, guint64 index, GVariant *value, gpointer user_data)
{
  Squares *self = user_data;

  self->sum += g_variant_get_uint64 (value);
}

static void
on_progress (WpBatch *batch, GParamSpec *pspec, gpointer user_data)
{
  g_printerr ("\r%3.0f %%", wp_batch_get_fraction (batch) * 100);
}

static void
on_finished (WpBatch *batch, gpointer user_data)
{
  Squares *self = user_data;

  g_printerr ("\n");
  g_print ("%" G_GUINT64_FORMAT " tasks, sum %" G_GUINT64_FORMAT "\n",
           wp_batch_get_n_completed (batch), self->sum);
  g_main_loop_quit (self->loop);
}

int
main (int argc, char *argv[])
{
  g_autoptr (GMainLoop) loop = NULL;
  g_autoptr (WpWorkerPool) pool = NULL;
  g_autoptr (WpBatch) batch = NULL;
  g_autoptr (GError) error = NULL;
  Squares self = { 0 };

  wp_register_function ("square", square, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  pool = wp_worker_pool_new (0);
  batch = wp_worker_pool_start_batch (pool, "square", NULL, &error);
  if (batch == NULL)
    g_error ("%s", error->message);

  self.loop = loop = g_main_loop_new (NULL, FALSE);
  self.batch = batch;

  wp_batch_set_n_total (batch, N_ITEMS);
  g_signal_connect (batch, "result", G_CALLBACK (on_result), &self);
  g_signal_connect (batch, "notify::fraction", G_CALLBACK (on_progress), &self);
  g_signal_connect (batch, "finished", G_CALLBACK (on_finished), &self);
  push_items (&self, on_pushed);
  g_main_loop_run (loop);

  return 0;
}
