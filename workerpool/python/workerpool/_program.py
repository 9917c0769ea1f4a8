# SPDX-License-Identifier: LGPL-2.1-or-later

"""The program of a worker that is a fresh process."""

import os
import sys

_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)

from workerpool import _host, _late  # noqa: E402

_late.put_off()

_host.main()
