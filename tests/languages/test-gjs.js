// SPDX-License-Identifier: LGPL-2.1-or-later

// The introspected API as a GJS program sees it, without an override.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import System from 'system';
import Wp from 'gi://WorkerPool?version=1.0';

const MODULE = GLib.getenv('WORKERPOOL_LANGUAGES_MODULE');
const SQUARE = `${MODULE}:square`;
const FAIL = `${MODULE}:fail`;
const FAIL_ODD = `${MODULE}:fail_odd`;
const HOLD = `${MODULE}:hold`;
const HOLD_ON = `${MODULE}:hold_on`;
const EMIT = `${MODULE}:emit`;

// How long to wait for what must happen, and between two looks whether it has.
const PATIENCE_S = 30;
const LOOK_INTERVAL_MS = 5;

for (const name of ['apply', 'map', 'stop_and_join'])
    Gio._promisify(Wp.WorkerPool.prototype, `${name}_async`, `${name}_finish`);
for (const name of ['push', 'next'])
    Gio._promisify(Wp.Batch.prototype, `${name}_async`, `${name}_finish`);

class Skip extends Error {}

function expect(condition, what) {
    if (!condition)
        throw new Error(what);
}

function expectEqual(actual, expected, what = 'the value') {
    const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
    expect(a === e, `${what} is ${a}, not ${e}`);
}

function expectMatch(error, domain, code) {
    expect(error instanceof GLib.Error && error.matches(domain, code),
        `${error} is not the expected error ${code}`);
    return error;
}

// Of a function that throws, or a promise that is rejected.
async function expectError(domain, code, call) {
    try {
        await (call instanceof Function ? call() : call);
    } catch (error) {
        return expectMatch(error, domain, code);
    }
    throw new Error(`error ${code} was not thrown`);
}

function waitFor(condition, what) {
    const end = GLib.get_monotonic_time() + PATIENCE_S * 1000000;

    return new Promise((resolve, reject) => {
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, LOOK_INTERVAL_MS, () => {
            if (condition())
                resolve();
            else if (GLib.get_monotonic_time() > end)
                reject(new Error(`waited in vain for ${what}`));
            else
                return GLib.SOURCE_CONTINUE;
            return GLib.SOURCE_REMOVE;
        });
    });
}

const numbers = (...values) => new GLib.Variant('ai', values);
const number = value => new GLib.Variant('i', value);
const path = value => new GLib.Variant('s', value);
const range = n => [...Array(n).keys()];

function countChildren() {
    const self = new Gio.Credentials().get_unix_pid();
    const processes = Gio.File.new_for_path('/proc').enumerate_children('standard::name', 0, null);
    let n = 0;

    for (let info; (info = processes.next_file(null)) !== null;) {
        if (!/^\d+$/.test(info.get_name()))
            continue;
        try {
            const [, stat] = GLib.file_get_contents(`/proc/${info.get_name()}/stat`);
            const [, parent] = new TextDecoder().decode(stat).replace(/^.*\)/s, '').trim().split(' ');
            if (Number(parent) === self)
                n++;
        } catch (error) {
            // It has ended meanwhile.
        }
    }
    processes.close(null);

    return n;
}

// Tasks that run until they are let go, as they tell by a file.
class Hold {
    constructor() {
        this._folder = GLib.Dir.make_tmp('workerpool-XXXXXX');
        this.path = GLib.build_filenamev([this._folder, 'hold']);
    }

    get runs() {
        return GLib.file_test(`${this.path}.running`, GLib.FileTest.EXISTS);
    }

    letGo() {
        GLib.file_set_contents(this.path, '');
    }

    clear() {
        GLib.unlink(`${this.path}.running`);
        GLib.unlink(this.path);
        GLib.rmdir(this._folder);
    }
}

async function withHold(use) {
    const hold = new Hold();

    try {
        await use(hold);
    } finally {
        hold.clear();
    }
}

function kill(pid) {
    Gio.Subprocess.new(['kill', '-KILL', `${pid}`], Gio.SubprocessFlags.NONE).wait(null);
}

const tests = [];

function test(name, run) {
    tests.push([`/gjs/${name}`, run]);
}

// Calls

