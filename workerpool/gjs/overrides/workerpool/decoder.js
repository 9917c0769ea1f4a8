// SPDX-License-Identifier: LGPL-2.1-or-later

// From bytes to values; see format.js. What it reads is another process's, and may be anything.

/* exported decode */

const {BODY, ERRORS, TEXT, Tag, VIEWS} = imports.overrides.workerpool.format;


const CODES_AT_ONCE = 8192;

const utf8 = new TextDecoder();

function decodeText(bytes, encoding) {
    if (encoding === TEXT.UTF8)
        return utf8.decode(bytes);

    const codes = new Uint16Array(bytes.slice().buffer, 0, bytes.length >> 1);
    const parts = [];
    for (let i = 0; i < codes.length; i += CODES_AT_ONCE)
        parts.push(String.fromCharCode.apply(null, codes.subarray(i, i + CODES_AT_ONCE)));
    return parts.join('');
}

class Decoder {
    constructor(head, pieces, foreign) {
        this.bytes = head;
        this.view = new DataView(head.buffer, head.byteOffset, head.length);
        this.pieces = pieces;
        this.foreign = foreign;
        this.objects = [];
        this.keys = [];

        this.end = head.length;
        this.position = 0;
        this.skip(BODY);
        const textLength = this.view.getUint32(0, true);
        this.skip(textLength);
        this.end -= textLength;
        this.position = BODY;
        this.text = textLength > 0 ? decodeText(head.subarray(this.end), this.view.getUint32(4, true)) : '';
        this.textPosition = 0;
    }

    fail(what) {
        throw new RangeError(`a message is broken: ${what} at ${this.position} of ${this.bytes.length} bytes`);
    }

    byte() {
        if (this.position >= this.end)
            this.fail('it ends too early');
        return this.bytes[this.position++];
    }

    varint() {
        let value = 0, factor = 1, byte;

        do {
            byte = this.byte();
            value += (byte & 127) * factor;
            factor *= 128;
        } while (byte >= 128);

        return value;
    }

    // Where what has this size begins.
    skip(size) {
        const start = this.position;

        if (size > this.end - start)
            this.fail(`${size} bytes are missing`);
        this.position += size;
        return start;
    }

    double() {
        return this.view.getFloat64(this.skip(8), true);
    }

    align(size) {
        this.skip((size - this.position % size) % size);
    }

    // Every one of them takes a byte at least.
    count() {
        const n = this.varint();

        if (n > this.end - this.position)
            this.fail(`${n} parts are missing`);
        return n;
    }

    string() {
        const end = this.textPosition + this.varint();

        if (end > this.text.length)
            this.fail('a string is missing');
        const string = this.text.slice(this.textPosition, end);
        this.textPosition = end;
        return string;
    }

    key() {
        const number = this.varint();

        if (number > this.keys.length)
            this.fail('a key is missing');
        if (number > 0)
            return this.keys[number - 1];
        const key = this.string();
        this.keys.push(key);
        return key;
    }

    // Before its parts, as they may name it.
    met(object) {
        this.objects.push(object);
        return object;
    }

    value() {
        const tag = this.byte();

        if (tag >= Tag.SMALL)
            return tag - Tag.SMALL;
        switch (tag) {
        case Tag.UNDEFINED:
            return undefined;
        case Tag.NULL:
            return null;
        case Tag.TRUE:
            return true;
        case Tag.FALSE:
            return false;
        case Tag.INT:
            return this.view.getInt32(this.skip(4), true);
        case Tag.DOUBLE:
            return this.double();
        case Tag.BIGINT:
            return this.bigint();
        case Tag.STRING:
            return this.string();
        case Tag.ARRAY:
            return this.array();
        case Tag.OBJECT:
            return this.pairs(this.met({}));
        default:
            return this.special(tag);
        }
    }

