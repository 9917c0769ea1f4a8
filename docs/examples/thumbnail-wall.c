/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* thumbnail-wall [FOLDER]: a wall of thumbnails. The workers read, hash, decode and scale the images. */

#include <adwaita.h>
#include <workerpool.h>

#define TILE_SIZE 128

struct _ThumbnailWall
{
  AdwApplicationWindow parent_instance;
  WpBatch *batch; /* Of the selection. */
  GtkWidget *cancel_button;
  GtkNoSelection *selection;
  GtkDirectoryList *folder;
  GListModel *files;
};

G_DECLARE_FINAL_TYPE (ThumbnailWall, thumbnail_wall, THUMBNAIL, WALL, AdwApplicationWindow)
G_DEFINE_FINAL_TYPE (ThumbnailWall, thumbnail_wall, ADW_TYPE_APPLICATION_WINDOW)

/* Runs in a worker: the URI of an image in; its SHA-256, and the size and the pixels of its thumbnail, out. */
static GVariant *
make_thumbnail (WpTaskContext *context, GVariant *uri, gpointer user_data, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_uri (g_variant_get_string (uri, NULL));
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

void
on_setup_tile (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  GtkWidget *tile = gtk_box_new (GTK_ORIENTATION_VERTICAL, 6);

  gtk_box_append (GTK_BOX (tile), g_object_new (GTK_TYPE_IMAGE, "pixel-size", TILE_SIZE, NULL));
  gtk_box_append (GTK_BOX (tile), g_object_new (GTK_TYPE_LABEL, "ellipsize", PANGO_ELLIPSIZE_END, NULL));
  gtk_list_item_set_child (item, tile);
}

void
on_bind_tile (GtkSignalListItemFactory *factory, GtkListItem *item, ThumbnailWall *self)
{
  WpResult *result = gtk_list_item_get_item (item);
  const GError *error = wp_result_get_error (result);
  g_autoptr (GFileInfo) info = g_list_model_get_item (self->files, wp_result_get_index (result));
  GtkWidget *tile = gtk_list_item_get_child (item);
  GtkImage *image = GTK_IMAGE (gtk_widget_get_first_child (tile));
  GtkLabel *label = GTK_LABEL (gtk_widget_get_last_child (tile));

  gtk_widget_set_css_classes (tile, (const char *[]){ error != NULL ? "error" : "image", NULL });
  gtk_label_set_label (label, error != NULL ? error->message : g_file_info_get_display_name (info));
  if (error != NULL)
    {
      gtk_image_set_from_icon_name (image, "image-missing-symbolic");
      gtk_widget_set_tooltip_text (tile, g_file_info_get_display_name (info));
    }
  else
    {
      int width, height;
      const char *hash;
      g_autoptr (GVariant) pixels = g_variant_get_child_value (wp_result_get_value (result), 3);
      g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (pixels);
      g_autoptr (GdkTexture) texture = NULL;

      g_variant_get (wp_result_get_value (result), "(&sii@ay)", &hash, &width, &height, NULL);
      texture = gdk_memory_texture_new (width, height, GDK_MEMORY_R8G8B8A8, bytes, 4 * width);
      gtk_image_set_from_paintable (image, GDK_PAINTABLE (texture));
      gtk_widget_set_tooltip_text (tile, hash);
    }
}

void
on_files_found (GListModel *files, guint position, guint n_removed, guint n_added, ThumbnailWall *self)
{
  wp_batch_set_n_total (self->batch, g_list_model_get_n_items (files));
  for (guint i = position; i < position + n_added; i++)
    {
      g_autoptr (GFileInfo) info = g_list_model_get_item (files, i);
      g_autofree char *uri = g_file_get_uri (G_FILE (g_file_info_get_attribute_object (info, "standard::file")));

      wp_batch_push_async (self->batch, g_variant_new_string (uri), NULL, NULL, NULL);
    }
}

void
on_folder_loading (GtkDirectoryList *folder, GParamSpec *pspec, ThumbnailWall *self)
{
  const GError *error = gtk_directory_list_get_error (folder);

  if (error != NULL)
    gtk_window_set_title (GTK_WINDOW (self), error->message);
  if (!gtk_directory_list_is_loading (folder))
    wp_batch_close (self->batch);
}

void
on_cancelled (GtkWidget *widget, ThumbnailWall *self)
{
  wp_batch_cancel (self->batch);
}

static void
on_finished (WpBatch *batch, ThumbnailWall *self)
{
  gtk_widget_set_sensitive (self->cancel_button, FALSE);
}

static void
thumbnail_wall_class_init (ThumbnailWallClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  gtk_widget_class_set_template_from_resource (widget_class, "/thumbnail-wall/thumbnail-wall.ui");
  gtk_widget_class_bind_template_child (widget_class, ThumbnailWall, cancel_button);
  gtk_widget_class_bind_template_child (widget_class, ThumbnailWall, selection);
  gtk_widget_class_bind_template_child (widget_class, ThumbnailWall, folder);
  gtk_widget_class_bind_template_child (widget_class, ThumbnailWall, files);
}

static void
thumbnail_wall_init (ThumbnailWall *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}

static void
on_open (GApplication *application, GFile **files, int n_files, const char *hint)
{
  /* Workers yield to the window where they have to share a CPU with it. */
  g_autoptr (WpWorkerPool) pool = g_object_new (WP_TYPE_WORKER_POOL, "nice", 10, NULL);
  g_autoptr (WpTaskOptions) options = g_object_new (WP_TYPE_TASK_OPTIONS, "on-error", WP_ON_ERROR_CONTINUE,
                                                    "ordered", FALSE, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (WpBatch) batch = wp_worker_pool_start_batch (pool, "make-thumbnail", options, &error);
  ThumbnailWall *self = g_object_new (thumbnail_wall_get_type (), "application", application, NULL);

  if (batch == NULL)
    g_error ("%s", error->message);

  self->batch = batch;
  g_signal_connect_object (batch, "finished", G_CALLBACK (on_finished), self, 0);
  gtk_no_selection_set_model (self->selection, G_LIST_MODEL (batch));
  gtk_directory_list_set_file (self->folder, files[0]);
  gtk_window_set_title (GTK_WINDOW (self), g_file_peek_path (files[0]));
  gtk_window_present (GTK_WINDOW (self));
}

static void
on_folder_chosen (GtkFileChooserNative *chooser, int response, GApplication *application)
{
  g_autoptr (GFile) folder = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (chooser));

  if (response == GTK_RESPONSE_ACCEPT)
    g_application_open (application, &folder, 1, "");
  g_application_release (application);
}

static void
on_activate (GApplication *application)
{
  GtkFileChooserNative *chooser = gtk_file_chooser_native_new ("Choose a Folder", NULL,
                                                               GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, NULL, NULL);

  g_application_hold (application);
  g_signal_connect (chooser, "response", G_CALLBACK (on_folder_chosen), application);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (chooser));
}

int
main (int argc, char *argv[])
{
  g_autoptr (AdwApplication) application = NULL;

  wp_register_function ("make-thumbnail", make_thumbnail, NULL, NULL);
  if (wp_worker_is_requested ())
    return wp_worker_main ();

  application = adw_application_new (NULL, G_APPLICATION_HANDLES_OPEN);
  g_signal_connect (application, "activate", G_CALLBACK (on_activate), NULL);
  g_signal_connect (application, "open", G_CALLBACK (on_open), NULL);

  return g_application_run (G_APPLICATION (application), argc, argv);
}
