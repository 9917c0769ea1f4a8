# SPDX-License-Identifier: LGPL-2.1-or-later

"""A map that the caller does not wait for."""

from ._awaitable import Moment, ended, start_thread


class MapResult:
    """What map_async () returns. All methods may be called from any thread.

    run (self) blocks until the map has ended and returns its results; it is called in a thread of its own. It sets
    self.stop to what ends it soon.
    """

    def __init__(self, run):
        self._run = run
        self._moment = Moment()
        self._value = None
        self._error = None
        self._is_cancelled = False
        self.stop = None
        self.callback = None

    def start(self):
        start_thread(self._collect)

    def _collect(self):
        try:
            self._value = self._run(self)
        except BaseException as error:
            self._error = error
        if self._is_cancelled:
            from concurrent.futures import CancelledError
            self._value, self._error = None, CancelledError('the map was cancelled')
        self._run = self.stop = None
        self._moment.happen()

    @property
    def has_ended(self):
        return self._moment.has_happened

    @property
    def is_cancelled(self):
        return self._is_cancelled

    def ready(self):
        """Whether the map has ended."""
        self._deliver()
        return self.has_ended

    def successful(self):
        """Whether the map, which must have ended, has results."""
        if not self.ready():
            raise ValueError('the map has not ended; wait for it, or ask ready() first')
        return self._error is None

    def wait(self, timeout=None):
        """Waits until the map has ended, or for so many seconds."""
        self._moment.wait(timeout)
        self._deliver()

    def get(self, timeout=None):
        """The results, which are waited for; raises what the map has raised, or TimeoutError."""
        self.wait(timeout)
        if not self.has_ended:
            raise TimeoutError(f'the map has not ended within {timeout} s')
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self):
        """Ends what runs. There are no results then."""
        if self.has_ended:
            return
        self._is_cancelled = True
        stop = self.stop
        if stop is not None:
            stop()

    def add_done_callback(self, callback):
        """Called with this object when the map has ended: in a thread of the pool's, or at once if it has."""
        self._moment.add_callback(lambda: callback(self))

    def __await__(self):
        try:
            return (yield from ended(self).__await__())
        except BaseException:
            # The coroutine was cancelled, or the map has ended already.
            self.cancel()
            raise

    def _deliver(self):
        if self.callback is not None:
            self.callback.deliver()
