#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Messages between a pool and its workers, without either."""

import dataclasses
import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

from workerpool import _payload  # noqa: E402
from workerpool._errors import SerializationError  # noqa: E402


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


class Slotted:
    __slots__ = ('held',)


class BadReduce:
    def __reduce__(self):
        raise RuntimeError('I stay here')


def travel(value, same_main=True):
    return _payload.Receiver().loads(_payload.Sender(same_main=same_main).dumps(value))


def expect_refusal(words, value, **options):
    try:
        _payload.Sender().dumps(value, **options)
    except SerializationError as error:
        for word in words:
            expect(word in str(error), f'{word!r} is not in {str(error)!r}')
        expect(error.__cause__ is not None, 'the error has no cause')
    else:
        raise AssertionError(f'{value!r} travelled')


def generator():
    yield


@test('/python/payload/plain-values-travel')
def _():
    for value in (None, 5, 'text', b'bytes', [1, (2, 3)], {'a': {4}}, Point(1, [2]), 1 << 100, bytearray(b'x')):
        expect_equal(travel(value), value)
        expect_equal(type(travel(value)), type(value))


@test('/python/payload/main-travels-by-value')
def _():
    try:
        import cloudpickle  # noqa: F401
    except ImportError:
        raise Skip('there is no cloudpickle') from None
    message = _payload.Sender().dumps([Point(1, 2)])
    point, = _payload.Receiver().loads(message)
    # Here, where the class comes from, it is the same again.
    expect_equal((type(point), point), (Point, Point(1, 2)))
    expect(len(message) > 1000, 'the class did not travel')
    expect(len(_payload.Sender(same_main=True).dumps([Point(1, 2)])) < 200, 'the class travelled')
    expect_equal(_payload.Receiver().loads(_payload.Sender().dumps(lambda: 7))(), 7)


@test('/python/payload/a-few-plain-items-are-not-different')
def _():
    large = bytes(1 << 17)
    for items in ([5], [(1, 'a')], [None, 2.5], [large], [(large, 1)], [(1, 2)] * 10, [True, b'x', (Point(1),)],
                  [((1, 2), 3)], [[1], {'x': large}]):
        message = _payload.Sender(same_main=True).dumps((items, 0.5), items)
        copy, limit = _payload.Receiver().loads(message)
        expect_equal((copy, limit), (items, 0.5))
        expect_equal(type(copy[0]), memoryview if items[0] is large else type(items[0]))


@test('/python/payload/large-parts-of-what-travels-by-value')
def _():
    try:
        import cloudpickle  # noqa: F401
    except ImportError:
        raise Skip('there is no cloudpickle') from None
    data = bytes(1 << 17)
    held, view, function, empty = travel((Point(data, data), data, lambda: 7, memoryview(b'')), same_main=False)
    expect_equal((type(held.x), held.x, held.x is held.y), (memoryview, data, True))
    expect_equal((type(view), view, function(), type(empty), len(empty)), (memoryview, data, 7, memoryview, 0))


@test('/python/payload/without-cloudpickle-the-error-names-it')
def _():
    there = sys.modules.get('cloudpickle')
    sys.modules['cloudpickle'] = None
    try:
        expect_refusal(['python3-cloudpickle', 'Point'], Point(1))
        expect_refusal(['python3-cloudpickle', 'lambda'], lambda: 1)
        expect_equal(travel(Point(1)), Point(1))
    finally:
        del sys.modules['cloudpickle']
        if there is not None:
            sys.modules['cloudpickle'] = there


@test('/python/payload/errors-name-the-culprit')
def _():
    held = Slotted()
    held.held = threading.Lock()
    expect_refusal(["'generator'"], generator())
    expect_refusal(["'generator'", '[2]'], (1, 2, generator()))
    expect_refusal(["'generator'", "['key'][0].y"], {'key': [Point(1, generator())]})
    expect_refusal(["'_thread.lock'".replace('_thread.', ''), '.held'], held)
    expect_refusal(["'BadReduce'", 'I stay here', '[1]'], [1, BadReduce()])
    expect_refusal(["'generator'", 'the key (<generator'], {(generator(), 1): 1})


@test('/python/payload/errors-name-the-item')
def _():
    items = [(1, 2), (3, [generator()])]
    expect_refusal(["'generator'", 'in argument 2 of item 8 at [0]'], ('key', items), items=items, first=7)
    expect_refusal(["'generator'", "in argument 'x' of item 0:"], [{'x': generator()}], items=[{'x': generator()}],
                   first=0)
    expect_refusal(["'generator'", 'in item 1:'], [1, generator()], items=[1, generator()], first=0)
    results = [1, (2, generator())]
    expect_refusal(["'generator'", 'in result 1 at [1]'], results, items=results, what='result')
    try:
        _payload.Sender().check((1, generator()), 'the result')
    except SerializationError as error:
        expect('in the result at [1]' in str(error), f'it says {str(error)!r}')
    else:
        raise AssertionError('a generator would travel')


@test('/python/payload/what-has-no-end-is-refused')
def _():
    deep = []
    for _ in range(100000):
        deep = [deep]
    expect_refusal(["'list'", 'RecursionError'], deep)
    round_trip = []
    round_trip.append(round_trip)
    copy = travel(round_trip)
    expect(copy[0] is copy, 'the circle is broken')
    round_trip.append(generator())
    expect_refusal(["'generator'", '[1]'], round_trip)


@test('/python/payload/garbage-is-an-error')
def _():
    for message in (b'', b'\x80', b'garbage', _payload.Sender().dumps([1, 2])[:-3], b'\x80\x05cno_such\nname\n.'):
        try:
            _payload.Receiver().loads(message)
        except SerializationError as error:
            expect('unpickle' in str(error), f'it says {str(error)!r}')
        else:
            raise AssertionError(f'{message!r} is a message')


@test('/python/payload/buffers-beyond-the-message-are-an-error')
def _():
    message = _payload.Sender().dumps(bytes(1 << 17))
    place = _payload._HEAD.size
    begin, size = _payload._PLACE.unpack_from(message, place)
    for wrong in (begin, size + 1), (len(message), 1), (1 << 62, size), (begin, 1 << 62):
        bad = message[:place] + _payload._PLACE.pack(*wrong) + message[place + _payload._PLACE.size:]
        try:
            _payload.Receiver().loads(bad)
        except SerializationError as error:
            expect('that were sent' in str(error), f'it says {str(error)!r}')
        else:
            raise AssertionError(f'{wrong} is a place in a message of {len(message)} bytes')


main()
