# SPDX-License-Identifier: LGPL-2.1-or-later

"""Messages between a pool and its workers: one pickle for many items."""

import pickle

from . import _culprits, _pickles
from ._pickles import SerializationError, reason


class Sender:
    """Makes messages of objects.

    `same_main`: the other side has the `__main__` of this process, as one of them is a copy of the other. Else, what
    `__main__` has defined travels by its value.
    """

    def __init__(self, arena=None, same_main=False):
        self._arena = arena
        self._same_main = same_main

    def dumps(self, value, items=None, first=0, what='item'):
        """The message of a value.

        `items`: those in the value, of which the first one has the number `first`; an error says which item it is, and
        what the items are: `what`.
        """
        try:
            return _pickles.dump(value, self._same_main)
        except Exception as error:
            raise SerializationError(self._explain(value, items, first, what, error)) from error

    def _explain(self, value, items, first, what, error):
        def fails(part):
            try:
                _pickles.dump(part, self._same_main)
            except Exception:
                return True
            return False

        where = ''
        for number, item in enumerate(items or (), first):
            if fails(item):
                where, value = f'{what} {number}', item
                break
        # What is nested too deep has no single culprit.
        path, culprit = ('', value) if isinstance(error, RecursionError) else _culprits.find(value, fails)
        if where and path:
            where = f'{path.lstrip()} of {where}' if path.startswith(' ') else f'{where} at {path}'
        where = where or path
        return f'cannot pickle {type(culprit).__name__!r} object{" in " if where else ""}{where}: {reason(error)}'


class Receiver:
    """Makes the objects of messages."""

    def __init__(self, arena=None):
        self._arena = arena

    def loads(self, message):
        try:
            return pickle.loads(message)
        except Exception as error:
            raise SerializationError(f'cannot unpickle what was sent: {reason(error)}') from error
