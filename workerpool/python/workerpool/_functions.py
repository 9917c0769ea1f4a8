# SPDX-License-Identifier: LGPL-2.1-or-later

"""Callables as bytes: by their name where they can be imported, else by their value, with cloudpickle."""

import functools
import importlib
import pickle
import sys

from ._pickles import SerializationError, dump, reason

_REFERENCE = b'R'
_VALUE = b'V'

# How many functions a process keeps that came by value.
_KEPT_FUNCTIONS = 128


def describe(function, same_main=False):
    """What `resolve ()` finds or makes the function from, in another process with the same modules.

    What belongs to `__main__` travels by its value, unless the other process is a copy of this one.
    """
    name = _importable_name(function, same_main)
    if name is not None:
        return _REFERENCE + name.encode()

    try:
        return _VALUE + dump(function, same_main)
    except Exception as error:
        raise SerializationError(f'cannot send the function {_show(function)} to the workers: {reason(error)}') \
            from error


def resolve(description):
    """The function of a description. One that came by value is made once and then kept, with its state."""
    kind, data = bytes(description[:1]), bytes(description[1:])
    try:
        if kind == _REFERENCE:
            return _find(data.decode())
        if kind == _VALUE:
            return _make(data)
    except Exception as error:
        what = f'the function {data.decode()!r}' if kind == _REFERENCE else 'a function that came by its value'
        raise SerializationError(f'a worker cannot load {what}: {reason(error)}') from error
    raise SerializationError(f'these {len(description)} bytes describe no function')


def _importable_name(function, same_main):
    """'module:name', if that gives this very function."""
    module = getattr(function, '__module__', None)
    name = getattr(function, '__qualname__', None)
    if not isinstance(module, str) or not isinstance(name, str) or (module == '__main__' and not same_main):
        return None
    try:
        found = functools.reduce(getattr, name.split('.'), sys.modules[module])
    except (AttributeError, KeyError):
        return None
    return f'{module}:{name}' if found is function else None


def _find(name):
    module, _, name = name.partition(':')
    return functools.reduce(getattr, name.split('.'), importlib.import_module(module))


@functools.lru_cache(_KEPT_FUNCTIONS)
def _make(data):
    return pickle.loads(data)


def _show(function):
    name = getattr(function, '__qualname__', None)
    return repr(name) if isinstance(name, str) else repr(function)
