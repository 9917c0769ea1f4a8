#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Waiting for a pool in coroutines: the same ones under asyncio and under a GLib main loop."""

import asyncio
import sys
import threading

sys.dont_write_bytecode = True
from pools import Gate, IS_THREADING, PATIENCE_S, expect_raises, main, make_pool, pool_test, raises  # noqa: E402
from tap import expect, expect_equal  # noqa: E402

import workerpool  # noqa: E402


class Asyncio:
    run = staticmethod(asyncio.run)

    @staticmethod
    def spawn(coroutine):
        return asyncio.get_running_loop().create_task(coroutine)


DRIVERS = {'asyncio': Asyncio, 'glib': workerpool}


def square(number):
    return number * number


def refuse(number):
    if number == 7:
        raise LookupError(f'no {number}')
    return number


async def expect_to_raise(kind, words, awaitable):
    with raises(kind, words):
        await awaitable


def endless(taken):
    number = 0
    while True:
        taken.append(number)
        yield number
        number += 1


for _name, _driver in DRIVERS.items():
    def run(name, driver_name=_name, driver=_driver):
        """Marks a coroutine that gets a pool and what starts another coroutine."""
        def mark(function):
            @pool_test(f'{driver_name}/{name}')
            def _():
                with make_pool() as pool:
                    driver.run(function(pool, driver.spawn))
        return mark

    @run('map')
    async def _(pool, spawn):
        expect_equal(await pool.map_async(square, range(100)), [n * n for n in range(100)], 'the results')
        expect_equal(await pool.map_async(square, []), [], 'the results of nothing')

    @run('apply')
    async def _(pool, spawn):
        results = [pool.apply_async(square, (n,)) for n in range(10)]
        expect_equal([await result for result in results], [n * n for n in range(10)], 'the results')
        expect_equal(await results[3], 9, 'a result that is awaited again')

    @run('items-as-they-come')
    async def _(pool, spawn):
        seen = [value async for value in pool.imap(square, range(100))]
        expect_equal(seen, [n * n for n in range(100)], 'the results in order')
        seen = [value async for value in pool.imap_unordered(square, range(100))]
        expect_equal(sorted(seen), [n * n for n in range(100)], 'the results out of order')

    @run('errors')
    async def _(pool, spawn):
        await expect_to_raise(LookupError, 'no 7', pool.map_async(refuse, range(20)))
        await expect_to_raise(LookupError, 'no 7', pool.apply_async(refuse, (7,)))
        seen = []
        try:
            async for value in pool.imap(refuse, range(20), chunk_size=1):
                seen.append(value)
        except LookupError as error:
            expect('refuse' in str(error.__cause__), 'the cause does not show where it was raised')
        else:
            raise AssertionError('the error of an item was lost')
        expect_equal(seen, list(range(len(seen))), 'what came before the error')
        expect_equal(await pool.map_async(square, range(5)), [0, 1, 4, 9, 16], 'the results of the next map')

    @run('two-maps-at-once')
    async def _(pool, spawn):
        async def work(k):
            return [value async for value in pool.imap(square, range(k, k + 50))]
        tasks = [spawn(work(k)) for k in (0, 1000)]
        whole = pool.map_async(square, range(2000, 2050))
        for k, task in zip((0, 1000), tasks):
            expect_equal(await task, [n * n for n in range(k, k + 50)], f'the results from {k}')
        expect_equal((await whole)[0], 4000000, 'the first of the map beside')

    @run('a-source-that-never-ends')
    async def _(pool, spawn):
        taken = []
        async for value in pool.imap(square, endless(taken), chunk_size=1):
            if value >= 400:
                break
        # Bundles of tasks that take no time are large, and so are a few of them.
        expect(len(taken) < 1_000_000, f'{len(taken)} items were taken for 20 results')
        expect_equal(await pool.map_async(square, range(3)), [0, 1, 4], 'the results of the next map')

    @run('cancelling-a-coroutine-cancels-its-map')
    async def _(pool, spawn):
        with Gate() as gate:
            async def work():
                await pool.map_async(gate.hold, range(50), chunk_size=1)
            task = spawn(work())
            probe = pool.apply_async(square, (2,))
            await probe
            gate.wait_for_holders()
            task.cancel()
            if IS_THREADING:
                gate.open()
            await expect_to_raise(asyncio.CancelledError, '', task)
            gate.open()
            expect_equal(await pool.map_async(square, range(3)), [0, 1, 4], 'the results of the next map')
            expect(len(gate.list_values()) < 50, 'all tasks of the map have run')

    @run('cancelling-a-coroutine-cancels-its-items')
    async def _(pool, spawn):
        with Gate() as gate:
            async def work():
                async for _ in pool.imap(gate.hold, range(50), chunk_size=1):
                    pass
            task = spawn(work())
            await pool.apply_async(square, (2,))
            gate.wait_for_holders()
            task.cancel()
            if IS_THREADING:
                gate.open()
            await expect_to_raise(asyncio.CancelledError, '', task)
            gate.open()
            expect_equal(await pool.map_async(square, range(3)), [0, 1, 4], 'the results of the next map')
            expect(len(gate.list_values()) < 50, 'all tasks of the map have run')


@pool_test('asyncio/a-time-limit')
def _():
    async def work():
        with make_pool() as pool, Gate() as gate:
            await expect_to_raise(asyncio.TimeoutError, '',
                                asyncio.wait_for(pool.map_async(gate.hold, [0]), 0.05))
            return await pool.apply_async(square, (3,))
    expect_equal(asyncio.run(work()), 9, 'what the pool does next')


@pool_test('asyncio/loops-of-many-threads')
def _():
    sums = []
    with make_pool() as pool:
        async def work(k):
            return sum([value async for value in pool.imap(square, [k] * 30)])
        threads = [threading.Thread(target=lambda k=k: sums.append(asyncio.run(work(k)))) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    expect_equal(sorted(sums), [0, 30, 120], 'the sums')


@pool_test('glib/only-its-own-kind-can-be-awaited')
def _():
    async def work():
        loop = asyncio.new_event_loop()
        try:
            await loop.create_future()
        finally:
            loop.close()
    expect_raises(TypeError, 'spawn ()', workerpool.run, work())


@pool_test('glib/no-coroutine')
def _():
    for wrong in square, None, 3:
        expect_raises(TypeError, 'async def', workerpool.spawn, wrong)


main()
