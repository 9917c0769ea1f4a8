/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Watches a thumbnail wall from within, in whichever language it is: preloaded, it finds the window, follows its model
 * and its widgets to the end of the batch, writes what it saw to a file, and closes the window.
 *
 * WALL_PROBE_REPORT: the file; without it nothing is watched.
 * WALL_PROBE_CHOOSE: answers the dialog that asks for a folder, with this one; when it is empty, with “Cancel”.
 * WALL_PROBE_CANCEL_AT: clicks “Cancel” when there are so many tiles.
 * WALL_PROBE_CLOSE_AT: closes the window when there are so many tiles, and writes nothing.
 * WALL_PROBE_SHOT, WALL_PROBE_SHOT_AT: saves a picture of the window as this PNG file at this fraction. */

#include "frame-pauses.h"

#define LOOK_INTERVAL_MS 10

enum
{
  BATCH_FINISHED = 2, /* as in WpBatchState, of which the probe knows only what is introspected */
};

typedef struct
{
  GKeyFile *report;
  GtkWindow *window; /* (nullable) */
  GtkWidget *grid;
  GtkWidget *bar;
  GtkWidget *cancel_button;
  GdkPaintable *picture; /* of the window */
  FramePauses *pauses;
  gboolean chose;     /* the folder; the dialog takes a while to find it */
  gboolean began;     /* the first tile is there */
  gboolean cancelled;
  gboolean shot;
  gint64 end_frame; /* the last one before the end was seen */
  double last_fraction;
} Probe;

static GtkWidget *
find_widget (GtkWidget *parent, GType type)
{
  if (G_TYPE_CHECK_INSTANCE_TYPE (parent, type))
    return parent;

  for (GtkWidget *child = gtk_widget_get_first_child (parent); child != NULL; child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = find_widget (child, type);

      if (found != NULL)
        return found;
    }

  return NULL;
}

static GtkWidget *
find_button (GtkWidget *parent, const char *label)
{
  if (GTK_IS_BUTTON (parent) && g_strcmp0 (gtk_button_get_label (GTK_BUTTON (parent)), label) == 0)
    return parent;

  for (GtkWidget *child = gtk_widget_get_first_child (parent); child != NULL; child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = find_button (child, label);

      if (found != NULL)
        return found;
    }

  return NULL;
}

/* As one who has clicked through the folders would. */
static void
answer_dialog (Probe *self, GtkWindow *dialog)
{
  const char *path = g_getenv ("WALL_PROBE_CHOOSE");
  g_autoptr (GFile) folder = g_file_new_for_path (path);
  g_autoptr (GFile) chosen = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));

  if (*path == '\0')
    gtk_dialog_response (GTK_DIALOG (dialog), GTK_RESPONSE_CANCEL);
  else if (chosen != NULL && g_file_equal (chosen, folder))
    gtk_dialog_response (GTK_DIALOG (dialog), GTK_RESPONSE_ACCEPT);
  else if (!self->chose)
    self->chose = gtk_file_chooser_set_file (GTK_FILE_CHOOSER (dialog), folder, NULL);
}

static void
look_at_window (Probe *self, GtkWindow *window)
{
  self->window = window;
  self->grid = find_widget (GTK_WIDGET (window), GTK_TYPE_GRID_VIEW);
  self->bar = find_widget (GTK_WIDGET (window), GTK_TYPE_PROGRESS_BAR);
  self->cancel_button = find_button (GTK_WIDGET (window), "Cancel");
  self->picture = gtk_widget_paintable_new (GTK_WIDGET (window));
  self->pauses = frame_pauses_new (GTK_WIDGET (window));
}

