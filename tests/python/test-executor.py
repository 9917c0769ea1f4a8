#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A pool as an executor of concurrent.futures."""

import asyncio
import concurrent.futures
import os
import signal
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
from pools import Gate, IS_THREADING, METHOD, PATIENCE_S  # noqa: E402
from pools import expect_raises, main, make_pool, pool_test, wait_for  # noqa: E402
from tap import expect, expect_equal  # noqa: E402


def power(base, exponent=2):
    return base ** exponent


def fail(text):
    raise LookupError(text)


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def run(name):
    """Marks a test of an executor."""
    def mark(function):
        @pool_test(f'executor/{name}')
        def _():
            with make_pool() as pool:
                function(pool, pool.as_executor())
    return mark


@run('submits')
def _(pool, executor):
    expect(isinstance(executor, concurrent.futures.Executor), 'it is none of concurrent.futures')
    futures = [executor.submit(power, n, exponent=3) for n in range(50)]
    expect_equal([future.result(PATIENCE_S) for future in futures], [n ** 3 for n in range(50)], 'the results')


@run('errors-keep-their-type')
def _(pool, executor):
    future = executor.submit(fail, 'no such photo')
    expect_raises(LookupError, 'no such photo', future.result, PATIENCE_S)
    expect('fail' in str(future.exception().__cause__), 'the cause does not show where it was raised')
    expect_equal(executor.submit(power, 3).result(PATIENCE_S), 9, 'the next result')


@run('as-completed-and-wait')
def _(pool, executor):
    with Gate() as gate:
        held = executor.submit(gate.hold, 'held')
        free = [executor.submit(power, n) for n in range(10)]
        done = [future.result() for future in concurrent.futures.as_completed(free, PATIENCE_S)]
        expect_equal(sorted(done), [n * n for n in range(10)], 'what is completed')
        ended, left = concurrent.futures.wait([held, *free], PATIENCE_S, concurrent.futures.FIRST_COMPLETED)
        expect(held in left and ended == set(free), 'the held one has ended')
        gate.open()
        ended, left = concurrent.futures.wait([held, *free], PATIENCE_S)
        expect_equal(left, set(), 'what is left')


@run('maps')
def _(pool, executor):
    for chunksize in 1, 7, 1000:
        results = executor.map(power, range(100), range(100), chunksize=chunksize)
        expect_equal(list(results), [n ** n for n in range(100)], f'a map in chunks of {chunksize}')
    results = executor.map(power, [2, 'a', 4], chunksize=2)
    expect_raises(TypeError, '', next, results)
    expect_raises(ValueError, 'chunksize is 0', executor.map, power, [1], chunksize=0)


@run('map-has-a-timeout')
def _(pool, executor):
    with Gate() as gate:
        results = executor.map(gate.hold, ['one'], timeout=0.01)
        expect_raises(concurrent.futures.TimeoutError, '', next, results)


@run('shutdown-waits-and-the-pool-goes-on')
def _(pool, executor):
    futures = [executor.submit(power, n) for n in range(20)]
    executor.shutdown()
    expect(all(future.done() for future in futures), 'shutdown has not waited')
    expect_raises(RuntimeError, 'shut down', executor.submit, power, 1)
    expect_equal(pool.apply(power, (5,)), 25, 'what the pool does afterwards')
    with pool.as_executor() as another:
        future = another.submit(power, 6)
    expect_equal(future.result(0), 36, 'what another executor has done')


@run('shutdown-cancels')
def _(pool, executor):
    with Gate() as gate:
        futures = [executor.submit(gate.hold, n) for n in range(30)]
        gate.wait_for_holders(2)
        executor.shutdown(wait=False, cancel_futures=True)
        cancelled = [future for future in futures if future.cancelled()]
        expect(len(cancelled) >= 20, f'only {len(cancelled)} futures were cancelled')
        gate.open()
        executor.shutdown()
        ran = [str(n) for n, future in enumerate(futures) if not future.cancelled()]
        expect_equal(gate.list_values(), sorted(ran), 'what ran')
        expect_equal([future.result(0) for future in futures if not future.cancelled()], list(map(int, ran)),
                     'the results')


@run('a-waiting-call-is-cancelled')
def _(pool, executor):
    with Gate() as gate:
        held = [executor.submit(gate.hold, n) for n in range(10)]
        last = executor.submit(gate.hold, 'last')
        expect(last.cancel(), 'it could not be cancelled')
        gate.wait_for_holders(2)
        expect(not held[0].cancel(), 'one that runs was cancelled')
        gate.open()
        executor.shutdown()
        expect('last' not in gate.list_values(), 'a cancelled call ran')


@run('asyncio')
def _(pool, executor):
    async def work():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, power, n) for n in range(20)))
    expect_equal(asyncio.run(work()), [n * n for n in range(20)], 'the results')


@run('many-threads')
def _(pool, executor):
    sums = []

    def work(k):
        sums.append(sum(future.result(PATIENCE_S) for future in [executor.submit(power, k) for _ in range(50)]))
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    expect_equal(sorted(sums), [50 * k * k for k in range(4)], 'the sums')


@run('leaving-the-pool-ends-all-futures')
def _(pool, executor):
    with Gate() as gate:
        futures = [executor.submit(gate.hold, n) for n in range(30)]
        gate.wait_for_holders(2)
        if IS_THREADING:
            gate.open()
        pool.terminate()
        wait_for(lambda: all(future.done() for future in futures), 'the end of the futures')

if not IS_THREADING:
    # Threads that run while the interpreter is taken down may still use what is gone.
    @pool_test('executor/a-program-ends-while-calls-run')
    def _():
        script = (f'import time\nfrom workerpool import WorkerPool\npool = WorkerPool(2, start_method={METHOD!r})\n'
                  'pool.apply(abs, (1,))\nexecutor = pool.as_executor()\n'
                  'left = [executor.submit(time.sleep, 3600) for _ in range(9)], pool.map_async(time.sleep, [3600] * 9)\n')
        done = subprocess.run([sys.executable, '-c', script], capture_output=True, encoding='utf-8', timeout=PATIENCE_S,
                              check=False)
        expect_equal((done.returncode, done.stdout), (0, ''), f'the end of a program that says {done.stderr!r},')

    @run('a-death-costs-one-future')
    def _(pool, executor):
        before = [executor.submit(power, n) for n in range(20)]
        dying = executor.submit(die, 0)
        after = [executor.submit(power, n) for n in range(20)]
        error = expect_raises(concurrent.futures.BrokenExecutor, 'worker', dying.result, PATIENCE_S)
        expect('9' in str(error), f'{str(error)!r} does not tell of the signal')
        expect_equal([future.result(PATIENCE_S) for future in before + after], [n * n for n in range(20)] * 2,
                     'the other results')


main()
