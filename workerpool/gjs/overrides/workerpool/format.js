// SPDX-License-Identifier: LGPL-2.1-or-later

// How values become bytes: what structured clone carries, and nothing of GLib.
//
// A message is a head and pieces. The head describes the value. Buffers of at least LARGE bytes are pieces of their
// own, which it only numbers, so that nobody copies them to put them in.
//
// The head begins with two numbers, of 32 bits each: how long the text is, in bytes, and how it is encoded. What
// describes the value follows, and then the text: all strings in one, in the order in which the value has them, because
// converting a thousand strings costs much more than converting one.
//
// Everything is little-endian. A value begins with its tag; lengths and numbers of things are varints.
// Objects are numbered in the order in which they are met, on both sides alike, and are named by that number when they
// are met again: so cycles and what is shared stay as they are. The keys of objects are numbered likewise.

/* exported BODY, ERRORS, LARGE, TEXT, VIEWS, Tag */

var LARGE = 65536;

// UTF-16 is for what UTF-8 cannot say: halves of surrogate pairs.
var TEXT = {UTF8: 0, UTF16: 1};

// Where the description begins.
var BODY = 8;

var Tag = {
    UNDEFINED: 0,
    NULL: 1,
    TRUE: 2,
    FALSE: 3,
    INT: 4,
    DOUBLE: 5,
    BIGINT: 6,
    STRING: 7,
    ARRAY: 8,
    SPARSE: 9,
    INTS: 10,
    DOUBLES: 11,
    OBJECT: 12,
    DATE: 13,
    REGEXP: 14,
    BOXED: 15,
    MAP: 16,
    SET: 17,
    ERROR: 18,
    BUFFER: 19,
    PIECE: 20,
    VIEW: 21,
    AGAIN: 22,
    FOREIGN: 23,
    // The rest are the small numbers themselves.
    SMALL: 32,
};

var VIEWS = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array, DataView,
];

var ERRORS = [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, Error];
