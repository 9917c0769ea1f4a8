# SPDX-License-Identifier: LGPL-2.1-or-later

"""Memory for large parts of messages: one process writes it, others look at it where it is.

An arena is a file in memory that is far larger than what is ever in it, so that it is opened and mapped once. An extent
of it holds the buffers of one message. Memory that was used before is several times as fast as fresh memory, so extents
are used again, but never while they are in use:

  - until the message has been received. The pool knows that a task has ended, and with it the lease of its extent. A
    worker sees that the pool has written the extent's serial number back into the extent;
  - as long as somebody looks at them. Who reads an extent holds a lock on its first byte, through a file description of
    its own, which the kernel gives back however that process ends.

A worker makes its arena when it first has a large result, which it sends along with the name of the arena. It uses the
arena once the pool has opened it, so that no result is lost with the worker.
"""

import collections
import fcntl
import os
import struct
import sys
import threading

from ._ranges import Ranges

PAGE = 4096
ALIGNMENT = 64
# Of addresses, not of memory. Results that the pool has thrown away unread stay in the arena of their worker.
SIZE = 1 << 36
RESULT_SIZE = 1 << 34

# What is kept for the messages to come; a single extent may be larger.
IDLE_LIMIT = 256 << 20
# How many extents are looked at for each new one, whether they are in use.
_LOOKS = 16
# Other threads may run between two steps of a copy.
_COPY_STEP = 1 << 20

FILE_NAME = 'workerpool-arena'
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
NUMBER = struct.Struct('<Q')
# In an arena: whether the pool has opened it, and how many extents were sent.
OPENED_AT, SENT_AT = 0, NUMBER.size
# In an extent, before the buffers: its serial number, and the same again once it was received.
SERIAL_AT, RECEIVED_AT = 0, NUMBER.size
_EXTENT_HEAD = struct.Struct('<QQ')
_FLOCK = struct.Struct('hhqqi4x')

_can_be_used = sys.maxsize > SIZE and hasattr(os, 'memfd_create') and hasattr(fcntl, 'F_OFD_SETLK')

Name = collections.namedtuple('Name', 'pid file inode')


class Extent:
    """A piece of an arena, for one message."""

    __slots__ = ('begin', 'end', 'serial', 'received', 'places')

    def __init__(self, begin, end, serial, places):
        self.begin = begin
        self.end = end
        self.serial = serial
        self.received = False
        # Where each buffer is: (offset in the extent, size).
        self.places = places


class Lease:
    """While it exists, its extent is not used again."""

    __slots__ = ('_arena', '_extent')

    def __init__(self, arena, extent):
        self._arena = arena
        self._extent = extent

    def end(self):
        if not self._extent.received:
            self._extent.received = True
            self._arena.tidy()

    __del__ = end


