// SPDX-License-Identifier: LGPL-2.1-or-later

// What GJS loads with the namespace.

/* exported _init */

function _init() {
    imports.overrides.workerpool.pool.extend(this);
}
