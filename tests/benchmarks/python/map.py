#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Trivial tasks: all their time is what the pool costs."""

import time

from peers import run, shrink

N_TASKS = shrink(200_000)
N_TASKS_ONE_BY_ONE = shrink(20_000)
# A single map takes too short a time to be measured.
N_MAPS = shrink(10)


def add_one(number):
    return number + 1


def time_of(call, function, items):
    start = time.monotonic()
    results = call(function, items)
    seconds = time.monotonic() - start

    assert results == [function(item) for item in items]
    return seconds


def measure(peer):
    pool = peer()
    items = list(range(N_TASKS))
    pool.map(add_one, items[:1000])

    seconds = sum(time_of(pool.map, add_one, items) for _ in range(N_MAPS))
    yield 'py-map', N_MAPS * N_TASKS / seconds / 1e6, 'M tasks/s'

    items = items[:N_TASKS_ONE_BY_ONE]
    yield 'py-map-chunk-1', len(items) / time_of(pool.map_one_by_one, add_one, items) / 1e3, 'k tasks/s'
    pool.close()


if __name__ == '__main__':
    run(measure)
