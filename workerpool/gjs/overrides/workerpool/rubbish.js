// SPDX-License-Identifier: LGPL-2.1-or-later

// The interpreter does not see how much memory the variants have that it holds, and would keep gigabytes of them.

/* exported note */

const System = imports.system;

const MOST_BYTES = 128 * 1024 * 1024;

let nBytes = 0;

// These were used for the last time; each may be null.
function note(...variants) {
    for (const variant of variants)
        nBytes += variant?.get_size() ?? 0;
    if (nBytes >= MOST_BYTES) {
        nBytes = 0;
        System.gc();
    }
}
