# SPDX-License-Identifier: LGPL-2.1-or-later

"""How a pool of this layer uses the engine: with which settings it runs, what is in flight, and how it begins anew."""

import threading

from gi.repository import GLib

from . import _arena, _bundles, _failures, _functions, _host, _insights, _library, _local, _payload, _settings
from ._raw import Gio, Wp, to_bytes, to_variant

# How long a blocking call leaves the handlers of signals waiting.
SLICE_S = 0.05
# What a pool whose workers are threads, which cannot be killed, is waited for after it was interrupted.
_PATIENCE_S = 0.1
# Descriptions up to this size travel with each task.
_SHORT = 128


class Spec:
    """What can only be changed by starting the workers anew."""

    def __init__(self, **settings):
        self.pass_worker_id = False
        self.use_worker_state = False
        self.shared_objects = None
        self.worker_init = None
        self.worker_exit = None
        # In milliseconds; 0 for none.
        self.worker_init_timeout = 0
        self.worker_exit_timeout = 0
        self.worker_lifespan = 0
        self.keep_alive = False
        self.order_tasks = False
        vars(self).update(settings)

    def replace(self, worker_init, worker_exit, worker_init_timeout, worker_exit_timeout, worker_lifespan):
        """The same pool, with what a call asks for; times are in seconds there."""
        return self._but(worker_init=worker_init, worker_exit=worker_exit,
                         worker_init_timeout=to_milliseconds(worker_init_timeout) or 0,
                         worker_exit_timeout=to_milliseconds(worker_exit_timeout) or 0,
                         worker_lifespan=worker_lifespan or 0)

    def serves(self, other):
        """Whether workers that run by this can run by the other too. Those that are kept serve whoever names no other
        functions and limits for them."""
        if self.keep_alive and other.keep_alive:
            other = other._but(**{name: getattr(self, name) for name in _FOR_NEW_WORKERS if not getattr(other, name)})
        return all(_is_same(value, getattr(other, name)) for name, value in vars(self).items())

    def _but(self, **settings):
        return Spec(**{**vars(self), **settings})


_FOR_NEW_WORKERS = ('worker_init', 'worker_exit', 'worker_init_timeout', 'worker_exit_timeout', 'worker_lifespan')


def _is_same(one, other):
    """Objects may not compare to a truth, as arrays do not; functions that are bound anew are the same."""
    return one is other or (type(one) is type(other) and (callable(one) or isinstance(one, (bool, int)))
                            and one == other)


def _fork_launcher():
    from . import _fork

    return _fork.ForkLauncher()


def to_milliseconds(seconds):
    return None if seconds is None else max(1, min(round(seconds * 1000), 0xffffffff))