test('map/results-are-in-the-order-of-the-items', () => {
    const pool = Wp.WorkerPool.new(2);
    const results = pool.map(SQUARE, numbers(...range(1000)), null, null);

    expectEqual(results.get_type_string(), 'av');
    expectEqual(results.recursiveUnpack(), range(1000).map(n => n * n));
    expect(pool.stop_and_join(null), 'not joined');
});

test('map/asynchronous-one-ends-in-the-main-loop', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 2});
    let ended = false;
    const call = pool.map_async(SQUARE, numbers(1, 2, 3), null, null).finally(() => (ended = true));

    expect(!ended, 'the callback was called before the main loop ran');
    expectEqual((await call).recursiveUnpack(), [1, 4, 9]);
    await pool.stop_and_join_async(null);
});

test('map/continue-leaves-nothing-in-the-place-of-a-failed-task', async () => {
    const pool = Wp.WorkerPool.new(2);
    const options = new Wp.TaskOptions({on_error: Wp.OnError.CONTINUE});
    const results = await pool.map_async(FAIL_ODD, numbers(2, 3, 4), options, null);

    expectEqual(results.recursiveUnpack(), [4, null, 16]);
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA,
        pool.map_async(FAIL_ODD, numbers(2, 3, 4), null, null));
    pool.stop_and_join(null);
});

test('apply/result-comes-in-the-context-of-the-call', () => {
    const pool = Wp.WorkerPool.new(1);
    const context = GLib.MainContext.new();
    let answer = null;

    context.push_thread_default();
    // Not as a promise, which is resolved in the default context.
    pool._original_apply_async(SQUARE, number(7), null, null, (source, result) => (answer = result));
    context.pop_thread_default();
    // Only that context is iterated.
    while (answer === null)
        context.iteration(true);
    expectEqual(pool.apply_finish(answer).unpack(), 49);
    pool.stop_and_join(null);
});

test('apply/no-arguments-are-the-empty-tuple', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 1, host: gjsHost()});

    expectEqual((await pool.apply_async('echo', null, null, null)).get_type_string(), '()');
    pool.stop_and_join(null);
});

// Signals

test('signals/pool-tells-of-tasks-and-workers', async () => {
    const pool = Wp.WorkerPool.new(1);
    const options = new Wp.TaskOptions({on_error: Wp.OnError.CONTINUE, chunk_size: 1});
    const completed = [], failed = [], started = [], exited = [], drained = [];

    pool.connect('task-completed', (_pool, task, result) => completed.push([task, result.unpack()]));
    pool.connect('task-failed', (_pool, task, error) => failed.push([task, error]));
    pool.connect('worker-started', (_pool, worker, pid) => started.push([worker, pid]));
    pool.connect('worker-exited', (_pool, worker, pid, error) => exited.push([worker, pid, error]));
    pool.connect('drained', () => drained.push(true));

    pool.map(FAIL_ODD, numbers(2, 3, 4), options, null);
    pool.stop_and_join(null);
    expectEqual(started, [], 'what was emitted before the main loop ran');
    await waitFor(() => exited.length > 0, 'worker-exited');

    expectEqual(completed.map(([, result]) => result), [4, 16]);
    const [[first]] = completed;
    expectEqual(completed.map(([task]) => task), [first, first + 2]);
    expectEqual(failed.map(([task]) => task), [first + 1]);
    expectMatch(failed[0][1], Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA);
    expectEqual(started.length, 1);
    expect(started[0][0] === 0 && started[0][1] > 0, `${started} is not worker 0 and its pid`);
    // No error: the pool had asked it to end.
    expectEqual(exited, [[...started[0], null]]);
    expectEqual(drained.length, 1, 'how often the pool drained');
});

