// SPDX-License-Identifier: LGPL-2.1-or-later

// The results of a map, one after the other, for for await…of.

/* exported Iteration */

const {MapCall} = imports.overrides.workerpool.maps;

// Items whose results nobody has taken, for each item of a bundle.
const BUNDLES_AHEAD = 8;

var Iteration = class Iteration {
    constructor(open, ordered, maxActiveTasks, stops) {
        this._ordered = ordered;
        this._most = maxActiveTasks;
        this._stops = stops;
        this._open = open;
        this._call = null;
        this._ready = new Map();
        this._arrived = [];
        this._nTaken = 0;
        this._waiting = [];
        this._end = null;
    }

    [Symbol.asyncIterator]() {
        return this;
    }

    next() {
        // It starts when it is asked for the first result, and not when it is made.
        this._call ??= this._start();
        return new Promise((resolve, reject) => {
            this._waiting.push({resolve, reject});
            this._serve();
            this._call?.resume();
        });
    }

    // What for await…of calls when it is left.
    return(value) {
        this._call?.stop();
        this._drop();
        this._finish(null);
        return Promise.resolve({value, done: true});
    }

    _start() {
        try {
            return this._open({
                mayTake: nTaken => nTaken - this._nTaken < (this._most || BUNDLES_AHEAD * (this._call?.size ?? 1)),
                onOutcome: (index, value, error, failed) => this._add(index, value, error, failed),
                onEnd: error => this._finish(error),
            });
        } catch (error) {
            this._finish(error);
            return null;
        }
    }

    _add(index, value, error, failed) {
        if (this._ordered)
            this._ready.set(index, [value, error, failed]);
        else
            this._arrived.push([value, error, failed]);
        this._serve();
    }

    _finish(error) {
        this._end ??= [error];
        this._serve();
    }

    _drop() {
        this._ready.clear();
        this._arrived.length = 0;
    }

    _take() {
        if (!this._ordered)
            return this._arrived.shift();
        const outcome = this._ready.get(this._nTaken);
        this._ready.delete(this._nTaken);
        return outcome;
    }

    _serve() {
        while (this._waiting.length > 0) {
            const outcome = this._take();
            if (outcome === undefined)
                break;
            this._nTaken++;
            const [value, error, failed] = outcome;
            const {resolve, reject} = this._waiting.shift();
            if (failed && this._stops) {
                this._call?.stop();
                this._drop();
                this._end = [null];
                reject(error);
            } else {
                resolve({value: failed ? error : value, done: false});
            }
        }
        if (this._end === null)
            return;
        for (const {resolve, reject} of this._waiting.splice(0)) {
            const [error] = this._end;
            this._end = [null];
            if (error !== null)
                reject(error);
            else
                resolve({value: undefined, done: true});
        }
    }
};
