# SPDX-License-Identifier: LGPL-2.1-or-later

"""A batch of the engine, as messages and records."""

import time

from gi.repository import GLib

from . import _bundles
from ._raw import Wp, to_bytes, to_variant

_MESSAGES = GLib.VariantType.new('aay')
_ERROR = GLib.VariantType.new('(sis)')

# The room of a batch is the caller's affair here.
_ROOM = 1 << 20
_MOST_TAKEN = 4096
_LOOK_S = 0.0005


def make_options(chunk_size=None, task_timeout=None, max_retries=0):
    options = Wp.TaskOptions(ordered=False, on_error=Wp.OnError.CONTINUE, max_active_tasks=_ROOM)
    if chunk_size is not None:
        options.set_chunk_size(chunk_size)
    if task_timeout is not None:
        options.set_task_timeout(task_timeout)
    options.set_max_retries(max_retries)
    return options


class Batch:
    """Tasks that are pushed and taken many at once. Each of them ends as one record."""

    def __init__(self, pool, function, options):
        self._raw = Wp.WorkerPool.start_batch(pool, function, options)
        self._n_taken = 0

    def push(self, messages):
        """Returns how many had room."""
        if _HAS_BULK:
            return self._raw.push_items(to_variant(_bundles.serialise_array(messages), _MESSAGES), 0)
        for message in messages:
            self._raw.push(to_variant(message))
        return len(messages)

    def wait(self, timeout):
        """Waits so many seconds for something to take; returns whether there is something."""
        if _HAS_BULK:
            return self._raw.wait(int(timeout * 1e6))
        end = time.monotonic() + timeout
        while self._raw.get_n_completed() <= self._n_taken and time.monotonic() < end:
            time.sleep(_LOOK_S)
        return self._raw.get_n_completed() > self._n_taken

    def take(self):
        """[(index, outcome or None, GLib.Error or None)] of the tasks that have ended."""
        records = []
        if not _HAS_BULK:
            while self._raw.get_n_completed() > self._n_taken:
                records.append(self._take_next())
            return records

        while (block := self._raw.take(_MOST_TAKEN)) is not None:
            for index, kind, _, value, _ in _bundles.parse_records(block.get_data()):
                if kind == _bundles.FAILURE:
                    domain, code, message = to_variant(value, _ERROR).unpack()
                    records.append((index, None, GLib.Error(message, domain, code)))
                else:
                    records.append((index, value, None))
        # One that is too large for a block.
        if not records and self._raw.wait(0):
            records.append(self._take_next())
        return [record for record in records if record is not None]

    def cancel(self):
        self._raw.cancel()

    def close(self):
        self._raw.close()

    def _take_next(self):
        result = self._raw.next(None)
        if result is None:
            return None
        self._n_taken += 1
        value = result.get_value()
        return result.get_index(), value and to_bytes(value), result.get_error()


_HAS_BULK = all(hasattr(Wp.Batch, name) for name in ('push_items', 'wait', 'take'))
