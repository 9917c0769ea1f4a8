#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Large parts of messages in shared memory, between two processes."""

import array
import dataclasses
import gc
import os
import random
import sys
import threading
from collections import OrderedDict

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Skip, expect, expect_equal, main, test  # noqa: E402

from other_side import OtherSide  # noqa: E402
from workerpool import _arena, _payload, _peer, _ranges  # noqa: E402
from workerpool._errors import SerializationError  # noqa: E402

LARGE = 1 << 17
MANY = 1000


@dataclasses.dataclass
class Held:
    data: object


def load_numpy():
    try:
        import numpy
    except ImportError:
        raise Skip('there is no numpy') from None
    return numpy


def count_own_memory():
    """The bytes that this process shares with no other."""
    with open('/proc/self/status', encoding='ascii') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('RssAnon')) << 10


def echo(state, value):
    return value


def describe(state, value):
    """How the values arrive."""
    return [(type(part).__name__, getattr(part, 'readonly', None), bytes(part[:3])) for part in value]


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


@test('/python/arena/bytes-arrive-as-views-that-cannot-be-written')
def _():
    data = noise(LARGE)
    with OtherSide(describe, _arena.Arena()) as other:
        view = ('memoryview', True, data[:3])
        for value in ((data, bytearray(data), memoryview(data)), [data, bytearray(data), memoryview(data)]):
            expect_equal(other.call(value), [view, view, view])
        expect_equal(other.call((data[:100], bytearray(data[:100]))), [('bytes', None, data[:3]),
                                                                      ('bytearray', None, data[:3])])


@test('/python/arena/arguments-by-name-are-views-too')
def _():
    data = noise(LARGE)
    with OtherSide(lambda state, value: (type(value).__name__, type(value['data']).__name__), _arena.Arena()) as other:
        expect_equal(other.call(OrderedDict(data=data)), ('OrderedDict', 'memoryview'))
        expect_equal(other.call({'data': data}), ('dict', 'memoryview'))


@test('/python/arena/what-is-deeper-stays-what-it-is')
def _():
    data = noise(LARGE)
    numbers = array.array('d', range(LARGE))
    value = (Held(data), [bytearray(data)], {'x': {'y': (data, numbers)}})
    with OtherSide(echo, _arena.Arena()) as other:
        for _ in range(3):
            answer = other.call(value)
            expect_equal(answer, value)
            expect_equal((type(answer[0].data), type(answer[1][0]), type(answer[2]['x']['y'][1])),
                         (bytes, bytearray, array.array))
            answer[1][0][0] = 7


@test('/python/arena/the-same-object-twice-is-sent-once')
def _():
    data = noise(LARGE)
    with OtherSide(lambda state, value: value[0] is value[1], _arena.Arena()) as other:
        expect(other.call((data, data)), 'they are two')
        expect(other.call((Held(data), Held(data), data)) is False, 'two objects that hold it are one')
        expect(len(other.sender.dumps((data, [data, {1: data}]))) < 1000, 'it was copied into the message')
    message = _payload.Sender().dumps((data, data))
    expect(len(message) < 1.5 * LARGE, f'the message has {len(message)} bytes')


