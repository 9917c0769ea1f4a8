#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Ctrl-C and SIGTERM: what runs is ended at once, and nothing is left."""

import os
import signal
import subprocess
import sys
import time

from pools import IS_THREADING, METHOD, Gate, main, pool_test, wait_for
from tap import expect, expect_equal

# Within which a call has to answer; the machine may be busy with other things.
LIMIT_S = 0.2 * float(os.environ.get('WORKERPOOL_TEST_PATIENCE', '10'))

SCRIPT = '''
import sys, os, time
sys.path.insert(0, sys.argv[3])
from pools import Gate, list_children
from workerpool import WorkerPool

gate = Gate.__new__(Gate)
gate.folder = sys.argv[4]
pool = WorkerPool(2, start_method=sys.argv[1], keep_alive=sys.argv[5] == 'True')
form = sys.argv[2]
try:
    if form == 'map':
        pool.map(gate.hold, range(10))
    elif form == 'imap':
        list(pool.imap(gate.hold, range(10)))
    elif form == 'apply':
        # Two, as many as the workers.
        other = pool.apply_async(gate.hold, (1,))
        pool.apply(gate.hold, (2,))
    elif form == 'get':
        other = pool.apply_async(gate.hold, (1,))
        pool.apply_async(gate.hold, (2,)).get()
    elif form == 'join':
        others = [pool.apply_async(gate.hold, (n,)) for n in range(2)]
        pool.stop_and_join()
except KeyboardInterrupt:
    print('interrupted', len(list_children()) if form in ('map', 'imap') else 0, flush=True)
    if sys.argv[1] != 'threading':
        pool.terminate()
    os._exit(3)
'''


def is_gone(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            return file.read().rpartition(')')[2].split()[0] == 'Z'
    except OSError:
        return True


def interrupt(form, signum, keep_alive=False):
    with Gate() as gate:
        script = subprocess.Popen([sys.executable, '-c', SCRIPT, METHOD, form, os.path.dirname(__file__), gate.folder,
                                   str(keep_alive)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            holders = gate.wait_for_holders(2)
            begin = time.monotonic()
            script.send_signal(signum)
            output = script.stdout.read()
            status = script.wait(30)
            elapsed = time.monotonic() - begin
        finally:
            script.kill()
            script.stdout.close()
        for pid in holders:
            wait_for(lambda pid=pid: is_gone(pid), f'the end of {pid}')
        expect(elapsed < LIMIT_S, f'it took {elapsed:.3f} s')
        return status, output


for _form in 'map', 'imap', 'apply', 'get', 'join':
    @pool_test(f'signals/interrupt-ends-{_form}')
    def _(form=_form):
        status, output = interrupt(form, signal.SIGINT)
        expect_equal((status, output), (3, 'interrupted 0\n'))


@pool_test('signals/interrupt-ends-kept-workers-too')
def _():
    expect_equal(interrupt('map', signal.SIGINT, keep_alive=True), (3, 'interrupted 0\n'))


@pool_test('signals/terminate-leaves-nothing')
def _():
    expect_equal(interrupt('map', signal.SIGTERM), (-signal.SIGTERM, ''))


main()
