#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

import asyncio

from workerpool import WorkerPool


def square(number):
    return number * number


async def main():
    with WorkerPool(n_jobs=2) as pool:
        print(await pool.map_async(square, range(5)))
        print(await pool.apply_async(square, (9,)))
        async for result in pool.imap(square, range(3)):
            print(result)

        loop = asyncio.get_running_loop()
        print(await loop.run_in_executor(pool.as_executor(), square, 12))

asyncio.run(main())
