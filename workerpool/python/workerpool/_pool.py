# SPDX-License-Identifier: LGPL-2.1-or-later

"""The pool of Python programs: functions of any kind over workers of any start method."""

import operator
import weakref

from gi.repository import GLib

from . import _applies, _arguments, _callbacks, _engine, _extras, _maps, _methods, _progress
from ._items import Items
from ._raw import Wp


class WorkerPool(_extras.Extras):
    """A pool of workers.

    This is what Python adds to the introspected pool; the class that programs use has both as its bases. Calls with the
    name of a function and a GVariant are those of the introspected pool, as are all other methods, its properties and
    its signals.
    """

    def __init__(self, n_jobs=None, daemon=True, cpu_ids=None, shared_objects=None, pass_worker_id=False,
                 use_worker_state=False, start_method=None, keep_alive=False, use_dill=False, enable_insights=False,
                 order_tasks=False, **properties):
        """n_jobs: how many workers; one for each usable CPU if None.

        daemon: whether the workers may not have pools of their own. cpu_ids: the CPU of each worker, or a list of those
        it may use. shared_objects: passed to each function, after the worker's id. pass_worker_id, use_worker_state:
        whether functions get the number of their worker first, and a dict that lasts as long as it.
        start_method: 'fork', 'spawn', 'forkserver' or 'threading'; if None 'fork', but 'forkserver' where this thread
        runs a main loop or the process has other threads. keep_alive: whether the workers stay for the next map.
        use_dill: has no meaning here, as all functions can be sent. order_tasks: whether the chunks go to the workers in
        turn. Others: properties of the introspected pool.
        """
        if start_method is None and not {'host', 'launcher'}.isdisjoint(properties):
            start_method = 'spawn'
        method = _methods.choose_method(start_method)
        super().__init__(n_jobs=_make_n_jobs(n_jobs), daemon=bool(daemon), enable_insights=bool(enable_insights),
                         start_method=method, **properties)
        if cpu_ids is not None:
            self.props.cpu_ids = _make_cpu_ids(cpu_ids)
        self._python_state = _State(method)
        self.set_keep_alive(keep_alive)
        self.set_order_tasks(order_tasks)
        self.set_shared_objects(shared_objects)
        self.pass_on_worker_id(pass_worker_id)
        self.set_use_worker_state(use_worker_state)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.terminate()

    # Settings

    def set_keep_alive(self, keep_alive=True):
        """Whether the workers stay when a map has ended, to serve the next one."""
        self._python.spec.keep_alive = bool(keep_alive)
        if not self._python.engine.is_started:
            super().set_keep_alive(keep_alive)

    def set_order_tasks(self, order_tasks=True):
        """Whether the first chunk goes to the first worker, the second one to the second, and so on."""
        self._python.spec.order_tasks = bool(order_tasks)
        if not self._python.engine.is_started:
            super().set_order_tasks(order_tasks)

    def set_shared_objects(self, shared_objects=None):
        """What each function gets, after the id of its worker; a GVariant is for functions that are called by name."""
        if isinstance(shared_objects, GLib.Variant):
            super().set_shared_objects(shared_objects)
        else:
            self._python.spec.shared_objects = shared_objects

    def pass_on_worker_id(self, pass_on=True):
        """Whether each function gets the number of its worker, first."""
        self._python.spec.pass_worker_id = bool(pass_on)

    def set_use_worker_state(self, use_worker_state=True):
        """Whether each function gets a dict that lasts as long as its worker, after the shared objects."""
        self._python.spec.use_worker_state = bool(use_worker_state)

    def set_max_retries(self, max_retries=0):
        """How often a task runs again whose worker has died or whose time is over."""
        _arguments.check_number('max_retries', max_retries, 'a whole number that is not negative', least=0)
        self._python.max_retries = max_retries

    # The map family

    def map(self, func, iterable_of_args, iterable_len=None, max_tasks_active=None, chunk_size=None, n_splits=None,
            worker_lifespan=None, progress_bar=False, concatenate_numpy_output=True, worker_init=None,
            worker_exit=None, task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None,
            progress_bar_options=None, progress_bar_style=None):
        """The results of a function for all items, in their order."""
        if isinstance(func, str):
            return super().map(func, iterable_of_args, iterable_len, max_tasks_active)
        results = self._collect(self._plan_map(
            func, iterable_of_args, iterable_len, max_tasks_active, chunk_size, n_splits, worker_lifespan, progress_bar,
            worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout, progress_bar_options,
            progress_bar_style)())
        return _arguments.concatenate(results) if concatenate_numpy_output else results

    def map_unordered(self, func, iterable_of_args, iterable_len=None, max_tasks_active=None, chunk_size=None,
                      n_splits=None, worker_lifespan=None, progress_bar=False, worker_init=None, worker_exit=None,
                      task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None,
                      progress_bar_options=None, progress_bar_style=None):
        """As map (), with the results as they come."""
        return self._collect(self._plan_map(
            func, iterable_of_args, iterable_len, max_tasks_active, chunk_size, n_splits, worker_lifespan, progress_bar,
            worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout, progress_bar_options,
            progress_bar_style, ordered=False)())

    def imap(self, func, iterable_of_args, iterable_len=None, max_tasks_active=None, chunk_size=None, n_splits=None,
             worker_lifespan=None, progress_bar=False, worker_init=None, worker_exit=None, task_timeout=None,
             worker_init_timeout=None, worker_exit_timeout=None, progress_bar_options=None, progress_bar_style=None):
        """As map (), but an iterator: the items are taken from theirs as the workers need them."""
        return Items(self._plan_map(
            func, iterable_of_args, iterable_len, max_tasks_active, chunk_size, n_splits, worker_lifespan, progress_bar,
            worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout, progress_bar_options,
            progress_bar_style), self._iterate, max_tasks_active)

    def imap_unordered(self, func, iterable_of_args, iterable_len=None, max_tasks_active=None, chunk_size=None,
                       n_splits=None, worker_lifespan=None, progress_bar=False, worker_init=None, worker_exit=None,
                       task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None,
                       progress_bar_options=None, progress_bar_style=None):
        """As imap (), with the results as they come."""
        return Items(self._plan_map(
            func, iterable_of_args, iterable_len, max_tasks_active, chunk_size, n_splits, worker_lifespan, progress_bar,
            worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout, progress_bar_options,
            progress_bar_style, ordered=False), self._iterate, max_tasks_active)

    def _plan_map(self, func, iterable_of_args, iterable_len=None, max_tasks_active=None, chunk_size=None,
                  n_splits=None, worker_lifespan=None, progress_bar=False, worker_init=None, worker_exit=None,
                  task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None, progress_bar_options=None,
                  progress_bar_style=None, *, ordered=True):
        """What starts a map, which whoever calls it drives, as the forms above do. All arguments are checked now."""
        python = self._python
        n_jobs = self.get_n_jobs()
        checked = _arguments.check_map_parameters(
            func, iterable_of_args, n_jobs, iterable_len=iterable_len, max_tasks_active=max_tasks_active,
            chunk_size=chunk_size, n_splits=n_splits, worker_lifespan=worker_lifespan, progress_bar=progress_bar,
            worker_init=worker_init, worker_exit=worker_exit, task_timeout=task_timeout,
            worker_init_timeout=worker_init_timeout, worker_exit_timeout=worker_exit_timeout,
            progress_bar_options=progress_bar_options, progress_bar_style=progress_bar_style)
        spec = python.spec.replace(worker_init, worker_exit, worker_init_timeout, worker_exit_timeout, worker_lifespan)
        chunk_size = checked.chunk_size
        if spec.order_tasks and chunk_size is None:
            chunk_size = max(1, (checked.length or 1) // (n_jobs * _arguments.SPLITS_PER_JOB))
        # The engine sees to each task by itself.
        exact = (task_timeout is not None or worker_lifespan is not None or spec.order_tasks
                 or python.max_retries > 0 or self.get_enable_insights())
        if progress_bar:
            _progress.check(progress_bar_options, progress_bar_style)

        def start():
            bar = _progress.make(checked.length, progress_bar_options, progress_bar_style) if progress_bar else None
            try:
                map_ = _maps.Map(self, python.engine, spec, func, checked.items, length=checked.length,
                                 ordered=ordered, chunk_size=chunk_size, max_active=max_tasks_active,
                                 task_timeout=task_timeout, exact=exact, max_retries=python.max_retries,
                                 on_progress=bar and bar.update)
            except BaseException as error:
                if bar is not None:
                    bar.close(error)
                raise
            if bar is not None:
                map_.add_done_callback(lambda map_: bar.close(map_.error))
            return map_

        return start

    # The apply family

    def apply(self, func, args=(), kwargs=None, callback=None, error_callback=None, worker_init=None, worker_exit=None,
              task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None):
        """The result of one call of a function."""
        if isinstance(func, str):
            return super().apply(func, args, kwargs, callback)
        _check_callbacks(callback, error_callback)
        plan = self._plan_apply(func, args, kwargs, worker_init, worker_exit, task_timeout, worker_init_timeout,
                                worker_exit_timeout)
        try:
            value, failure = self._python.desk.call(self, *plan)
        except BaseException as error:
            if not isinstance(error, Exception):
                self._python.engine.abandon(self, error)
            raise
        called, outcome = (callback, value) if failure is None else (error_callback, failure)
        if called is not None:
            called(outcome)
        if failure is not None:
            raise failure
        return value

    def apply_async(self, func, args=(), kwargs=None, callback=None, error_callback=None, worker_init=None,
                    worker_exit=None, task_timeout=None, worker_init_timeout=None, worker_exit_timeout=None, *data):
        """Starts one call of a function; returns an AsyncResult.

        The callbacks are called in the main loop of the calling thread, or in a thread of the pool's where none runs.
        """
        if isinstance(func, str):
            return super().apply_async(func, args, kwargs, callback, error_callback,
                                       *(() if worker_init is None else (worker_init, *data)))
        _check_callbacks(callback, error_callback)
        result = self._python.desk.send(self, *self._plan_apply(
            func, args, kwargs, worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout))
        if callback is not None or error_callback is not None:
            result.callback = self._python.callbacks.prepare(result, callback, error_callback, True)
            result.add_done_callback(result.callback.post)
        return result

    def _plan_apply(self, func, args, kwargs, worker_init, worker_exit, task_timeout, worker_init_timeout,
                    worker_exit_timeout):
        _arguments.check_callable('func', func)
        _arguments.check_calls(worker_init, worker_exit, task_timeout, worker_init_timeout, worker_exit_timeout)
        spec = None
        if not self._python.engine.is_started or worker_init is not None or worker_exit is not None:
            spec = self._python.spec.replace(worker_init, worker_exit, worker_init_timeout, worker_exit_timeout, None)
        if not isinstance(args, (tuple, list)):
            args = (args,)
        return spec, func, args, kwargs or {}, _engine.to_milliseconds(task_timeout), self._python.max_retries

    # The end

    def stop_and_join(self, keep_alive=False, *args):
        """Waits until all calls have ended, and the workers, unless they are to stay."""
        if not self._has_python:
            return super().stop_and_join(keep_alive or None, *args)
        self._wait_for_running()
        if keep_alive is True:
            self._python.desk.wait()
        else:
            self._python.engine.reset(self)
        self._python.callbacks.deliver()
        return True

    join = stop_and_join

    def terminate(self):
        """Kills the workers, and waits until they are gone. What has not ended yet has failed then."""
        if not self._has_python:
            super().terminate()
        else:
            self._cancel_running()
            self._python.engine.terminate(self)
            self._python.callbacks.deliver()

    def get_exit_results(self):
        """What the exit functions of the workers of the last map have returned, in the order in which they ended."""
        if not self._has_python:
            return super().get_exit_results()
        return self._python.engine.get_exit_results(self)

    # Inside

    @property
    def _has_python(self):
        return '_python_state' in self.__dict__

    @property
    def _python(self):
        """Also of a pool that was made by another constructor than this one's."""
        if not self._has_python:
            self._python_state = _State(self.get_start_method())
            self._python_state.spec.keep_alive = self.get_keep_alive()
            self._python_state.spec.order_tasks = self.get_order_tasks()
        return self._python_state

    def _collect(self, map_):
        try:
            results = map_.collect()
        except BaseException as error:
            map_.cancel()
            self._python.engine.abandon(self, error)
            raise
        self._python.engine.conclude(self)
        return results

    def _iterate(self, map_):
        try:
            yield from map_.iterate()
        except GeneratorExit:
            raise
        except BaseException as error:
            map_.cancel()
            self._python.engine.abandon(self, error)
            raise
        self._python.engine.conclude(self)


class _State:
    """What a pool has for Python's sake."""

    def __init__(self, method):
        self.engine = _engine.Engine(method)
        self.desk = _applies.Desk(self.engine)
        self.callbacks = _callbacks.Callbacks()
        # The results of map_async () and the executors that somebody still has.
        self.running = weakref.WeakSet()
        self.spec = _engine.Spec()
        self.max_retries = 0


def _make_n_jobs(n_jobs):
    if n_jobs is None:
        return 0
    try:
        number = operator.index(n_jobs)
    except TypeError:
        raise TypeError(f'n_jobs must be a positive whole number or None, not {n_jobs!r}') from None
    if not 0 <= number <= 65535:
        raise ValueError(f'n_jobs must be from 1 to 65535, or None for one worker for each CPU, not {n_jobs!r}')
    return number


def _make_cpu_ids(cpu_ids):
    try:
        sets = [[operator.index(cpu)] if not isinstance(cpu, (list, tuple, set, range)) else list(cpu)
                for cpu in cpu_ids]
        return GLib.Variant('aai', sets)
    except (TypeError, OverflowError):
        raise TypeError(f'cpu_ids must be a list of the CPUs of the workers, or of lists of them, not '
                        f'{cpu_ids!r}') from None


def _check_callbacks(callback, error_callback):
    _arguments.check_callable('callback', callback, optional=True)
    _arguments.check_callable('error_callback', error_callback, optional=True)
