# SPDX-License-Identifier: LGPL-2.1-or-later

"""The result of an apply that may not have ended yet."""

import sys
import threading

from . import _awaitable, _bundles, _errors, _failures


class AsyncResult:
    """What apply_async () returns. All methods may be called from any thread."""

    def __init__(self, describe, callback=None):
        self._describe = describe
        self._receiver = None
        self._message = None
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._callbacks = [] if callback is None else [callback]
        self._is_settled = False
        # What has come, until somebody asks for it.
        self._outcome = None
        self._failure = None
        self._value = None
        self._exception = None
        # What the caller wants to be called; see map_async ().
        self.callback = None

    def ready(self):
        """Whether the call has ended."""
        self._deliver()
        return self._is_settled

    def wait(self, timeout=None):
        """Waits until the call has ended, or for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_settled, timeout)
        self._deliver()

    def get(self, timeout=None):
        """The result of the call, which is waited for; raises what the call has raised, or TimeoutError."""
        self.wait(timeout)
        if not self._is_settled:
            raise TimeoutError(f'the call has not ended within {timeout} s')
        self._load()
        if self._exception is not None:
            raise self._exception
        return self._value

    def successful(self):
        """Whether the call, which must have ended, has returned a value."""
        if not self.ready():
            raise ValueError('the call has not ended; wait for it, or ask ready() first')
        self._load()
        return self._exception is None

    def add_done_callback(self, callback):
        """Called with this result when the call has ended: in a thread of the pool's, or at once if it has."""
        with self._lock:
            if not self._is_settled:
                self._callbacks.append(callback)
                return
        callback(self)

    def __await__(self):
        return _awaitable.ended(self).__await__()

    @property
    def has_ended(self):
        return self._is_settled

    def _deliver(self):
        if self.callback is not None:
            self.callback.deliver()

    # For those who bring the outcome

    def set_receiver(self, receiver):
        self._receiver = receiver

    def keep(self, message):
        """The memory of the arguments."""
        self._message = message

    def settle(self, outcome, failure):
        """The call has ended with an outcome, or with an error of the engine."""
        with self._changed:
            self._outcome, self._failure = outcome, failure
            self._is_settled = True
            self._message = None
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            try:
                callback(self)
            except BaseException:
                sys.excepthook(*sys.exc_info())

    def __del__(self):
        # Nobody has asked.
        if self._outcome is not None:
            _, payload, error, _ = _bundles.split_outcome(self._outcome)
            if error is None:
                self._receiver.discard(payload)

    def _load(self):
        with self._lock:
            if self._outcome is None and self._failure is None:
                return
            try:
                self._value = self._read()
            except BaseException as exception:
                self._exception = exception
            self._outcome = self._failure = None

    def _read(self):
        if self._failure is not None:
            raise self._describe(_failures.translate(self._failure))
        return read_outcome(self._receiver, self._outcome)


def read_outcome(receiver, outcome):
    """The value of a call, or what it has raised."""
    _, payload, error, _ = _bundles.split_outcome(outcome)
    if error is not None:
        raise _errors.restore(error)
    return receiver.loads(payload)[0]
