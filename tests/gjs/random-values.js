// SPDX-License-Identifier: LGPL-2.1-or-later

// Random graphs of what structured clone carries, and whether two of them are the same.

// A generator of its own: a seed makes the same values again.
export class Random {
    constructor(seed) {
        this._state = seed >>> 0 || 1;
    }

    // From 0, below n.
    below(n) {
        let x = this._state;
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        this._state = x >>> 0;
        return this._state % n;
    }

    pick(array) {
        return array[this.below(array.length)];
    }
}

const NUMBERS = [0, -0, 1, -1, 222, 223, 224, 255, 256, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53, -(2 ** 53), 0.1,
    1e308, 5e-324, NaN, Infinity, -Infinity];
const STRINGS = ['', 'a', 'naïve', 'ÿ', 'Ā', '日本語', '👍', '\ud800', '\udc00x', 'a\0b', '\ufeffmark', '__proto__', 'constructor',
    'x'.repeat(300), '日'.repeat(9000), 'y'.repeat(20000)];
const BIGINTS = [0n, 1n, -1n, 2n ** 64n, -(2n ** 200n), 255n];
const VIEWS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array, DataView];
const ERRORS = [Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];

function makeBuffer(random) {
    const bytes = new Uint8Array(8 * random.pick([0, 1, 5, 100, 8192, 20000]));

    for (let i = 0; i < Math.min(bytes.length, 64); i++)
        bytes[i] = random.below(256);
    return bytes.buffer;
}

function makeView(random, buffer) {
    const type = random.pick(VIEWS);
    const size = type.BYTES_PER_ELEMENT ?? 1;
    const offset = size * random.below(buffer.byteLength / size + 1);
    const length = random.below((buffer.byteLength - offset) / size + 1);

    return new type(buffer, offset, length);
}

function makeError(random, make) {
    const error = new (random.pick(ERRORS))(random.pick(STRINGS));

    if (random.below(2) === 0)
        Object.defineProperty(error, 'cause', {value: make(), writable: true, enumerable: false, configurable: true});
    if (random.below(3) === 0)
        Object.defineProperty(error, 'name', {value: 'CustomError', enumerable: false});
    return error;
}

function fill(random, n, add) {
    for (let i = random.below(n); i > 0; i--)
        add();
}

export function makeValue(random, depth = 4, made = []) {
    const make = () => makeValue(random, depth - 1, made);
    const keep = object => (made.push(object), object);
    const kind = random.below(depth > 0 ? 22 : 8);

    switch (kind) {
    case 0:
        return random.pick(NUMBERS);
    case 1:
        return random.below(2 ** 31) * random.pick([1, -1, 0.5, 4096]);
    case 2:
        return random.pick(STRINGS);
    case 3:
        return random.pick([undefined, null, true, false]);
    case 4:
        return random.pick(BIGINTS);
    case 5:
        return made.length > 0 ? random.pick(made) : null;
    case 6:
        return keep(new Date(random.pick([0, 1e12, -1, NaN])));
    case 7:
        return keep(random.pick([() => /a+/giu, () => /[/]\n/, () => Object(true), () => Object('s'), () => Object(4n),
            () => Object(-0)])());
    case 8: case 9: case 10: {
        const array = keep([]);
        fill(random, 6, () => array.push(make()));
        return array;
    }
    case 11: {
        const array = keep([]);
        fill(random, 40, () => array.push(random.pick([1, 2, -5, 70000])));
        return array;
    }
    case 12: {
        const array = keep([]);
        fill(random, 40, () => array.push(random.pick(NUMBERS)));
        return array;
    }
    case 13: {
        const array = keep([]);
        array.length = random.below(20);
        if (array.length > 3)
            array[random.below(array.length)] = make();
        array.extra = make();
        return array;
    }
    case 14: case 15: case 16: {
        const object = keep(random.below(5) === 0 ? Object.create(null) : {});
        fill(random, 6, () => Object.defineProperty(object, random.pick(STRINGS),
            {value: make(), enumerable: true, writable: true, configurable: true}));
        return object;
    }
    case 17: {
        const map = keep(new Map());
        fill(random, 5, () => map.set(make(), make()));
        return map;
    }
    case 18: {
        const set = keep(new Set());
        fill(random, 5, () => set.add(make()));
        return set;
    }
    case 19:
        return keep(makeBuffer(random));
    case 20: {
        const buffers = made.filter(object => object instanceof ArrayBuffer);
        return keep(makeView(random, buffers.length > 0 ? random.pick(buffers) : keep(makeBuffer(random))));
    }
    default:
        return keep(makeError(random, make));
    }
}

const typeOf = object => Object.prototype.toString.call(object);

// What a value consists of, in an order that its copy has too: what is alike alone, and then the parts.
function take(value) {
    const type = typeOf(value);

    switch (type) {
    case '[object Date]': case '[object Boolean]': case '[object Number]': case '[object String]':
    case '[object BigInt]':
        return [[value.valueOf()], []];
    case '[object RegExp]':
        return [[value.source, value.flags], []];
    case '[object Map]':
        return [[value.size], [...value].flat()];
    case '[object Set]':
        return [[value.size], [...value]];
    case '[object ArrayBuffer]':
        return [[value.byteLength, ...new Uint8Array(value)], []];
    case '[object Error]':
        return [[value.name, value.message, value.stack, value.constructor.name, 'cause' in value], [value.cause]];
    default:
        if (ArrayBuffer.isView(value))
            return [[value.byteOffset, value.byteLength], [value.buffer]];
        return [[type, value.length, ...Object.keys(value)], Object.keys(value).map(key => value[key])];
    }
}

// Throws at the first difference. Values that are one in one graph have to be one in the other.
export function compare(a, b, met = new Map()) {
    if (typeof a !== 'object' || a === null) {
        if (!Object.is(a, b))
            throw new Error(`${String(a)} (${typeof a}) became ${String(b)} (${typeof b})`);
        return;
    }
    if (met.has(a)) {
        if (met.get(a) !== b)
            throw new Error('what was one object became two');
        return;
    }
    if (typeof b !== 'object' || b === null || typeOf(a) !== typeOf(b))
        throw new Error(`${typeOf(a)} became ${typeOf(b)}`);
    met.set(a, b);

    const [facts, parts] = take(a);
    const [otherFacts, otherParts] = take(b);
    if (facts.length !== otherFacts.length || parts.length !== otherParts.length)
        throw new Error(`${typeOf(a)} has another number of parts`);
    facts.forEach((fact, i) => compare(fact, otherFacts[i], met));
    parts.forEach((part, i) => compare(part, otherParts[i], met));
}
