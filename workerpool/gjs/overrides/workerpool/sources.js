// SPDX-License-Identifier: LGPL-2.1-or-later

// Where the items of a map come from: arrays, iterables and asynchronous iterables behind one interface.
//
// take (most) returns some items, at least one unless there is none now; isEmpty tells that none will come; left is how
// many will, or null when nobody knows. An asynchronous source calls onChange when there is something to take, or the
// end, or an error, which take () then throws. close () tells it that nobody will take the rest.

/* exported open */

class ArraySource {
    constructor(array) {
        this._array = array;
        this._position = 0;
    }

    get left() {
        return this._array.length - this._position;
    }

    get isEmpty() {
        return this.left <= 0;
    }

    take(most) {
        const items = Array.prototype.slice.call(this._array, this._position, this._position + most);
        this._position += items.length;
        return items;
    }

    close() {}
}

class IteratorSource {
    constructor(iterable) {
        this._iterator = iterable[Symbol.iterator]();
        this.isEmpty = false;
        this.left = null;
    }

    take(most) {
        const items = [];

        while (items.length < most && !this.isEmpty) {
            const {value, done} = this._next();
            if (done)
                this.isEmpty = true;
            else
                items.push(value);
        }
        return items;
    }

    // One that has thrown is not asked to close.
    _next() {
        try {
            return this._iterator.next();
        } catch (error) {
            this.isEmpty = true;
            throw error;
        }
    }

    close() {
        if (!this.isEmpty) {
            this.isEmpty = true;
            this._iterator.return?.();
        }
    }
}

// Holds one item at a time: it is asked for the next when that is taken.
class AsyncSource {
    constructor(iterable, onChange) {
        this._iterator = iterable[Symbol.asyncIterator]();
        this._onChange = onChange;
        this._held = [];
        this._error = null;
        this._ended = false;
        this.left = null;
        this._ask();
    }

    get isEmpty() {
        return this._ended && this._held.length === 0 && this._error === null;
    }

    async _ask() {
        try {
            const {value, done} = await this._iterator.next();
            if (done)
                this._ended = true;
            else if (!this._ended)
                this._held.push(value);
        } catch (error) {
            this._error = [error];
            this._ended = true;
        }
        this._onChange();
    }

    take() {
        if (this._error !== null) {
            const [error] = this._error;
            this._error = null;
            throw error;
        }

        const items = this._held;
        this._held = [];
        if (items.length > 0 && !this._ended)
            this._ask();
        return items;
    }

    close() {
        if (this._ended)
            return;
        this._ended = true;
        this._held = [];
        // Its end interests nobody.
        Promise.resolve(this._iterator.return?.()).catch(() => {});
    }
}

function open(items, onChange) {
    if (Array.isArray(items) || ArrayBuffer.isView(items) && !(items instanceof DataView))
        return new ArraySource(items);
    if (typeof items?.[Symbol.iterator] === 'function')
        return new IteratorSource(items);
    if (typeof items?.[Symbol.asyncIterator] === 'function')
        return new AsyncSource(items, onChange);
    throw new TypeError(`the items are ${describe(items)}, which is not iterable: give an array, or anything that ` +
        'for…of or for await…of takes');
}

function describe(items) {
    if (typeof items === 'object' && items !== null)
        return Object.prototype.toString.call(items);
    return typeof items === 'function' ? 'a function' : String(items);
}
