# SPDX-License-Identifier: LGPL-2.1-or-later

"""Waiting for what threads do, without blocking one's own.

    a map that runs                    a coroutine                                what steps it
    (a thread) ── Moment.happen () ──▶ await moment ─┬─ asyncio: a future of the running loop
                                                     └─ GLib: the moment itself, which spawn () and run () know

Nothing here iterates a main context or needs a running loop before somebody awaits.
"""

import collections
import sys
import threading


class Moment:
    """Something that happens once. Any thread may say so, and any number may wait for it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._callbacks = []
        self._event = threading.Event()

    @property
    def has_happened(self):
        return self._event.is_set()

    def happen(self):
        with self._lock:
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def add_callback(self, callback):
        """Has it called once, by the thread in which it happens; at once when it has."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def wait(self, timeout=None):
        """Blocks the thread; signal handlers of Python run. Returns whether it has happened."""
        return self._event.wait(timeout)

    def __await__(self):
        if self.has_happened:
            return
        loop = _running_asyncio_loop()
        if loop is None:
            yield self
        else:
            future = loop.create_future()
            self.add_callback(lambda: _wake(loop, future))
            yield from future


def _running_asyncio_loop():
    # Who runs a loop of asyncio has imported it.
    asyncio = sys.modules.get('asyncio')
    return asyncio._get_running_loop() if asyncio is not None else None


def _wake(loop, future):
    try:
        loop.call_soon_threadsafe(lambda: future.done() or future.set_result(None))
    except RuntimeError:  # the loop has been closed, and nobody waits any more
        pass


async def ended(result):
    """The value of a result, which has add_done_callback () and get ()."""
    moment = Moment()
    result.add_done_callback(lambda result: moment.happen())
    await moment
    return result.get()


def start_thread(function, *args):
    """A thread that does not keep the interpreter from ending."""
    thread = threading.Thread(target=function, args=args, name='workerpool', daemon=True)
    thread.start()
    return thread


class AsyncItems:
    """An asynchronous iterator over one that blocks. A thread of its own runs that ahead, by `ahead` items at most,
    from the first item that is asked for until the end, or until this object is dropped or closed."""

    def __init__(self, items, cancel, ahead):
        self._inbox = _Inbox(items, cancel, ahead)
        self._started = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._started:
            self._started = True
            start_thread(self._inbox.fill)
        while True:
            found, value, moment = self._inbox.take()
            if found:
                return value
            try:
                await moment
            except BaseException:
                self._inbox.close()
                raise

    async def aclose(self):
        self._inbox.close()

    def __del__(self):
        self._inbox.close()


class _Inbox:
    """What has come and was not taken yet."""

    def __init__(self, items, cancel, ahead):
        self._items = items
        self._cancel = cancel
        self._ahead = ahead
        self._changed = threading.Condition()
        self._values = collections.deque()
        self._awaited = None
        self._error = None
        self._is_over = False

    def fill(self):
        error = None
        try:
            for value in self._items:
                if not self._put(value):
                    break
            self._items.close()
        except BaseException as raised:
            error = raised
        with self._changed:
            if not self._is_over:
                self._is_over = True
                self._error = error
            self._announce()

    def _put(self, value):
        with self._changed:
            self._changed.wait_for(lambda: len(self._values) < self._ahead or self._is_over)
            if self._is_over:
                return False
            self._values.append(value)
            self._announce()
            return True

    def _announce(self):
        if self._awaited is not None:
            self._awaited.happen()
            self._awaited = None

    def take(self):
        """(True, value, None), or (False, None, the moment at which to ask again). Raises at the end."""
        with self._changed:
            if self._values:
                self._changed.notify_all()
                return True, self._values.popleft(), None
            if self._is_over:
                error, self._error = self._error, None
                raise error if error is not None else StopAsyncIteration
            if self._awaited is None:
                self._awaited = Moment()
            return False, None, self._awaited

    def close(self):
        with self._changed:
            if self._is_over:
                return
            self._is_over = True
            self._values.clear()
            self._changed.notify_all()
            self._announce()
        self._cancel()
