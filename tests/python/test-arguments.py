#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How items become calls and chunks, and what the map family refuses."""

import collections
import math
import os
import sys
import warnings

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

from workerpool import _arguments  # noqa: E402


def load_numpy():
    try:
        import numpy
    except ImportError:
        raise Skip('there is no numpy') from None
    return numpy


def seen(*args, **kwargs):
    return args, kwargs


def expect_refusal(kind, words, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except kind as error:
        for word in words:
            expect(word in str(error), f'{word!r} is not in {str(error)!r}')
        return
    raise AssertionError(f'{args} {kwargs} were not refused')


ITEMS = [
    (5, ((5,), {})),
    ('text', (('text',), {})),
    (b'bytes', ((b'bytes',), {})),
    (None, ((None,), {})),
    ((1, 2), ((1, 2), {})),
    ([1, 2], ((1, 2), {})),
    ((), ((), {})),
    (((1, 2),), (((1, 2),), {})),
    (range(3), ((0, 1, 2), {})),
    ({'x': 1}, ((), {'x': 1})),
    (collections.OrderedDict(y=1), ((), {'y': 1})),
    (({'x': 1},), (({'x': 1},), {})),
]


@test('/python/arguments/items-are-unpacked-by-their-type')
def _():
    call = _arguments.caller(seen)
    for item, expected in ITEMS:
        expect_equal(call(item), expected, f'the call for {item!r}')
    view = memoryview(b'abc')
    expect_equal(call(view), ((view,), {}))


@test('/python/arguments/leading-ones-come-first')
def _():
    call = _arguments.caller(seen, 7, 'shared')
    expect_equal(call((1, 2)), ((7, 'shared', 1, 2), {}))
    expect_equal(call({'x': 1}), ((7, 'shared'), {'x': 1}))
    expect_equal(call(5), ((7, 'shared', 5), {}))


@test('/python/arguments/many-calls-are-as-one-after-the-other')
def _():
    items = [item for item, _ in ITEMS]
    for some in (items, [1, 'a', None], [(1, 2), [3], range(2)], [{'x': 1}], []):
        for leading in ((), (7,)):
            call = _arguments.caller(seen, *leading)
            expect_equal(list(_arguments.calls(seen, some, *leading)), [call(item) for item in some])


@test('/python/arguments/an-array-is-one-argument')
def _():
    numpy = load_numpy()
    row = numpy.arange(3)
    expect(_arguments.caller(lambda x: x)(row) is row, 'the array was unpacked')
    expect_equal(_arguments.caller(seen)(numpy.float64(2)), ((2.0,), {}))


@test('/python/arguments/single-ones-are-not-unpacked')
def _():
    expect_equal(_arguments.make_single_arguments([(1, 2), {'x': 1}], generator=False), [((1, 2),), ({'x': 1},)])
    singles = _arguments.make_single_arguments(iter([(1, 2)]))
    expect(iter(singles) is singles, 'it is no generator')
    expect_equal(list(singles), [((1, 2),)])


@test('/python/chunks/as-documented')
def _():
    chunk = _arguments.chunk_tasks
    expect_equal(list(chunk(range(10), n_splits=3)), [(0, 1, 2, 3), (4, 5, 6), (7, 8, 9)])
    expect_equal(list(chunk(range(10), chunk_size=2.5)), [(0, 1, 2), (3, 4), (5, 6, 7), (8, 9)])
    expect_equal(list(chunk((x for x in range(10)), iterable_len=10, n_splits=6)),
                 [(0, 1), (2, 3), (4,), (5, 6), (7, 8), (9,)])


@test('/python/chunks/nothing-is-lost-whatever-the-sizes')
def _():
    for length in (0, 1, 2, 7, 100, 1000):
        for size in (1, 2, 3, 1.1, 2.1, 3.3, 7, 0.5, 1000, 1e6):
            items = list(range(length))
            chunks = list(_arguments.chunk_tasks(iter(items), chunk_size=size)) if size >= 1 else []
            if size >= 1:
                expect_equal([item for chunk in chunks for item in chunk], items, f'{length} items by {size}')
                expect_equal(_arguments.count_chunks(length, size), len(chunks), f'chunks of {length} by {size}')
        for splits in (1, 2, 3, 7, 64):
            chunks = list(_arguments.chunk_tasks(range(length), n_splits=splits))
            expect_equal([item for chunk in chunks for item in chunk], list(range(length)))
            expect_equal(len(chunks), min(length, splits), f'chunks of {length} in {splits} splits')
            if chunks:
                sizes = [len(chunk) for chunk in chunks]
                expect(max(sizes) - min(sizes) <= 1, f'uneven chunks: {sizes}')


@test('/python/chunks/more-items-than-announced-are-not-lost')
def _():
    chunks = list(_arguments.chunk_tasks(iter(range(10)), iterable_len=4, n_splits=2))
    expect_equal([item for chunk in chunks for item in chunk], list(range(10)))


@test('/python/chunks/without-a-length-there-is-a-warning')
def _():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        chunks = list(_arguments.chunk_tasks(iter(range(3)), n_splits=2))
    expect_equal(chunks, [(0,), (1,), (2,)])
    expect_equal([w.category for w in caught], [RuntimeWarning])
    expect('iterable_len' in str(caught[0].message), 'the warning says not what to pass')


@test('/python/chunks/of-an-array-are-slices')
def _():
    numpy = load_numpy()
    array = numpy.arange(30).reshape(10, 3)
    chunks = list(_arguments.chunk_tasks(array, chunk_size=3))
    expect_equal([chunk.shape for chunk in chunks], [(3, 3), (3, 3), (3, 3), (1, 3)])
    expect(all(chunk.base is not None for chunk in chunks), 'the chunks are copies')
    expect((numpy.concatenate(chunks) == array).all(), 'rows are lost')
    expect_equal(len(list(_arguments.chunk_tasks(array, n_splits=4))), 4)


@test('/python/chunks/arrays-are-joined-again')
def _():
    numpy = load_numpy()
    parts = [numpy.zeros((2, 3)), numpy.ones((1, 3))]
    expect_equal(_arguments.concatenate(parts).shape, (3, 3))
    for results in ([], [1, 2], [numpy.zeros(2), None], [numpy.zeros((2, 3)), numpy.zeros((2, 4))],
                    [numpy.float64(1)], [numpy.array(1), numpy.array(2)]):
        expect(_arguments.concatenate(results) is results, f'{results!r} were joined')


@test('/python/parameters/good-ones-pass')
def _():
    parameters = _arguments.check_map_parameters(seen, [1, 2, 3], 2, chunk_size=2, task_timeout=0.5,
                                                 worker_lifespan=4, progress_bar=True, progress_bar_options={})
    expect_equal((list(parameters.items), parameters.length, parameters.chunk_size), ([1, 2, 3], 3, 2))
    expect_equal(_arguments.check_map_parameters(seen, iter([1]), 2).length, None)
    expect_equal(_arguments.check_map_parameters(seen, iter([1]), 2, iterable_len=1).length, 1)
    expect_equal(_arguments.check_map_parameters(seen, range(10), 2).chunk_size, None)
    expect_equal(_arguments.check_map_parameters(seen, range(10), 2, n_splits=4).chunk_size, 2.5)
    expect_equal(_arguments.check_map_parameters(seen, range(int(1e30)), 2, iterable_len=int(1e30)).length, int(1e30))
    expect_equal(_arguments.check_map_parameters(seen, range(int(1e30)), 2).length, None)


@test('/python/parameters/an-array-becomes-its-slices')
def _():
    numpy = load_numpy()
    parameters = _arguments.check_map_parameters(seen, numpy.zeros((10, 3)), 2, chunk_size=4)
    expect_equal((parameters.length, parameters.chunk_size), (3, 1))
    expect_equal([item.shape for item in parameters.items], [(4, 3), (4, 3), (2, 3)])
    expect_equal(_arguments.check_map_parameters(seen, numpy.zeros(1000), 2).length, 128)


REFUSED = [
    (TypeError, {'iterable_of_args': 5}),
    (TypeError, {'func': 'square'}),
    (TypeError, {'iterable_len': 'ten'}),
    (ValueError, {'iterable_len': -1}),
    (ValueError, {'max_tasks_active': 0}),
    (TypeError, {'max_tasks_active': 2.5}),
    (ValueError, {'chunk_size': 0}),
    (ValueError, {'chunk_size': math.nan}),
    (ValueError, {'chunk_size': math.inf}),
    (TypeError, {'chunk_size': True}),
    (TypeError, {'chunk_size': '3'}),
    (ValueError, {'n_splits': -2}),
    (TypeError, {'n_splits': 1.5}),
    (ValueError, {'worker_lifespan': 0}),
    (TypeError, {'worker_lifespan': 'long'}),
    (TypeError, {'worker_init': 5}),
    (TypeError, {'worker_exit': 'stop'}),
    (ValueError, {'task_timeout': 0}),
    (ValueError, {'worker_init_timeout': -1.0}),
    (TypeError, {'worker_exit_timeout': '1 s'}),
    (TypeError, {'progress_bar': 'yes'}),
    (TypeError, {'progress_bar_options': []}),
    (TypeError, {'progress_bar_style': 3}),
]


@test('/python/parameters/bad-ones-are-named')
def _():
    for kind, wrong in REFUSED:
        (name, value), = wrong.items()
        options = {'func': seen, 'iterable_of_args': [1], **wrong}
        expect_refusal(kind, [name, repr(value)], _arguments.check_map_parameters, options.pop('func'),
                       options.pop('iterable_of_args'), 2, **options)


@test('/python/chunks/bad-sizes-are-refused-at-the-call')
def _():
    expect_refusal(ValueError, ['chunk_size', '0'], _arguments.chunk_tasks, [1], chunk_size=0)
    expect_refusal(ValueError, ['n_splits', '-1'], _arguments.chunk_tasks, [1], n_splits=-1)
    expect_refusal(ValueError, ['iterable_len'], _arguments.chunk_tasks, [1], iterable_len=-1, n_splits=1)


main()
