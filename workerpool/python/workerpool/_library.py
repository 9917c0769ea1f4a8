# SPDX-License-Identifier: LGPL-2.1-or-later

"""Descriptions of functions that are too long to travel with every task: in a file in memory, read once."""

import os


class Library:
    """The pool's side."""

    def __init__(self):
        self._file = os.memfd_create('workerpool-functions', os.MFD_CLOEXEC)
        self._size = 0

    @property
    def address(self):
        """How a worker finds it."""
        return os.getpid(), self._file

    def add(self, description):
        """Returns where it is."""
        offset = self._size
        written = 0
        while written < len(description):
            written += os.pwrite(self._file, description[written:], offset + written)
        self._size += len(description)
        return offset

    def close(self):
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    __del__ = close


def read(address, offset, size):
    """A worker's side."""
    file = os.open('/proc/{}/fd/{}'.format(*address), os.O_RDONLY | os.O_CLOEXEC)
    try:
        description = os.pread(file, size, offset)
    finally:
        os.close(file)
    if len(description) != size:
        raise EOFError(f'the description of a function has {len(description)} bytes instead of {size}')
    return description
