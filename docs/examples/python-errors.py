#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

import os
import signal
import time

from workerpool import WorkerPool


def measure(path):
    if path == 'slow':
        time.sleep(60)
    if path == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.stat(path).st_size


with WorkerPool(n_jobs=2) as pool:
    try:
        pool.map(measure, ['/etc/hosts', '/no/such/file'])
    except FileNotFoundError as error:
        print(error)
        print('measure' in str(error.__cause__))

    try:
        pool.map(measure, ['/etc/hosts', 'slow'], task_timeout=0.5)
    except TimeoutError:
        print('too slow')

    results = [pool.apply_async(measure, (path,)) for path in ('/etc/hosts', 'crash', '/etc/hosts')]
    for result in results:
        try:
            print(result.get() > 0)
        except RuntimeError:
            print('its worker died')
