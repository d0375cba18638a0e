"""Rows of numbers in pieces: what a reader of a format offers, whatever the format."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnn.errors import XpnnValueError

Numbers = np.ndarray[Any, Any]
Names = Callable[[int], Sequence[str]]
"""What so many columns of results are called, in formats whose columns have names."""


class Input(NamedTuple):
    """What is read: a short description that any process can open anew."""

    path: Path
    key: str | None = None
    header: bool | None = None
    columns: Sequence[str] | None = None


class Ranges(NamedTuple):
    """Rows that can be read from many places: where it is best to begin, and what reads them."""

    total: int
    ends: Sequence[int]
    """The row behind each unit that is read as a whole: a row of .npy, a row group of Parquet."""
    read: Callable[[int, int, int], Iterator[Numbers]]
    """`read(start, stop, n)` gives the rows between two cuts in arrays of at most n rows."""

    def cuts(self, n: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut rows between units: small units together have at most n rows, a larger one is alone."""
        stop = self.total if stop is None else stop
        while start < stop:
            within = bisect_right(self.ends, start + n) - 1
            end = min(self.ends[max(within, bisect_right(self.ends, start))], self.total)
            yield start, end
            start = end

    def tiles(self, n: int, most: int) -> Iterator[tuple[int, int]]:
        """Put cuts together as long as they have at most so many rows."""
        first = last = 0
        for start, end in self.cuts(n):
            if start > first and end - first > most:
                yield first, start
                first = start
            last = end
        yield first, last


class Rows(NamedTuple):
    """Rows of a file, each flat; `pieces(n)` gives them, once, as arrays of at most n rows."""

    source: str
    width: int
    total: int | None
    """None where it is not known before the end."""
    pieces: Callable[[int], Iterator[Numbers]]
    ranges: Ranges | None = None
    """None where they can only be read from one end to the other."""

    @classmethod
    def of_ranges(cls, source: str, width: int, ranges: Ranges) -> "Rows":
        """Rows that are read from one end to the other as they are read in parts."""
        total = ranges.total
        return cls(source, width, total, lambda n: ranges.read(0, total, n), ranges)


class Gathered:
    """Arrays of rows, put together to arrays of n rows each."""

    def __init__(self, n: int) -> None:
        self._n, self._count = n, 0
        self._waiting: list[Numbers] = []

    def add(self, rows: Numbers) -> Iterator[Numbers]:
        """Take the next rows; give what is complete by that."""
        while self._count + len(rows) >= self._n:
            missing = self._n - self._count
            self._waiting.append(rows[:missing])
            rows = rows[missing:]
            yield from self.rest()
        if len(rows):
            self._waiting.append(rows)
            self._count += len(rows)

    def rest(self) -> Iterator[Numbers]:
        """Give the last rows, which are fewer."""
        waiting, self._waiting, self._count = self._waiting, [], 0
        if waiting:
            masked = any(map(np.ma.isMaskedArray, waiting))
            joined: Any = np.ma.concatenate if masked else np.concatenate
            yield joined(waiting)


@contextmanager
def grouped(put: Callable[[Numbers], None], nbytes: int) -> Iterator[Callable[[Numbers], None]]:
    """Give a function that hands rows on in groups of about so many bytes; the last has the rest."""
    gathered: Gathered | None = None

    def write(values: Numbers) -> None:
        nonlocal gathered
        if gathered is None:
            gathered = Gathered(max(1, nbytes * len(values) // max(1, values.nbytes)))
        for rows in gathered.add(values):
            put(rows)

    yield write
    if gathered is not None:
        for rows in gathered.rest():
            put(rows)


def rows_of(array: Numbers, source: str) -> Rows:
    """Rows of an array in memory."""
    width = width_of(array.shape, array.dtype, source)
    flat = array.reshape(-1, width)

    def pieces(n: int) -> Iterator[Numbers]:
        for start in range(0, len(flat), n):
            yield flat[start : start + n]

    return Rows(source, width, len(flat), pieces)


def width_of(shape: tuple[int, ...], dtype: np.dtype[Any], source: str) -> int:
    """Width of a row: all axes but the first, or the only one, together."""
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise XpnnValueError(
            f"{source}: expected real numbers of up to 64 bits, got values of dtype {dtype}"
        )
    if min(shape, default=0) < 1:
        raise XpnnValueError(f"{source}: expected at least one row, got shape {shape}")
    return shape[0] if len(shape) == 1 else math.prod(shape[1:])


def rows_in(shape: tuple[int, ...]) -> int:
    """How many rows an array has: an array of one axis is a row."""
    return 1 if len(shape) == 1 else shape[0]


def choose(names: list[str], key: str | None, path: Path) -> str:
    """Return the name of the array that is meant; ValueError if that is not clear."""
    if not names:
        raise XpnnValueError(f"{path}: expected at least one array in it, got none")
    if key is None and len(names) == 1:
        return names[0]
    if key is None or names.count(key) != 1:
        got = "none was named" if key is None else f"got {key!r}"
        if key in names:
            got = f"got {names.count(key)} of the name {key!r}"
        raise XpnnValueError(
            f"{path}: expected the name of one of its arrays ({', '.join(names)}), {got}; "
            "give it with --key"
        )
    return key