/* The window comes first, its model later. */
static GListModel *
find_batch (Probe *self)
{
  GtkSelectionModel *selection;
  GListModel *windows = gtk_is_initialized () ? gtk_window_get_toplevels () : NULL;

  for (guint i = 0; self->window == NULL && windows != NULL && i < g_list_model_get_n_items (windows); i++)
    {
      g_autoptr (GtkWindow) window = g_list_model_get_item (windows, i);

      if (!gtk_widget_get_mapped (GTK_WIDGET (window)))
        continue;
      if (GTK_IS_FILE_CHOOSER_DIALOG (window))
        answer_dialog (self, window);
      else if (find_widget (GTK_WIDGET (window), GTK_TYPE_GRID_VIEW) != NULL)
        look_at_window (self, window);
    }
  if (self->window == NULL)
    return NULL;

  selection = gtk_grid_view_get_model (GTK_GRID_VIEW (self->grid));

  return gtk_no_selection_get_model (GTK_NO_SELECTION (selection));
}

/* FALSE: the window has nothing to show yet. */
static gboolean
save_picture (Probe *self, const char *path)
{
  g_autoptr (GdkPaintable) image = gdk_paintable_get_current_image (self->picture);
  GtkSnapshot *snapshot = gtk_snapshot_new ();
  g_autoptr (GskRenderNode) node = NULL;
  g_autoptr (GdkTexture) texture = NULL;

  gdk_paintable_snapshot (image, snapshot, gdk_paintable_get_intrinsic_width (image),
                          gdk_paintable_get_intrinsic_height (image));
  node = gtk_snapshot_free_to_node (snapshot);
  if (node == NULL)
    return FALSE;

  texture = gsk_renderer_render_texture (gtk_native_get_renderer (GTK_NATIVE (self->window)), node, NULL);

  return gdk_texture_save_to_png (texture, path);
}

static gint64
get_frame (Probe *self)
{
  return gdk_frame_clock_get_frame_counter (gtk_widget_get_frame_clock (GTK_WIDGET (self->window)));
}

static void
note_count (Probe *self, const char *key, int count)
{
  if (count > g_key_file_get_integer (self->report, "wall", key, NULL))
    g_key_file_set_integer (self->report, "wall", key, count);
}

/* What the tiles show that are there. */
static void
note_tiles (Probe *self)
{
  g_autoptr (GPtrArray) labels = g_ptr_array_new (), tooltips = g_ptr_array_new ();
  int n_pictures = 0;

  for (GtkWidget *item = gtk_widget_get_first_child (self->grid); item != NULL;
       item = gtk_widget_get_next_sibling (item))
    {
      GtkWidget *tile = gtk_widget_get_first_child (item);

      if (tile == NULL)
        continue;

      g_ptr_array_add (labels, (char *) gtk_label_get_label (GTK_LABEL (gtk_widget_get_last_child (tile))));
      g_ptr_array_add (tooltips, (char *) gtk_widget_get_tooltip_text (tile));
      if (GDK_IS_TEXTURE (gtk_image_get_paintable (GTK_IMAGE (gtk_widget_get_first_child (tile)))))
        n_pictures++;
    }

  g_key_file_set_string_list (self->report, "tiles", "labels", (const char *const *) labels->pdata, labels->len);
  g_key_file_set_string_list (self->report, "tiles", "tooltips", (const char *const *) tooltips->pdata, tooltips->len);
  g_key_file_set_integer (self->report, "tiles", "n-pictures", n_pictures);
}

/* What the model has. */
static void
note_results (Probe *self, GListModel *batch)
{
  g_autoptr (GPtrArray) hashes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) errors = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < g_list_model_get_n_items (batch); i++)
    {
      g_autoptr (GObject) result = g_list_model_get_item (batch, i);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = NULL;

      g_object_get (result, "error", &error, "value", &value, NULL);
      if (error != NULL)
        g_ptr_array_add (errors, g_strdup_printf ("%s %d: %s", g_quark_to_string (error->domain), error->code,
                                                  error->message));
      else
        g_ptr_array_add (hashes, g_variant_dup_string (g_variant_get_child_value (value, 0), NULL));
    }

  g_key_file_set_string_list (self->report, "results", "hashes", (const char *const *) hashes->pdata, hashes->len);
  g_key_file_set_string_list (self->report, "results", "errors", (const char *const *) errors->pdata, errors->len);
}

