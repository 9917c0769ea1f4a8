# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the tasks of a bundle."""

import time

from . import _arguments

# What the tasks between two looks at the clock should take.
_GROUP_S = 0.0001


def run(function, items, results, limit):
    """Appends the results of the items: of the first, and of those after it that begin before the limit."""
    if len(items) == 1:
        results.append(_call(function, items[0]))
        return

    begin = before = time.perf_counter()
    group = 1
    while len(results) < len(items):
        wanted = min(len(results) + group, len(items))
        results.extend(_arguments.calls(function, items[len(results):wanted]))
        if len(results) < wanted:
            raise RuntimeError('the function raised StopIteration')
        now = time.perf_counter()
        if now - begin > limit:
            break
        if now - before < _GROUP_S:
            group *= 2
        before = now


def _call(function, item):
    try:
        return _arguments.caller(function)(item)
    except StopIteration as error:
        raise RuntimeError('the function raised StopIteration') from error
