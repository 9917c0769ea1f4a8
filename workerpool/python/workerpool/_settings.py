# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a worker has to know before its first task. It travels as the shared objects of the pool."""

import pickle
import struct
import sys

from . import _functions, _local, _payload

_TOKEN = b'T'
_PICKLE = b'P'
_SIZE = struct.Struct('<Q')


class Settings:
    """The same for all workers of a pool from its start to its end."""

    def __init__(self, pass_worker_id, use_worker_state, shared_objects, worker_init, worker_exit, *, store=None,
                 same_main=False, library=None):
        self.pass_worker_id = pass_worker_id
        self.use_worker_state = use_worker_state
        self.shared_objects = shared_objects
        self.worker_init = worker_init
        self.worker_exit = worker_exit
        # Where messages are, for workers that are threads.
        self.store = store
        # The workers have the __main__ of the pool's process.
        self.same_main = same_main
        # (pid, descriptor) of the file with long descriptions of functions.
        self.library = library
        # The number of a function → it, for workers that see this process's memory.
        self.functions = {}


def dump_token(settings, store):
    """For workers that see the memory of this process."""
    return _TOKEN + store.put(settings)


def dump(settings, sender):
    """For workers that are new programs. They need the path before they can load the rest.

    Returns the bytes, and what keeps the memory of large objects."""
    place = pickle.dumps({'path': sys.path, 'argv': sys.argv})
    rest = sender.dumps((settings.pass_worker_id, settings.use_worker_state, settings.shared_objects,
                         _describe(settings.worker_init), _describe(settings.worker_exit), settings.library),
                        (settings.shared_objects,), what='shared_objects')
    return _PICKLE + _SIZE.pack(len(place)) + place + rest, rest


def load(data, receiver=None):
    kind, data = data[:1], data[1:]
    if kind == _TOKEN:
        return _local.find(data)

    size, = _SIZE.unpack_from(data)
    end = _SIZE.size + size
    place = pickle.loads(data[_SIZE.size:end])
    sys.path[:] = place['path']
    sys.argv[:] = place['argv']
    receiver = receiver or _payload.Receiver()
    pass_worker_id, use_worker_state, shared_objects, init, leave, library = receiver.loads(data[end:])
    return Settings(pass_worker_id, use_worker_state, shared_objects, _resolve(init), _resolve(leave),
                    library=library)


def _describe(function):
    return None if function is None else _functions.describe(function)


def _resolve(description):
    return None if description is None else _functions.resolve(description)
