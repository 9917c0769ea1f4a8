// SPDX-License-Identifier: LGPL-2.1-or-later

// The pools of Node.js: one repetition of each row. WORKERPOOL_NODE_PACKAGES is where they are installed.

import {createRequire} from 'node:module';

const require = createRequire(`${process.env.WORKERPOOL_NODE_PACKAGES}/package.json`);
const workerpool = require('workerpool');
const {Piscina} = require('piscina');

const SCALE = process.argv.includes('--quick') ? 10 : 1;
const N_JOBS = 2;
// They take one message an item: fewer of them tell as much.
const N_ITEMS = 50000 / SCALE;
const N_CALLS = 3000 / SCALE;
const N_BYTES = 100e6 / SCALE;

const addOne = n => n + 1;
const getLength = bytes => bytes.length;

// Each has start, which resolves to the first result, call (fn, argument) and end.
const PEERS = {
    'workerpool.js thread': () => startWorkerpool('thread'),
    'workerpool.js process': () => startWorkerpool('process'),
    'piscina': startPiscina,
};

function startWorkerpool(workerType) {
    const pool = workerpool.pool({minWorkers: N_JOBS, maxWorkers: N_JOBS, workerType});

    return {
        call: (fn, argument) => pool.exec(fn, [argument]),
        end: () => pool.terminate(),
    };
}

function startPiscina() {
    const tasks = new URL('./piscina-tasks.mjs', import.meta.url).href;
    const pool = new Piscina({filename: tasks, minThreads: N_JOBS, maxThreads: N_JOBS});

    return {
        call: (fn, argument) => pool.run(argument, {name: fn.name}),
        end: () => pool.destroy(),
    };
}

async function time(call) {
    const start = performance.now();

    await call();
    return (performance.now() - start) / 1e3;
}

for (const [who, start] of Object.entries(PEERS)) {
    const report = (row, value, unit) => console.log(JSON.stringify({row, who, value, unit}));
    const array = new Uint8Array(N_BYTES).fill(1);
    let pool;

    report('gjs-start', await time(async () => {
        pool = start();
        await pool.call(addOne, 1);
    }) * 1e3, 'ms');
    const map = n => Promise.all(Array.from({length: n}, (_, i) => pool.call(addOne, i)));
    await map(N_ITEMS / 10);
    const rate = N_ITEMS / await time(() => map(N_ITEMS)) / 1e3;
    report('gjs-map', rate, 'k/s');
    report('gjs-map-chunk-1', rate, 'k/s');
    report('gjs-round-trip', await time(async () => {
        for (let i = 0; i < N_CALLS; i++)
            await pool.call(addOne, i);
    }) / N_CALLS * 1e6, 'µs');
    // Over a pipe an array is written as JSON, which takes minutes.
    if (who !== 'workerpool.js process') {
        await pool.call(getLength, array);
        report('gjs-array', N_BYTES / await time(() => pool.call(getLength, array)) / 1e6, 'MB/s');
    }
    await pool.end();
}
