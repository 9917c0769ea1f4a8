#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What goes wrong with multiprocessing in a program that has a GLib main loop. Nothing here waits for ever: what has
not answered after a while is given up. loop-workerpool.py does the same with Workerpool."""

import multiprocessing
import os
import threading
import time

from gi.repository import Gio, GLib

TICK_MS = 10
PATIENCE_S = 1


def work(seconds):
    time.sleep(seconds)
    return seconds


def crash(number):
    if number == 2:
        os._exit(1)
    return number


def read(path):
    """A file, as GIO reads it: in a thread, with a main loop that waits for the end."""
    loop, contents = GLib.MainLoop(GLib.MainContext.ref_thread_default()), []

    def on_loaded(file, result):
        contents.append(file.load_contents_finish(result)[1])
        loop.quit()

    Gio.File.new_for_path(path).load_contents_async(None, on_loaded)
    loop.run()
    return len(contents[0])


def longest_gap(action):
    """For how long the main loop stood still while the action ran in it."""
    loop, ticks = GLib.MainLoop(), [time.monotonic()]

    def tick():
        ticks.append(time.monotonic())
        return GLib.SOURCE_CONTINUE

    def run():
        action(loop.quit)
        return GLib.SOURCE_REMOVE

    timer = GLib.timeout_add(TICK_MS, tick)
    GLib.timeout_add(5 * TICK_MS, run)
    loop.run()
    GLib.source_remove(timer)
    ticks.append(time.monotonic())
    return max(later - earlier for earlier, later in zip(ticks, ticks[1:]))


def answer(result):
    try:
        return result.get(timeout=PATIENCE_S)
    except multiprocessing.TimeoutError:
        return 'no answer'


with multiprocessing.Pool(2) as pool:
    def block(then):
        pool.map(work, [0.2] * 4)
        then()

    stood_still = longest_gap(block)
    print('While a map ran, the loop', 'stood still' if stood_still > 0.3 else 'went on')

with multiprocessing.Pool(2) as pool:
    threads = []

    def go_on(then):
        def on_done(results):
            threads.append(threading.current_thread())
            then()

        pool.map_async(work, [0.2] * 4, callback=on_done)

    longest_gap(go_on)
    print('The callback ran in', 'the main thread' if threads[0] is threading.main_thread() else 'another thread')

read('/etc/hosts')  # the program has used GIO; its threads are not in a forked copy of it
with multiprocessing.Pool(2) as pool:
    print('A worker that uses GIO:', answer(pool.map_async(read, ['/etc/hosts'] * 4)))

with multiprocessing.Pool(2) as pool:
    print('A worker that crashes:', answer(pool.map_async(crash, range(4))))
