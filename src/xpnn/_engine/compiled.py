"""Compiled programs: a recorded formula as functions of our own, that are called for some rows at a time."""

import copy
import ctypes
import math
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import machine, tuning
from xpnn._engine.emitter import CannotBeLoweredError
from xpnn._engine.frames import (
    ARRAYS,
    BLOCK,
    LENGTH,
    MOVES,
    OUTER,
    ROWS,
    SCRATCH,
    STEPS,
    STRIDE,
    TARGET,
    Lowered,
    in_blocks,
)
from xpnn._engine.lowering import MANY_COLUMNS, Formula, lower
from xpnn._engine.products import lower_product
from xpnn._engine.program import new_memory
from xpnn._engine.recorder import (
    Input,
    Traced,
    abstract_value,
    compiling,
    in_order,
    recorded_in,
    varies,
)
from xpnn._engine.stages import is_product, matrix_of

ROWS_AT_LEAST = 48
"""Rows that are computed at a time however long they are: each time, all matrices are read."""


class _Function(NamedTuple):
    """Values that one function computes of others; a product with a matrix is one, too."""

    lowered: Lowered
    compiled: machine.Function
    inputs: Sequence[Traced]
    results: Sequence[Traced]


class _Product(NamedTuple):
    """Rows times a matrix that is too large for a packed copy, or of another dtype, by NumPy."""

    inputs: Sequence[Traced]
    results: Sequence[Traced]
    matrix: Values


def _compiled(lowered: Lowered, inputs: Sequence[Traced], results: Sequence[Traced]) -> _Function:
    try:
        return _Function(lowered, machine.compiled(lowered.text), inputs, results)
    except RuntimeError as error:  # what LLVM does not take, NumPy computes
        raise CannotBeLoweredError(str(error)) from None


