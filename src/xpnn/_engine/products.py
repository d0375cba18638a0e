"""Products: rows times a matrix, some vectors of its columns at a time, down all rows of the matrix."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import frames, machine, tuning
from xpnn._engine.emitter import Emitter, Lanes
from xpnn._engine.frames import Lowered

VECTORS = 2
"""Vectors of a matrix's columns that are added up at the same time."""
SUMS = 12
"""Sums of one row that are made at the same time, as an addition takes that many times as long as the next can wait."""
FEW = 4
"""Rows that are taken together where fewer are left than registers hold sums of."""
TERMS, WIDTH = frames.LENGTH, frames.OUTER
"""Where in the frame of a product of rows the shape of the matrix lies."""


class Product:
    """Writes products with a matrix of so many rows and columns: numbers, or the names of numbers."""

    def __init__(self, to: Emitter, dtype: Any, terms: int | str, width: int | str) -> None:
        self._to, self._dtype, self._terms, self._width = to, np.dtype(dtype), terms, width

    def of_row(self, base: str, source: str, target: str) -> None:
        """Write one row times the matrix packed at `base`, to a target that has whole vectors."""
        to, size = self._to, VECTORS * self._to.lanes
        groups, rest = divmod(-(-int(self._width) // to.lanes), VECTORS)
        with to.loop("0", str(groups * size), size) as first:
            self._sums(base, first, sources=[source], targets=[target], masks=[None] * VECTORS)
        if rest:
            first = str(groups * size)
            self._sums(base, first, sources=[source], targets=[target], masks=[None] * rest)

    def of_rows(self, base: str, x: str, y: str, rows: str, *, ahead: bool) -> None:
        """Write all rows times the matrix, to as many of its width; `ahead` for rows that no cache holds yet."""
        to, many = self._to, rows_together()
        whole = to.make(f"sub i64 {rows}, {to.make(f'srem i64 {rows}, {many}')}")
        last = to.make(f"sub i64 {rows}, 1")

        def at(a: str, row: str, length: int | str) -> str:
            return to.pointer(a, to.make(f"mul i64 {row}, {length}"), self._dtype)

        def columns(first: str, count: int) -> None:
            left = to.make(f"sub i64 {self._width}, {first}")
            masks = [
                to.first_lanes(to.make(f"sub i64 {left}, {i * to.lanes}")) for i in range(count)
            ]

            def some(rows: Sequence[str], ahead: str | None) -> None:
                sources, targets = ([at(a, r, n) for r in rows] for a, n in pairs)
                self._sums(base, first, sources=sources, targets=targets, masks=masks, ahead=ahead)

            pairs = ((x, self._terms), (y, self._width))
            with to.loop("0", whole, many) as r:
                following = at(x, to.make(f"add i64 {r}, {many}"), self._terms) if ahead else None
                some([to.make(f"add i64 {r}, {i}") for i in range(many)], following)
            with to.loop(whole, rows, FEW) as r:
                # Behind the last row comes the last one again.
                some([to.least(f"add i64 {r}, {i}", last) for i in range(FEW)], None)

        vectors = to.make(
            f"sdiv i64 {to.make(f'add i64 {self._width}, {to.lanes - 1}')}, {to.lanes}"
        )
        rest = to.make(f"srem i64 {vectors}, {VECTORS}")
        end = to.make(f"mul i64 {to.make(f'sub i64 {vectors}, {rest}')}, {to.lanes}")
        with to.loop("0", end, VECTORS * to.lanes) as first:
            columns(first, VECTORS)
        with to.only_if(to.make(f"icmp sgt i64 {rest}, 0")):
            columns(end, 1)

    def _sums(
        self,
        base: str,
        first: str,
        *,
        sources: Sequence[str],
        targets: Sequence[str],
        masks: Sequence[str | None],
        ahead: str | None = None,
    ) -> None:
        """Write the sums of some rows and of a vector of columns for each mask, from column `first` on.

        What lies `ahead` is brought into the cache meanwhile, as much as the rows are.
        """
        to, dtype, count = self._to, self._dtype, len(masks)
        block = to.pointer(base, to.make(f"mul i64 {first}, {self._terms}"), dtype)
        # Of several rows one by one, so that no row depends on how many are taken together.
        together = max(min(SUMS // count, int(self._terms)), 1) if len(sources) == 1 else 1
        sums = [
            [[to.variable(dtype, wide=True) for _ in masks] for _ in sources]
            for _ in range(together)
        ]
        zero = to.widened(to.number(0, dtype))
        for variable in (v for some in sums for row in some for v in row):
            to.store(zero, variable)

        def add(k: str, some: Sequence[Sequence[str]]) -> None:
            line = to.make(f"mul i64 {k}, {count * to.lanes}")
            at = [to.make(f"add i64 {line}, {i * to.lanes}") for i in range(count)]
            columns = [to.load(to.pointer(block, i, dtype), dtype, wide=True) for i in at]
            for source, totals in zip(sources, some, strict=True):
                number = to.load(to.pointer(source, k, dtype), dtype, wide=False)
                factor = to.widened(number)
                for variable, column in zip(totals, columns, strict=True):
                    total = to.load(variable, dtype, wide=True)
                    to.store(_multiplied(to, factor, column, total), variable)

        def every(start: str, stop: str, step: int) -> None:
            with to.loop(start, stop, step) as k:
                for i in range(step):
                    add(to.make(f"add i64 {k}, {i}"), sums[i % together])

        start = "0"
        if ahead is not None:
            line = tuning.LINE // dtype.itemsize
            start = to.make(f"and i64 {self._terms}, {-line}")
            with to.loop("0", start, line) as begin:
                near = to.make(f"mul i64 {begin}, {len(sources)}")
                for i in range(len(sources)):
                    place = to.make(f"add i64 {near}, {i * line}")
                    to.fetch(to.pointer(ahead, place, dtype))
                every(begin, to.make(f"add i64 {begin}, {line}"), 1)
        if together > 1:
            whole = str(int(self._terms) // together * together)
            every(start, whole, together)
            start = whole
        every(start, str(self._terms), 1)
        for r, target in enumerate(targets):
            for i, mask in enumerate(masks):
                totals = [to.load(some[r][i], dtype, wide=True) for some in sums]
                at = to.make(f"add i64 {first}, {i * to.lanes}")
                to.store(_in_pairs(to, totals), to.pointer(target, at, dtype), mask)


def rows_together() -> int:
    """Return how many rows are taken together: their sums, `VECTORS` each, take three quarters of the registers."""
    return machine.registers() * 3 // (4 * VECTORS)


def lower_product(matrix: Values, *, ahead: bool) -> Lowered:
    """Return the function that multiplies rows by a matrix, the same for every shape."""
    (terms, width), lanes = matrix.shape, machine.vector_bytes() // matrix.dtype.itemsize
    text, numbers = _of_rows(matrix.dtype, lanes, ahead=ahead), {TERMS: terms, WIDTH: width}
    return Lowered(text, [packed(matrix, lanes)], numbers=numbers)


@functools.cache
def _of_rows(dtype: Any, lanes: int, *, ahead: bool) -> str:
    to = Emitter(lanes)
    rows, terms, width = (frames.slot(to, i) for i in (frames.ROWS, TERMS, WIDTH))
    x, y, base = (frames.address(to, frames.ARRAYS + i) for i in range(3))
    Product(to, dtype, terms, width).of_rows(base, x, y, rows, ahead=ahead)
    return to.module()


def packed(matrix: Values, lanes: int) -> Values:
    """Return a matrix as it is read: groups of some vectors of columns, each group row after row."""
    terms, width = matrix.shape
    columns = np.zeros((terms, -(-width // lanes) * lanes), matrix.dtype)
    columns[:, :width] = matrix
    size = VECTORS * lanes
    groups = [columns[:, i : i + size] for i in range(0, columns.shape[1], size)]
    flat = np.concatenate([g.reshape(-1) for g in groups])
    # Vectors that lie in one line of the cache each.
    memory = np.empty(flat.nbytes + tuning.LINE, np.uint8)
    start = -memory.ctypes.data % tuning.LINE
    aligned = memory[start : start + flat.nbytes].view(flat.dtype)
    aligned[:] = flat
    return aligned


def _multiplied(to: Emitter, a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    """Return a * b + c, rounded once where the processor can: sums may be made in any way."""
    if machine.has_fma():
        return to.call("fma", a, b, c)
    return to.plain("fadd", c.dtype, c, to.plain("fmul", a.dtype, a, b))


def _in_pairs(to: Emitter, totals: list[Lanes]) -> Lanes:
    while len(totals) > 1:
        pairs = zip(totals[::2], totals[1::2], strict=False)
        odd = totals[-1:] if len(totals) % 2 else []
        totals = [to.plain("fadd", p.dtype, p, q) for p, q in pairs] + odd
    return totals[0]
