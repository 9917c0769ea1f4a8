# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the pool and its workers share when they are threads of one process or copies of it: the objects themselves."""

import itertools
import struct
import weakref

_TOKEN = struct.Struct('<QQ')
_keys = itertools.count(1)
_stores = weakref.WeakValueDictionary()


class Store:
    """Objects that are named by tokens. A copy of this process has those of the time of the copy."""

    def __init__(self):
        self.key = next(_keys)
        self._objects = {}
        _stores[self.key] = self

    def put(self, value):
        name = next(_keys)
        self._objects[name] = value
        return _TOKEN.pack(self.key, name)

    def drop(self, token):
        self._objects.pop(_TOKEN.unpack(token)[1], None)


class Sender:
    """Puts objects where the other side, a thread of this process, takes them; nothing is pickled."""

    def __init__(self, store):
        self._store = store

    def dumps(self, value, *about, **more):
        return self._store.put(value)


class Receiver:
    """Gets what was put, once."""

    def __init__(self, store):
        self._store = store

    def loads(self, token):
        value = find(token)
        self._store.drop(token)
        return value

    def discard(self, token):
        self._store.drop(token)


def find(token):
    """The object of a token, which stays in its store; LookupError when the store is gone."""
    key, name = _TOKEN.unpack(token)
    return _stores[key]._objects[name]
