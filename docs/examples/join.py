#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

import sys

import gi

gi.require_version('WorkerPool', '1.0')
from gi.repository import GLib, WorkerPool as Wp


def square(context, args, user_data):
    number = args.unpack()
    return GLib.Variant('x', number * number)


Wp.register_function('square', square, None)
if Wp.Worker.is_requested():
    sys.exit(Wp.Worker.main())

pool = Wp.WorkerPool(n_jobs=2, keep_alive=True)
try:
    for numbers in [1, 2], [3, 4]:
        squares = pool.map('square', GLib.Variant('ai', numbers), None, None)
        print(squares.unpack())
except BaseException:
    pool.terminate()
    raise
finally:
    pool.stop_and_join(None)
