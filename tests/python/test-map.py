#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The map family."""

import functools
import itertools
import os
import sys
import threading

from pools import IS_THREADING, main, make_pool, pool_test, raises  # noqa: E402
from tap import expect, expect_equal  # noqa: E402

from workerpool import make_single_arguments  # noqa: E402

N = 20_000


def square(x):
    return x * x


def add(a, b=0, c=0):
    return a + 10 * b + 100 * c


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def scale(self, x):
        return self.factor * x


@pool_test('map/results-are-in-the-order-of-the-items')
def _():
    with make_pool() as pool:
        expect_equal(pool.map(square, range(N)), [x * x for x in range(N)])
        expect_equal(sorted(pool.map_unordered(square, range(N))), [x * x for x in range(N)])
        expect_equal(list(pool.imap(square, range(N))), [x * x for x in range(N)])
        expect_equal(sorted(pool.imap_unordered(square, range(N))), [x * x for x in range(N)])


@pool_test('map/of-no-items-is-empty')
def _():
    with make_pool() as pool:
        expect_equal(pool.map(square, []), [])
        expect_equal(list(pool.imap_unordered(square, iter(()))), [])


@pool_test('map/items-are-unpacked')
def _():
    with make_pool() as pool:
        expect_equal(pool.map(add, [1, (1, 2), [1, 2, 3], {'a': 1, 'c': 2}]), [1, 21, 321, 201])
        expect_equal(pool.map(sum, make_single_arguments([(1, 2), (3, 4)], generator=False)), [3, 7])
        expect_equal(pool.map(len, ['four', b'12345']), [4, 5])


@pool_test('map/any-callable')
def _():
    seven = 7
    with make_pool() as pool:
        expect_equal(pool.map(lambda x: x + seven, range(3)), [7, 8, 9])
        expect_equal(pool.map(functools.partial(add, 1, c=3), range(3)), [301, 311, 321])
        expect_equal(pool.map(Scale(3).scale, range(3)), [0, 3, 6])
        expect_equal(pool.map(str, range(3)), ['0', '1', '2'])
        expect_equal(pool.map(os.path.basename, ['/a/b']), ['b'])


@pool_test('map/chunks-of-every-kind')
def _():
    expected = [x * x for x in range(500)]
    with make_pool(keep_alive=True) as pool:
        expect_equal(pool.map(square, range(500), n_splits=3), expected)
        for options in ({'chunk_size': 1}, {'chunk_size': 7}, {'chunk_size': 2.5}, {'chunk_size': 900},
                        {'max_tasks_active': 1}, {'max_tasks_active': 3, 'chunk_size': 2}, {'iterable_len': 500}):
            expect_equal(pool.map(square, range(500), **options), expected, f'the map with {options}')
            expect_equal(pool.map(square, (x for x in range(500)), **options), expected, 'the same of a generator')


@pool_test('map/tasks-of-very-different-length')
def _():
    with make_pool() as pool:
        expect_equal(pool.map(lambda x: sum(range(10_000 if x % 997 == 0 else 1)) and x, range(N)),
                     [x if x % 997 == 0 else 0 for x in range(N)])


@pool_test('map/length-of-the-iterable-is-a-limit')
def _():
    with make_pool() as pool:
        expect_equal(pool.map(square, itertools.count(), iterable_len=5), [0, 1, 4, 9, 16])
        expect_equal(pool.map(square, iter(range(3)), iterable_len=5), [0, 1, 4])


@pool_test('map/endless-generator-is-taken-as-needed')
def _():
    pulled = itertools.count()
    with make_pool() as pool:
        results = pool.imap(square, (x for x in pulled), max_tasks_active=10)
        expect_equal(list(itertools.islice(results, 1000)), [x * x for x in range(1000)])
        results.close()
        n_pulled = next(pulled)
        expect(1000 <= n_pulled <= 1010, f'{n_pulled} items were taken for 1000 results')


@pool_test('map/dropped-iterator-ends-the-map')
def _():
    with make_pool() as pool:
        results = pool.imap_unordered(square, itertools.count())
        next(results)
        del results
        expect_equal(pool.map(square, range(10)), [x * x for x in range(10)])


