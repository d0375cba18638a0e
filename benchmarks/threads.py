"""How long two threads take that call one network, beside the same calls in turn.

`python benchmarks/threads.py` prints a table: times of calls in turn, and of two threads divided by it,
of xpnn and of the same pass by hand. Ratios of one run on one machine: 1 and less is what is wanted.
"""

import threading
import time
from collections.abc import Callable

import numpy as np
from _timing import rest

import xpnn

ROWS = (1, 10, 100, 1000, 5000, 10_000, 100_000)
_SECONDS = 0.4


def by_hand(network: xpnn.Network) -> Callable[[np.ndarray], np.ndarray]:
    def run(x: np.ndarray) -> np.ndarray:
        for layer in network.layers[:-1]:
            x = 1 / (1 + np.exp(-(x @ layer.weight + layer.bias)))
        a = x @ network.layers[-1].weight + network.layers[-1].bias
        e = np.exp(a - a.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    return run


def seconds(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, count: int, threads: int
) -> float:
    """Time `count` calls, shared among threads."""
    start = threading.Barrier(threads + 1)

    def calls() -> None:
        start.wait()
        for _ in range(count // threads):
            f(x)

    workers = [threading.Thread(target=calls) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def main() -> None:
    network = xpnn.load("digits")
    print("| rows | xpnn, a call in turn | two threads | by hand, a call in turn | two threads |")
    print("| --- | --- | --- | --- | --- |")
    for rows in ROWS:
        x = np.random.default_rng(0).uniform(0, 1, (rows, 784)).astype("float32")
        cells = [f"{rows:,}"]
        for f in (network, by_hand(network)):
            f(x)
            begin = time.perf_counter()
            f(x)
            once = time.perf_counter() - begin
            count = 2 * max(2, min(int(_SECONDS / once / 2), 2000))
            rounds = []
            for _ in range(5):
                rest()
                alone = seconds(f, x, count, 1)
                rest()
                rounds.append((alone, seconds(f, x, count, 2)))
            alone = min(one for one, _ in rounds)
            together = min(two for _, two in rounds)
            cells += [f"{alone / count * 1e6:,.0f} us", f"{together / alone:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
