# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which start method a pool has."""

import functools
import os
import threading

from gi.repository import GLib

from ._raw import Wp

_METHODS = {
    'spawn': Wp.StartMethod.SPAWN,
    'fork': Wp.StartMethod.FORK,
    'forkserver': Wp.StartMethod.FORKSERVER,
    'threading': Wp.StartMethod.THREADING,
}

# Threads of GLib and of this library, which hold no lock that a copy of this process needs.
_HARMLESS_THREADS = ('gmain', 'pool-spawner', 'workerpool', 'worker', 'owner-watch', 'cancel-watch')


def choose_method(method):
    """The start method of a name; the default for None."""
    if method is None:
        return _choose_default()
    if isinstance(method, str):
        method = _METHODS.get(method.lower(), method)
    if method not in _METHODS.values():
        raise ValueError(f'there is no start method {method!r}; it is one of {", ".join(_METHODS)}')
    return Wp.StartMethod(method)


def _choose_default():
    reason = _find_reason_against_fork()
    if reason is None:
        return Wp.StartMethod.FORK
    _tell(reason)
    return Wp.StartMethod.FORKSERVER


@functools.cache
def _tell(reason):
    GLib.log_variant('WorkerPool', GLib.LogLevelFlags.LEVEL_MESSAGE, GLib.Variant('a{sv}', {
        'MESSAGE': GLib.Variant('s', f'Workers start by “forkserver” instead of “fork”, as {reason}; an explicit '
                                     'start_method is always used as it is'),
    }))


def _find_reason_against_fork():
    context = GLib.MainContext.default()
    own = GLib.MainContext.get_thread_default()
    if context.is_owner() or (own is not None and own.is_owner()):
        return 'this thread runs a main loop'
    if not context.acquire():
        return 'another thread runs a main loop'
    context.release()

    others = _list_other_threads()
    if others:
        return f'this process has other threads ({", ".join(sorted(set(others)))})'
    return None


def _list_other_threads():
    """Those of Python, and those of C that have a name; libraries for numbers have threads too, but see to a fork."""
    current = threading.current_thread()
    names = [thread.name for thread in threading.enumerate()
             if thread not in (current, threading.main_thread()) and not isinstance(thread, threading._DummyThread)]
    if current is not threading.main_thread():
        names.append(threading.main_thread().name)

    known = {thread.native_id for thread in threading.enumerate()}
    try:
        main_name = _read_thread_name(os.getpid())
        for task in map(int, os.listdir('/proc/self/task')):
            name = _read_thread_name(task)
            if task not in known and name not in (main_name, None, *_HARMLESS_THREADS):
                names.append(name)
    except OSError:
        pass
    return names


def _read_thread_name(task):
    try:
        with open(f'/proc/self/task/{task}/comm', encoding='utf-8', errors='replace') as file:
            return file.read().rstrip('\n')
    except OSError:
        # It has just ended.
        return None
