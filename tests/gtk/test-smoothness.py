#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A window keeps drawing while the workers are busy, and outlives a decoder that crashes."""

import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.environ['WORKERPOOL_SOURCE_ROOT'], 'tests'), os.path.dirname(os.path.abspath(__file__))]
from screen import Screen, make_loaders, make_photos  # noqa: E402
from smoothness import WAYS, run_way  # noqa: E402
from tap import expect, expect_equal, main, test  # noqa: E402

# In milliseconds, of which the window may try a few times.
PAUSE = 50
N_TRIES = 6
LONGEST = 3


@test('/gtk/smoothness/frames-come-while-the-workers-are-busy')
def _():
    pauses = []
    while len(pauses) < N_TRIES and (not pauses or min(pauses) > PAUSE):
        pauses.append(run_way(SCREEN, 'niced-workers', PHOTOS)[LONGEST])
    expect(min(pauses) <= PAUSE, f'the longest waits were {pauses} ms')


@test('/gtk/smoothness/frames-wait-where-the-main-loop-decodes')
def _():
    # Without this the test above would prove nothing.
    expect(run_way(SCREEN, 'main-loop', PHOTOS)[LONGEST] > 2 * PAUSE, 'no frame had to wait')


def check_crash(way):
    result = run_way(SCREEN, way, PHOTOS, GDK_PIXBUF_MODULE_FILE=LOADERS)
    if way.endswith('workers'):
        expect_equal(len(result), 4, f'what {way} gave')
    else:
        expect_equal(result[0], -signal.SIGABRT, f'how {way} ended')


for _way in WAYS:
    test(f'/gtk/smoothness/{_way}/crash-costs-{"one-tile" if _way.endswith("workers") else "the-application"}')(
        lambda way=_way: check_crash(way))

PHOTOS = make_photos('few-camera-photos', 20, '4000x3000')
LOADERS = make_loaders()
with Screen() as SCREEN:
    main()
