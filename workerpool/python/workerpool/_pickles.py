# SPDX-License-Identifier: LGPL-2.1-or-later

"""Pickles for another process: cloudpickle's where plain ones cannot say it, and errors that can be acted on."""

import pickle

PROTOCOL = 5


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
    return cloudpickle


def reason(error):
    """The error as part of a sentence."""
    return f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
