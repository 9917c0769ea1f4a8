# SPDX-License-Identifier: LGPL-2.1-or-later

"""Callbacks for what ends while the caller does something else.

    the thread that sees the end ── post () ───▶ the main context that is the default of the caller's thread ─▶ callback
    the caller, in get (), wait (), ready () or join () ── deliver () ────────────────────────────────────────▶ callback

It is called once, by whichever comes first, and in the thread of the call alone. The one exception is for those who
know mpire and poll for what a callback of apply_async () does: where nobody runs a main loop, the thread that sees the
end calls it.
"""

import threading
import traceback

from gi.repository import GLib


class Callbacks:
    """Those of one pool that were not called yet."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting = set()

    def prepare(self, result, on_value, on_error, without_loop=False):
        """For the result of a call that is made now, in this thread. Either function may be None.

        without_loop: whether it is called by any thread where no main loop runs."""
        callback = Callback(self, result, on_value, on_error, without_loop)
        with self._lock:
            self._waiting.add(callback)
        return callback

    def deliver(self):
        """Calls those of this thread whose results are there."""
        with self._lock:
            waiting = list(self._waiting)
        for callback in waiting:
            callback.deliver()

    def _take(self, callback):
        with self._lock:
            if callback not in self._waiting:
                return False
            self._waiting.remove(callback)
            return True


class Callback:
    def __init__(self, owner, result, on_value, on_error, without_loop):
        self._owner = owner
        self._result = result
        self._on_value = on_value
        self._on_error = on_error
        self._thread = threading.get_ident()
        self._context = GLib.MainContext.ref_thread_default()
        self._without_loop = without_loop and not self._context.is_owner()

    def post(self, *args):
        """On any thread: the result is there."""
        if self._without_loop and not _is_iterated(self._context):
            self._call()
            return
        source = GLib.Idle(priority=GLib.PRIORITY_DEFAULT)
        source.set_callback(self._on_turn)
        source.attach(self._context)

    def deliver(self):
        """Calls it if the result is there and the thread is the right one."""
        if threading.get_ident() == self._thread and self._result.has_ended:
            self._call()

    def _on_turn(self, data):
        self._call()
        return GLib.SOURCE_REMOVE

    def _call(self):
        if not self._owner._take(self):
            return
        try:
            outcome, function = self._result.get(), self._on_value
        except BaseException as error:
            outcome, function = error, self._on_error
        if function is None:
            return
        try:
            function(outcome)
        except Exception:
            # Nobody who waits for a result has asked for what its callback raises.
            traceback.print_exc()


def _is_iterated(context):
    if not context.acquire():
        return True
    context.release()
    return False
