#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The apply family."""

import sys
import threading

from pools import Gate, main, make_pool, pool_test, raises, wait_for  # noqa: E402
from tap import expect, expect_equal  # noqa: E402


def add(a, b=0):
    return a + b


def divide(a, b):
    return a / b


@pool_test('apply/returns-the-result')
def _():
    with make_pool() as pool:
        expect_equal(pool.apply(add, (1, 2)), 3)
        expect_equal(pool.apply(add, 1), 1)
        expect_equal(pool.apply(add, (1,), {'b': 5}), 6)
        with raises(ZeroDivisionError):
            pool.apply(divide, (1, 0))


@pool_test('apply/many-are-in-flight')
def _():
    with make_pool() as pool:
        results = [pool.apply_async(add, (n, 1)) for n in range(1000)]
        expect_equal([result.get() for result in results], [n + 1 for n in range(1000)])
        expect(all(result.ready() and result.successful() for result in results), 'not all have ended well')


@pool_test('apply/result-can-be-asked')
def _():
    with Gate() as gate, make_pool() as pool:
        result = pool.apply_async(gate.hold, (5,))
        expect(not result.ready(), 'it has ended before it may')
        with raises(ValueError, 'not ended'):
            result.successful()
        with raises(TimeoutError, '0.01'):
            result.get(timeout=0.01)
        result.wait(0.01)
        gate.open()
        expect_equal(result.get(), 5)
        expect(result.ready() and result.successful(), 'it has not ended well')
        failed = pool.apply_async(divide, (1, 0))
        failed.wait()
        expect(failed.ready() and not failed.successful(), 'it has ended well')
        for _ in range(2):
            with raises(ZeroDivisionError):
                failed.get()


@pool_test('apply/callbacks-are-called-without-a-get')
def _():
    values, errors = [], []
    with make_pool() as pool:
        for n in range(10):
            pool.apply_async(divide, (1, n % 2), callback=values.append, error_callback=errors.append)
        wait_for(lambda: len(values) + len(errors) == 10, 'the callbacks')
    expect_equal(values, [1.0] * 5)
    expect_equal([type(error) for error in errors], [ZeroDivisionError] * 5)


@pool_test('apply/join-waits-for-what-is-in-flight')
def _():
    pool = make_pool()
    results = [pool.apply_async(add, (n,)) for n in range(100)]
    pool.stop_and_join()
    expect_equal([result.get() for result in results], list(range(100)))
    expect_equal(pool.apply(add, (1, 1)), 2)
    pool.stop_and_join()


@pool_test('apply/join-may-keep-the-workers')
def _():
    with make_pool() as pool:
        results = [pool.apply_async(add, (n,)) for n in range(100)]
        pool.stop_and_join(keep_alive=True)
        expect(all(result.ready() for result in results), 'it has not waited')
        expect(pool.get_n_workers() > 0, 'no worker is left')


@pool_test('apply/from-many-threads')
def _():
    outcomes = {}
    with make_pool() as pool:
        def run(name):
            outcomes[name] = [pool.apply(add, (n, name)) for n in range(100)]

        threads = [threading.Thread(target=run, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expect_equal(outcomes, {name: [n + name for n in range(100)] for name in range(4)})


@pool_test('apply/beside-a-map')
def _():
    with make_pool() as pool:
        results = [pool.apply_async(add, (n,)) for n in range(100)]
        expect_equal(pool.map(add, range(1000)), list(range(1000)))
        expect_equal([result.get() for result in results], list(range(100)))


@pool_test('apply/what-is-in-flight-fails-with-the-pool')
def _():
    with Gate() as gate:
        with make_pool() as pool:
            result = pool.apply_async(gate.hold)
            gate.wait_for_holders()
        with raises(RuntimeError):
            result.get()


main()
