# SPDX-License-Identifier: LGPL-2.1-or-later

"""A file in memory that is mapped as long as anybody looks at a part of it."""

import ctypes
import mmap
import os
import weakref

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_MADV_REMOVE = 9
_MAP_FAILED = ctypes.c_void_p(-1).value


class Mapping:
    """The whole of a file. Views of it keep it mapped."""

    def __init__(self, file, size, writable):
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._address = _libc.mmap(None, size, protection, mmap.MAP_SHARED, file, 0)
        if self._address == _MAP_FAILED:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        self._size = size
        # What has never been written would be in a core dump as well.
        _libc.madvise(self._address, size, mmap.MADV_DONTDUMP)
        self._kind = type('Span', (ctypes.c_ubyte * size,), {})

    def view(self, begin, end, owner=None, on_drop=None):
        """The bytes from begin to end, which hold their owner; on_drop: called when nobody looks at them, or at a part
        of them, any more.

        Returns (view, weak reference to what it looks at).
        """
        exporter = self._kind.from_address(self._address)
        # Whatever is made of the view, such as an array, holds the exporter and thereby these.
        exporter.mapping = self
        exporter.owner = owner
        return memoryview(exporter).cast('B')[begin:end], weakref.ref(exporter, on_drop)

    def give_back(self, begin, end):
        """Gives the memory of a range back, but not its addresses. It is zero then."""
        _libc.madvise(self._address + begin, end - begin, _MADV_REMOVE)

    def __del__(self, munmap=_libc.munmap):
        if getattr(self, '_kind', None) is not None:
            munmap(self._address, self._size)
