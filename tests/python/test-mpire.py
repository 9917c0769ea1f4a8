#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What programs that were written for mpire rely on: its features one by one, each under every start method."""

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

sys.dont_write_bytecode = True
from pools import Gate, IS_THREADING, METHOD, PATIENCE_S  # noqa: E402
from pools import expect_raises, main, make_pool, pool_test, wait_for  # noqa: E402
from tap import expect, expect_equal  # noqa: E402

import numpy  # noqa: E402
from workerpool import WorkerPool, chunk_tasks, cpu_count, make_single_arguments  # noqa: E402


def feature(name, in_threads=True):
    """Marks a test of one feature. in_threads: whether it is also one of workers that are threads."""
    if IS_THREADING and not in_threads:
        return lambda function: function
    return pool_test(f'mpire/{name}')


def square(x):
    return x * x


def multiply(x, y):
    return x * y


SQUARES = [n * n for n in range(100)]


# The pool

@feature('n-jobs')
def _():
    with make_pool(None) as pool:
        expect_equal(pool.map(square, range(100)), SQUARES, 'the results of one worker a CPU')
        expect_equal(pool.get_n_jobs(), cpu_count(), 'the number of workers')
    with make_pool(n_jobs=3 * cpu_count()) as pool:
        expect_equal(pool.map(square, range(100)), SQUARES, 'the results of more workers than CPUs')
        expect_equal(pool.get_n_jobs(), 3 * cpu_count(), 'the number of workers')


@feature('by-hand')
def _():
    for end in 'stop_and_join', 'join', 'terminate':
        pool = make_pool(n_jobs=2, keep_alive=True)
        expect_equal(pool.map(square, range(100)), SQUARES, 'the results')
        getattr(pool, end)()


@feature('join-needs-no-results-to-be-taken')
def _():
    with make_pool(n_jobs=2) as pool:
        results = [pool.apply_async(square, (n,)) for n in range(100)]
        pool.stop_and_join()
        expect_equal([result.get() for result in results], SQUARES, 'the results after the join')


def see_worker():
    return os.getpid(), threading.get_ident()


@feature('keep-alive')
def _():
    def see(pool):
        return set(pool.map(lambda _: see_worker(), range(20), chunk_size=1))
    with make_pool(n_jobs=1, keep_alive=True) as pool:
        expect_equal(see(pool), see(pool), 'the workers of a second map')
    with make_pool(n_jobs=1, use_worker_state=True) as pool:
        def count(state, _):
            state['n'] = state.get('n', 0) + 1
            return state['n']
        expect_equal(max(pool.map(count, range(5))), 5, 'the state of the first map')
        expect_equal(max(pool.map(count, range(5))), 5, 'the state of the second map, whose workers are new')
        pool.set_keep_alive()
        pool.map(count, range(5))
        expect_equal(max(pool.map(count, range(5))), 10, 'the state of workers that were kept')


def nest(method, n):
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        return sum(pool.map(square, range(n)))


@feature('daemon-refuses-nested-pools')
def _():
    with make_pool(n_jobs=1) as pool:
        expect_raises(AssertionError, 'daemon', pool.apply, nest, ('spawn', 3))


@feature('nested-pools')
def _():
    with make_pool(n_jobs=2, daemon=False) as pool:
        for method in 'fork', 'spawn', 'forkserver', 'threading':
            sums = pool.map(nest, [(method, 10), (method, 20)])
            expect_equal(sums, [285, 2470], f'the sums of nested {method} pools')


@feature('pools-in-many-threads')
def _():
    sums = []

    def work():
        with make_pool(n_jobs=2) as pool:
            sums.append(sum(pool.map(square, range(100))))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    expect_equal(sums, [sum(SQUARES)] * 4, 'the sums')


# Maps

@feature('map-family')
def _():
    with make_pool(n_jobs=2) as pool:
        expect_equal(pool.map(square, range(100)), SQUARES, 'map')
        expect_equal(sorted(pool.map_unordered(square, range(100))), SQUARES, 'map_unordered')
        expect_equal(list(pool.imap(square, range(100))), SQUARES, 'imap')
        expect_equal(sorted(pool.imap_unordered(square, range(100))), SQUARES, 'imap_unordered')
        for function in pool.map, pool.map_unordered, pool.imap, pool.imap_unordered:
            expect_equal(list(function(square, [])), [], 'a map of nothing')


