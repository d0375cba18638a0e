"""Formulas of many rows in tiles that stay in the cache, on as many threads as the BLAS would use."""

import contextlib
import contextvars
import itertools
import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import machine, tuning
from xpnn._engine.compiled import CompiledProgram, CompiledTrace
from xpnn._engine.emitter import CannotBeLoweredError
from xpnn._engine.program import Program, Trace
from xpnn._engine.recorder import Traced
from xpnn._execution.threads import in_tiles, with_one_blas_thread

AnyTrace = Trace | CompiledTrace
AnyProgram = Program | CompiledProgram


class _Workspace:
    """Memory that programs work in, one after the other, and a context where NumPy does not warn."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.nbytes = 0
        self.context = contextvars.Context()
        self.context.run(np.seterr, all="ignore")
        self._blocks: list[Values] = []
        self._users: weakref.WeakSet[Tiled] = weakref.WeakSet()

    def program(self, trace: AnyTrace, user: "Tiled") -> AnyProgram:
        """Lay a trace out in all the memory there is, and in more where that is too little."""
        self._users.add(user)
        blocks, begin = iter(self._blocks), 0
        block = next(blocks, None)

        def take(size: int) -> Values:
            nonlocal block, begin
            while block is not None and begin + size > block.size:
                block, begin = next(blocks, None), 0
            if block is None:
                block, begin = np.empty(max(size, tuning.BLOCK), np.uint8), 0
                self._blocks.append(block)
                self.nbytes += block.size
            piece = block[begin : begin + size]
            begin += -(-size // tuning.LINE) * tuning.LINE
            return piece

        return trace.program(take)

    def give_back(self) -> None:
        """Let go of the memory, with the programs in it."""
        for user in list(self._users):
            user.forget(self.number)


_numbers = itertools.count()
_idle: list[_Workspace] = []
_nbytes = operator.attrgetter("nbytes")


def _give_back_one() -> None:
    """Give the memory back that waited longest."""
    with contextlib.suppress(IndexError):  # another thread took it
        _idle.pop(0).give_back()


class Tiled:
    """A formula of rows, whatever the others hold, or of columns, on NumPy's arrays.

    Recorded for every small number of rows, and where no product is made for the first few large ones; then
    for 1, 2, 4, ..., as many as the cache holds, and for some between where that is little. What is missing to
    such a number are rows of some call before, whose results are dropped.
    `cache` is the number of bytes that the buffers of a tile may have, `least` that from which on
    threads pay. `product` is the size of the largest matrix that rows are multiplied by. What is recorded
    is kept, and laid out once in each workspace; all programs share the memory of these.
    """

    def __init__(
        self,
        formula: Callable[[Traced], Traced],
        cache: int,
        least: int,
        *,
        columns: bool = False,
        transposed: bool = False,
        product: int = 0,
    ) -> None:
        self._formula, self._cache, self._least = formula, cache, least
        self._product = product
        self._axis, self._transposed = -1 if columns else 0, transposed
        self._traces: dict[int, AnyTrace] = {}
        self._programs: dict[tuple[int, int], AnyProgram] = {}
        self._limits: tuple[int, int, bool] | None = None
        self._calls_blas = True
        """Whether products may be the BLAS's: as long as nothing was recorded, too."""
        self._like: Values | None = None
        """What has the other axes of a result, and its dtype."""

    def trace(self, x: Values) -> AnyTrace | None:
        """Return what was recorded for as many rows as x has, if that was, or can be had of what was."""
        count = x.shape[self._axis]
        return self._traces.get(count) or self._resized(count)

    def forget(self, workspace: int) -> None:
        """Drop the programs that were laid out in a workspace."""
        for key in list(self._programs):
            if key[0] == workspace:
                self._programs.pop(key, None)

    def __call__(self, x: Values) -> Values:
        """Return the rows of the formula for an array of shape (rows, ...).

        With `columns`, those for one of shape (..., columns). Where it is `transposed`, x is the
        transpose of an array, and the result lies in memory as that does.
        """
        hold = self.hold(x)
        return self._computed(x) if hold is None else hold(self._computed, x)

    def hold(self, x: Values) -> Callable[..., Any] | None:
        """Return what holds the BLAS to one thread for rows like these, if it would take more."""
        # It takes one for less: for a row by a matrix, and for a product of matrices.
        work = self._product * x.shape[0]
        more = self._product > tuning.VECTOR or work > tuning.MATRIX
        return with_one_blas_thread if self._calls_blas and more else None

    def _computed(self, x: Values) -> Values:
        count = x.shape[self._axis]
        if count <= 1:
            return self._run(x, count, 1)
        little = x.nbytes <= tuning.LITTLE and count * self._product <= tuning.WORK
        if little and not self._transposed:
            return self._run(x, count, self._rounded_up(count, count))
        if self._limits is None:
            self._limits = self._measured(x)
        shortest, largest, compiled = self._limits
        if count <= shortest and not self._transposed:
            return self._run(x, count, self._rounded_up(count, shortest))
        y = self._result_for(count)

        def run(part: slice) -> None:
            at = self._at(part)
            some = part.stop - part.start
            self._run(x[at], some, self._rounded_up(some, shortest), y[at])

        in_tiles(run, count, shortest, largest, alike=compiled)
        return y

    def _run(self, x: Values, count: int, size: int, y: Values | None = None) -> Values:
        try:
            workspace = _idle.pop()
        except IndexError:  # all are at work on other threads
            workspace = _Workspace()
        try:
            return workspace.context.run(self._compute, workspace, x, count, size, y)
        finally:
            _idle.append(workspace)
            while sum(map(_nbytes, _idle)) > tuning.IDLE:
                _give_back_one()

    def _compute(
        self, workspace: _Workspace, x: Values, count: int, size: int, y: Values | None
    ) -> Values:
        key = (workspace.number, size)
        program = self._programs.get(key)
        if program is None:
            trace = self._traces.get(size)
            if trace is None:
                trace = self._traces[size] = self._record(x, size)
            program = self._programs[key] = workspace.program(trace, self)
        if count == size or isinstance(program, CompiledProgram):
            if y is None:
                return program.run(x)
            program.run_into(y, x)
            return y
        some = self._at(slice(0, count))
        program.input[some] = x
        program()
        result = program.result[some]
        if y is None:
            return np.array(result)
        y[...] = result
        return y

    def _record(self, x: Values, size: int) -> AnyTrace:
        shape = (size, *x.shape[1:]) if self._axis == 0 else (*x.shape[:-1], size)
        found = self._resized(size)
        if found is not None:
            return found
        trace: AnyTrace | None = None
        if machine.is_there():
            with contextlib.suppress(CannotBeLoweredError):
                columns, leave = self._axis != 0, tuning.LEFT
                trace = CompiledTrace(self._formula, shape, x.dtype, columns=columns, leave=leave)
        if trace is None:
            trace = Trace(self._formula, shape, x.dtype)
        before = self._calls_blas and bool(self._traces)
        self._calls_blas = before or isinstance(trace, Trace) or not trace.is_one_call
        return trace

    def _resized(self, size: int) -> CompiledTrace | None:
        for trace in list(self._traces.values()):
            found = trace.resized(size) if isinstance(trace, CompiledTrace) else None
            if found is not None:
                return found
        return None

    def _at(self, part: slice) -> Any:
        return part if self._axis == 0 else (..., part)

    def _measured(self, x: Values) -> tuple[int, int, bool]:
        """Return the least and most rows of a tile, and whether programs take any number of them."""
        some = min(
            max(2**16 * x.shape[self._axis] // x.size, 2), tuning.SOME
        )  # one needs fewer buffers
        trace = self._traces[some] = self._record(x, some)
        self._like, least = trace.made.value, self._least
        if isinstance(trace, CompiledTrace):
            each, least = trace.row_nbytes, tuning.WORK // trace.effort
        else:
            each = -(-trace.nbytes // some)
            least //= each
        most = max(self._cache // each, 1)
        return max(least, 1), 1 << most.bit_length() - 1, isinstance(trace, CompiledTrace)

    def _result_for(self, count: int) -> Values:
        like = self._like
        assert like is not None  # noqa: S101 -- it was measured
        shape = (count, *like.shape[1:]) if self._axis == 0 else (*like.shape[:-1], count)
        return np.empty(shape, like.dtype, "F" if self._transposed else "C")

    def _rounded_up(self, count: int, shortest: int) -> int:
        """Return the rows of the program for so many: their number, or one of few, so that few are made."""
        # The BLAS may give a row other last digits beside more rows: what was called before is not to decide.
        known = count in self._traces or len(self._traces) < tuning.SIZES
        if count <= tuning.EXACT or (known and not self._product):
            return count
        # Few rows: three binary digits of their number; many: one.
        unit = (
            1 << max(count.bit_length() - 3, 0)
            if count <= shortest
            else 1 << (count - 1).bit_length()
        )
        return -(-count // unit) * unit
