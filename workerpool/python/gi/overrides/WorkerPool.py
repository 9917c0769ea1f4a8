# SPDX-License-Identifier: LGPL-2.1-or-later

"""What PyGObject adds to the introspected library: all of it is in the package workerpool."""

from gi.overrides import override
from workerpool import _pool, chunk_tasks, cpu_count, make_single_arguments
from workerpool._raw import Wp

__all__ = ['WorkerPool', 'chunk_tasks', 'cpu_count', 'make_single_arguments']


class WorkerPool(_pool.WorkerPool, Wp.WorkerPool):
    __doc__ = _pool.WorkerPool.__doc__


WorkerPool = override(WorkerPool)
