#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A generator that never was a list, through imap: how far the caller's memory grows."""

import resource
import time

from peers import run, shrink

N_TASKS = shrink(10_000_000)


def add_one(number):
    return number + 1


def get_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(peer):
    pool = peer()
    assert sum(pool.pool.imap(add_one, iter(range(1000)), iterable_len=1000)) == 500_500

    before = get_peak()
    start = time.monotonic()
    total = sum(pool.pool.imap(add_one, iter(range(N_TASKS)), iterable_len=N_TASKS))
    seconds = time.monotonic() - start

    assert total == N_TASKS * (N_TASKS + 1) // 2
    yield 'py-stream-memory', get_peak() - before, 'MB'
    yield 'py-stream', N_TASKS / seconds / 1e6, 'M tasks/s'
    pool.close()


if __name__ == '__main__':
    run(measure, ('workerpool',))
