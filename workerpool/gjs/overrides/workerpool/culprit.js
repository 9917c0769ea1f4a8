// SPDX-License-Identifier: LGPL-2.1-or-later

// What cannot travel, and where it is in a value.

/* exported Uncloneable, find, getFlaw, tagOf */

var tagOf = value => Object.prototype.toString.call(value).slice(8, -1);

// A value, or a part of it, that cannot travel; path leads to it from the value.
var Uncloneable = class Uncloneable extends TypeError {
    constructor(path, what) {
        super(`${path} is ${what}, which cannot be sent to another process`);
        this.name = 'DataCloneError';
        this.path = path;
    }
};

const REFUSED = {
    Promise: 'a promise',
    WeakMap: 'a WeakMap',
    WeakSet: 'a WeakSet',
    WeakRef: 'a WeakRef',
    Generator: 'a generator',
    AsyncGenerator: 'an asynchronous generator',
    SharedArrayBuffer: 'a SharedArrayBuffer',
    FinalizationRegistry: 'a FinalizationRegistry',
};

// Why the value itself cannot travel, or null.
function getFlaw(value, foreign) {
    if (typeof value === 'function')
        return value.name ? `the function “${value.name}”` : 'a function';
    if (typeof value === 'symbol')
        return 'a symbol';
    if (typeof value !== 'object' || value === null)
        return null;
    return REFUSED[tagOf(value)] ?? foreign?.getFlaw(value) ?? null;
}

// A key as it is written in JavaScript.
function step(key) {
    if (typeof key === 'number')
        return `[${key}]`;
    return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

// The parts of an object with their paths, as the encoder visits them.
function* listParts(value, path) {
    if (value instanceof Map) {
        let n = 0;
        for (const [key, part] of value) {
            yield [key, `${path}.keys()[${n}]`];
            yield [part, typeof key === 'string' ? `${path}.get(${JSON.stringify(key)})` : `${path}.values()[${n}]`];
            n++;
        }
    } else if (value instanceof Set) {
        let n = 0;
        for (const part of value)
            yield [part, `${path}.values()[${n++}]`];
    } else if (Array.isArray(value)) {
        for (const index in value)
            yield [value[index], path + (/^\d+$/.test(index) ? `[${index}]` : step(index))];
    } else if (value instanceof Error) {
        yield [value.cause, `${path}.cause`];
    } else if (!ArrayBuffer.isView(value)) {
        for (const key of Object.keys(value))
            yield [value[key], path + step(key)];
    }
}

// What cannot travel of a value whose encoding failed.
function find(root, name, foreign) {
    const seen = new Set();
    const waiting = [[root, name]];

    while (waiting.length > 0) {
        const [value, path] = waiting.shift();
        const flaw = getFlaw(value, foreign);

        if (flaw !== null)
            return new Uncloneable(path, flaw);
        if (typeof value !== 'object' || value === null || seen.has(value) || foreign?.find(value) >= 0)
            continue;
        seen.add(value);
        waiting.push(...listParts(value, path));
    }

    return null;
}
