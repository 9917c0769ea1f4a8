# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's errors as exceptions of Python."""

import binascii

from gi.repository import GLib

from . import _errors, _host
from ._raw import Gio, Wp


class WorkerDiedError(RuntimeError):
    """The worker that ran the task has died, by a signal or by its own exit."""


def translate(error):
    """The exception for a GLib.Error."""
    if error.domain == _host.ERROR_DOMAIN:
        # What follows whatever the engine says before it.
        return _errors.restore(binascii.a2b_base64(error.message.split()[-1]))
    if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.TIMED_OUT):
        return TimeoutError(error.message)
    if error.matches(Wp.error_quark(), Wp.Error.NESTED):
        return AssertionError(error.message)
    if error.matches(Wp.error_quark(), Wp.Error.WORKER_DIED):
        return WorkerDiedError(error.message)
    if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT):
        return ValueError(error.message)
    return RuntimeError(error.message)


def is_cancelled(error):
    return error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED)


class translated:
    """A context in which the engine's errors are raised as Python's."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, GLib.Error):
            raise translate(error) from None
