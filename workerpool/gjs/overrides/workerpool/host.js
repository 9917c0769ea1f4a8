// SPDX-License-Identifier: LGPL-2.1-or-later

// The program that a worker runs: gjs -m host.js.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

// Its own neighbours, wherever they are.
imports.searchPath.unshift(GLib.path_get_dirname(GLib.path_get_dirname(GLib.path_get_dirname(
    GLib.filename_from_uri(import.meta.url)[0]))));
imports.gi.versions.WorkerPool = '1.0';

const Wp = imports.gi.WorkerPool;
const Rubbish = imports.overrides.workerpool.rubbish;
const {Runner} = imports.overrides.workerpool.runner;

// GJS calls nothing while it sweeps its heap, which may go on for as long as the worker waits: tasks are pulled.
function serve(worker) {
    const runner = new Runner(url => import(url));

    for (;;) {
        const [args, name] = worker.pull();
        if (args === null)
            break;
        let answer = null, error = null;
        try {
            answer = runner.call(worker.get_context(), name, args);
        } catch (thrown) {
            error = thrown;
        }
        if (error === null)
            worker.answer(answer);
        else if (error instanceof GLib.Error)
            worker.answer_error(GLib.quark_to_string(error.domain), error.code, error.message);
        else
            worker.answer_error('workerpool-javascript-error', 0, `${error}`);
        Rubbish.note(args, answer);
    }
}

function main() {
    try {
        serve(Wp.Worker.new());
        return 0;
    } catch (error) {
        if (error instanceof GLib.Error && error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.CLOSED))
            return 1;
        printerr(`host.js: ${error.message}`);
        return 2;
    }
}

System.exit(main());
