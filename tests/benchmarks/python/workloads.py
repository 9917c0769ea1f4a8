#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The three workloads by which mpire describes itself: one image that all tasks share, a state that each worker gathers
and gives back at its end, and an initialisation that costs much more than a task.

Each is written for every peer as its users would write it.
"""

import time
from collections import Counter

import numpy as np
from scipy.signal import convolve2d

from peers import N_WORKERS, Multiprocessing, Workerpool, run, shrink

IMAGE_SIDE = 1000
N_FILTERS = shrink(60)
N_DOCUMENTS = shrink(400)
N_WORDS = 4000
MODEL_SIDE = 400
N_PREDICTIONS = shrink(200)

# What a worker keeps where the pool itself has no place for it.
kept = {}


def keep(name, make, *arguments):
    kept[name] = make(*arguments)


# The image.

def make_image():
    return np.random.default_rng(1).random((IMAGE_SIDE, IMAGE_SIDE))


def make_filters():
    return list(np.random.default_rng(2).random((N_FILTERS, 4, 4)))


def convolve(image, kernel):
    return float(convolve2d(image, kernel, mode='same')[::100, ::100].sum())


def convolve_kept(kernel):
    return convolve(kept['image'], kernel)


def convolve_images(peer):
    image, filters = make_image(), make_filters()
    expected = convolve(image, filters[0])

    start = time.monotonic()
    if peer is Workerpool:
        from workerpool import WorkerPool

        with WorkerPool(N_WORKERS, start_method='fork', shared_objects=image) as pool:
            sums = pool.map(convolve, [(kernel,) for kernel in filters])
    else:
        pool = peer(initializer=keep, initargs=('image', np.asarray, image))
        sums = pool.map(convolve_kept, filters) if peer is Multiprocessing else pool.map(convolve_kept, filters, 5)
        pool.close()
    seconds = time.monotonic() - start

    assert sums[0] == expected and len(sums) == N_FILTERS
    return seconds


# The prefixes.

def make_documents():
    letters = np.random.default_rng(3).integers(97, 123, (N_DOCUMENTS, N_WORDS, 7), dtype=np.uint8)
    return [' '.join(bytes(word).decode() for word in document) for document in letters]


def get_prefixes(document):
    return (word[:3] for word in document.split())


def start_counting(state):
    state['counter'] = Counter()


def count(state, document):
    state['counter'].update(get_prefixes(document))


def finish_counting(state):
    return state['counter']


def count_alone(document):
    return Counter(get_prefixes(document))


def count_prefixes(peer):
    documents = make_documents()
    expected = sum(len(document.split()) for document in documents)

    start = time.monotonic()
    if peer is Workerpool:
        from workerpool import WorkerPool

        with WorkerPool(N_WORKERS, start_method='fork', use_worker_state=True) as pool:
            pool.map(count, documents, worker_init=start_counting, worker_exit=finish_counting)
            counters = pool.get_exit_results()
    else:
        # Nobody else asks the workers at their end: every task has to return what it counted.
        pool = peer()
        counters = pool.map(count_alone, documents) if peer is Multiprocessing else pool.map(count_alone, documents, 10)
        pool.close()
    total = Counter()
    for counter in counters:
        total.update(counter)
    seconds = time.monotonic() - start

    assert sum(total.values()) == expected
    return seconds


# The model.

def make_model():
    generator = np.random.default_rng(4)
    weights = generator.random((MODEL_SIDE, MODEL_SIDE))
    return np.linalg.inv(weights @ weights.T + np.eye(MODEL_SIDE))


def load_model(state):
    state['model'] = make_model()


def predict(state, number):
    return float((state['model'] @ np.full(MODEL_SIDE, number)).sum())


def predict_kept(number):
    return predict(kept, number)


def make_predictions(peer):
    numbers = list(range(N_PREDICTIONS))

    start = time.monotonic()
    if peer is Workerpool:
        from workerpool import WorkerPool

        with WorkerPool(N_WORKERS, start_method='fork', use_worker_state=True) as pool:
            predictions = pool.map(predict, numbers, worker_init=load_model)
    else:
        pool = peer(initializer=keep, initargs=('model', make_model))
        predictions = pool.map(predict_kept, numbers) if peer is Multiprocessing else pool.map(predict_kept, numbers, 10)
        pool.close()
    seconds = time.monotonic() - start

    assert predictions[0] == 0 and len(predictions) == N_PREDICTIONS
    return seconds


def measure(peer):
    yield 'py-convolution', convolve_images(peer) * 1e3, 'ms'
    yield 'py-prefixes', count_prefixes(peer) * 1e3, 'ms'
    yield 'py-initialisation', make_predictions(peer) * 1e3, 'ms'


if __name__ == '__main__':
    # By the module's name: loky sends what is of __main__ by value, and then each function has a 'kept' of its own.
    import workloads

    run(workloads.measure)
