#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

import numpy

from workerpool import WorkerPool

image = numpy.arange(1_000_000).reshape(1000, 1000)


def row_sum(image, row):
    return int(image[row].sum())


with WorkerPool(n_jobs=4, shared_objects=image) as pool:
    sums = pool.map(row_sum, range(1000))
    print(sum(sums) == image.sum())


def start(state):
    state['n_even'] = 0


def count(state, number):
    state['n_even'] += number % 2 == 0


def report(state):
    return state['n_even']


with WorkerPool(n_jobs=4, use_worker_state=True) as pool:
    pool.map(count, range(100), worker_init=start, worker_exit=report)
    print(sum(pool.get_exit_results()))
