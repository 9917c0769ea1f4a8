# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests that report in the Test Anything Protocol: functions marked with @test, run by main ()."""

import sys
import traceback

_tests = []


class Skip(Exception):
    """What the test needs is not there."""


def test(name):
    def mark(function):
        _tests.append((name, function))
        return function
    return mark


def expect_equal(actual, expected, what='the value'):
    if actual != expected:
        raise AssertionError(f'{what} is {actual!r}, not {expected!r}')


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def main(only=None):
    """Runs the tests whose names begin with one of the strings; None: the program's arguments."""
    if only is None:
        only = sys.argv[1:]
    chosen = [t for t in _tests if not only or any(t[0].startswith(o) for o in only)]
    failed = False
    print(f'1..{len(chosen)}', flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        try:
            function()
        except Skip as reason:
            print(f'ok {number} {name} # SKIP {reason}', flush=True)
        except Exception:
            failed = True
            for line in traceback.format_exc().rstrip().splitlines():
                print(f'# {line[:1000]}')
            print(f'not ok {number} {name}', flush=True)
        else:
            print(f'ok {number} {name}', flush=True)
    sys.exit(failed)
