// SPDX-License-Identifier: LGPL-2.1-or-later

// What the tests in JavaScript share: TAP, and what they expect.

import GLib from 'gi://GLib';
import System from 'system';

// How long to wait for what must happen, and between two looks whether it has.
const PATIENCE_S = 60;
const LOOK_INTERVAL_MS = 5;

const tests = [];

export class Skip extends Error {}

export function test(name, run) {
    tests.push([name, run]);
}

export function expect(condition, what) {
    if (!condition)
        throw new Error(what);
}

export function expectEqual(actual, expected, what = 'the value') {
    const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
    expect(a === e, `${what} is ${a}, not ${e}`);
}

export function expectMatch(text, pattern) {
    expect(pattern.test(text), `“${text}” does not match ${pattern}`);
}

// Returns what a function throws, or a promise is rejected with.
export async function getError(call) {
    try {
        await (call instanceof Function ? call() : call);
    } catch (error) {
        return error;
    }
    throw new Error('no error was thrown');
}

export function waitFor(condition, what) {
    const end = GLib.get_monotonic_time() + PATIENCE_S * 1000000;

    return new Promise((resolve, reject) => {
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, LOOK_INTERVAL_MS, () => {
            if (condition())
                resolve();
            else if (GLib.get_monotonic_time() > end)
                reject(new Error(`waited in vain for ${what}`));
            else
                return GLib.SOURCE_CONTINUE;
            return GLib.SOURCE_REMOVE;
        });
    });
}

export const range = n => [...Array(n).keys()];

export function readFile(path) {
    return new TextDecoder().decode(GLib.file_get_contents(path)[1]);
}

async function runTests(after) {
    let failed = false;

    print(`1..${tests.length}`);
    for (const [i, [name, run]] of tests.entries()) {
        try {
            await run();
            await after?.();
            print(`ok ${i + 1} ${name}`);
        } catch (error) {
            if (error instanceof Skip) {
                print(`ok ${i + 1} ${name} # SKIP ${error.message}`);
                continue;
            }
            failed = true;
            print(`${error}\n${error.stack}`.trim().replace(/^/gm, '# '));
            print(`not ok ${i + 1} ${name}`);
        }
    }

    return failed ? 1 : 0;
}

// Runs all tests in the main loop, 'after' after each of them, and ends the program.
export function main(after = null) {
    const loop = new GLib.MainLoop(null, false);
    let status = 1;

    runTests(after).then(result => (status = result)).catch(logError).finally(() => loop.quit());
    loop.run();
    System.exit(status);
}
