#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The introspected API as a Python program sees it, without an override."""

import ctypes
import os
import re
import shlex
import signal
import socket
import struct
import sys
import tempfile

import gi

gi.require_version('WorkerPool', '1.0')
from gi.repository import Gio, GLib, GObject, WorkerPool as Wp  # noqa: E402

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tap  # noqa: E402
from tap import Skip, expect, expect_equal  # noqa: E402

MODULE = os.environ['WORKERPOOL_LANGUAGES_MODULE']
SQUARE = f'{MODULE}:square'
FAIL = f'{MODULE}:fail'
FAIL_ODD = f'{MODULE}:fail_odd'
HOLD = f'{MODULE}:hold'
HOLD_ON = f'{MODULE}:hold_on'
OBJECTS = f'{MODULE}:objects'
EMIT = f'{MODULE}:emit'
ECHO = f'{MODULE}:echo'

# How long to wait for what must happen, and between two looks whether it has.
PATIENCE_S = 30
LOOK_INTERVAL_MS = 5


def wait_for(condition, what, context=None):
    """Iterates a main context until the condition holds."""
    context = context or GLib.MainContext.default()
    late = []
    patience = GLib.timeout_source_new_seconds(PATIENCE_S)
    patience.set_callback(late.append)
    patience.attach(context)
    look = GLib.timeout_source_new(LOOK_INTERVAL_MS)
    look.set_callback(lambda data: True)
    look.attach(context)
    try:
        while not condition():
            expect(not late, f'waited in vain for {what}')
            context.iteration(True)
    finally:
        patience.destroy()
        look.destroy()


def settle():
    """Delivers what is on its way to the default main context."""
    while GLib.MainContext.default().iteration(False):
        pass


class Call:
    """An asynchronous call on its way."""

    def __init__(self, begin, end, *args):
        self._end = end
        self.result = None
        begin(*args, self._on_ready)

    def _on_ready(self, source, result):
        self.result = result

    @property
    def ended(self):
        return self.result is not None

    def get(self, context=None):
        wait_for(lambda: self.ended, 'the end of a call', context)
        return self._end(self.result)


def numbers(*values):
    return GLib.Variant('ai', values)


def number(value):
    return GLib.Variant('i', value)


def path(value):
    return GLib.Variant('s', value)


def expect_error(domain, code, function, *args):
    try:
        function(*args)
    except GLib.Error as error:
        expect(error.matches(domain, code), f'{error!r} is not the expected {code!r}')
        return error
    raise AssertionError(f'{code!r} was not raised')


def count_children():
    n = 0
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as file:
                stat = file.read()
        except OSError:
            continue
        if int(stat.rpartition(')')[2].split()[1]) == os.getpid():
            n += 1
    return n