static void
note_frames (Probe *self)
{
  const FrameStatistics frames = frame_pauses_end (self->pauses);

  g_key_file_set_integer (self->report, "frames", "n-frames", frames.n_frames);
  g_key_file_set_double (self->report, "frames", "seconds", frames.seconds);
  g_key_file_set_double (self->report, "frames", "longest-ms", frames.longest_ms);
  g_key_file_set_double (self->report, "frames", "busiest-ms", frames.busiest_ms);
}

static void
leave (Probe *self)
{
  frame_pauses_free (self->pauses);
  g_object_unref (self->picture);
  gtk_window_close (self->window);
}

/* FALSE: there is nothing left to follow. */
static gboolean
follow (Probe *self, GListModel *batch)
{
  const double fraction = gtk_progress_bar_get_fraction (GTK_PROGRESS_BAR (self->bar));
  const char *cancel_at = g_getenv ("WALL_PROBE_CANCEL_AT");
  const char *close_at = g_getenv ("WALL_PROBE_CLOSE_AT");
  const char *shot = g_getenv ("WALL_PROBE_SHOT");
  const guint n_items = g_list_model_get_n_items (batch);

  if (n_items > 0 && !self->began)
    {
      self->began = TRUE;
      frame_pauses_begin (self->pauses);
    }
  if (fraction < self->last_fraction)
    g_key_file_set_boolean (self->report, "bar", "went-back", TRUE);
  if (fraction > self->last_fraction)
    note_count (self, "n-steps", g_key_file_get_integer (self->report, "wall", "n-steps", NULL) + 1);
  self->last_fraction = fraction;

  note_count (self, "n-items-before-the-end", n_items);
  if (gtk_widget_get_first_child (self->grid) != NULL)
    note_count (self, "n-looks-at-tiles-before-the-end",
                g_key_file_get_integer (self->report, "wall", "n-looks-at-tiles-before-the-end", NULL) + 1);

  if (cancel_at != NULL && !self->cancelled && n_items >= (guint) g_ascii_strtoull (cancel_at, NULL, 10))
    {
      self->cancelled = TRUE;
      g_signal_emit_by_name (self->cancel_button, "clicked");
    }
  if (shot != NULL && !self->shot && fraction >= g_ascii_strtod (g_getenv ("WALL_PROBE_SHOT_AT"), NULL))
    self->shot = save_picture (self, shot);
  if (close_at == NULL || n_items < (guint) g_ascii_strtoull (close_at, NULL, 10))
    return TRUE;

  leave (self);

  return FALSE;
}

static gboolean
look (gpointer user_data)
{
  Probe *self = user_data;
  GListModel *batch = find_batch (self);
  int state;

  if (batch == NULL)
    return G_SOURCE_CONTINUE;

  g_object_get (batch, "state", &state, NULL);
  if (state < BATCH_FINISHED)
    {
      return follow (self, batch);
    }
  if (self->end_frame == 0)
    {
      self->end_frame = get_frame (self);
      if (self->began)
        note_frames (self);
    }
  /* The handlers of the end come after it, and the last tiles with a frame. */
  if (gtk_widget_get_sensitive (self->cancel_button) || get_frame (self) < self->end_frame + 3)
    return G_SOURCE_CONTINUE;

  note_tiles (self);
  note_results (self, batch);
  g_key_file_set_integer (self->report, "wall", "state", state);
  g_key_file_set_string (self->report, "wall", "title", gtk_window_get_title (self->window));
  g_key_file_set_double (self->report, "bar", "fraction", gtk_progress_bar_get_fraction (GTK_PROGRESS_BAR (self->bar)));
  g_key_file_save_to_file (self->report, g_getenv ("WALL_PROBE_REPORT"), NULL);

  leave (self);

  return G_SOURCE_REMOVE;
}

__attribute__ ((constructor)) static void
begin (void)
{
  Probe *self;

  if (g_getenv ("WALL_PROBE_REPORT") == NULL)
    return;

  /* The workers are let alone. */
  g_unsetenv ("LD_PRELOAD");
  self = g_new0 (Probe, 1);
  self->report = g_key_file_new ();
  g_timeout_add (LOOK_INTERVAL_MS, look, self);
}
