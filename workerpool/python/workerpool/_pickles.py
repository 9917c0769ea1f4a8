# SPDX-License-Identifier: LGPL-2.1-or-later

"""Pickles for another process: cloudpickle's where plain ones cannot say it, and errors that can be acted on."""

import copyreg
import functools
import importlib
import pickle
import sys

PROTOCOL = 5

_REPOSITORY = 'gi.repository.'


class SerializationError(pickle.PicklingError):
    """What cannot travel between the pool and its workers. The message names it."""


def dump(value, same_main=False):
    """The value as bytes. What `__main__` has defined travels by its value, unless the other process, a copy of this
    one, has the same `__main__`.
    """
    try:
        data = pickle.dumps(value, PROTOCOL)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        return load_cloudpickle(error).dumps(value, PROTOCOL)
    if same_main or not mentions_main(data):
        return data
    return load_cloudpickle().dumps(value, PROTOCOL)


def mentions_main(data):
    """Whether a pickle may name something of `__main__`."""
    return b'__main__' in data


def load_cloudpickle(refusal=None):
    """The module. Without it, an ImportError says what is to be installed, after pickle's reason if there is one."""
    try:
        import cloudpickle
    except ImportError:
        what = f'{reason(refusal)}; to send' if refusal is not None else 'to send'
        raise ImportError(f'{what} lambdas, closures and what is defined in __main__, '
                          'install cloudpickle (Debian: python3-cloudpickle)') from refusal
    _register_repository(len(sys.modules))
    return cloudpickle


@functools.lru_cache(1)
def _register_repository(n_modules):
    """Has the modules of introspected libraries travel by their names, as other modules do. Functions that are sent by
    value mention them, and each has a type of its own. To be done again when there are more."""
    for name, module in list(sys.modules.items()):
        if name.startswith(_REPOSITORY):
            copyreg.pickle(type(module), _reduce_repository_module)


def _reduce_repository_module(module):
    name = module.__name__.removeprefix(_REPOSITORY)
    return _import_repository_module, (name, getattr(module, '_version', None))


def _import_repository_module(name, version):
    import gi

    if version is not None:
        gi.require_version(name, version)
    return importlib.import_module(_REPOSITORY + name)


def reason(error):
    """The error as part of a sentence."""
    return f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