    special(tag) {
        switch (tag) {
        case Tag.SPARSE:
            return this.pairs(this.met(new Array(this.varint())));
        case Tag.INTS:
            return this.met(Array.from(this.block(Int32Array)));
        case Tag.DOUBLES:
            return this.met(Array.from(this.block(Float64Array)));
        case Tag.DATE:
            return this.met(new Date(this.double()));
        case Tag.REGEXP:
            return this.met(new RegExp(this.string(), this.string()));
        case Tag.BOXED:
            return this.met(Object(this.value()));
        case Tag.MAP:
            return this.map();
        case Tag.SET:
            return this.set();
        case Tag.ERROR:
            return this.error();
        case Tag.BUFFER:
            return this.buffer();
        case Tag.PIECE:
            return this.piece();
        case Tag.VIEW:
            return this.bufferView();
        case Tag.AGAIN:
            return this.again();
        case Tag.FOREIGN:
            return this.foreigner();
        default:
            return this.fail(`there is an unknown tag ${tag}`);
        }
    }

    bigint() {
        const digits = this.string();

        return digits.startsWith('-') ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`);
    }

    again() {
        const number = this.varint();

        if (number >= this.objects.length)
            this.fail('it names an object that was not there');
        return this.objects[number];
    }

    array() {
        const n = this.count();
        const array = this.met(new Array(n));

        for (let i = 0; i < n; i++)
            array[i] = this.value();
        return array;
    }

    block(type) {
        const n = this.varint();
        const size = type.BYTES_PER_ELEMENT;

        this.align(size);
        const start = this.skip(n * size);
        const {buffer, byteOffset} = this.bytes;
        return (byteOffset + start) % size === 0
            ? new type(buffer, byteOffset + start, n)
            : new type(this.bytes.slice(start, start + n * size).buffer);
    }

    pairs(object) {
        const n = this.count();

        for (let i = 0; i < n; i++) {
            const key = this.key();
            const value = this.value();

            if (key === '__proto__')
                Object.defineProperty(object, key, {value, writable: true, enumerable: true, configurable: true});
            else
                object[key] = value;
        }
        return object;
    }

    map() {
        const n = this.count();
        const map = this.met(new Map());

        for (let i = 0; i < n; i++) {
            const key = this.value();
            map.set(key, this.value());
        }
        return map;
    }

    set() {
        const n = this.count();
        const set = this.met(new Set());

        for (let i = 0; i < n; i++)
            set.add(this.value());
        return set;
    }

    error() {
        const type = ERRORS[this.byte()] ?? this.fail('there is an unknown kind of error');
        const name = this.string();
        const error = this.met(new type(this.string()));
        const define = (key, value) =>
            Object.defineProperty(error, key, {value, writable: true, enumerable: false, configurable: true});

        if (error.name !== name)
            define('name', name);
        define('stack', this.string());
        if (this.byte() !== 0)
            define('cause', this.value());
        return error;
    }

    buffer() {
        const n = this.count();
        const start = this.skip(n);

        return this.met(this.bytes.slice(start, start + n).buffer);
    }

    piece() {
        const number = this.varint();

        if (number >= this.pieces.length)
            this.fail('a piece is missing');
        return this.met(this.pieces[number]().buffer);
    }

    bufferView() {
        const type = VIEWS[this.byte()] ?? this.fail('there is an unknown kind of array');
        const offset = this.varint();
        const length = this.varint();
        const place = this.objects.push(null) - 1;
        const buffer = this.value();

        if (!(buffer instanceof ArrayBuffer))
            this.fail('an array has no buffer');
        this.objects[place] = new type(buffer, offset, length);
        return this.objects[place];
    }

    foreigner() {
        const kind = this.varint();
        const place = this.objects.push(null) - 1;

        this.objects[place] = this.foreign.give(kind, this.value());
        return this.objects[place];
    }
}

// 'pieces' are functions that return a piece each, as a Uint8Array that has its buffer for itself.
function decode(head, pieces = [], foreign = null) {
    return new Decoder(head, pieces, foreign).value();
}
