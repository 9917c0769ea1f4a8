// SPDX-License-Identifier: LGPL-2.1-or-later

// What a test leaves behind.

import Gio from 'gi://Gio';
import {expectEqual, readFile, waitFor} from './tap.js';

export const PID = new Gio.Credentials().get_unix_pid();

export function countChildren() {
    const processes = Gio.File.new_for_path('/proc').enumerate_children('standard::name', 0, null);
    let n = 0;

    for (let info; (info = processes.next_file(null)) !== null;) {
        if (!/^\d+$/.test(info.get_name()))
            continue;
        try {
            const [, parent] = readFile(`/proc/${info.get_name()}/stat`).replace(/^.*\)/s, '').trim().split(' ');
            if (Number(parent) === PID)
                n++;
        } catch (error) {
            // It has ended meanwhile.
        }
    }
    processes.close(null);

    return n;
}

export async function expectNoChildren() {
    await waitFor(() => countChildren() === 0, 'the workers to end');
    expectEqual(countChildren(), 0, 'the number of processes left');
}
