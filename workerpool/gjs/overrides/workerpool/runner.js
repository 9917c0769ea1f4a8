// SPDX-License-Identifier: LGPL-2.1-or-later

// Runs what requests ask for, in a worker.

/* exported Runner */

const System = imports.system;

const {GLib, WorkerPool: Wp} = imports.gi;
const Messages = imports.overrides.workerpool.messages;
const {Task} = imports.overrides.workerpool.task;
const Functions = imports.overrides.workerpool.functions;
const {toVariant} = imports.overrides.workerpool.values;

const {Names} = Functions;
const {Way} = Messages;

// What is waited for calls back, which the interpreter refuses while it sweeps its heap. So that is done before; but
// not more often than this.
const SWEEP_INTERVAL_US = 200000;

let swept = GLib.get_monotonic_time();

function sweep() {
    const now = GLib.get_monotonic_time();

    if (now - swept < SWEEP_INTERVAL_US)
        return;
    swept = now;
    System.gc();
}

// What a promise comes to. Its jobs, and what it waits for, need the main context.
function settle(promise) {
    const context = GLib.MainContext.default();
    let outcome = null;

    promise.then(value => (outcome = {value}), error => (outcome = {error}));
    while (outcome === null && context.iteration(false))
        ;
    if (outcome === null)
        sweep();
    while (outcome === null)
        context.iteration(true);
    if ('error' in outcome)
        throw outcome.error;
    return outcome.value;
}

const isThenable = value => typeof value === 'object' && value !== null && typeof value.then === 'function';
const isGenerator = value => typeof value?.next === 'function' &&
    ['[object Generator]', '[object AsyncGenerator]'].includes(Object.prototype.toString.call(value));

async function collect(generator) {
    const values = [];

    for await (const value of generator)
        values.push(value);
    return values;
}

function finish(value) {
    if (isThenable(value))
        return settle(value);
    if (isGenerator(value))
        return Symbol.iterator in value ? [...value] : settle(collect(value));
    return value;
}

// What a function that came as its source misses, it would not find in its own module.
function explain(error) {
    if (error instanceof ReferenceError && /^\S+ is not defined$/.test(error.message)) {
        error.message += ': a function that is sent to a worker as its source sees nothing outside itself; give it what ' +
            'it needs as an argument, import () it there, or name an export of a module (file:///…/tasks.js#name)';
    }
    return error;
}

var Runner = class Runner {
    // import () belongs to modules, which this is none of.
    constructor(importModule) {
        this._import = importModule;
        this._functions = new Map();
        this._task = new Task();
    }

    // The function of a name that the pool sends; returns a variant or, for worker-exit, null.
    call(context, name, args) {
        this._task.open(context);
        if (name === Names.INIT || name === Names.EXIT)
            return this._runHook(name);
        if (name.startsWith(Names.PREFIX))
            return this._run(args);
        return this._callRaw(name, args);
    }

    // For callers in any language: arguments and result are variants.
    _callRaw(name, args) {
        if (Functions.isForeign(name)) {
            throw new Wp.Error({
                code: Wp.Error.UNKNOWN_FUNCTION,
                message: `The host for JavaScript does not know the function “${name}”: name the export of a module ` +
                    'as file:///path/module.js#name, or a function of a C module as /path/module.so:symbol',
            });
        }

        const result = finish(this._find(Functions.describe(name)).call(this._task, args));
        if (!(result instanceof GLib.Variant) && result !== undefined) {
            throw new Wp.Error({
                code: Wp.Error.INVALID_RESULT,
                message: `The function “${name}” returned no GLib.Variant, as it has to when it is called by its name`,
            });
        }
        return result ?? null;
    }

    _run(args) {
        const [description, way, items] = Messages.readRequest(args);
        const results = new Array(items.length);
        const failures = [];
        const started = GLib.get_monotonic_time();
        let fn;

        try {
            fn = this._find(description);
        } catch (error) {
            return Messages.writeReply(results.fill(undefined), items.map((_, i) => [i, error]), 0);
        }
        for (let i = 0; i < items.length; i++) {
            this._task.position = i;
            try {
                const value = way === Way.ITEM ? fn.call(this._task, items[i]) : fn.apply(this._task, items[i]);
                results[i] = typeof value === 'object' ? finish(value) : value;
            } catch (error) {
                results[i] = undefined;
                failures.push([i, description.startsWith('source:') ? explain(error) : error]);
            }
        }
        return Messages.writeReply(results, failures, GLib.get_monotonic_time() - started);
    }

    // worker-init and worker-exit.
    _runHook(name) {
        const description = this._task.settings[name === Names.INIT ? 'worker_init' : 'worker_exit'];
        const value = finish(this._find(description).call(this._task));

        return value === undefined ? null : toVariant(value, 'the result');
    }

    _find(description) {
        let fn = this._functions.get(description);

        if (fn === undefined) {
            fn = description.startsWith('module:')
                ? this._findExport(description.slice(7))
                : this._make(description);
            this._functions.set(description, fn);
        }
        return fn;
    }

    // Arrow functions have the task as their 'this' as well.
    _make(description) {
        const source = description.slice(description.indexOf(':', 7) + 1);

        return Function(`"use strict"; return ${source}`).call(this._task);
    }

    _findExport(name) {
        const [url, exported] = name.split('#');
        const module = settle(this._import(url));
        const fn = module[exported];

        if (typeof fn !== 'function') {
            const names = Object.keys(module).filter(key => typeof module[key] === 'function');
            throw new TypeError(`the module ${url} exports no function “${exported}”; ` +
                (names.length > 0 ? `it exports ${names.join(', ')}` : 'it exports none'));
        }
        return fn;
    }
};
