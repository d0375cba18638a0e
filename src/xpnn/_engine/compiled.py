"""Compiled programs: a recorded formula as functions of our own, and NumPy's products of many rows between them."""

import copy
import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import machine, tuning
from xpnn._engine.emitter import CannotBeLoweredError
from xpnn._engine.lowering import (
    ARRAYS,
    LENGTH,
    MANY_COLUMNS,
    OUTER,
    ROWS,
    SCRATCH,
    STRIDE,
    TARGET,
    Formula,
    Lowered,
    lower,
)
from xpnn._engine.recorder import (
    Input,
    Traced,
    abstract_value,
    compiling,
    in_order,
    recorded_in,
    value_of,
    varies,
)
from xpnn._engine.stages import is_product


class _Function(NamedTuple):
    """Values that one function computes of others."""

    lowered: Lowered
    compiled: machine.Function
    inputs: Sequence[Traced]
    results: Sequence[Traced]


class _Product(NamedTuple):
    """Rows times a matrix, by the BLAS."""

    inputs: Sequence[Traced]
    results: Sequence[Traced]
    matrix: Values


class CompiledTrace:
    """A formula recorded for arrays of this shape and dtype, of one input; at most as many rows run.

    CannotBeLoweredError if it is more than there are instructions for.
    """

    def __init__(
        self,
        formula: Callable[[Traced], Traced],
        shape: tuple[int, ...],
        dtype: Any,
        *,
        columns: bool = False,
    ) -> None:
        # Numbers that are rows by themselves are computed as the columns of one row are.
        self.columns = columns or len(shape) == 1
        axis = -1 if self.columns else 0
        self.rows = self._recorded = shape[axis]
        # A few rows stand for all: what is recorded is computed, if on zeros.
        few, self._traced = list(shape), min(self.rows, MANY_COLUMNS + 1)
        few[axis] = self._traced
        self.given = Input(abstract_value(tuple(few), dtype))
        token = compiling.set(True)
        try:
            with np.errstate(all="ignore"):
                self.made = formula(self.given)
        finally:
            compiling.reset(token)
        if self.made is self.given or not varies(self.made):
            raise CannotBeLoweredError("nothing to compute")
        self.length = shape[0 if self.columns else -1] if len(shape) == 2 else 0
        order = [x for x in in_order(self.made) if x.operation is not None]
        products = (value_of(x.inputs[1]) for x in order if is_product(x))
        self._work = sum(int(np.size(matrix)) for matrix in products)
        """Multiplications of one row."""
        self.parts = self._parts(order)
        self._last = {id(x): n for n, part in enumerate(self.parts) for x in part.inputs}
        self.sizes: list[int]
        """Bytes of each buffer; the last one is scratch memory."""
        self.buffers: dict[int, int]
        """For each value, by its id: the number of its buffer."""
        self.choose_buffers(self.rows)

    def _parts(self, order: list[Traced]) -> list[_Function | _Product]:
        products = list(filter(is_product, order))
        if self._is_row_by_row(self.rows):
            return [self._function([self.given], order, [self.made])]
        after: dict[int, int] = {id(self.given): 0}
        """Behind how many products a value comes."""
        for x in order:
            before = max(after[id(a)] for a in recorded_in(x.inputs))
            after[id(x)] = before + is_product(x)
        parts: list[_Function | _Product] = []
        for number in range(after[id(self.made)] + 1):
            parts += [
                _Product(x.inputs[:1], [x], np.asarray(value_of(x.inputs[1])))
                for x in products
                if after[id(x)] == number
            ]
            own = [x for x in order if after[id(x)] == number and not is_product(x)]
            here = set(map(id, own))
            inputs = {id(a): a for x in own for a in recorded_in(x.inputs) if id(a) not in here}
            asked = {id(a) for x in order if id(x) not in here for a in recorded_in(x.inputs)}
            results = [x for x in own if id(x) in asked or x is self.made]
            if results:
                parts.append(self._function(list(inputs.values()), own, results))
        return parts

    def _function(
        self, inputs: Sequence[Traced], order: Sequence[Traced], results: Sequence[Traced]
    ) -> _Function:
        open_length = self.length if not any(is_product(x) for x in order) else None
        formula = Formula(inputs, order, results, self._traced, self.columns, open_length)
        try:
            lowered = lower(formula)
        except CannotBeLoweredError:
            lowered = lower(formula._replace(length=None))
        try:
            return _Function(lowered, machine.compiled(lowered.text), inputs, results)
        except RuntimeError as error:  # what LLVM does not take, NumPy computes
            raise CannotBeLoweredError(str(error)) from None

    def _is_row_by_row(self, rows: int) -> bool:
        return rows * self._work <= (tuning.PACKED if rows == 1 else tuning.ROW_BY_ROW)

    def resized(self, rows: int) -> "CompiledTrace | None":
        """Return the trace of as many rows, which share all functions; None where those are others."""
        alike = self._is_row_by_row(rows) == self._is_row_by_row(self._recorded)
        few = [n <= MANY_COLUMNS for n in (rows, self._recorded)] if self.columns else [True, True]
        if not alike or few[0] != few[1] or 1 in {rows, self._recorded}:
            return None
        other = copy.copy(self)
        other.choose_buffers(rows)
        return other

    def shape(self, x: Traced) -> tuple[int, ...]:
        """Return the shape of a value of as many rows."""
        return (*x.shape[:-1], self.rows) if self.columns else (self.rows, *x.shape[1:])

    def choose_buffers(self, rows: int) -> None:
        """Find the buffers that as many rows need."""
        self.rows, self.sizes, self.buffers = rows, [], {}
        free: dict[int, list[int]] = {}

        def take(x: Traced) -> None:
            size = max(math.prod(self.shape(x)) * x.dtype.itemsize, 1)
            idle = free.get(size)
            if idle and x is not self.made:
                self.buffers[id(x)] = idle.pop()
                return
            self.sizes.append(size)
            self.buffers[id(x)] = len(self.sizes) - 1

        take(self.given)
        scratch = 0
        for n, part in enumerate(self.parts):
            for x in part.results:
                take(x)
            if isinstance(part, _Function):
                padded = self.length + tuning.LINE
                scratch = max(scratch, part.lowered.fixed + part.lowered.growing * padded)
            for x in part.inputs:
                if self._last[id(x)] == n and x is not self.given:
                    size = self.sizes[self.buffers[id(x)]]
                    free.setdefault(size, []).append(self.buffers[id(x)])
        self.sizes.append(scratch + tuning.LINE)

    @property
    def is_one_function(self) -> bool:
        """Whether nothing but one function computes it."""
        return len(self.parts) == 1 and isinstance(self.parts[0], _Function)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers together."""
        return sum(self.sizes)

    def program(self, take: Callable[[int], Values]) -> "CompiledProgram":
        """Lay it out in memory, of which `take(bytes)` gives pieces."""
        return CompiledProgram(self, [take(size) for size in self.sizes])


class _Call(NamedTuple):
    """A function, and the frame that it is called with."""

    function: machine.Function
    frame: Any
    reads: list[int]
    """Where in it the address of the program's input is."""
    writes: list[int]
    """Where that of the result is."""


