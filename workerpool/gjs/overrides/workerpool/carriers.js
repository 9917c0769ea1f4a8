// SPDX-License-Identifier: LGPL-2.1-or-later

// How the items of a call reach a function, and its results come back: JavaScript's through the codec, and variants as
// they are for functions of other languages.

/* exported forFunction */

const {GLib} = imports.gi;
const Functions = imports.overrides.workerpool.functions;
const Messages = imports.overrides.workerpool.messages;

const {Way} = Messages;
const BYTES = new GLib.VariantType('ay');

class JavaScriptCarrier {
    constructor(description, way) {
        this.name = Functions.labelOf(description);
        this.isSingle = false;
        this.key = description;
        this._way = way;
    }

    write(items, first) {
        return Messages.writeRequest(this.key, this._way, items,
            i => this._way === Way.ITEM ? `items[${first + i}]` : 'args');
    }

    read(value) {
        return Messages.readReply(value);
    }

    readEvent(value, tell) {
        tell(...Messages.readEvent(value));
    }
}

class VariantCarrier {
    constructor(name, way) {
        this.name = name;
        this.key = name;
        this.isSingle = true;
        this._way = way;
    }

    write([item], first) {
        const variant = this._convert(this._way === Way.ITEM ? item : this._pick(item));

        if (variant === null) {
            throw new TypeError(`${this._way === Way.ITEM ? `items[${first}]` : 'args'} is no GLib.Variant, which the ` +
                `function “${this.name}” needs, as it is not JavaScript; GLib.Bytes and Uint8Array stand for “ay”`);
        }
        return variant;
    }

    // Such a function has one argument, or none.
    _pick(args) {
        return args.length === 0 ? new GLib.Variant('()', []) : args.length === 1 ? args[0] : null;
    }

    _convert(item) {
        if (item instanceof GLib.Variant)
            return item;
        if (item instanceof GLib.Bytes || item instanceof Uint8Array)
            return GLib.Variant.new_from_bytes(BYTES, item, true);
        return null;
    }

    read(value) {
        // Nobody knows how long it took.
        return [[value], [], Infinity];
    }

    readEvent(value, tell) {
        tell(0, value);
    }
}

function forFunction(fn, way) {
    return Functions.isForeign(fn)
        ? new VariantCarrier(fn, way)
        : new JavaScriptCarrier(Functions.describe(fn), way);
}
