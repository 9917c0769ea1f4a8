# SPDX-License-Identifier: LGPL-2.1-or-later

"""The applies of a pool. All that share their options are tasks of one batch, which is never full and never closed."""

import threading

from gi.repository import GLib

from . import _batch, _engine, _failures, _host
from ._raw import Wp, to_bytes, to_variant
from ._results import AsyncResult, read_outcome

_SLICE_US = int(_engine.SLICE_S * 1e6)


class Desk:
    """Of one pool."""

    def __init__(self, engine):
        self._engine = engine
        self._lines = {}
        self._lock = threading.Lock()

    def send(self, pool, spec, function, args, kwargs, task_timeout, max_retries, callback=None):
        """Starts a call; spec: as in Engine.begin ()."""
        result = AsyncResult(_Describe(function), callback)
        head = self._engine.begin(pool, spec, result, function)
        try:
            result.set_receiver(self._engine.make_receiver())
            message = self._dump(args, kwargs)
            result.keep(message)
            while not self._get_line(pool, task_timeout, max_retries).send(head.bytes + message, result):
                pass
        except BaseException:
            self._engine.end(result)
            raise
        return result

    def call(self, pool, spec, function, args, kwargs, task_timeout, max_retries):
        """As send (), for a caller that waits: the thread that waits is the one that hears of the end.

        Returns the value and what the call has raised."""
        call = object()
        apply = None
        head = self._engine.begin(pool, spec, call, function)
        try:
            message = self._dump(args, kwargs)
            options = None
            if task_timeout is not None or max_retries:
                options = _batch.make_options(task_timeout=task_timeout, max_retries=max_retries)
            with _failures.translated():
                apply = Wp.WorkerPool.start_apply(pool, _host.APPLY, to_variant(head.bytes + message), options)
            while not apply.wait(_SLICE_US):
                pass
            return self._read(apply, function)
        except BaseException:
            if apply is not None:
                apply.cancel()
            raise
        finally:
            self._engine.end(call)

    def _read(self, apply, function):
        try:
            outcome = to_bytes(apply.get_value())
        except GLib.Error as error:
            return None, _Describe(function)(_failures.translate(error))
        try:
            return read_outcome(self._engine.make_receiver(), outcome), None
        except BaseException as error:
            return None, error

    def _dump(self, args, kwargs):
        return self._engine.make_sender().dumps((args, kwargs), (*args, *kwargs.values()), what='argument')

    def _get_line(self, pool, *options):
        run = self._engine.run
        with self._lock:
            line = self._lines.get(options)
            if line is None or line.run != run or line.is_closed:
                line = self._lines[options] = Line(pool, self._engine, run, *options)
            return line

    def wait(self):
        """Until all calls have ended."""
        with self._lock:
            lines = list(self._lines.values())
        for line in lines:
            for result in line.list_pending():
                result.wait()


class _Describe:
    """Says whose call it was that got no outcome."""

    def __init__(self, function):
        self._function = function

    def __call__(self, exception):
        if isinstance(exception, (_failures.WorkerDiedError, TimeoutError)):
            name = getattr(self._function, '__qualname__', None) or repr(self._function)
            exception.args = (f'{name}(): {exception}',)
        return exception


class Line:
    """One batch, and a thread that takes its results as long as there are any to come.

    An open batch keeps its pool alive, so that this one is closed when nothing has come for a while."""

    def __init__(self, pool, engine, run, task_timeout, max_retries):
        self.run = run
        self._engine = engine
        self._lock = threading.Lock()
        self._pending = {}
        self._n_pushed = 0
        self._is_closed = False
        with _failures.translated():
            options = _batch.make_options(task_timeout=task_timeout, max_retries=max_retries)
            self._batch = _batch.Batch(pool, _host.APPLY, options)
        threading.Thread(target=self._collect, name='workerpool-collect', daemon=True).start()

    def send(self, message, result):
        """FALSE: the line was closed meanwhile."""
        with self._lock:
            if self._is_closed:
                return False
            with _failures.translated():
                self._batch.push([message])
            self._pending[self._n_pushed] = result
            self._n_pushed += 1
            return True

    @property
    def is_closed(self):
        return self._is_closed

    def list_pending(self):
        with self._lock:
            return list(self._pending.values())

    def _collect(self):
        is_idle = False
        while not is_idle:
            n_pushed = self._n_pushed
            self._batch.wait(_engine.SLICE_S)
            with self._lock:
                settled = [(self._pending.pop(index), outcome, error) for index, outcome, error in self._batch.take()]
                is_idle = not self._pending and not settled and n_pushed == self._n_pushed
                self._is_closed = is_idle
            for result, outcome, error in settled:
                self._engine.end(result)
                result.settle(outcome, error)
        self._batch.close()
        # Which keeps its pool.
        self._batch = None