@feature('two-maps-at-once')
def _():
    with make_pool(n_jobs=2) as pool:
        first, second = pool.imap(square, range(100)), pool.imap(multiply, zip(range(100), range(100)))
        pairs = list(zip(first, second))
        expect_equal(pairs, list(zip(SQUARES, SQUARES)), 'the results in turns')
        third = pool.imap(square, range(100))
        next(third)
        expect_equal(pool.map(square, range(100)), SQUARES, 'a map while an imap runs')
        expect_equal(list(third), SQUARES[1:], 'the rest of that imap')


@feature('arguments')
def _():
    with make_pool(n_jobs=2) as pool:
        expect_equal(pool.map(square, range(5)), [0, 1, 4, 9, 16], 'single values')
        expect_equal(pool.map(multiply, zip(range(5), range(10, 15)), iterable_len=5), [0, 11, 24, 39, 56], 'tuples')
        expect_equal(pool.map(multiply, [[2, 3], [4, 5]]), [6, 20], 'lists')
        expect_equal(pool.map(multiply, [{'x': 2, 'y': 3}, {'y': 4, 'x': 5}]), [6, 20], 'dicts')
        expect_equal(pool.map(len, ['one', 'three']), [3, 5], 'texts')
        whole = make_single_arguments([{'x': 1}, (1, 2, 3)], generator=False)
        expect_equal(pool.map(len, whole), [1, 3], 'single arguments')
        expect_equal(pool.map(lambda **k: sorted(k), [{'b': 1, 'a': 2}]), [['a', 'b']], 'keyword arguments')


@feature('chunks')
def _():
    with make_pool(n_jobs=2) as pool, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for options in ({}, {'chunk_size': 1}, {'chunk_size': 7}, {'chunk_size': 1000}, {'n_splits': 3},
                        {'iterable_len': 100}, {'iterable_len': 100, 'n_splits': 4}):
            source = (x for x in range(100))
            expect_equal(pool.map(square, source, **options), SQUARES, f'a map with {options}')
    for wrong in {'chunk_size': 0}, {'chunk_size': -1}, {'n_splits': 0}, {'max_tasks_active': 0}:
        with make_pool(n_jobs=2) as pool:
            expect_raises(ValueError, next(iter(wrong)), pool.map, square, range(9), **wrong)


@pool_test('mpire/chunk-tasks')
def _():
    expect_equal(list(map(list, chunk_tasks(range(10), n_splits=3))), [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]], 'three')
    expect_equal(list(map(list, chunk_tasks(range(10), chunk_size=2.5))), [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]],
                 'of 2.5')
    parts = chunk_tasks((x for x in range(10)), iterable_len=10, n_splits=6)
    expect_equal(list(map(list, parts)), [[0, 1], [2, 3], [4], [5, 6], [7, 8], [9]], 'six')


@feature('max-tasks-active')
def _():
    taken = []

    def source():
        for number in itertools.count():
            taken.append(number)
            yield number
    with make_pool(n_jobs=2) as pool:
        results = pool.imap(square, source(), max_tasks_active=10, chunk_size=1)
        for n_results in range(1, 200):
            next(results)
            # Ten that are active, and as many whose results have come.
            expect(len(taken) <= n_results + 20, f'{len(taken)} items were taken for {n_results} results')
        results.close()


@feature('iterator-that-is-dropped')
def _():
    with make_pool(n_jobs=2) as pool:
        results = pool.imap(square, itertools.count(), chunk_size=1)
        expect_equal(next(results), 0, 'the first result')
        del results
        expect_equal(pool.map(square, range(100)), SQUARES, 'the next map')


@feature('order-tasks')
def _():
    with make_pool(n_jobs=3, order_tasks=True, pass_worker_id=True) as pool:
        seen = pool.map(lambda worker, _: worker, range(12), chunk_size=2)
        expect_equal(seen, [0, 0, 1, 1, 2, 2] * 2, 'the workers')


