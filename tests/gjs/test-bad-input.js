// SPDX-License-Identifier: LGPL-2.1-or-later

// What is wrong with a call is said, and said clearly.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import GObject from 'gi://GObject';
import Wp from 'gi://WorkerPool?version=1.0';
import {expect, expectEqual, expectMatch, getError, main, range, test} from './tap.js';
import {expectNoChildren} from './children.js';

const TASKS = GLib.Uri.resolve_relative(import.meta.url, 'tasks.js', GLib.UriFlags.NONE);
const FOLDER = GLib.Dir.make_tmp('workerpool-XXXXXX');

function writeModule(name, text) {
    const path = GLib.build_filenamev([FOLDER, name]);

    GLib.file_set_contents(path, text);
    return GLib.filename_to_uri(path, null);
}

// Each call fails with such a message, and the pool works all the same.
async function expectFailures(calls, params = {}) {
    const pool = new Wp.WorkerPool({n_jobs: 1, ...params});

    for (const [call, pattern] of calls)
        expectMatch(String(await getError(call(pool))), pattern);
    expectEqual(await pool.map(n => n + 1, [1]), [2]);
    await pool.join();
}

test('/gjs/bad-input/modules-that-cannot-be-imported', () => expectFailures([
    [pool => pool.apply('file:///nowhere/absent.js#f'), /absent\.js/],
    [pool => pool.apply(`${writeModule('syntax.js', 'export const x = ;')}#f`), /SyntaxError/],
    [pool => pool.apply(`${writeModule('throws.js', 'throw new RangeError("as it begins");')}#f`),
        /RangeError: as it begins/],
    [pool => pool.apply(`${TASKS}#absent`), /exports no function “absent”; it exports .*square/],
    [pool => pool.apply(`${TASKS}#answer`), /exports no function “answer”/],
    [pool => pool.map(`${TASKS}#absent`, [1, 2]), /exports no function “absent”/],
]));

