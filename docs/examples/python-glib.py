#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

import threading

from gi.repository import GLib

import workerpool


def square(number):
    return number * number


loop = GLib.MainLoop()
pool = workerpool.WorkerPool(n_jobs=2)


def start():
    pool.map_async(square, range(5), callback=on_squares)


def on_squares(squares):
    print(squares, threading.current_thread().name)
    workerpool.spawn(go_on())


async def go_on():
    async for result in pool.imap(square, range(3)):
        print(result)
    print(await pool.apply_async(square, (9,)))
    loop.quit()

GLib.idle_add(start)
loop.run()
pool.stop_and_join()
