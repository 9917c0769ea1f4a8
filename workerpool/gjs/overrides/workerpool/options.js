// SPDX-License-Identifier: LGPL-2.1-or-later

// The options of a call: those of WpTaskOptions, and those that only a language can have.

/* exported read */

const {Gio} = imports.gi;

const camel = key => key.replace(/[-_](\w)/g, (_, letter) => letter.toUpperCase());

function checkType(condition, key, value, expected) {
    if (!condition)
        throw new TypeError(`the option “${key}” is ${String(value)}; it has to be ${expected}`);
}

// What is wrong here, GObject says. Null: there are none.
function makeTask(Wp, known, retryErrors) {
    if (Object.keys(known).length === 0 && retryErrors.length === 0)
        return null;
    const task = new Wp.TaskOptions(known);
    for (const [domain, code] of retryErrors)
        task.add_retry_error(domain, code);
    return task;
}

// Keys are written as in JavaScript, or as those of GObject.
function read(options) {
    const Wp = imports.gi.WorkerPool;
    const known = {};
    const own = {cancellable: null, onEvent: null, retryErrors: [], onError: Wp.OnError.STOP, maxActiveTasks: 0};

    checkType(typeof options === 'object' && !(options instanceof Wp.TaskOptions), 'options', options,
        'a plain object, such as {chunkSize: 10}');
    for (const [key, value] of Object.entries(options ?? {})) {
        const name = camel(key);
        if (name in own)
            own[name] = value;
        else
            known[name] = value;
    }
    const {cancellable, onEvent, retryErrors, maxActiveTasks} = own;
    checkType(cancellable === null || cancellable instanceof Gio.Cancellable, 'cancellable', cancellable,
        'a Gio.Cancellable');
    checkType(onEvent === null || typeof onEvent === 'function', 'onEvent', onEvent, 'a function');
    checkType(Array.isArray(retryErrors), 'retryErrors', retryErrors, 'an array of pairs such as [Gio.IOErrorEnum, ' +
        'Gio.IOErrorEnum.BUSY]');
    checkType(Number.isInteger(maxActiveTasks) && maxActiveTasks >= 0, 'maxActiveTasks', maxActiveTasks,
        'a number from 0');
    return {...own, task: makeTask(Wp, known, retryErrors)};
}
