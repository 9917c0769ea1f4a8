# SPDX-License-Identifier: LGPL-2.1-or-later

"""The worker's side: what a worker of a Python pool does with the messages it is sent."""

import binascii
import functools
import os
import sys
import threading
import time

from gi.repository import GLib

from . import _arena, _arguments, _bundles, _errors, _functions, _library, _local, _payload, _runner, _settings
from ._raw import Gio, Wp, to_bytes, to_variant

# The names under which the pool calls these. What an init or exit function raises is the message of an error of that
# domain.
BUNDLE = 'workerpool-python-bundle'
APPLY = 'workerpool-python-apply'
INIT = 'workerpool-python-init'
EXIT = 'workerpool-python-exit'
ERROR_DOMAIN = 'workerpool-python'

# As the exit status of other hosts.
_EXIT_OWNER_GONE, _EXIT_FAILED = 1, 2


class Worker:
    """What a worker has from task to task."""

    def __init__(self, settings, worker_id):
        self.settings = settings
        self._functions = {}
        self._prefix = ()
        if settings.pass_worker_id:
            self._prefix += (worker_id,)
        if settings.shared_objects is not None:
            self._prefix += (settings.shared_objects,)
        if settings.use_worker_state:
            self._prefix += ({},)
        if settings.store is not None:
            self._receiver = _local.Receiver(settings.store)
            self._sender = _local.Sender(settings.store)
        else:
            self._receiver = _payload.Receiver()
            self._sender = _payload.Sender(_arena.ResultArena(), settings.same_main, _payload.RESULTS)

    def run_bundle(self, message):
        results = []
        error = None
        begin = time.perf_counter()
        try:
            function, payload = self._open(message)
            items, limit = self._receiver.loads(payload)
            _runner.run(function, items, results, limit)
        except BaseException as exception:
            error = self._describe(exception)
        return self._pack(results, error, time.perf_counter() - begin)

    def run_apply(self, message):
        results = []
        error = None
        begin = time.perf_counter()
        try:
            function, payload = self._open(message)
            args, kwargs = self._receiver.loads(payload)
            begin = time.perf_counter()
            results.append(function(*args, **kwargs))
        except BaseException as exception:
            error = self._describe(exception)
        return self._pack(results, error, time.perf_counter() - begin)

    def run_hook(self, function):
        return function(*self._prefix)

    def _describe(self, exception):
        return _errors.describe(exception, self.settings.same_main)

    def dump(self, value):
        return self._sender.dumps(value)

    def _open(self, message):
        """(the function, the payload)"""
        number, description, size, place, payload = _bundles.split_message(message)
        function = self._functions.get(number)
        if function is None:
            function = self._functions[number] = self._learn(number, description, size, place)
        return function, payload

    def _learn(self, number, description, size, place):
        function = self.settings.functions.get(number)
        if function is None:
            if place is not None:
                description = _library.read(self.settings.library, place, size)
            function = _functions.resolve(description)
        return _arguments.bind(function, *self._prefix)

    def _pack(self, results, error, elapsed):
        payload = b''
        n_results = len(results)
        try:
            if results:
                payload = self._sender.dumps(results, results, what='result')
        except BaseException as exception:
            payload, n_results, error = self._pack_good_ones(results, exception)
        return _bundles.join_outcome(payload, n_results, elapsed, error)

    def _pack_good_ones(self, results, exception):
        """Up to the one that cannot be sent."""
        n_good = 0
        try:
            for result in results:
                self._sender.check(result, 'the result')
                n_good += 1
        except BaseException as exact:
            exception = exact
        good = results[:n_good]
        return self._sender.dumps(good, good) if good else b'', n_good, self._describe(exception)


# By their threads; of one that is a process with None, and of others with their settings, since the pool that a thread
# works for may be another one later.
_workers = {}
_NOBODY = (None, None)


def _get_worker(context):
    key = threading.get_ident()
    known_data, worker = _workers.get(key, _NOBODY)
    if worker is not None and known_data is None:
        return worker

    data = to_bytes(context.get_shared_objects())
    if worker is None or known_data != data:
        settings = _settings.load(data)
        worker = Worker(settings, context.get_worker_id())
        _workers[key] = None if settings.store is None else data, worker
    return worker


def serves(settings):
    """Whether this thread is a worker with these settings."""
    worker = _workers.get(threading.get_ident(), _NOBODY)[1]
    return worker is not None and worker.settings is settings


def forget_workers():
    """In a copy of a process, which has those of the original."""
    _workers.clear()


def _report_hook(worker, exception):
    """As an error that the pool finds again."""
    same_main = worker is not None and worker.settings.same_main
    text = binascii.b2a_base64(_errors.describe(exception, same_main), newline=False).decode()
    return GLib.Error.new_literal(GLib.quark_from_string(ERROR_DOMAIN), text, 0)


def _on_bundle(context, args, *data):
    run = _get_worker(context).run_bundle
    message = to_bytes(args)
    while message:
        outcome = run(message)
        # The next one of the same chunk, if there is one; else the outcome is not sent yet.
        message = context.exchange(outcome)
    return to_variant(outcome)


def _on_apply(context, args, *data):
    return to_variant(_get_worker(context).run_apply(to_bytes(args)))


def _on_init(context, args, *data):
    # A thread may have the identity of one that has ended.
    _workers.pop(threading.get_ident(), None)
    worker = None
    try:
        worker = _get_worker(context)
        if worker.settings.worker_init is not None:
            worker.run_hook(worker.settings.worker_init)
    except BaseException as exception:
        raise _report_hook(worker, exception) from exception
    return GLib.Variant.new_boolean(True)


def _on_exit(context, args, *data):
    worker = None
    try:
        worker = _get_worker(context)
        result = None
        if worker.settings.worker_exit is not None:
            result = worker.run_hook(worker.settings.worker_exit)
        return to_variant(worker.dump(result))
    except BaseException as exception:
        raise _report_hook(worker, exception) from exception
    finally:
        _workers.pop(threading.get_ident(), None)


@functools.cache
def register():
    """Makes this process one whose workers run Python functions."""
    Wp.register_function(BUNDLE, _on_bundle)
    Wp.register_function(APPLY, _on_apply)
    Wp.register_function(INIT, _on_init)
    Wp.register_function(EXIT, _on_exit)


def flush():
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def main():
    """A fresh process."""
    register()
    status = Wp.Worker.main()
    flush()
    # Nothing that the interpreter would tidy up is worth the time.
    os._exit(status)


def get_argv():
    """What starts it: a file, so that nothing depends on where the interpreter searches modules."""
    import subprocess

    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), '_program.py')
    return [sys.executable, *subprocess._args_from_interpreter_flags(), '-P', program]


def run_in_copy(channel, parent):
    """A copy of the process that has the pool. Returns the exit status."""
    register()
    worker = Wp.Worker.new_in_copy(channel, parent)
    context = GLib.MainContext.new()
    context.push_thread_default()
    try:
        worker.run()
    except GLib.Error as error:
        if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CLOSED):
            return _EXIT_OWNER_GONE
        print(f'{sys.argv[0] if sys.argv else "python"}: {error.message}', file=sys.stderr)
        return _EXIT_FAILED
    finally:
        context.pop_thread_default()
    return 0
