# SPDX-License-Identifier: LGPL-2.1-or-later

"""The pools that are compared, each by the same few calls, and how a benchmark runs for each of them.

A benchmark is a function of a peer's class that returns rows of numbers. Every peer runs in a process of its own, so
that the threads and the memory of one are not inherited by the next.
"""

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

N_WORKERS = 2
QUICK = '--quick' in sys.argv


def shrink(number):
    """A tenth of it where it only matters that the benchmark runs."""
    return max(1, number // 10) if QUICK else number


class Workerpool:
    name = 'workerpool'

    @staticmethod
    def load():
        import workerpool

        workerpool.WorkerPool

    def __init__(self, start_method='fork', **arguments):
        from workerpool import WorkerPool

        self.pool = WorkerPool(N_WORKERS, start_method=start_method, keep_alive=True, **arguments)

    def map(self, function, items):
        return self.pool.map(function, items)

    def map_one_by_one(self, function, items):
        return self.pool.map(function, items, chunk_size=1)

    def apply(self, function, argument):
        return self.pool.apply(function, (argument,))

    def close(self):
        self.pool.stop_and_join()


class Multiprocessing:
    name = 'multiprocessing.Pool'

    @staticmethod
    def load():
        import multiprocessing.pool  # noqa: F401

    def __init__(self, start_method='fork', initializer=None, initargs=()):
        self.pool = multiprocessing.get_context(start_method).Pool(N_WORKERS, initializer, initargs)

    def map(self, function, items):
        return self.pool.map(function, items)

    def map_one_by_one(self, function, items):
        return self.pool.map(function, items, chunksize=1)

    def apply(self, function, argument):
        return self.pool.apply(function, (argument,))

    def close(self):
        self.pool.close()
        self.pool.join()


class _Futures:
    """Executors have no automatic chunks."""

    def map(self, function, items, chunk_size=1000):
        return list(self.pool.map(function, items, chunksize=chunk_size))

    def map_one_by_one(self, function, items):
        return self.map(function, items, 1)

    def apply(self, function, argument):
        return self.pool.submit(function, argument).result()

    def close(self):
        self.pool.shutdown()


class Executor(_Futures):
    name = 'ProcessPoolExecutor'

    def __init__(self, start_method='fork', initializer=None, initargs=()):
        self.pool = ProcessPoolExecutor(N_WORKERS, multiprocessing.get_context(start_method), initializer, initargs)


class Loky(_Futures):
    """The executor of joblib. It forks and executes, whatever is asked."""

    name = 'loky'

    def __init__(self, start_method=None, initializer=None, initargs=()):
        from joblib.externals.loky import ProcessPoolExecutor as LokyExecutor

        self.pool = LokyExecutor(N_WORKERS, initializer=initializer, initargs=initargs)


PEERS = {peer.name: peer for peer in (Workerpool, Multiprocessing, Executor, Loky)}


def run(measure, names=tuple(PEERS)):
    """Prints what measure (peer), which yields (row, value, unit), says of each of the peers."""
    if '--peer' in sys.argv:
        peer = PEERS[sys.argv[sys.argv.index('--peer') + 1]]
        for row, value, unit in measure(peer):
            print(json.dumps({'row': row, 'who': peer.name, 'value': value, 'unit': unit}), flush=True)
        return

    for name in names:
        subprocess.run([sys.executable, *sys.argv, '--peer', name], check=True)
