#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How pools begin and end, and how long their workers live."""

import os
import subprocess
import sys
import threading

from pools import IS_THREADING, METHOD, Gate, main, make_pool, pool_test, raises, wait_for
from tap import expect, expect_equal

from workerpool import WorkerPool


def echo(x):
    return x


def whoami(*args):
    return os.getpid(), threading.get_ident() if IS_THREADING else 0


@pool_test('lifecycle/pool-can-be-used-after-any-end')
def _():
    pool = make_pool()
    for end in (pool.stop_and_join, pool.join, pool.terminate, pool.terminate):
        expect_equal(pool.map(echo, range(5)), list(range(5)))
        expect_equal(pool.apply(echo, (1,)), 1)
        end()
        expect_equal(pool.get_n_workers(), 0)
    pool.stop_and_join()


@pool_test('lifecycle/dropped-pool-ends')
def _():
    pool = make_pool(keep_alive=True)
    pool.map(echo, range(5))
    del pool


@pool_test('lifecycle/keep-alive')
def _():
    with make_pool(keep_alive=True) as pool:
        first = set(pool.map(whoami, range(20)))
        expect_equal(set(pool.map(whoami, range(20))) - first if len(first) == 2 else set(), set())
        expect(pool.get_n_workers() > 0, 'the workers have ended with the map')
        pool.set_keep_alive(False)
        pool.map(echo, range(5))
        expect_equal(pool.get_n_workers(), 0)


@pool_test('lifecycle/init-and-exit-functions')
def _():
    def begin(state):
        state['n'] = 0

    def work(state, x):
        state['n'] += 1
        return x

    def end(state):
        return state['n']

    with make_pool(use_worker_state=True) as pool:
        expect_equal(pool.get_exit_results(), [])
        for _ in range(2):
            expect_equal(pool.map(work, range(200), worker_init=begin, worker_exit=end), list(range(200)))
            expect_equal(sum(pool.get_exit_results()), 200)
        pool.set_keep_alive()
        pool.map(work, range(200), worker_init=begin, worker_exit=end)
        pool.map(work, range(200), worker_init=begin, worker_exit=end)
        pool.stop_and_join()
        expect_equal(sum(pool.get_exit_results()), 400)


@pool_test('lifecycle/exit-results-may-be-large')
def _():
    with make_pool() as pool:
        pool.map(echo, range(20), worker_exit=lambda: b'x' * 300_000)
        expect(all(bytes(result) == b'x' * 300_000 for result in pool.get_exit_results()), 'others came')
        expect(pool.get_exit_results(), 'there are none')


@pool_test('lifecycle/lifespan')
def _():
    def begin(state):
        state['n'] = 0

    def count(state, x):
        state['n'] += 1
        return state['n']

    with make_pool(use_worker_state=True) as pool:
        expect(max(pool.map(count, range(20), worker_init=begin, worker_lifespan=3)) <= 3, 'a worker lived longer')


@pool_test('lifecycle/ordered-tasks')
def _():
    with make_pool(order_tasks=True, pass_worker_id=True) as pool:
        ids = pool.map(lambda worker_id, x: worker_id, range(20), chunk_size=2)
        expect_equal(ids, [n // 2 % 2 for n in range(20)])


@pool_test('lifecycle/shared-objects-are-seen-by-all')
def _():
    import numpy

    array = numpy.arange(100_000)
    with make_pool(shared_objects={'array': array, 'bytes': b'y' * 100_000}) as pool:
        expect_equal(pool.map(lambda shared, n: (int(shared['array'][n]), bytes(shared['bytes'][n:n + 2])), range(10)),
                     [(n, b'yy') for n in range(10)])


@pool_test('lifecycle/nested-pools')
def _():
    def inner(method, x):
        with WorkerPool(2, start_method=method) as pool:
            return sum(pool.map(echo, range(x)))

    with make_pool() as pool:
        with raises(AssertionError, 'daemon'):
            pool.map(inner, [('spawn', 3)])
    with make_pool(daemon=False) as pool:
        for method in ('spawn', 'fork', 'forkserver', 'threading'):
            if IS_THREADING and method == 'fork':
                continue
            expect_equal(pool.map(inner, [(method, 3), (method, 4)]), [3, 6], f'with {method} inside')


@pool_test('lifecycle/raw-calls-beside')
def _():
    from gi.repository import GLib, WorkerPool as Wp

    expect(WorkerPool is Wp.WorkerPool, 'there are two classes')
    pool = Wp.WorkerPool.new(2)
    expect(isinstance(pool, WorkerPool), 'it is of another class')
    expect_equal(pool.map(echo, range(3)), [0, 1, 2])
    pool.stop_and_join()
    with make_pool() as pool:
        pool.apply(echo, (1,))
        with raises(GLib.Error, 'no-such-function'):
            pool.apply('no-such-function', GLib.Variant('i', 3), None, None)
        with raises(TypeError):
            pool.map('no-such-function', [1, 2], None, None)


SCRIPT = '''
import sys, threading
from gi.repository import GLib
from workerpool import WorkerPool

def show(pool):
    print(pool.props.start_method.value_nick, flush=True)

if sys.argv[1] == 'plain':
    show(WorkerPool(1))
elif sys.argv[1] == 'thread':
    done = threading.Event()
    threading.Thread(target=done.wait, name='another').start()
    show(WorkerPool(1))
    show(WorkerPool(1, start_method='fork'))
    done.set()
elif sys.argv[1] == 'loop':
    loop = GLib.MainLoop()
    GLib.idle_add(lambda: (show(WorkerPool(1)), show(WorkerPool(1)), loop.quit()) and False)
    loop.run()
'''

if METHOD == 'fork':
    @pool_test('lifecycle/default-start-method')
    def _():
        def run(how):
            done = subprocess.run([sys.executable, '-c', SCRIPT, how], capture_output=True, text=True, check=True,
                                  stdin=subprocess.DEVNULL)
            return done.stdout.split(), done.stdout + done.stderr

        expect_equal(run('plain')[0], ['fork'])
        methods, log = run('thread')
        expect_equal(methods[-2:], ['forkserver', 'fork'])
        expect('other threads (another)' in log, log)
        methods, log = run('loop')
        expect_equal(methods[-2:], ['forkserver', 'forkserver'])
        expect_equal(log.count('runs a main loop'), 1, 'how often the log says so')

    @pool_test('lifecycle/fork-sees-what-cannot-be-pickled')
    def _():
        lock = threading.Lock()
        with make_pool() as pool:
            expect_equal(pool.map(lambda x: (lock.locked(), x), range(3)), [(False, x) for x in range(3)])
            expect_equal(pool.map(lambda x, held=threading.Event(): held.is_set(), range(3)), [False] * 3)


main()
