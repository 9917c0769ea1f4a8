#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What goes wrong in a task, and how its caller hears of it."""

import ctypes
import os
import signal
import sys
import threading

from pools import IS_THREADING, Gate, main, make_pool, pool_test, raises
from tap import expect, expect_equal

from workerpool import SerializationError, WorkerDiedError


class TaskError(Exception):
    """One with arguments of its own."""

    def __init__(self, name, number):
        super().__init__(f'{name} {number}')
        self.name = name
        self.number = number

    def __reduce__(self):
        return TaskError, (self.name, self.number)


def echo(x):
    return x


def fail_at_seven(x):
    if x == 7:
        raise TaskError('seven', x)
    return x


def call(function):
    return function()


@pool_test('errors/exception-of-a-task-has-its-type-and-the-worker-s-traceback')
def _():
    with make_pool() as pool:
        for method in (pool.map, pool.map_unordered, lambda *args: list(pool.imap(*args)),
                       lambda *args: list(pool.imap_unordered(*args)),
                       lambda function, items: pool.apply(function, (7,))):
            with raises(TaskError, 'seven 7') as caught:
                method(fail_at_seven, range(100))
            expect_equal((caught[0].name, caught[0].number), ('seven', 7))
            expect("raise TaskError('seven', x)" in str(caught[0].__cause__), f'{caught[0].__cause__} is no traceback')
        expect_equal(pool.map(echo, range(5)), list(range(5)))


@pool_test('errors/results-before-the-failed-task-are-given')
def _():
    with make_pool(1) as pool:
        results = pool.imap(fail_at_seven, range(100), chunk_size=1)
        expect_equal([next(results) for _ in range(7)], list(range(7)))
        with raises(TaskError):
            next(results)
        expect_equal(list(results), [])


if not IS_THREADING:
    @pool_test('errors/what-cannot-be-sent-is-named')
    def _():
        with make_pool() as pool:
            with raises(SerializationError, 'generator'):
                pool.map(echo, [1, (x for x in ())])
            with raises(SerializationError, 'lock'):
                pool.map(lambda x: threading.Lock(), [1, 2])
            with raises(SerializationError, 'lock'):
                pool.apply(echo, (threading.Lock(),))
            with raises(SerializationError, 'generator'):
                pool.apply(lambda: (x for x in ()))
            expect_equal(pool.map(echo, range(5)), list(range(5)))

    @pool_test('errors/death-of-a-worker')
    def _():
        with make_pool() as pool:
            for end, words in ((lambda: os._exit(3), '3'), (lambda: os.kill(os.getpid(), signal.SIGKILL), 'signal 9'),
                               (lambda: ctypes.string_at(0), 'signal 11')):
                with raises(WorkerDiedError, words) as caught:
                    pool.map(call, [end])
                expect('call() with item 0' in str(caught[0]), str(caught[0]))
                with raises(WorkerDiedError, words):
                    pool.apply(end)
            expect(isinstance(caught[0], RuntimeError), 'it is no RuntimeError')
            # Others go on.
            died = pool.apply_async(os._exit, (1,))
            expect_equal(pool.apply(echo, (5,)), 5)
            with raises(WorkerDiedError):
                died.get()

    @pool_test('errors/killed-workers-lose-nothing-and-repeat-nothing')
    def _():
        def work(killers, x):
            if x in killers:
                # Only the first time.
                try:
                    os.mkdir(killers[x])
                except FileExistsError:
                    return x
                os.kill(os.getpid(), signal.SIGKILL)
            return x

        with Gate() as gate, make_pool() as pool:
            pool.set_shared_objects({x: os.path.join(gate.folder, str(x)) for x in range(0, 2000, 211)})
            pool.set_max_retries(1)
            expect_equal(pool.map(work, range(2000)), list(range(2000)))
            expect_equal(sorted(pool.imap_unordered(work, range(2000))), list(range(2000)))

    @pool_test('errors/workers-that-others-kill-lose-nothing')
    def _():
        with Gate() as gate, make_pool(keep_alive=True) as pool:
            pool.set_max_retries(3)
            pids = []
            results = pool.imap(gate.hold, range(8), max_tasks_active=8)
            puller = threading.Thread(target=lambda: pids.extend(results))
            puller.start()
            for pid in gate.wait_for_holders(2):
                os.kill(pid, signal.SIGKILL)
            gate.wait_for_holders(4)
            gate.open()
            puller.join()
            expect_equal(pids, list(range(8)))


@pool_test('errors/exits-and-exhaustion-in-a-task')
def _():
    def recurse():
        return recurse() + 1

    def exhaust():
        return bytearray(1 << 60)

    def interrupt():
        raise KeyboardInterrupt

    with make_pool() as pool:
        for function, kind in ((sys.exit, SystemExit), (recurse, RecursionError), (exhaust, MemoryError),
                               (interrupt, KeyboardInterrupt)):
            with raises(kind):
                pool.apply(function)
            with raises(kind):
                pool.map(call, [function])
        expect_equal(pool.map(echo, range(5)), list(range(5)))


@pool_test('errors/stop-iteration-is-an-error-and-no-end')
def _():
    def stop(x):
        raise StopIteration

    with make_pool() as pool:
        with raises(RuntimeError, 'StopIteration'):
            pool.map(stop, range(5))


@pool_test('errors/init-function-that-raises-fails-the-map')
def _():
    def refuse():
        raise TaskError('init', 1)

    with make_pool() as pool:
        with raises(TaskError, 'init 1') as caught:
            pool.map(echo, range(5), worker_init=refuse)
        expect('refuse' in str(caught[0].__cause__), f'{caught[0].__cause__} is no traceback')
        expect_equal(pool.map(echo, range(5)), list(range(5)))


@pool_test('errors/exit-function-that-raises-fails-the-map')
def _():
    def refuse():
        raise TaskError('exit', 1)

    with make_pool() as pool:
        with raises(TaskError, 'exit 1'):
            pool.map(echo, range(5), worker_exit=refuse)
        expect_equal(pool.map(echo, range(5)), list(range(5)))


if not IS_THREADING:
    # A thread cannot be stopped: its task ends when it ends.
    @pool_test('errors/time-limits')
    def _():
        with Gate() as gate, make_pool() as pool:
            with raises(TimeoutError, 'item 0'):
                pool.map(gate.hold, [1], task_timeout=0.05)
            with raises(TimeoutError):
                pool.apply(gate.hold, (2,), task_timeout=0.05)
            with raises(TimeoutError):
                pool.map(echo, [1], worker_init=gate.hold, worker_init_timeout=0.05)
            with raises(TimeoutError):
                pool.map(echo, [1], worker_exit=gate.hold, worker_exit_timeout=0.05)
            expect_equal(pool.map(echo, [1], task_timeout=30), [1])


main()
