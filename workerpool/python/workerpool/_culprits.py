# SPDX-License-Identifier: LGPL-2.1-or-later

"""Finds what in an object cannot be pickled, for the message of the error."""

# How deep the search goes, and how many objects it tries in all.
_DEPTH = 32
_TRIALS = 2000


def find(value, fails):
    """(steps, culprit): the innermost part of the value for which `fails (part)` holds, and the way to it, as in
    `['[3]', "['key']", '.attribute']`.
    """
    steps = []
    seen = {id(value)}
    trials = _TRIALS
    while len(steps) < _DEPTH:
        for step, part in _parts(value):
            trials -= 1
            if trials < 0:
                break
            if id(part) not in seen and fails(part):
                break
        else:
            break
        if trials < 0:
            break
        seen.add(id(part))
        steps.append(step)
        value = part
    return steps, value


def _parts(value):
    """The parts of a value, each with the step from the value to it."""
    kind = type(value)
    if issubclass(kind, dict):
        for key in list(value):
            yield f' (the key {_short(key)})', key
            yield f'[{_short(key)}]', value[key]
    elif issubclass(kind, (list, tuple)):
        for number, part in enumerate(value):
            yield f'[{number}]', part
    elif issubclass(kind, (set, frozenset)):
        for part in list(value):
            yield ' (a member)', part
    if hasattr(kind, '__reduce_ex__') and not isinstance(value, type):
        for name, part in _attributes(value):
            yield f'.{name}', part


def _attributes(value):
    yield from getattr(value, '__dict__', {}).items()
    for kind in type(value).__mro__:
        names = kind.__dict__.get('__slots__', ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(value, name) and name not in ('__dict__', '__weakref__'):
                yield name, getattr(value, name)


def _short(value):
    try:
        text = repr(value)
    except Exception:
        text = f'<{type(value).__name__}>'
    return text if len(text) <= 60 else f'{text[:57]}...'
