# SPDX-License-Identifier: LGPL-2.1-or-later

"""A map in flight: consumes the items as workers have room for them, and gives the results."""

import collections
import itertools
import time

from . import _batch, _bundles, _engine, _errors, _failures, _host

# How much work is on its way to each worker, where nobody has limited it: enough that none waits for the caller.
_AHEAD_S = 0.02
_LEAST_AHEAD = 2
_MOST_AHEAD = 1 << 12
# How long items are gathered for one bundle.
_GATHER_S = 0.002
_UNLIMITED = float('inf')


class Map:
    """One call of the map family. Nothing happens unless poll () is called, and nothing blocks but the iterable.

    Of the threads that use it only one may be in it at a time, but for cancel ()."""

    def __init__(self, pool, engine, spec, function, items, *, length=None, ordered=True, chunk_size=None,
                 max_active=None, task_timeout=None, exact=False, max_retries=0, on_progress=None):
        self.length = length
        self.n_completed = 0
        self.on_progress = on_progress
        self._function = function
        self._pool = pool
        self._engine = engine
        self._items = iter(items)
        self._n_pulled = 0
        self._exhausted = False
        self._ordered = ordered
        self._max_active = max_active
        self._callbacks = []
        self._error = None
        self._cancelled = False
        self.done = False
        self.error = None

        # Index of the engine's task → (position of its first item, items, message, whose memory it keeps, and how long
        # it took to make).
        self._in_flight = {}
        self._n_in_flight = 0
        self._n_pushed = 0
        # What comes before further items: rests of bundles that took too long, and messages without room.
        self._rests = collections.deque()
        self._next = 0
        self._early = {}

        n_jobs = pool.get_n_jobs()
        self._exact = exact
        self._limit = _UNLIMITED
        self._n_jobs = n_jobs
        estimate = engine.get_estimate(function)
        if exact:
            self._sizer = _bundles.Sizer(n_jobs, 1)
        elif chunk_size == 1:
            self._limit = _bundles.FINE_LIMIT_S
            self._sizer = _bundles.Sizer(n_jobs, None, estimate, _bundles.FINE_AIM_S)
        elif chunk_size is not None:
            self._sizer = _bundles.Sizer(n_jobs, max(round(chunk_size), 1))
        else:
            self._limit = _bundles.LIMIT_S
            self._sizer = _bundles.Sizer(n_jobs, None, estimate)

        self._head = engine.begin(pool, spec, self, function).bytes
        try:
            self._sender = engine.make_sender()
            self._receiver = engine.make_receiver()
            # Which worker gets which chunk is only of meaning with order-tasks; else the engine, which deals with each
            # task by itself, sends as many at once as it sees fit.
            options = _batch.make_options(max(round(chunk_size), 1) if spec.order_tasks else None,
                                          _engine.to_milliseconds(task_timeout), max_retries)
            with _failures.translated():
                self._batch = _batch.Batch(pool, _host.BUNDLE, options)
        except BaseException:
            engine.end(self)
            raise

    # What drives it

    def poll(self):
        """Takes what is there, sends what there is room for, and returns the results that are due, without waiting.

        Raises what a task or the iterable has raised, once."""
        ready = []
        if self.done:
            return ready
        try:
            for record in self._batch.take():
                self._settle(*record, ready)
            if self._error is None and not self._exhausted or self._rests:
                self._feed(len(ready))
        except Exception as error:
            self._fail(error)
        if self._error is not None:
            if not ready:
                error, self._error = self._error, None
                self.error = error
                self._finish()
                raise error
        elif self._exhausted and not self._in_flight and not self._rests:
            self._finish()
        return ready

    def wait(self, timeout):
        """Waits until poll () has something to do, but no longer than so many seconds."""
        if not self.done:
            self._batch.wait(timeout)
            if self.on_progress is not None:
                self.on_progress(0)

    def iterate(self):
        """The results, in blocking calls."""
        try:
            while not self.done:
                ready = self.poll()
                if ready:
                    yield from ready
                elif not self.done:
                    self.wait(_engine.SLICE_S)
        finally:
            self.cancel()

    def collect(self):
        """All results in a list."""
        results = []
        while not self.done:
            ready = self.poll()
            results += ready
            if not ready and not self.done:
                self.wait(_engine.SLICE_S)
        return results

    def cancel(self):
        """Ends what runs; there are no further results."""
        if not self.done:
            self._finish()

    def add_done_callback(self, callback):
        """Called with the map when it has ended, in the thread that finds that out; at once if it has."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    # Results

    def _settle(self, index, outcome, error, ready):
        start, items, _, packing = self._in_flight.pop(index)
        self._n_in_flight -= len(items)
        if self._error is not None:
            self._discard(outcome)
            return
        if error is not None:
            self._fail(self._explain(error, start, items))
            return

        n_results, payload, error, elapsed = _bundles.split_outcome(outcome)
        results = self._receiver.loads(payload) if n_results else []
        # Large items that are no work for the worker are work for the caller.
        self._sizer.note(n_results, max(elapsed, packing * n_results / len(items)))
        if self._engine.longest is not None and n_results:
            self._engine.longest.add(elapsed, items[0])
        self._deliver(start, results, ready)
        if error is not None:
            self._fail(_errors.restore(error))
        elif n_results < len(items):
            self._rests.append((start + n_results, items[n_results:]))

    def _discard(self, outcome):
        if outcome is not None:
            n_results, payload, _, _ = _bundles.split_outcome(outcome)
            if n_results:
                self._receiver.discard(payload)

    def _deliver(self, start, results, ready):
        self.n_completed += len(results)
        if self.on_progress is not None and results:
            self.on_progress(len(results))
        if not self._ordered:
            ready += results
            return
        if start != self._next:
            self._early[start] = results
            return
        while results:
            ready += results
            self._next += len(results)
            results = self._early.pop(self._next, None)

    def _explain(self, error, start, items):
        """What became of a task without an outcome."""
        exception = _failures.translate(error)
        if isinstance(exception, (_failures.WorkerDiedError, TimeoutError)):
            what = f'item {start}' if len(items) == 1 else f'one of the items {start} to {start + len(items) - 1}'
            name = getattr(self._function, '__qualname__', None) or repr(self._function)
            exception.args = (f'{name}() with {what}: {exception}',)
        return exception

    def _fail(self, error):
        if self._error is None:
            self._error = error
            self._batch.cancel()

    def _finish(self):
        self.done = True
        self._in_flight.clear()
        self._rests.clear()
        self._early.clear()
        self._batch.cancel()
        if self._sizer.estimate is not None:
            self._engine.set_estimate(self._function, self._sizer.estimate)
        self._engine.end(self)
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    # Items

    def _feed(self, n_ready):
        while (n := self._get_room(n_ready)) > 0:
            messages = []
            bundles = []
            while n > 0 and len(messages) < 256:
                bundle = self._gather(n)
                if bundle is None:
                    break
                bundles.append(bundle)
                n -= len(bundle[1])
                begin = time.perf_counter()
                message = self._sender.dumps((bundle[1], self._limit), bundle[1], bundle[0])
                messages.append((message, time.perf_counter() - begin))
                if not self._exact and len(messages) >= 2 * self._n_jobs:
                    break
            if not messages:
                return
            self._push(messages, bundles)

    def _get_room(self, n_ready):
        """For how many more items."""
        if self._max_active is not None:
            return self._max_active - self._n_in_flight - sum(map(len, self._early.values())) - n_ready
        size = self._sizer.get_size()
        ahead = _LEAST_AHEAD * size
        if self._sizer.estimate is not None:
            most = _MOST_AHEAD if self._exact else 4 * size
            ahead = max(ahead, min(int(_AHEAD_S / max(self._sizer.estimate, 1e-9)), most))
        return self._n_jobs * ahead - self._n_in_flight

    def _gather(self, room):
        """(position, items) of the next bundle, or None."""
        if self._rests:
            start, items = self._rests.popleft()
            size = -(-len(items) // self._n_jobs) if len(items) > 1 else 1
            if size < len(items):
                self._rests.appendleft((start + size, items[size:]))
                items = items[:size]
            return start, items
        if self._exhausted:
            return None

        n_left = None if self.length is None else max(self.length - self._n_pulled, 1)
        size = min(self._sizer.get_size(n_left), room)
        start = self._n_pulled
        if self.length is not None:
            items = list(itertools.islice(self._items, min(size, self.length - self._n_pulled)))
            self._n_pulled += len(items)
            if len(items) < size:
                self._exhausted = True
            elif self._n_pulled >= self.length:
                self._exhausted = True
        else:
            items = self._gather_slowly(size)
        return (start, items) if items else None

    def _gather_slowly(self, size):
        """From an iterable that may take its time: a bundle does not wait for long to be full."""
        items = []
        end = time.monotonic() + _GATHER_S
        n_wanted = 1
        while n_wanted > 0:
            part = list(itertools.islice(self._items, n_wanted))
            items += part
            if len(part) < n_wanted:
                self._exhausted = True
                break
            if time.monotonic() > end:
                break
            n_wanted = min(len(items), size - len(items))
        self._n_pulled += len(items)
        return items

    def _push(self, messages, bundles):
        n_pushed = self._batch.push([self._head + message for message, _ in messages])
        for (start, items), (message, packing) in zip(bundles[:n_pushed], messages):
            self._in_flight[self._n_pushed] = start, items, message, packing
            self._n_pushed += 1
            self._n_in_flight += len(items)
        self._rests.extend(bundles[n_pushed:])
