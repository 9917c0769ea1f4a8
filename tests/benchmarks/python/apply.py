#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One call after the other: how long each takes, and how fast large arguments and results travel."""

import time

from peers import run, shrink

N_CALLS = shrink(3000)
N_LARGE = shrink(10)
SIZE = 100_000_000


def add_one(number):
    return number + 1


def get_last(data):
    return data[-1]


def give_back(data):
    return data


def measure(peer):
    pool = peer()
    pool.apply(add_one, 1)

    start = time.monotonic()
    for i in range(N_CALLS):
        assert pool.apply(add_one, i) == i + 1
    yield 'py-apply', (time.monotonic() - start) / N_CALLS * 1e6, 'µs'

    data = b'0123456789' * (SIZE // 10)
    assert pool.apply(get_last, data) == data[-1]
    start = time.monotonic()
    for _ in range(N_LARGE):
        assert pool.apply(get_last, data) == data[-1]
    yield 'py-argument', N_LARGE * SIZE / 1e6 / (time.monotonic() - start), 'MB/s'

    assert len(pool.apply(give_back, data)) == SIZE
    start = time.monotonic()
    for _ in range(N_LARGE):
        result = pool.apply(give_back, data)
        assert len(result) == SIZE and result[-1] == data[-1]
    yield 'py-there-and-back', N_LARGE * 2 * SIZE / 1e6 / (time.monotonic() - start), 'MB/s'
    pool.close()


if __name__ == '__main__':
    run(measure)
