#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Exceptions on their way from a worker to the caller."""

import json
import os
import pickle
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

from workerpool import _errors  # noqa: E402


def raised(function, *args):
    """What the function raises, with its traceback."""
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError('nothing was raised')


def fail(error):
    raise error


def travel(error):
    """The exception on the other side; this process has both sides' classes."""
    return _errors.restore(_errors.describe(raised(fail, error), same_main=True))


class TwoArguments(Exception):
    def __init__(self, name, code):
        super().__init__(f'{name} failed with {code}')
        self.name = name
        self.code = code


class Wrapping(Exception):
    """Made again from its message, its message would be another."""

    def __init__(self, name):
        super().__init__(f'there is no {name}')


class BadReduce(Exception):
    def __reduce__(self):
        raise RuntimeError('I cannot be pickled')


class BadMessage(Exception):
    def __str__(self):
        raise RuntimeError('I cannot be shown')


class OddFile(OSError):
    def __init__(self, path):
        super().__init__(2, 'no such odd file', path)


@test('/python/errors/keep-type-arguments-and-message')
def _():
    for error in (ValueError('x', 3), KeyError('key'), OSError(2, 'No such file', 'f'), StopIteration(5),
                  UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'bad'), MemoryError(), RecursionError('deep'),
                  SystemExit(3), KeyboardInterrupt(), json.JSONDecodeError('bad', 'doc', 1), GeneratorExit(),
                  subprocess.CalledProcessError(3, ['x'], output='o'), ImportError('no', name='n', path='p'),
                  AssertionError(), TwoArguments('job', 7), Wrapping('thing'), OddFile('f')):
        copy = travel(error)
        expect_equal(type(copy), type(error), 'the type')
        expect_equal((copy.args, str(copy)), (error.args, str(error)), repr(error))
    expect_equal((travel(TwoArguments('job', 7)).name, travel(TwoArguments('job', 7)).code), ('job', 7))
    expect_equal(travel(SystemExit(3)).code, 3)
    expect_equal(travel(StopIteration(5)).value, 5)
    expect_equal(travel(ImportError('no', name='n')).name, 'n')
    expect(isinstance(travel(OSError(2, 'x')), FileNotFoundError), 'the errno chooses the type')
    expect_equal((travel(OddFile('f')).errno, travel(OddFile('f')).filename), (2, 'f'))


@test('/python/errors/the-cause-shows-the-traceback')
def _():
    cause = travel(ValueError('x')).__cause__
    expect(isinstance(cause, _errors.RemoteTraceback), f'the cause is {cause!r}')
    for word in ('Traceback', 'test-remote-errors.py', 'in fail', 'raise error', 'ValueError: x'):
        expect(word in str(cause), f'{word} is not in {cause}')


@test('/python/errors/notes-and-attributes-travel')
def _():
    error = ValueError('x')
    error.add_note('while it rained')
    error.detail = {'a': 1}
    copy = travel(error)
    expect_equal((copy.__notes__, copy.detail), (['while it rained'], {'a': 1}))
    expect('while it rained' in str(copy.__cause__), 'the note is not in the traceback')


@test('/python/errors/what-cannot-be-pickled-is-left-out')
def _():
    error = ValueError('held', threading.Lock())
    error.lock = threading.Lock()
    error.name = 'left'
    copy = travel(error)
    expect_equal(type(copy), ValueError)
    expect_equal((copy.args[0], copy.name), ('held', 'left'))
    expect('lock' in copy.args[1], f'the argument is {copy.args[1]!r}')
    expect(not hasattr(copy, 'lock'), 'a lock travelled')


@test('/python/errors/bad-classes-do-no-harm')
def _():
    copy = travel(BadReduce('x'))
    expect_equal((type(copy), copy.args), (BadReduce, ('x',)))
    copy = travel(BadMessage('x'))
    expect_equal((type(copy), copy.args), (BadMessage, ('x',)))


def travel_from_elsewhere(program):
    """Restores what another interpreter has described."""
    program = ('import sys; from workerpool import _errors\n'
               'def send (error): sys.stdout.buffer.write (_errors.describe (error))\n' + program)
    done = subprocess.run([sys.executable, '-c', program], check=False, capture_output=True, timeout=60)
    expect_equal((done.returncode, done.stderr), (0, b''), 'what the other interpreter says')
    return _errors.restore(done.stdout)


