# SPDX-License-Identifier: LGPL-2.1-or-later

"""Coroutines under a GLib main loop, without asyncio: run () and spawn ().

A coroutine is stepped by the main context that was the thread's default when it was spawned. It can wait for results of
a pool, for the items of its lazy maps, and for other coroutines that were spawned.
"""

import contextvars
import inspect
import sys
import traceback

from gi.repository import GLib

from ._awaitable import Moment


def _make_cancelled():
    # What a cancelled coroutine of asyncio gets too; imported when it is needed, as asyncio is slow to import.
    from asyncio import CancelledError
    return CancelledError()


class Task:
    """A coroutine that runs in a main context. Can be awaited itself."""

    def __init__(self, coroutine):
        if not inspect.iscoroutine(coroutine):
            raise TypeError(f'{coroutine!r} is no coroutine; call a function that is defined with async def')
        self._coroutine = coroutine
        self._context = GLib.MainContext.ref_thread_default()
        self._variables = contextvars.copy_context()
        self._ended = Moment()
        self._is_cancelled = False
        self._value = None
        self._error = None
        self._error_was_seen = True
        # What it waits for has a turn, so that nothing else wakes it.
        self._turn = object()
        self._wake(self._turn)

    def cancel(self):
        """Raises asyncio.CancelledError where the coroutine waits."""
        self._is_cancelled = True
        self._wake(self._turn)

    def done(self):
        return self._ended.has_happened

    def result(self):
        """What the coroutine returned; raises what it raised."""
        if not self.done():
            raise RuntimeError('the coroutine has not ended; await the task, or ask its done ()')
        self._error_was_seen = True
        if self._error is not None:
            raise self._error
        return self._value

    def add_done_callback(self, callback):
        """Has it called with the task, in the main context; at once when the coroutine has ended."""
        self._ended.add_callback(lambda: callback(self))

    def __await__(self):
        try:
            yield from self._ended.__await__()
        except BaseException:
            self.cancel()
            raise
        return self.result()

    def __del__(self):
        if not getattr(self, '_error_was_seen', True):
            print('An error in a coroutine for which nobody waited:', file=sys.stderr)
            traceback.print_exception(self._error)

    def _wake(self, turn):
        """On any thread."""
        source = GLib.Idle(priority=GLib.PRIORITY_DEFAULT)
        source.set_callback(self._on_woken, turn)
        source.attach(self._context)

    def _on_woken(self, turn):
        if turn is self._turn:
            self._turn = object()
            self._variables.run(self._step)
        return GLib.SOURCE_REMOVE

    def _step(self):
        turn = self._turn
        try:
            awaited = self._resume()
            while awaited is not None and not isinstance(awaited, Moment):
                awaited = self._coroutine.throw(TypeError(
                    f'a coroutine in a GLib main loop cannot wait for {awaited!r}; it can wait for the results of a '
                    'pool and for what spawn () returns'))
        except StopIteration as stop:
            self._end(stop.value, None)
        except BaseException as error:
            self._end(None, error)
        else:
            if awaited is None:
                self._wake(turn)
            else:
                awaited.add_callback(lambda: self._wake(turn))

    def _resume(self):
        if not self._is_cancelled:
            return self._coroutine.send(None)
        self._is_cancelled = False
        return self._coroutine.throw(_make_cancelled())

    def _end(self, value, error):
        self._value, self._error = value, error
        self._error_was_seen = error is None
        self._turn = None
        self._ended.happen()


def spawn(coroutine):
    """Starts a coroutine in the main context that is the thread's default. It runs while that is iterated."""
    return Task(coroutine)


def run(coroutine):
    """Iterates the main context that is the thread's default until the coroutine has ended, and returns what it
    returned. Ctrl-C cancels it first."""
    task = Task(coroutine)
    loop = GLib.MainLoop(task._context)
    task.add_done_callback(lambda task: loop.quit())
    try:
        loop.run()
    except BaseException:
        if not task.done():
            task.cancel()
            loop.run()
        task._error_was_seen = True
        raise
    return task.result()
