// SPDX-License-Identifier: LGPL-2.1-or-later

// How many items travel in one message: so many that it is worth its way, and so few that workers share them evenly.

/* exported BundleSizer */

// How long a worker should have to do with a bundle.
const AIM_US = 2000;
// A measurement may make a bundle so many times as large as it was, as the first ones tell of start-up.
const MOST_GROWTH = 8;
const MOST_ITEMS = 65536;
const MOST_BYTES = 4 * 1024 * 1024;
// Bundles for each worker to the end, so that all of them end at about the same time.
const SHARES = 2;
// But no smaller than this part of what is worth a message.
const LEAST_PART = 8;

var BundleSizer = class BundleSizer {
    // 'fixed': the size that the caller has chosen, or 0.
    constructor(nWorkers, fixed) {
        this._nWorkers = nWorkers;
        this._fixed = fixed;
        this.size = fixed || 1;
    }

    // 'left': how many items are left, or null when nobody knows.
    next(left) {
        if (this._fixed || left === null)
            return this.size;
        const share = Math.ceil(left / (SHARES * this._nWorkers));
        return Math.min(this.size, Math.max(share, Math.ceil(this.size / LEAST_PART)));
    }

    // A bundle of so many items and bytes has taken so long.
    note(n, bytes, elapsedUs) {
        if (this._fixed)
            return;
        const worth = AIM_US / Math.max(elapsedUs / n, 0.001);
        const most = Math.min(worth, MOST_BYTES * n / Math.max(bytes, 1), this.size * MOST_GROWTH, MOST_ITEMS);
        this.size = Math.max(1, Math.floor(most));
    }
};
