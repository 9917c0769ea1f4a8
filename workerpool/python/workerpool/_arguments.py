# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the arguments of the map family mean: how an item becomes a call, how items become chunks, what is refused."""

import functools
import itertools
import math
import sys
import warnings
from collections.abc import Iterable, Sized
from typing import NamedTuple, Optional

# Chunks of each worker where nothing else is said.
SPLITS_PER_JOB = 64

_SINGLE, _POSITIONS, _KEYWORDS = range(3)


def cpu_count():
    """How many CPUs this process may use: those of its affinity and of the quota of its control group."""
    from ._raw import Wp

    return Wp.cpu_count()


# From an item to a call.

def caller(function, *leading):
    """A callable of one item: dicts become keyword arguments, other iterables positional ones, and what is text, bytes,
    a numpy array or no iterable is one argument. The leading arguments come before.
    """
    function = bind(function, *leading)

    def call(item):
        kind = _kind(type(item))
        if kind == _SINGLE:
            return function(item)
        return function(*item) if kind == _POSITIONS else function(**item)

    return call


def calls(function, items, *leading):
    """An iterator that calls the function with one item after the other, as `caller ()` would.

    A StopIteration that the function raises ends it, as it would end `map ()`: whoever counts sees it.
    """
    kinds = {_kind(type_) for type_ in set(map(type, items))}
    if kinds == {_SINGLE}:
        return map(bind(function, *leading), items)
    if kinds == {_POSITIONS}:
        return itertools.starmap(bind(function, *leading), items)
    return map(caller(function, *leading), items)


def bind(function, *leading):
    """The function with its first arguments given."""
    return functools.partial(function, *leading) if leading else function


@functools.lru_cache(1024)
def _kind(type_):
    if issubclass(type_, dict):
        return _KEYWORDS
    if issubclass(type_, (str, bytes, bytearray, memoryview)) or not issubclass(type_, Iterable):
        return _SINGLE
    return _SINGLE if _is_array_type(type_) else _POSITIONS


def make_single_arguments(iterable_of_args, generator=True):
    """Items that are not unpacked: each one becomes the only argument of its call."""
    singles = ((item,) for item in iterable_of_args)
    return singles if generator else list(singles)


# From items to chunks.

def chunk_tasks(iterable_of_args, iterable_len=None, n_jobs=None, n_tasks_per_job=None, chunk_size=None, n_splits=None):
    """Yields the items in chunks, as tuples; those of a numpy array as slices of it.

    A chunk size that is no whole number is kept on average. Without one, as many chunks are made as `n_splits` says, or
    `n_tasks_per_job` (64) for each of `n_jobs` (the CPUs), for which the number of items must be known.
    """
    length = _length(iterable_of_args, iterable_len)
    if chunk_size is None and n_splits is None:
        n_splits = (n_jobs or cpu_count()) * (n_tasks_per_job or SPLITS_PER_JOB)
    size = _chunk_size(length, chunk_size, n_splits)
    return _slices(iterable_of_args, size) if is_array(iterable_of_args) else _tuples(iter(iterable_of_args), size)


def count_chunks(length, chunk_size):
    """How many chunks `chunk_tasks ()` makes of so many items."""
    count = math.ceil(length / chunk_size)
    # What the division has lost.
    while count > 0 and _bound(count - 1, chunk_size) >= length:
        count -= 1
    while _bound(count, chunk_size) < length:
        count += 1
    return count


def _bound(number, size):
    """Where a chunk begins. Rounded, as 10 * 2.1 is a little more than 21."""
    return number * size if isinstance(size, int) else math.ceil(round(number * size, 9))


def _chunk_size(length, chunk_size, n_splits):
    if chunk_size is not None:
        check_number('chunk_size', chunk_size, 'a positive number', whole=False)
        return chunk_size
    check_number('n_splits', n_splits, 'a positive whole number')
    if length is None:
        warnings.warn('The number of items is not known, so that they cannot be split evenly: chunks of one item are '
                      'made; pass iterable_len or chunk_size', RuntimeWarning, stacklevel=3)
        return 1
    # Of fewer items than chunks, each is a chunk.
    return max(length / n_splits, 1)


def _tuples(items, size):
    for number in itertools.count():
        chunk = tuple(itertools.islice(items, _bound(number + 1, size) - _bound(number, size)))
        if not chunk:
            return
        yield chunk


def _slices(array, size):
    for number in range(count_chunks(len(array), size)):
        yield array[_bound(number, size):_bound(number + 1, size)]


