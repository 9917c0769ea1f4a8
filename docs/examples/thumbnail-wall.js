// SPDX-License-Identifier: LGPL-2.1-or-later

// thumbnail-wall.js [FOLDER]: a wall of thumbnails. The workers read, hash, decode and scale the images.

import GdkPixbuf from 'gi://GdkPixbuf';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';
import Wp from 'gi://WorkerPool?version=1.0';

const TILE_SIZE = 128;

// Runs in a worker: the URI of an image in; its SHA-256, and the size and the pixels of its thumbnail, out.
function makeThumbnail(context, uri) {
  const [bytes] = Gio.File.new_for_uri(uri.get_string()[0]).load_bytes(null);
  const stream = Gio.MemoryInputStream.new_from_bytes(bytes);
  const scaled = GdkPixbuf.Pixbuf.new_from_stream_at_scale(stream, TILE_SIZE, TILE_SIZE, true, null);
  const thumbnail = scaled.add_alpha(false, 0, 0, 0);

  return GLib.Variant.new_tuple([
    GLib.Variant.new_string(GLib.compute_checksum_for_bytes(GLib.ChecksumType.SHA256, bytes)),
    GLib.Variant.new_int32(thumbnail.width),
    GLib.Variant.new_int32(thumbnail.height),
    GLib.Variant.new_from_bytes(new GLib.VariantType('ay'), thumbnail.read_pixel_bytes(), true),
  ]);
}

Wp.register_function('make-thumbnail', makeThumbnail);
if (Wp.Worker.is_requested())
  System.exit(Wp.Worker.main());

// Only the window needs these.
const {default: Gtk} = await import('gi://Gtk?version=4.0');
const {default: Adw} = await import('gi://Adw?version=1');
const {default: Gdk} = await import('gi://Gdk?version=4.0');
const {default: GObject} = await import('gi://GObject');
const {default: Pango} = await import('gi://Pango');

// The template names it.
GObject.type_ensure(Wp.Batch.$gtype);

const ThumbnailWall = GObject.registerClass({
  GTypeName: 'ThumbnailWall',
  Template: Gio.File.new_for_uri(import.meta.url).get_parent().get_child('thumbnail-wall.ui').get_uri(),
  InternalChildren: ['cancel_button', 'selection', 'folder', 'files'],
}, class ThumbnailWall extends Adw.ApplicationWindow {
  constructor(application, file) {
    super({application, title: file.peek_path()});

    // Workers yield to the window where they have to share a CPU with it.
    const pool = new Wp.WorkerPool({nice: 10});
    const options = new Wp.TaskOptions({onError: Wp.OnError.CONTINUE, ordered: false});
    this._batch = pool.start_batch('make-thumbnail', options);
    this._batch.connect('finished', () => this._cancel_button.set_sensitive(false));
    this._selection.set_model(this._batch);
    this._folder.set_file(file);
  }

  on_files_found(files, position, nRemoved, nAdded) {
    this._batch.n_total = files.get_n_items();
    for (let i = position; i < position + nAdded; i++) {
      const uri = files.get_item(i).get_attribute_object('standard::file').get_uri();
      this._batch.push_async(GLib.Variant.new_string(uri), null, null);
    }
  }

  on_folder_loading(folder) {
    if (folder.error)
      this.title = folder.error.message;
    if (!folder.loading)
      this._batch.close();
  }

  on_setup_tile(factory, item) {
    const tile = new Gtk.Box({orientation: Gtk.Orientation.VERTICAL, spacing: 6});

    tile.append(new Gtk.Image({pixelSize: TILE_SIZE}));
    tile.append(new Gtk.Label({ellipsize: Pango.EllipsizeMode.END}));
    item.set_child(tile);
  }

  on_bind_tile(factory, item) {
    const result = item.get_item();
    const name = this._files.get_item(result.index).get_display_name();
    const tile = item.get_child();
    const image = tile.get_first_child();
    const label = tile.get_last_child();

    const error = result.get_error();
    if (error) {
      image.set_from_icon_name('image-missing-symbolic');
      label.set_label(error.message);
      tile.set_tooltip_text(name);
      tile.set_css_classes(['error']);
    } else {
      const [hash, width, height] = [0, 1, 2].map(i => result.value.get_child_value(i).unpack());
      const pixels = result.value.get_child_value(3).get_data_as_bytes();
      image.set_from_paintable(Gdk.MemoryTexture.new(width, height, Gdk.MemoryFormat.R8G8B8A8, pixels, 4 * width));
      label.set_label(name);
      tile.set_tooltip_text(hash);
      tile.set_css_classes(['image']);
    }
  }

  on_cancelled() {
    this._batch.cancel();
  }
});

const ThumbnailApplication = GObject.registerClass(class ThumbnailApplication extends Adw.Application {
  constructor() {
    super({flags: Gio.ApplicationFlags.HANDLES_OPEN});
  }

  vfunc_activate() {
    this._chooser = new Gtk.FileChooserNative({title: 'Choose a Folder', action: Gtk.FileChooserAction.SELECT_FOLDER});
    this._chooser.connect('response', (chooser, response) => {
      if (response === Gtk.ResponseType.ACCEPT)
        this.open([chooser.get_file()], '');
      this.release();
    });
    this.hold();
    this._chooser.show();
  }

  vfunc_open(files) {
    new ThumbnailWall(this, files[0]).present();
  }
});

System.exit(new ThumbnailApplication().run([System.programInvocationName, ...ARGV]));
