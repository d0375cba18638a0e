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


def in_tiles(f: Callable[[slice], None], count: int, shortest: int, largest: int) -> None:
    """Call f for slices that make up `count`, on threads; for all at once up to `shortest`.

    Slices are a power of two long, at most `largest`, and not shorter, as threads would not pay.
    """
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


_SOME = 256
"""Rows by which the memory of one is measured."""


class RowByRow:
    """A formula that gives a row for each row, whatever the others hold, on NumPy's arrays.

    Recorded for 1, 2, 4, ... rows, as many as the cache holds, and for some between where that is
    little; what is missing to such a number are rows of some call before, whose results are dropped.
    `cache` is the number of bytes that the buffers of a tile may have, `least` that from which on
    threads pay.
    """

    def __init__(self, formula: Callable[[Recorded], Recorded], cache: int, least: int) -> None:
        self._formula, self._cache, self._least = formula, cache, least
        self._idle: dict[int, list[Program]] = {}
        self._like: tuple[int, int, Values] | None = None

    def __call__(self, x: Values) -> Values:
        """Return the rows of the formula for an array of shape (rows, width), rows > 0."""
        count = x.shape[0]
        with np.errstate(all="ignore"):
            if count == 1:
                return self._run_one(x)
            if self._like is None:
                self._like = self._measured(x)
            shortest, size, row = self._like
            y = np.empty((count, *row.shape[1:]), row.dtype)
            in_tiles(lambda rows: self._run(x, y, rows), count, shortest, size)
        return y

    def _run_one(self, x: Values) -> Values:
        program = self._program(1, x)
        program.input[...] = x
        program()
        y = program.result.copy()
        self._idle.setdefault(1, []).append(program)
        return y

    def _measured(self, x: Values) -> tuple[int, int, Values]:
        """Return the least and most rows of a tile, and what a row of the result is like."""
        some = self._program(_SOME, x)  # not one, which needs fewer buffers
        rows = (max(n * _SOME // some.nbytes, 1) for n in (self._least, self._cache))
        least, most = (n.bit_length() - 1 for n in rows)
        return 1 << least, 1 << most, some.result[:1]

    def _run(self, x: Values, y: Values, rows: slice) -> None:
        count = rows.stop - rows.start
        size = self._rounded_up(count)
        program = self._program(size, x)
        program.input[:count] = x[rows]
        program()
        y[rows] = program.result[:count]
        self._idle.setdefault(size, []).append(program)

    def _rounded_up(self, count: int) -> int:
        """Return the rows of the program for so many: of few sizes, so that few programs are made."""
        shortest = self._like[0] if self._like else count
        # Few rows: three binary digits of their number; many: one.
        unit = (
            1 << max(count.bit_length() - 3, 0)
            if count <= shortest
            else 1 << (count - 1).bit_length()
        )
        return -(-count // unit) * unit

    def _program(self, size: int, like: Values) -> Program:
        try:
            return self._idle[size].pop()
        except (KeyError, IndexError):  # none was made, or all are at work on other threads
            return Program(self._formula, np.zeros((size, *like.shape[1:]), like.dtype))
