// SPDX-License-Identifier: LGPL-2.1-or-later

// How programs end: with status 0, with nothing of GJS complaining, and with no worker left.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import {expect, expectEqual, main, test, waitFor} from './tap.js';

const [FOLDER] = GLib.filename_from_uri(GLib.Uri.resolve_relative(import.meta.url, '.', GLib.UriFlags.NONE));
const COMPLAINTS = /Gjs-CRITICAL|GLib-\w*-?CRITICAL|garbage collection|assertion|CRITICAL \*\*/;

// Workers have this in their environment.
function listMarked(mark) {
    const processes = Gio.File.new_for_path('/proc').enumerate_children('standard::name', 0, null);
    const marked = [];

    for (let info; (info = processes.next_file(null)) !== null;) {
        const name = info.get_name();
        if (!/^\d+$/.test(name))
            continue;
        try {
            const [, environment] = GLib.file_get_contents(`/proc/${name}/environ`);
            if (new TextDecoder().decode(environment).includes(mark))
                marked.push(name);
        } catch (error) {
            // It has ended meanwhile.
        }
    }
    processes.close(null);

    return marked;
}

async function runScenario(name) {
    const mark = `WORKERPOOL_TEST_MARK=${GLib.uuid_string_random()}`;
    const launcher = new Gio.SubprocessLauncher({flags: Gio.SubprocessFlags.STDERR_PIPE});

    launcher.setenv(...mark.split('='), true);
    const child = launcher.spawnv(['gjs', '-m', GLib.build_filenamev([FOLDER, 'scenarios.js']), name]);
    const [, , log] = child.communicate_utf8(null, null);
    expect(child.get_if_exited(), `it was killed by signal ${child.get_if_signaled() ? child.get_term_sig() : 0}: ${log}`);
    expectEqual(child.get_exit_status(), 0, `the status (it said ${log})`);
    await waitFor(() => listMarked(mark).length === 0, 'its workers to end');

    return log;
}

for (const [name, scenario] of Object.entries({
    'many-calls': 'manyCalls',
    'memory-stays': 'memory',
    'iteration-left-by-break': 'breaks',
    'pool-is-collected-while-it-works': 'collected',
    'program-ends-while-tasks-run': 'unfinished',
})) {
    test(`/gjs/lifecycle/${name}`, async () => {
        const log = await runScenario(scenario);
        expect(!COMPLAINTS.test(log), log);
    });
}

test('/gjs/lifecycle/unhandled-rejections-are-told', async () => {
    const log = await runScenario('unhandledRejection');

    expect(log.includes('Unhandled promise rejection') && log.includes('unhandledRejection@'), log);
});

test('/gjs/lifecycle/handlers-that-throw-disturb-nothing', async () => {
    const log = await runScenario('signalHandlerThrows');

    expect(log.includes('from a handler'), log);
});

main();
