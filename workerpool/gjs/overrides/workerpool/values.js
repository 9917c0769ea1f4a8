// SPDX-License-Identifier: LGPL-2.1-or-later

// Values as variants that a pool carries: the codec, and the types of GLib that go through it as they are.

/* exported fromVariant, toVariant */

const {GLib, GObject} = imports.gi;
const {decode} = imports.overrides.workerpool.decoder;
const {encode} = imports.overrides.workerpool.encoder;

const BYTES = new GLib.VariantType('ay');
const PIECES = 'aay';

const bufferOf = bytes => bytes.toArray().buffer;
const bytesOf = buffer => new GLib.Bytes(new Uint8Array(buffer));

// In the order of their numbers.
const KINDS = [
    {
        type: GLib.Variant,
        take: variant => [variant.get_type_string(), bufferOf(variant.get_data_as_bytes())],
        give: ([type, buffer]) => GLib.Variant.new_from_bytes(new GLib.VariantType(type), bytesOf(buffer), false),
    },
    {
        type: GLib.Bytes,
        take: bufferOf,
        give: bytesOf,
    },
    {
        type: GLib.Error,
        take: error => [GLib.quark_to_string(error.domain), error.code, error.message, error.stack],
        give: ([domain, code, message, stack]) =>
            Object.assign(GLib.Error.new_literal(GLib.quark_from_string(domain), code, message), {stack}),
    },
];

const foreign = {
    find(object) {
        return KINDS.findIndex(({type}) => object instanceof type);
    },

    take(kind, object) {
        return KINDS[kind].take(object);
    },

    give(kind, value) {
        if (!(kind in KINDS))
            throw new RangeError(`a message is broken: there is no kind ${kind} of objects`);
        return KINDS[kind].give(value);
    },

    getFlaw(object) {
        const {constructor} = object;

        if (object instanceof GObject.Object)
            return `a GObject (${constructor.name})`;
        // Object itself has one too.
        if (this.find(object) < 0 && constructor !== Object && Object.hasOwn(constructor ?? {}, '$gtype'))
            return `an object of the type ${constructor.name}`;
        return null;
    },
};

// A message is an "ay". One with pieces is an "aay", of its head and them, so that nobody has to put them together.
function toVariant(value, name) {
    const [head, pieces] = encode(value, name, foreign);
    const parts = [head, ...pieces].map(bytes => GLib.Variant.new_from_bytes(BYTES, bytes, true));

    return pieces.length === 0 ? parts[0] : GLib.Variant.new_array(BYTES, parts);
}

function fromVariant(variant) {
    const head = variant.get_type_string() === PIECES ? variant.get_child_value(0) : variant;
    const pieces = [];

    if (head !== variant) {
        for (let i = 1; i < variant.n_children(); i++)
            pieces.push(() => variant.get_child_value(i).get_data_as_bytes().toArray().slice());
    }

    return decode(head.get_data_as_bytes().toArray(), pieces, foreign);
}
