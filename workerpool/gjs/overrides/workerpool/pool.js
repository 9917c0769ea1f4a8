// SPDX-License-Identifier: LGPL-2.1-or-later

// What WorkerPool.WorkerPool is in JavaScript, beside what it is by introspection.
//
// A call with all the arguments of the C function is a call of the C function.

/* exported extend */

const {GLib, Gio} = imports.gi;
const Applies = imports.overrides.workerpool.applies;
const Carriers = imports.overrides.workerpool.carriers;
const Functions = imports.overrides.workerpool.functions;
const Options = imports.overrides.workerpool.options;
const {Iteration} = imports.overrides.workerpool.iteration;
const {MapCall} = imports.overrides.workerpool.maps;
const {Way} = imports.overrides.workerpool.messages;
const {fromVariant, toVariant} = imports.overrides.workerpool.values;

const N_ARGUMENTS = 4;
const HOST = GLib.build_filenamev([GLib.path_get_dirname(imports.overrides.workerpool.values.__file__), 'host.js']);

const HOOKS = {worker_init: Functions.Names.INIT, worker_exit: Functions.Names.EXIT};

function gjsHost() {
    let program = 'gjs';

    try {
        const running = GLib.file_read_link('/proc/self/exe');
        if (/^gjs(-console)?$/.test(GLib.path_get_basename(running)))
            program = running;
    } catch (error) {
        // The one in the PATH.
    }
    return [program, '-m', HOST];
}

const prepared = new WeakSet();

// Before a function is called. The host for JavaScript runs functions of C modules as well, so that one pool can have
// both; a program that has registered functions of its own is asked for those.
function prepare(pool, fn) {
    const Wp = imports.gi.WorkerPool;

    if (prepared.has(pool))
        return;
    const isForeign = Functions.isForeign(fn);

    if (pool.start_method !== Wp.StartMethod.SPAWN && !isForeign) {
        throw new Gio.IOErrorEnum({
            code: Gio.IOErrorEnum.NOT_SUPPORTED,
            message: 'A function in JavaScript can be run only by workers of the start method “spawn”, as the threads ' +
                `of the interpreter do not survive a fork; this pool has “${nameOf(Wp.StartMethod, pool.start_method)}”. ` +
                'Leave start_method out, or call a function in C',
        });
    }
    if (pool.start_method !== Wp.StartMethod.SPAWN)
        return;
    prepared.add(pool);
    if (pool.host?.length > 0)
        return;
    if (!isForeign || Wp.list_functions().length === 0)
        pool.host = gjsHost();
}

function nameOf(enumeration, value) {
    return Object.keys(enumeration).find(key => enumeration[key] === value)?.toLowerCase().replace(/_/g, '-');
}

function openCall(pool, fn, items, options, handlers) {
    const carrier = Carriers.forFunction(fn, Way.ITEM);

    prepare(pool, fn);
    return new MapCall(pool, carrier, items, options, handlers);
}

function map(pool, fn, items, options, place) {
    return new Promise((resolve, reject) => {
        const Wp = imports.gi.WorkerPool;
        const read = Options.read(options);
        const stops = read.onError === Wp.OnError.STOP;
        const results = [];
        // It may end before it is returned.
        let call = null, failure = null;
        const fail = error => {
            failure ??= [error];
            call?.stop();
            reject(error);
        };

        call = openCall(pool, fn, items, read, {
            mayTake: () => failure === null,
            onOutcome(index, value, error, failed) {
                if (failed && stops)
                    fail(error);
                else
                    place(results, index, failed ? error : value);
            },
            onEnd(error) {
                if (error === null && failure === null)
                    resolve(results);
                else
                    reject(error);
            },
        });
        if (failure !== null)
            call.stop();
    });
}

function iterate(pool, fn, items, options, ordered) {
    const Wp = imports.gi.WorkerPool;
    const read = Options.read(options);

    return new Iteration(handlers => openCall(pool, fn, items, read, handlers), ordered, read.maxActiveTasks,
        read.onError === Wp.OnError.STOP);
}

