// SPDX-License-Identifier: LGPL-2.1-or-later

// thumbnail-wall [FOLDER]: a wall of thumbnails. The workers read, hash, decode and scale the images.

const int TILE_SIZE = 128;

// Runs in a worker: the URI of an image in; its SHA-256, and the size and the pixels of its thumbnail, out.
static Variant make_thumbnail (Wp.TaskContext context, Variant uri) throws Error
{
  var bytes = File.new_for_uri (uri.get_string ()).load_bytes (null, null);
  var stream = new MemoryInputStream.from_bytes (bytes);
  var scaled = new Gdk.Pixbuf.from_stream_at_scale (stream, TILE_SIZE, TILE_SIZE, true);
  var thumbnail = scaled.add_alpha (false, 0, 0, 0);
  var pixels = new Variant.from_bytes (VariantType.BYTESTRING, thumbnail.read_pixel_bytes (), true);

  return new Variant ("(sii@ay)", Checksum.compute_for_bytes (ChecksumType.SHA256, bytes), thumbnail.width,
                      thumbnail.height, pixels);
}

[GtkTemplate (ui = "/thumbnail-wall/thumbnail-wall.ui")]
class ThumbnailWall : Adw.ApplicationWindow
{
  [GtkChild]
  private unowned Gtk.Button cancel_button;
  [GtkChild]
  private unowned Gtk.NoSelection selection;
  [GtkChild]
  private unowned Gtk.DirectoryList folder;
  [GtkChild]
  private unowned Gtk.FilterListModel files;

  private Wp.Batch batch;

  public ThumbnailWall (Gtk.Application application)
  {
    Object (application: application);
  }

  public void show_folder (File file) throws Error
  {
    // Workers yield to the window where they have to share a CPU with it.
    var pool = new Wp.WorkerPool (0) { nice = 10 };
    var options = new Wp.TaskOptions () { on_error = Wp.OnError.CONTINUE, ordered = false };
    batch = pool.start_batch ("make-thumbnail", options);
    batch.finished.connect (() => cancel_button.sensitive = false);
    selection.model = batch;
    folder.file = file;
    title = file.peek_path ();
  }

  [GtkCallback]
  private void on_files_found (uint position, uint n_removed, uint n_added)
  {
    batch.n_total = files.get_n_items ();
    for (uint i = position; i < position + n_added; i++)
      batch.push_async.begin (((File) find_file (i).get_attribute_object ("standard::file")).get_uri ());
  }

  [GtkCallback]
  private void on_folder_loading ()
  {
    if (folder.error != null)
      title = folder.error.message;
    if (!folder.loading)
      batch.close ();
  }

  [GtkCallback]
  private void on_setup_tile (Object item)
  {
    var tile = new Gtk.Box (Gtk.Orientation.VERTICAL, 6);

    tile.append (new Gtk.Image () { pixel_size = TILE_SIZE });
    tile.append (new Gtk.Label (null) { ellipsize = Pango.EllipsizeMode.END });
    ((Gtk.ListItem) item).child = tile;
  }

  [GtkCallback]
  private void on_bind_tile (Object item)
  {
    var result = (Wp.Result) ((Gtk.ListItem) item).item;
    var name = find_file ((uint) result.index).get_display_name ();
    var tile = ((Gtk.ListItem) item).child;
    var image = (Gtk.Image) tile.get_first_child ();
    var label = (Gtk.Label) tile.get_last_child ();

    if (result.error != null)
      {
        image.icon_name = "image-missing-symbolic";
        label.label = result.error.message;
        tile.tooltip_text = name;
        tile.css_classes = { "error" };
      }
    else
      {
        int width, height;
        unowned string hash;

        result.value.get ("(&sii@ay)", out hash, out width, out height, null);
        image.paintable = new Gdk.MemoryTexture (width, height, Gdk.MemoryFormat.R8G8B8A8,
                                                 result.value.get_child_value (3).get_data_as_bytes (), 4 * width);
        label.label = name;
        tile.tooltip_text = hash;
        tile.css_classes = { "image" };
      }
  }

  [GtkCallback]
  private void on_cancelled ()
  {
    batch.cancel ();
  }

  private FileInfo find_file (uint position)
  {
    return (FileInfo) files.get_item (position);
  }
}

class ThumbnailApplication : Adw.Application
{
  public ThumbnailApplication ()
  {
    Object (flags: ApplicationFlags.HANDLES_OPEN);
  }

  public override void activate ()
  {
    var chooser = new Gtk.FileChooserNative ("Choose a Folder", null, Gtk.FileChooserAction.SELECT_FOLDER, null, null);

    hold ();
    chooser.response.connect (response => {
      if (response == Gtk.ResponseType.ACCEPT)
        open ({ chooser.get_file () }, "");
      release ();
    });
    chooser.show ();
  }

  public override void open (File[] files, string hint)
  {
    var wall = new ThumbnailWall (this);

    try
      {
        wall.show_folder (files[0]);
        wall.present ();
      }
    catch (Error error)
      {
        GLib.error ("%s", error.message);
      }
  }
}

int main (string[] args)
{
  Wp.register_function ("make-thumbnail", make_thumbnail);
  if (Wp.Worker.is_requested ())
    return Wp.Worker.main ();

  return new ThumbnailApplication ().run (args);
}
