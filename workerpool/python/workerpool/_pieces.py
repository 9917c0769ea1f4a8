# SPDX-License-Identifier: LGPL-2.1-or-later

"""A pickle, and beside it the large buffers that it stands for."""

import array
import copyreg
import pickle
import sys

from . import _pickles

# Smaller buffers are copied with the pickle.
LARGE = 1 << 16

# Of the pickle's language: how large bytes and bytearrays begin, and what stands for a buffer beside the pickle.
_SHORT_BYTES, _BYTES, _BYTEARRAY, _FRAME = b'B', b'\x8e', b'\x96', b'\x95'
_NEXT_BUFFER = b'\x97'
_CALL = {bytes: (b'cbuiltins\nbytes\n', b'\x85R'), bytearray: (b'cbuiltins\nbytearray\n', b'\x85R')}
_FRAME_HEAD_SIZE = 9
_MOST_SHORT_BYTES = 0xffffffff

# Formats that a view of bytes can be cast to.
_NATIVE_FORMATS = frozenset('cbB?hHiIlLqQnNfdP')


class Pieces:
    """A pickle on its way: what the pickler writes to.

    The pickler hands large bytes and bytearrays over as they are, right after the head that it has written for them.
    The head is replaced, so that the pickle takes a buffer in that place; nothing was copied then. Those that are
    items, or stand in an item that is one of the containers, become views on the other side; others become themselves
    again.
    """

    def __init__(self, items, containers):
        self.stream = []
        self.buffers = []
        self._items = items
        self._containers = containers
        self._tops = None

    def dump(self, value):
        """Raises what pickle raises."""
        pickler = pickle.Pickler(self, _pickles.PROTOCOL, buffer_callback=self._take)
        pickler.dispatch_table = {**copyreg.dispatch_table, **self._get_reducers()}
        pickler.dump(value)

    def dump_by_value(self, value, cloudpickle):
        kind = cloudpickle.CloudPickler
        pickler = kind.__new__(kind)
        # It looks at its table when it begins.
        pickler.dispatch_table = {**kind.dispatch_table, **self._get_reducers()}
        pickler.__init__(self, _pickles.PROTOCOL, buffer_callback=self._take)
        pickler.dump(value)

    def write(self, piece):
        if len(piece) < LARGE or not self._replace(piece):
            self.stream.append(piece)

    def mentions_main(self):
        return any(map(_pickles.mentions_main, self.stream))

    def _replace(self, piece):
        """Whether the piece is a large object whose head could be replaced."""
        kind = type(piece)
        size = len(piece)
        if kind is bytearray:
            head = _BYTEARRAY + size.to_bytes(8, 'little')
        elif kind is bytes and not _is_frame(piece):
            head = _SHORT_BYTES + size.to_bytes(4, 'little') if size <= _MOST_SHORT_BYTES \
                else _BYTES + size.to_bytes(8, 'little')
        else:
            return False
        if not self.stream or not self.stream[-1].endswith(head):
            return False

        begin, end = (b'', b'') if self._is_top(piece) else _CALL[kind]
        self.stream[-1] = b''.join((self.stream[-1][:-len(head)], begin, _NEXT_BUFFER, end))
        self.buffers.append(memoryview(piece))
        return True

    def _take(self, buffer):
        """The pickler's callback for what knows how to be a buffer; whether it is to be copied with the pickle."""
        view = buffer.raw()
        if view.nbytes < LARGE:
            return True
        self.buffers.append(view)
        return False

    def _is_top(self, value):
        if self._tops is None:
            self._tops = set(map(id, self._items))
            for item in self._items:
                if isinstance(item, self._containers):
                    self._tops.update(map(id, item.values() if isinstance(item, dict) else item))
        return id(value) in self._tops

    def _get_reducers(self):
        return {memoryview: self._reduce_view, array.array: self._reduce_array}

    def _reduce_view(self, view):
        if not view.c_contiguous or view.ndim == 0:
            return _make_view, (view.tobytes(), view.format, view.shape)
        if view.format not in _NATIVE_FORMATS or (0 in view.shape and view.ndim > 1):
            return _view_array, (_as_array(view),)
        return _make_view, (pickle.PickleBuffer(view), view.format, view.shape)

    def _reduce_array(self, value):
        size = len(value) * value.itemsize
        if size < LARGE or value.typecode not in _NATIVE_FORMATS:
            return value.__reduce_ex__(_pickles.PROTOCOL)
        buffer = pickle.PickleBuffer(value)
        if self._is_top(value):
            return _make_view, (buffer, value.typecode, (len(value),))
        return _make_array, (value.typecode, buffer)


def _is_frame(piece):
    """Whether this may be a part of the pickle itself, as it is written where it has grown large."""
    rest = len(piece) - _FRAME_HEAD_SIZE - int.from_bytes(piece[1:_FRAME_HEAD_SIZE], 'little')
    return piece.startswith(_FRAME) and 0 <= rest <= _FRAME_HEAD_SIZE


def _as_array(view):
    """What keeps a format that only numpy can name."""
    if 'numpy' not in sys.modules:
        raise TypeError(f'a memoryview with the format {view.format!r} and the shape {view.shape} can only be sent '
                        'where numpy was imported')
    return sys.modules['numpy'].asarray(view)


def _make_view(buffer, format_, shape):
    view = memoryview(buffer).toreadonly()
    if format_ == 'B' and len(shape) == 1:
        return view
    view = view.cast('B')
    return view.cast(format_) if len(shape) == 1 else view.cast(format_, shape)


def _view_array(value):
    return memoryview(value).toreadonly()


def _make_array(typecode, buffer):
    value = array.array(typecode)
    value.frombytes(buffer)
    return value
