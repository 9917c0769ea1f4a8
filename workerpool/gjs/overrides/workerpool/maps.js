// SPDX-License-Identifier: LGPL-2.1-or-later

// One map in flight.
//
// Items go to the workers in bundles, each of which is one task of a batch. When a worker dies, the items of its bundle
// are sent again one by one, so that only the one that it dies of fails. All of this happens in the main context.

/* exported MapCall */

const {GLib, Gio} = imports.gi;
const Rubbish = imports.overrides.workerpool.rubbish;
const Sources = imports.overrides.workerpool.sources;
const {BundleSizer} = imports.overrides.workerpool.bundles;

// Bundles for each worker: one that runs, and one that waits for it.
const BUNDLES_IN_FLIGHT = 2;
// Where the engine makes the chunks, it needs to see what there is.
const TASKS_IN_FLIGHT = 64;

// 'carrier' turns items into variants and variants into outcomes; see carriers.js. 'onOutcome' gets the index, the
// value and the error of each item; 'onEnd' is called once with null or the error that ended the call, after which
// nothing else is called.
var MapCall = class MapCall {
    constructor(pool, carrier, items, options, {onOutcome, onEnd, mayTake = () => true}) {
        const Wp = imports.gi.WorkerPool;
        const task = options.task ?? new Wp.TaskOptions();
        const nWorkers = pool.n_jobs || GLib.get_num_processors();

        this._carrier = carrier;
        this._onOutcome = onOutcome;
        this._onEnd = onEnd;
        this._mayTake = mayTake;
        this._exact = carrier.isSingle || task.chunk_size === 1 || task.task_timeout > 0 ||
            task.max_retries > 0 || pool.order_tasks || pool.worker_lifespan > 0;
        this._sizer = new BundleSizer(nWorkers, this._exact ? 1 : task.chunk_size);
        this._room = nWorkers * (this._exact ? TASKS_IN_FLIGHT : BUNDLES_IN_FLIGHT);
        this._bundles = new Map();
        this._alone = [];
        this._nTaken = 0;
        this._nSent = 0;
        this._ended = false;
        this._waits = false;
        this._source = Sources.open(items, () => this._guard(() => this._feed()));

        task.set({
            ordered: false,
            on_error: Wp.OnError.CONTINUE,
            chunk_size: this._exact ? task.chunk_size : 1,
            max_active_tasks: 2 * this._room,
        });
        this._batch = pool.start_batch(carrier.name, task);
        if (options.onEvent !== null) {
            this._batch.connect('event', (_batch, number, value) => {
                const {first} = this._bundles.get(number) ?? {};
                if (first !== undefined && !this._ended)
                    carrier.readEvent(value, (position, event) => options.onEvent(first + position, event));
            });
        }
        if (options.cancellable !== null) {
            this._cancellable = options.cancellable;
            this._cancelId = this._cancellable.connect(() => this._cancelled());
        }
        this._guard(() => this._feed());
    }

    get size() {
        return this._sizer.size;
    }

    // Takes more items when mayTake () allows it again.
    resume() {
        this._guard(() => this._feed());
    }

    // Nothing is called after it.
    stop() {
        this._end(null, false);
    }

    _cancelled() {
        this._end(new Gio.IOErrorEnum({code: Gio.IOErrorEnum.CANCELLED, message: 'The call was cancelled'}));
    }

    // Whatever goes wrong ends the call.
    _guard(step) {
        if (this._ended)
            return;
        try {
            step();
        } catch (error) {
            this._end(error);
        }
    }

    _end(error, tell = true) {
        if (this._ended)
            return;
        this._ended = true;
        // Not from within its own signal, which would wait for itself.
        if (this._cancelId > 0 && !this._cancellable.is_cancelled())
            this._cancellable.disconnect(this._cancelId);
        if (error === null && this._bundles.size === 0)
            this._batch.close();
        else
            this._batch.cancel();
        try {
            this._source.close();
        } catch (closeError) {
            error ??= closeError;
        }
        this._bundles.clear();
        if (tell)
            this._onEnd(error);
    }

    _feed() {
        while (!this._ended && this._bundles.size < this._room) {
            if (this._alone.length > 0) {
                this._send([this._alone.shift()]);
                continue;
            }
            if (this._source.isEmpty || !this._mayTake(this._nTaken))
                break;
            const items = this._source.take(this._sizer.next(this._source.left));
            if (items.length === 0)
                break;
            const first = this._nTaken;
            this._nTaken += items.length;
            this._push({first, items});
        }
        if (this._bundles.size > 0)
            this._wait();
        else if (this._source.isEmpty && this._alone.length === 0)
            this._end(null);
    }

    _send([{index, item}]) {
        this._push({first: index, items: [item], isAlone: true});
    }

    _push(bundle) {
        const variant = this._carrier.write(bundle.items, bundle.first);

        bundle.size = variant.get_size();
        this._batch.push(variant);
        Rubbish.note(variant);
        this._bundles.set(this._nSent++, bundle);
    }

    _wait() {
        if (this._waits || this._ended)
            return;
        this._waits = true;
        this._batch.next_async(null, (batch, result) => {
            this._waits = false;
            this._guard(() => {
                this._receive(batch.next_finish(result));
                this._feed();
            });
        });
    }

    _receive(result) {
        const number = result.get_index();
        const bundle = this._bundles.get(number);
        const value = result.get_value();

        this._bundles.delete(number);
        Rubbish.note(value);
        if (value === null)
            this._fail(bundle, result.get_error());
        else
            this._succeed(bundle, value);
    }

    _succeed({first, items, size, isAlone}, value) {
        const [results, failures, elapsed] = this._carrier.read(value);

        if (!isAlone)
            this._sizer.note(items.length, size, elapsed);
        if (results.length !== items.length)
            throw new RangeError(`a worker sent ${results.length} results for ${items.length} items`);
        const failed = failures.length > 0 ? new Map(failures) : null;
        for (let i = 0; i < results.length && !this._ended; i++) {
            if (failed !== null && failed.has(i))
                this._onOutcome(first + i, undefined, failed.get(i), true);
            else
                this._onOutcome(first + i, results[i], null, false);
        }
    }

    // The error of a worker tells nothing about which item of a bundle it is of.
    _fail({first, items}, error) {
        if (items.length > 1)
            this._alone.push(...items.map((item, i) => ({index: first + i, item})));
        else
            this._onOutcome(first, undefined, error, true);
    }
};
