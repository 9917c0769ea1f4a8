// SPDX-License-Identifier: LGPL-2.1-or-later

// The program that a worker runs: gjs -m host.js.

import GLib from 'gi://GLib';
import System from 'system';

// Its own neighbours, wherever they are.
imports.searchPath.unshift(GLib.path_get_dirname(GLib.path_get_dirname(GLib.path_get_dirname(
    GLib.filename_from_uri(import.meta.url)[0]))));

imports.gi.versions.WorkerPool = '1.0';
const Wp = imports.gi.WorkerPool;
const {Runner} = imports.overrides.workerpool.runner;

const runner = new Runner(url => import(url));

Wp.set_function_finder(name => {
    const call = runner.find(name);

    if (call === null)
        return false;
    Wp.register_function(name, call);
    return true;
});
System.exit(Wp.Worker.main());