@feature('progress-bar')
def _():
    with make_pool(n_jobs=2) as pool:
        for name in 'map', 'map_unordered', 'imap', 'imap_unordered':
            file = io.StringIO()
            options = {'file': file, 'desc': 'Squares', 'ncols': 70}
            list(getattr(pool, name)(square, range(50), progress_bar=True, progress_bar_options=options))
            last = file.getvalue().replace('\r', '\n').splitlines()[-1]
            expect('Squares: 100%' in last and '50/50' in last, f'the last line of {name} is {last!r}')
        file = io.StringIO()
        generator = (n for n in range(50))
        pool.map(square, generator, iterable_len=50, progress_bar=True, progress_bar_options={'file': file})
        expect('50/50' in file.getvalue(), 'iterable_len is not the total')
        expect_raises(ValueError, 'dashboard', pool.map, square, [1], progress_bar=True, progress_bar_style='dashboard')


@feature('progress-bar-rich')
def _():
    with make_pool(n_jobs=2) as pool:
        file = io.StringIO()
        pool.map(square, range(50), progress_bar=True, progress_bar_style='rich', progress_bar_options={'file': file})
        expect('50/50' in file.getvalue(), f'it shows {file.getvalue()!r}')


@feature('numpy')
def _():
    def double(rows):
        return rows * 2
    table = numpy.arange(40).reshape(20, 2)
    with make_pool(n_jobs=2) as pool:
        doubled = pool.map(double, table, chunk_size=3)
        expect(isinstance(doubled, numpy.ndarray) and (doubled == table * 2).all(), f'the rows are {doubled!r}')
        parts = pool.map(double, table, n_splits=4, concatenate_numpy_output=False)
        expect_equal([part.shape for part in parts], [(5, 2)] * 4, 'the shapes of the parts')


# Apply

@feature('apply')
def _():
    def add(a, b, c, d):
        return a + b + c + d
    with make_pool(n_jobs=2) as pool:
        expect_equal(pool.apply(add, args=(1, 2), kwargs={'d': 4, 'c': 3}), 10, 'the sum')
        expect_equal(pool.apply(square, 7), 49, 'the square of a single argument')
        results = [pool.apply_async(add, (n, n), {'c': 0, 'd': 1}) for n in range(10)]
        expect_equal([result.get(PATIENCE_S) for result in results], [2 * n + 1 for n in range(10)], 'the sums')
        expect(results[0].ready() and results[0].successful(), 'a result that is there is not ready')


@feature('async-result')
def _():
    with Gate() as gate, make_pool(n_jobs=1) as pool:
        result = pool.apply_async(gate.hold, ('one',))
        expect(not result.ready(), 'it is ready before its time')
        expect_raises(ValueError, '', result.successful)
        expect_raises(TimeoutError, '', result.get, timeout=0.01)
        result.wait(timeout=0.01)
        gate.open()
        expect_equal(result.get(), 'one', 'the value')


@feature('callbacks')
def _():
    seen = []
    with make_pool(n_jobs=2) as pool:
        pool.apply(square, (3,), callback=seen.append)
        pool.apply_async(square, (4,), callback=seen.append).wait()
        expect_raises(LookupError, 'no 5', pool.apply, refuse, (5,), error_callback=lambda e: seen.append(str(e)))
        pool.stop_and_join()
    expect_equal(seen, [9, 16, 'no 5'], 'what the callbacks got')


def refuse(number):
    raise LookupError(f'no {number}')


# Workers

@feature('what-functions-get')
def _():
    def see(*args):
        return args[:-1]
    for names in itertools.product((False, True), repeat=3):
        with_id, with_objects, with_state = names
        with make_pool(n_jobs=1, pass_worker_id=with_id, use_worker_state=with_state,
                  shared_objects={'k': 'v'} if with_objects else None) as pool:
            wanted = (0,) * with_id + ({'k': 'v'},) * with_objects + ({},) * with_state
            expect_equal(pool.map(see, [9]), [wanted], f'the arguments with {names}')
            expect_equal(pool.apply(see, (9,)), wanted, f'the arguments of an apply with {names}')


