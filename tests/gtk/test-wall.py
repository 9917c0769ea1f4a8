#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The thumbnail walls, watched from within while they run."""

import configparser
import functools
import glob
import hashlib
import os
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.environ['WORKERPOOL_SOURCE_ROOT'], 'tests'), os.path.dirname(os.path.abspath(__file__))]
from screen import BUILD, EXAMPLES, Screen, make_loaders, make_photos  # noqa: E402
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

N_PHOTOS = 200
N_BROKEN = 2
# Of a dialog that comes before any window, where no portal is there to show it.
NO_PARENT = re.compile(r'^Gtk-Message: [\d:.]+: GtkDialog mapped without a transient parent\. This is discouraged\.\n')
# As in WpBatchState.
FINISHED, CANCELLED = 2, 3
# The longest that a window may wait for a frame, in milliseconds, and how often it may try: the machine may have other
# things to do. What the main loop itself uses is no such thing.
PAUSE = 50
N_TRIES = 6

WALLS = {
    'c': [os.path.join(BUILD, 'docs/examples/thumbnail-wall')],
    'vala': [os.path.join(BUILD, 'docs/examples/thumbnail-wall-vala')],
    'python': ['/usr/bin/python3', os.path.join(EXAMPLES, 'thumbnail-wall.py')],
    'javascript': ['gjs', '-m', os.path.join(EXAMPLES, 'thumbnail-wall.js')],
}


class Report:
    """What the probe saw."""

    def __init__(self, path):
        self.groups = configparser.RawConfigParser()
        self.groups.read(path, encoding='utf-8')

    def number(self, group, key):
        return float(self.groups.get(group, key, fallback='0'))

    def text(self, group, key):
        return self.groups.get(group, key).replace(r'\s', ' ')

    def list(self, group, key):
        return [value for value in self.text(group, key).split(';') if value]


def watch(wall, *arguments, **variables):
    """Runs a wall to its end and expects it to leave nothing, not a word either."""
    if shutil.which(WALLS[wall][0]) is None:
        raise Skip(f'{WALLS[wall][0]} is not there')
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, 'report')
        status, output, left = SCREEN.run(
            [*WALLS[wall], *arguments], GDK_PIXBUF_MODULE_FILE=LOADERS, WALL_PROBE_REPORT=path,
            LD_PRELOAD=os.path.join(BUILD, 'tests/gtk/wall-probe.so'), **variables)
        output = NO_PARENT.sub('', output)
        expect_equal((status, output, left), (0, '', set()), 'its status, what it printed and what it left')
        return Report(path)


@functools.cache
def watch_photos(wall):
    return watch(wall, PHOTOS)


def list_hashes():
    for path in glob.glob(os.path.join(PHOTOS, 'landscape-*')):
        with open(path, 'rb') as file:
            yield hashlib.sha256(file.read()).hexdigest()


def check_results(wall):
    report = watch_photos(wall)
    expect_equal(report.number('wall', 'state'), FINISHED, 'the state')
    expect_equal(sorted(report.list('results', 'hashes')), sorted(list_hashes()), 'what is in the model')


def check_progress(wall):
    report = watch_photos(wall)
    expect(N_PHOTOS / 2 < report.number('wall', 'n-items-before-the-end') <= N_PHOTOS + N_BROKEN,
           f'{report.number("wall", "n-items-before-the-end")} items were in the model before the end')
    expect(report.number('wall', 'n-looks-at-tiles-before-the-end') > 10, 'no tiles were seen before the end')
    expect(report.number('wall', 'n-steps') > 10, f'the bar moved {report.number("wall", "n-steps")} times')
    expect(not report.groups.has_option('bar', 'went-back'), 'the bar went back')
    expect_equal(report.number('bar', 'fraction'), 1, 'where the bar ended')


