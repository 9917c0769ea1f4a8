/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* smoothness WAY FOLDER: fills a wall of thumbnails in one of the ways of ways[], while the window draws frame after
 * frame, and prints how long it took and how long the frames had to wait. */

#include "frame-pauses.h"

#include <workerpool.h>

#define TILE_SIZE 128

typedef struct
{
  GMainLoop *loop;
  GtkWidget *window;
  GtkNoSelection *selection;
  FramePauses *pauses;
  GPtrArray *uris;
  GListStore *tiles; /* of GdkTexture, for the ways without a batch */
  guint next;
} Wall;

typedef struct
{
  const char *name;
  void (*begin) (Wall *wall);
} Way;

static GVariant *
make_thumbnail (const char *uri, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_uri (uri);
  g_autoptr (GBytes) bytes = g_file_load_bytes (file, NULL, NULL, error);
  g_autoptr (GInputStream) stream = bytes != NULL ? g_memory_input_stream_new_from_bytes (bytes) : NULL;
  g_autoptr (GdkPixbuf) scaled = NULL, thumbnail = NULL;
  g_autofree char *hash = NULL;

  if (stream != NULL)
    scaled = gdk_pixbuf_new_from_stream_at_scale (stream, TILE_SIZE, TILE_SIZE, TRUE, NULL, error);
  if (scaled == NULL)
    return NULL;

  hash = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes);
  thumbnail = gdk_pixbuf_add_alpha (scaled, FALSE, 0, 0, 0);

  return g_variant_new ("(sii@ay)", hash, gdk_pixbuf_get_width (thumbnail), gdk_pixbuf_get_height (thumbnail),
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, gdk_pixbuf_read_pixels (thumbnail),
                                                   gdk_pixbuf_get_byte_length (thumbnail), 1));
}

/* thumbnail: (nullable): what did not decode is an empty tile. */
static GdkTexture *
make_texture (GVariant *thumbnail)
{
  g_autoptr (GVariant) pixels = NULL;
  g_autoptr (GBytes) bytes = NULL;
  int width, height;

  if (thumbnail == NULL)
    {
      bytes = g_bytes_new_static ("\0\0\0\0", 4);
      return gdk_memory_texture_new (1, 1, GDK_MEMORY_R8G8B8A8, bytes, 4);
    }

  pixels = g_variant_get_child_value (thumbnail, 3);
  bytes = g_variant_get_data_as_bytes (pixels);
  g_variant_get (thumbnail, "(&sii@ay)", NULL, &width, &height, NULL);

  return gdk_memory_texture_new (width, height, GDK_MEMORY_R8G8B8A8, bytes, 4 * width);
}

static void
end (Wall *wall)
{
  const FrameStatistics frames = frame_pauses_end (wall->pauses);

  g_print ("%.2f s, %u frames, 99 %% waited no longer than %.0f ms, the longest %.0f ms\n", frames.seconds,
           frames.n_frames, frames.percentile_99_ms, frames.longest_ms);
  g_main_loop_quit (wall->loop);
}

/* thumbnail: (nullable) (transfer full): may be floating. */
static void
add_thumbnail (Wall *wall, GVariant *thumbnail)
{
  g_autoptr (GVariant) sunk = thumbnail != NULL ? g_variant_ref_sink (thumbnail) : NULL;
  g_autoptr (GdkTexture) texture = make_texture (sunk);

  g_list_store_append (wall->tiles, texture);
  if (g_list_model_get_n_items (G_LIST_MODEL (wall->tiles)) == wall->uris->len)
    end (wall);
}

/* In the workers of a pool */

static GVariant *
run_in_worker (WpTaskContext *context, GVariant *uri, gpointer user_data, GError **error)
{
  return make_thumbnail (g_variant_get_string (uri, NULL), error);
}

static gpointer
map_result (gpointer item, gpointer user_data)
{
  g_autoptr (WpResult) result = item;

  return make_texture (wp_result_get_value (result));
}

static void
begin_pool (Wall *wall, int nice)
{
  g_autoptr (WpWorkerPool) pool = g_object_new (WP_TYPE_WORKER_POOL, "nice", nice, NULL);
  g_autoptr (WpTaskOptions) options = g_object_new (WP_TYPE_TASK_OPTIONS, "on-error", WP_ON_ERROR_CONTINUE,
                                                    "ordered", FALSE, NULL);
  g_autoptr (GError) error = NULL;
  WpBatch *batch = wp_worker_pool_start_batch (pool, "make-thumbnail", options, &error);
  g_autoptr (GtkMapListModel) tiles = NULL;

  if (batch == NULL)
    g_error ("%s", error->message);

  g_signal_connect_swapped (batch, "finished", G_CALLBACK (end), wall);
  for (guint i = 0; i < wall->uris->len; i++)
    wp_batch_push_async (batch, g_variant_new_string (g_ptr_array_index (wall->uris, i)), NULL, NULL, NULL);
  wp_batch_close (batch);

  tiles = gtk_map_list_model_new (G_LIST_MODEL (batch), map_result, NULL, NULL);
  gtk_no_selection_set_model (wall->selection, G_LIST_MODEL (tiles));
}

static void
begin_niced_workers (Wall *wall)
{
  begin_pool (wall, 10);
}

static void
begin_workers (Wall *wall)
{
  begin_pool (wall, 0);
}

/* In threads */