test('signals/batch-tells-of-results', async () => {
    const pool = Wp.WorkerPool.new(2);
    const batch = pool.start_batch(FAIL_ODD, new Wp.TaskOptions({on_error: Wp.OnError.CONTINUE}));
    const results = [], failures = [];
    let finished = false;

    batch.connect('result', (_batch, index, value) => results.push([index, value.unpack()]));
    batch.connect('failed', (_batch, index, error) => failures.push([index, error.message]));
    batch.connect('finished', () => (finished = true));
    for (const n of [2, 3, 4])
        batch.push(number(n));
    batch.close();
    await waitFor(() => finished, 'finished');
    expectEqual(results, [[0, 4], [2, 16]]);
    expectEqual(failures, [[1, '3 is odd']]);
    expectEqual(batch.get_state(), Wp.BatchState.FINISHED);
    expectEqual([batch.n_pushed, batch.n_completed, batch.n_failed], [3, 3, 1]);
    pool.stop_and_join(null);
});

test('signals/batch-passes-events-on-before-the-result', async () => {
    const pool = Wp.WorkerPool.new(1);
    const batch = pool.start_batch(EMIT, null);
    const heard = [];
    let finished = false;

    batch.connect('event', (_batch, index, value) => heard.push([index, 'event', value.unpack()]));
    batch.connect('result', (_batch, index, value) => heard.push([index, 'result', value.unpack()]));
    batch.connect('finished', () => (finished = true));
    batch.push(number(2));
    batch.push(number(1));
    batch.close();
    await waitFor(() => finished, 'finished');
    expectEqual(heard.filter(([index]) => index === 0), [[0, 'event', 0], [0, 'event', 1], [0, 'result', 2]]);
    expectEqual(heard.filter(([index]) => index === 1), [[1, 'event', 0], [1, 'result', 1]]);
    pool.stop_and_join(null);
});

test('signals/callback-hears-the-events-of-calls', async () => {
    const pool = Wp.WorkerPool.new(1);
    const options = Wp.TaskOptions.new();
    const heard = [];

    options.set_event_callback((index, value) => heard.push([index, value.unpack()]));
    expectEqual(pool.apply(EMIT, number(3), options, null).unpack(), 3);
    expectEqual(heard, [[0, 0], [0, 1], [0, 2]]);
    heard.length = 0;
    expectEqual((await pool.apply_async(EMIT, number(2), options, null)).unpack(), 2);
    expectEqual(heard, [[0, 0], [0, 1]]);
    pool.stop_and_join(null);
});

// Errors

test('errors/keep-domain-code-and-message-across-processes', async () => {
    const pool = Wp.WorkerPool.new(1);
    const calls = [
        () => pool.apply(FAIL, null, null, null),
        () => pool.apply_async(FAIL, null, null, null),
    ];

    for (const call of calls) {
        const error = await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND, call);
        expectEqual(error.message, 'failed as asked');
    }
    pool.stop_and_join(null);
});

test('errors/of-the-pool-have-its-domain', async () => {
    const pool = Wp.WorkerPool.new(1);
    const error = await expectError(Wp.Error, Wp.Error.UNKNOWN_FUNCTION,
        pool.apply_async(`${MODULE}:nowhere`, null, null, null));

    expect(error instanceof Wp.Error, `${error} is no Wp.Error`);
    expectEqual([error.domain, error.code], [Wp.error_quark(), Wp.Error.UNKNOWN_FUNCTION]);
    expect(error.message.includes('nowhere'), error.message);
    pool.stop_and_join(null);
});

test('errors/wrong-arguments-are-refused-at-the-call', async () => {
    const pool = Wp.WorkerPool.new(1);

    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT, () => pool.map(SQUARE, number(1), null, null));
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT, () => pool.apply('', null, null, null));
    for (const wrong of [() => pool.map(SQUARE, [1, 2], null, null), () => pool.map(null, numbers(1), null, null)]) {
        let thrown = null;
        try {
            wrong();
        } catch (error) {
            thrown = error;
        }
        expect(thrown !== null && !(thrown instanceof GLib.Error), `${thrown} was thrown`);
    }
    pool.stop_and_join(null);
});

// Death