class CompiledProgram:
    """A recorded formula in memory of its own, for any rows up to as many as it was recorded for."""

    def __init__(self, trace: CompiledTrace, memory: list[Values]) -> None:
        self._axis = -1 if trace.columns else 0
        self._rows = trace.rows
        self._kept: list[Any] = [memory, trace]
        self._steps: list[_Call | tuple[Values, Values, Values]] = []
        """Functions, and products as the BLAS takes them."""
        arrays: dict[int, Values] = {}

        def array(x: Traced) -> Values:
            if id(x) not in arrays:
                shape = trace.shape(x)
                raw = memory[trace.buffers[id(x)]][: math.prod(shape) * x.dtype.itemsize]
                arrays[id(x)] = raw.view(x.dtype).reshape(shape)
            return arrays[id(x)]

        self.input, self.result = array(trace.given), array(trace.made)
        scratch = _address(memory[-1])
        for part in trace.parts:
            if isinstance(part, _Product):
                (a,), (y,) = part.inputs, part.results
                self._steps.append((array(a), part.matrix, array(y)))
                continue
            given = [*part.inputs, *part.results]
            head = [0] * ARRAYS
            head[ROWS], head[LENGTH], head[OUTER] = trace.rows, trace.length, 1
            head[STRIDE] = head[TARGET] = trace.rows
            head[SCRATCH] = -(-scratch // tuning.LINE) * tuning.LINE
            addresses = map(_address, [*map(array, given), *part.lowered.constants])
            numbers = [*head, *addresses]
            reads = [i for i, x in enumerate(given, ARRAYS) if x is trace.given]
            writes = [i for i, x in enumerate(given, ARRAYS) if x is trace.made]
            frame = (ctypes.c_int64 * len(numbers))(*numbers)
            self._steps.append(_Call(part.compiled, frame, reads, writes))

    def run(self, x: Values) -> Values:
        """Return a new result for x, of the rows of the input or fewer."""
        count = x.shape[self._axis]
        if count == self._rows and x.nbytes <= tuning.COPIED:
            self.input[...] = x
            for step in self._steps:
                if isinstance(step, _Call):
                    step.function.call(ctypes.addressof(step.frame))
                else:
                    np.matmul(*step)
            return self.result.copy()
        shape = list(self.result.shape)
        shape[self._axis] = count
        y = np.empty(shape, self.result.dtype)
        self.run_into(y, x)
        return y

    def run_into(self, y: Values, x: Values) -> None:
        """Write the result for x to y, where they lie if their rows do in one piece."""
        x = x if self._is_in_place(x) else np.ascontiguousarray(x)
        out = y if self._is_in_place(y) else np.empty(y.shape, y.dtype)
        count = x.shape[self._axis]
        strides = [a.strides[0] // a.itemsize if a.ndim == 2 else count for a in (x, out)]
        for step in self._steps:
            if isinstance(step, _Call):
                # A frame of this call's own: an interrupt leaves that of the program as it is.
                frame = type(step.frame).from_buffer_copy(step.frame)
                frame[ROWS], (frame[STRIDE], frame[TARGET]) = count, strides
                for places, at in ((step.reads, x), (step.writes, out)):
                    for i in places:
                        frame[i] = _address(at)
                step.function.call(ctypes.addressof(frame))
                continue
            a, b, c = step
            a = x if a is self.input else a[:count]
            np.matmul(a, b, out if c is self.result else c[:count])
        if out is not y:
            y[...] = out

    def only_call(self) -> tuple[Callable[..., Any], Any]:
        """Return the only function that computes the result of the input, and what it takes."""
        (step,) = self._steps
        assert isinstance(step, _Call)  # noqa: S101 -- of a trace that is one function
        return step.function.call, ctypes.addressof(step.frame)

    def _is_in_place(self, a: Values) -> bool:
        if not a.flags.aligned:
            return False
        if self._axis == 0 or a.ndim == 1:
            return bool(a.flags.c_contiguous)
        return a.strides[-1] == a.itemsize and a.strides[0] % a.itemsize == 0


_HEAD = object.__basicsize__
_pointer_at = ctypes.c_void_p.from_address


def _slowly(a: Values) -> int:
    return int(a.__array_interface__["data"][0])


def _quickly(a: Values) -> int:
    return _pointer_at(id(a) + _HEAD).value or 0


# Where an array's address lies is part of NumPy's interface for C, behind what every object has.
_array = np.empty(1)
_address = (
    _quickly
    if sys.implementation.name == "cpython" and _quickly(_array) == _slowly(_array)
    else _slowly
)