test('/gjs/bad-input/names-that-are-none', () => expectFailures([
    [pool => pool.apply(`${TASKS}`), /names no function: write .*#NAME/],
    [pool => pool.apply('https://example.com/tasks.js#f'), /names no module that a worker can import/],
    [pool => pool.apply('./tasks.js#f'), /names no module that a worker can import/],
    [pool => pool.apply(''), /the function is an empty string/],
    [pool => pool.apply(undefined), /the function is undefined/],
    [pool => pool.apply({}), /the function is \[object Object\]/],
    [pool => pool.apply('absent', [new GLib.Variant('i', 1)]), /does not know the function “absent”/],
    [async pool => pool.proxy('tasks.js'), /names no module/],
]));

test('/gjs/bad-input/functions-that-cannot-be-shipped', () => expectFailures([
    [pool => pool.apply(Math.max, [1]), /“max” has no source/],
    [pool => pool.apply((() => 1).bind(null)), /has no source/],
    [pool => pool.apply(class Task {}), /“Task” is a class/],
    [pool => pool.apply(() => FOLDER), /FOLDER is not defined: a function that is sent/],
    [pool => pool.map(n => n + TASKS.length, range(10)), /TASKS is not defined: a function that is sent/],
    [pool => pool.apply(async () => expectMatch()), /expectMatch is not defined: a function that is sent/],
]));

test('/gjs/bad-input/items-that-are-none', () => expectFailures([
    [pool => pool.map(n => n), /the items are undefined, which is not iterable/],
    [pool => pool.map(n => n, 5), /the items are 5/],
    [pool => pool.map(n => n, {length: 2}), /the items are \[object Object\]/],
    [pool => pool.imap(n => n, null).next(), /the items are null/],
    [pool => pool.map(n => n, (function* () {
        yield* range(10);
        throw new RangeError('while iterating');
    })()), /RangeError: while iterating/],
    [pool => pool.map(n => n, (async function* () {
        yield 1;
        throw new RangeError('while iterating slowly');
    })()), /RangeError: while iterating slowly/],
    [async pool => {
        for await (const _ of pool.imap(n => n, {[Symbol.iterator]: () => ({next: () => null})}))
            ;
    }, /TypeError/],
    [pool => pool.apply(n => n, 5), /the arguments of apply are 5/],
]));

test('/gjs/bad-input/values-that-cannot-travel', () => expectFailures([
    [pool => pool.map(n => n, [0, 1, 2, {callback() {}}]), /items\[3\]\.callback is the function “callback”/],
    [pool => pool.map(n => n, [0, new GObject.Object()], {chunkSize: 2}), /items\[1\] is a GObject/],
    [pool => pool.map(n => n, (function* () {
        yield 1;
        yield {when: Promise.resolve()};
    })()), /items\[1\]\.when is a promise/],
    [pool => pool.apply(n => n, [{a: [Symbol('s')]}]), /args\[0\]\.a\[0\] is a symbol/],
    [pool => pool.apply(n => n, [GLib.DateTime.new_now_utc()]), /args\[0\] is an object of the type .*DateTime/],
    [pool => pool.apply(`${TASKS}#returnFunction`), /the result\.deep\[1\]\.callback is the function/],
    [pool => pool.map(`${TASKS}#returnPromises`, [1, 2]), /the result\[0\] is a promise/],
    [pool => pool.apply('/absent.so:f', [5]), /args is no GLib\.Variant/],
    [pool => pool.map('/absent.so:f', ['x']), /items\[0\] is no GLib\.Variant/],
]));

test('/gjs/bad-input/options-that-are-none', () => expectFailures([
    [pool => pool.apply(() => 1, [], 5), /the option “options” is 5/],
    [pool => pool.apply(() => 1, [], {timeout: 5}), /No property timeout/],
    [pool => pool.apply(() => 1, [], {onEvent: 5}), /the option “onEvent” is 5/],
    [pool => pool.apply(() => 1, [], {cancellable: 'x'}), /the option “cancellable” is x/],
    [pool => pool.map(n => n, [1], {maxActiveTasks: -1}), /the option “maxActiveTasks” is -1/],
]));

test('/gjs/bad-input/too-deep-a-recursion', () => expectFailures([
    [pool => pool.apply(`${TASKS}#recurse`, [0]), /too much recursion/],
    [pool => pool.apply(() => {
        let deep = [];
        for (let i = 0; i < 1000000; i++)
            deep = [deep];
        return deep;
    }), /the result is nested too deeply/],
]));

test('/gjs/bad-input/tasks-with-their-own-main-loop', () => expectFailures([
    [pool => pool.map(`${TASKS}#runOwnLoop`, range(5)).then(results => {
        expectEqual(results, range(5));
        throw new Error('as it should');
    }), /as it should/],
]));

test('/gjs/bad-input/a-task-that-exits-costs-itself', () => expectFailures([
    [pool => pool.apply(`${TASKS}#exit`, [3]), /exited with status 3/],
    [pool => pool.map(`${TASKS}#exit`, [0]), /exited/],
]));

test('/gjs/bad-input/a-task-that-never-returns-has-a-time-limit', () => expectFailures([
    [pool => pool.apply(`${TASKS}#never`, [], {taskTimeout: 100}), /time/],
    [pool => pool.map(() => new Promise(() => {}), [1], {taskTimeout: 100}), /time/],
]));

for (const name of ['FORK', 'FORKSERVER', 'THREADING']) {
    test(`/gjs/bad-input/start-method-${name.toLowerCase()}-is-refused`, async () => {
        const pool = new Wp.WorkerPool({n_jobs: 1, start_method: Wp.StartMethod[name]});

        for (const call of [pool.apply(() => 1), pool.map(n => n, [1]), pool.imap(n => n, [1]).next()]) {
            const error = await getError(call);
            expect(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_SUPPORTED), `${error}`);
            expectMatch(error.message, new RegExp(`“spawn”.*“${name.toLowerCase()}”.*Leave start_method out`));
        }
        await pool.join();
    });
}

test('/gjs/bad-input/init-functions-that-fail', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 1, worker_init() {
        throw new RangeError('not now');
    }});

    expectMatch(String(await getError(pool.apply(() => 1))), /not now/);
    await pool.join();
    expectMatch(String(await getError(async () => new Wp.WorkerPool({worker_init: Math.max}))), /has no source/);
});

test('/gjs/bad-input/a-pool-that-has-ended-takes-nothing', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 1});

    await pool.apply(() => 1);
    pool.terminate();
    for (const call of [pool.apply(() => 1), pool.map(n => n, [1])])
        expect((await getError(call)).matches(Wp.Error, Wp.Error.CLOSED), 'another error');
});

main(expectNoChildren);
