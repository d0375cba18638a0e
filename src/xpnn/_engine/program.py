"""Programs: recorded formulas as calls of NumPy's functions that write into the same few buffers.

NumPy takes new memory for the result of each operation, and Python finds out what to do each time. A
formula is recorded once as a `Trace`, which says what to call and which results take turns in which
buffer; laid out in some memory it is a `Program`, which is run again and again. On small arrays that takes
a fraction of the formula's time; on large ones, taken in tiles, it stays in the processor's cache.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn._arrays.types import Values
from xpnn._engine import tuning
from xpnn._engine.recorder import (
    INTO,
    Input,
    Operation,
    Step,
    Traced,
    abstract_value,
    in_order,
    recorded_in,
    spread,
    value_of,
    varies,
)


def new_memory(size: int) -> Values:
    """Return so many bytes."""
    return np.empty(size, np.uint8)


def _arrays(args: Sequence[Any]) -> list[Values]:
    return [a for a in args if isinstance(a, np.ndarray)]


class Trace:
    """A formula recorded for an array of this shape and dtype, and the buffers that its values need.

    A buffer that is not needed any more is the next value's of the same size.
    """

    def __init__(
        self, formula: Callable[[Traced], Traced], shape: tuple[int, ...], dtype: Any
    ) -> None:
        self.given = Input(abstract_value(shape, dtype))
        with np.errstate(all="ignore"):
            self.made = formula(self.given)
        self.order = in_order(self.made)
        self.sizes: list[int] = []
        """Bytes of each buffer."""
        self.buffers: dict[int, list[int]] = {}
        """For each value, by its id: the number of its buffer, and of those for its scratch."""
        self._choose_buffers()

    def _choose_buffers(self) -> None:
        order, free = self.order, dict[int, list[int]]()
        last = {id(_memory(a)): n for n, x in enumerate(order) for a in recorded_in(x.inputs)}
        # What is read and written outside is never free.
        last[id(_memory(self.made))] = last[id(self.given)] = len(order)
        used: dict[int, int] = {}

        def take(x: Traced) -> int:
            size = max(x.value.nbytes, 1)
            idle = free.get(size)
            if idle:
                return idle.pop()
            self.sizes.append(size)
            return len(self.sizes) - 1

        def release(n: int, inputs: Sequence[Any]) -> None:
            for a in recorded_in(inputs):
                memory = id(_memory(a))
                if last[memory] == n and memory in used:
                    buffer = used.pop(memory)
                    free.setdefault(self.sizes[buffer], []).append(buffer)

        used[id(self.given)] = take(self.given)
        self.buffers[id(self.given)] = [used[id(self.given)]]
        for n, x in enumerate(order):
            operation = x.operation
            if operation is None or operation.is_view:
                continue
            release(n, _sharing(x, operation))
            own = used[id(x)] = take(x)
            spare = [take(x) for _ in range(operation.scratch)]
            release(n, x.inputs)
            free.setdefault(self.sizes[own], []).extend(spare)
            self.buffers[id(x)] = [own, *spare]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers together."""
        return sum(self.sizes)

    def program(self, take: Callable[[int], Values] = new_memory) -> "Program":
        """Lay it out in memory, of which `take(bytes)` gives pieces."""
        return Program(self, [take(size) for size in self.sizes])


class Program:
    """A recorded formula in memory of its own: fill `input`, run, read `result`."""

    def __init__(self, trace: Trace, memory: list[Values]) -> None:
        self.steps: list[Step] = []
        self.input, self.result = self._laid_out(trace, memory)
        self._reads = self._find_reads()
        self._writes = self._writes_last()

    def __call__(self) -> None:
        """Compute the result of what is in the input."""
        for function, args in self.steps:
            function(*args)

    def run(self, x: Values) -> Values:
        """Return a new result for x, an array like the input."""
        if x.nbytes > tuning.COPIED:
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
        for n, places in reads:
            function, args = steps[n]
            changed = list(args)
            for place in places:
                changed[place] = x
            steps[n] = function, tuple(changed)
        if writes:
            function, args = steps[-1]
            steps[-1] = function, (*args[:-1], y)
        for function, args in steps:
            function(*args)
        if not writes:
            y[...] = self.result

    def _find_reads(self) -> list[tuple[int, list[int]]]:
        """Return the steps that read the input, and where; none if one reads a part or a view of it."""
        of_steps = [_arrays(args) for _, args in self.steps]
        views = (a for arrays in of_steps for a in arrays if a is not self.input)
        nested = any(isinstance(a, list | tuple) for _, args in self.steps for a in args)
        if nested or any(np.may_share_memory(a, self.input) for a in views):
            return []
        places = [[i for i, a in enumerate(args) if a is self.input] for _, args in self.steps]
        return [(n, found) for n, found in enumerate(places) if found]

    def _writes_last(self) -> bool:
        """Return whether the last step writes the result, and only it, as its last argument."""
        if not self.steps:
            return False
        function, args = self.steps[-1]
        writes = isinstance(function, np.ufunc) or function in INTO.values()
        return writes and args[-1] is self.result

    def _laid_out(self, trace: Trace, memory: list[Values]) -> tuple[Values, Values]:
        """Make the calls, of arrays that lie in the memory of their buffers."""
        places: dict[int, Values] = {}

        def place(a: Any) -> Any:
            if isinstance(a, list | tuple):
                return type(a)(map(place, a))
            return places.get(id(a), a.value) if isinstance(a, Traced) else a

        def quicker(x: Traced, a: Any) -> Any:
            """Return an input of a small result as NumPy takes it fastest."""
            if not varies(a):
                return spread(value_of(a), x.inputs, x.shape)
            return place(a).reshape(()) if a.value.size == 1 else place(a)

        def new(x: Traced) -> list[Values]:
            raw = (memory[n][: x.value.nbytes] for n in trace.buffers[id(x)])
            return [r.view(x.dtype).reshape(x.shape) for r in raw]

        (places[id(trace.given)],) = new(trace.given)
        for x in trace.order:
            operation = x.operation
            if operation is None:  # the input
                continue
            small = operation.is_elementwise and 0 < x.value.size <= tuning.MANY
            inputs = [quicker(x, a) if small else place(a) for a in x.inputs]
            if operation.is_view:
                places[id(x)] = operation.steps(*inputs)
                continue
            out, *scratch = new(x)
            places[id(x)] = out
            self.steps += operation.steps(out, *inputs, *scratch)
        return places[id(trace.given)], place(trace.made)


def _sharing(x: Traced, operation: Operation) -> list[Traced]:
    """Return the inputs of x whose memory its result may take."""
    may = recorded_in(a for i, a in enumerate(x.inputs) if i in operation.shares)
    must_not = recorded_in(a for i, a in enumerate(x.inputs) if i not in operation.shares)
    memories = [_memory(a) for a in must_not]
    return [a for a in may if not any(_memory(a) is m for m in memories)]


def _memory(x: Traced) -> Traced:
    """Return the value whose memory this one lies in."""
    while x.operation is not None and x.operation.is_view:
        x = x.inputs[0]
    return x
