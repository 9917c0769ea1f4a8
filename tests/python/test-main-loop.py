#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A pool beside a GLib main loop: the loop turns, and callbacks come in it."""

import os
import select
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from pools import IS_THREADING, PATIENCE_S, main, make_pool, pool_test, wait_for  # noqa: E402
from tap import expect, expect_equal  # noqa: E402

from gi.repository import GLib  # noqa: E402
import workerpool  # noqa: E402

# The argument with which this program is another one.
WITNESS = 'be-witness'

INTERVAL_MS = 5
LATE_MS = 20
# Ten seconds of work for the processors.
N_TASKS = 200
TASK_S = 0.05
N_JOBS = 2
# A machine that is busy makes each timer late now and then. One that a map makes late is so always.
ATTEMPTS = 3


def square(number):
    return number * number


def refuse(number):
    raise LookupError(f'no {number}')


def work(seconds):
    """Keeps a processor busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds


class Timer:
    """Ticks in a main context, and notes how late it was."""

    def __init__(self, context):
        self.most_ms = 0
        self._source = GLib.timeout_source_new(INTERVAL_MS)
        self._source.set_callback(self._on_tick)
        self._source.attach(context)
        self._last = time.monotonic()

    def _on_tick(self, data):
        now = time.monotonic()
        self.most_ms = max(self.most_ms, (now - self._last) * 1000 - INTERVAL_MS)
        self._last = now
        return GLib.SOURCE_CONTINUE

    def stop(self):
        """How late it was at most, in milliseconds."""
        self._on_tick(None)
        self._source.destroy()
        return self.most_ms


def measure(start):
    """Runs a main loop until what start () has begun calls the function that it got. Returns how late a timer was."""
    loop = GLib.MainLoop()
    timer = Timer(loop.get_context())
    outcome = []

    def end(result):
        outcome.append(result)
        loop.quit()

    def begin(data):
        start(end)
        return GLib.SOURCE_REMOVE

    GLib.idle_add(begin, None)
    loop.run()
    return timer.stop(), outcome[0]


class Witness:
    """A process that has a main loop with such a timer, and nothing else to do."""

    def __init__(self):
        self._process = subprocess.Popen([sys.executable, __file__, WITNESS], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, encoding='utf-8')
        self._process.stdout.readline()

    def stop(self):
        """How late its timer was at most, in milliseconds."""
        with self._process:
            return float(self._process.communicate()[0])


def be_witness():
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IO_HUP, lambda *args: loop.quit())
    print('ready', flush=True)
    timer = Timer(loop.get_context())
    loop.run()
    print(timer.stop())


if not IS_THREADING:
    # Python runs one thread at a time: with workers that are threads the loop has its turn after each of them.
    @pool_test('main-loop/goes-on-while-a-map-runs')
    def _():
        seen = []
        for _ in range(ATTEMPTS):
            with make_pool(N_JOBS) as pool:
                witness = Witness()
                late, results = measure(lambda end: pool.map_async(work, [TASK_S] * N_TASKS, callback=end))
                usual = witness.stop()
            expect_equal(results, [TASK_S] * N_TASKS, 'the results')
            seen.append((round(late, 1), round(usual, 1)))
            if late <= LATE_MS + 2 * usual:
                return
        raise AssertionError(f'the timer, and one in a process of its own, were late by so many ms: {seen}')


@pool_test('main-loop/stands-still-in-a-map-that-blocks')
def _():
    # What the tests above would see if a map held up the loop.
    with make_pool(N_JOBS) as pool:
        late, results = measure(lambda end: end(pool.map(work, [TASK_S] * 4)))
    expect(late > LATE_MS, f'the timer was late by {late} ms only')


@pool_test('main-loop/goes-on-while-a-source-blocks')
def _():
    reader, writer = os.pipe()
    released = []

    def items():
        yield 1
        # The loop writes to it, if it turns.
        released.append(select.select([reader], [], [], PATIENCE_S)[0])
        yield 2

    with make_pool(N_JOBS) as pool:
        def start(end):
            pool.map_async(square, items(), callback=end)
            GLib.timeout_add(INTERVAL_MS, lambda: os.write(writer, b'x') and False)
        results = measure(start)[1]
    expect_equal((results, released), ([1, 4], [[reader]]), 'the results, and what came while the source waited')
    os.close(reader)
    os.close(writer)


@pool_test('main-loop/callbacks-come-in-it')
def _():
    seen = []
    with make_pool() as pool:
        loop = GLib.MainLoop()

        def on_results(results):
            seen.append((threading.current_thread(), results))
            pool.apply_async(square, (5,), callback=on_result)

        def on_result(result):
            seen.append((threading.current_thread(), result))
            pool.map_async(refuse, [7], error_callback=on_error)

        def on_error(error):
            seen.append((threading.current_thread(), str(error)))
            loop.quit()

        def begin():
            pool.map_async(square, range(4), callback=on_results)
        GLib.idle_add(begin)
        loop.run()
    me = threading.current_thread()
    expect_equal(seen, [(me, [0, 1, 4, 9]), (me, 25), (me, 'no 7')], 'the threads and values of the callbacks')


@pool_test('main-loop/callbacks-come-in-the-context-of-the-call')
def _():
    seen = []

    def use_another():
        context = GLib.MainContext()
        context.push_thread_default()
        try:
            loop = GLib.MainLoop(context)
            with make_pool() as pool:
                pool.map_async(square, range(4), callback=lambda results: (
                    seen.append((threading.current_thread(), results)), loop.quit()))
                loop.run()
        finally:
            context.pop_thread_default()
    thread = threading.Thread(target=use_another)
    thread.start()
    thread.join(PATIENCE_S)
    expect_equal(seen, [(thread, [0, 1, 4, 9])], 'the thread and value of the callback')


@pool_test('main-loop/without-it-callbacks-come-to-who-asks')
def _():
    with make_pool() as pool:
        for ask in (lambda result: result.get(), lambda result: result.wait(),
                    lambda result: wait_for(result.ready, 'the end of a map'),
                    lambda result: pool.stop_and_join()):
            seen = []
            ask(pool.map_async(square, range(4), callback=lambda results: (
                seen.append((threading.current_thread(), results)))))
            expect_equal(seen, [(threading.current_thread(), [0, 1, 4, 9])],
                         'the thread and value of the callback')


@pool_test('main-loop/blocking-calls-do-not-iterate-it')
def _():
    turned = []
    source = GLib.idle_add(lambda: turned.append(1) or GLib.SOURCE_CONTINUE)
    with make_pool() as pool:
        pool.map(square, range(10))
        pool.apply(square, (3,))
        pool.map_async(square, range(10)).get()
        list(pool.imap(square, range(10)))
        pool.stop_and_join()
    GLib.source_remove(source)
    expect_equal(turned, [], 'how often the loop turned in calls that block')


@pool_test('main-loop/ctrl-c-cancels-a-coroutine')
def _():
    script = '''
import workerpool, signal, sys
def hold(number):
    signal.pause()
async def work(pool):
    result = pool.map_async(hold, range(10))
    print('running', flush=True)
    try:
        await result
    finally:
        print('cancelled', flush=True)
with workerpool.WorkerPool(2, start_method='forkserver') as pool:
    try:
        workerpool.run(work(pool))
    except KeyboardInterrupt:
        print('interrupted', flush=True)
'''
    process = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, encoding='utf-8')
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        expect_equal(process.stdout.readline(), 'running\n', 'the first line')
        process.send_signal(signal.SIGINT)
        expect_equal(process.communicate()[0], 'cancelled\ninterrupted\n', 'what follows')
        expect_equal(process.returncode, 0, 'the status')
    finally:
        timer.cancel()
        process.kill()
        process.wait()


@pool_test('main-loop/spawned-coroutines-share-it')
def _():
    with make_pool() as pool:
        async def first():
            return await pool.map_async(square, range(3))

        async def second():
            task = workerpool.spawn(first())
            return await pool.apply_async(square, (9,)), await task
        expect_equal(workerpool.run(second()), (81, [0, 1, 4]), 'the results')


if sys.argv[1:] == [WITNESS]:
    be_witness()
else:
    main()
