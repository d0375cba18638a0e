"""One network called by two threads of one's own, beside the same calls in turn."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import _networks
import _peers
import numpy as np
from _cases import Network
from _timing import Contender

BATCH = 0.05
"""Seconds that the calls of a sample take at least, so that starting threads does not count."""


def contenders(_: str, case: Network) -> list[Contender]:
    """The calls shared by two threads, and made by one, by xpnn and by hand."""
    layers = _networks.layers_of(case)
    return [
        *_of("xpnn", _networks.ours(case), _networks.sample(case)),
        *_of("by hand", _peers.by_hand(layers, np), _networks.sample(case)),
    ]


def _of(name: str, call: Callable[[Any], Any], x: np.ndarray) -> Iterator[Contender]:
    call(x)
    start = time.perf_counter()
    call(x)
    count = 2 * max(1, round(BATCH / (time.perf_counter() - start) / 2))
    yield Contender(name, partial(shared, call, x, count, 2), None, count)
    yield Contender(f"{name}, in turn", partial(shared, call, x, count, 1), name, count)


def shared(call: Callable[[Any], Any], x: np.ndarray, count: int, threads: int) -> Any:
    """Call so often, on so many threads; one of the last results."""
    results = []

    def calls() -> None:
        for _ in range(count // threads):
            y = call(x)
        results.append(y)

    workers = [threading.Thread(target=calls) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results[-1]
