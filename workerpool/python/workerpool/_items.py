# SPDX-License-Identifier: LGPL-2.1-or-later

"""The results of a map one by one: an iterator for those who can wait, and an asynchronous one for those who cannot."""

from ._awaitable import AsyncItems

# So many results wait for a coroutine that takes them one by one.
AHEAD = 64


class Items:
    """What imap () and imap_unordered () return. The map begins with the first item that is asked for.

    start () starts it; iterate (map) gives its results in calls that block."""

    def __init__(self, start, iterate, ahead=None):
        self._start = start
        self._iterate = iterate
        self._ahead = min(ahead or AHEAD, AHEAD)
        self._map = None
        self._is_closed = False
        self._results = self._run()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._results)

    def __aiter__(self):
        return AsyncItems(self._results, self._cancel, self._ahead)

    def close(self):
        """Ends the map; there are no further results."""
        self._is_closed = True
        self._results.close()

    def _run(self):
        self._map = self._start()
        if self._is_closed:
            self._map.cancel()
        yield from self._iterate(self._map)

    def _cancel(self):
        """On another thread than that which iterates."""
        self._is_closed = True
        if self._map is not None:
            self._map.cancel()
