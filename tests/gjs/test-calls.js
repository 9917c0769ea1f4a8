// SPDX-License-Identifier: LGPL-2.1-or-later

// What a program calls when all goes well.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Wp from 'gi://WorkerPool?version=1.0';
import {expect, expectEqual, getError, main, range, test} from './tap.js';
import {expectNoChildren} from './children.js';

const TASKS = GLib.Uri.resolve_relative(import.meta.url, 'tasks.js', GLib.UriFlags.NONE);
const MODULE = GLib.getenv('WORKERPOOL_LANGUAGES_MODULE');

async function withPool(params, use) {
    const pool = new Wp.WorkerPool({n_jobs: 2, ...params});

    try {
        return await use(pool);
    } finally {
        await pool.join();
    }
}

async function collect(iteration) {
    const values = [];

    for await (const value of iteration)
        values.push(value);
    return values;
}

const sorted = array => [...array].sort((a, b) => a - b);
const squares = n => range(n).map(i => i * i);

for (const [name, fn] of Object.entries({
    'arrow-function': n => n * n,
    'function': function (n) {
        return n * n;
    },
    'method': {
        square(n) {
            return n * n;
        },
    }.square,
    'async-function': async n => {
        await null;
        return n * n;
    },
    'async-method': {
        async square(n) {
            await null;
            return n * n;
        },
    }.square,
    'export': `${TASKS}#square`,
})) {
    test(`/gjs/map/${name}`, () => withPool({}, async pool => {
        expectEqual(await pool.map(fn, range(1000)), squares(1000));
        expectEqual(await pool.map(fn, range(50), {chunkSize: 1}), squares(50));
        expectEqual(await pool.map(fn, range(50), {chunk_size: 7}), squares(50));
    }));
}

test('/gjs/map/takes-anything-iterable', () => withPool({}, async pool => {
    const double = n => 2 * n;

    expectEqual(await pool.map(double, []), []);
    expectEqual(await pool.map(double, new Set([1, 2])), [2, 4]);
    expectEqual(await pool.map(double, Float64Array.of(0.5, 1)), [1, 2]);
    expectEqual(await pool.map(double, (function* () {
        yield 1;
        yield 2;
    })()), [2, 4]);
    expectEqual(await pool.map(double, (async function* () {
        yield 1;
        await null;
        yield 2;
    })()), [2, 4]);
}));

test('/gjs/map/unordered-has-the-same-results', () => withPool({}, async pool => {
    expectEqual(sorted(await pool.mapUnordered(`${TASKS}#square`, range(3000))), squares(3000));
}));

test('/gjs/map/several-at-once-on-one-pool', () => withPool({}, async pool => {
    const maps = await Promise.all(range(5).map(k => pool.map((n => n + 1), range(500 * k))));

    maps.forEach((results, k) => expectEqual(results, range(500 * k).map(n => n + 1)));
}));

test('/gjs/map/errors-stand-in-their-places-when-asked', () => withPool({}, async pool => {
    const results = await pool.map(n => {
        if (n % 2)
            throw new RangeError(`${n} is odd`);
        return n;
    }, range(10), {onError: Wp.OnError.CONTINUE});

    expectEqual(results.map(result => result instanceof RangeError ? result.message : result),
        range(10).map(n => n % 2 ? `${n} is odd` : n));
}));

test('/gjs/imap/in-order-and-lazily', () => withPool({}, async pool => {
    let nAsked = 0;
    const endless = (function* () {
        for (;;)
            yield nAsked++;
    })();
    const values = [];

    for await (const value of pool.imap(n => n, endless, {chunkSize: 1, maxActiveTasks: 5})) {
        values.push(value);
        expect(nAsked <= values.length + 5, `${nAsked} items were taken for ${values.length} results`);
        if (values.length === 100)
            break;
    }
    expectEqual(values, range(100));
}));

test('/gjs/imap/unordered-has-the-same-results', () => withPool({}, async pool => {
    expectEqual(sorted(await collect(pool.imapUnordered(n => n * n, range(2000)))), squares(2000));
}));

test('/gjs/imap/closes-the-iterable-when-it-is-left', () => withPool({}, async pool => {
    let closed = false;
    const items = (function* () {
        try {
            for (let n = 0; ; n++)
                yield n;
        } finally {
            closed = true;
        }
    })();

    for await (const value of pool.imap(n => n, items)) {
        if (value === 3)
            break;
    }
    expect(closed, 'the generator was not closed');
}));

