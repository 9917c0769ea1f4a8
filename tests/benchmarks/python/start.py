#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""From nothing to the first result of a pool of two workers, by each start method.

Each start is made by a process that has made none before: a fork server of multiprocessing serves all later pools of
its process.
"""

import subprocess
import sys
import time

from peers import run, shrink

N_STARTS = shrink(10)
START_METHODS = ('fork', 'spawn', 'forkserver')


def add_one(number):
    return number + 1


def time_start(peer, start_method):
    start = time.monotonic()
    pool = peer(start_method)
    result = pool.apply(add_one, 1)
    seconds = time.monotonic() - start

    assert result == 2
    pool.close()
    return seconds


def time_first_start(start_method):
    output = subprocess.run([sys.executable, *sys.argv, '--once', start_method], check=True, capture_output=True)
    return float(output.stdout)


def measure(peer):
    if '--once' in sys.argv:
        peer.load()
        print(time_start(peer, sys.argv[-1]))
        return

    for start_method in START_METHODS:
        seconds = sum(time_first_start(start_method) for _ in range(N_STARTS))
        yield f'py-start-{start_method}', seconds / N_STARTS * 1e3, 'ms'


if __name__ == '__main__':
    run(measure, ('workerpool', 'multiprocessing.Pool'))
