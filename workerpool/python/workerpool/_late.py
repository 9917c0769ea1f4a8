# SPDX-License-Identifier: LGPL-2.1-or-later

"""The override, for a worker: loaded when a task asks for it.

What PyGObject makes for a call it looks up in gi.repository, which loads the override and with it the pool. A worker has
no use for one, unless a task makes a pool of its own; and to load it takes a quarter of its start.
"""

import importlib
import sys
import types

from ._raw import Wp

_NAME = 'gi.repository.WorkerPool'
# What the host itself uses.
_RAW = frozenset(('TaskContext', 'Worker'))


class _Late(types.ModuleType):

    def __getattr__(self, name):
        if name in _RAW:
            return getattr(Wp, name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)


def put_off():
    """Before anything has loaded the override."""
    sys.modules.setdefault(_NAME, _Late(_NAME))
