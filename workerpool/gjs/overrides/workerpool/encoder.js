// SPDX-License-Identifier: LGPL-2.1-or-later

// From values to bytes; see format.js.

/* exported encode */

const {BODY, ERRORS, LARGE, TEXT, Tag, VIEWS} = imports.overrides.workerpool.format;
const Culprit = imports.overrides.workerpool.culprit;
const {Uncloneable, getFlaw, tagOf} = Culprit;

const MOST_SMALL = 255 - Tag.SMALL;

// Arrays of numbers from this length on are written as one block.
const BLOCK = 8;

// Internal: the encoder met what cannot travel.
const STOPPED = Symbol('stopped');

// Whether it has all its elements, and nothing else.
function isDense(array) {
    const keys = Object.keys(array);
    const n = array.length;

    return keys.length === n && (n === 0 || keys[n - 1] === String(n - 1));
}

const utf8 = new TextEncoder();

function encodeText(text) {
    // Some decoders take the mark at the beginning away.
    if (!/[\ud800-\udfff]|^\ufeff/u.test(text))
        return [utf8.encode(text), TEXT.UTF8];

    const codes = new Uint16Array(text.length);
    for (let i = 0; i < codes.length; i++)
        codes[i] = text.charCodeAt(i);
    return [new Uint8Array(codes.buffer), TEXT.UTF16];
}

// What encoders write to, one after the other: making it anew costs more than most messages. Null while it is in use, as
// a getter may begin another message.
const LEAST_CAPACITY = 1024;
const MOST_KEPT = 1024 * 1024;

let scratch = null;

class Encoder {
    constructor(foreign) {
        this.foreign = foreign;
        this.pieces = [];
        this.texts = [];
        this.objects = null;
        this.keys = null;
        this.length = 0;
        if (scratch === null)
            this.allocate(LEAST_CAPACITY);
        else
            [this.bytes, this.view] = scratch;
        scratch = null;
        this.capacity = this.bytes.length;
        this.length = BODY;
    }

    allocate(capacity) {
        const bytes = new Uint8Array(capacity);

        if (this.length > 0)
            bytes.set(this.bytes.subarray(0, this.length));
        this.bytes = bytes;
        this.view = new DataView(bytes.buffer);
        this.capacity = capacity;
    }

    reserve(size) {
        if (this.capacity - this.length < size)
            this.allocate(Math.max(2 * this.capacity, this.length + size));
    }

    byte(value) {
        if (this.length === this.capacity)
            this.allocate(2 * this.capacity);
        this.bytes[this.length++] = value;
    }

    // The head.
    finish() {
        const [text, encoding] = this.texts.length > 0 ? encodeText(this.texts.join('')) : [null, TEXT.UTF8];
        const textLength = text?.length ?? 0;

        this.reserve(textLength);
        if (text !== null)
            this.bytes.set(text, this.length);
        this.view.setUint32(0, textLength, true);
        this.view.setUint32(4, encoding, true);
        const head = this.bytes.slice(0, this.length + textLength);

        if (this.capacity <= MOST_KEPT)
            scratch = [this.bytes, this.view];
        return head;
    }

    // Up to 2 ** 53.
    varint(value) {
        this.reserve(8);
        while (value >= 128) {
            this.bytes[this.length++] = value % 128 + 128;
            value = Math.floor(value / 128);
        }
        this.bytes[this.length++] = value;
    }

