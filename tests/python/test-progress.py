#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Progress bars, as they look on a terminal and in a file."""

import importlib.machinery
import io
import os
import pty
import re
import subprocess
import sys
import threading
import types

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import expect, expect_equal, main, test  # noqa: E402

from workerpool import _bar_plain, _progress  # noqa: E402

PATIENCE_S = 30


class Terminal(io.StringIO):
    """What a person sees of what is written to it."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def isatty(self):
        return True

    def write(self, text):
        self.writes.append(text)
        return super().write(text)

    @property
    def screen(self):
        lines, row, column = [[]], 0, 0
        for part in re.findall(r'\x1b\[[?0-9;]*[A-Za-z]|.|\n', self.getvalue()):
            while row >= len(lines):
                lines.append([])
            if part == '\r':
                column = 0
            elif part == '\n':
                row, column = row + 1, 0
            elif part.endswith('K') and len(part) > 1:
                del lines[row][column if part == '\x1b[K' else 0:]
            elif part.endswith('A') and len(part) > 1:
                row -= int(part[2:-1] or 1)
            elif len(part) == 1:
                lines[row] += [' '] * (column + 1 - len(lines[row]))
                lines[row][column] = part
                column += 1
        return [''.join(line).rstrip() for line in lines]


def run_python(script, **hidden):
    """Runs it in a Python of its own that lacks some modules. Returns what it prints."""
    hide = ''.join(f'import sys; sys.modules[{name!r}] = None\n' for name in hidden)
    done = subprocess.run([sys.executable, '-c', hide + script], capture_output=True, encoding='utf-8',
                          timeout=PATIENCE_S, check=False)
    expect_equal(done.returncode, 0, f'the status of a script that printed {done.stderr!r},')
    return done.stdout


def make_plain(total, options):
    return _bar_plain.make(total, options)


MAKERS = {
    'std': _progress.make,
    'rich': lambda total, options: _progress.make(total, options, 'rich'),
    'plain': make_plain,
}

for _name, _make in MAKERS.items():
    def _(make=_make):
        terminal = Terminal()
        bar = make(20, {'file': terminal, 'desc': 'Resizing', 'ncols': 70})
        bar.update(15)
        bar.update(5)
        bar.close()
        shown = '\n'.join(terminal.screen)
        for part in 'Resizing', '100%', '20/20':
            expect(part in shown, f'{part} is not in {shown!r}')
    test(f'/python/progress/{_name}/counts-to-the-end')(_)

    def _(make=_make):
        terminal = Terminal()
        bar = make(None, {'file': terminal})
        bar.update(7)
        bar.close()
        shown = '\n'.join(terminal.screen)
        expect('7' in shown and '%' not in shown, f'{shown!r} has no number, or a part of nothing')
    test(f'/python/progress/{_name}/does-without-a-total')(_)

    def _(make=_make):
        terminal = Terminal()
        bar = make(20, {'file': terminal, 'ncols': 70})
        bar.update(3)
        bar.close(LookupError('gone'))
        shown = '\n'.join(terminal.screen)
        expect('3/20' in shown and 'LookupError' in shown, f'{shown!r} does not tell how it ended')
    test(f'/python/progress/{_name}/tells-of-an-error')(_)

    def _(make=_make):
        before = threading.enumerate()
        terminal = Terminal()
        bars = [make(5, {'file': terminal}) for _ in range(2)]
        bars[0].update(1)
        expect_equal(threading.enumerate(), before, 'the threads')
        for bar in bars:
            bar.close()
            bar.close()
    test(f'/python/progress/{_name}/starts-no-thread')(_)

    def _(make=_make):
        class Broken(Terminal):
            def write(self, text):
                raise BrokenPipeError
        bar = make(5, {'file': Broken()})
        bar.update(1)
        bar.close()
    if _name != 'rich':
        test(f'/python/progress/{_name}/outlives-its-reader')(_)


for _name in 'std', 'plain':
    def _(make=MAKERS[_name]):
        terminal = Terminal()
        outer = make(2, {'file': terminal, 'desc': 'outer', 'ncols': 70, 'mininterval': 0})
        inner = make(2, {'file': terminal, 'desc': 'inner', 'ncols': 70, 'mininterval': 0, 'position': 2})
        inner.update(1)
        outer.update(1)
        screen = terminal.screen
        expect(screen[0].startswith('outer:  50%') and screen[2].startswith('inner:  50%'), f'the screen is {screen}')
        inner.close()
        outer.close()
        screen = terminal.screen
        expect(screen[0].startswith('outer:  50%') and not any(screen[1:]), f'at the end the screen is {screen}')
    test(f'/python/progress/{_name}/has-a-position')(_)

    def _(make=MAKERS[_name]):
        terminal = Terminal()
        bar = make(50, {'file': terminal, 'position': 1, 'mininterval': 0})
        terminal.writes.clear()
        bar.update(1)
        expect_equal(len(terminal.writes), 1, 'the number of writes that move, draw and move back')
        bar.close()
    test(f'/python/progress/{_name}/draws-by-one-write')(_)

    def _(make=MAKERS[_name]):
        terminal = Terminal()
        bars = [make(2, {'file': terminal, 'desc': desc, 'ncols': 70, 'mininterval': 0}) for desc in ('one', 'two')]
        bars[1].update(1)
        screen = terminal.screen
        expect(screen[0].startswith('one') and screen[1].startswith('two'), f'the screen is {screen}')
        for bar in reversed(bars):
            bar.close()
    test(f'/python/progress/{_name}/stands-below-another')(_)


class Clock:
    now = 0

    def __call__(self):
        return self.now


@test('/python/progress/plain/is-drawn-a-few-times-a-second')
def _():
    terminal, clock = Terminal(), Clock()
    bar = _bar_plain.PlainBar(10000, {}, terminal, clock)
    for _ in range(10000):
        clock.now += 0.0001
        bar.update(1)
    n_writes = len(terminal.writes)
    expect(3 <= n_writes <= 7, f'in a second it is drawn {n_writes} times')
    bar.close()


@test('/python/progress/plain/writes-lines-to-a-file')
def _():
    file, clock = io.StringIO(), Clock()
    bar = _bar_plain.PlainBar(100, {'desc': 'Resizing', 'unit': 'photo'}, file, clock)
    for _ in range(100):
        clock.now += 0.25
        bar.update(1)
    bar.close()
    lines = file.getvalue().splitlines()
    expect_equal([line.split('|')[0] for line in lines], ['Resizing:  40%', 'Resizing:  80%', 'Resizing: 100%'],
                 'the lines')
    expect(lines[0].endswith('40/100 [00:10<00:15, 4.0 photo/s]'), f'the first line is {lines[0]!r}')
    expect(not re.search(r'[\r\x1b]', file.getvalue()), 'a file got control characters')


@test('/python/progress/plain/lines-fit')
def _():
    for width in range(10, 120):
        for n, total, elapsed in (0, 7, 0.0), (3, 7, 1.5), (7, 7, 40000.0), (10**9, None, 3.0), (9, 7, 1.0):
            line = _bar_plain.format_line(n, total, elapsed, desc='Resizing', width=width)
            expect(len(line) <= width, f'{line!r} has more than {width} characters')


@test('/python/progress/plain/stands-in-for-tqdm')
def _():
    printed = run_python('from workerpool import _progress; print(type(_progress.make(3)).__name__)', tqdm=None)
    expect_equal(printed, 'PlainBar\n', 'the bar without tqdm')


def check_missing(style, hidden, *named):
    printed = run_python('from workerpool import _progress\n'
                         f'try:\n  _progress.make(3, None, {style!r})\nexcept ImportError as error:\n  print(error)',
                         **hidden)
    for name in repr(style), *named:
        expect(name in printed, f'{name} is not in {printed!r}')


@test('/python/progress/missing-packages-are-named')
def _():
    check_missing('rich', {'rich': None}, 'python3-rich')
    check_missing('notebook', {'IPython': None, 'ipywidgets': None}, 'python3-ipython', 'python3-ipywidgets')
    check_missing('notebook', {'tqdm': None}, 'python3-tqdm')


def expect_raises(type_, part, function, *args):
    try:
        function(*args)
    except type_ as error:
        expect(part in str(error), f'{part!r} is not in {str(error)!r}')
    else:
        raise AssertionError(f'{function.__name__} {args} raises nothing')


@test('/python/progress/wrong-options-are-refused')
def _():
    expect_raises(ValueError, "'std', 'rich', 'notebook'", _progress.make, 3, None, 'dashboard')
    expect_raises(TypeError, 'list', _progress.make, 3, ['desc'])
    expect_raises(ValueError, '-1', _progress.make, 3, {'position': -1})
    expect_raises(ValueError, 'colr', _progress.make, 3, {'colr': 'red', 'file': io.StringIO()})


@test('/python/progress/options-are-tqdm\'s')
def _():
    terminal = Terminal()
    options = {'file': terminal, 'bar_format': '{desc}{n_fmt} of {total_fmt} {unit}', 'unit': 'photos', 'desc': 'now ',
               'leave': False, 'iterable': [1], 'total': 17}
    bar = _progress.make(9, options)
    bar.update(9)
    bar.close()
    # What the map says itself is not an option.
    expect_equal(terminal.screen, ['now 9 of 9 photos'], 'the screen')
    expect_equal(len(options), 7, 'the number of options that the caller still has')
    bar = _progress.make(None, options)
    bar.close()
    expect_equal(terminal.screen[-1], 'now 0 of 17 photos', 'the screen of a map that does not know its length')


@test('/python/progress/nothing-to-see')
def _():
    terminal = Terminal()
    bar = _progress.make(9, {'disable': True, 'file': terminal})
    bar.update(1)
    bar.close()
    expect_equal(terminal.getvalue(), '', 'what a disabled bar writes')
    stderr, sys.stderr = sys.stderr, None
    try:
        for make in MAKERS.values():
            bar = make(9, {})
            bar.update(1)
            bar.close()
    finally:
        sys.stderr = stderr


@test('/python/progress/std/a-fork-leaves-the-lock-behind')
def _():
    from workerpool._bar_tqdm import Tqdm

    holding, done = threading.Event(), threading.Event()

    def hold():
        with Tqdm.get_lock():
            holding.set()
            done.wait(PATIENCE_S)
    thread = threading.Thread(target=hold)
    thread.start()
    expect(holding.wait(PATIENCE_S), 'the lock was never taken')
    pid, terminal = pty.fork()
    if pid == 0:
        status = 1
        try:
            bar = _progress.make(3, {'ncols': 60})
            bar.update(3)
            bar.close()
            status = 0
        finally:
            os._exit(status)
    timer = threading.Timer(PATIENCE_S, os.kill, (pid, 9))
    timer.start()
    try:
        expect_equal(os.waitpid(pid, 0)[1], 0, 'the status of a child that has a bar')
    finally:
        timer.cancel()
        done.set()
        thread.join()
        os.close(terminal)


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


class Widget:
    def __init__(self, children=(), **values):
        self.children = children
        self.layout = types.SimpleNamespace()
        self.style = types.SimpleNamespace(bar_color=None)
        self.bar_style = ''
        self.value = 0
        self.__dict__.update(values)

    def close(self):
        pass


@test('/python/progress/notebook/moves-its-widget')
def _():
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        shown = []
        stand_in('IPython', display=stand_in('IPython.display', display=shown.append), version_info=(8,))
        stand_in('ipywidgets', HBox=Widget, HTML=type('HTML', (Widget,), {}), FloatProgress=Widget)
    bar = _progress.make(4, {'desc': 'Resizing'}, 'notebook')
    widget = bar._bar.container.children[1]
    bar.update(4)
    bar.close()
    expect_equal((widget.value, widget.bar_style), (4, 'success'), 'the widget')


main()
