#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Large arguments, results and shared objects of pools."""

import array
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pools import IS_THREADING, make_pool  # noqa: E402
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

LARGE = 1 << 20


def load_numpy():
    try:
        import numpy
    except ImportError:
        raise Skip('there is no numpy') from None
    return numpy


def tell(*values):
    """How the arguments arrive."""
    return [(type(value).__name__, getattr(value, 'readonly', None), len(value), bytes(value[:2])) for value in values]


def echo(value):
    return value


def echo_both(value, other):
    return value, other


def fill(number):
    return bytes([number % 256]) * LARGE


def count_own_memory():
    """The bytes that this process shares with no other."""
    with open('/proc/self/status', encoding='ascii') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('RssAnon')) << 10


@test('/python/large/bytes-arrive-as-views')
def _():
    data = bytes(range(256)) * (LARGE // 256)
    kinds = ('bytes', 'bytearray', 'memoryview') if IS_THREADING else ('memoryview',) * 3
    with make_pool(2) as pool:
        arrived = pool.map(tell, [(data, bytearray(data), memoryview(data))] * 6)
        for values in arrived:
            expect_equal(tuple(kind for kind, _, _, _ in values), kinds)
            expect_equal([(size, begin) for _, _, size, begin in values], [(LARGE, data[:2])] * 3)
            if not IS_THREADING:
                expect(all(readonly for _, readonly, _, _ in values), 'the arguments can be written')
        expect_equal([kind for kind, *_ in pool.apply(tell, (data, b'small'))], [kinds[0], 'bytes'])


@test('/python/large/results-come-back')
def _():
    with make_pool(2) as pool:
        for number, result in enumerate(pool.imap(fill, range(40), iterable_len=40)):
            expect(result == fill(number), f'result {number} is another')
        results = pool.map(echo_both, [(fill(n), array.array('d', range(n, n + LARGE // 8))) for n in range(6)])
        for number, (value, numbers) in enumerate(results):
            expect(value == fill(number), f'result {number} is another')
            expect_equal((numbers[0], len(numbers)), (number, LARGE // 8))


@test('/python/large/results-outlive-the-pool')
def _():
    with make_pool(2) as pool:
        results = pool.map(fill, range(8), chunk_size=1)
        late = [pool.apply_async(fill, (n,)) for n in range(4)]
        pool.stop_and_join()
    expect(all(result == fill(n) for n, result in enumerate(results)), 'a result of the map has changed')
    expect(all(result.get() == fill(n) for n, result in enumerate(late)), 'a result of an apply has changed')


@test('/python/large/numpy-arrays-there-and-back')
def _():
    numpy = load_numpy()
    rows = numpy.random.default_rng(1).random((64, LARGE // 64))
    with make_pool(2) as pool:
        for order in 'CF':
            expect((pool.map(numpy.negative, numpy.array(rows, order=order), chunk_size=16) == -rows).all(), order)
        back = pool.map(echo, [row for row in rows.reshape(4, -1)], concatenate_numpy_output=False)
        expect(all((one == other).all() for one, other in zip(back, rows.reshape(4, -1))), 'an array is another')


def stash(state, number, value):
    state.setdefault('values', []).append((number, value))
    return all(stashed[:4] == bytes([number % 256]) * 4 and stashed[-4:] == bytes([number % 256]) * 4
               for number, stashed in state['values'])


@test('/python/large/arguments-stay-as-long-as-they-are-held')
def _():
    with make_pool(2, use_worker_state=True) as pool:
        answers = pool.map(stash, ((n, fill(n)) for n in range(60)), iterable_len=60, chunk_size=1)
    expect(all(answers), 'an argument that was held has changed')


@test('/python/large/shared-objects-are-there-once')
def _():
    numpy = load_numpy()
    table = numpy.arange(32 * LARGE, dtype='u1')

    def total(shared, number):
        before = count_own_memory()
        value = int(shared['table'][number::4096].sum())
        return value, count_own_memory() - before, shared['text']
    expected = [int(table[n::4096].sum()) for n in range(8)]
    with make_pool(4, shared_objects={'table': table, 'text': 'x'}) as pool:
        for _ in range(2):
            answers = pool.map(total, range(8), chunk_size=1)
            expect_equal([(value, text) for value, _, text in answers], [(value, 'x') for value in expected])
            expect(all(own < 16 * LARGE for _, own, _ in answers), 'a worker has a copy')


@test('/python/large/a-death-does-no-harm-to-the-others')
def _():
    if IS_THREADING:
        raise Skip('threads cannot be killed')

    def die_or_echo(number, value):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return value
    with make_pool(2) as pool:
        for _ in range(3):
            results = [pool.apply_async(die_or_echo, (n, fill(n))) for n in range(6)]
            for number, result in enumerate(results):
                result.wait()
                expect_equal(result.successful(), number != 2, f'the success of call {number}')
                if number != 2:
                    expect(result.get() == fill(number), f'result {number} is another')


@test('/python/large/dropped-iterators-do-no-harm')
def _():
    with make_pool(2, keep_alive=True) as pool:
        for _ in range(5):
            results = pool.imap(fill, range(100), iterable_len=100)
            expect(next(results) == fill(0), 'the first result is another')
            del results
        expect(all(result == fill(n) for n, result in enumerate(pool.map(fill, range(10)))), 'a result is another')


@test('/python/large/what-nobody-asks-for-takes-no-memory')
def _():
    if IS_THREADING:
        raise Skip('threads share their objects')

    def count_shared_memory():
        """Of this worker's results."""
        files = [os.path.join('/proc/self/fd', name) for name in os.listdir('/proc/self/fd')]
        return sum(os.stat(file).st_blocks * 512 for file in files
                   if os.path.islink(file) and 'workerpool-arena' in os.readlink(file))
    with make_pool(1) as pool:
        pool.apply(fill, (0,))
        before = pool.apply(count_shared_memory)
        for number in range(60):
            result = pool.apply_async(fill, (number,))
            result.wait()
            del result
        expect(pool.apply(count_shared_memory) < before + 20 * LARGE, 'results that nobody has asked for are kept')


@test('/python/large/what-cannot-travel-is-named')
def _():
    if IS_THREADING:
        raise Skip('threads share their objects')
    with make_pool(1) as pool:
        for call, words in ((lambda: pool.map(echo, [1, (2, (n for n in ()))]), ("'generator'", 'argument 2 of item 1')),
                            (lambda: pool.apply(echo, ((n for n in ()),)), ("'generator'", 'argument')),
                            (lambda: pool.apply(lambda: (fill(1), open('/dev/null', 'rb'))), ('BufferedReader',))):
            try:
                call()
            except Exception as error:
                for word in words:
                    expect(word in str(error), f'{word!r} is not in {str(error)!r}')
            else:
                raise AssertionError('it travelled')
        expect_equal(pool.apply(echo, (5,)), 5)


main()
