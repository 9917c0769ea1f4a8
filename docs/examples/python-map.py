#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

from workerpool import WorkerPool


def area(width, height):
    return width * height


with WorkerPool(n_jobs=4) as pool:
    print(pool.map(area, [(1, 2), (3, 4), {'height': 6, 'width': 5}]))
    print(pool.map(lambda number: number * number, range(10)))

with WorkerPool(n_jobs=4) as pool:
    lines = (f'{number} bottles' for number in range(1_000_000))
    for n_characters in pool.imap(len, lines):
        if n_characters == 12:
            print('the first line of 12 characters has come')
            break

with WorkerPool(n_jobs=4) as pool:
    results = [pool.apply_async(area, (number, number)) for number in range(5)]
    print([result.get() for result in results])
