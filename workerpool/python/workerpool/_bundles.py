# SPDX-License-Identifier: LGPL-2.1-or-later

"""How tasks become messages and outcomes become results. Nothing here waits, or knows a pool or a worker."""

import array
import itertools
import struct

# A task's message begins with the number of its function, and with the description of the function or where that is.
_HEAD = struct.Struct('<IIq')
_HERE = -1

# An outcome begins with how many results it has, their bytes, whether an error follows, and the time that was taken.
_OUTCOME = struct.Struct('<IIQd')
NO_ERROR, ERROR = 0, 1

# What WpBatch.take () gives for each task; see there.
_RECORD = struct.Struct('<QIIIIqqQQ')
VALUE, VARIANT, FAILURE = 0, 1, 2

# A bundle takes about as long as a chunk of the engine; one that takes much longer is handed back for others to help.
AIM_S = 0.003
LIMIT_S = 0.012
# The same where the caller wants each task to be dealt with by itself: nobody sees the difference, but in the speed.
FINE_AIM_S = 0.0005
FINE_LIMIT_S = 0.001
# Tasks that take this long travel alone: what the engine does for each of them is then little beside.
ALONE_S = 0.0002
_FIRST = 8
_GROWTH = 32
_MOST = 1 << 16


class Head:
    """What the messages of one function begin with."""

    def __init__(self, number, description=b'', place=None):
        if place is None:
            self.bytes = _HEAD.pack(number, len(description), _HERE) + description
        else:
            self.bytes = _HEAD.pack(number, len(description), place)


def split_message(message):
    """(number, description or None, size, place or None, payload)"""
    number, size, place = _HEAD.unpack_from(message)
    end = _HEAD.size
    if place != _HERE:
        return number, None, size, place, message[end:]
    return number, message[end:end + size], size, None, message[end + size:]


def join_outcome(results, n_results, elapsed, error=None):
    """results: their payload."""
    if error is None:
        return _OUTCOME.pack(n_results, NO_ERROR, len(results), elapsed) + results
    return _OUTCOME.pack(n_results, ERROR, len(results), elapsed) + results + error


def split_outcome(outcome):
    """(n_results, payload of the results, payload of the error or None, elapsed)"""
    n_results, kind, size, elapsed = _OUTCOME.unpack_from(outcome)
    end = _OUTCOME.size + size
    return n_results, outcome[_OUTCOME.size:end], outcome[end:] if kind == ERROR else None, elapsed


def serialise_array(messages):
    """The serialised form of an array of arrays of bytes: these, and where each of them ends."""
    ends = list(itertools.accumulate(map(len, messages)))
    if not ends:
        return b''
    for code, size in (('B', 1), ('H', 2), ('I', 4), ('Q', 8)):
        if ends[-1] + size * len(ends) < 1 << 8 * size:
            break
    offsets = array.array(code, ends)
    return b''.join([*messages, offsets.tobytes()])


def parse_records(block):
    """(index, kind, type string or None, value, notes) of each result in a block."""
    position = 0
    while position < len(block):
        index, kind, worker, retries, type_size, start, run, length, notes = _RECORD.unpack_from(block, position)
        position += _RECORD.size
        type_string = block[position:position + type_size].rstrip(b'\0').decode() if type_size else None
        position += type_size
        value = block[position:position + length]
        position += length + -length % 8
        note = block[position:position + notes] if notes else None
        position += notes + -notes % 8
        yield index, kind, type_string, value, note


class Sizer:
    """How many tasks travel together: as many as take a few milliseconds, and no more than an even share."""

    def __init__(self, n_jobs, chunk_size=None, estimate=None, aim=AIM_S):
        self._n_jobs = n_jobs
        self._fixed = chunk_size
        self._aim = aim
        self._last = _FIRST
        self.estimate = estimate

    def note(self, n_tasks, elapsed):
        """So many tasks took so long."""
        if n_tasks:
            mean = elapsed / n_tasks
            self.estimate = mean if self.estimate is None else 0.5 * self.estimate + 0.5 * mean

    def get_size(self, n_left=None):
        """The size of the next bundle; n_left: the tasks that are left, where that is known."""
        if self._fixed is not None:
            return self._fixed
        if self.estimate is None:
            size = _FIRST if self._aim == AIM_S else 1
        elif self.estimate >= ALONE_S:
            size = 1
        else:
            size = int(self._aim / max(self.estimate, 1e-9))
        size = min(size, self._last * _GROWTH, _MOST)
        if n_left is not None:
            size = min(size, -(-n_left // (2 * self._n_jobs)))
        self._last = max(size, 1)
        return self._last
