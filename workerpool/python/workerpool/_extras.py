# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a pool offers beside mpire's calls: maps that nobody waits for, an executor; and its insights as text."""

import sys

from . import _arguments
from ._map_results import MapResult


class Extras:
    """A base of the pool that programs use."""

    def map_async(self, func, iterable_of_args, *args, callback=None, error_callback=None, **options):
        """Starts a map, with the parameters of map (), and returns a MapResult, which can be awaited.

        callback gets the results, error_callback the exception instead: in the main loop of the calling thread, or when
        that thread asks for the result or joins the pool.
        """
        if isinstance(func, str):
            return super().map_async(func, iterable_of_args, *args, **options)
        _arguments.check_callable('callback', callback, optional=True)
        _arguments.check_callable('error_callback', error_callback, optional=True)
        concatenates = options.pop('concatenate_numpy_output', True)
        start = self._plan_map(func, iterable_of_args, *args, **options)

        def run(result):
            map_ = start()
            result.stop = map_.cancel
            if result.is_cancelled:
                map_.cancel()
            results = self._collect(map_)
            return _arguments.concatenate(results) if concatenates else results

        result = MapResult(run)
        if callback is not None or error_callback is not None:
            result.callback = self._python.callbacks.prepare(result, callback, error_callback)
            result.add_done_callback(result.callback.post)
        self._python.running.add(result)
        result.start()
        return result

    def as_executor(self):
        """A concurrent.futures.Executor that runs its calls on the workers of this pool."""
        from ._executor import PoolExecutor

        executor = PoolExecutor(self.apply_async, self.get_n_jobs())
        self._python.running.add(executor)
        return executor

    def get_insights(self):
        """What the workers have spent their time on, as a dict with mpire's keys, in which times are text; an empty one
        without enable_insights."""
        from . import _insights

        figures = super().get_insights()
        if not self._has_python:
            return figures
        if figures is None:
            return {}
        longest = self._python.engine.longest
        return _insights.describe(figures.unpack(), longest.get() if longest is not None else ())

    def print_insights(self):
        """Prints them as a table."""
        from . import _insights

        insights = self.get_insights()
        sys.stdout.write(_insights.format_table(insights) if insights else
                         'There are no insights; make the pool with enable_insights=True.\n')

    # When the pool ends

    def _wait_for_running(self):
        for running in list(self._python.running):
            running.wait()
        self._python.callbacks.deliver()

    def _cancel_running(self):
        for running in list(self._python.running):
            running.cancel()
