# SPDX-License-Identifier: LGPL-2.1-or-later

"""Bars drawn by rich. A terminal has one live display only, so all maps of a process share one, each with its line."""

import os
import threading
import time

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeElapsedColumn, TimeRemainingColumn
except ImportError as error:
    raise ImportError("progress_bar_style='rich' needs the missing python3-rich (name of a Debian package); install "
                      "it, or choose the style 'std'") from error

from ._progress import NoBar
from ._terminal import default_file

REDRAW_INTERVAL_S = 0.1


class Display:
    """The live display on one file, which begins with its first bar and ends with its last."""

    def __init__(self, file):
        self._file = file
        self._lock = threading.Lock()
        self._progress = None
        self._n_open = 0
        self._drawn_at = 0

    def open(self, desc, total, n, colour):
        with self._lock:
            if self._progress is None:
                # It would refresh itself from a thread of its own.
                self._progress = Progress(
                    TextColumn('{task.description}'), BarColumn(complete_style=colour or 'bar.complete'),
                    TaskProgressColumn(show_speed=True), MofNCompleteColumn(), TimeElapsedColumn(),
                    TimeRemainingColumn(), TextColumn('{task.fields[note]}'),
                    console=Console(file=self._file), auto_refresh=False)
                self._progress.start()
            self._n_open += 1
            return self._progress.add_task(desc, total=total, completed=n, note='')

    def advance(self, task, n):
        with self._lock:
            self._progress.advance(task, n)
            now = time.monotonic()
            if now - self._drawn_at >= REDRAW_INTERVAL_S:
                self._drawn_at = now
                self._progress.refresh()

    def close(self, task, note):
        with self._lock:
            self._progress.update(task, note=note)
            self._progress.stop_task(task)
            self._progress.refresh()
            self._n_open -= 1
            if self._n_open == 0:
                self._progress.stop()
                self._progress = None


_displays = {}


def _display_on(file):
    """The one that has bars now; a file of which none is in use has none."""
    for other in [other for other, display in _displays.items() if display._n_open == 0]:
        del _displays[other]
    return _displays.setdefault(file, Display(file))


# A forked worker's display would draw what its parent's draws.
os.register_at_fork(after_in_child=_displays.clear)


def make(total, options):
    file = default_file(options.get('file'))
    return NoBar() if file is None else RichBar(total, options, _display_on(file))


class RichBar:
    def __init__(self, total, options, display):
        self._display = display
        self._task = display.open(options.get('desc') or '', total, options.get('initial') or 0, options.get('colour'))
        self._closed = False

    def update(self, n):
        if not self._closed:
            self._display.advance(self._task, n)

    def close(self, error=None):
        if not self._closed:
            self._closed = True
            self._display.close(self._task, type(error).__name__ if error is not None else '')
