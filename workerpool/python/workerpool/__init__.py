# SPDX-License-Identifier: LGPL-2.1-or-later

"""Worker pools for Python programs, safe beside a GLib main loop."""

import importlib

# True for type checkers; workers, which are to start fast, do without the module typing.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._arguments import chunk_tasks, cpu_count, make_single_arguments
    from ._coroutines import Task, run, spawn
    from ._errors import RemoteError, RemoteTraceback, SerializationError
    from ._failures import WorkerDiedError
    from ._map_results import MapResult
    from ._pool import WorkerPool
    from ._results import AsyncResult

__all__ = ['AsyncResult', 'MapResult', 'RemoteError', 'RemoteTraceback', 'SerializationError', 'Task',
           'WorkerDiedError', 'WorkerPool', 'chunk_tasks', 'cpu_count', 'make_single_arguments', 'run', 'spawn']

# Where they are; workers need none of them. The pool is made by the override.
_MODULES = {
    'AsyncResult': '._results',
    'MapResult': '._map_results',
    'RemoteError': '._errors',
    'RemoteTraceback': '._errors',
    'SerializationError': '._errors',
    'Task': '._coroutines',
    'WorkerDiedError': '._failures',
    'WorkerPool': 'gi.repository.WorkerPool',
    'chunk_tasks': '._arguments',
    'cpu_count': '._arguments',
    'make_single_arguments': '._arguments',
    'run': '._coroutines',
    'spawn': '._coroutines',
}


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if name == 'WorkerPool':
        import gi

        gi.require_version('WorkerPool', '1.0')
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name], __name__), name)
    return value
