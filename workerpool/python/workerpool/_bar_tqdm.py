# SPDX-License-Identifier: LGPL-2.1-or-later

"""tqdm's bar."""

import os
import threading
import weakref

from tqdm import tqdm

from ._progress import NoBar
from ._terminal import Frames, default_file

# Without miniters a bar that slows down would stand still until tqdm's monitor, a thread, gave it a push. And as tqdm
# does by itself, only the bar on the first line stays when it has ended: one on another line, of a nested pool, makes
# room for the next.
DEFAULTS = {'dynamic_ncols': True, 'mininterval': 0.1, 'miniters': 0, 'leave': None}


_own_classes = []


def own(tqdm_class):
    """Keeps a class of ours from tqdm's monitor, a thread, and from tqdm's lock, which processes share: one that is
    killed while it holds it would stop the bars of all others."""
    tqdm_class.monitor_interval = 0
    tqdm_class.set_lock(threading.RLock())
    _own_classes.append(tqdm_class)
    return tqdm_class


def _forget():
    """In a forked worker the lines of the terminal are not ours, and a lock may have been held at the fork."""
    tqdm._instances = weakref.WeakSet()
    for tqdm_class in _own_classes:
        tqdm_class.set_lock(threading.RLock())


os.register_at_fork(after_in_child=_forget)


@own
class Tqdm(tqdm):
    """One that draws itself by one write."""

    def display(self, *args, **kwargs):
        shown = super().display(*args, **kwargs)
        self.fp.show()
        return shown

    def close(self):
        if not self.disable:
            super().close()
            self.fp.show()

    def clear(self, *args, **kwargs):
        super().clear(*args, **kwargs)
        self.fp.show()


def make(total, options):
    file = default_file(options.get('file'))
    return NoBar() if file is None else TqdmBar(Tqdm, total, DEFAULTS | options | {'file': Frames(file)})


class TqdmBar:
    def __init__(self, tqdm_class, total, options):
        try:
            self._bar = tqdm_class(total=total, **options)
        except KeyError as error:
            raise ValueError(f'tqdm does not take these progress_bar_options: {error.args[0]}') from None

    def update(self, n):
        self._bar.update(n)

    def close(self, error=None):
        if error is not None:
            self._bar.set_postfix_str(type(error).__name__, refresh=False)
        self._bar.close()
