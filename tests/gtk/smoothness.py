# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the program smoothness, in one of its ways."""

import os
import re

from screen import BUILD

LINE = re.compile(r'([\d.]+) s, (\d+) frames, 99 % waited no longer than (\d+) ms, the longest (\d+) ms\n')

# As tables name them.
WAYS = {
    'niced-workers': 'workers with a `nice` of 10',
    'workers': 'workers',
    'thread-pool': '`GThreadPool`, one thread for each CPU',
    'task-threads': '`g_task_run_in_thread ()`',
    'main-loop': 'the main loop, one image in each idle callback',
}


def run_way(screen, way, folder, **variables):
    """The seconds, the frames, and of their waits the 99th percentile and the longest in ms; or how it ended."""
    status, output, left = screen.run([os.path.join(BUILD, 'tests/gtk/smoothness'), way, folder], **variables)
    match = LINE.fullmatch(output)
    if status != 0 or match is None or left:
        return status, output, left
    return tuple(map(float, match.groups()))
