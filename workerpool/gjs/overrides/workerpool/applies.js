// SPDX-License-Identifier: LGPL-2.1-or-later

// One task, and the promise of its result.

/* exported note, run */

const {GLib} = imports.gi;
const Rubbish = imports.overrides.workerpool.rubbish;

// A result that comes at once is waited for, which spares it the way through another thread and the main loop: it takes
// a third of the time. The main loop stands still for no longer than this for one result,
const LONGEST_WAIT_US = 300;
// and this for all until it goes on,
const MOST_WAITING_US = 8000;
// and only for functions that the worker ran no longer when they were called last.
const QUICK_US = 150;
// Between two looks for a result that did not come at once.
const FIRST_LOOK_MS = 1;
const LAST_LOOK_MS = 20;
const MOST_KNOWN = 1000;

// How long the worker ran a function when it was called last, by the carrier's key.
const lastTimes = new Map();
let nInFlight = 0;
let waited = 0;

// The function of that carrier has run for so long.
function note({key}, elapsed) {
    if (lastTimes.size >= MOST_KNOWN)
        lastTimes.clear();
    lastTimes.set(key, elapsed);
}

function callLater(pool, carrier, variant, {task, cancellable}) {
    return new Promise((resolve, reject) => {
        pool.apply_async(carrier.name, variant, task, cancellable, (_pool, result) => {
            // Here the main loop goes on.
            waited = 0;
            try {
                resolve(pool.apply_finish(result));
            } catch (error) {
                reject(error);
            }
        });
    });
}

function lookLater(call, interval) {
    return new Promise(resolve => GLib.timeout_add(GLib.PRIORITY_DEFAULT, interval, () => {
        resolve(call.wait(0));
        return GLib.SOURCE_REMOVE;
    }));
}

async function callNow(pool, carrier, variant, {task}) {
    const call = pool.start_apply(carrier.name, variant, task);
    const started = GLib.get_monotonic_time();
    let done = call.wait(LONGEST_WAIT_US);

    waited += GLib.get_monotonic_time() - started;
    for (let interval = FIRST_LOOK_MS; !done; interval = Math.min(2 * interval, LAST_LOOK_MS))
        done = await lookLater(call, interval);
    return call.get_value();
}

async function run(pool, carrier, variant, options) {
    const isQuick = nInFlight === 0 && waited < MOST_WAITING_US && options.cancellable === null &&
        lastTimes.get(carrier.key) <= QUICK_US;

    nInFlight++;
    try {
        const value = await (isQuick ? callNow : callLater)(pool, carrier, variant, options);
        Rubbish.note(variant, value);
        return value;
    } finally {
        nInFlight--;
    }
}