test('/gjs/apply/arguments-and-results', () => withPool({}, async pool => {
    expectEqual(await pool.apply(`${TASKS}#add`, [1, 2, 3]), 6);
    expectEqual(await pool.exec((a, b) => [b, a], ['x', 'y']), ['y', 'x']);
    expectEqual(await pool.apply(() => 1), 1);
    expect(await pool.apply(() => {}) === undefined, 'undefined came back as something');
}));

test('/gjs/apply/generators-give-arrays', () => withPool({}, async pool => {
    expectEqual(await pool.apply(`${TASKS}#countTo`, [4]), [0, 1, 2, 3]);
    expectEqual(await pool.apply(async function* (n) {
        for (let i = 0; i < n; i++)
            yield i;
    }, [3]), [0, 1, 2]);
}));

test('/gjs/apply/async-tasks-have-a-main-loop', () => withPool({}, async pool => {
    expectEqual(await Promise.all(range(20).map(n => pool.apply(`${TASKS}#later`, [n]))), range(20).map(n => n + 1));
}));

test('/gjs/proxy/exports-are-methods', () => withPool({}, async pool => {
    const tasks = await pool.proxy(TASKS);

    expectEqual(await tasks.square(7), 49);
    expectEqual(await tasks.add(1, 2), 3);
    expect((await getError(tasks.absent())).message.includes('square'), 'the message does not say what there is');
}));

// Values

test('/gjs/values/of-glib-travel-as-they-are', () => withPool({}, async pool => {
    const echo = `${TASKS}#echo`;
    const variant = new GLib.Variant('(sa{sv})', ['ä', {key: new GLib.Variant('d', 0.5)}]);
    const [copy, bytes] = await pool.apply(echo, [[variant, new GLib.Bytes(Uint8Array.of(1, 2, 3))]]);

    expect(copy.equal(variant), `${copy.print(true)} came back`);
    expect(bytes instanceof GLib.Bytes && bytes.get_size() === 3, 'the bytes came back changed');
    expect(Number.isNaN(await pool.apply(echo, [NaN])) && Object.is(await pool.apply(echo, [-0]), -0), 'a number changed');
    expectEqual(await pool.apply(echo, ['\ud800']), '\ud800');
    expect((await pool.apply(echo, [2n ** 70n])) === 2n ** 70n, 'a BigInt changed');
}));

test('/gjs/values/large-arrays-are-the-tasks-own', () => withPool({}, async pool => {
    const array = new Float64Array(100000).fill(1.5);
    const filled = await pool.apply(`${TASKS}#fill`, [array]);

    expect(filled instanceof Float64Array && filled.length === 100000, 'it came back as something else');
    expect(filled.every(n => n === 9) && array.every(n => n === 1.5), 'what was written is not where it should be');
    filled.fill(3);
    expect(filled.every(n => n === 3), 'the result cannot be written');
    expect(filled.buffer.byteLength === 800000, `its buffer has ${filled.buffer.byteLength} bytes`);
}));

// Errors

test('/gjs/errors/keep-type-stack-and-cause', () => withPool({}, async pool => {
    const error = await getError(pool.apply(`${TASKS}#failWith`, ['type']));

    expect(error instanceof TypeError && error.cause instanceof RangeError, `${error} ← ${error.cause}`);
    expectEqual([error.message, error.cause.message], ['outer', 'inner']);
    expect(error.stack.includes('failWith@') && error.stack.includes('tasks.js'), error.stack);
    const rejected = await getError(pool.apply(`${TASKS}#rejectLater`));
    expect(rejected instanceof RangeError && rejected.message === 'rejected', `${rejected}`);
    expectEqual(await getError(pool.apply(`${TASKS}#failWith`, ['string'])), 'a string');
    expectEqual((await getError(pool.apply(`${TASKS}#failWith`, ['function']))).message, 'has a function');
}));

test('/gjs/errors/of-gio-match', () => withPool({}, async pool => {
    for (const call of [pool.apply(`${TASKS}#failWith`, ['gio']), pool.map(`${TASKS}#failWith`, ['gio', 'gio'])]) {
        const error = await getError(call);
        expect(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND), `${error}`);
        expectEqual(error.message, 'not there');
    }
}));

