#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Functions that travel by their name or by their value."""

import functools
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

from workerpool import _errors, _functions  # noqa: E402


def load_cloudpickle():
    try:
        import cloudpickle
    except ImportError:
        raise Skip('there is no cloudpickle') from None
    return cloudpickle


def run_there(description, *args):
    """Calls the function of the description in another interpreter, and returns its result."""
    program = ('import json, sys; from workerpool import _functions; '
               'print (json.dumps (_functions.resolve (bytes.fromhex (sys.argv[1])) (*json.loads (sys.argv[2]))))')
    done = subprocess.run([sys.executable, '-c', program, description.hex(), json.dumps(args)], check=False,
                          capture_output=True, text=True, timeout=60)
    expect_equal(done.returncode, 0, f'the end of the other interpreter, which says {done.stderr}, ')
    return json.loads(done.stdout)


def double(x):
    return 2 * x


class Adder:
    def __init__(self, n):
        self.n = n

    def add(self, x):
        return self.n + x

    @staticmethod
    def negate(x):
        return -x


@test('/python/functions/importable-ones-travel-by-name')
def _():
    for function, name in ((json.dumps, 'json:dumps'), (len, 'builtins:len'), (int, 'builtins:int'),
                           (json.JSONDecoder.decode, 'json.decoder:JSONDecoder.decode')):
        description = _functions.describe(function)
        expect(description.endswith(name.encode()) and len(description) == len(name) + 1,
               f'{function} is described as {description!r}')
        expect(_functions.resolve(description) is function, f'{description!r} gives another function')


@test('/python/functions/by-name-needs-no-cloudpickle')
def _():
    program = ('import sys; sys.modules["cloudpickle"] = None; import functools, json\n'
               'from workerpool import _functions\n'
               'for f in (json.dumps, functools.partial (int, base=16), {}.get, "a".upper):\n'
               '    _functions.resolve (_functions.describe (f))\n')
    done = subprocess.run([sys.executable, '-c', program], check=False, capture_output=True, text=True, timeout=60)
    expect_equal((done.returncode, done.stderr), (0, ''), 'what a Python without cloudpickle says')


@test('/python/functions/others-travel-by-value')
def _():
    load_cloudpickle()
    n = 10
    adder = Adder(5)
    expect_equal(run_there(_functions.describe(lambda x: x + n), 1), 11)
    expect_equal(run_there(_functions.describe(double), 4), 8, 'the function of __main__')
    expect_equal(run_there(_functions.describe(functools.partial(double, 8))), 16)
    expect_equal(run_there(_functions.describe(adder.add), 1), 6)
    expect_equal(run_there(_functions.describe(Adder.negate), 3), -3)


@test('/python/functions/introspected-libraries-travel-by-name')
def _():
    load_cloudpickle()
    from gi.repository import Gio, GLib

    expect_equal(run_there(_functions.describe(lambda n: Gio.__name__ + GLib.Variant('i', n).print_(False)), 7),
                 'gi.repository.Gio7')


@test('/python/functions/a-copy-of-the-process-knows-main')
def _():
    description = _functions.describe(double, same_main=True)
    expect_equal(description[1:], b'__main__:double')
    expect(_functions.resolve(description) is double, 'another function')


@test('/python/functions/a-shadowed-name-is-not-trusted')
def _():
    load_cloudpickle()

    def dumps():
        return 'mine'
    dumps.__module__, dumps.__qualname__ = 'json', 'dumps'
    expect_equal(run_there(_functions.describe(dumps)), 'mine')


@test('/python/functions/what-came-by-value-keeps-its-state')
def _():
    load_cloudpickle()
    seen = []

    def count():
        seen.append(1)
        return len(seen)
    description = _functions.describe(count)
    expect_equal([_functions.resolve(description)() for _ in range(3)], [1, 2, 3])
    expect_equal(seen, [], 'what the caller has')


@test('/python/functions/without-cloudpickle-the-error-names-it')
def _():
    there = sys.modules.get('cloudpickle')
    sys.modules['cloudpickle'] = None
    try:
        for function in (lambda x: x, double):
            try:
                _functions.describe(function)
            except _errors.SerializationError as error:
                for word in (function.__qualname__, 'python3-cloudpickle'):
                    expect(word in str(error), f'{word} is not in {str(error)!r}')
            else:
                raise AssertionError(f'{function} was described')
    finally:
        del sys.modules['cloudpickle']
        if there is not None:
            sys.modules['cloudpickle'] = there


@test('/python/functions/what-cannot-travel-is-named')
def _():
    load_cloudpickle()
    lines = (line for line in 'abc')

    def read():
        return next(lines)
    try:
        _functions.describe(read)
    except _errors.SerializationError as error:
        for word in ('read', 'generator'):
            expect(word in str(error), f'{word} is not in {str(error)!r}')
    else:
        raise AssertionError('a generator travelled')


@test('/python/functions/what-is-not-there-is-named')
def _():
    for description, word in ((b'Rno_such_module:f', 'no_such_module'), (b'Rjson:no_such', 'no_such'),
                              (b'Vgarbage', 'by its value'), (b'?', 'no function'), (b'', 'no function')):
        try:
            _functions.resolve(description)
        except _errors.SerializationError as error:
            expect(word in str(error), f'{word} is not in {str(error)!r}')
        else:
            raise AssertionError(f'{description!r} is a function')


main()
