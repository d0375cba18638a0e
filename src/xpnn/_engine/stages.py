"""Stages: in which of a row's loops each value of a recorded formula is computed.

A row is computed in loops over its elements. What needs nothing but elements, and numbers that were known
before, shares a loop; a reduction is known after the loop of its input, and a product with a matrix starts
when all of its input is there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine.emitter import CannotBeLoweredError
from xpnn._engine.recorder import Traced, value_of, varies

REDUCTIONS = {
    "max": "maximum",
    "min": "minimum",
    "sum": "add",
    "any": "logical_or",
    "all": "logical_and",
}
"""What combines the elements of each."""
ALIASES = frozenset(("reshape", "item", "squeeze", "expand_dims"))
"""Operations whose result is a part of their input, or all of it in another shape."""


def is_product(x: Traced) -> bool:
    """Whether a value is a row times a matrix."""
    return x.operation is not None and x.operation.name == "matmul"


def matrix_of(x: Traced) -> Values:
    """Return the matrix of a product of rows and a matrix; CannotBeLoweredError if it is one of others."""
    a, b = x.inputs
    if not varies(a) or varies(b) or a.ndim != 2 or np.ndim(value_of(b)) != 2:
        raise CannotBeLoweredError("a product that is not one of rows and a matrix")
    return np.asarray(value_of(b))


class Stages:
    """The stage of each value: a number of a row in `numbers`, a number for each element in `elements`.

    `rows` is how many the formula was recorded for, on the last axis with `columns`, otherwise on the first.
    """

    def __init__(
        self, inputs: Sequence[Traced], order: Sequence[Traced], rows: int, *, columns: bool
    ) -> None:
        self._rows, self._columns = rows, columns
        self._same: dict[int, Traced] = {}
        self.numbers: dict[int, int] = {}
        """After which stage a number is known; -1 if it is given."""
        self.elements: dict[int, int] = {}
        """In which stage elements can be read first."""
        self.in_memory: dict[int, tuple[Traced, int]] = {}
        """What is read from memory: that of which value, and from which element on."""
        self.kept: set[int] = set()
        """Values that are written to memory of their own, to be read in another loop."""
        for x in inputs:
            self.in_memory[id(x)] = (x, 0)
            if self.length(x):
                self.elements[id(x)] = 0
            else:
                self.numbers[id(x)] = -1
        for x in order:
            self._place(x)
        self.last = max([*self.numbers.values(), *self.elements.values()])

    def length(self, x: Traced) -> int:
        """Return how many elements a row has; 0 if it is one number."""
        shape = x.shape[::-1] if self._columns else x.shape
        if shape in ((self._rows,), (self._rows, 1)):
            return 0
        if len(shape) == 2 and shape[0] == self._rows:
            return int(shape[1])
        raise CannotBeLoweredError(f"an array of shape {x.shape} for {self._rows} rows")

    def same(self, x: Traced) -> Traced:
        """Return the value that another one is in another shape, or that itself."""
        return self._same.get(id(x), x)

    def stage(self, x: Traced) -> int | None:
        """Return in which stage a value is computed; None for one that is another."""
        return self.elements.get(id(x), self.numbers.get(id(x)))

    def is_there(self, x: Traced, stage: int) -> bool:
        """Whether elements are read from memory in a stage, not computed."""
        return id(x) in self.in_memory or self.elements[id(x)] < stage

    def knows(self, a: Any) -> bool:
        """Whether something is a value of the formula, not a constant."""
        return isinstance(a, Traced) and self.stage(self.same(a)) is not None

    def _place(self, x: Traced) -> None:
        assert x.operation is not None  # noqa: S101 -- what is given has its place
        name = x.operation.name
        if any(isinstance(a, list | tuple) and varies(a) for a in x.inputs):
            raise CannotBeLoweredError(f"{name} of several arrays")
        given = [self.same(a) for a in x.inputs if varies(a)]
        if name in ALIASES:
            self._alias(x, given[0])
        elif is_product(x):
            self._product(x, given)
        elif name in REDUCTIONS:
            self._reduction(x, given[0])
        elif self.length(x):
            stage = self.elements[id(x)] = max(self._readable(a, self.length(x)) for a in given)
            for a in given:
                if self.elements.get(id(a), stage) != stage:  # read in another loop than its own
                    self._keep(a)
        else:
            if any(id(a) in self.elements for a in given):
                raise CannotBeLoweredError(f"{name} along an axis")
            self.numbers[id(x)] = max(self.numbers[id(a)] for a in given)

    def _readable(self, a: Traced, length: int) -> int:
        """Return the first stage in which a value can be read by element."""
        if id(a) in self.numbers:
            return self.numbers[id(a)] + 1
        if self.length(a) != length:
            raise CannotBeLoweredError(f"{self.length(a)} elements beside {length}")
        return self.elements[id(a)]

    def _keep(self, a: Traced) -> None:
        """Have a value written to memory, where it is not."""
        if id(a) not in self.in_memory:
            self.kept.add(id(a))

    def _reduction(self, x: Traced, a: Traced) -> None:
        if a.dtype.kind not in "fib" or (a.dtype.itemsize < 4 and a.dtype.kind != "b"):
            raise CannotBeLoweredError(f"a reduction of {a.dtype}")
        if id(a) in self.numbers:
            if self.length(x) or x.value.size != a.value.size or x.dtype != a.dtype:
                raise CannotBeLoweredError("a reduction of all rows")
            self._same[id(x)] = a
        elif self.length(x) or x.value.size != self._rows or x.dtype != a.dtype:
            raise CannotBeLoweredError("a reduction along the axis of rows")
        else:
            self.numbers[id(x)] = self.elements[id(a)]

    def _alias(self, x: Traced, a: Traced) -> None:
        start = self._start(x, a)
        if x.value.size == a.value.size and self.length(x) == self.length(a):
            self._same[id(x)] = a
            return
        if id(a) in self.numbers:
            raise CannotBeLoweredError("a part of the rows")
        stage = self.elements[id(a)]
        if id(a) not in self.in_memory:
            self._keep(a)
            stage += 1
        origin, before = self.in_memory.get(id(a), (a, 0))
        self.in_memory[id(x)] = (origin, before + start)
        if self.length(x):
            self.elements[id(x)] = stage
        else:
            self.numbers[id(x)] = stage - 1

    def _start(self, x: Traced, a: Traced) -> int:
        """Return from which element of a row on x is a part of it."""
        assert x.operation is not None  # noqa: S101 -- it was made
        if not x.operation.is_view and x.value.size != a.value.size:
            raise CannotBeLoweredError(f"{x.operation.name} of a part")
        # A few rows stand for all, as each has its place.
        few, shape = min(self._rows, 3), list(a.shape)
        shape[-1 if self._columns else 0] = few
        where = np.arange(np.prod(shape)).reshape(shape)
        if not x.operation.is_view:
            return 0
        taken = x.operation.steps(where)
        if self._columns:
            where, taken = where.T, taken.T
        if taken.shape[:1] != (few,):
            raise CannotBeLoweredError("a part of the rows")
        where, taken = where.reshape(few, -1), taken.reshape(few, -1)
        start = int(np.searchsorted(where[0], taken[0, 0]))
        if not np.array_equal(taken, where[:, start : start + taken.shape[1]]):
            raise CannotBeLoweredError("a part of a row that is not in one piece")
        return start

    def _product(self, x: Traced, given: Sequence[Traced]) -> None:
        matrix, (a,) = matrix_of(x), given
        if self._columns:
            raise CannotBeLoweredError("a product of columns")
        if len({x.dtype, a.dtype, matrix.dtype}) > 1 or x.dtype.kind != "f" or not matrix.shape[1]:
            raise CannotBeLoweredError(f"a product of {a.dtype} that gives {x.dtype}")
        stage = (self.numbers[id(a)] if id(a) in self.numbers else self.elements[id(a)]) + 1
        self._keep(a)
        self.in_memory[id(x)] = (x, 0)
        self.kept.add(id(x))
        if self.length(x):
            self.elements[id(x)] = stage
        else:
            self.numbers[id(x)] = stage