@test('/python/errors/of-an-unknown-type-keep-its-name')
def _():
    program = ('import types\n'
               'module = sys.modules["elsewhere"] = types.ModuleType ("elsewhere")\n'
               'exec ("class Odd (Exception): pass", module.__dict__)\n'
               'try: raise module.Odd ("so", 3)\n'
               'except Exception as error: send (error)')
    error = travel_from_elsewhere(program)
    expect_equal(type(error), _errors.RemoteError)
    expect_equal(str(error), "elsewhere.Odd: ('so', 3)")
    expect('elsewhere.Odd' in str(error.__cause__), 'the traceback does not name it')


@test('/python/errors/of-main-are-the-same-type-when-they-come-home')
def _():
    try:
        import cloudpickle
    except ImportError:
        raise Skip('there is no cloudpickle') from None
    data = cloudpickle.dumps(TwoArguments, 5).hex()
    program = (f'import pickle; kind = pickle.loads (bytes.fromhex ("{data}"))\n'
               'try: raise kind ("job", 7)\n'
               'except Exception as error: send (error)')
    error = travel_from_elsewhere(program)
    expect_equal((type(error), error.code), (TwoArguments, 7))


@test('/python/errors/of-main-without-cloudpickle')
def _():
    program = ('sys.modules["cloudpickle"] = None\n'
               'class TwoArguments (Exception): pass\n'
               'try: raise TwoArguments ("there")\n'
               'except Exception as error: send (error)')
    error = travel_from_elsewhere(program)
    expect('TwoArguments' in type(error).__name__ or 'TwoArguments' in str(error), f'it came as {error!r}')
    expect('there' in str(error), f'it came as {error!r}')


@test('/python/errors/the-chain-is-kept')
def _():
    def chain():
        try:
            {}['key']
        except KeyError as error:
            raise ValueError('outer') from error

    def hidden():
        try:
            {}['key']
        except KeyError:
            raise ValueError('outer') from None

    copy = _errors.restore(_errors.describe(raised(chain)))
    expect_equal((type(copy), type(copy.__context__)), (ValueError, KeyError))
    expect("KeyError: 'key'" in str(copy.__cause__), 'the traceback does not show the cause')
    copy = _errors.restore(_errors.describe(raised(hidden)))
    expect_equal((type(copy), copy.__context__), (ValueError, None))
    expect('KeyError' not in str(copy.__cause__), 'the traceback shows what was to be hidden')


@test('/python/errors/a-chain-without-end')
def _():
    first, second = ValueError('first'), KeyError('second')
    first.__cause__, second.__cause__ = second, first
    copy = _errors.restore(_errors.describe(first))
    expect_equal((type(copy), type(copy.__context__)), (ValueError, KeyError))
    long = ValueError(0)
    for number in range(1, 2000):
        error = ValueError(number)
        error.__context__, long = long, error
    expect_equal(_errors.restore(_errors.describe(long)).args, (1999,))


@test('/python/errors/groups')
def _():
    copy = travel(ExceptionGroup('two', [ValueError('x'), ExceptionGroup('inner', [KeyError('k')])]))
    expect_equal((type(copy), copy.message), (ExceptionGroup, 'two'))
    expect_equal([type(error) for error in copy.exceptions], [ValueError, ExceptionGroup])
    group = ExceptionGroup('two', [TwoArguments('a', 1), BadReduce('x'), ValueError(threading.Lock())])
    copy = travel(group)
    expect_equal([type(error) for error in copy.exceptions], [TwoArguments, BadReduce, ValueError])
    expect_equal(copy.exceptions[0].code, 1)
    copy = travel(BaseExceptionGroup('end', [KeyboardInterrupt()]))
    expect_equal((type(copy), type(copy.exceptions[0])), (BaseExceptionGroup, KeyboardInterrupt))


@test('/python/errors/recursion')
def _():
    def deep():
        return deep()
    copy = _errors.restore(_errors.describe(raised(deep)))
    expect_equal(type(copy), RecursionError)
    expect('repeated' in str(copy.__cause__), 'the traceback is not shortened')


@test('/python/errors/an-exception-that-was-never-raised')
def _():
    copy = _errors.restore(_errors.describe(ValueError('x')))
    expect_equal((type(copy), copy.args), (ValueError, ('x',)))
    expect('ValueError: x' in str(copy.__cause__), f'the cause is {copy.__cause__}')


@test('/python/errors/can-be-pickled-on')
def _():
    copy = pickle.loads(pickle.dumps(travel(TwoArguments('a', 1)).__cause__))
    expect('TwoArguments' in str(copy), f'the traceback is {copy}')
    expect_equal(str(pickle.loads(pickle.dumps(_errors.RemoteError('T', 'm')))), 'T: m')


main()
