# SPDX-License-Identifier: LGPL-2.1-or-later

"""An arena of another process, to look at."""

import fcntl
import os

from ._arena import ALIGNMENT, FILE_NAME, NUMBER, OPENED_AT, PAGE, RECEIVED_AT, SEALS, SENT_AT, SERIAL_AT, lock
from ._mapping import Mapping


class Peer:
    """An arena of another process, to look at."""

    def __init__(self, name, of_worker):
        """`of_worker`: the arena of a worker, which wants to know what was received; else that of a pool.

        OSError if it is not there, or is no arena.
        """
        path = f'/proc/{name.pid}/fd/{name.file}'
        if not os.readlink(path).startswith(f'/memfd:{FILE_NAME}'):
            raise FileNotFoundError(f'{path} is no arena')
        self._file = os.open(path, (os.O_RDWR if of_worker else os.O_RDONLY) | os.O_CLOEXEC)
        self._of_worker = of_worker
        self._pid = os.getpid()
        self._worker_pid = name.pid
        # Offset → weak reference to what is looked at.
        self._seen = {}
        self._n_received = 0
        status = os.fstat(self._file)
        if status.st_ino != name.inode or fcntl.fcntl(self._file, fcntl.F_GET_SEALS) & SEALS != SEALS:
            raise FileNotFoundError(f'{path} is not the arena that was named')
        self._size = status.st_size
        self._mapping = Mapping(self._file, self._size, writable=False)
        if of_worker:
            os.pwrite(self._file, NUMBER.pack(1), OPENED_AT)

    def open(self, begin, size, serial):
        """A read-only view of an extent, which stays as it is until nobody looks at it. ValueError: there is none."""
        self._check(begin, size)
        reference = self._seen.get(begin)
        exporter = reference() if reference is not None else None
        if exporter is not None:
            view = memoryview(exporter).cast('B')[begin:begin + size]
        else:
            view, self._seen[begin] = self._mapping.view(begin, begin + size, self,
                                                            self._make_on_drop(begin))
            lock(self._file, begin, fcntl.F_RDLCK)
        if NUMBER.unpack_from(view, SERIAL_AT)[0] != serial:
            raise ValueError('what was sent is not there any more: its task has ended')
        if self._of_worker:
            self._confirm(begin, serial)
        return view.toreadonly()

    def discard(self, begin, size, serial):
        """Tells the worker that nobody will look at it."""
        self._check(begin, size)
        if self._of_worker:
            self._confirm(begin, serial)

    @property
    def is_inherited(self):
        """Whether it was opened by the process of which this one is a copy: its locks are that one's."""
        return os.getpid() != self._pid

    @property
    def is_abandoned(self):
        """Whether its worker has ended and everything it has sent was received."""
        if not self._of_worker or _is_running(self._worker_pid):
            return False
        return NUMBER.unpack(os.pread(self._file, NUMBER.size, SENT_AT))[0] <= self._n_received

    def _check(self, begin, size):
        if begin % PAGE or begin < PAGE or size < ALIGNMENT or begin + size > self._size:
            raise ValueError(f'{size} bytes at {begin} are no extent of an arena of {self._size} bytes')

    def _confirm(self, begin, serial):
        os.pwrite(self._file, NUMBER.pack(serial), begin + RECEIVED_AT)
        self._n_received += 1

    def _make_on_drop(self, begin):
        # The locks of a copy of this process are those of the original.
        def on_drop(reference, self=self, getpid=os.getpid, unlocked=fcntl.F_UNLCK, locked=fcntl.F_RDLCK):
            if self._seen.get(begin) is reference:
                del self._seen[begin]
            if getpid() == self._pid:
                lock(self._file, begin, unlocked)
                # Somebody else may have begun to look at it meanwhile.
                if begin in self._seen:
                    lock(self._file, begin, locked)
        return on_drop

    def __del__(self, getpid=os.getpid, close=os.close):
        if getattr(self, '_pid', None) == getpid():
            close(self._file)


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
