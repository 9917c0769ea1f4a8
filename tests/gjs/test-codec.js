// SPDX-License-Identifier: LGPL-2.1-or-later

// The codec alone: no pool, no process.

import GLib from 'gi://GLib';
import {expect, expectEqual, expectMatch, getError, main, range, test} from './tap.js';
import {Random, compare, makeValue} from './random-values.js';

const {encode} = imports.overrides.workerpool.encoder;
const {decode} = imports.overrides.workerpool.decoder;

const N_GRAPHS = 1500;
const N_BROKEN = 1500;

function copy(value, foreign = null) {
    const [head, pieces] = encode(value, 'value', foreign);

    return decode(head.slice(), pieces.map(piece => () => piece.slice()), foreign);
}

test('/gjs/codec/random-graphs-come-back-the-same', () => {
    const seed = Number(GLib.getenv('WORKERPOOL_TEST_SEED') ?? GLib.random_int());

    for (let i = 0; i < N_GRAPHS; i++) {
        const value = makeValue(new Random(seed + i));
        try {
            compare(value, copy(value));
        } catch (error) {
            throw new Error(`with WORKERPOOL_TEST_SEED=${seed + i}: ${error}\n${error.stack}`);
        }
    }
});

test('/gjs/codec/broken-messages-throw-and-do-nothing-else', () => {
    const random = new Random(GLib.random_int());
    let nThrown = 0;

    for (let i = 0; i < N_BROKEN; i++) {
        const head = encode(makeValue(random, 3))[0].slice(0, 400);
        for (let n = random.below(3); n >= 0; n--)
            head[random.below(head.length)] = random.below(256);
        try {
            decode(head, []);
        } catch (error) {
            expect(error instanceof Error, `${error} was thrown`);
            nThrown++;
        }
    }
    expect(nThrown > N_BROKEN / 10, `only ${nThrown} messages were broken`);
});

test('/gjs/codec/cycles-and-shared-parts-stay', () => {
    const shared = {x: 1};
    const value = {list: [shared, shared], map: new Map([[shared, 1]])};

    value.self = value;
    value.list.push(value.list);
    const other = copy(value);
    expect(other.self === other && other.list[0] === other.list[1] && other.list[2] === other.list, 'a cycle is gone');
    expect([...other.map.keys()][0] === other.list[0], 'a key of a map is another object');
});

test('/gjs/codec/views-of-one-buffer-share-it', () => {
    const buffer = new ArrayBuffer(100000);
    const [a, b] = copy([new Uint8Array(buffer, 10, 20), new Float64Array(buffer)]);

    expect(a.buffer === b.buffer && a.buffer.byteLength === 100000, 'the buffers are two');
    b[1] = 0.1;
    expect(a[5] !== 0, 'one does not see what is written through the other');
});

test('/gjs/codec/large-buffers-are-pieces', () => {
    const large = new Uint8Array(65536).fill(7);
    const [head, pieces] = encode({large, small: new Uint8Array(65535)});

    expect(pieces.length === 1 && pieces[0].buffer === large.buffer, 'the large buffer was copied');
    expect(head.length > 65535 && head.length < 66000, `the head has ${head.length} bytes`);
});

test('/gjs/codec/class-instances-become-plain-objects', () => {
    class Point {
        constructor() {
            this.x = 1;
        }

        get double() {
            return 2 * this.x;
        }
    }
    const point = copy(new Point());

    expect(Object.getPrototypeOf(point) === Object.prototype, 'it has a class');
    expectEqual(point, {x: 1});
});

test('/gjs/codec/error-keeps-its-chain', () => {
    const error = copy(new RangeError('outer', {cause: new TypeError('inner')}));

    expect(error instanceof RangeError && error.cause instanceof TypeError, `${error} ← ${error.cause}`);
    expectEqual([error.message, error.cause.message], ['outer', 'inner']);
    expectMatch(error.stack, /test-codec\.js/);
});

test('/gjs/codec/what-cannot-travel-is-named-with-its-path', async () => {
    const cases = [
        [[0, 1, 2, {callback() {}}], 'value[3].callback is the function “callback”'],
        [{'a key': Symbol('s')}, 'value["a key"] is a symbol'],
        [{a: {b: Promise.resolve()}}, 'value.a.b is a promise'],
        [new Map([['k', [new WeakMap()]]]), 'value.get("k")[0] is a WeakMap'],
        [new Map([[() => {}, 1]]), 'value.keys()[0] is a function'],
        [new Set([1, Symbol('s')]), 'value.values()[1] is a symbol'],
        [new Error('e', {cause: () => {}}), 'value.cause is the function “cause”'],
        [(function* () {})(), 'value is a generator'],
        [() => {}, 'value is a function'],
    ];

    for (const [value, message] of cases) {
        const error = await getError(() => encode(value));
        expectEqual(error.name, 'DataCloneError');
        expect(error.message.startsWith(message), `${error.message} does not begin with ${message}`);
    }
});

test('/gjs/codec/what-a-getter-throws-is-thrown', async () => {
    const error = await getError(() => encode({get x() {
        throw new RangeError('from the getter');
    }}));

    expect(error instanceof RangeError, `${error} was thrown`);
});

test('/gjs/codec/too-deep-a-value-is-refused', async () => {
    let deep = [];

    for (const _ of range(1000000))
        deep = [deep];
    expectMatch((await getError(() => encode(deep, 'items'))).message, /^items is nested too deeply/);
});

test('/gjs/codec/foreign-types-have-their-say', async () => {
    class Far {
        constructor(x) {
            this.x = x;
        }
    }
    const foreign = {
        find: object => object instanceof Far ? 0 : -1,
        take: (kind, object) => [object.x],
        give: (kind, [x]) => new Far(x),
        getFlaw: object => object instanceof Error ? 'an error' : null,
    };
    const far = new Far({deep: true});
    const [a, b, c] = copy([far, far, new Far(undefined)], foreign);

    expect(a instanceof Far && a === b && a.x.deep && c.x === undefined, 'they came back changed');
});

main();