test('death/costs-the-task-that-ran', () => withHold(async hold => {
    const pool = Wp.WorkerPool.new(1);
    const pids = [], exits = [];

    pool.connect('worker-started', (_pool, worker, pid) => pids.push(pid));
    pool.connect('worker-exited', (_pool, worker, pid, error) => exits.push([pid, error]));
    const call = pool.apply_async(HOLD, path(hold.path), null, null);
    await waitFor(() => pids.length > 0 && hold.runs, 'the task to run');
    kill(pids[0]);
    const error = await expectError(Wp.Error, Wp.Error.WORKER_DIED, call);
    expect(error.message.includes(pids[0]) && error.message.includes(HOLD), error.message);
    await waitFor(() => exits.length > 0, 'worker-exited');
    expectEqual(exits[0][0], pids[0]);
    expectMatch(exits[0][1], Wp.Error, Wp.Error.WORKER_DIED);
    expectEqual(pool.apply(SQUARE, number(3), null, null).unpack(), 9);
    pool.stop_and_join(null);
}));

test('death/max-retries-runs-the-task-again', () => withHold(async hold => {
    const pool = Wp.WorkerPool.new(1);
    const pids = [];
    let ended = false;

    pool.connect('worker-started', (_pool, worker, pid) => pids.push(pid));
    const call = pool.apply_async(HOLD, path(hold.path), new Wp.TaskOptions({max_retries: 1}), null)
        .finally(() => (ended = true));
    await waitFor(() => pids.length > 0 && hold.runs, 'the task to run');
    kill(pids[0]);
    await waitFor(() => pids.length === 2, 'another worker');
    expect(!ended, 'the task ended with its worker');
    hold.letGo();
    expectEqual((await call).unpack(), true);
    pool.stop_and_join(null);
}));

// Batches

test('batch/is-a-list-model-of-results', async () => {
    const pool = Wp.WorkerPool.new(2);
    const batch = pool.start_batch(FAIL_ODD, new Wp.TaskOptions({on_error: Wp.OnError.CONTINUE}));
    const changes = [];
    let finished = false;

    expect(batch instanceof Gio.ListModel, 'a batch is no list model');
    expect(batch.get_item_type() === Wp.Result.$gtype, 'the items are no results');
    expectEqual(batch.get_n_items(), 0);
    batch.connect('items-changed', (_batch, ...change) => changes.push(change));
    batch.connect('finished', () => (finished = true));
    range(10).forEach(n => batch.push(number(n)));
    batch.close();
    await waitFor(() => finished, 'finished');

    expectEqual(batch.get_n_items(), 10);
    let length = 0;
    for (const [position, removed, added] of changes) {
        expectEqual([position, removed], [length, 0]);
        length += added;
    }
    expectEqual(length, 10, 'what the changes come to');
    for (const n of range(10)) {
        const result = batch.get_item(n);
        expect(result instanceof Wp.Result, `${result} is no result`);
        expectEqual(result.get_index(), n);
        if (n % 2 === 0) {
            expectEqual(result.get_value().unpack(), n * n);
            expectEqual(result.value.unpack(), n * n);
            expect(result.get_error() === null && result.error === null, 'a value beside an error');
        } else {
            expect(result.get_value() === null && result.value === null, 'an error beside a value');
            expectEqual(result.get_error().message, `${n} is odd`);
            expectMatch(result.error, Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA);
        }
    }
    expect(batch.get_item(10) === null, 'there is an item after the last');
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_SUPPORTED, () => batch.next(null));
    pool.stop_and_join(null);
});

const Bar = GObject.registerClass({
    Properties: {
        'fraction': GObject.ParamSpec.double('fraction', null, null, GObject.ParamFlags.READWRITE, 0, 1, 0),
    },
}, class Bar extends GObject.Object {});

test('batch/fraction-reaches-one-in-a-bound-property', async () => {
    const pool = Wp.WorkerPool.new(2);
    const batch = pool.start_batch(SQUARE, null);
    const bar = new Bar();
    const seen = [];

    bar.connect('notify::fraction', () => seen.push(bar.fraction));
    batch.bind_property('fraction', bar, 'fraction', GObject.BindingFlags.SYNC_CREATE);
    batch.connect('result', () => {});
    batch.n_total = 100;
    range(50).forEach(n => batch.push(number(n)));
    await waitFor(() => bar.fraction === 0.5, 'the half');
    range(50).forEach(n => batch.push(number(n)));
    batch.close();
    await waitFor(() => bar.fraction === 1, 'the end');
    expectEqual(seen, [...seen].sort((a, b) => a - b), 'the progress');
    expectEqual(batch.state, Wp.BatchState.FINISHED);
    expectEqual(batch.remaining, 0);
    pool.stop_and_join(null);
});

