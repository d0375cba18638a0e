"""Programs: recorded formulas as calls of NumPy's functions that write into the same few buffers.

NumPy takes new memory for the result of each operation, and Python finds out what to do each time. A
program is made once and run again and again: on small arrays it takes a fraction of the formula's
time, on large ones, taken in tiles, it stays in the processor's cache.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn._arrays.types import Values
from xpnn._execution.recorder import (
    MANY,
    Input,
    Operation,
    Recorded,
    Step,
    spread,
    stand_in,
    value_of,
    varies,
)

_COPIED = 2**14
"""Bytes of an input up to which a copy takes less than putting another array in its place."""


def _new(size: int) -> Values:
    return np.empty(size, np.uint8)


def _arrays(args: Sequence[Any]) -> list[Values]:
    return [a for a in args if isinstance(a, np.ndarray)]


class Program:
    """A recorded formula of an array of this shape and dtype: fill `input`, run, read `result`.

    `take(size)` gives memory of so many bytes.
    """

    def __init__(
        self,
        formula: Callable[[Recorded], Recorded],
        shape: tuple[int, ...],
        dtype: Any,
        take: Callable[[int], Values] | None = None,
    ) -> None:
        given = Input(stand_in(shape, dtype))
        made = formula(given)
        self.steps: list[Step] = []
        self.nbytes = 0
        """Size of all buffers together."""
        self.input, self.result = self._laid_out(given, made, take or _new)
        self._reads, self._writes = self._find_reads(), self._writes_last()

    def __call__(self) -> None:
        """Compute the result of what is in the input."""
        for function, args in self.steps:
            function(*args)

    def run(self, x: Values) -> Values:
        """Return a new result for x, an array like the input."""
        if x.nbytes > _COPIED:
            y = np.empty(self.result.shape, self.result.dtype)
            self.run_into(y, x)
            return y
        self.input[...] = x
        self()
        return self.result.copy()

    def run_into(self, y: Values, x: Values) -> None:
        """Write the result for x to y, where they lie in one piece without a copy."""
        reads = self._reads if x.flags.c_contiguous else []
        writes = self._writes and y.flags.c_contiguous
        if not reads:
            self.input[...] = x
        steps = self.steps.copy()
        for n in reads:
            function, args = steps[n]
            steps[n] = function, tuple(x if a is self.input else a for a in args)
        if writes:
            function, args = steps[-1]
            steps[-1] = function, (*args[:-1], y)
        for function, args in steps:
            function(*args)
        if not writes:
            y[...] = self.result

    def _find_reads(self) -> list[int]:
        """Return the steps that read the input; none if one reads a part or a view of it."""
        of_steps = [_arrays(args) for _, args in self.steps]
        views = (a for arrays in of_steps for a in arrays if a is not self.input)
        nested = any(isinstance(a, list | tuple) for _, args in self.steps for a in args)
        if nested or any(np.may_share_memory(a, self.input) for a in views):
            return []
        return [n for n, arrays in enumerate(of_steps) if any(a is self.input for a in arrays)]

    def _writes_last(self) -> bool:
        """Return whether the last step writes the result, and only it, as its last argument."""
        if not self.steps:
            return False
        function, args = self.steps[-1]
        return isinstance(function, np.ufunc) and args[-1] is self.result

    def _laid_out(
        self, given: Recorded, made: Recorded, get: Callable[[int], Values]
    ) -> tuple[Values, Values]:
        """Give each value a buffer; one that is not needed any more is another's."""
        order = _in_order(made)
        last = {id(_memory(a)): n for n, x in enumerate(order) for a in _recorded(x.inputs)}
        last[id(_memory(made))] = last[id(given)] = len(order)  # what is read and written outside
        free: dict[int, list[Values]] = {}
        buffers: dict[int, Values] = {}
        places: dict[int, Values] = {}

        def place(a: Any) -> Any:
            if isinstance(a, list | tuple):
                return type(a)(map(place, a))
            if not isinstance(a, Recorded):
                return a
            return places.get(id(a), a.value)

        def placed(x: Recorded, operation: Operation) -> tuple[Any, ...]:
            small = operation.is_elementwise and 0 < x.value.size <= MANY
            return tuple(map(functools.partial(quicker, x) if small else place, x.inputs))

        def quicker(x: Recorded, a: Any) -> Any:
            """Return an input of a small result as NumPy takes it fastest."""
            if not varies(a):
                return spread(value_of(a), x.inputs, x.shape)
            return place(a).reshape(()) if a.value.size == 1 else place(a)

        def take(size: int) -> Values:
            idle = free.get(size)
            if not idle:
                self.nbytes += size
            return idle.pop() if idle else get(size)

        def shaped(raw: Values, like: Any) -> Values:
            return raw[: like.nbytes].view(like.dtype).reshape(like.shape)  # type: ignore[no-any-return]

        def new(x: Recorded) -> Values:
            buffers[id(x)] = raw = take(max(x.value.nbytes, 1))
            return shaped(raw, x.value)

        def release(n: int, inputs: Sequence[Any]) -> None:
            for a in _recorded(inputs):
                memory = _memory(a)
                if last[id(memory)] == n and id(memory) in buffers:
                    raw = buffers.pop(id(memory))
                    free.setdefault(raw.nbytes, []).append(raw)

        places[id(given)] = new(given)
        for n, x in enumerate(order):
            if x is given:
                continue
            operation = x.operation
            assert operation is not None  # noqa: S101 -- constants are not in the order
            inputs = placed(x, operation)
            if operation.is_view:
                places[id(x)] = operation.steps(*inputs)
                continue
            release(n, _sharing(x, operation))
            places[id(x)] = out = new(x)
            spare = [take(out.nbytes) for _ in range(operation.scratch)]
            release(n, x.inputs)
            self.steps += operation.steps(out, *inputs, *(shaped(raw, out) for raw in spare))
            free.setdefault(out.nbytes, []).extend(spare)
        return places[id(given)], place(made)


def _sharing(x: Recorded, operation: Operation) -> list[Recorded]:
    """Return the inputs of x whose memory its result may take."""
    may = _recorded(a for i, a in enumerate(x.inputs) if i in operation.shares)
    must_not = _recorded(a for i, a in enumerate(x.inputs) if i not in operation.shares)
    memories = [_memory(a) for a in must_not]
    return [a for a in may if not any(_memory(a) is m for m in memories)]


def _recorded(inputs: Any) -> list[Recorded]:
    """Return the inputs that are not constants."""
    found: list[Recorded] = []
    for a in inputs:
        if isinstance(a, list | tuple):
            found += _recorded(a)
        elif varies(a):
            found.append(a)
    return found


def _memory(x: Recorded) -> Recorded:
    """Return the value whose memory this one lies in."""
    while x.operation is not None and x.operation.is_view:
        x = x.inputs[0]
    return x


def _in_order(made: Recorded) -> list[Recorded]:
    """Return all that goes into a result, in the order of making."""
    found, waiting = {}, [made]
    while waiting:
        x = waiting.pop()
        if x.number not in found:
            found[x.number] = x
            waiting += _recorded(x.inputs)
    return [found[n] for n in sorted(found)]
