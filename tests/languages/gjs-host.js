// SPDX-License-Identifier: LGPL-2.1-or-later

// A host written in JavaScript: its functions are run in workers for callers in any language.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';
import Wp from 'gi://WorkerPool?version=1.0';

const functions = {
    // Answers with what it got twice, behind the index of its task.
    double(context, args) {
        let data = new TextDecoder().decode(args.deepUnpack());
        for (;;) {
            const answer = new TextEncoder().encode(`${context.get_task_index()}:${data}${data}`);
            const next = context.exchange(answer);
            if (!next?.length)
                return GLib.Variant.new_from_bytes(new GLib.VariantType('ay'), new GLib.Bytes(answer), true);
            data = new TextDecoder().decode(next);
        }
    },

    square(context, args) {
        return GLib.Variant.new_int64(args.unpack() ** 2);
    },

    echo(context, args) {
        return args;
    },

    fail() {
        throw new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND, 'failed as asked');
    },

    throw() {
        throw new TypeError('an exception of the language');
    },

    where(context) {
        return new GLib.Variant('(utb)',
            [context.get_worker_id(), context.get_task_index(), context.is_cancelled()]);
    },

    objects(context) {
        return context.get_shared_objects();
    },
};

for (const name in functions)
    Wp.register_function(name, functions[name]);

System.exit(Wp.Worker.main());