test('batch/push-is-held-back', () => withHold(async hold => {
    const pool = Wp.WorkerPool.new(1);
    const batch = pool.start_batch(HOLD, new Wp.TaskOptions({max_active_tasks: 2}));
    const item = path(hold.path);
    let pushed = false;

    expectEqual(batch.get_room(), 2);
    expect(batch.push(item) && batch.push(item), 'not pushed');
    expectEqual(batch.get_room(), 0);
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.WOULD_BLOCK, () => batch.push(item));
    const call = batch.push_async(item, null).finally(() => (pushed = true));
    await waitFor(() => hold.runs, 'the task to run');
    expect(!pushed, 'a third task was added');
    const cancellable = new Gio.Cancellable();
    const cancelled = batch.push_async(item, cancellable);
    cancellable.cancel();
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, cancelled);
    hold.letGo();
    expectEqual(batch.next(null).get_index(), 0);
    expect(await call, 'not pushed');
    batch.close();
    await expectError(Wp.Error, Wp.Error.CLOSED, () => batch.push(item));
    expectEqual([batch.next(null).get_index(), batch.next(null).get_index()], [1, 2]);
    expect(batch.next(null) === null, 'there is a result after the last');
    pool.stop_and_join(null);
}));

test('batch/next-comes-to-an-end', async () => {
    const pool = Wp.WorkerPool.new(2);
    const batch = pool.start_batch(FAIL_ODD, new Wp.TaskOptions({on_error: Wp.OnError.CONTINUE}));
    let next = batch.next_async(null);

    for (const n of range(20)) {
        batch.push(number(n));
        const result = await next;
        expectEqual(result.get_index(), n);
        expectEqual(result.get_error() === null, n % 2 === 0);
        next = batch.next_async(null);
    }
    batch.close();
    expect(await next === null, 'there is a result after the last');
    pool.stop_and_join(null);
});

// Cancellation

test('cancel/ends-queued-tasks-at-once-and-asks-the-running-one', () => withHold(async hold => {
    const pool = new Wp.WorkerPool({n_jobs: 1, grace_period: 2 ** 31});
    const [running, queued, late] = [new Gio.Cancellable(), new Gio.Cancellable(), new Gio.Cancellable()];
    let ended = false;
    const first = pool.apply_async(HOLD, path(hold.path), null, running).finally(() => (ended = true));

    await waitFor(() => hold.runs, 'the task to run');
    const second = pool.map_async(SQUARE, numbers(1, 2, 3), null, queued);
    queued.cancel();
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, second);
    expect(!ended, 'another call was cancelled');
    // Only a task that sees it ends before the grace period does.
    running.cancel();
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, first);
    late.cancel();
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => pool.apply(SQUARE, number(1), null, late));
    pool.stop_and_join(null);
}));

test('cancel/stops-a-deaf-task-after-the-grace-period', () => withHold(async hold => {
    const pool = new Wp.WorkerPool({n_jobs: 1, grace_period: 50});
    const cancellable = new Gio.Cancellable();
    let exits = 0;

    pool.connect('worker-exited', () => exits++);
    const call = pool.apply_async(HOLD_ON, path(hold.path), null, cancellable);
    await waitFor(() => hold.runs, 'the task to run');
    cancellable.cancel();
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, call);
    await waitFor(() => exits > 0, 'worker-exited');
    pool.stop_and_join(null);
}));

// The end

test('join/leaves-a-pool-that-takes-no-tasks', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 2, keep_alive: true});
    const mapped = pool.map_async(SQUARE, numbers(1, 2, 3), null, null);

    expect(await pool.stop_and_join_async(null), 'not joined');
    expectEqual(pool.n_workers, 0);
    expectEqual((await mapped).recursiveUnpack(), [1, 4, 9]);
    const calls = [
        () => pool.map(SQUARE, numbers(1), null, null),
        () => pool.apply(SQUARE, number(1), null, null),
        () => pool.start_batch(SQUARE, null),
        () => pool.start(),
        () => pool.map_async(SQUARE, numbers(1), null, null),
    ];
    for (const call of calls)
        await expectError(Wp.Error, Wp.Error.CLOSED, call);
});