    number(value) {
        if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
            if (value >= 0 && value <= MOST_SMALL) {
                this.byte(Tag.SMALL + value);
            } else {
                this.reserve(5);
                this.bytes[this.length] = Tag.INT;
                this.view.setInt32(this.length + 1, value, true);
                this.length += 5;
            }
        } else {
            this.byte(Tag.DOUBLE);
            this.double(value);
        }
    }

    double(value) {
        this.reserve(8);
        this.view.setFloat64(this.length, value, true);
        this.length += 8;
    }

    // Of what follows, from the beginning of the head.
    align(size) {
        while (this.length % size !== 0)
            this.byte(0);
    }

    // Its length; the characters are the next of the text.
    string(value) {
        this.varint(value.length);
        this.texts.push(value);
    }

    key(key) {
        this.keys ??= new Map();
        const number = this.keys.get(key);

        if (number !== undefined) {
            this.varint(number + 1);
        } else {
            this.keys.set(key, this.keys.size);
            this.byte(0);
            this.string(key);
        }
    }

    // Whether the object was met before.
    again(object) {
        this.objects ??= new Map();
        const number = this.objects.get(object);

        if (number !== undefined) {
            this.byte(Tag.AGAIN);
            this.varint(number);
            return true;
        }
        this.objects.set(object, this.objects.size);
        return false;
    }

    value(value) {
        switch (typeof value) {
        case 'number':
            this.number(value);
            break;
        case 'string':
            this.byte(Tag.STRING);
            this.string(value);
            break;
        case 'object':
            if (value === null)
                this.byte(Tag.NULL);
            else if (!this.again(value))
                this.object(value);
            break;
        case 'boolean':
            this.byte(value ? Tag.TRUE : Tag.FALSE);
            break;
        case 'undefined':
            this.byte(Tag.UNDEFINED);
            break;
        case 'bigint':
            this.byte(Tag.BIGINT);
            this.string(value.toString(16));
            break;
        default:
            throw STOPPED;
        }
    }

    object(object) {
        const prototype = Object.getPrototypeOf(object);

        if (Array.isArray(object))
            this.array(object);
        else if (prototype === Object.prototype || prototype === null)
            this.properties(object);
        else
            this.special(object);
    }

    array(array) {
        const n = array.length;

        if (n >= BLOCK && this.numbers(array))
            return;
        if (!isDense(array)) {
            this.byte(Tag.SPARSE);
            this.varint(n);
            this.pairs(array);
            return;
        }
        this.byte(Tag.ARRAY);
        this.varint(n);
        for (let i = 0; i < n; i++)
            this.value(array[i]);
    }

    // As a block, when there is nothing else in the array.
    numbers(array) {
        const n = array.length;
        let ints = true;

        for (let i = 0; i < n; i++) {
            const value = array[i];
            if (typeof value !== 'number')
                return false;
            ints &&= (value | 0) === value && (value !== 0 || 1 / value > 0);
        }
        if (!isDense(array))
            return false;

        this.byte(ints ? Tag.INTS : Tag.DOUBLES);
        this.varint(n);
        const size = ints ? 4 : 8;
        this.align(size);
        this.reserve(n * size);
        new (ints ? Int32Array : Float64Array)(this.bytes.buffer, this.length, n).set(array);
        this.length += n * size;
        return true;
    }

    properties(object) {
        this.byte(Tag.OBJECT);
        this.pairs(object);
    }

    pairs(object) {
        const keys = Object.keys(object);

        this.varint(keys.length);
        for (const key of keys) {
            this.key(key);
            this.value(object[key]);
        }
    }

    special(object) {
        if (ArrayBuffer.isView(object))
            this.bufferView(object);
        else if (object instanceof ArrayBuffer)
            this.buffer(object);
        else if (object instanceof Map)
            this.map(object);
        else if (object instanceof Set)
            this.set(object);
        else if (object instanceof Error)
            this.error(object);
        else
            this.rare(object);
    }

    rare(object) {
        const tag = tagOf(object);
        const kind = this.foreign?.find(object) ?? -1;

        if (kind >= 0) {
            this.byte(Tag.FOREIGN);
            this.varint(kind);
            this.value(this.foreign.take(kind, object));
        } else if (object instanceof Date) {
            this.byte(Tag.DATE);
            this.double(object.getTime());
        } else if (object instanceof RegExp) {
            this.byte(Tag.REGEXP);
            this.string(object.source);
            this.string(object.flags);
        } else if (['Boolean', 'Number', 'String', 'BigInt'].includes(tag) && typeof object.valueOf() !== 'object') {
            this.byte(Tag.BOXED);
            this.value(object.valueOf());
        } else if (getFlaw(object, this.foreign) !== null) {
            throw STOPPED;
        } else {
            this.properties(object);
        }
    }

    map(map) {
        this.byte(Tag.MAP);
        this.varint(map.size);
        for (const [key, value] of map) {
            this.value(key);
            this.value(value);
        }
    }

    set(set) {
        this.byte(Tag.SET);
        this.varint(set.size);
        for (const value of set)
            this.value(value);
    }

    error(error) {
        this.byte(Tag.ERROR);
        this.byte(ERRORS.findIndex(type => error instanceof type));
        this.string(String(error.name));
        this.string(String(error.message));
        this.string(String(error.stack ?? ''));
        this.byte('cause' in error ? 1 : 0);
        if ('cause' in error)
            this.value(error.cause);
    }

    buffer(buffer) {
        const bytes = new Uint8Array(buffer);

        if (bytes.length >= LARGE) {
            this.byte(Tag.PIECE);
            this.varint(this.pieces.length);
            this.pieces.push(bytes);
        } else {
            this.byte(Tag.BUFFER);
            this.varint(bytes.length);
            this.reserve(bytes.length);
            this.bytes.set(bytes, this.length);
            this.length += bytes.length;
        }
    }

    bufferView(view) {
        this.byte(Tag.VIEW);
        this.byte(VIEWS.findIndex(type => view instanceof type));
        this.varint(view.byteOffset);
        this.varint(view.length ?? view.byteLength);
        this.value(view.buffer);
    }
}

// Returns the head, and the pieces. 'name' is what error messages call the value. 'foreign' knows types beside those
// of the language: find (object) gives the number of its kind or -1, take (kind, object) a value that says what it is,
// give (kind, value) the object again, getFlaw (object) why it cannot travel, or null.
function encode(value, name = 'value', foreign = null) {
    const encoder = new Encoder(foreign);

    try {
        encoder.value(value);
    } catch (error) {
        if (error === STOPPED)
            throw Culprit.find(value, name, foreign) ?? new Uncloneable(name, 'changing while it is read');
        if (error?.name === 'InternalError' && /recursion/.test(error.message))
            throw new Uncloneable(name, 'nested too deeply');
        throw error;
    }

    return [encoder.finish(), encoder.pieces];
}
