// SPDX-License-Identifier: LGPL-2.1-or-later

// The interpreter does not see how much memory the objects of GLib have that it holds: it would keep gigabytes of them.
// And while it sweeps its heap, which it does piece by piece and only as JavaScript runs, GJS calls nothing back: a program
// that waits for a callback just then waits for ever. It begins with that when the heap has grown by tens of megabytes, to
// which a message of 2 MB may unfold; so the whole heap is collected before.

/* exported note */

const System = imports.system;

const MOST_BYTES = 2 * 1024 * 1024;
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
