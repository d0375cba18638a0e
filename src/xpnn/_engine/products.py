"""Products: rows times a matrix, some vectors of its columns at a time, down all rows of the matrix."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import frames, machine, tuning
from xpnn._engine.emitter import Emitter, Lanes
from xpnn._engine.frames import Lowered

VECTORS = 2
"""Vectors of a matrix's columns that are added up at the same time."""
SUMS = 12
"""Sums that are made at the same time, as an addition takes that many times as long as the next can wait."""
FEW = 4
"""Rows that are taken together where fewer are left than registers hold sums of."""


class Row(NamedTuple):
    """A row in memory: so many numbers from an address on."""

    base: str
    offset: int = 0


class Product:
    """A matrix of this shape as one that rows are multiplied by."""

    def __init__(self, to: Emitter, shape: tuple[int, ...], dtype: Any) -> None:
        self._to, self._dtype = to, np.dtype(dtype)
        self._terms, self._width = shape

    def write(self, base: str, source: str, target: str) -> None:
        """Write one row times the matrix packed at `base`, to a target that has whole vectors."""
        size = VECTORS * self._to.lanes
        groups, rest = divmod(-(-self._width // self._to.lanes), VECTORS)
        if groups:
            with self._to.loop("0", str(groups), 1) as group:
                first = self._to.make(f"mul i64 {group}, {size}")
                self.sums(base, [Row(source)], [Row(target)], first=first, count=VECTORS)
        if rest:
            self.sums(base, [Row(source)], [Row(target)], first=str(groups * size), count=rest)

    def sums(
        self,
        base: str,
        sources: Sequence[Row],
        targets: Sequence[Row],
        *,
        first: str,
        count: int,
        mask: str | None = None,
        ahead: Sequence[Row] = (),
    ) -> None:
        """Write the sums of `count` vectors of columns from column `first` on; the mask is that of the last."""
        to, dtype, terms = self._to, self._dtype, self._terms
        block = to.pointer(base, to.make(f"mul i64 {first}, {terms}"), dtype)
        # Of several rows one by one, so that no row depends on how many are taken together.
        together = max(min(SUMS // count, terms), 1) if len(sources) == 1 else 1
        sums = [
            [[to.variable(dtype, wide=True) for _ in range(count)] for _ in sources]
            for _ in range(together)
        ]
        zero = to.widened(to.number(0, dtype))
        for variable in (v for some in sums for row in some for v in row):
            to.store(zero, variable)

        def add(k: str, some: Sequence[Sequence[str]]) -> None:
            line = to.make(f"mul i64 {k}, {count * to.lanes}")
            at = [to.make(f"add i64 {line}, {i * to.lanes}") for i in range(count)]
            columns = [to.load(to.pointer(block, i, dtype), dtype, wide=True) for i in at]
            for row, totals in zip(sources, some, strict=True):
                place = to.make(f"add i64 {k}, {row.offset}") if row.offset else k
                number = to.load(to.pointer(row.base, place, dtype), dtype, wide=False)
                factor = to.widened(number)
                for variable, column in zip(totals, columns, strict=True):
                    total = to.load(variable, dtype, wide=True)
                    to.store(_multiplied(to, factor, column, total), variable)

        whole = terms // together * together
        start, line = "0", tuning.LINE // dtype.itemsize
        if ahead:
            start = str(terms // line * line)
            with to.loop("0", start, line) as first_of_line:
                for row in ahead:
                    place = to.make(f"add i64 {first_of_line}, {row.offset}")
                    to.fetch(to.pointer(row.base, place, dtype))
                with to.loop(first_of_line, to.make(f"add i64 {first_of_line}, {line}"), 1) as k:
                    add(k, sums[0])
        with to.loop(start, str(whole), together) as k:
            for i, some in enumerate(sums):
                add(to.make(f"add i64 {k}, {i}"), some)
        for i in range(terms - whole):
            add(str(whole + i), sums[i])
        for r, row in enumerate(targets):
            for i in range(count):
                totals = [to.load(some[r][i], dtype, wide=True) for some in sums]
                at = to.make(f"add i64 {first}, {row.offset + i * to.lanes}")
                to.store(
                    _in_pairs(to, totals),
                    to.pointer(row.base, at, dtype),
                    mask if i == count - 1 else None,
                )


def rows_together() -> int:
    """Return how many rows are taken together: their sums, `VECTORS` each, take three quarters of the registers."""
    return machine.registers() * 3 // (4 * VECTORS)


def lower_product(matrix: Values) -> Lowered:
    """Return the text of a function that multiplies rows by a matrix."""
    (terms, width), dtype = matrix.shape, matrix.dtype
    to = Emitter(machine.vector_bytes() // dtype.itemsize)
    product = Product(to, matrix.shape, dtype)
    rows = frames.slot(to, frames.ROWS)
    x, y, base = (frames.address(to, frames.ARRAYS + i) for i in range(3))
    many = rows_together()
    whole = to.first(f"srem i64 {rows}, {many}")
    whole = to.first(f"sub i64 {rows}, {whole}")
    last = to.first(f"sub i64 {rows}, 1")

    def at(a: str, row: str, length: int) -> str:
        return to.pointer(a, to.make(f"mul i64 {row}, {length}"), dtype)

    def all_rows(first: str, count: int, mask: str | None, ahead: bool = False) -> None:
        with to.loop("0", whole, many) as r:
            given, result = at(x, r, terms), at(y, r, width)
            sources = [Row(given, i * terms) for i in range(many)]
            targets = [Row(result, i * width) for i in range(many)]
            next_ = [Row(given, (many + i) * terms) for i in range(many)] if ahead else []
            product.sums(base, sources, targets, first=first, count=count, mask=mask, ahead=next_)
        with to.loop(whole, rows, FEW) as r:
            # Behind the last row comes the last one again.
            some = [to.least(f"add i64 {r}, {i}", last) for i in range(FEW)]
            sources = [Row(at(x, i, terms)) for i in some]
            targets = [Row(at(y, i, width)) for i in some]
            product.sums(base, sources, targets, first=first, count=count, mask=mask)

    size = VECTORS * to.lanes
    groups = width // size
    if groups:
        all_rows("0", VECTORS, None, True)
    if groups > 1:
        with to.loop("1", str(groups), 1) as group:
            all_rows(to.make(f"mul i64 {group}, {size}"), VECTORS, None)
    if rest := width - groups * size:
        count, over = -(-rest // to.lanes), rest % to.lanes
        mask = to.first_lanes(str(over)) if over else None
        all_rows(str(groups * size), count, mask)
    return Lowered(to.module(), [packed(matrix, to.lanes)])


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
