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


def double(context, args):
    """Answers with what it got twice, behind the index of its task, and fails when that is more than 60 bytes."""
    data = args.get_data_as_bytes().get_data()
    while True:
        answer = b'%d:%s%s' % (context.get_task_index(), data, data)
        if len(data) > 30:
            following = context.exchange_error('g-io-error-quark', Gio.IOErrorEnum.NO_SPACE, f'{len(data)} bytes')
        else:
            following = context.exchange(answer)
        if not following:
            break
        data = following
    if len(data) > 30:
        raise GLib.Error.new_literal(Gio.io_error_quark(), f'{len(data)} bytes', Gio.IOErrorEnum.NO_SPACE)
    return GLib.Variant.new_from_bytes(GLib.VariantType('ay'), GLib.Bytes.new(answer), True)


Wp.register_function('double', double)
Wp.register_function('square', square)
Wp.register_function('echo', echo)
Wp.register_function('fail', fail)
Wp.register_function('throw', throw)
Wp.register_function('where', where)
Wp.register_function('objects', objects)

sys.exit(Wp.Worker.main())
