# SPDX-License-Identifier: LGPL-2.1-or-later

"""Progress bars: what a map that runs shows of itself.

A bar has two methods, to be called from one thread at a time: update (n) says that n more tasks have ended, and with 0
only that time has passed; close (error=None) is its end. Each style is a module of its own, so that what it imports is
imported when it is asked for. No bar starts a thread, and none takes a lock that another process may hold: a worker
may be forked or killed at any time.
"""

STYLES = ('std', 'rich', 'notebook')

# These are the map's to say.
OVERRULED = ('iterable', 'leave')


def make(total=None, options=None, style=None):
    """A bar for so many tasks; None: their number is not known.

    options are tqdm's, of which the other bars take what they have; style is one of STYLES, and None is 'std': tqdm's
    bar where there is tqdm, else one of our own.
    """
    options = check(options, style)
    if total is None:
        total = options.pop('total', None)
    else:
        options.pop('total', None)
    if options.get('disable'):
        return NoBar()
    if style == 'rich':
        from . import _bar_rich as bars
    elif style == 'notebook':
        from . import _bar_notebook as bars
    else:
        bars = _standard_bars()
    return bars.make(total, options)


def _standard_bars():
    try:
        from . import _bar_tqdm as bars
    except ImportError:
        from . import _bar_plain as bars
    return bars


def check(options, style):
    """The options without those that are the map's to say; TypeError and ValueError say what is wrong."""
    if style is not None and style not in STYLES:
        raise ValueError(f'progress_bar_style is {style!r}; choose one of {", ".join(map(repr, STYLES))}, or None')
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise TypeError(f'progress_bar_options is a {type(options).__name__}; give a dict, such as '
                        "{'desc': 'Resizing', 'unit': 'photo'}")
    options = {key: value for key, value in options.items() if key not in OVERRULED}
    position = options.get('position')
    if position is not None and (not isinstance(position, int) or position < 0):
        raise ValueError(f"progress_bar_options['position'] is {position!r}; give the number of a line, 0 or more")
    return options


class NoBar:
    """For who wants to see nothing."""

    def update(self, n):
        pass

    def close(self, error=None):
        pass
