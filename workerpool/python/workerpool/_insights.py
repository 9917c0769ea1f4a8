# SPDX-License-Identifier: LGPL-2.1-or-later

"""What workers spend their time on, in mpire's words and units. Pure: the engine's figures come as a dict."""

import datetime
import heapq
import reprlib
import threading

PARTS = {'start_up': 'start up', 'init': 'init', 'waiting': 'waiting', 'working': 'working', 'exit': 'exit'}
PERCENTILES = (50, 95, 99)

N_LONGEST = 5
MAX_ARGS = 120


def format_time(seconds):
    """As 0:00:01.234; whole seconds without the milliseconds."""
    time = str(datetime.timedelta(milliseconds=round(seconds * 1000)))
    return time[:-3] if '.' in time else time


def describe(figures, longest=()):
    """The figures of the engine, whose times are seconds, as mpire has them: times are text. longest: pairs of the
    seconds that a task ran and its arguments, longest first."""
    insights = {'n_completed_tasks': list(figures['n_completed_tasks'])}
    for part in PARTS:
        insights[f'total_{part}_time'] = format_time(figures[f'total_{part}_time'])
    insights['total_time'] = format_time(figures['total_time'])
    for part in PARTS:
        insights[f'{part}_time'] = [format_time(seconds) for seconds in figures[f'{part}_time']]
        insights[f'{part}_time_mean'] = format_time(figures[f'{part}_time_mean'])
        insights[f'{part}_time_std'] = format_time(figures[f'{part}_time_std'])
        insights[f'{part}_ratio'] = figures[f'{part}_ratio']
    for kind in 'wait', 'run':
        for percent in PERCENTILES:
            insights[f'{kind}_time_p{percent}'] = format_time(figures[f'{kind}_time_p{percent}'])
    insights['top_5_max_task_durations'] = [format_time(seconds) for seconds, _ in longest]
    insights['top_5_max_task_args'] = [args for _, args in longest]
    return insights


def format_table(insights):
    """What describe () returned, for people to read."""
    lines = ['Workers', '']
    lines.append(f'{"":>10}  {"tasks":>8}' + ''.join(f'  {name:>11}' for name in PARTS.values()))
    columns = [insights[f'{part}_time'] for part in PARTS]
    for worker, (n_tasks, *times) in enumerate(zip(insights['n_completed_tasks'], *columns)):
        lines.append(f'{worker:>10}  {n_tasks:>8}' + ''.join(f'  {time:>11}' for time in times))
    totals = [insights[f'total_{part}_time'] for part in PARTS]
    lines.append(f'{"all":>10}  {sum(insights["n_completed_tasks"]):>8}' + ''.join(f'  {time:>11}' for time in totals))
    for name in 'mean', 'std':
        times = [insights[f'{part}_time_{name}'] for part in PARTS]
        lines.append(f'{name:>10}  {"":>8}' + ''.join(f'  {time:>11}' for time in times))
    ratios = [insights[f'{part}_ratio'] for part in PARTS]
    lines.append(f'{"ratio":>10}  {"":>8}' + ''.join(f'  {ratio:>11.1%}' for ratio in ratios))
    if insights['top_5_max_task_durations']:
        lines += ['', 'The longest tasks', '']
        for time, args in zip(insights['top_5_max_task_durations'], insights['top_5_max_task_args']):
            lines.append(f'{time:>14}  {args}')
    return '\n'.join(lines) + '\n'


class _Repr(reprlib.Repr):
    """Of large objects the beginning only."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = MAX_ARGS // 2

    def repr_bytes(self, value, level):
        text = repr(bytes(value[:self.maxstring]))
        return text if len(value) <= self.maxstring else text + '…'

    def repr_bytearray(self, value, level):
        return f'bytearray({self.repr_bytes(value, level)})'

    def repr_instance(self, value, level):
        try:
            return super().repr_instance(value, level)
        except RecursionError:
            return f'<{type(value).__name__}>'


_repr = _Repr()


def describe_args(item):
    """The arguments that an item of a map stands for."""
    if isinstance(item, dict):
        named = item.items()
    elif isinstance(item, (tuple, list)):
        named = enumerate(item)
    else:
        named = ((0, item),)
    text = ''
    for name, value in named:
        text += f'{", " if text else ""}Arg {name}: {_repr.repr(value)}'
        if len(text) > MAX_ARGS:
            return text[:MAX_ARGS - 1] + '…'
    return text


class Longest:
    """The longest tasks so far. Tasks may be added from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._heap = []
        self._n_added = 0

    def add(self, seconds, item):
        """The item is looked at only when its task is among the longest."""
        if not self._is_long(seconds):
            return
        args = describe_args(item)
        with self._lock:
            self._n_added += 1
            # Of tasks that ran for as long as each other, the first is the first.
            heapq.heappush(self._heap, (seconds, -self._n_added, args))
            if len(self._heap) > N_LONGEST:
                heapq.heappop(self._heap)

    def _is_long(self, seconds):
        with self._lock:
            return len(self._heap) < N_LONGEST or seconds > self._heap[0][0]

    def get(self):
        with self._lock:
            return [(seconds, args) for seconds, _, args in sorted(self._heap, reverse=True)]
