"""Lowering: a recorded formula as one function that computes row after row, or lanes of columns."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import frames, machine
from xpnn._engine.elements import Elements
from xpnn._engine.emitter import CannotBeLoweredError, Emitter, Lanes
from xpnn._engine.frames import (
    ARRAYS,
    LENGTH,
    OUTER,
    ROWS,
    SCRATCH,
    STRIDE,
    TARGET,
    Lowered,
)
from xpnn._engine.products import Product, packed
from xpnn._engine.recorder import Traced, recorded_in, value_of
from xpnn._engine.reductions import Reduction
from xpnn._engine.stages import REDUCTIONS, Stages, is_product, matrix_of

MANY_COLUMNS = 32
"""Columns from which on pieces are that long; a vector has 16 numbers at most."""
NARROW = (0.5, 1.5)
"""Vectors up to which a row is narrow: lanes are rows then, not its elements; more where these are reduced."""
PIECE = 4
"""Vectors of columns that are computed at the same time."""
BLOCK, LEVELS = 16, 4
"""Terms that a lane adds before it adds them to those before, blocks of these, and so on: errors grow with the
length as little as where pairs are added, up to BLOCK**LEVELS terms of a lane.
"""


class Formula(NamedTuple):
    """What is lowered: values, from those that are given to those that are asked for."""

    inputs: Sequence[Traced]
    order: Sequence[Traced]
    results: Sequence[Traced]
    rows: int
    """Rows that it was recorded for."""
    columns: bool = False
    """Whether the axis of rows is the last one."""
    length: int | None = None
    """The elements of a row that stand for any number of them."""


def lower(formula: Formula) -> Lowered:
    """Return the text of a formula; CannotBeLoweredError if there are no instructions for it."""
    return _Lowering(formula).lowered()


class _Lowering:
    def __init__(self, formula: Formula) -> None:
        self._formula, self._columns = formula, formula.columns
        self._stages = Stages(formula.inputs, formula.order, formula.rows, columns=formula.columns)
        self._values = [*formula.inputs, *formula.order]
        size = max(x.dtype.itemsize for x in self._values)
        lanes = machine.vector_bytes() // size
        self._across = self._columns or self._is_narrow(lanes)
        """Whether lanes are columns, or rows."""
        # Columns are read piece by piece, row after row: pieces of a few lines of the cache.
        wide = formula.rows > MANY_COLUMNS and any(map(self._stages.length, self._values))
        self._to = Emitter(lanes * PIECE if self._columns and wide else lanes)
        self._elements = Elements(self._to)
        self._slots: dict[Any, str] = {}
        self._constants: list[Values] = []
        self._fixed = self._growing = 0
        # Of the row that is being written:
        self._numbers: dict[int, Lanes] = {}
        self._places: dict[int, str] = {}
        self._results: list[tuple[Traced, str]] = []
        self._lanes: str | None = None
        """The mask of the lanes that are columns, or rows."""

    def _is_narrow(self, lanes: int) -> bool:
        """Whether rows are so short that each would leave most lanes of a vector without work."""
        formula, lengths = self._formula, map(self._stages.length, self._values)
        names = {x.operation.name for x in formula.order if x.operation}
        least, most = NARROW
        limit = lanes * (most if names & REDUCTIONS.keys() else least)
        return (
            formula.rows > 1 and not any(map(is_product, formula.order)) and max(lengths) <= limit
        )

    def lowered(self) -> Lowered:
        """Write the loop over rows, or over vectors of columns."""
        to, arrays = self._to, [*self._formula.inputs, *self._formula.results]
        rows = self._slot(ROWS)
        bases = [frames.address(self._to, ARRAYS + i) for i in range(len(arrays))]
        buffers = self._buffers()

        def at(places: Sequence[str], index: str, steps: Sequence[Any]) -> list[str]:
            """Return the addresses so many steps further on."""
            offsets = [index if s == 1 else to.make(f"mul i64 {index}, {s}") for s in steps]
            each = zip(places, offsets, arrays, strict=True)
            return [to.pointer(p, offset, x.dtype) for p, offset, x in each]

        lengths = [self._length(x) or 1 for x in arrays]
        if not self._across:
            with to.loop("0", rows, 1) as r:
                self._row(at(bases, r, lengths), buffers, None)
            return Lowered(to.module(), self._constants, self._fixed, self._growing)
        whole = to.first(f"and i64 {rows}, {-to.lanes}")
        rest = to.first(f"sub i64 {rows}, {whole}")

        def vectors(places: Sequence[str], steps: Sequence[Any]) -> None:
            with to.loop("0", whole, to.lanes) as c:
                self._row(at(places, c, steps), buffers, None)
            with to.only_if(to.make(f"icmp sgt i64 {rest}, 0")):
                self._row(at(places, whole, steps), buffers, to.first_lanes(rest))

        if not self._columns:
            vectors(bases, lengths)
        else:
            outer, inputs = self._slot(OUTER), len(self._formula.inputs)
            strides = [self._slot(STRIDE if i < inputs else TARGET) for i in range(len(arrays))]
            pairs = zip(strides, lengths, strict=True)
            steps = [to.first(f"mul i64 {stride}, {n}") for stride, n in pairs]
            with to.loop("0", outer, 1) as o:
                vectors(at(bases, o, steps), [1] * len(arrays))
        return Lowered(to.module(), self._constants, self._fixed, self._growing)

    # The frame

    def _slot(self, i: int) -> str:
        """Return a number of the frame."""
        if i not in self._slots:
            self._slots[i] = frames.slot(self._to, i)
        return self._slots[i]

    def _constant(self, kind: str, a: Values, make: Callable[[Values], Values]) -> str:
        """Return the address of a constant, laid out as it is read."""
        key = (kind, id(a))  # the formula holds the array, so nobody else gets its id
        if key not in self._slots:
            before = len(self._formula.inputs) + len(self._formula.results)
            self._slots[key] = frames.address(self._to, ARRAYS + before + len(self._constants))
            self._constants.append(make(a))
        return self._slots[key]

    def _length(self, x: Traced) -> Any:
        """Return how many elements a row has, as the text says it; 0 for a number."""
        length = self._stages.length(x)
        return self._slot(LENGTH) if length and length == self._formula.length else length

    def _buffers(self) -> dict[int, str]:
        """Return where the values lie that one loop writes and another reads."""
        to, places = self._to, dict[int, str]()
        scratch = frames.address(self._to, SCRATCH)
        for x in self._values:
            if id(x) not in self._stages.kept:
                continue
            nbytes = x.dtype.itemsize * (to.lanes if self._across else 1)
            if (length := self._length(x) or 1) == self._slots.get(LENGTH):
                padded = to.first(f"add i64 {length}, {to.lanes - 1}")
                padded = to.first(f"and i64 {padded}, {-to.lanes}")
                start = to.first(f"mul i64 {padded}, {self._growing}")
                self._growing += nbytes
            else:
                start = str(self._fixed)
                self._fixed += -(-nbytes * -(-length // to.lanes) * to.lanes // 64) * 64
            places[id(x)] = to.first(f"getelementptr i8, ptr {scratch}, i64 {start}")
        if self._fixed and self._growing:
            raise CannotBeLoweredError("rows of two lengths, one of which is open")
        return places

    # One row, or one vector of columns

    def _row(self, places: Sequence[str], buffers: dict[int, str], lanes: str | None) -> None:
        formula, stages = self._formula, self._stages
        n = len(formula.inputs)
        self._places = {**buffers, **dict(zip(map(id, formula.inputs), places[:n], strict=True))}
        self._results = list(zip(map(stages.same, formula.results), places[n:], strict=True))
        self._lanes, self._numbers = lanes, {}
        for x in formula.inputs:
            if not stages.length(x):
                place = self._places[id(x)]
                number = self._to.load(place, x.dtype, wide=self._across, mask=lanes)
                self._know(x, number)
        self._numbers_after(-1)
        for stage in range(stages.last + 1):
            for x in formula.order:
                if is_product(x) and stages.stage(x) == stage:
                    self._product(x)
            loops: dict[int, list[Traced]] = {}
            for x in self._values:
                if stages.stage(x) == stage and (a := self._looped(x)) is not None:
                    loops.setdefault(stages.length(a), []).append(x)
            for values in loops.values():
                self._loop(stage, values)
            self._numbers_after(stage)

    def _looped(self, x: Traced) -> Traced | None:
        """Return the elements that have to be gone over for a value, itself or what it is reduced from."""
        stages = self._stages
        if stages.same(x) is not x:
            return None
        if x.operation and x.operation.name in REDUCTIONS:
            return stages.same(x.inputs[0])
        if not stages.length(x) or (is_product(x) and not self._is_result(x)):
            return None
        return x if id(x) in stages.kept or self._is_result(x) else None

    def _is_result(self, x: Traced) -> bool:
        return any(x is y for y, _ in self._results)

    def _know(self, x: Traced, number: Lanes) -> None:
        """Note a number of the row, and write it out where it is asked for."""
        self._numbers[id(x)] = number
        if id(x) in self._stages.kept:
            self._to.store(number, self._places[id(x)])
        for y, place in self._results:
            if y is x:
                self._to.store(number, place, self._lanes)

    def _numbers_after(self, stage: int) -> None:
        """Compute the numbers that are known after a stage, in order."""
        stages = self._stages
        for x in self._formula.order:
            if stages.numbers.get(id(x)) != stage or stages.same(x) is not x:
                continue
            if id(x) in self._numbers:
                continue
            if id(x) in stages.in_memory:
                origin, start = stages.in_memory[id(x)]
                own = id(origin) in stages.kept
                place = self._at(self._places[id(origin)], str(start), x.dtype, own=own)
                mask = None if own else self._lanes
                step = self._apart(origin)
                number = self._to.load(place, x.dtype, wide=self._across, mask=mask, step=step)
            else:
                number = self._made(x, lambda a: self._numbers[id(stages.same(a))])
            self._know(x, number)

    # One loop

    def _loop(self, stage: int, values: list[Traced]) -> None:
        """Write a loop over elements, all of which it computes, reduces or writes out."""
        to, stages = self._to, self._stages
        reductions = [x for x in values if x.operation and x.operation.name in REDUCTIONS]
        sums = {id(x): Reduction(to, x, LEVELS, across=not self._across) for x in reductions}

        needed = self._needed(stage, values)

        def body(index: str, mask: str | None) -> None:
            here: dict[int, Lanes] = {}

            def element(a: Traced) -> Lanes:
                a = stages.same(a)
                return self._numbers[id(a)] if id(a) in self._numbers else here[id(a)]

            for a in needed:
                if not stages.is_there(a, stage):
                    here[id(a)] = to.widened(self._made(a, element, index))
                    continue
                origin, start = stages.in_memory.get(id(a), (a, 0))
                # Our own memory is as long as whole vectors.
                own = id(origin) in stages.kept
                place = self._at(self._places[id(origin)], index, a.dtype, start, own=own)
                given = None if own and not start else mask or self._lanes
                step = self._apart(origin)
                here[id(a)] = to.load(place, a.dtype, wide=True, mask=given, step=step)
            for x in values:
                if id(x) in sums:
                    sums[id(x)].add(element(x.inputs[0]), mask)
                    continue
                y = element(x)
                if id(x) in stages.kept and not stages.is_there(x, stage):
                    to.store(y, self._at(self._places[id(x)], index, x.dtype, own=True))
                for one, place in self._results:
                    if one is x:
                        at = self._at(place, index, x.dtype, stride=TARGET)
                        to.store(y, at, mask or self._lanes, step=self._apart(x, own=False))

        first = self._looped(values[0])
        assert first is not None  # noqa: S101 -- else there were no loop
        self._over(self._length(first), body, list(sums.values()))
        for x in reductions:
            self._know(x, sums[id(x)].total())

    def _needed(self, stage: int, values: list[Traced]) -> list[Traced]:
        """Return the elements that are read or computed for values, in order."""
        stages, found = self._stages, dict[int, Traced]()
        waiting = [self._looped(x) for x in values]
        while waiting:
            a = waiting.pop()
            assert a is not None  # noqa: S101 -- values have elements
            if a.number in found or id(a) in stages.numbers:
                continue
            found[a.number] = a
            if not stages.is_there(a, stage):
                waiting += map(stages.same, recorded_in(a.inputs))
        return [found[n] for n in sorted(found)]

    def _over(self, count: Any, body: Callable[..., None], sums: Sequence["Reduction"]) -> None:
        """Write a loop over elements; of many, those of a block together."""
        to, step = self._to, 1 if self._across else self._to.lanes
        static = isinstance(count, int)
        whole = str(count // step * step) if static else count
        if not static and step > 1:
            whole = to.make(f"and i64 {count}, {-step}")
        levels = LEVELS - 1 if any(one.rounds for one in sums) else 0
        while static and levels and count <= BLOCK**levels * step:
            levels -= 1

        def blocks(level: int, start: str, stop: str) -> None:
            size = BLOCK**level * step
            with to.loop(start, stop, size) as first:
                if not level:
                    body(first, None)
                    return
                blocks(level - 1, first, to.least(f"add i64 {first}, {size}", stop))
                for one in sums:
                    one.end_block(level - 1)

        if whole != "0":
            blocks(levels, "0", whole)
        if step == 1 or (static and count % step == 0):
            return
        rest = str(count % step) if static else to.make(f"sub i64 {count}, {whole}")
        if static:
            body(whole, to.first_lanes(rest))
            return
        with to.only_if(to.make(f"icmp sgt i64 {rest}, 0")):
            body(whole, to.first_lanes(rest))

    def _at(
        self,
        base: str,
        index: str,
        dtype: Any,
        start: int = 0,
        *,
        own: bool = False,
        stride: int = STRIDE,
    ) -> str:
        """Return the address of elements in an array, or in memory of our own."""
        to = self._to
        at = to.make(f"add i64 {index}, {start}") if start else index
        if self._columns or (self._across and own):
            at = to.make(f"mul i64 {at}, {to.lanes if own else self._slot(stride)}")
        return to.pointer(base, at, dtype)

    def _apart(self, x: Traced, *, own: bool | None = None) -> int:
        """Return how far apart in memory lanes lie: next to each other, unless they are rows of an array."""
        own = id(x) in self._stages.kept if own is None else own
        return 1 if self._columns or not self._across or own else self._stages.length(x) or 1

    # Operations

    def _made(self, x: Traced, given: Callable[[Traced], Lanes], index: str | None = None) -> Lanes:
        """Write the instructions of an operation."""
        assert x.operation is not None  # noqa: S101 -- it was made

        def operand(a: Any) -> Any:
            if isinstance(a, Traced) and self._stages.knows(a):
                return given(a)
            return self._fixed_operand(value_of(a), x, index)

        if x.operation.name == "take":
            if len(x.inputs) != 2:
                raise CannotBeLoweredError("take along an axis")
            table, at = x.inputs
            base = self._constant("as it is", value_of(table), np.ascontiguousarray)
            return self._elements.take(base, len(value_of(table)), operand(at), x.dtype)
        return self._elements.made(x.operation.name, x.dtype, list(map(operand, x.inputs)))

    def _fixed_operand(self, a: Any, x: Traced, index: str | None) -> Any:
        """Return a constant: a number of Python's or NumPy's, or what each element has of its own."""
        if not isinstance(a, np.ndarray):
            return a
        if a.size == 0:
            raise CannotBeLoweredError("a constant without elements")
        if a.tobytes() == a.flat[0].tobytes() * a.size:
            return a.dtype.type(a.flat[0])
        length = self._stages.length(x)
        if index is None or self._columns or a.shape not in ((length,), (1, length)):
            raise CannotBeLoweredError(f"a constant of shape {a.shape}")
        base = self._constant("row", a, self._padded_row)
        place = self._to.pointer(base, index, a.dtype)
        return self._to.load(place, a.dtype, wide=not self._across)

    def _padded_row(self, a: Values) -> Values:
        padded = np.zeros(-(-a.size // self._to.lanes) * self._to.lanes, a.dtype)
        padded[: a.size] = a.reshape(-1)
        return padded

    # Products

    def _product(self, x: Traced) -> None:
        """Write a row times a matrix."""
        to, matrix = self._to, matrix_of(x)
        a = self._stages.same(x.inputs[0])
        origin, start = self._stages.in_memory.get(id(a), (a, 0))
        source = self._places[id(origin)]
        if start:
            source = to.pointer(source, str(start), a.dtype)
        base = self._constant("matrix", matrix, lambda m: packed(m, to.lanes))
        Product(to, x.dtype, *matrix.shape).of_row(base, source, self._places[id(x)])
