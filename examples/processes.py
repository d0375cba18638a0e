"""One network in several processes, started in every way that there is: python examples/processes.py."""

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

import xpnn


def share(processors: int) -> None:
    """Take no more threads than so many."""
    threadpool_limits(processors, user_api="blas")


def main() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (3000, 784)).astype(np.float32)
    compute = functools.partial(xpnn.load("digits"), xp=xpnn.reproducible(np))
    expected, parts = compute(x), np.array_split(x, 4)
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, context, initializer=share, initargs=(1,)) as pool:
            y = np.concatenate(list(pool.map(compute, parts)))
        print("concurrent.futures,", method, np.array_equal(y, expected))
        with context.Pool(2, initializer=share, initargs=(1,)) as workers:
            y = np.concatenate(workers.map(compute, parts))
        print("multiprocessing.Pool,", method, np.array_equal(y, expected))


if __name__ == "__main__":  # or each process that is spawned would start others
    main()
