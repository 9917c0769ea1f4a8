# SPDX-License-Identifier: LGPL-2.1-or-later

"""Messages between a pool and its workers: a pickle for many items, and their large buffers in shared memory.

A message is a pickle; or, where it has large buffers, one of these and then the pickle:

    kind | number of buffers | name of an arena | begin, size and serial number of the extent | places of the buffers

The buffers are in an extent of the arena, or in the message itself, after the pickle. In this case the arena that is
named, if one is, is that in which the sender would like to put the next ones.
"""

import pickle
import struct

from . import _arena, _culprits, _pickles
from ._pickles import SerializationError, reason
from ._pieces import LARGE, Pieces

# A pickle begins with 0x80.
_IN_MESSAGE, _IN_ARENA = 1, 2
_HEAD = struct.Struct('<BxxxIIIQQQQ')
_PLACE = struct.Struct('<QQ')
_NO_NAME = _arena.Name(0, 0, 0)

# What an item may be that has large bytes which arrive as views.
ARGUMENTS = (tuple, list, dict)
RESULTS = (tuple,)


# A pickler of our own costs as much as pickling a few items that need none.
_FEW = 4
_SMALL = frozenset((bool, complex, float, int, type(None)))
_SIZED = frozenset((bytes, str))


class Message(bytes):
    """A message whose buffers are in shared memory, as long as it exists, or its lease."""

    lease = None


def get_lease(message):
    """What keeps the shared memory of a message, or None."""
    return getattr(message, 'lease', None)


class Sender:
    """Makes messages of objects.

    `arena`: the memory for large buffers; without it, they travel in the messages.
    `same_main`: the other side has the `__main__` of this process, as one of them is a copy of the other. Else, what
    `__main__` has defined travels by its value.
    `containers`: `ARGUMENTS` or `RESULTS`.
    """

    def __init__(self, arena=None, same_main=False, containers=ARGUMENTS):
        self._arena = arena
        self._same_main = same_main
        self._containers = containers

    def dumps(self, value, items=None, first=0, what='item'):
        """The message of a value.

        `items`: those in the value, if it is not one itself; what is beside them is small and plain. Large bytes-likes
        that are items, or in items that are containers, arrive as views. Of the items, the first one has the number
        `first`; an error says which one it is, and what the items are: `what`.

        What has shared memory is a `Message`: whoever is to receive it must have it before that ends.
        """
        if items is not None and len(items) <= _FEW and all(map(_is_small, items)):
            return pickle.dumps(value, _pickles.PROTOCOL)
        try:
            pieces = self._dump(value, (value,) if items is None else items)
        except Exception as error:
            raise SerializationError(self._explain(value, items, first, what, error)) from error
        return self._pack(pieces) if pieces.buffers else b''.join(pieces.stream)

    def check(self, value, what):
        """Raises what `dumps ()` would raise, and makes no message; `what`: the name of the value in the error."""
        try:
            self._dump(value, ())
        except Exception as error:
            raise SerializationError(self._tell(value, what, error)) from error

    def _dump(self, value, items):
        pieces = Pieces(items, self._containers)
        try:
            pieces.dump(value)
            if self._same_main or not pieces.mentions_main():
                return pieces
            error = None
        except (MemoryError, RecursionError):
            raise
        except Exception as refusal:
            error = refusal
        pieces = Pieces(items, self._containers)
        pieces.dump_by_value(value, _pickles.load_cloudpickle(error))
        return pieces

    def _pack(self, pieces):
        extent = self._arena.store(pieces.buffers) if self._arena is not None else None
        if extent is None:
            return _pack_whole(pieces, self._arena.name if self._arena is not None else None)

        head = _HEAD.pack(_IN_ARENA, len(extent.places), *self._arena.name, extent.begin, extent.end - extent.begin,
                          extent.serial)
        message = Message(b''.join((head, *(_PLACE.pack(*place) for place in extent.places), *pieces.stream)))
        message.lease = self._arena.lease(extent)
        return message

    def _explain(self, value, items, first, what, error):
        for number, item in enumerate(items or (), first):
            if self._fails(item):
                are_arguments = what == 'item' and isinstance(item, ARGUMENTS)
                return self._tell(item, f'{what} {number}', error, are_arguments)
        return self._tell(value, '', error)

    def _tell(self, value, what, error, are_arguments=False):
        # What is nested too deep has no single culprit.
        steps, culprit = ([], value) if isinstance(error, RecursionError) else _culprits.find(value, self._fails)
        if are_arguments and steps:
            what = f'{_name_argument(steps.pop(0))} of {what}'
        where = ' at '.join(filter(None, (what, ''.join(steps).lstrip())))
        return f'cannot pickle {type(culprit).__name__!r} object{" in " if where else ""}{where}: {reason(error)}'

    def _fails(self, part):
        try:
            self._dump(part, ())
        except Exception:
            return True
        return False


