# SPDX-License-Identifier: LGPL-2.1-or-later

"""A process that answers messages, as a worker does, for tests without a pool."""

import os
import signal
import socket
import struct

from workerpool import _arena, _payload

_SIZE = struct.Struct('<Q')


class OtherSide:
    """A copy of this process, which calls a function of each value that it is sent.

    It keeps `state`, a dict, which is the first argument.
    """

    def __init__(self, function, arena=None):
        self.sender = _payload.Sender(arena, same_main=True)
        self.receiver = _payload.Receiver(of_workers=True)
        self._socket, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._socket.close()
                _serve(theirs, function)
            finally:
                os._exit(0)
        theirs.close()

    def send(self, value):
        """Returns the message, which must be kept until the answer is there."""
        message = self.sender.dumps(value)
        _write(self._socket, message)
        return message

    def take(self):
        """The bytes of the answer."""
        return _read(self._socket)

    def call(self, value):
        message = self.send(value)
        answer = self.receiver.loads(self.take())
        del message
        return answer

    def kill(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None

    def close(self):
        self.kill()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def _serve(connection, function):
    receiver = _payload.Receiver()
    sender = _payload.Sender(_arena.ResultArena(), same_main=True, containers=_payload.RESULTS)
    state = {}
    while True:
        message = _read(connection)
        if not message:
            return
        value = receiver.loads(message)
        result = function(state, value)
        del value
        answer = sender.dumps(result)
        del result
        _write(connection, answer)


def _write(connection, message):
    connection.sendall(_SIZE.pack(len(message)))
    connection.sendall(message)


def _read(connection):
    head = connection.recv(_SIZE.size, socket.MSG_WAITALL)
    if not head:
        return b''
    size, = _SIZE.unpack(head)
    message = bytearray(size)
    view = memoryview(message)
    while view:
        view = view[connection.recv_into(view):]
    return bytes(message)