class CompiledTrace:
    """A formula recorded for arrays of this shape and dtype, of one input; at most as many rows run.

    CannotBeLoweredError if it is more than there are instructions for, or one operation that is to be left
    to NumPy.
    """

    def __init__(
        self,
        formula: Callable[[Traced], Traced],
        shape: tuple[int, ...],
        dtype: Any,
        *,
        columns: bool = False,
        leave: Collection[str] = (),
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
        if [x.operation.name for x in order if x.operation] in ([name] for name in leave):
            raise CannotBeLoweredError("NumPy's own is faster")
        sizes = [matrix_of(x).size for x in order if is_product(x)]
        self._products, self.work = len(sizes), sum(sizes)
        """Multiplications of one row."""
        self.parts = self._parts(order)
        self._last = {id(x): n for n, part in enumerate(self.parts) for x in part.inputs}
        self.is_one_call = not any(isinstance(part, _Product) for part in self.parts)
        """Whether functions of our own compute it: one, or several that a further one calls."""
        self.row_nbytes = sum(self._chosen(1, 1)[0][:-1])
        """Bytes of a row in all buffers, and where it is read and written."""
        self.sizes: list[int]
        """Bytes of each buffer; the last one is scratch memory."""
        self.buffers: dict[int, int]
        """For each value, by its id: the number of its buffer."""
        self.choose_buffers(self.rows)

    def _parts(self, order: list[Traced]) -> list[_Function | _Product]:
        if self._is_one_function(self.rows):
            return [self._function([self.given], order, [self.made])]
        products = list(filter(is_product, order))
        after: dict[int, int] = {id(self.given): 0}
        """Behind how many products a value comes."""
        for x in order:
            before = max(after[id(a)] for a in recorded_in(x.inputs))
            after[id(x)] = before + is_product(x)
        parts: list[_Function | _Product] = []
        for number in range(after[id(self.made)] + 1):
            parts += [self._product(x) for x in products if after[id(x)] == number]
            own = [x for x in order if after[id(x)] == number and not is_product(x)]
            here = set(map(id, own))
            inputs = {id(a): a for x in own for a in recorded_in(x.inputs) if id(a) not in here}
            asked = {id(a) for x in order if id(x) not in here for a in recorded_in(x.inputs)}
            results = [x for x in own if id(x) in asked or x is self.made]
            if results:
                parts.append(self._function(list(inputs.values()), own, results))
        return parts

    def _product(self, x: Traced) -> _Function | _Product:
        a, matrix = x.inputs[0], matrix_of(x)
        own = x.dtype == a.dtype == matrix.dtype and x.dtype.kind == "f" and x.dtype.itemsize >= 4
        if not own or not 0 < matrix.size <= tuning.PACKED:
            return _Product([a], [x], matrix)
        ahead = a is self.given and len(matrix) * matrix.itemsize >= tuning.AHEAD
        return _compiled(lower_product(matrix, ahead=ahead), [a], [x])

    def _function(
        self, inputs: Sequence[Traced], order: Sequence[Traced], results: Sequence[Traced]
    ) -> _Function:
        open_length = self.length if not any(is_product(x) for x in order) else None
        formula = Formula(inputs, order, results, self._traced, self.columns, open_length)
        try:
            lowered = lower(formula)
        except CannotBeLoweredError:
            lowered = lower(formula._replace(length=None))
        return _compiled(lowered, inputs, results)

    def _is_one_function(self, rows: int) -> bool:
        """Whether products are made within the function of a row."""
        few = self._products <= tuning.PRODUCTS and self.work <= tuning.PACKED
        return not self._products or (rows == 1 and few)

    def resized(self, rows: int) -> "CompiledTrace | None":
        """Return the trace of as many rows, which share all functions; None where those are others."""
        alike = self._is_one_function(rows) == self._is_one_function(self._recorded)
        few = [n <= MANY_COLUMNS for n in (rows, self._recorded)] if self.columns else [True, True]
        if not alike or few[0] != few[1] or 1 in {rows, self._recorded}:
            return None
        other = copy.copy(self)
        other.choose_buffers(rows)
        return other

    def shape(self, x: Traced) -> tuple[int, ...]:
        """Return the shape of a value, of as many rows as are computed at a time."""
        return self._shape(x, self.rows if self.is_end(x) else self.block)

    def is_end(self, x: Traced) -> bool:
        """Whether a value is the input or the result."""
        return x is self.given or x is self.made

    def _shape(self, x: Traced, rows: int) -> tuple[int, ...]:
        return (*x.shape[:-1], rows) if self.columns else (rows, *x.shape[1:])

    def choose_buffers(self, rows: int) -> None:
        """Find the buffers that as many rows need."""
        self.rows = self.block = rows
        if len(self.parts) > 1 and self.is_one_call:
            self.block = min(max(tuning.BLOCK_OF_ROWS // self.row_nbytes, ROWS_AT_LEAST), rows)
        self.sizes, self.buffers = self._chosen(rows, self.block)
        # What is large is read and written where it is given.
        ends = [self.buffers[id(x)] for x in (self.given, self.made)]
        self.is_waiting = max(self.sizes[i] for i in ends) <= tuning.WAITING
        """Whether it has memory of its own for the input and the result."""
        if not self.is_waiting:
            for i in ends:
                self.sizes[i] = 0

    def _chosen(self, rows: int, block: int) -> tuple[list[int], dict[int, int]]:
        sizes, buffers = list[int](), dict[int, int]()
        free: dict[int, list[int]] = {}

        def take(x: Traced, rows: int) -> None:
            size = max(math.prod(self._shape(x, rows)) * x.dtype.itemsize, 1)
            idle = free.get(size)
            if idle and x is not self.made:
                buffers[id(x)] = idle.pop()
                return
            sizes.append(size)
            buffers[id(x)] = len(sizes) - 1

        take(self.given, rows)
        scratch = 0
        for n, part in enumerate(self.parts):
            for x in part.results:
                take(x, rows if x is self.made else block)
            if isinstance(part, _Function):
                padded = self.length + tuning.LINE
                scratch = max(scratch, part.lowered.fixed + part.lowered.growing * padded)
            for x in part.inputs:
                if self._last[id(x)] == n and x is not self.given:
                    free.setdefault(sizes[buffers[id(x)]], []).append(buffers[id(x)])
        return [*sizes, scratch + tuning.LINE], buffers

    @property
    def effort(self) -> int:
        """What a row costs, in multiplications of a product."""
        return self.work + tuning.BYTE * self.row_nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers together."""
        return sum(self.sizes)

    def program(self, take: Callable[[int], Values] = new_memory) -> "CompiledProgram":
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


_Matmul = tuple[Values | None, Values, Values | None]
"""A product as the BLAS takes it; None is the program's input, or its result."""


class CompiledProgram:
    """A recorded formula in memory of its own, for any rows up to as many as it was recorded for."""

    def __init__(self, trace: CompiledTrace, memory: list[Values]) -> None:
        self._axis = -1 if trace.columns else 0
        self._rows = trace.rows
        self._is_brief = trace.rows * trace.effort <= tuning.BRIEF
        self._kept: list[Any] = [memory, trace]
        arrays: dict[int, Values | None] = {}

        def array(x: Traced) -> Values | None:
            if trace.is_end(x) and not trace.is_waiting:
                return None
            if id(x) not in arrays:
                shape = trace.shape(x)
                raw = memory[trace.buffers[id(x)]][: math.prod(shape) * x.dtype.itemsize]
                arrays[id(x)] = raw.view(x.dtype).reshape(shape)
            return arrays[id(x)]

        self.input, self.result = array(trace.given), array(trace.made)
        self._shape, self._dtype = trace.shape(trace.made), trace.made.dtype
        scratch = -(-_address(memory[-1]) // tuning.LINE) * tuning.LINE
        self._steps: list[_Call | _Matmul] = []
        for part in trace.parts:
            if isinstance(part, _Product):
                (a,), (y,) = part.inputs, part.results
                ends = [None if trace.is_end(x) else array(x) for x in (a, y)]
                self._steps.append((ends[0], part.matrix, ends[1]))
                continue
            given = [*part.inputs, *part.results]
            head = [0] * ARRAYS
            head[ROWS], head[LENGTH], head[OUTER] = trace.rows, trace.length, 1
            head[STRIDE] = head[TARGET] = trace.rows
            head[SCRATCH] = scratch
            for i, number in part.lowered.numbers.items():
                head[i] = number
            frame = _frame(head, [*map(array, given), *part.lowered.constants])
            reads = [i for i, x in enumerate(given, ARRAYS) if x is trace.given]
            writes = [i for i, x in enumerate(given, ARRAYS) if x is trace.made]
            self._steps.append(_Call(part.compiled, frame, reads, writes))
        calls = [step for step in self._steps if isinstance(step, _Call)]
        if trace.is_one_call and len(calls) > 1:
            self._kept.append(calls)
            self._steps = [self._in_blocks(trace, calls)]

    def _in_blocks(self, trace: CompiledTrace, calls: list[_Call]) -> _Call:
        """Return the call of all functions, for one block of rows after the other."""
        moves: list[int] = []
        for call in calls:
            ends = ((trace.given, call.reads), (trace.made, call.writes))
            for end, (x, places) in enumerate(ends):
                for i in places:
                    place = ctypes.addressof(call.frame) + i * ctypes.sizeof(ctypes.c_int64)
                    step = math.prod(x.shape[1:]) * x.dtype.itemsize
                    moves += place, ARRAYS + end, step
        head = [0] * ARRAYS
        head[ROWS], head[BLOCK] = trace.rows, trace.block
        head[STEPS], head[MOVES] = len(calls), len(moves) // 3
        steps = (n for call in calls for n in (call.function.address, ctypes.addressof(call.frame)))
        frame = _frame(head, [self.input, self.result], [*steps, *moves])
        return _Call(machine.compiled(in_blocks()), frame, [ARRAYS], [ARRAYS + 1])

    def run(self, x: Values) -> Values:
        """Return a new result for x, of the rows of the input or fewer."""
        count = x.shape[self._axis]
        given, result = self.input, self.result
        if (
            given is not None
            and result is not None
            and count == self._rows
            and x.nbytes <= tuning.COPIED
        ):
            given[...] = x
            for step in self._steps:
                if isinstance(step, _Call):
                    step.function.call(ctypes.addressof(step.frame))
                else:
                    self._multiply(step, given, result)
            return result.copy()
        shape = list(self._shape)
        shape[self._axis] = count
        y = np.empty(shape, self._dtype)
        self.run_into(y, x)
        return y

    def run_into(self, y: Values, x: Values) -> None:
        """Write the result for x to y, where they lie if their rows do in one piece."""
        x = x if self._is_in_place(x) else np.ascontiguousarray(x)
        out = y if self._is_in_place(y) else np.empty(y.shape, y.dtype)
        count = x.shape[self._axis]
        strides = [a.strides[0] // a.itemsize if a.ndim == 2 else count for a in (x, out)]
        for step in self._steps:
            if not isinstance(step, _Call):
                self._multiply(step, x, out)
                continue
            # A frame of this call's own: an interrupt leaves that of the program as it is.
            frame = type(step.frame).from_buffer_copy(step.frame)
            frame[ROWS], (frame[STRIDE], frame[TARGET]) = count, strides
            for places, at in ((step.reads, x), (step.writes, out)):
                for i in places:
                    frame[i] = _address(at)
            step.function.call(ctypes.addressof(frame))
        if out is not y:
            y[...] = out

    @staticmethod
    def _multiply(product: _Matmul, x: Values, y: Values) -> None:
        a, matrix, out = product
        count = len(x)
        np.matmul(x if a is None else a[:count], matrix, y if out is None else out[:count])

    def only_call(self) -> tuple[Callable[..., Any], Any]:
        """Return the only function that computes the result of the input, and what it takes."""
        (step,) = self._steps
        assert isinstance(step, _Call)  # noqa: S101 -- of a trace that is one call
        function = step.function.brief if self._is_brief else step.function.call
        return function, ctypes.addressof(step.frame)

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


def _frame(
    head: list[int], arrays: Sequence[Values | None], numbers: Sequence[int] = ()
) -> ctypes.Array[ctypes.c_int64]:
    """Return the frame of these numbers and addresses; 0 where an array is not known yet."""
    addresses = (0 if a is None else _address(a) for a in arrays)
    values = [*head, *addresses, *numbers]
    return (ctypes.c_int64 * len(values))(*values)