class Hold:
    """Tasks that run until they are let go, as they tell by a file."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._folder.name, 'hold')

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._folder.cleanup()

    @property
    def runs(self):
        return os.path.exists(f'{self.path}.running')

    def let_go(self):
        with open(self.path, 'x', encoding='utf-8'):
            pass


def test(name):
    """A test that must leave no process behind."""
    def mark(function):
        def run():
            function()
            expect_equal(count_children(), 0, 'the number of processes left')
        tap.test(f'/python/{name}')(run)
        return function
    return mark


# Calls

@test('map/results-are-in-the-order-of-the-items')
def _():
    pool = Wp.WorkerPool.new(2)
    results = pool.map(SQUARE, numbers(*range(1000)), None, None)
    expect_equal(results.get_type_string(), 'av')
    expect_equal(results.unpack(), [n * n for n in range(1000)])
    expect(pool.stop_and_join(None), 'not joined')


@test('map/asynchronous-one-ends-in-the-main-loop')
def _():
    pool = Wp.WorkerPool(n_jobs=2)
    call = Call(pool.map_async, pool.map_finish, SQUARE, numbers(1, 2, 3), None, None)
    expect(not call.ended, 'the callback was called before the main loop ran')
    expect_equal(call.get().unpack(), [1, 4, 9])
    pool.stop_and_join(None)


@test('map/continue-leaves-nothing-in-the-place-of-a-failed-task')
def _():
    pool = Wp.WorkerPool.new(2)
    options = Wp.TaskOptions(on_error=Wp.OnError.CONTINUE)
    results = pool.map(FAIL_ODD, numbers(2, 3, 4), options, None)
    expect_equal(results.unpack(), [4, None, 16])
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_DATA,
                 pool.map, FAIL_ODD, numbers(2, 3, 4), None, None)
    pool.stop_and_join(None)


@test('apply/result-comes-in-the-context-of-the-call')
def _():
    pool = Wp.WorkerPool.new(1)
    context = GLib.MainContext.new()
    context.push_thread_default()
    call = Call(pool.apply_async, pool.apply_finish, SQUARE, number(7), None, None)
    context.pop_thread_default()
    # Only that context is iterated.
    expect_equal(call.get(context).unpack(), 49)
    pool.stop_and_join(None)
    settle()


@test('apply/no-arguments-are-the-empty-tuple')
def _():
    pool = Wp.WorkerPool.new(1)
    pool.set_host(python_host())
    expect_equal(pool.apply('echo', None, None, None).get_type_string(), '()')
    pool.stop_and_join(None)


# Signals

@test('signals/pool-tells-of-tasks-and-workers')
def _():
    pool = Wp.WorkerPool.new(1)
    completed, failed, started, exited, drained = [], [], [], [], []
    pool.connect('task-completed', lambda pool, task, result: completed.append((task, result.unpack())))
    pool.connect('task-failed', lambda pool, task, error: failed.append((task, error)))
    pool.connect('worker-started', lambda pool, worker, pid: started.append((worker, pid)))
    pool.connect('worker-exited', lambda pool, worker, pid, error: exited.append((worker, pid, error)))
    pool.connect('drained', lambda pool: drained.append(True))

    options = Wp.TaskOptions(on_error=Wp.OnError.CONTINUE, chunk_size=1)
    pool.map(FAIL_ODD, numbers(2, 3, 4), options, None)
    pool.stop_and_join(None)
    expect_equal(started, [], 'what was emitted before the main loop ran')
    wait_for(lambda: exited, 'worker-exited')

    expect_equal([result for _, result in completed], [4, 16])
    first = completed[0][0]
    expect_equal([task for task, _ in completed], [first, first + 2])
    expect_equal([task for task, _ in failed], [first + 1])
    expect(failed[0][1].matches(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_DATA), repr(failed))
    expect_equal(len(started), 1)
    expect(started[0][0] == 0 and started[0][1] > 0, f'{started} is not worker 0 and its pid')
    # No error: the pool had asked it to end.
    expect_equal(exited, [(*started[0], None)])
    expect_equal(len(drained), 1, 'how often the pool drained')


@test('signals/batch-tells-of-results')
def _():
    pool = Wp.WorkerPool.new(2)
    batch = pool.start_batch(FAIL_ODD, Wp.TaskOptions(on_error=Wp.OnError.CONTINUE))
    results, failures, finished = [], [], []
    batch.connect('result', lambda batch, index, value: results.append((index, value.unpack())))
    batch.connect('failed', lambda batch, index, error: failures.append((index, error.message)))
    batch.connect('finished', lambda batch: finished.append(True))
    for n in 2, 3, 4:
        batch.push(number(n))
    batch.close()
    wait_for(lambda: finished, 'finished')
    expect_equal(results, [(0, 4), (2, 16)])
    expect_equal(failures, [(1, '3 is odd')])
    expect_equal(batch.get_state(), Wp.BatchState.FINISHED)
    expect_equal((batch.props.n_pushed, batch.props.n_completed, batch.props.n_failed), (3, 3, 1))
    pool.stop_and_join(None)


@test('signals/batch-passes-events-on-before-the-result')
def _():
    pool = Wp.WorkerPool.new(1)
    batch = pool.start_batch(EMIT, None)
    heard, finished = [], []
    batch.connect('event', lambda batch, index, value: heard.append((index, 'event', value.unpack())))
    batch.connect('result', lambda batch, index, value: heard.append((index, 'result', value.unpack())))
    batch.connect('finished', lambda batch: finished.append(True))
    batch.push(number(2))
    batch.push(number(1))
    batch.close()
    wait_for(lambda: finished, 'finished')
    expect_equal([of_first for of_first in heard if of_first[0] == 0],
                 [(0, 'event', 0), (0, 'event', 1), (0, 'result', 2)])
    expect_equal([of_second for of_second in heard if of_second[0] == 1], [(1, 'event', 0), (1, 'result', 1)])
    pool.stop_and_join(None)


@test('signals/callback-hears-the-events-of-calls')
def _():
    pool = Wp.WorkerPool.new(1)
    options = Wp.TaskOptions.new()
    heard, done = [], []
    options.set_event_callback(lambda index, value, *data: heard.append((index, value.unpack())))
    expect_equal(pool.apply(EMIT, number(300), options, None).unpack(), 300)
    expect_equal(heard, [(0, n) for n in range(300)])
    heard.clear()
    pool.map_async(EMIT, GLib.Variant('ai', [1, 2]), options, None,
                   lambda pool, result: done.append(pool.map_finish(result)))
    wait_for(lambda: done, 'the end of the map')
    expect_equal(sorted(heard), [(0, 0), (1, 0), (1, 1)])
    pool.stop_and_join(None)


# Many tasks to a call

class Record:
    """A result in a block."""

    def __init__(self, data, position):
        (self.index, self.kind, self.worker, self.n_retries, type_size, self.start_time, self.run_time, length,
         notes_length) = struct.unpack_from('<QIIIIqqQQ', data, position)
        position += 56
        self.type = data[position:position + type_size].rstrip(b'\0').decode()
        position += type_size
        self.value = data[position:position + length]
        position += length + 7 & ~7
        self.notes = data[position:position + notes_length]
        self.end = position + (notes_length + 7 & ~7)


def take_records(batch, most=10000):
    """The next results, or none at the end."""
    while not batch.wait(50000):
        pass
    block = batch.take(most)
    if block is None:
        expect_equal(batch.next(None), None, 'what is left at the end')
        return []
    data, records = block.get_data(), []
    position = 0
    while position < len(data):
        records.append(Record(data, position))
        position = records[-1].end
    return records


def pack_bytes(elements):
    """An aay, put together by its rules."""
    end, ends = 0, []
    for element in elements:
        end += len(element)
        ends.append(end)
    offset, size = next((letter, size) for letter, size in (('B', 1), ('H', 2), ('I', 4), ('Q', 8))
                        if end + len(ends) * size < 256 ** size)
    return b''.join(elements) + struct.pack(f'<{len(ends)}{offset}', *ends)


@test('bulk/bytes-go-in-and-come-out')
def _():
    pool = Wp.WorkerPool.new(2)
    batch = pool.start_batch(ECHO, None)
    items = [b'x' * (n % 30) + bytes([n % 256]) for n in range(5000)]
    array = GLib.Variant.new_from_bytes(GLib.VariantType('aay'), GLib.Bytes.new(pack_bytes(items)), False)
    n_pushed, taken = 0, []
    while len(taken) < len(items):
        n_pushed += batch.push_items(array, n_pushed)
        taken += take_records(batch)
    batch.close()
    expect_equal(take_records(batch), [])
    expect_equal([record.index for record in taken], list(range(5000)))
    expect_equal([record.value for record in taken], items)
    expect(all(record.kind == 0 and record.worker in (0, 1) and not record.type for record in taken), 'another kind')
    pool.stop_and_join(None)


@test('bulk/values-and-errors-tell-what-they-are')
def _():
    pool = Wp.WorkerPool.new(1)
    batch = pool.start_batch(FAIL_ODD, Wp.TaskOptions(on_error=Wp.OnError.CONTINUE))
    expect_equal(batch.wait(0), False, 'whether there is something before there is a task')
    expect_equal(batch.push_items(numbers(2, 3, 4), 1), 2)
    batch.close()
    records = []
    while taken := take_records(batch, 1):
        expect_equal(len(taken), 1)
        records += taken
    failed, succeeded = records
    expect_equal((failed.index, failed.kind, failed.type), (0, 2, ''))
    error = GLib.Variant.new_from_bytes(GLib.VariantType('(sis)'), GLib.Bytes.new(failed.value), False).unpack()
    expect_equal(error, ('g-io-error-quark', Gio.IOErrorEnum.INVALID_DATA, '3 is odd'))
    expect_equal((succeeded.index, succeeded.kind, succeeded.type), (1, 1, 'x'))
    expect_equal(struct.unpack('<q', succeeded.value), (16,))
    expect_error(Wp.error_quark(), Wp.Error.CLOSED, batch.push_items, numbers(2), 0)
    pool.stop_and_join(None)


@test('bulk/function-goes-on-with-the-next-task')
def _():
    pool = Wp.WorkerPool.new(1)
    pool.set_host(python_host())
    options = Wp.TaskOptions(chunk_size=50, on_error=Wp.OnError.CONTINUE, max_active_tasks=500)
    batch = pool.start_batch('double', options)
    items = [b'x' * (n % 40) for n in range(500)]
    array = GLib.Variant.new_from_bytes(GLib.VariantType('aay'), GLib.Bytes.new(pack_bytes(items)), False)
    expect_equal(batch.push_items(array, 0), 500)
    batch.close()
    taken = []
    while records := take_records(batch):
        taken += records
    expect_equal(len(taken), 500)
    for n, record in enumerate(taken):
        if n % 40 > 30:
            expect_equal(record.kind, 2)
            error = GLib.Variant.new_from_bytes(GLib.VariantType('(sis)'), GLib.Bytes.new(record.value), False)
            expect_equal(error.unpack(), ('g-io-error-quark', Gio.IOErrorEnum.NO_SPACE, f'{n % 40} bytes'))
        else:
            expect_equal((record.kind, record.value), (0, b'%d:' % n + items[n] * 2))
    pool.stop_and_join(None)


@test('bulk/one-task-is-waited-for-in-slices')
def _():
    pool = Wp.WorkerPool.new(1)
    with Hold() as hold:
        call = pool.start_apply(HOLD, GLib.Variant('s', hold.path), None)
        while not hold.runs:
            expect(not call.wait(1000), 'the task has ended')
        hold.let_go()
        while not call.wait(50000):
            pass
    expect_equal(call.get_value().unpack(), call.get_value().unpack())
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND, pool.start_apply(FAIL, None, None).get_value)
    pool.stop_and_join(None)


# Errors

@test('errors/keep-domain-code-and-message-across-processes')
def _():
    pool = Wp.WorkerPool.new(1)
    error = expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND, pool.apply, FAIL, None, None, None)
    expect_equal(error.message, 'failed as asked')
    call = Call(pool.apply_async, pool.apply_finish, FAIL, None, None, None)
    error = expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND, call.get)
    expect_equal(error.message, 'failed as asked')
    pool.stop_and_join(None)


@test('errors/of-the-pool-have-its-domain')
def _():
    pool = Wp.WorkerPool.new(1)
    expect_equal(GLib.quark_to_string(Wp.error_quark()), 'wp-error-quark')
    error = expect_error(Wp.error_quark(), Wp.Error.UNKNOWN_FUNCTION,
                         pool.apply, f'{MODULE}:nowhere', None, None, None)
    expect('nowhere' in error.message, error.message)
    pool.stop_and_join(None)


@test('errors/wrong-arguments-are-refused-at-the-call')
def _():
    pool = Wp.WorkerPool.new(1)
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT, pool.map, SQUARE, number(1), None, None)
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT, pool.apply, '', None, None, None)
    for wrong in (lambda: pool.map(SQUARE, [1, 2], None, None), lambda: pool.map(None, numbers(1), None, None)):
        try:
            wrong()
        except TypeError:
            continue
        raise AssertionError('no TypeError was raised')
    pool.stop_and_join(None)


# Death

@test('death/costs-the-task-that-ran')
def _():
    pool = Wp.WorkerPool.new(1)
    pids, exits = [], []
    pool.connect('worker-started', lambda pool, worker, pid: pids.append(pid))
    pool.connect('worker-exited', lambda pool, worker, pid, error: exits.append((pid, error)))
    with Hold() as hold:
        call = Call(pool.apply_async, pool.apply_finish, HOLD, path(hold.path), None, None)
        wait_for(lambda: pids and hold.runs, 'the task to run')
        os.kill(pids[0], signal.SIGKILL)
        error = expect_error(Wp.error_quark(), Wp.Error.WORKER_DIED, call.get)
        expect(str(pids[0]) in error.message and HOLD in error.message, error.message)
    wait_for(lambda: exits, 'worker-exited')
    expect_equal(exits[0][0], pids[0])
    expect(exits[0][1].matches(Wp.error_quark(), Wp.Error.WORKER_DIED), repr(exits))
    expect_equal(pool.apply(SQUARE, number(3), None, None).unpack(), 9)
    pool.stop_and_join(None)


@test('death/max-retries-runs-the-task-again')
def _():
    pool = Wp.WorkerPool.new(1)
    pids = []
    pool.connect('worker-started', lambda pool, worker, pid: pids.append(pid))
    with Hold() as hold:
        options = Wp.TaskOptions(max_retries=1)
        call = Call(pool.apply_async, pool.apply_finish, HOLD, path(hold.path), options, None)
        wait_for(lambda: pids and hold.runs, 'the task to run')
        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: len(pids) == 2, 'another worker')
        expect(not call.ended, 'the task ended with its worker')
        hold.let_go()
        expect_equal(call.get().unpack(), True)
    pool.stop_and_join(None)


# Batches

@test('batch/is-a-list-model-of-results')
def _():
    pool = Wp.WorkerPool.new(2)
    batch = pool.start_batch(FAIL_ODD, Wp.TaskOptions(on_error=Wp.OnError.CONTINUE))
    expect(isinstance(batch, Gio.ListModel), 'a batch is no list model')
    expect_equal(batch.get_item_type(), Wp.Result.__gtype__)
    expect_equal(batch.get_n_items(), 0)
    changes, finished = [], []
    batch.connect('items-changed', lambda batch, *change: changes.append(change))
    batch.connect('finished', lambda batch: finished.append(True))
    for n in range(10):
        batch.push(number(n))
    batch.close()
    wait_for(lambda: finished, 'finished')

    expect_equal(batch.get_n_items(), 10)
    length = 0
    for position, removed, added in changes:
        expect_equal((position, removed), (length, 0))
        length += added
    expect_equal(length, 10, 'what the changes come to')
    for n, result in enumerate(batch):
        expect(isinstance(result, Wp.Result), f'{result} is no result')
        expect_equal(result.get_index(), n)
        if n % 2 == 0:
            expect_equal(result.get_value().unpack(), n * n)
            expect_equal(result.props.value.unpack(), n * n)
            expect(result.get_error() is None and result.props.error is None, 'a value beside an error')
        else:
            expect(result.get_value() is None and result.props.value is None, 'an error beside a value')
            expect_equal(result.get_error().message, f'{n} is odd')
            expect_equal(result.props.error.message, f'{n} is odd')
    expect(batch.get_item(10) is None, 'there is an item after the last')
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_SUPPORTED, batch.next, None)
    pool.stop_and_join(None)


class Bar(GObject.Object):
    __gtype_name__ = 'PythonBar'

    fraction = GObject.Property(type=float)


@test('batch/fraction-reaches-one-in-a-bound-property')
def _():
    pool = Wp.WorkerPool.new(2)
    batch = pool.start_batch(SQUARE, None)
    bar = Bar()
    seen = []
    bar.connect('notify::fraction', lambda bar, pspec: seen.append(bar.fraction))
    batch.bind_property('fraction', bar, 'fraction', GObject.BindingFlags.SYNC_CREATE)
    batch.connect('result', lambda batch, index, value: None)
    batch.props.n_total = 100
    for n in range(50):
        batch.push(number(n))
    wait_for(lambda: bar.fraction == 0.5, 'the half')
    for n in range(50):
        batch.push(number(n))
    batch.close()
    wait_for(lambda: bar.fraction == 1, 'the end')
    expect_equal(seen, sorted(seen), 'the progress')
    expect_equal(batch.props.state, Wp.BatchState.FINISHED)
    expect(batch.props.remaining == 0, batch.props.remaining)
    pool.stop_and_join(None)


@test('batch/push-is-held-back')
def _():
    pool = Wp.WorkerPool.new(1)
    batch = pool.start_batch(HOLD, Wp.TaskOptions(max_active_tasks=2))
    with Hold() as hold:
        item = path(hold.path)
        expect_equal(batch.get_room(), 2)
        expect(batch.push(item) and batch.push(item), 'not pushed')
        expect_equal(batch.get_room(), 0)
        expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.WOULD_BLOCK, batch.push, item)
        call = Call(batch.push_async, batch.push_finish, item, None)
        wait_for(lambda: hold.runs, 'the task to run')
        expect(not call.ended, 'a third task was added')
        cancellable = Gio.Cancellable()
        cancelled = Call(batch.push_async, batch.push_finish, item, cancellable)
        cancellable.cancel()
        expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, cancelled.get)
        hold.let_go()
        expect_equal(batch.next(None).get_index(), 0)
        expect(call.get(), 'not pushed')
        batch.close()
        expect_error(Wp.error_quark(), Wp.Error.CLOSED, batch.push, item)
        expect_equal([batch.next(None).get_index() for _ in range(2)], [1, 2])
        expect(batch.next(None) is None, 'there is a result after the last')
    pool.stop_and_join(None)


@test('batch/next-comes-to-an-end')
def _():
    pool = Wp.WorkerPool.new(2)
    batch = pool.start_batch(FAIL_ODD, Wp.TaskOptions(on_error=Wp.OnError.CONTINUE))
    call = Call(batch.next_async, batch.next_finish, None)
    for n in range(20):
        batch.push(number(n))
        result = call.get()
        expect_equal(result.get_index(), n)
        expect_equal(result.get_error() is None, n % 2 == 0)
        call = Call(batch.next_async, batch.next_finish, None)
    batch.close()
    expect(call.get() is None, 'there is a result after the last')
    pool.stop_and_join(None)


# Cancellation

@test('cancel/ends-queued-tasks-at-once-and-asks-the-running-one')
def _():
    pool = Wp.WorkerPool(n_jobs=1, grace_period=2 ** 31)
    with Hold() as hold:
        running, queued = Gio.Cancellable(), Gio.Cancellable()
        first = Call(pool.apply_async, pool.apply_finish, HOLD, path(hold.path), None, running)
        wait_for(lambda: hold.runs, 'the task to run')
        second = Call(pool.map_async, pool.map_finish, SQUARE, numbers(1, 2, 3), None, queued)
        queued.cancel()
        expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, second.get)
        expect(not first.ended, 'another call was cancelled')
        # Only a task that sees it ends before the grace period does.
        running.cancel()
        expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, first.get)
    late = Gio.Cancellable()
    late.cancel()
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, pool.apply, SQUARE, number(1), None, late)
    pool.stop_and_join(None)


@test('cancel/stops-a-deaf-task-after-the-grace-period')
def _():
    pool = Wp.WorkerPool(n_jobs=1, grace_period=50)
    exits = []
    pool.connect('worker-exited', lambda pool, worker, pid, error: exits.append(error))
    with Hold() as hold:
        cancellable = Gio.Cancellable()
        call = Call(pool.apply_async, pool.apply_finish, HOLD_ON, path(hold.path), None, cancellable)
        wait_for(lambda: hold.runs, 'the task to run')
        cancellable.cancel()
        expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, call.get)
    wait_for(lambda: exits, 'worker-exited')
    pool.stop_and_join(None)


# The end

@test('join/leaves-a-pool-that-takes-no-tasks')
def _():
    pool = Wp.WorkerPool(n_jobs=2, keep_alive=True)
    mapped = Call(pool.map_async, pool.map_finish, SQUARE, numbers(1, 2, 3), None, None)
    joined = Call(pool.stop_and_join_async, pool.stop_and_join_finish, None)
    expect(joined.get(), 'not joined')
    expect_equal(pool.props.n_workers, 0)
    expect_equal(mapped.get().unpack(), [1, 4, 9])
    for call in (lambda: pool.map(SQUARE, numbers(1), None, None),
                 lambda: pool.apply(SQUARE, number(1), None, None),
                 lambda: pool.start_batch(SQUARE, None),
                 lambda: pool.start(),
                 Call(pool.map_async, pool.map_finish, SQUARE, numbers(1), None, None).get):
        expect_error(Wp.error_quark(), Wp.Error.CLOSED, call)


@test('terminate/kills-busy-workers')
def _():
    pool = Wp.WorkerPool.new(1)
    with Hold() as hold:
        call = Call(pool.apply_async, pool.apply_finish, HOLD_ON, path(hold.path), None, None)
        wait_for(lambda: hold.runs, 'the task to run')
        pool.terminate()
        expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, call.get)
    expect(pool.join(None), 'not joined')


# Properties

@test('properties/have-accessors-and-defaults')
def _():
    pool = Wp.WorkerPool()
    expect_equal(pool.props.n_jobs, Wp.cpu_count())
    expect_equal((pool.props.daemon, pool.props.keep_alive), (True, False))
    expect_equal(pool.props.start_method, Wp.StartMethod.SPAWN)
    expect_equal((pool.props.host, pool.get_host(), pool.props.launcher), ([], [], None))
    pool.props.host = ['a', 'program']
    expect_equal(pool.get_host(), ['a', 'program'])
    pool.set_host(None)
    expect_equal(pool.get_host(), [])
    launcher = Wp.SpawnLauncher.new(['a', 'program'], Wp.Transport.STDIO)
    expect_equal(launcher.props.argv, ['a', 'program'])
    pool.set_launcher(launcher)
    expect_equal(pool.get_launcher(), launcher)
    expect_equal((pool.props.shared_objects, pool.get_shared_objects()), (None, None))
    pool.props.shared_objects = number(7)
    expect_equal(pool.get_shared_objects().unpack(), 7)


@test('properties/shared-objects-are-seen-by-every-worker')
def _():
    pool = Wp.WorkerPool.new(2)
    large = GLib.Variant.new_from_bytes(GLib.VariantType('ay'), GLib.Bytes(b'x' * 1000000), True)
    pool.set_shared_objects(GLib.Variant('(sv)', ('large', large)))
    for seen in [pool.apply(OBJECTS, None, None, None) for _ in range(4)]:
        expect(seen.equal(pool.get_shared_objects()), 'shared objects came back changed')
    expect_equal(len(pool.get_shared_objects()[1]), 1000000)
    pool.stop_and_join(None)
    pool = Wp.WorkerPool(n_jobs=1, shared_objects=GLib.Variant('h', 0))
    error = expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT, pool.start)
    expect('shared-objects' in error.message, error.message)


@test('properties/start-method-that-the-host-cannot-do-is-an-error')
def _():
    pool = Wp.WorkerPool(start_method=Wp.StartMethod.FORK, host=['/bin/cat'])
    error = expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_SUPPORTED, pool.start)
    expect('fork' in error.message, error.message)
    expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_SUPPORTED, pool.map, SQUARE, numbers(1), None, None)
    pool.stop_and_join(None)


@test('properties/changes-after-the-start-warn')
def _():
    pool = Wp.WorkerPool(n_jobs=1)
    pool.apply(SQUARE, number(1), None, None)
    saved = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            pool.props.n_jobs = 3
            pool.set_daemon(False)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        log.seek(0)
        warnings = re.findall(r'WpWorkerPool:(\S+) cannot be changed', log.read().decode())
    expect_equal(warnings, ['n-jobs', 'daemon'])
    expect_equal((pool.props.n_jobs, pool.props.daemon), (1, True))
    pool.stop_and_join(None)


# Hosts

def python_host():
    return shlex.split(os.environ['WORKERPOOL_PYTHON_HOST'])


def gjs_host():
    if not os.environ['WORKERPOOL_GJS_HOST']:
        raise Skip('there is no gjs')
    return shlex.split(os.environ['WORKERPOOL_GJS_HOST'])


def check_host(argv, throws):
    shared = GLib.Variant('a{sas}', {'colours': ['red', 'green'], 'names': []})
    pool = Wp.WorkerPool(n_jobs=2, host=argv, shared_objects=shared)
    expect_equal(pool.list_functions(None, None), ['double', 'echo', 'fail', 'objects', 'square', 'throw', 'where'])
    expect_equal(pool.map('square', numbers(*range(100)), None, None).unpack(), [n * n for n in range(100)])
    for value in (GLib.Variant('s', 'ä'), GLib.Variant('(ba{sv})', (True, {'key': GLib.Variant('d', 0.5)})),
                  GLib.Variant.new_from_bytes(GLib.VariantType('ay'), GLib.Bytes(b'x' * 1000000), True)):
        expect(pool.apply('echo', value, None, None).equal(value), f'{value.get_type_string()} came back changed')
    error = expect_error(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND, pool.apply, 'fail', None, None, None)
    expect_equal(error.message, 'failed as asked')
    places = pool.map('where', numbers(*range(10)), None, None).unpack()
    expect_equal([(index, cancelled) for _, index, cancelled in places], [(n, False) for n in range(10)])
    expect({worker for worker, _, _ in places} <= {0, 1}, places)
    expect(pool.apply('objects', None, None, None).equal(shared), 'shared objects came back changed')
    items = [b'x' * (n % 30) for n in range(300)]
    doubled = pool.map('double', GLib.Variant('aay', items), Wp.TaskOptions(chunk_size=100), None).unpack()
    expect_equal([bytes(value) for value in doubled], [b'%d:' % n + item * 2 for n, item in enumerate(items)])
    throws(pool)
    expect_error(Wp.error_quark(), Wp.Error.UNKNOWN_FUNCTION, pool.apply, 'nowhere', None, None, None)
    pool.stop_and_join(None)


@test('host/lists-the-functions-of-a-module')
def _():
    pool = Wp.WorkerPool.new(1)
    expect_equal(pool.list_functions(None, None), [])
    expect(SQUARE in pool.list_functions(MODULE, None), f'{SQUARE} is not listed')
    expect_error(Wp.error_quark(), Wp.Error.UNKNOWN_FUNCTION, pool.list_functions, '/nowhere/absent.so', None)
    pool.stop_and_join(None)


@test('host/in-python-is-called-from-python')
def _():
    # PyGObject keeps GLib.Error only; it prints other exceptions in the worker.
    check_host(python_host(), lambda pool: expect_error(
        Wp.error_quark(), Wp.Error.INVALID_RESULT, pool.apply, 'throw', None, None, None))


@test('host/in-javascript-is-called-from-python')
def _():
    def throws(pool):
        try:
            pool.apply('throw', None, None, None)
        except GLib.Error as error:
            expect_equal((error.domain, error.message), ('gjs-js-error-quark', 'an exception of the language'))
        else:
            raise AssertionError('nothing was raised')

    check_host(gjs_host(), throws)


def cube(context, args, *data):
    return GLib.Variant('(xs)', (args.unpack() ** 3, ' '.join(data)))


@test('host/is-this-program-when-it-registers-functions')
def _():
    Wp.register_function('cube', cube, 'two', 'words')
    expect_equal(Wp.list_functions(), ['cube'])
    pool = Wp.WorkerPool.new(1)
    expect_equal(pool.apply('cube', number(3), None, None).unpack(), (27, 'two words'))
    pool.stop_and_join(None)
    expect(Wp.unregister_function('cube'), 'there was no function to unregister')
    expect_equal(Wp.list_functions(), [])


# A launcher in Python, which forks the interpreter by its own means.
class ForkLauncher(Wp.Launcher):
    def do_launch(self, worker_id):
        ours, theirs = socket.socketpair()
        connection = Gio.Socket.new_from_fd(ours.detach()).connection_factory_create_connection()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                Wp.Worker.new_in_copy(theirs.detach(), parent).run()
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        return Wp.ChildProcess.new(pid, connection)


loaded = []


def look_at_memory(context, args, *data):
    return GLib.Variant('(ii)', (os.getpid(), sum(loaded) + args.unpack()))


@test('launcher/in-python-forks-the-interpreter')
def _():
    loaded[:] = [1, 2, 3]
    Wp.register_function('look-at-memory', look_at_memory)
    pool = Wp.WorkerPool(n_jobs=2, launcher=ForkLauncher())
    results = pool.map('look-at-memory', numbers(*range(100)), None, None).unpack()
    for i, (pid, total) in enumerate(results):
        expect(pid != os.getpid(), 'the task ran in this process')
        expect_equal(total, 6 + i)
    pool.stop_and_join(None)
    Wp.unregister_function('look-at-memory')


def annotate(context, args, *data):
    address, size = context.get_notes()
    expect_equal(size, 65536)
    expect_equal(ctypes.string_at(address, 64), bytes(64))
    ctypes.memmove(address, b'got this far', 12)
    if args.unpack() % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return args


@test('bulk/notes-of-a-task-that-died')
def _():
    Wp.register_function('annotate', annotate)
    pool = Wp.WorkerPool(n_jobs=1, launcher=ForkLauncher())
    batch = pool.start_batch('annotate', Wp.TaskOptions(on_error=Wp.OnError.CONTINUE))
    expect_equal(batch.push_items(numbers(2, 3, 4, 5), 0), 4)
    batch.close()
    records = []
    while taken := take_records(batch):
        records += taken
    expect_equal([(record.kind, record.notes) for record in records], [(1, b''), (2, b'got this far')] * 2)
    call = pool.start_apply('annotate', number(7), None)
    expect_error(Wp.error_quark(), Wp.Error.WORKER_DIED, call.get_value)
    expect_equal(call.get_notes().get_data(), b'got this far')
    pool.stop_and_join(None)
    Wp.unregister_function('annotate')


def main():
    # It is its own host in the last test only: the others are for those that it finds or names.
    if Wp.Worker.is_requested():
        Wp.register_function('cube', cube, 'two', 'words')
        sys.exit(Wp.Worker.main())
    tap.main(only=[])


main()
