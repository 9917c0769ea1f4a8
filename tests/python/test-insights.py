#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a pool tells about the time of its workers."""

import contextlib
import io
import re
import sys
import threading
import time

sys.dont_write_bytecode = True
from pools import main, make_pool, pool_test  # noqa: E402
from tap import expect, expect_equal, test  # noqa: E402

from workerpool import _insights  # noqa: E402

# What mpire's documents name.
PARTS = 'start_up', 'init', 'waiting', 'working', 'exit'
KEYS = {'n_completed_tasks', 'total_time', 'top_5_max_task_durations', 'top_5_max_task_args'}
for _part in PARTS:
    KEYS |= {f'total_{_part}_time', f'{_part}_time', f'{_part}_time_mean', f'{_part}_time_std', f'{_part}_ratio'}

TIME = re.compile(r'(?:\d+ days?, )?\d+:\d\d:\d\d(?:\.\d{3})?')


def to_seconds(text):
    expect(TIME.fullmatch(text), f'{text!r} is no time')
    hours, minutes, seconds = text.split(':')
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@test('/python/insights/times-are-text')
def _():
    for seconds, text in ((0, '0:00:00'), (0.0004, '0:00:00'), (0.038, '0:00:00.038'), (4.98, '0:00:04.980'),
                          (3725, '1:02:05'), (90000.5, '1 day, 1:00:00.500')):
        expect_equal(_insights.format_time(seconds), text, f'{seconds} s')


@test('/python/insights/arguments-are-named')
def _():
    for item, text in ((5, 'Arg 0: 5'), ('text', "Arg 0: 'text'"), ((1, 'b'), "Arg 0: 1, Arg 1: 'b'"),
                       ({'x': 1, 'y': None}, 'Arg x: 1, Arg y: None')):
        expect_equal(_insights.describe_args(item), text, repr(item))


@test('/python/insights/arguments-are-cut')
def _():
    class Odd:
        def __repr__(self):
            raise ValueError('no name')
    long = 'x' * 10**6, b'x' * 10**6, bytearray(10**6), [[1] * 1000] * 1000, tuple(range(10**5))
    for item in *long, Odd(), {1: Odd()}:
        text = _insights.describe_args(item)
        expect(text.startswith('Arg ') and len(text) <= 120, f'the text is {text!r}')


@test('/python/insights/five-longest')
def _():
    longest = _insights.Longest()
    for number in 3, 9, 1, 7, 9, 2, 8, 5:
        longest.add(number, number)
    expect_equal(longest.get(), [(9, 'Arg 0: 9'), (9, 'Arg 0: 9'), (8, 'Arg 0: 8'), (7, 'Arg 0: 7'), (5, 'Arg 0: 5')],
                 'the longest')


@test('/python/insights/longest-from-many-threads')
def _():
    longest = _insights.Longest()
    threads = [threading.Thread(target=lambda k=k: [longest.add(k + 4 * i, k + 4 * i) for i in range(2000)])
               for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_equal([seconds for seconds, _ in longest.get()], [7999, 7998, 7997, 7996, 7995], 'the longest')


def nap(milliseconds):
    time.sleep(milliseconds / 1000)
    return milliseconds


@pool_test('insights/keys-and-units')
def _():
    with make_pool(enable_insights=True) as pool:
        expect_equal(pool.map(nap, range(40), chunk_size=1), list(range(40)), 'the results')
        insights = pool.get_insights()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            pool.print_insights()
    expect_equal(KEYS - set(insights), set(), 'the keys that are missing')
    expect_equal(sum(insights['n_completed_tasks']), 40, 'the number of tasks')
    for part in PARTS:
        expect_equal(len(insights[f'{part}_time']), 2, f'the workers that have a {part} time')
        total = sum(map(to_seconds, insights[f'{part}_time']))
        expect(abs(to_seconds(insights[f'total_{part}_time']) - total) < 0.01, f'the total {part} time is not the sum')
    ratios = sum(insights[f'{part}_ratio'] for part in PARTS)
    expect(abs(ratios - 1) < 0.001, f'the ratios make {ratios}')
    expect(to_seconds(insights['total_working_time']) >= sum(range(40)) / 1000, 'less work than was done')
    durations = list(map(to_seconds, insights['top_5_max_task_durations']))
    expect(len(durations) == 5 and durations == sorted(durations, reverse=True), f'the longest tasks took {durations}')
    # Which of them was held up most is the machine's to say; that the short ones are not among them is not.
    args = [int(text.removeprefix('Arg 0: ')) for text in insights['top_5_max_task_args']]
    expect(sum(args) >= 100, f'the arguments of the longest tasks are {args}')
    for part in insights['total_working_time'], *insights['top_5_max_task_args']:
        expect(part in printed.getvalue(), f'{part!r} is not in {printed.getvalue()!r}')


@pool_test('insights/none')
def _():
    with make_pool() as pool:
        pool.map(nap, range(4))
        expect_equal(pool.get_insights(), {}, 'the insights of a pool that has none')
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            pool.print_insights()
        expect('enable_insights' in printed.getvalue(), f'it prints {printed.getvalue()!r}')


@pool_test('insights/while-it-runs')
def _():
    with make_pool(enable_insights=True) as pool:
        seen = []
        for _ in pool.imap(nap, [1] * 20, chunk_size=1):
            seen.append(sum(pool.get_insights()['n_completed_tasks']))
    expect(seen == sorted(seen) and 0 < seen[0] and seen[-1] == 20, f'while it runs the tasks are {seen}')


main()
