// SPDX-License-Identifier: LGPL-2.1-or-later

// The functions that the tests call in workers.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import System from 'system';

export const answer = 42;

export function square(n) {
    return n * n;
}

export async function later(n) {
    await new Promise(resolve => GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
        resolve();
        return GLib.SOURCE_REMOVE;
    }));
    return n + 1;
}

export function* countTo(n) {
    for (let i = 0; i < n; i++)
        yield i;
}

export function add(...numbers) {
    return numbers.reduce((sum, n) => sum + n, 0);
}

export function echo(value) {
    return value;
}

export function where() {
    return [this.workerId, this.isCancelled];
}

export function emit(n) {
    for (let i = 0; i < n; i++)
        this.emit({step: i});
    return n;
}

export function count() {
    this.state.n = (this.state.n ?? 0) + 1;
    return this.state.n;
}

export function begin() {
    this.state.begun = this.shared.word;
}

export function end() {
    return {begun: this.state.begun, n: this.state.n ?? 0};
}

export function getBegun() {
    return [this.state.begun, this.shared.numbers[1]];
}

export function failWith(kind) {
    switch (kind) {
    case 'type':
        throw new TypeError('outer', {cause: new RangeError('inner')});
    case 'gio':
        throw new Gio.IOErrorEnum({code: Gio.IOErrorEnum.NOT_FOUND, message: 'not there'});
    case 'string':
        throw 'a string';
    case 'function':
        throw new Error('has a function', {cause: () => {}});
    default:
        return kind;
    }
}

export async function rejectLater() {
    await null;
    throw new RangeError('rejected');
}

export function exit(status) {
    System.exit(status);
}

export function kill(n) {
    if (n % 100 === 50)
        Gio.Subprocess.new(['kill', '-KILL', `${new Gio.Credentials().get_unix_pid()}`], 0).wait(null);
    return n;
}

export function recurse(n) {
    return recurse(n + 1) + 1;
}

export function runOwnLoop(n) {
    const loop = new GLib.MainLoop(null, false);

    GLib.idle_add(GLib.PRIORITY_DEFAULT, () => {
        loop.quit();
        return GLib.SOURCE_REMOVE;
    });
    loop.run();
    return n;
}

export function never() {
    for (;;)
        ;
}

// Until its file is there.
export async function hold(path) {
    GLib.file_set_contents(`${path}.running`, '');
    while (!GLib.file_test(path, GLib.FileTest.EXISTS) && !this.isCancelled)
        GLib.usleep(1000);
    return this.isCancelled;
}

export function returnFunction() {
    return {deep: [1, {callback: () => {}}]};
}

export function returnPromises() {
    return [Promise.resolve(1)];
}

// Writes to what it was given, as to its own.
export function fill(array) {
    array.fill(9);
    return array;
}

export function byGLib(variant) {
    return new GLib.Variant('x', variant.unpack() ** 2);
}
