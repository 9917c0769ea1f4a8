// SPDX-License-Identifier: LGPL-2.1-or-later

// The interpreter does not see how much memory the objects of GLib have that it holds: it would keep gigabytes of them,
// and sweep many thousands of them at once, while it calls nothing.

/* exported note */

const System = imports.system;

const MOST_BYTES = 128 * 1024 * 1024;
const MOST_VARIANTS = 20000;

let nBytes = 0;
let nVariants = 0;

// These were used for the last time; each may be null.
function note(...variants) {
    for (const variant of variants)
        nBytes += variant?.get_size() ?? 0;
    nVariants += variants.length;
    if (nBytes >= MOST_BYTES || nVariants >= MOST_VARIANTS) {
        nBytes = nVariants = 0;
        System.gc();
    }
}
