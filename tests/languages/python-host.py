#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host written in Python: its functions are run in workers for callers in any language."""

import sys

import gi

gi.require_version('WorkerPool', '1.0')
from gi.repository import Gio, GLib, WorkerPool as Wp  # noqa: E402


def square(context, args):
    return GLib.Variant('x', args.unpack() ** 2)


def echo(context, args):
    return args


def fail(context, args):
    raise GLib.Error.new_literal(Gio.io_error_quark(), 'failed as asked', Gio.IOErrorEnum.NOT_FOUND)


def throw(context, args):
    raise TypeError('an exception of the language')


def where(context, args):
    return GLib.Variant('(utb)', (context.get_worker_id(), context.get_task_index(), context.is_cancelled()))


def objects(context, args):
    return context.get_shared_objects()


Wp.register_function('square', square)
Wp.register_function('echo', echo)
Wp.register_function('fail', fail)
Wp.register_function('throw', throw)
Wp.register_function('where', where)
Wp.register_function('objects', objects)

sys.exit(Wp.Worker.main())