async function apply(pool, fn, args, options) {
    const Wp = imports.gi.WorkerPool;
    const read = Options.read(options);
    const carrier = Carriers.forFunction(fn, Way.ARGUMENTS);

    if (!Array.isArray(args))
        throw new TypeError(`the arguments of apply are ${String(args)}: give them as an array`);
    prepare(pool, fn);
    const variant = carrier.write([args], 0);
    if (read.onEvent !== null) {
        read.task ??= new Wp.TaskOptions();
        read.task.set_event_callback((_index, value) => carrier.readEvent(value, (_, event) => read.onEvent(event)));
    }

    const value = await Applies.run(pool, carrier, variant, read);
    const [results, failures, elapsed] = carrier.read(value);
    Applies.note(carrier, elapsed);
    if (failures.length > 0)
        throw failures[0][1];
    return results[0];
}

function makeProxy(pool, url) {
    // It also says what is wrong with the URL.
    Functions.describe(`${url}#then`);

    return new Proxy(Object.create(null), {
        get(target, name) {
            // A promise would have it, and this is none.
            if (typeof name !== 'string' || name === 'then')
                return undefined;
            return (target[name] ??= (...args) => pool.apply(`${url}#${name}`, args));
        },
    });
}

// The settings that are values and functions travel together, as the shared objects.
function takeSettings(params) {
    const settings = {};
    const rest = {};

    for (const [key, value] of Object.entries(params)) {
        const name = key.replace(/-/g, '_').replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
        if (name in HOOKS && (typeof value === 'function' || typeof value === 'string' && !Functions.isForeign(value)))
            settings[name] = Functions.describe(value);
        else if (name === 'shared_objects' && value !== null && !(value instanceof GLib.Variant))
            settings.shared = value;
        else
            rest[key] = value;
    }

    return [settings, rest];
}

function exitResult(value) {
    return value.get_type_string() === 'ay' || value.get_type_string() === 'aay' ? fromVariant(value) : value;
}

function extend(Wp) {
    const {prototype} = Wp.WorkerPool;
    const raw = {map: prototype.map, apply: prototype.apply, join: prototype.join};
    const construct = prototype._init;

    prototype._init = function (params = {}) {
        const [settings, rest] = takeSettings(params);
        const isJavaScript = Object.keys(settings).length > 0;

        if (isJavaScript && (rest.shared_objects ?? rest.sharedObjects))
            throw new TypeError('shared_objects is a GLib.Variant, which goes together with functions of C only: give ' +
                'a value of JavaScript, as worker_init or worker_exit is a function of JavaScript');
        construct.call(this, rest);
        if (!isJavaScript)
            return;
        prepare(this, () => {});
        this.shared_objects = toVariant(settings, 'settings');
        for (const hook in HOOKS) {
            if (hook in settings)
                this[hook] = HOOKS[hook];
        }
    };

    Object.assign(prototype, {
        map(fn, items, options = null, ...more) {
            if (arguments.length >= N_ARGUMENTS)
                return raw.map.call(this, fn, items, options, ...more);
            return map(this, fn, items, options, (results, index, value) => (results[index] = value));
        },

        mapUnordered(fn, items, options = null) {
            return map(this, fn, items, options, (results, index, value) => results.push(value));
        },

        imap(fn, items, options = null) {
            return iterate(this, fn, items, options, true);
        },

        imapUnordered(fn, items, options = null) {
            return iterate(this, fn, items, options, false);
        },

        apply(fn, args = [], options = null, ...more) {
            if (arguments.length >= N_ARGUMENTS)
                return raw.apply.call(this, fn, args, options, ...more);
            return apply(this, fn, args, options);
        },

        exec(fn, args = [], options = null) {
            return apply(this, fn, args, options);
        },

        proxy(url) {
            return makeProxy(this, url);
        },

        join(...args) {
            if (args.length > 0)
                return raw.join.call(this, ...args);
            return new Promise((resolve, reject) => {
                this.stop_and_join_async(null, (_pool, result) => {
                    try {
                        resolve(this.stop_and_join_finish(result));
                    } catch (error) {
                        reject(error);
                    }
                });
            });
        },

        // What the function worker_exit of each worker returned.
        exitResults() {
            const results = this.get_exit_results();

            return Array.from({length: results.n_children()}, (_, i) => exitResult(results.get_child_value(i).get_variant()));
        },
    });
}
