// SPDX-License-Identifier: LGPL-2.1-or-later

// JavaScript on GJS: one repetition of each row.

import GLib from 'gi://GLib';
import Wp from 'gi://WorkerPool?version=1.0';

const SCALE = ARGV.includes('--quick') ? 10 : 1;
const N_JOBS = 2;
const N_ITEMS = 200000 / SCALE;
const N_SINGLE = 20000 / SCALE;
const N_CALLS = 3000 / SCALE;
const N_BYTES = 100e6 / SCALE;

const addOne = n => n + 1;

// Returns the seconds that it takes.
async function time(call) {
    const start = GLib.get_monotonic_time();

    await call();
    return (GLib.get_monotonic_time() - start) / 1e6;
}

function report(row, value, unit) {
    print(JSON.stringify({row, who: 'workerpool', value, unit}));
}

async function measureStart() {
    const pool = new Wp.WorkerPool({n_jobs: N_JOBS});

    report('gjs-start', await time(() => pool.apply(addOne, [1])) * 1e3, 'ms');
    await pool.join();
}

async function measureCalls() {
    const pool = new Wp.WorkerPool({n_jobs: N_JOBS, keep_alive: true});
    const items = Array.from({length: N_ITEMS}, (_, i) => i);
    const array = new Uint8Array(N_BYTES).fill(1);

    // Everything has started, and is compiled.
    await pool.map(addOne, items);
    report('gjs-map', N_ITEMS / await time(() => pool.map(addOne, items)) / 1e3, 'k/s');
    const single = items.slice(0, N_SINGLE);
    report('gjs-map-chunk-1', N_SINGLE / await time(() => pool.map(addOne, single, {chunkSize: 1})) / 1e3, 'k/s');
    report('gjs-round-trip', await time(async () => {
        for (let i = 0; i < N_CALLS; i++)
            await pool.apply(addOne, [i]);
    }) / N_CALLS * 1e6, 'µs');
    await pool.apply(bytes => bytes.length, [array]);
    report('gjs-array', N_BYTES / await time(() => pool.apply(bytes => bytes.length, [array])) / 1e6, 'MB/s');
    await pool.join();
}

const loop = new GLib.MainLoop(null, false);

measureStart().then(measureCalls).catch(logError).finally(() => loop.quit());
loop.run();
