# SPDX-License-Identifier: LGPL-2.1-or-later

"""thumbnail-wall.py [FOLDER]: a wall of thumbnails. The workers read, hash, decode and scale the images."""

import os
import sys

import gi

gi.require_version('GdkPixbuf', '2.0')
gi.require_version('WorkerPool', '1.0')
from gi.repository import GdkPixbuf, Gio, GLib, WorkerPool as Wp

TILE_SIZE = 128


def make_thumbnail(context, uri, user_data):
    """Runs in a worker: the URI of an image in; its SHA-256, and the size and the pixels of its thumbnail, out."""
    data, _ = Gio.File.new_for_uri(uri.get_string()).load_bytes(None)
    stream = Gio.MemoryInputStream.new_from_bytes(data)
    scaled = GdkPixbuf.Pixbuf.new_from_stream_at_scale(stream, TILE_SIZE, TILE_SIZE, True, None)
    thumbnail = scaled.add_alpha(False, 0, 0, 0)

    return GLib.Variant.new_tuple(
        GLib.Variant('s', GLib.compute_checksum_for_bytes(GLib.ChecksumType.SHA256, data)),
        GLib.Variant('i', thumbnail.get_width()), GLib.Variant('i', thumbnail.get_height()),
        GLib.Variant.new_from_bytes(GLib.VariantType('ay'), thumbnail.read_pixel_bytes(), True))


Wp.register_function('make-thumbnail', make_thumbnail, None)
if Wp.Worker.is_requested():
    sys.exit(Wp.Worker.main())

# Only the window needs these.
gi.require_version('Adw', '1')
gi.require_version('Gtk', '4.0')
from gi.repository import Adw, Gdk, GObject, Gtk, Pango  # noqa: E402

# The template names it.
GObject.type_ensure(Wp.Batch)


@Gtk.Template(filename=os.path.join(os.path.dirname(os.path.abspath(__file__)), 'thumbnail-wall.ui'))
class ThumbnailWall(Adw.ApplicationWindow):
    __gtype_name__ = 'ThumbnailWall'

    cancel_button = Gtk.Template.Child()
    selection = Gtk.Template.Child()
    folder = Gtk.Template.Child()
    files = Gtk.Template.Child()

    def __init__(self, application, file):
        super().__init__(application=application, title=file.peek_path())

        # Workers yield to the window where they have to share a CPU with it.
        pool = Wp.WorkerPool(start_method=Wp.StartMethod.SPAWN, nice=10)
        options = Wp.TaskOptions(on_error=Wp.OnError.CONTINUE, ordered=False)
        self.batch = pool.start_batch('make-thumbnail', options)
        self.batch.connect('finished', lambda batch: self.cancel_button.set_sensitive(False))
        self.selection.set_model(self.batch)
        self.folder.set_file(file)

    @Gtk.Template.Callback()
    def on_files_found(self, files, position, n_removed, n_added):
        self.batch.set_n_total(len(files))
        for info in files[position:position + n_added]:
            self.batch.push_async(GLib.Variant('s', info.get_attribute_object('standard::file').get_uri()))

    @Gtk.Template.Callback()
    def on_folder_loading(self, folder, pspec):
        if folder.get_error() is not None:
            self.set_title(folder.get_error().message)
        if not folder.is_loading():
            self.batch.close()

    @Gtk.Template.Callback()
    def on_setup_tile(self, factory, item):
        tile = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        tile.append(Gtk.Image(pixel_size=TILE_SIZE))
        tile.append(Gtk.Label(ellipsize=Pango.EllipsizeMode.END))
        item.set_child(tile)

    @Gtk.Template.Callback()
    def on_bind_tile(self, factory, item):
        result, tile = item.get_item(), item.get_child()
        name = self.files[result.get_index()].get_display_name()
        image, label = tile

        error = result.get_error()
        if error is not None:
            image.set_from_icon_name('image-missing-symbolic')
            label.set_label(error.message)
            tile.set_tooltip_text(name)
            tile.set_css_classes(['error'])
        else:
            digest, width, height, pixels = map(result.get_value().get_child_value, range(4))
            texture = Gdk.MemoryTexture.new(width.get_int32(), height.get_int32(), Gdk.MemoryFormat.R8G8B8A8,
                                            pixels.get_data_as_bytes(), 4 * width.get_int32())
            image.set_from_paintable(texture)
            label.set_label(name)
            tile.set_tooltip_text(digest.get_string())
            tile.set_css_classes(['image'])

    @Gtk.Template.Callback()
    def on_cancelled(self, widget):
        self.batch.cancel()


class ThumbnailApplication(Adw.Application):
    def __init__(self):
        super().__init__(flags=Gio.ApplicationFlags.HANDLES_OPEN)

    def do_activate(self):
        self.chooser = Gtk.FileChooserNative(title='Choose a Folder', action=Gtk.FileChooserAction.SELECT_FOLDER)
        self.chooser.connect('response', self.on_folder_chosen)
        self.hold()
        self.chooser.show()

    def on_folder_chosen(self, chooser, response):
        if response == Gtk.ResponseType.ACCEPT:
            self.open([chooser.get_file()], '')
        self.release()

    def do_open(self, files, n_files, hint):
        ThumbnailWall(self, files[0]).present()


sys.exit(ThumbnailApplication().run(sys.argv))
