# SPDX-License-Identifier: LGPL-2.1-or-later

"""A pool as an executor of concurrent.futures."""

import collections
import itertools
import threading
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial

from ._failures import WorkerDiedError

# So many calls for each worker are on their way: one that runs, and one to go on with. The others can be cancelled.
CALLS_FOR_A_WORKER = 2


class PoolExecutor(Executor):
    """Runs calls on the workers of a pool, which goes on when the executor is shut down.

    apply_async (function, args, kwargs) starts a call and returns its result: get () it in add_done_callback ().
    """

    def __init__(self, apply_async, n_jobs):
        self._apply_async = apply_async
        self._most = n_jobs * CALLS_FOR_A_WORKER
        self._changed = threading.Condition()
        self._waiting = collections.deque()
        self._n_running = 0
        self._is_shut_down = False

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        with self._changed:
            if self._is_shut_down:
                raise RuntimeError('the executor has been shut down; get another one from as_executor ()')
            self._waiting.append((future, function, args, kwargs))
        self._start_calls()
        return future

    def map(self, function, *iterables, timeout=None, chunksize=1):
        if chunksize < 1:
            raise ValueError(f'chunksize is {chunksize}; it must be at least 1')
        if chunksize == 1:
            return super().map(function, *iterables, timeout=timeout)
        chunks = super().map(partial(_call_each, function), _cut(zip(*iterables), chunksize), timeout=timeout)
        return _chain(chunks)

    def shutdown(self, wait=True, *, cancel_futures=False):
        with self._changed:
            self._is_shut_down = True
        if cancel_futures:
            self.cancel()
        if wait:
            self.wait()

    # Also for the pool, when it ends

    def wait(self):
        """Until all calls have ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and self._n_running == 0)

    def cancel(self):
        """Cancels the calls that do not run yet."""
        with self._changed:
            futures = [call[0] for call in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for future in futures:
            future.cancel()
            future.set_running_or_notify_cancel()

    # Inside

    def _start_calls(self):
        while True:
            with self._changed:
                if not self._waiting or self._n_running == self._most:
                    self._changed.notify_all()
                    return
                future, function, args, kwargs = self._waiting.popleft()
                self._n_running += 1
            if not future.set_running_or_notify_cancel():
                self._count_end()
                continue
            try:
                result = self._apply_async(function, args, kwargs)
            except BaseException as error:
                self._count_end()
                future.set_exception(error)
            else:
                result.add_done_callback(partial(self._on_done, future))

    def _count_end(self):
        with self._changed:
            self._n_running -= 1

    def _on_done(self, future, result):
        _settle(future, result)
        self._count_end()
        self._start_calls()


def _settle(future, result):
    try:
        value = result.get()
    except WorkerDiedError as error:
        # What it is called where a worker's death breaks the executor. Here it is the end of this one call.
        broken = BrokenExecutor(str(error))
        broken.__cause__ = error
        future.set_exception(broken)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)


def _cut(items, size):
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _call_each(function, chunk):
    return [function(*args) for args in chunk]


def _chain(chunks):
    for chunk in chunks:
        yield from chunk
