// SPDX-License-Identifier: LGPL-2.1-or-later

// Workers that die: one outcome for each item, and an error for those alone that killed theirs.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Wp from 'gi://WorkerPool?version=1.0';
import {expect, expectEqual, getError, main, range, test} from './tap.js';
import {expectNoChildren} from './children.js';

const TASKS = GLib.Uri.resolve_relative(import.meta.url, 'tasks.js', GLib.UriFlags.NONE);
const N_ITEMS = 1000;

const isKiller = n => n % 100 === 50;

function expectOutcomes(outcomes, n) {
    expectEqual(outcomes.length, n, 'the number of outcomes');
    outcomes.forEach((outcome, i) => {
        if (isKiller(i))
            expect(outcome.matches(Wp.Error, Wp.Error.WORKER_DIED), `${outcome} is of item ${i}`);
        else
            expectEqual(outcome, i, `the outcome of item ${i}`);
    });
}

for (const [name, options] of [['bundles', {}], ['chunk-size-1', {chunkSize: 1}], ['chunk-size-70', {chunkSize: 70}]]) {
    test(`/gjs/death/costs-the-item-that-ran/${name}`, async () => {
        const pool = new Wp.WorkerPool({n_jobs: 2});

        expectOutcomes(await pool.map(`${TASKS}#kill`, range(N_ITEMS), {...options, onError: Wp.OnError.CONTINUE}),
            N_ITEMS);
        await pool.join();
    });
}

test('/gjs/death/ends-a-map-that-stops-at-errors', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 2});
    const error = await getError(pool.map(`${TASKS}#kill`, range(N_ITEMS)));

    expect(error.matches(Wp.Error, Wp.Error.WORKER_DIED), `${error}`);
    expectEqual(await pool.map(n => n, [1]), [1]);
    await pool.join();
});

test('/gjs/death/iteration-goes-on', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 2});
    const outcomes = [];

    for await (const outcome of pool.imap(`${TASKS}#kill`, range(300), {onError: Wp.OnError.CONTINUE}))
        outcomes.push(outcome);
    expectOutcomes(outcomes, 300);
    await pool.join();
});

test('/gjs/death/from-outside-loses-nothing-with-retries', async () => {
    const pool = new Wp.WorkerPool({n_jobs: 2});
    const pids = [];
    let nKilled = 0;

    pool.connect('worker-started', (_pool, _worker, pid) => pids.push(pid));
    const timer = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 20, () => {
        const pid = pids.shift();
        if (pid !== undefined && nKilled++ < 6)
            Gio.Subprocess.new(['kill', '-KILL', `${pid}`], Gio.SubprocessFlags.STDERR_SILENCE);
        return GLib.SOURCE_CONTINUE;
    });
    const results = await pool.map(n => {
        const end = Date.now() + 1;
        while (Date.now() < end)
            ;
        return n;
    }, range(600), {maxRetries: 20});
    GLib.source_remove(timer);
    expectEqual(results, range(600));
    expect(nKilled > 0, 'no worker was killed');
    await pool.join();
});

main(expectNoChildren);
