# SPDX-License-Identifier: LGPL-2.1-or-later

"""How what a task has raised comes to its caller: as the same exception, with the worker's traceback as its cause."""

import os
import pickle

from . import _pickles
from ._pickles import SerializationError

__all__ = ['RemoteError', 'RemoteTraceback', 'SerializationError', 'describe', 'restore']

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

# How far the chain of causes and contexts is followed.
_CHAIN_LIMIT = 32


class RemoteTraceback(Exception):
    """The cause of an exception that a worker has sent: its traceback there, as text."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text

    def __str__(self):
        return f'\n"""\n{self.text}"""'


class RemoteError(Exception):
    """Stands for an exception of a type that the caller does not have, or that cannot travel."""

    def __init__(self, type_name, message):
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self):
        return f'{self.type_name}: {self.message}' if self.message else self.type_name


def describe(exception, same_main=False):
    """What `restore ()` makes the exception from, in another process. It never fails, whatever the exception holds.

    `same_main`: the other process has the `__main__` of this one, as one of them is a copy of the other.
    """
    text = _format(exception)
    chain = [_take_apart(link, same_main) for link in _chain(exception)]
    return pickle.dumps((text, chain), _pickles.PROTOCOL)


def restore(description):
    """The exception: of its own type, with its arguments, attributes and context, and with the traceback as its cause.

    Where its type is not there, or where it could not travel, it is a `RemoteError`.
    """
    text, chain = pickle.loads(description)
    links = [_put_together(*parts) for parts in chain]
    for link, context in zip(links, links[1:]):
        link.__context__ = context
    links[0].__cause__ = RemoteTraceback(text)
    return links[0]


def _chain(exception):
    """The exception, and what it came from: at each step the cause, or else the context unless that is suppressed."""
    links = []
    while exception is not None and len(links) < _CHAIN_LIMIT and not any(exception is link for link in links):
        links.append(exception)
        shown = None if exception.__suppress_context__ else exception.__context__
        exception = exception.__cause__ if exception.__cause__ is not None else shown
    return links


def _format(exception):
    """The traceback, without the frames of this package that have called the task's function."""
    import traceback

    trace = exception.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    try:
        return ''.join(traceback.format_exception(type(exception), exception, trace or exception.__traceback__))
    except Exception as error:
        return f'{_name(type(exception))} (its traceback cannot be shown: {_name(type(error))})\n'


def _take_apart(exception, same_main):
    """(name of the type, message, pickle): the pickle is None where the exception cannot travel."""
    data = _dump_whole(exception, same_main) or _dump_parts(exception, same_main)
    return _name(type(exception)), _message(exception), data


def _put_together(type_name, message, data):
    try:
        exception = _load(data) if data is not None else None
    except Exception:
        exception = None
    return exception if isinstance(exception, BaseException) else RemoteError(type_name, message)


def _dump_whole(exception, same_main):
    """As its type would have it, where that gives the same exception back."""
    try:
        data = _pickles.dump(exception, same_main)
        copy = _load(data)
        same = type(copy) is type(exception) and len(copy.args) == len(exception.args) and str(copy) == str(exception)
    except Exception:
        return None
    return data if same else None


def _dump_parts(exception, same_main):
    """Past its constructor, which may want other arguments, and without what cannot be pickled."""
    try:
        kind, arguments, *state = _builtin_base(type(exception)).__reduce__(exception)
        if isinstance(exception, BaseExceptionGroup):
            arguments = (exception.message, [_take_apart(member, same_main) for member in exception.exceptions])
        else:
            arguments = tuple(value if _can_travel(value, same_main) else _represent(value) for value in arguments)
        state = {name: value for name, value in (state[0] if state else {}).items() if _can_travel(value, same_main)}
        data = _pickles.dump((kind, arguments, state), same_main)
        _load(data)
    except Exception:
        return None
    return data


def _load(data):
    value = pickle.loads(data)
    if isinstance(value, BaseException):
        return value

    kind, arguments, state = value
    if issubclass(kind, BaseExceptionGroup):
        message, members = arguments
        arguments = (message, [_put_together(*parts) for parts in members])
    exception = kind.__new__(kind, *arguments)
    _builtin_base(kind).__init__(exception, *arguments)
    for name, value in state.items():
        setattr(exception, name, value)
    return exception


def _builtin_base(kind):
    """The type whose constructor knows nothing of what Python code has added."""
    return next(base for base in kind.__mro__ if base.__module__ == 'builtins')


def _can_travel(value, same_main):
    try:
        pickle.loads(_pickles.dump(value, same_main))
    except Exception:
        return False
    return True


def _name(kind):
    name = kind.__qualname__
    return name if kind.__module__ in ('builtins', '__main__') else f'{kind.__module__}.{name}'


def _message(exception):
    try:
        return str(exception)
    except Exception as error:
        return f'(its message cannot be shown: {_name(type(error))})'


def _represent(value):
    try:
        return repr(value)
    except Exception:
        return f'<{_name(type(value))}>'
