#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""From nothing to the first result of a pool of two workers, by each start method."""

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


def measure(peer):
    # What is loaded once is not a start.
    time_start(peer, 'fork')
    for start_method in START_METHODS:
        seconds = sum(time_start(peer, start_method) for _ in range(N_STARTS))
        yield f'py-start-{start_method}', seconds / N_STARTS * 1e3, 'ms'


if __name__ == '__main__':
    run(measure, ('workerpool', 'multiprocessing.Pool'))