@feature('what-functions-get-by-methods')
def _():
    def see(*args):
        return args
    with make_pool(n_jobs=1) as pool:
        pool.pass_on_worker_id()
        pool.set_shared_objects('shared')
        pool.set_use_worker_state()
        expect_equal(pool.map(see, [9]), [(0, 'shared', {}, 9)], 'the arguments')
        pool.pass_on_worker_id(False)
        pool.set_shared_objects(None)
        pool.set_use_worker_state(False)
        expect_equal(pool.map(see, [9]), [(9,)], 'the arguments')


@feature('init-and-exit')
def _():
    def begin(state):
        state['n'] = 0

    def count(state, number):
        state['n'] += 1
        return number

    def end(state):
        return state['n']
    with make_pool(n_jobs=3, use_worker_state=True) as pool:
        pool.map(count, range(90), worker_init=begin, worker_exit=end, chunk_size=1)
        expect_equal(sum(pool.get_exit_results()), 90, 'the sum of the exit results')
    with make_pool(n_jobs=2, use_worker_state=True, keep_alive=True) as pool:
        pool.map(count, range(10), worker_init=begin, worker_exit=end)
        pool.map(count, range(10))
        expect_equal(pool.get_exit_results(), [], 'the exit results of workers that go on')
        pool.stop_and_join()
        expect_equal(sum(pool.get_exit_results()), 20, 'the sum of the exit results after the join')


@feature('init-that-fails')
def _():
    def begin():
        raise LookupError('no model')
    with make_pool(n_jobs=2) as pool:
        expect_raises(LookupError, 'no model', pool.map, square, range(10), worker_init=begin)


@feature('lifespan')
def _():
    def begin(state):
        state['n'] = 0

    def count(state, number):
        state['n'] += 1
        return number

    def end(state):
        return state['n']
    with make_pool(n_jobs=2, use_worker_state=True) as pool:
        expect_equal(pool.map(count, range(40), worker_init=begin, worker_exit=end, worker_lifespan=5, chunk_size=3),
                     list(range(40)), 'the results')
        counts = pool.get_exit_results()
    expect(sum(counts) == 40 and max(counts) <= 5, f'the workers have run {counts} tasks')


@feature('timeouts', in_threads=False)
def _():
    def nap(seconds):
        time.sleep(seconds)
        return seconds
    with make_pool(n_jobs=2) as pool:
        expect_raises(TimeoutError, '', pool.map, nap, [0, 3600, 0], task_timeout=0.2, chunk_size=1)
        expect_equal(pool.map(nap, [0, 0], task_timeout=20), [0, 0], 'a map in time')
        expect_raises(TimeoutError, '', pool.apply, nap, (3600,), task_timeout=0.2)
    with make_pool(n_jobs=2) as pool:
        expect_raises(TimeoutError, '', pool.map, square, range(4), worker_init=lambda: time.sleep(3600),
                      worker_init_timeout=0.2)
    with make_pool(n_jobs=2) as pool:
        expect_raises(TimeoutError, '', pool.map, square, range(4), worker_exit=lambda: time.sleep(3600),
                      worker_exit_timeout=0.2)


