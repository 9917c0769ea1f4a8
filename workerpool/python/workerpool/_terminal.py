# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writing frames to a terminal that other processes write to as well."""

import sys


def default_file(file=None):
    """Where a bar goes: the file, or stderr; None where a program has none."""
    return sys.stderr if file is None else file


class Frames:
    """A text file that keeps what is written to it until it is told that the frame is complete.

    The bars of nested pools share a terminal. One write moves the cursor to the line of the bar, draws it and moves
    back, so that none of another process comes between. When the file cannot be written to any more, nothing is.
    """

    def __init__(self, file):
        self._file = file
        self._parts = []
        self._broken = False

    def write(self, text):
        self._parts.append(text)

    def flush(self):
        """Not yet."""

    def show(self):
        text = ''.join(self._parts)
        self._parts.clear()
        if not text or self._broken:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except (OSError, ValueError):  # the reader has gone, or the file has been closed
            self._broken = True

    def __getattr__(self, name):
        return getattr(self._file, name)

    # tqdm compares its file with the standard ones.
    def __eq__(self, other):
        return other is self or other is self._file

    def __hash__(self):
        return hash(self._file)