class Engine:
    """Does not refer to the pool, which is given to each method, so that dropping the pool ends it."""

    def __init__(self, method):
        self.method = method
        self.run = 0
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._spec = None
        self._settings = None
        self._store = None
        self._library = None
        # The memory of messages; it outlives the workers, as messages may. That of the settings stays for them.
        self._arena = None if self.is_threading else _arena.Arena()
        self._receiver = None if self.is_threading else _payload.Receiver(of_workers=True)
        self._settings_message = None
        self._active = set()
        self._ending = False
        self._exit_results = []
        # The longest tasks, of a pool that wants insights.
        self.longest = None
        # Description or, where workers see this process's memory, identity → head, and what keeps the identity.
        self._heads = {}
        self._estimates = {}
        self._n_functions = 0

    # Starting

    def begin(self, pool, spec, call, function):
        """Takes part in the pool for a call, started by these settings; returns the head of the function's messages.

        spec: None for whatever the pool runs with."""
        with self._lock:
            self._wait_for_end()
            if self._spec is not None and spec is not None and not self._spec.serves(spec):
                if self._active:
                    raise RuntimeError('the pool runs something with other settings of its workers (their init and '
                                       'exit functions, lifespan, shared objects or arguments); wait until that has '
                                       'ended, or use another pool')
                self.reset(pool)
            head = self._make_head(pool, spec or self._spec or Spec(), function)
            self._active.add(call)
            return head

    def end(self, call):
        """The call has ended."""
        with self._lock:
            self._active.discard(call)

    @property
    def is_threading(self):
        return self.method == Wp.StartMethod.THREADING

    @property
    def is_fork(self):
        return self.method == Wp.StartMethod.FORK

    @property
    def is_started(self):
        return self._spec is not None

    @property
    def keeps_alive(self):
        return self._spec is not None and self._spec.keep_alive

    def make_sender(self):
        return _local.Sender(self._store) if self.is_threading else _payload.Sender(self._arena, self.is_fork)

    def make_receiver(self):
        return _local.Receiver(self._store) if self.is_threading else self._receiver

    def get_estimate(self, function):
        return self._estimates.get(function.__code__) if hasattr(function, '__code__') else None

    def set_estimate(self, function, estimate):
        if hasattr(function, '__code__'):
            self._estimates[function.__code__] = estimate

    def _make_head(self, pool, spec, function):
        if self.method not in (Wp.StartMethod.THREADING, Wp.StartMethod.FORK):
            description = _functions.describe(function)
            self._start(pool, spec)
            return self._get_head(description, lambda: description)

        known = self._heads.get(id(function))
        if known is not None:
            return known[0]
        if self._spec is None or self.is_threading:
            self._start(pool, spec)
            return self._share(function)
        return self._describe_late(pool, spec, function)

    def _share(self, function):
        """With workers that see this process's memory, those that start from now on."""
        self._n_functions += 1
        self._settings.functions[self._n_functions] = function
        head = _bundles.Head(self._n_functions)
        self._heads[id(function)] = head, function
        return head

    def _describe_late(self, pool, spec, function):
        """For copies of this process that were made before they could know it."""
        try:
            description = _functions.describe(function)
        except Exception:
            if self._active:
                raise
            self.reset(pool)
            self._start(pool, spec)
            return self._share(function)
        return self._get_head(description, lambda: description)

    def _get_head(self, key, describe):
        known = self._heads.get(key)
        if known is None:
            self._n_functions += 1
            description = describe()
            place = self._library.add(description) if len(description) > _SHORT and self._library else None
            known = self._heads[key] = (_bundles.Head(self._n_functions, description, place), None)
        return known[0]

    def _start(self, pool, spec):
        if self._spec is not None:
            return
        with _failures.translated():
            # It may have served raw calls.
            Wp.WorkerPool.reset(pool, None)
            self._store = _local.Store()
            self._library = None if self.is_threading else _library.Library()
            self._settings = _settings.Settings(spec.pass_worker_id, spec.use_worker_state, spec.shared_objects,
                                                spec.worker_init, spec.worker_exit,
                                                store=self._store if self.is_threading else None,
                                                same_main=self.is_fork or self.is_threading,
                                                library=self._library and self._library.address)
            self._configure(pool, spec)
        self._spec = spec
        self.longest = _insights.Longest() if Wp.WorkerPool.get_enable_insights(pool) else None
        self.run += 1

    def _configure(self, pool, spec):
        raw = Wp.WorkerPool
        raw.set_start_method(pool, self.method)
        if self.method == Wp.StartMethod.FORK:
            if raw.get_launcher(pool) is None:
                raw.set_launcher(pool, _fork_launcher())
        elif self.is_threading:
            _host.register()
        elif not raw.get_host(pool) and raw.get_launcher(pool) is None:
            raw.set_host(pool, _host.get_argv())

        if self.method in (Wp.StartMethod.THREADING, Wp.StartMethod.FORK):
            settings = _settings.dump_token(self._settings, self._store)
        else:
            settings, self._settings_message = _settings.dump(self._settings, self.make_sender())
        raw.set_shared_objects(pool, to_variant(settings))

        has_init = spec.worker_init is not None or self.is_threading
        has_exit = spec.worker_exit is not None or self.is_threading
        raw.set_worker_init(pool, _host.INIT if has_init else None)
        raw.set_worker_exit(pool, _host.EXIT if has_exit else None)
        raw.set_worker_init_timeout(pool, spec.worker_init_timeout)
        raw.set_worker_exit_timeout(pool, spec.worker_exit_timeout)
        raw.set_worker_lifespan(pool, spec.worker_lifespan)
        raw.set_keep_alive(pool, spec.keep_alive)
        raw.set_order_tasks(pool, spec.order_tasks)

    # Ending

    def reset(self, pool, patience=None):
        """Lets all calls end and joins the workers; the pool can be used again. Handlers of signals run meanwhile.

        patience: seconds to wait for threads; None for as long as it takes."""
        self._claim_end(lambda: True)
        self._join(pool, patience)

    def conclude(self, pool):
        """A map has ended well: the workers end with it, unless they are kept or something else is in flight."""
        if self._claim_end(lambda: not (self._active or self._spec is None or self._spec.keep_alive)):
            self._join(pool)

    def abandon(self, pool, error):
        """A map has ended with an error: what its workers still run is ended, unless something else is in flight."""
        if self._claim_end(lambda: not (self._active or self._spec is None
                                        or self._spec.keep_alive and isinstance(error, Exception))):
            self._kill(pool)

    def terminate(self, pool):
        """Kills the workers; the pool can be used again."""
        Wp.WorkerPool.terminate(pool)
        if self._claim_end(lambda: True):
            self._kill(pool)

    def _claim_end(self, condition):
        """One thread ends the pool; the others wait for that."""
        with self._lock:
            self._wait_for_end()
            if not condition():
                return False
            self._ending = True
            return True

    def _wait_for_end(self):
        while self._ending:
            if self._settings is not None and _host.serves(self._settings):
                raise RuntimeError('a task cannot use the pool that it is a task of while that is being joined')
            self._ended.wait(SLICE_S)

    def _kill(self, pool):
        Wp.WorkerPool.terminate(pool)
        self._join(pool, _PATIENCE_S if self.is_threading else None)

    def _join(self, pool, patience=None):
        """After a claim."""
        error = None
        try:
            error = self._wait_for_reset(pool, patience)
            if error is None or not _failures.is_cancelled(error):
                self._forget(pool)
        finally:
            with self._lock:
                self._ending = False
                self._ended.notify_all()
        if error is not None and not _failures.is_cancelled(error):
            raise _failures.translate(error)

    def _wait_for_reset(self, pool, patience):
        """In another thread, since C code keeps handlers of signals from running. Returns the error."""
        errors = []
        cancellable = Gio.Cancellable()

        def reset():
            try:
                Wp.WorkerPool.reset(pool, cancellable)
            except GLib.Error as error:
                errors.append(error)

        if self._spec is None:
            reset()
        else:
            thread = threading.Thread(target=reset, name='workerpool-join', daemon=True)
            thread.start()
            try:
                while thread.is_alive() and (patience is None or patience > 0):
                    thread.join(SLICE_S)
                    patience = patience and patience - SLICE_S
            finally:
                cancellable.cancel()
                thread.join()
        return errors[0] if errors else None

    def _forget(self, pool):
        self._exit_results = self._read_exit_results(pool)
        self._spec = self._settings = self._settings_message = self._store = self._library = None
        self._heads.clear()
        self._active.clear()

    # What is left of the workers

    def get_exit_results(self, pool):
        return self._read_exit_results(pool) if self.is_started else self._exit_results

    def _read_exit_results(self, pool):
        if self._spec is None or self._spec.worker_exit is None:
            return []
        try:
            values = Wp.WorkerPool.get_exit_results(pool)
        except GLib.Error:
            # The join has told of it.
            return []
        load = _local.find if self.is_threading else self.make_receiver().loads
        return [load(to_bytes(values.get_child_value(n).get_variant())) for n in range(values.n_children())]