@feature('cpu-ids', in_threads=False)
def _():
    cpus = sorted(os.sched_getaffinity(0))

    def see(_):
        return os.sched_getaffinity(0)
    both, each = [set(cpus[:2])], [{cpu} for cpu in cpus[:2]]
    for cpu_ids, wanted in ([cpus[0]], each[:1]), ([cpus[:2]], both), ([[cpu] for cpu in cpus[:2]], each):
        with make_pool(n_jobs=len(cpu_ids), cpu_ids=cpu_ids, order_tasks=True) as pool:
            seen = pool.map(see, range(4), chunk_size=1)
        expect_equal(seen, wanted * (4 // len(wanted)), f'the CPUs of the workers with {cpu_ids}')


@feature('use-dill')
def _():
    offset = 5
    with make_pool(n_jobs=2, use_dill=True) as pool:
        expect_equal(pool.map(lambda x: x + offset, range(3)), [5, 6, 7], 'the results of a closure')
    with make_pool(n_jobs=2) as pool:
        expect_equal(pool.map(lambda x: x + offset, range(3)), [5, 6, 7], 'the results of a closure without the flag')


# What goes wrong

def fail_at(number):
    if number == 7:
        raise LookupError('no photo', number)
    return number


@feature('errors')
def _():
    with make_pool(n_jobs=2) as pool:
        for function in pool.map, pool.map_unordered, pool.imap, pool.imap_unordered:
            error = expect_raises(LookupError, 'no photo', lambda f=function: list(f(fail_at, range(20))))
            expect_equal(error.args, ('no photo', 7), 'the arguments of the error')
            expect('fail_at' in str(error.__cause__), 'the cause does not show where it was raised')
            expect_equal(pool.map(square, range(100)), SQUARES, 'the next map')


def die_at(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@feature('a-dead-worker', in_threads=False)
def _():
    with make_pool(n_jobs=2) as pool:
        expect_raises(RuntimeError, 'worker', pool.map, die_at, range(20))
        results = [pool.apply_async(die_at, (n,)) for n in range(20)]
        for number, result in enumerate(results):
            if number == 7:
                expect_raises(RuntimeError, 'worker', result.get, PATIENCE_S)
            else:
                expect_equal(result.get(PATIENCE_S), number, 'the result of a task beside one that died')


@feature('ctrl-c', in_threads=False)
def _():
    script = f'''
import os, signal, time
from workerpool import WorkerPool
def hold(number):
    # Whole, as the other worker writes too.
    os.write(1, b'%d\\n' % os.getpid())
    time.sleep(3600)
with WorkerPool(2, start_method={METHOD!r}) as pool:
    try:
        pool.map(hold, range(10), chunk_size=1)
    except KeyboardInterrupt:
        print('interrupted', flush=True)
'''
    process = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, encoding='utf-8')
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        expect_equal(process.communicate()[0], 'interrupted\n', 'what follows')
        expect_equal(process.returncode, 0, 'the status')
        wait_for(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in workers), 'the end of the workers')
    finally:
        timer.cancel()
        process.kill()
        process.wait()


# The programs on mpire's page about starting a pool, but for the import and for the work in them.

PAGE = {
    'context-manager': '''
# Start a pool of 4 workers
with WorkerPool(n_jobs=4) as pool:
    # Do some processing here
    work(pool)
''',
    'by-hand': '''
# Start a pool of 4 workers
pool = WorkerPool(n_jobs=4)

# Do some processing here
work(pool)

# Only needed when keep_alive=True:
# Clean up pool (this will block until all processing has completed)
pool.stop_and_join()  # or use pool.join() which is an alias of stop_and_join()

# In the case you want to kill the processes, even though they are still busy
pool.terminate()
''',
    'nested': '''
def job(*args):
    with WorkerPool(n_jobs=4) as p:
        # Do some work
        results = p.map(square, range(10))
    return sum(results)

try:
    with WorkerPool(n_jobs=4, daemon=True, start_method='spawn') as pool:
        # This will raise an AssertionError telling you daemon processes
        # can't start child processes
        pool.map(job, range(3))
except AssertionError as error:
    print('refused')

with WorkerPool(n_jobs=4, daemon=False, start_method='spawn') as pool:
    # This will work just fine
    print(pool.map(job, range(3)))
''',
}
PRINTS = {'context-manager': '285\n', 'by-hand': '285\n', 'nested': 'refused\n[285, 285, 285]\n'}

PREAMBLE = '''
from workerpool import WorkerPool
def square(x):
    return x * x
def work(pool):
    print(sum(pool.map(square, range(10))))
'''

for _name, _text in PAGE.items():
    def _(name=_name, text=_text):
        done = subprocess.run([sys.executable, '-c', PREAMBLE + text], capture_output=True, encoding='utf-8',
                              timeout=PATIENCE_S, check=False)
        expect_equal((done.returncode, done.stdout), (0, PRINTS[name]), f'what it did, saying {done.stderr!r},')
    pool_test(f'mpire/page/{_name}')(_)


main()
