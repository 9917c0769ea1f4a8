# SPDX-License-Identifier: LGPL-2.1-or-later

"""A fork of the interpreter. To be imported when there is something to fork: the class cannot be made without the
override, which imports most of this package."""

import gc
import os
import socket
import sys

from gi.repository import Gio, GLib

from . import _host
from ._raw import Wp


class ForkLauncher(Wp.Launcher):
    """Makes workers as copies of this process, in the pool's own thread, which has the interpreter to itself then."""

    __gtype_name__ = 'WpPythonForkLauncher'

    def do_launch(self, worker_id):
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _start_error(error) from error

        parent = os.getpid()
        _host.flush()
        try:
            with theirs:
                pid = os.fork()
                if pid == 0:
                    _run_copy(theirs.detach(), parent)
        except OSError as error:
            ours.close()
            raise _start_error(error) from error

        connection = Gio.Socket.new_from_fd(ours.detach()).connection_factory_create_connection()
        return Wp.ChildProcess.new(pid, connection)


def _start_error(error):
    return GLib.Error.new_literal(Wp.error_quark(), f'Cannot fork a worker: {error.strerror}',
                                  Wp.Error.START_FAILED)


def _run_copy(channel, parent):
    """Never returns. Nothing of the original's GLib is used: neither its main contexts nor its pools."""
    status = 1
    try:
        gc.freeze()
        _host.forget_workers()
        status = _host.run_in_copy(channel, parent)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _host.flush()
        os._exit(status)