def exporters():
    """Buffers of many kinds: (name, value, whether it is a memoryview on the other side)."""
    data = noise(LARGE)
    yield 'numbers', memoryview(array.array('i', range(LARGE))), True
    yield 'shape', memoryview(data).cast('i', (64, LARGE // 256)), True
    yield 'steps', memoryview(data)[::-1], True
    yield 'small', memoryview(data)[:10], True
    yield 'empty', memoryview(b''), True
    yield 'empty numbers', memoryview(array.array('d')), True
    yield 'characters', array.array('u', 'ä' * LARGE), False
    yield 'array', array.array('H', range(60000)), False


@test('/python/arena/views-keep-format-and-shape')
def _():
    with OtherSide(echo, _arena.Arena()) as other:
        for name, value, is_view in exporters():
            for _ in range(3):
                answer = other.call([value])[0]
                expect_equal(type(answer), memoryview if is_view or name == 'array' else type(value), name)
                expect_equal(answer, value, name)
                if is_view:
                    expect_equal((answer.format, answer.shape), (value.format, value.shape), name)
                    expect(answer.readonly, f'{name} can be written')


@test('/python/arena/views-of-any-format')
def _():
    numpy = load_numpy()
    record = numpy.zeros(LARGE, dtype=[('a', '<i4'), ('b', '>f8')])
    record['a'] = numpy.arange(LARGE)
    with OtherSide(echo, _arena.Arena()) as other:
        for value in (memoryview(record), memoryview(record[:3]), memoryview(numpy.zeros((3, 0))),
                      memoryview(numpy.arange(LARGE, dtype='>i4')), memoryview(numpy.array(5.5))):
            for _ in range(3):
                answer, = other.call([value])
                expect_equal((answer.format, answer.shape, answer.readonly, answer.tobytes()),
                             (value.format, value.shape, True, value.tobytes()))


def arrays(numpy):
    base = numpy.arange(4 * LARGE, dtype='f8').reshape(4, -1)
    yield 'rows', base
    yield 'columns', numpy.asfortranarray(base)
    yield 'steps', base[:, ::2]
    yield 'transposed', base.T
    yield 'small', base[:2, :3]
    yield 'empty', numpy.zeros((0, 5))
    yield 'point', numpy.array(3.5)
    yield 'records', numpy.ones(LARGE, dtype=[('a', 'i4'), ('b', 'f8', (2,))])
    yield 'objects', numpy.array([{'a': 1}, None, 'x'] * 10, dtype=object)
    yield 'times', numpy.arange(LARGE).astype('M8[s]')
    yield 'text', numpy.array(['abc', 'de'] * LARGE)
    yield 'complex', base[0].astype('c16')
    yield 'masked', numpy.ma.masked_array(base[0], base[0] > 5)


@test('/python/arena/numpy-arrays-of-all-kinds')
def _():
    numpy = load_numpy()
    with OtherSide(echo, _arena.Arena()) as other:
        for name, value in arrays(numpy):
            for shape in (lambda value: value, lambda value: (value, 1), lambda value: {'held': Held([value])}):
                for _ in range(2):
                    answer = other.call(shape(value))
                    while not isinstance(answer, numpy.ndarray):
                        answer = answer['held'].data[0] if isinstance(answer, dict) else answer[0]
                    expect_equal((type(answer), answer.dtype), (type(value), value.dtype), name)
                    expect_equal(answer.shape, value.shape, name)
                    expect(numpy.array_equal(answer, value), f'{name}: other contents')
        columns = other.call(numpy.asfortranarray(numpy.zeros((400, 400))))
        expect(columns.flags.f_contiguous and not columns.flags.c_contiguous, 'the order is lost')
        expect(not columns.flags.writeable, 'it can be written')


@test('/python/arena/nothing-is-copied-there')
def _():
    data = noise(64 << 20)

    def measure(state, value):
        state['value'] = value
        return count_own_memory() - state.setdefault('before', count_own_memory())
    with OtherSide(measure, _arena.Arena()) as other:
        other.call((b'',))
        for _ in range(3):
            expect(other.call((data,)) < 8 << 20, 'the other side has a copy')


@test('/python/arena/views-stay-as-they-are')
def _():
    def stash(state, value):
        state.setdefault('views', []).append(value[0])
        return [bytes(view[:8]) == bytes([number]) * 8 and bytes(view[-8:]) == bytes([number]) * 8
                for number, view in enumerate(state['views'][:2])] + [len(state['views'])]

    def keep_two(state, value):
        answer = stash(state, value)
        del state['views'][2:]
        return answer
    arena = _arena.Arena()
    with OtherSide(keep_two, arena) as other:
        for number in range(MANY + 2):
            answer = other.call((bytes([number % 256]) * LARGE,))
            expect(all(answer), f'after {number} messages, a view has changed')
    expect(arena.resident < 10 * LARGE, f'the arena has {arena.resident} bytes')


@test('/python/arena/results-stay-as-they-are')
def _():
    with OtherSide(lambda state, value: (bytes([value]) * LARGE,), _arena.Arena()) as other:
        other.call(0)
        kept = [other.call(number)[0] for number in (1, 2, 3)]
        part = other.call(4)[0][5:10]
        for number in range(MANY):
            other.call(number % 256)
        for number, view in enumerate(kept, 1):
            expect(view == bytes([number]) * LARGE, f'result {number} has changed')
        # They are still there when the other side is not.
        other.kill()
        expect(part == bytes([4]) * 5, 'a part of a result has changed')
        expect(kept[2] == bytes([3]) * LARGE, 'a result ended with its worker')


@test('/python/arena/memory-is-used-again')
def _():
    arena = _arena.Arena()

    def measure(state, value):
        state['views'] = value
        return value
    sizes = random.Random(1)
    with OtherSide(measure, arena) as other:
        for _ in range(MANY):
            data = bytes(sizes.randrange(LARGE, 8 * LARGE))
            expect_equal(len(other.call((data, 1))[0]), len(data))
        peer, = other.receiver._peers.values()
        results = os.fstat(peer._file).st_blocks * 512
    expect(arena.resident < 64 * LARGE, f'the arena of the pool has {arena.resident} bytes')
    expect(results < 64 * LARGE, f'the arena of the worker has {results} bytes')


@test('/python/arena/a-death-frees-what-was-held')
def _():
    def hold(state, value):
        state.setdefault('views', []).append(value)
        return len(state['views'])
    arena = _arena.Arena()
    with OtherSide(hold, arena) as other:
        for number in range(10):
            expect_equal(other.call((bytes(LARGE),)), number + 1)
        expect_equal(len(arena._used), 10, 'what is held')
    arena.tidy()
    expect_equal(len(arena._used), 0, 'what is held after the death')


@test('/python/arena/a-lease-keeps-it-for-another-worker')
def _():
    arena = _arena.Arena()
    data = noise(LARGE)
    sender = _payload.Sender(arena)
    message = sender.dumps((data,))
    receiver = _payload.Receiver()
    for _ in range(3):
        # As where a worker has died and another one runs the task.
        value, = receiver.loads(message)
        expect_equal(bytes(value), data)
        del value
        expect(sender.dumps((bytes(LARGE),)).lease, 'it has no lease')
    lease = message.lease
    whole = b''.join((message, b''))
    del message
    expect_equal(bytes(receiver.loads(whole)[0]), data, 'what the lease alone keeps')
    lease.end()
    try:
        receiver.loads(whole)
    except SerializationError as error:
        expect('has ended' in str(error), f'it says {str(error)!r}')
    else:
        raise AssertionError('what has ended can be read')


@test('/python/arena/idle-memory-is-given-back')
def _():
    arena = _arena.Arena()
    sender = _payload.Sender(arena)
    step = _arena.IDLE_LIMIT // 4
    messages = [sender.dumps((bytes(step),)) for _ in range(10)]
    expect(arena.resident >= 10 * step, 'it is not in the arena')
    expect(all(message.lease is not None for message in messages), 'there are no leases')
    messages.clear()
    arena.tidy()
    expect(arena.resident <= _arena.IDLE_LIMIT + step, f'{arena.resident} bytes are idle')
    message = sender.dumps((noise(step),))
    expect_equal(bytes(_payload.Receiver().loads(message)[0]), noise(step))


@test('/python/arena/what-nobody-wants-is-discarded')
def _():
    with OtherSide(lambda state, value: (bytes(LARGE),), _arena.Arena()) as other:
        other.call(0)
        for _ in range(200):
            other.send(0)
            answer = other.take()
            expect(len(answer) < LARGE, 'the result is in the message')
            other.receiver.discard(answer)
        peer, = other.receiver._peers.values()
        expect(os.fstat(peer._file).st_blocks * 512 < 8 * LARGE, 'what was discarded is kept')


@test('/python/arena/a-copy-of-the-process-does-not-use-it')
def _():
    arena = _arena.Arena()
    sender = _payload.Sender(arena)
    message = sender.dumps((noise(LARGE),))
    receiver = _payload.Receiver()
    view, = receiver.loads(message)

    def in_copy(state, value):
        # What is inherited is dropped, sent with and closed; what the other process has must not notice.
        nonlocal view, message
        view = message = None
        gc.collect()
        length = len(sender.dumps((bytes(LARGE),)))
        arena.tidy()
        arena.close()
        return length
    with OtherSide(in_copy) as other:
        expect(other.call(0) > LARGE, 'the copy has used the arena of the original')
    arena.tidy()
    expect_equal(len(arena._used), 1, 'what is in use')
    sender.dumps((bytes(LARGE),))
    expect_equal(bytes(view), noise(LARGE), 'what is looked at')


@test('/python/arena/without-shared-memory-all-is-the-same')
def _():
    data = noise(LARGE)

    class Refused(_arena.Arena):
        def _open(self):
            self._closed = True
            raise PermissionError('there is no shared memory')
    for arena in (None, Refused(), _arena.Arena(size=1 << 15)):
        with OtherSide(describe, arena) as other:
            view = ('memoryview', True, data[:3])
            for _ in range(3):
                expect_equal(other.call((data, bytearray(data), memoryview(data))), [view, view, view])


@test('/python/arena/where-the-arena-is-full')
def _():
    arena = _arena.Arena(size=4 * LARGE)
    sender = _payload.Sender(arena)
    messages = [sender.dumps((noise(LARGE, seed),)) for seed in range(10)]
    expect(0 < sum(message[0] == 2 for message in messages) < 10, 'all or none is in the arena')
    receiver = _payload.Receiver()
    for seed, message in enumerate(messages):
        expect_equal(bytes(receiver.loads(message)[0]), noise(LARGE, seed))


@test('/python/arena/bad-messages-are-refused')
def _():
    arena = _arena.Arena()
    chance = random.Random(3)
    for sender in (_payload.Sender(arena), _payload.Sender()):
        message = sender.dumps((noise(LARGE), bytearray(LARGE)))
        receiver = _payload.Receiver(of_workers=sender is not arena)
        for _ in range(3000):
            bad = bytearray(message[:400])
            for _ in range(chance.randrange(1, 4)):
                bad[chance.randrange(min(len(bad), 88))] = chance.choice((0, 1, 255, chance.randrange(256)))
            bad = bytes(bad[:chance.randrange(len(bad) + 1)]) if chance.random() < 0.2 else bytes(bad) + message[400:]
            try:
                for part in receiver.loads(bad):
                    bytes(part)
            except SerializationError:
                pass
            receiver.discard(bad)


@test('/python/arena/others-files-are-no-arenas')
def _():
    with open('/proc/self/exe', 'rb') as file:
        plain = os.memfd_create('workerpool-arena', os.MFD_ALLOW_SEALING)
        os.ftruncate(plain, 1 << 20)
        for number in (file.fileno(), plain, 12345):
            inode = os.fstat(number).st_ino if number != 12345 else 1
            for of_worker in (False, True):
                try:
                    _peer.Peer(_arena.Name(os.getpid(), number, inode), of_worker)
                except OSError:
                    continue
                raise AssertionError('something else was taken for an arena')
        os.close(plain)


@test('/python/arena/many-threads-at-once')
def _():
    arena = _arena.Arena()
    sender = _payload.Sender(arena)
    receiver = _payload.Receiver()
    wrong = []

    def work(seed):
        for number in range(200):
            data = bytes([(seed + number) % 256]) * (LARGE + 100 * seed)
            message = sender.dumps((data,))
            view, = receiver.loads(message)
            del message
            if view != data:
                wrong.append((seed, number))
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_equal(wrong, [])
    arena.tidy()
    expect_equal(len(arena._used), 0, 'what is in use')


@test('/python/arena/descriptors-and-mappings-go-with-it')
def _():
    def count():
        gc.collect()
        with open('/proc/self/maps', encoding='ascii') as maps:
            return len(os.listdir('/proc/self/fd')), sum('workerpool-arena' in line for line in maps)
    before = count()
    for _ in range(5):
        with OtherSide(echo, _arena.Arena()) as other:
            for _ in range(3):
                other.call((bytes(LARGE), 1))
            other.sender._arena.close()
        del other
    expect_equal(count(), before, 'descriptors and mappings')


@test('/python/arena/of-workers-that-have-ended-are-forgotten')
def _():
    receiver = _payload.Receiver(of_workers=True)
    for _ in range(5):
        with OtherSide(lambda state, value: (bytes(LARGE),), _arena.Arena()) as other:
            other.receiver = receiver
            for _ in range(3):
                other.call(0)
    expect(len(receiver._peers) <= 2, f'{len(receiver._peers)} arenas of ended workers are open')


@test('/python/arena/many-workers-look-at-one-copy')
def _():
    numpy = load_numpy()
    arena = _arena.Arena()
    shared = numpy.arange(32 << 20, dtype='u1')
    sender = _payload.Sender(arena)
    message = sender.dumps({'table': shared, 'other': 5})

    def total(state, value):
        before = count_own_memory()
        table = state.setdefault('table', _payload.Receiver().loads(value))['table']
        return int(table[::4096].sum()), count_own_memory() - before
    before = arena.resident
    expected = int(shared[::4096].sum())
    del shared
    sides = [OtherSide(total) for _ in range(4)]
    try:
        for _ in range(2):
            for side in sides:
                answer, own = side.call(bytes(message))
                expect_equal(answer, expected)
                expect(own < 8 << 20, f'a worker has {own} bytes of its own')
    finally:
        for side in sides:
            side.close()
    expect_equal(arena.resident, before, 'the memory')


@test('/python/arena/more-than-two-gibibytes')
def _():
    numpy = load_numpy()
    with open('/proc/meminfo', encoding='ascii') as info:
        available = next(int(line.split()[1]) for line in info if line.startswith('MemAvailable')) << 10
    size = 3 << 30
    if available < 3 * size:
        raise Skip(f'only {available >> 20} MiB of memory are there')
    arena = _arena.Arena()
    value = numpy.zeros(size, dtype='u1')
    value[-1] = 7
    with OtherSide(lambda state, value: (len(value), int(value[-1])), arena) as other:
        expect_equal(other.call(value), (size, 7))
    arena.close()


@test('/python/ranges/against-a-model')
def _():
    chance = random.Random(5)
    ranges, free, taken = _ranges.Ranges(), set(), []
    ranges.add(0, 1000)
    free.update(range(1000))
    for _ in range(5000):
        if taken and chance.random() < 0.5:
            begin, end = taken.pop(chance.randrange(len(taken)))
            ranges.add(begin, end)
            free.update(range(begin, end))
        else:
            size = chance.randrange(1, 60)
            begin = ranges.take(size)
            if begin is None:
                expect(all(end - begin < size for begin, end in ranges), 'room was overlooked')
            else:
                expect(free.issuperset(range(begin, begin + size)), 'what is taken was not free')
                free.difference_update(range(begin, begin + size))
                taken.append((begin, begin + size))
        expect_equal(ranges.total, len(free))
        bounds = [bound for pair in ranges for bound in pair]
        expect(bounds == sorted(set(bounds)), f'ranges touch: {bounds}')


main()