test('/gjs/errors/map-ends-with-the-first', () => withPool({}, async pool => {
    const error = await getError(pool.map(n => {
        if (n === 500)
            throw new RangeError('this one');
        return n;
    }, range(100000)));

    expectEqual(error.message, 'this one');
    expectEqual(await pool.map(n => n, [1]), [1]);
}));

// Control

test('/gjs/control/events-come-before-the-result', () => withPool({}, async pool => {
    const heard = [];

    await pool.apply(`${TASKS}#emit`, [3], {onEvent: event => heard.push(event.step)});
    expectEqual(heard, [0, 1, 2]);
    heard.length = 0;
    await pool.map(`${TASKS}#emit`, [2, 0, 1], {onEvent: (index, event) => heard.push([index, event.step])});
    expectEqual(heard.sort(), [[0, 0], [0, 1], [2, 0]]);
}));

test('/gjs/control/cancelled-calls-are-rejected', () => withPool({}, async pool => {
    const calls = [
        cancellable => pool.apply(`${TASKS}#never`, [], {cancellable}),
        cancellable => pool.map(`${TASKS}#never`, [1, 2], {cancellable}),
        cancellable => collect(pool.imap(`${TASKS}#never`, [1, 2], {cancellable})),
    ];

    pool.grace_period = 50;
    for (const call of calls) {
        const cancellable = new Gio.Cancellable();
        const promise = call(cancellable);
        GLib.idle_add(GLib.PRIORITY_LOW, () => cancellable.cancel());
        const error = await getError(promise);
        expect(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED), `${error}`);
    }
    const cancelled = new Gio.Cancellable();
    cancelled.cancel();
    const error = await getError(pool.map(n => n, [1], {cancellable: cancelled}));
    expect(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED), `${error}`);
}));

test('/gjs/control/time-limit-fails-the-task-alone', () => withPool({}, async pool => {
    const results = await pool.map(n => {
        while (n === 3)
            ;
        return n;
    }, range(6), {taskTimeout: 200, onError: Wp.OnError.CONTINUE});

    expect(results[3].matches(Gio.IOErrorEnum, Gio.IOErrorEnum.TIMED_OUT), `${results[3]}`);
    expectEqual(results.filter(n => typeof n === 'number'), [0, 1, 2, 4, 5]);
}));

test('/gjs/control/workers-have-a-state', () => withPool({n_jobs: 1, keep_alive: true}, async pool => {
    expectEqual(await pool.map(`${TASKS}#count`, range(5)), [1, 2, 3, 4, 5]);
    expectEqual(await pool.map(function () {
        return this.workerId;
    }, [0]), [0]);
    expectEqual(await pool.map(() => this.state.n, [0]), [5]);
}));

test('/gjs/control/init-exit-and-shared-objects', async () => {
    const pool = new Wp.WorkerPool({
        n_jobs: 2,
        keep_alive: true,
        worker_init: `${TASKS}#begin`,
        worker_exit: `${TASKS}#end`,
        shared_objects: {word: 'begun', numbers: new Float64Array(20000).fill(0.25)},
    });

    expectEqual(await pool.map(`${TASKS}#getBegun`, range(4)), Array(4).fill(['begun', 0.25]));
    await pool.join();
    expectEqual(pool.exitResults()[0], {begun: 'begun', n: 0}, 'the first exit result');
});

test('/gjs/control/init-may-be-shipped', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 1, worker_init() {
        this.state.ready = true;
    }});

    expectEqual(await pool.map(() => this.state.ready, [0]), [true]);
    await pool.join();
});

// Functions of others

test('/gjs/foreign/functions-of-a-c-module', () => withPool({}, async pool => {
    const numbers = range(300).map(n => new GLib.Variant('i', n));
    const results = await pool.map(`${MODULE}:square`, numbers);

    expectEqual(results.map(result => result.unpack()), squares(300));
    expectEqual((await pool.apply(`${MODULE}:square`, [new GLib.Variant('i', 9)])).unpack(), 81);
    const error = await getError(pool.apply(`${MODULE}:fail`));
    expect(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND), `${error}`);
}));

test('/gjs/foreign/exports-are-called-by-name-with-variants', () => withPool({}, async pool => {
    await pool.apply(() => 1);
    expectEqual(pool.apply(`${TASKS}#byGLib`, new GLib.Variant('i', 6), null, null).unpack(), 36);
    expectEqual(pool.map(`${TASKS}#byGLib`, new GLib.Variant('ai', [1, 2]), null, null).recursiveUnpack(), [1, 4]);
}));

main(expectNoChildren);
