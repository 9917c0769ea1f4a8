# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the tests of pools share: the start method that they are run for, and a census of what each must give back."""

import contextlib
import gc
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

import tap  # noqa: E402
from workerpool import WorkerPool  # noqa: E402

METHOD = os.environ.get('WORKERPOOL_TEST_START_METHOD', 'fork')
IS_THREADING = METHOD == 'threading'

PATIENCE_S = 30
_LOOK_S = 0.005


def make_pool(n_jobs=2, **options):
    return WorkerPool(n_jobs, start_method=options.pop('start_method', METHOD), **options)


def wait_for(condition, what):
    """Until the condition holds; returns what it returned."""
    end = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        tap.expect(time.monotonic() < end, f'waited in vain for {what}')
        time.sleep(_LOOK_S)
    return value


class Gate:
    """Holds tasks until it is opened, in whatever process they run; ends the wait of itself some time."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='workerpool-test-')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.open()
        # Tasks that nobody waits for may still come to mark that they run.
        wait_for(self._is_removed, f'the end of {self.folder}')

    def _is_removed(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        return not os.path.exists(self.folder)

    def hold(self, value=None):
        """The task: marks that it runs."""
        with open(os.path.join(self.folder, f'running-{value}'), 'a', encoding='utf-8') as file:
            file.write(f'{os.getpid()}\n')
        end = time.monotonic() + PATIENCE_S
        while os.path.isdir(self.folder) and not os.path.exists(self._path) and time.monotonic() < end:
            time.sleep(_LOOK_S)
        return value

    @property
    def _path(self):
        return os.path.join(self.folder, 'open')

    def open(self):
        with open(self._path, 'w', encoding='utf-8'):
            pass

    def wait_for_holders(self, n=1):
        """The processes of the tasks that have run, when there are so many."""
        return wait_for(lambda: len(self.list_holders()) >= n and self.list_holders(), f'{n} held tasks')

    def list_holders(self):
        holders = []
        for name in os.listdir(self.folder):
            if name.startswith('running-'):
                with open(os.path.join(self.folder, name), encoding='utf-8') as file:
                    holders += map(int, file.read().split())
        return holders

    def list_values(self):
        """The values of the tasks that have run, as texts."""
        return sorted(name.removeprefix('running-') for name in os.listdir(self.folder) if name != 'open')


def list_children():
    """The processes that this one has started, and that it has not waited for."""
    children = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as file:
                if int(file.read().rpartition(')')[2].split()[1]) == os.getpid():
                    children.append(int(name))
    return children


def list_descriptors():
    descriptors = []
    for name in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError):
            descriptors.append(os.readlink(f'/proc/self/fd/{name}'))
    return sorted(descriptors)


@contextlib.contextmanager
def raises(kind, words=''):
    """Expects an exception whose text has these words; gives a list with it."""
    caught = []
    try:
        yield caught
    except kind as exception:
        tap.expect(words in str(exception), f'{exception!r} does not say {words!r}')
        caught.append(exception)
    else:
        raise AssertionError(f'no {kind.__name__} was raised')


def expect_raises(kind, words, function, *args, **kwargs):
    """Returns the exception that the call raises."""
    with raises(kind, words) as caught:
        function(*args, **kwargs)
    return caught[0]


_warm = []


def pool_test(name):
    """A test that must leave no process behind, and no descriptor."""
    def mark(function):
        def run():
            # The first pool of a process opens some that stay.
            if not _warm:
                _warm.append(make_pool().apply(os.getpid))
            wait_for(lambda: not list_children(), 'the end of other tests')
            descriptors = list_descriptors()
            function()
            wait_for(lambda: not list_children(), 'the end of the processes')
            try:
                # Threads that end keep objects for a moment, some of which are parts of cycles.
                wait_for(lambda: gc.collect() >= 0 and len(list_descriptors()) <= len(descriptors), 'the descriptors')
            except AssertionError:
                tap.expect_equal(list_descriptors(), descriptors, 'the descriptors')
        tap.test(f'/python/{name}')(run)
        return function
    return mark


main = tap.main
