"""Formulas of many rows in tiles that stay in the cache, on as many threads as the BLAS would use.

NumPy holds no lock while it computes, so plain threads do; inside them the BLAS gets one thread each.
"""

import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from xpnn._recorder import Program, Recorded
from xpnn._types import Values

_CACHE = 2**25
"""Bytes of buffers that a tile may have."""

_lock = threading.Lock()
_users = 0
_limited: Any = None
_threads = 1


@functools.cache
def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")  # takes half a millisecond


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Hold the BLAS to one thread; give the number that it had, which is the user's choice.

    That number is one for the whole process, so whoever comes first sets it and whoever leaves last
    restores it.
    """
    global _users, _limited, _threads  # noqa: PLW0603
    with _lock:
        if _users == 0:
            blas = _blas()
            _threads = min((library["num_threads"] for library in blas.info()), default=1)
            _limited = blas.limit(limits=1) if _threads > 1 else None
        _users += 1
    try:
        yield _threads
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limited is not None:
                _limited.restore_original_limits()


def in_tiles(f: Callable[[slice], None], count: int, largest: int) -> None:
    """Call f for slices that make up `count`, on threads; for all at once where that is little.

    Slices are a power of two long, at most `largest`, and not so short that threads do not pay.
    """
    shortest = max(largest // 8, 1)
    if count <= shortest:
        f(slice(0, count))
        return
    context = contextvars.copy_context()  # NumPy's errstate is there
    with _one_thread_each() as threads, ThreadPoolExecutor(threads) as pool:
        each = 1 << (-(-count // threads)).bit_length() - 1
        size = min(max(each, shortest), largest)
        tiles = [slice(i, min(i + size, count)) for i in range(0, count, size)]
        for _ in pool.map(lambda tile: context.copy().run(f, tile), tiles):
            pass


class RowByRow:
    """A formula that gives a row for each row, whatever the others hold, on NumPy's arrays.

    Recorded for 1, 2, 4, ... rows, as many as the cache holds; what is missing to such a number are
    rows of some call before, whose results are dropped.
    """

    def __init__(self, formula: Callable[[Recorded], Recorded]) -> None:
        self._formula = formula
        self._idle: dict[int, list[Program]] = {}
        self._like: tuple[int, Values] | None = None

    def __call__(self, x: Values) -> Values:
        """Return the rows of the formula for an array of shape (rows, width), rows > 0."""
        with np.errstate(all="ignore"):
            if self._like is None:
                self._like = self._measured(x)
            size, row = self._like
            y = np.empty((x.shape[0], *row.shape[1:]), row.dtype)
            in_tiles(lambda rows: self._run(x, y, rows), x.shape[0], size)
        return y

    def _measured(self, x: Values) -> tuple[int, Values]:
        """Return how many rows the cache holds, and what a row of the result is like."""
        one = self._program(1, x)
        self._idle.setdefault(1, []).append(one)
        size = max(_CACHE // one.nbytes, 1)
        return 1 << (size.bit_length() - 1), one.result

    def _run(self, x: Values, y: Values, rows: slice) -> None:
        count = rows.stop - rows.start
        size = 1 << (count - 1).bit_length()
        program = self._program(size, x)
        program.input[:count] = x[rows]
        program()
        y[rows] = program.result[:count]
        self._idle.setdefault(size, []).append(program)

    def _program(self, size: int, like: Values) -> Program:
        try:
            return self._idle[size].pop()
        except (KeyError, IndexError):  # none was made, or all are at work on other threads
            return Program(self._formula, np.zeros((size, *like.shape[1:]), like.dtype))