test('terminate/kills-busy-workers', () => withHold(async hold => {
    const pool = Wp.WorkerPool.new(1);
    const call = pool.apply_async(HOLD_ON, path(hold.path), null, null);

    await waitFor(() => hold.runs, 'the task to run');
    pool.terminate();
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, call);
    expect(pool.join(null), 'not joined');
}));

// Properties

test('properties/have-accessors-and-defaults', () => {
    const pool = new Wp.WorkerPool();

    expectEqual(pool.n_jobs, Wp.cpu_count());
    expectEqual([pool.daemon, pool.keepAlive], [true, false]);
    expectEqual(pool.start_method, Wp.StartMethod.SPAWN);
    expectEqual([pool.get_host(), pool.launcher], [null, null]);
    pool.host = ['a', 'program'];
    expectEqual([pool.host, pool.get_host()], [['a', 'program'], ['a', 'program']]);
    pool.set_host(null);
    expectEqual(pool.get_host(), null);
    const launcher = Wp.SpawnLauncher.new(['a', 'program'], Wp.Transport.STDIO);
    expectEqual(launcher.argv, ['a', 'program']);
    pool.launcher = launcher;
    expectEqual(pool.shared_objects, null);
    pool.shared_objects = number(7);
    expectEqual(pool.get_shared_objects().unpack(), 7);
    expect(pool.get_launcher() === launcher, 'another launcher');
});

test('properties/start-method-that-the-host-cannot-do-is-an-error', async () => {
    const pool = new Wp.WorkerPool({start_method: Wp.StartMethod.FORK, host: ['/bin/cat']});
    const error = await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_SUPPORTED, () => pool.start());

    expect(error.message.includes('fork'), error.message);
    await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_SUPPORTED,
        pool.map_async(SQUARE, numbers(1), null, null));
    pool.stop_and_join(null);
});

// In a process of its own, whose standard error is read.
function changeAfterStart() {
    const pool = new Wp.WorkerPool({n_jobs: 1});

    pool.apply(SQUARE, number(1), null, null);
    pool.n_jobs = 3;
    pool.set_daemon(false);
    pool.stop_and_join(null);
    print(pool.n_jobs, pool.daemon);
}

test('properties/changes-after-the-start-warn', () => {
    const [program] = GLib.filename_from_uri(import.meta.url);
    const child = Gio.Subprocess.new(['gjs', '-m', program, '--change-after-start'],
        Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_PIPE);
    const [, output, log] = child.communicate_utf8(null, null);

    expect(child.get_successful(), log);
    expectEqual(output, '1 true\n');
    const warnings = [...log.matchAll(/WpWorkerPool:(\S+) cannot be changed/g)];
    expectEqual(warnings.map(([, property]) => property), ['n-jobs', 'daemon']);
});

// Hosts

function gjsHost() {
    return GLib.shell_parse_argv(GLib.getenv('WORKERPOOL_GJS_HOST'))[1];
}

function pythonHost() {
    if (!GLib.getenv('WORKERPOOL_PYTHON_HOST'))
        throw new Skip('there is no Python with PyGObject');
    return GLib.shell_parse_argv(GLib.getenv('WORKERPOOL_PYTHON_HOST'))[1];
}

