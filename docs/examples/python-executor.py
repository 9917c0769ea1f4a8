#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

from concurrent.futures import as_completed

from workerpool import WorkerPool


def square(number):
    return number * number


with WorkerPool(n_jobs=2) as pool, pool.as_executor() as executor:
    futures = [executor.submit(square, number) for number in range(5)]
    print(sorted(future.result() for future in as_completed(futures)))
    print(list(executor.map(square, range(5))))