static void
run_in_task_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  g_task_return_pointer (task, make_thumbnail (task_data, NULL), NULL);
}

static void
on_task_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  add_thumbnail (user_data, g_task_propagate_pointer (G_TASK (result), NULL));
}

static void
begin_task_threads (Wall *wall)
{
  for (guint i = 0; i < wall->uris->len; i++)
    {
      g_autoptr (GTask) task = g_task_new (NULL, NULL, on_task_ended, wall);

      g_task_set_task_data (task, g_ptr_array_index (wall->uris, i), NULL);
      g_task_run_in_thread (task, run_in_task_thread);
    }
}

typedef struct
{
  Wall *wall;
  GVariant *thumbnail;
} Delivery;

static gboolean
deliver (gpointer data)
{
  g_autofree Delivery *delivery = data;

  add_thumbnail (delivery->wall, delivery->thumbnail);

  return G_SOURCE_REMOVE;
}

static void
run_in_pool_thread (gpointer data, gpointer user_data)
{
  Delivery *delivery = g_new (Delivery, 1);

  delivery->wall = user_data;
  delivery->thumbnail = make_thumbnail (data, NULL);
  g_idle_add_full (G_PRIORITY_DEFAULT, deliver, delivery, NULL);
}

static void
begin_thread_pool (Wall *wall)
{
  GThreadPool *threads = g_thread_pool_new (run_in_pool_thread, wall, g_get_num_processors (), FALSE, NULL);

  for (guint i = 0; i < wall->uris->len; i++)
    g_thread_pool_push (threads, g_ptr_array_index (wall->uris, i), NULL);
}

/* On the main loop */

static gboolean
run_in_idle (gpointer data)
{
  Wall *wall = data;

  add_thumbnail (wall, make_thumbnail (g_ptr_array_index (wall->uris, wall->next++), NULL));

  return wall->next < wall->uris->len;
}

static void
begin_main_loop (Wall *wall)
{
  g_idle_add (run_in_idle, wall);
}

static const Way ways[] = {
  { "niced-workers", begin_niced_workers },
  { "workers", begin_workers },
  { "thread-pool", begin_thread_pool }, /* as many as CPUs */
  { "task-threads", begin_task_threads },
  { "main-loop", begin_main_loop },
};

/* The window */

static void
on_setup_tile (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  gtk_list_item_set_child (item, g_object_new (GTK_TYPE_IMAGE, "pixel-size", TILE_SIZE, NULL));
}

static void
on_bind_tile (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  gtk_image_set_from_paintable (GTK_IMAGE (gtk_list_item_get_child (item)),
                                GDK_PAINTABLE (gtk_list_item_get_item (item)));
}

static GPtrArray *
list_files (const char *folder)
{
  GPtrArray *uris = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;

  if (dir == NULL)
    g_error ("%s", error->message);

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autoptr (GFile) file = g_file_new_build_filename (folder, name, NULL);

      g_ptr_array_add (uris, g_file_get_uri (file));
    }
  if (uris->len == 0)
    g_error ("%s is empty", folder);

  return uris;
}

static void
open_window (Wall *wall)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();
  GtkWidget *scrolled = gtk_scrolled_window_new ();
  GtkWidget *grid;

  g_signal_connect (factory, "setup", G_CALLBACK (on_setup_tile), NULL);
  g_signal_connect (factory, "bind", G_CALLBACK (on_bind_tile), NULL);
  wall->tiles = g_list_store_new (GDK_TYPE_TEXTURE);
  wall->selection = gtk_no_selection_new (G_LIST_MODEL (g_object_ref (wall->tiles)));
  grid = gtk_grid_view_new (GTK_SELECTION_MODEL (wall->selection), factory);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scrolled), grid);

  wall->window = gtk_window_new ();
  gtk_window_set_default_size (GTK_WINDOW (wall->window), 960, 640);
  gtk_window_set_child (GTK_WINDOW (wall->window), scrolled);
  gtk_window_present (GTK_WINDOW (wall->window));
  wall->pauses = frame_pauses_new (wall->window);
}

/* The first frames are those of any window that opens. */
static gboolean
begin_when_it_draws (GtkWidget *window, GdkFrameClock *clock, gpointer user_data)
{
  Wall *wall = user_data;
  const Way *way = g_object_get_data (G_OBJECT (window), "way");

  if (gdk_frame_clock_get_frame_counter (clock) < 10)
    return G_SOURCE_CONTINUE;

  frame_pauses_begin (wall->pauses);
  way->begin (wall);

  return G_SOURCE_REMOVE;
}

int
main (int argc, char *argv[])
{
  Wall wall = { 0 };

  wp_register_function ("make-thumbnail", run_in_worker, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  for (guint i = 0; argc == 3 && i < G_N_ELEMENTS (ways); i++)
    {
      if (!g_str_equal (argv[1], ways[i].name))
        continue;

      gtk_init ();
      wall.loop = g_main_loop_new (NULL, FALSE);
      wall.uris = list_files (argv[2]);
      open_window (&wall);
      g_object_set_data (G_OBJECT (wall.window), "way", (gpointer) &ways[i]);
      gtk_widget_add_tick_callback (wall.window, begin_when_it_draws, &wall, NULL);
      g_main_loop_run (wall.loop);

      return 0;
    }

  g_printerr ("Usage: smoothness WAY FOLDER, with a way of:");
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    g_printerr (" %s", ways[i].name);
  g_printerr ("\n");

  return 2;
}