@pool_test('map/generator-that-raises')
def _():
    def items():
        yield from range(10)
        raise LookupError('no more of them')

    with make_pool() as pool:
        with raises(LookupError, 'no more of them'):
            pool.map(square, items())
        with raises(LookupError, 'no more of them'):
            list(pool.imap(square, items()))
        expect_equal(pool.map(square, [2]), [4])


@pool_test('map/generator-that-waits-for-results')
def _():
    may_go_on = threading.Event()

    def items():
        yield 1
        may_go_on.wait()
        yield 2

    with make_pool() as pool:
        results = pool.imap(square, items(), max_tasks_active=1)
        expect_equal(next(results), 1)
        may_go_on.set()
        expect_equal(next(results), 4)
        expect_equal(list(results), [])


@pool_test('map/two-at-once')
def _():
    with make_pool(keep_alive=True) as pool:
        first = pool.imap(square, range(1000))
        second = pool.imap(str, range(1000))
        for n, (one, other) in enumerate(zip(first, second)):
            expect_equal((one, other), (n * n, str(n)))

    outcomes = {}
    with make_pool() as pool:
        def run(name):
            outcomes[name] = [pool.map(square, range(N)) for _ in range(3)]

        threads = [threading.Thread(target=run, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expect_equal(outcomes, {name: [[x * x for x in range(N)]] * 3 for name in range(3)})


@pool_test('map/numpy-arrays-in-slices')
def _():
    import numpy

    array = numpy.arange(1000.0).reshape(500, 2)
    with make_pool() as pool:
        result = pool.map(numpy.square, array)
        expect(isinstance(result, numpy.ndarray), f'a {type(result)} is no array')
        expect_equal(result.tolist(), (array * array).tolist())
        parts = pool.map(numpy.square, array, n_splits=4, concatenate_numpy_output=False)
        expect_equal([part.shape for part in parts], [(125, 2)] * 4)


@pool_test('map/wrong-arguments-are-refused')
def _():
    with make_pool() as pool:
        with raises(TypeError, 'func'):
            pool.map(3, [1])
        with raises(TypeError, 'iterable_of_args'):
            pool.map(square, 3)
        with raises(ValueError, 'chunk_size'):
            pool.map(square, [1], chunk_size=0)
        with raises(TypeError, 'task_timeout'):
            pool.map(square, [1], task_timeout='long')
        with raises(ValueError, 'start method'):
            make_pool(start_method='teleport')
        with raises(TypeError, 'n_jobs'):
            make_pool('many')
        with raises(ValueError, 'n_jobs'):
            make_pool(-1)


@pool_test('map/arguments-before-the-item')
def _():
    def show(worker_id, shared, state, x):
        state['n'] = state.get('n', 0) + 1
        return worker_id in (0, 1), shared['name'], state['n'] > 0, x

    with make_pool(shared_objects={'name': 'same'}, pass_worker_id=True, use_worker_state=True) as pool:
        expect_equal(pool.map(show, range(50)), [(True, 'same', True, x) for x in range(50)])
        pool.pass_on_worker_id(False)
        pool.set_shared_objects(None)
        pool.set_use_worker_state(False)
        expect_equal(pool.map(square, range(5)), [0, 1, 4, 9, 16])


@pool_test('map/closure-is-as-it-is-at-the-map')
def _():
    held = [1]
    with make_pool(keep_alive=True) as pool:
        expect_equal(pool.map(lambda x: x + held[0], [1]), [2])
        held[0] = 5
        expect_equal(pool.map(lambda x: x + held[0], [1]), [6])


if IS_THREADING:
    @pool_test('map/threads-share-objects')
    def _():
        seen = []
        lock = threading.Lock()

        def keep(thing):
            with lock:
                seen.append(thing)
            return thing

        things = [object() for _ in range(100)]
        with make_pool() as pool:
            expect(all(map(lambda a, b: a is b, pool.map(keep, things), things)), 'other objects came back')
        expect_equal(len(seen), 100)


main()
