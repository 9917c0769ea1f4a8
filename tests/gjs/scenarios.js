// SPDX-License-Identifier: LGPL-2.1-or-later

// Programs that leave things behind, each run in a process of its own: gjs -m scenarios.js NAME.

import GLib from 'gi://GLib';
import System from 'system';
import Wp from 'gi://WorkerPool?version=1.0';

const N_CALLS = 20000;

const loop = new GLib.MainLoop(null, false);
const memory = () => {
    const [, bytes] = GLib.file_get_contents('/proc/self/statm');
    return Number(new TextDecoder().decode(bytes).split(' ')[1]) * 4096;
};

function makePool() {
    return new Wp.WorkerPool({n_jobs: 2, keep_alive: true});
}

const scenarios = {
    async manyCalls() {
        const pool = makePool();
        let sum = 0;

        for (let i = 0; i < N_CALLS; i += 1000) {
            const calls = Array.from({length: 1000}, (_, k) => pool.apply(n => n, [i + k]));
            for (const n of await Promise.all(calls))
                sum += n;
        }
        await pool.join();
        return sum === N_CALLS * (N_CALLS - 1) / 2;
    },

    async memory() {
        const pool = makePool();
        const call = () => pool.map(n => new Array(10).fill(n), Array.from({length: 20000}, (_, i) => i));

        await call();
        System.gc();
        const before = memory();
        for (let i = 0; i < 20; i++)
            await call();
        System.gc();
        await pool.join();
        return memory() - before < 64 * 1024 * 1024;
    },

    async breaks() {
        const pool = makePool();

        for (let i = 0; i < 50; i++) {
            for await (const n of pool.imap(k => k, (function* () {
                for (let k = 0; ; k++)
                    yield k;
            })())) {
                if (n === 10)
                    break;
            }
        }
        await pool.join();
        return true;
    },

    // Nobody holds the pools; what was called goes on.
    async collected() {
        const results = [];

        for (let i = 0; i < 5; i++)
            results.push(new Wp.WorkerPool({n_jobs: 1}).map(n => n + 1, [1, 2, 3]));
        System.gc();
        for (const result of await Promise.all(results)) {
            if (result.join() !== '2,3,4')
                return false;
        }
        System.gc();
        return true;
    },

    // The program ends while a task runs that never ends.
    async unfinished() {
        const pool = makePool();
        const started = new Promise(resolve => pool.connect('worker-started', resolve));

        pool.map(() => new Promise(() => {}), [1, 2]).catch(() => {});
        await started;
        return true;
    },

    async unhandledRejection() {
        const pool = makePool();

        pool.apply(() => {
            throw new Error('nobody listens');
        });
        await pool.apply(() => 1);
        await pool.join();
        return true;
    },

    async signalHandlerThrows() {
        const pool = makePool();

        pool.connect('worker-started', () => {
            throw new Error('from a handler');
        });
        const results = await pool.map(n => n, [1, 2, 3]);
        await pool.join();
        return results.length === 3;
    },
};

let status = 2;
scenarios[ARGV[0]]().then(good => (status = good ? 0 : 1)).catch(logError).finally(() => loop.quit());
loop.run();
System.exit(status);