class Receiver:
    """Makes the objects of messages.

    `of_workers`: the messages come from workers, which get to know what of theirs has arrived.
    """

    def __init__(self, of_workers=False):
        self._of_workers = of_workers
        self._peers = {}

    def loads(self, message):
        """The value. Large buffers in it are looked at where they are, and stay there until nobody looks at them."""
        try:
            stream, buffers = self._unpack(message)
            return pickle.loads(stream, buffers=buffers)
        except Exception as error:
            raise SerializationError(f'cannot unpickle what was sent: {reason(error)}') from error

    def discard(self, message):
        """Instead of `loads ()`: nobody wants to know what is in the message."""
        try:
            if message[:1] == bytes([_IN_ARENA]):
                _, _, pid, file, inode, *extent = _HEAD.unpack_from(message)
                self._get_peer(_arena.Name(pid, file, inode)).discard(*extent)
        except (OSError, ValueError, struct.error):
            # Then there is nobody who waits for it.
            pass

    def _unpack(self, message):
        """(pickle, buffers)"""
        if message[:1] not in (bytes([_IN_MESSAGE]), bytes([_IN_ARENA])):
            return message, ()

        kind, n_buffers, pid, file, inode, begin, size, serial = _HEAD.unpack_from(message)
        name = _arena.Name(pid, file, inode)
        message = memoryview(message).toreadonly()
        end = _HEAD.size + n_buffers * _PLACE.size
        if end > len(message):
            raise ValueError(f'{n_buffers} buffers do not fit into a message of {len(message)} bytes')
        if kind == _IN_ARENA:
            memory = self._get_peer(name).open(begin, size, serial)
        else:
            memory = message
            if name != _NO_NAME and self._of_workers:
                self._meet(name)
        buffers = [_cut(memory, *place) for place in _PLACE.iter_unpack(message[_HEAD.size:end])]
        return message[end:], buffers

    def _get_peer(self, name):
        peer = self._peers.get(name)
        if peer is None or peer.is_inherited:
            # Most processes need none.
            from ._peer import Peer

            peer = self._peers[name] = Peer(name, self._of_workers)
        return peer

    def _meet(self, name):
        """Opens the arena of a worker, which then uses it; without it, its messages have everything in them."""
        self._peers = {known: peer for known, peer in self._peers.items() if not peer.is_abandoned}
        try:
            self._get_peer(name)
        except OSError:
            pass


def _name_argument(step):
    """For people: `[2]` is argument 3, and `['x']` is argument 'x'."""
    name = step.strip('[]')
    return f'argument {int(name) + 1}' if name.isdecimal() else f'argument {name}'


def _is_small(item):
    """Whether this is surely neither large, nor anything that needs care."""
    if type(item) is tuple:
        return len(item) <= _FEW and all(map(_is_atom, item))
    return _is_atom(item)


def _is_atom(value):
    kind = type(value)
    return kind in _SMALL or (kind in _SIZED and len(value) < LARGE)


def _pack_whole(pieces, name):
    """With the buffers after the pickle."""
    stream = b''.join(pieces.stream)
    places = []
    parts = []
    end = _HEAD.size + len(pieces.buffers) * _PLACE.size + len(stream)
    for buffer in pieces.buffers:
        gap = -end % _arena.ALIGNMENT
        places.append(_PLACE.pack(end + gap, buffer.nbytes))
        parts += (bytes(gap), buffer)
        end += gap + buffer.nbytes
    head = _HEAD.pack(_IN_MESSAGE, len(places), *(name or _NO_NAME), 0, 0, 0)
    return b''.join((head, *places, stream, *parts))


def _cut(memory, begin, size):
    if begin + size > len(memory):
        raise ValueError(f'{size} bytes at {begin} are not in the {len(memory)} that were sent')
    return memory[begin:begin + size]
