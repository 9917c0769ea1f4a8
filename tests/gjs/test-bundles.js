// SPDX-License-Identifier: LGPL-2.1-or-later

// How large bundles become: no pool, no clock.

import {expect, expectEqual, main, test} from './tap.js';

const {BundleSizer} = imports.overrides.workerpool.bundles;

// Sends n items that take so long each to workers that are as fast; returns the sizes of the bundles.
function send(n, itemUs, nWorkers = 2, bytes = 8) {
    const sizer = new BundleSizer(nWorkers, 0);
    const sizes = [];

    while (n > 0) {
        const size = Math.min(sizer.next(n), n);
        sizes.push(size);
        sizer.note(size, size * bytes, size * itemUs);
        n -= size;
    }

    return sizes;
}

test('/gjs/bundles/grow-to-some-milliseconds-of-work', () => {
    const sizes = send(1000000, 1);

    expectEqual(sizes.slice(0, 5), [1, 8, 64, 512, 2000]);
    expect(sizes.length < 600, `there are ${sizes.length} bundles`);
});

test('/gjs/bundles/long-items-travel-alone', () => {
    expect(send(50, 5000).every(size => size === 1), 'long items travel together');
});

test('/gjs/bundles/large-items-travel-alone', () => {
    expect(send(50, 1, 2, 5000000).every(size => size === 1), 'large items travel together');
});

test('/gjs/bundles/workers-share-the-end', () => {
    const sizes = send(10000, 1);

    expect(sizes.at(-1) <= 250, `the last bundle has ${sizes.at(-1)} items`);
});

test('/gjs/bundles/size-may-be-fixed', () => {
    const sizer = new BundleSizer(2, 7);

    sizer.note(7, 56, 1);
    expectEqual([sizer.next(null), sizer.next(3), sizer.next(1000)], [7, 7, 7]);
});

test('/gjs/bundles/items-that-take-no-time-are-bounded', () => {
    const sizes = send(10000000, 0, 1, 0);

    expectEqual(Math.max(...sizes), 65536);
});

main();