def _length(items, iterable_len):
    check_number('iterable_len', iterable_len, 'a whole number that is not negative, or None', least=0)
    if iterable_len is not None:
        return iterable_len
    try:
        return len(items) if isinstance(items, Sized) else None
    except OverflowError:
        return None


# numpy, which is loaded already where there are arrays.

def is_array(value):
    """Whether this is a numpy array that can be cut into slices."""
    return _is_array_type(type(value)) and value.ndim > 0


def _is_array_type(type_):
    numpy = sys.modules.get('numpy')
    return numpy is not None and issubclass(type_, numpy.ndarray)


def concatenate(results):
    """One array of the results where all of them are arrays that go together, else the results."""
    if not results or not all(map(is_array, results)):
        return results
    try:
        return sys.modules['numpy'].concatenate(results)
    except ValueError:
        return results


# What is refused.

class MapParameters(NamedTuple):
    """What a map has been asked for, checked."""

    items: Iterable
    length: Optional[int]
    chunk_size: Optional[float]
    max_tasks_active: Optional[int]
    worker_lifespan: Optional[int]
    task_timeout: Optional[float]
    worker_init_timeout: Optional[float]
    worker_exit_timeout: Optional[float]


def check_map_parameters(function, iterable_of_args, n_jobs, *, iterable_len=None, max_tasks_active=None,
                         chunk_size=None, n_splits=None, worker_lifespan=None, progress_bar=False, worker_init=None,
                         worker_exit=None, task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None,
                         progress_bar_options=None, progress_bar_style=None):
    """Checks what every form of map takes; TypeError and ValueError name the parameter and say what it may be.

    The items of a numpy array are slices of it. The chunk size is None where nobody has named one.
    """
    check_callable('func', function)
    if not isinstance(iterable_of_args, Iterable):
        raise TypeError(f'iterable_of_args must be an iterable of the arguments, not {_show(iterable_of_args)}')
    length = _length(iterable_of_args, iterable_len)
    check_number('max_tasks_active', max_tasks_active, 'a positive whole number or None')
    check_number('chunk_size', chunk_size, 'a positive number or None', whole=False)
    check_number('n_splits', n_splits, 'a positive whole number or None')
    check_number('worker_lifespan', worker_lifespan, 'a positive whole number or None')
    check_calls(worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout)
    check_kind('progress_bar', progress_bar, bool, 'a bool')
    check_kind('progress_bar_options', progress_bar_options, (dict, type(None)), 'a dict or None')
    check_kind('progress_bar_style', progress_bar_style, (str, type(None)), "'std', 'rich', 'notebook' or None")

    items = iterable_of_args
    if is_array(items):
        size = _chunk_size(len(items), chunk_size, n_splits or n_jobs * SPLITS_PER_JOB)
        items, length, chunk_size = _slices(items, size), count_chunks(len(items), size), 1
    elif chunk_size is None and n_splits is not None:
        chunk_size = _chunk_size(length, None, n_splits)
    return MapParameters(items, length, chunk_size, max_tasks_active, worker_lifespan, task_timeout,
                         worker_init_timeout, worker_exit_timeout)


def check_calls(worker_init=None, worker_exit=None, task_timeout=None, worker_init_timeout=None,
                worker_exit_timeout=None):
    """Checks what the forms of apply take as well."""
    check_callable('worker_init', worker_init, optional=True)
    check_callable('worker_exit', worker_exit, optional=True)
    for name, value in (('task_timeout', task_timeout), ('worker_init_timeout', worker_init_timeout),
                        ('worker_exit_timeout', worker_exit_timeout)):
        check_number(name, value, 'a positive number of seconds or None', whole=False)


def check_callable(name, value, optional=False):
    if not callable(value) and not (optional and value is None):
        raise TypeError(f'{name} must be callable{" or None" if optional else ""}, not {_show(value)}')


def check_kind(name, value, kinds, what):
    if not isinstance(value, kinds):
        raise TypeError(f'{name} must be {what}, not {_show(value)}')


def check_number(name, value, what, whole=True, least=None):
    if value is None:
        return
    numbers = (int,) if whole else (int, float)
    if isinstance(value, bool) or not (isinstance(value, numbers) or hasattr(value, '__index__')):
        raise TypeError(f'{name} must be {what}, not {_show(value)}')
    if not (value > 0 if least is None else value >= least) or value == math.inf:
        raise ValueError(f'{name} must be {what}, not {value!r}')


def _show(value):
    return f'{value!r} ({type(value).__name__})'
