"""Elements: operations of each element written as instructions, elementary functions step by step."""

from typing import Any

import numpy as np

from xpnn._engine import elementary
from xpnn._engine.emitter import CannotBeLoweredError, Emitter, Lanes
from xpnn._engine.instructions import INSTRUCTIONS, convert
from xpnn._engine.recorder import (
    Input,
    Operation,
    RecordingNamespace,
    Traced,
    abstract_value,
    in_order,
    record,
    value_of,
)

COMPARISONS = frozenset(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"))
AS_GIVEN = frozenset(("astype", "isnan", "isfinite", "logical_not", "invert", "mask"))
"""Operations whose operand keeps its dtype."""
CHOICES = frozenset(("where", "select_by_mask"))
"""Operations whose first operand says which of the others to take."""
KINDS = {
    **dict.fromkeys(("add", "subtract", "multiply", "absolute", "negative", "clip"), "fi"),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), "fi"),
    **dict.fromkeys(("equal", "not_equal"), "fib"),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "invert"), "bi"),
    **dict.fromkeys(("logical_and", "logical_or", "logical_not", "mask"), "b"),
    **dict.fromkeys(("where", "select_by_mask", "astype"), "fiub"),
}
"""The kinds of numbers that operations take; the others take floats alone."""
ANY_SIZE = frozenset(("where", "select_by_mask", "astype"))
"""Operations of numbers that take less than four bytes, too; those of truth values do."""
FILLED = {"zeros_like": 0, "ones_like": 1}
"""Functions whose result is one number."""


class _Bits(RecordingNamespace):
    """The recording namespace of one that sees the bits of numbers; see `elementary`."""

    @staticmethod
    def power_of_two(k: Traced) -> Traced:
        """Record 2**k."""
        return record(_POWER, k.value, k)

    @staticmethod
    def times_power_of_two(y: Traced, k: Traced) -> Traced:
        """Record y * 2**k."""
        return record(_TIMES_POWER, y.value, y, k)

    @staticmethod
    def fraction_and_exponent(x: Traced) -> tuple[Traced, ...]:
        """Record a fraction, an exponent and what the fraction is of x."""
        parts = (Operation(no_steps, name=n) for n in ("fraction", "exponent", "inverse_power"))
        return tuple(record(part, x.value, x) for part in parts)


def no_steps(*_: Any) -> Any:
    """Nothing: only instructions do it."""


_POWER = Operation(no_steps, name="power_of_two")
_TIMES_POWER = Operation(no_steps, name="times_power_of_two")
BITS = _Bits()


class Elements:
    """Writes operations by their names, of numbers and of vectors."""

    def __init__(self, to: Emitter) -> None:
        self._to = to

    def made(self, name: str, dtype: Any, operands: list[Any]) -> Lanes:
        """Return the result of an operation; operands without a dtype take that of the others."""
        to = self._to
        if name in FILLED:
            return to.number(FILLED[name], dtype)
        if name in elementary.FUNCTIONS:
            (x,) = operands
            if x.dtype != dtype or dtype.itemsize < 4 or dtype.kind != "f":
                raise CannotBeLoweredError(f"{name} of {x.dtype}")
            return self._written_out(elementary.FUNCTIONS[name], x)
        if name not in INSTRUCTIONS:
            raise CannotBeLoweredError(f"the operation {name or 'of that name'}")
        given = self._of_one_dtype(name, dtype, operands)
        for one in given:
            small = one.dtype.itemsize < 4 and one.dtype.kind != "b" and name not in ANY_SIZE
            if small or one.dtype.kind not in KINDS.get(name, "f"):
                raise CannotBeLoweredError(f"{name} of {one.dtype}")
        return INSTRUCTIONS[name](to, np.dtype(dtype), *to.alike(*given))

    def _of_one_dtype(self, name: str, dtype: Any, operands: list[Any]) -> list[Lanes]:
        to, typed = self._to, [o.dtype for o in operands if hasattr(o, "dtype")]
        if name == "clip" and any(isinstance(o, float) and o != o for o in operands):
            raise CannotBeLoweredError("ends that are NaN")
        common = np.result_type(*typed) if name in COMPARISONS else dtype

        def one(i: int, a: Any) -> Lanes:
            if name in CHOICES and i == 0:
                return a if isinstance(a, Lanes) else to.number(a, np.bool_)
            if not isinstance(a, Lanes):
                return to.number(a, common)
            if name in AS_GIVEN or (name == "times_power_of_two" and i == 1):
                return a
            return convert(to, common, a)

        return [one(i, a) for i, a in enumerate(operands)]

    def _written_out(self, function: Any, x: Lanes) -> Lanes:
        """Write a function as the operations that its formula is made of."""
        given = Input(abstract_value((1,), x.dtype))
        with np.errstate(all="ignore"):
            made = function(given, xp=BITS)
        known = {id(given): x}

        def operand(a: Any) -> Any:
            if isinstance(a, Traced) and id(a) in known:
                return known[id(a)]
            value = value_of(a)
            return value.dtype.type(value.flat[0]) if isinstance(value, np.ndarray) else value

        for step in in_order(made):
            if step.operation is not None:
                name = step.operation.name
                known[id(step)] = self.made(name, step.dtype, list(map(operand, step.inputs)))
        return known[id(made)]

    def take(self, base: str, size: int, index: Any, dtype: Any) -> Lanes:
        """Return entries of a table; the first or the last for an index beyond them."""
        to = self._to
        if not isinstance(index, Lanes):
            index = to.number(index, np.int64)
        index = convert(to, np.int64, index)
        limits = to.alike(index, to.number(0, np.int64), to.number(size - 1, np.int64))
        return to.gather(base, INSTRUCTIONS["clip"](to, index.dtype, *limits), dtype)