async function checkHost(host, checkThrown) {
    const shared = new GLib.Variant('a{sas}', {colours: ['red', 'green'], names: []});
    const pool = new Wp.WorkerPool({n_jobs: 2, host, shared_objects: shared});

    expectEqual(pool.list_functions(null, null), ['double', 'echo', 'fail', 'objects', 'square', 'throw', 'where']);
    expectEqual((await pool.map_async('square', numbers(...range(100)), null, null)).recursiveUnpack(),
        range(100).map(n => n * n));
    const values = [
        new GLib.Variant('s', 'ä'),
        new GLib.Variant('(ba{sv})', [true, {key: new GLib.Variant('d', 0.5)}]),
        GLib.Variant.new_from_bytes(new GLib.VariantType('ay'), new GLib.Bytes(new Uint8Array(1000000).fill(120)),
            true),
    ];
    for (const value of values) {
        const echo = await pool.apply_async('echo', value, null, null);
        expect(echo.equal(value), `${value.get_type_string()} came back changed`);
    }
    const error = await expectError(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND,
        pool.apply_async('fail', null, null, null));
    expectEqual(error.message, 'failed as asked');
    const places = (await pool.map_async('where', numbers(...range(10)), null, null)).recursiveUnpack();
    expectEqual(places.map(([, index, cancelled]) => [index, cancelled]), range(10).map(n => [n, false]));
    expect(places.every(([worker]) => worker < 2), JSON.stringify(places));
    expect((await pool.apply_async('objects', null, null, null)).equal(shared), 'shared objects came back changed');
    const items = range(300).map(n => new Uint8Array(n % 30).fill(120));
    const doubled = await pool.map_async('double', new GLib.Variant('aay', items),
        new Wp.TaskOptions({chunk_size: 100}), null);
    expectEqual(doubled.deepUnpack().map(value => new TextDecoder().decode(value.deepUnpack())),
        range(300).map(n => `${n}:${'x'.repeat(n % 30 * 2)}`));
    await pool.apply_async('throw', null, null, null).then(
        () => expect(false, 'nothing was thrown'), checkThrown);
    await expectError(Wp.Error, Wp.Error.UNKNOWN_FUNCTION, pool.apply_async('nowhere', null, null, null));
    await pool.stop_and_join_async(null);
}

test('host/lists-the-functions-of-a-module', async () => {
    const pool = Wp.WorkerPool.new(1);

    expectEqual(pool.list_functions(null, null), []);
    expect(pool.list_functions(MODULE, null).includes(SQUARE), `${SQUARE} is not listed`);
    await expectError(Wp.Error, Wp.Error.UNKNOWN_FUNCTION, () => pool.list_functions('/nowhere/absent.so', null));
    pool.stop_and_join(null);
});

test('host/in-javascript-is-called-from-javascript', () => checkHost(gjsHost(), thrown => {
    expect(thrown instanceof TypeError, `${thrown} is no TypeError`);
    expectEqual(thrown.message, 'an exception of the language');
}));

// PyGObject keeps GLib.Error only; it prints other exceptions in the worker.
test('host/in-python-is-called-from-javascript', () => checkHost(pythonHost(), thrown =>
    expectMatch(thrown, Wp.Error, Wp.Error.INVALID_RESULT)));

const cube = (context, args) => GLib.Variant.new_int64(args.unpack() ** 3);

test('host/is-this-program-when-it-registers-functions', async () => {
    Wp.register_function('cube', cube);
    expectEqual(Wp.list_functions(), ['cube']);
    const pool = Wp.WorkerPool.new(1);
    expectEqual((await pool.apply_async('cube', number(3), null, null)).unpack(), 27);
    pool.stop_and_join(null);
    expect(Wp.unregister_function('cube'), 'there was no function to unregister');
    expectEqual(Wp.list_functions(), []);
});

async function runTests() {
    let failed = false;

    print(`1..${tests.length}`);
    for (const [i, [name, run]] of tests.entries()) {
        try {
            await run();
            expectEqual(countChildren(), 0, 'the number of processes left');
            print(`ok ${i + 1} ${name}`);
        } catch (error) {
            if (error instanceof Skip) {
                print(`ok ${i + 1} ${name} # SKIP ${error.message}`);
                continue;
            }
            failed = true;
            print(`${error}\n${error.stack}`.trim().replace(/^/gm, '# '));
            print(`not ok ${i + 1} ${name}`);
        }
    }

    return failed ? 1 : 0;
}

// It is its own host in the last test only: the others are for those that it finds or names.
if (Wp.Worker.is_requested()) {
    Wp.register_function('cube', cube);
    System.exit(Wp.Worker.main());
} else if (ARGV.includes('--change-after-start')) {
    changeAfterStart();
} else {
    const loop = new GLib.MainLoop(null, false);
    let status = 1;

    runTests().then(result => (status = result)).catch(logError).finally(() => loop.quit());
    loop.run();
    System.exit(status);
}
