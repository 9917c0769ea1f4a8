# SPDX-License-Identifier: LGPL-2.1-or-later

"""The bar that needs no package: one line on a terminal, and now and then a line in a file.

    Resizing:  42%|########            | 42/100 [00:03<00:05, 11.2 photo/s]
"""

import itertools
import os
import time

from ._progress import NoBar
from ._terminal import Frames, default_file

# How often it is drawn: on a terminal, and in a file that somebody reads later.
REDRAW_INTERVAL_S = 0.2
LINE_INTERVAL_S = 10

DEFAULT_WIDTH = 80
MIN_BAR_WIDTH = 10
MAX_BAR_WIDTH = 60

CLEAR_LINE = '\r\x1b[K'

# The lines of the terminal that bars of this process are on.
_taken = set()
os.register_at_fork(after_in_child=_taken.clear)


def _take_line(wanted):
    line = next(line for line in itertools.count() if line not in _taken) if wanted is None else wanted
    _taken.add(line)
    return line


def make(total, options):
    file = default_file(options.get('file'))
    return NoBar() if file is None else PlainBar(total, options, file)


def format_time(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes:02}:{seconds:02}'


def format_rate(n, elapsed, unit):
    if not n or elapsed <= 0:
        return f'? {unit}/s'
    rate = n / elapsed
    return f'{rate:.1f} {unit}/s' if rate >= 1 else f'{1 / rate:.1f} s/{unit}'


def format_line(n, total, elapsed, desc='', unit='it', initial=0, width=DEFAULT_WIDTH, note=''):
    """The line, of at most width characters."""
    done = n - initial
    rate = format_rate(done, elapsed, unit)
    head = f'{desc}: ' if desc else ''
    tail = f', {note}]' if note else ']'
    if not total or n > total:
        return f'{head}{n} {unit} [{format_time(elapsed)}, {rate}{tail}'[:width]
    remaining = format_time(elapsed / done * (total - n)) if done else '?'
    head = f'{head}{100 * n // total:3}%|'
    tail = f'| {n}/{total} [{format_time(elapsed)}<{remaining}, {rate}{tail}'
    room = min(width - len(head) - len(tail), MAX_BAR_WIDTH)
    bar = ('#' * (room * n // total)).ljust(room) if room >= MIN_BAR_WIDTH else ''
    return f'{head}{bar}{tail}'[:width]


class PlainBar:
    def __init__(self, total, options, file, clock=time.monotonic):
        self._total = total
        self._format = {key: options[key] for key in ('desc', 'unit') if options.get(key)}
        self._initial = options.get('initial') or 0
        self._n = self._initial
        self._position = _take_line(options.get('position'))
        self._width = options.get('ncols')
        self._clock = clock
        self._start = clock()
        self._frames = Frames(file)
        self._is_terminal = bool(getattr(file, 'isatty', bool)())
        self._interval = options.get('mininterval', REDRAW_INTERVAL_S) if self._is_terminal else LINE_INTERVAL_S
        self._drawn_at = self._start
        self._closed = False
        if self._is_terminal:
            self._draw()

    def update(self, n):
        self._n += n
        now = self._clock()
        if now - self._drawn_at >= self._interval and not self._closed:
            self._drawn_at = now
            self._draw()

    def close(self, error=None):
        if self._closed:
            return
        self._closed = True
        _taken.discard(self._position)
        # Only the bar on the first line stays: one on another line, of a nested pool, makes room for the next.
        if self._position and self._is_terminal:
            self._write_at_position(CLEAR_LINE)
            self._frames.show()
        else:
            self._draw(note=type(error).__name__ if error is not None else '', end='\n')

    def _draw(self, note='', end=''):
        line = format_line(self._n, self._total, self._clock() - self._start, initial=self._initial,
                           width=self._find_width(), note=note, **self._format)
        if self._is_terminal:
            self._write_at_position(CLEAR_LINE + line + end)
        else:
            self._frames.write(line + '\n')
        self._frames.show()

    def _write_at_position(self, text):
        down = self._position
        self._frames.write('\n' * down + text + (f'\r\x1b[{down}A' if down else ''))

    def _find_width(self):
        if self._width:
            return self._width
        if not self._is_terminal:
            return DEFAULT_WIDTH
        try:
            # A line that fills the last column would wrap.
            return max(os.get_terminal_size(self._frames.fileno()).columns - 1, MIN_BAR_WIDTH)
        except (OSError, ValueError, AttributeError):
            return DEFAULT_WIDTH