class Arena:
    """The arena of a pool: it writes what its tasks are sent."""

    def __init__(self, size=SIZE):
        self._size = size
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._file = -1
        self._mapping = None
        self._memory = None
        self._closed = not _can_be_used
        self._end = PAGE
        self._warm = Ranges()
        self._cold = Ranges()
        self._used = collections.deque()
        # Nothing that a message has meant to be something else is taken for it.
        self._serial = int.from_bytes(os.urandom(7), 'little')
        self.name = None

    def store(self, buffers):
        """Copies the buffers, which are contiguous views of bytes. Returns their extent; None where there is no room,
        no shared memory, or a copy of the process that has the arena.
        """
        if self._closed or os.getpid() != self._pid:
            return None
        with self._lock:
            try:
                return self._store(buffers)
            except (OSError, MemoryError):
                return None

    def lease(self, extent):
        """What keeps the extent until its task has ended."""
        return Lease(self, extent)

    def tidy(self):
        """Frees what is not in use any more, as far as nobody else does so now."""
        if os.getpid() == self._pid and self._lock.acquire(blocking=False):
            try:
                if not self._closed:
                    self._look()
            finally:
                self._lock.release()

    def close(self):
        """Whoever has opened it keeps what it looks at."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closed = True
            self._memory = self._mapping = None
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __del__(self, getpid=os.getpid, close=os.close):
        if getpid() == self._pid and self._file >= 0:
            close(self._file)

    @property
    def resident(self):
        """How many bytes of memory it has."""
        return os.fstat(self._file).st_blocks * 512 if self._file >= 0 else 0

    def _open(self):
        from ._mapping import Mapping

        self._file = os.memfd_create(FILE_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._file, self._size)
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, SEALS | fcntl.F_SEAL_SEAL)
            self._mapping = Mapping(self._file, self._size, writable=True)
            self._memory, _ = self._mapping.view(0, self._size)
        except BaseException:
            # There will be no more room at the next attempt.
            self._closed = True
            raise
        self.name = Name(self._pid, self._file, os.fstat(self._file).st_ino)

    def _is_ready(self):
        return True

    def _is_received(self, extent):
        return extent.received

    def _store(self, buffers):
        if self._file < 0:
            self._open()
        if not self._is_ready():
            return None
        self._look()

        places = []
        size = ALIGNMENT
        for buffer in buffers:
            places.append((size, buffer.nbytes))
            size += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
        size = -(-size // PAGE) * PAGE
        begin, write = self._find_room(size)
        if begin is None:
            return None

        self._serial += 1
        extent = Extent(begin, begin + size, self._serial, places)
        try:
            write(_EXTENT_HEAD.pack(extent.serial, 0), begin)
            for buffer, (offset, _) in zip(buffers, places):
                write(buffer, begin + offset)
        except BaseException:
            self._cold.add(begin, begin + size)
            raise
        self._used.append(extent)
        return extent

    def _find_room(self, size):
        """(where it is, how to write there): fresh memory is faster written through the file, which need not be mapped
        page by page then.
        """
        begin = self._warm.take(size)
        if begin is not None:
            return begin, self._copy
        begin = self._cold.take(size)
        if begin is None and self._end + size <= self._size:
            begin = self._end
            self._end += size
        return begin, self._write

    def _copy(self, buffer, position):
        size = len(buffer)
        for step in range(0, size, _COPY_STEP):
            end = min(step + _COPY_STEP, size)
            self._memory[position + step:position + end] = buffer[step:end]

    def _write(self, buffer, position):
        buffer = memoryview(buffer)
        while buffer:
            written = os.pwrite(self._file, buffer, position)
            buffer = buffer[written:]
            position += written

    def _look(self):
        """Looks at some extents whether they are in use still."""
        for _ in range(min(_LOOKS, len(self._used))):
            extent = self._used.popleft()
            if not self._is_received(extent) or is_locked(self._file, extent.begin):
                self._used.append(extent)
            else:
                self._free(extent)

    def _free(self, extent):
        # Whoever comes too late sees another number.
        NUMBER.pack_into(self._memory, extent.begin + SERIAL_AT, 0)
        if self._warm.total == 0 or self._warm.total + extent.end - extent.begin <= IDLE_LIMIT:
            self._warm.add(extent.begin, extent.end)
        else:
            self._mapping.give_back(extent.begin, extent.end)
            self._cold.add(extent.begin, extent.end)


class ResultArena(Arena):
    """The arena of a worker: it writes its results."""

    def __init__(self, size=RESULT_SIZE):
        super().__init__(size)
        self._opened = False
        self._n_sent = 0

    def lease(self, extent):
        """The pool writes when it has received it."""
        return None

    def _is_ready(self):
        if not self._opened:
            self._opened = self._read(OPENED_AT) == 1
        return self._opened

    def _is_received(self, extent):
        return self._read(extent.begin + RECEIVED_AT) == extent.serial

    def _read(self, position):
        return NUMBER.unpack_from(self._memory, position)[0]

    def _store(self, buffers):
        extent = super()._store(buffers)
        if extent is not None:
            self._n_sent += 1
            NUMBER.pack_into(self._memory, SENT_AT, self._n_sent)
        return extent


def lock(file, begin, kind, fcntl_=fcntl.fcntl, command=getattr(fcntl, 'F_OFD_SETLK', None), pack=_FLOCK.pack):
    fcntl_(file, command, pack(kind, os.SEEK_SET, begin, 1, 0))


def is_locked(file, begin):
    """Whether somebody else holds a lock."""
    query = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, begin, 1, 0)
    return _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, query))[0] != fcntl.F_UNLCK