def check_broken(wall):
    report = watch_photos(wall)
    died, cut = sorted(report.list('results', 'errors'), reverse=True)
    expect(died.startswith('wp-error-quark 1: worker') and 'killed by signal 6' in died, f'the hostile one: {died}')
    expect(cut.startswith('gdk-pixbuf-error-quark'), f'the truncated one: {cut}')
    tiles = dict(zip(report.list('tiles', 'tooltips'), report.list('tiles', 'labels')))
    expect('killed by signal 6' in tiles.get('hostile.png', ''), f'the tiles are {tiles}')
    expect(tiles.get('truncated.png', '') in cut, f'the tiles are {tiles}')
    expect(report.number('tiles', 'n-pictures') > 20, 'there are no pictures')


def check_smoothness(wall):
    pauses = []
    for n in range(N_TRIES):
        report = watch(wall, PHOTOS) if n > 0 else watch_photos(wall)
        expect(report.number('frames', 'n-frames') > 30, f'there were {report.number("frames", "n-frames")} frames')
        expect(report.number('frames', 'busiest-ms') < PAUSE, 'the main loop itself did not come to a frame for '
               f'{report.number("frames", "busiest-ms")} ms')
        pauses.append(report.number('frames', 'longest-ms'))
        if pauses[-1] <= PAUSE:
            return
    raise AssertionError(f'the longest pauses were {pauses} ms')


def check_cancel(wall):
    report = watch(wall, PHOTOS, WALL_PROBE_CANCEL_AT='20')
    n_items = len(report.list('results', 'hashes'))
    expect_equal(report.number('wall', 'state'), CANCELLED, 'the state')
    expect(10 < n_items < N_PHOTOS / 2, f'{n_items} thumbnails came')


def check_no_folder(wall):
    report = watch(wall, '/there/is/none')
    expect('/there/is/none' in report.text('wall', 'title') and 'No such file' in report.text('wall', 'title'),
           f'the title is {report.text("wall", "title")!r}')
    expect_equal(report.list('results', 'errors') + report.list('results', 'hashes'), [], 'what is in the model')


def check_dialog(wall):
    report = watch(wall, WALL_PROBE_CHOOSE=PHOTOS)
    expect_equal(len(report.list('results', 'hashes')), N_PHOTOS, 'how many thumbnails came')


def check_cancelled_dialog(wall):
    report = watch(wall, WALL_PROBE_CHOOSE='')
    expect_equal(report.groups.sections(), [], 'what was seen')


def check_close(wall):
    report = watch(wall, PHOTOS, WALL_PROBE_CLOSE_AT='20')
    expect_equal(report.groups.sections(), [], 'what was seen after the window was closed')


CHECKS = {
    'every-image-is-in-the-model': check_results,
    'tiles-come-before-the-end': check_progress,
    'broken-images-are-broken-tiles': check_broken,
    'frames-come-while-the-workers-are-busy': check_smoothness,
    'cancel-ends-it': check_cancel,
    'window-may-be-closed-at-any-time': check_close,
    'folder-that-is-not-there-is-told-of': check_no_folder,
    'without-a-folder-a-dialog-asks-for-one': check_dialog,
    'dialog-may-be-cancelled': check_cancelled_dialog,
}


def check_no_layer(wall):
    report = watch(wall, PHOTOS, PYTHONPATH='', GJS_PATH='')
    expect_equal(len(report.list('results', 'hashes')), N_PHOTOS, 'how many thumbnails came')


for _wall in 'python', 'javascript':
    test(f'/gtk/wall/{_wall}/needs-no-layer-of-its-language')(lambda wall=_wall: check_no_layer(wall))

for _wall in WALLS:
    for _name, _check in CHECKS.items():
        test(f'/gtk/wall/{_wall}/{_name}')(lambda wall=_wall, check=_check: check(wall))

PHOTOS = make_photos('photos', N_PHOTOS)
LOADERS = make_loaders()
with Screen() as SCREEN:
    main()
