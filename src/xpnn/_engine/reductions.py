"""Reductions: what the elements of a row give together."""

from typing import Any

import numpy as np

from xpnn._engine.emitter import Emitter, Lanes
from xpnn._engine.instructions import INSTRUCTIONS
from xpnn._engine.recorder import Traced
from xpnn._engine.stages import REDUCTIONS


class Reduction:
    """What the elements of a row give together: lane by lane, block by block, then across the lanes."""

    def __init__(self, to: Emitter, x: Traced, levels: int, *, across: bool) -> None:
        assert x.operation is not None  # noqa: S101 -- it was made
        self._to, self._dtype, self._across = to, x.dtype, across
        self._combine = INSTRUCTIONS[REDUCTIONS[x.operation.name]]
        self._neutral = to.widened(to.number(_neutral(x), x.dtype))
        self.rounds = x.operation.name == "sum" and x.dtype.kind == "f"
        """Whether the order counts."""
        count = levels if self.rounds else 1
        self._levels = [to.variable(x.dtype, wide=True) for _ in range(count)]
        for variable in self._levels:
            to.store(self._neutral, variable)

    def add(self, value: Lanes, mask: str | None) -> None:
        """Combine elements with those of the block before, where the mask is true."""
        to = self._to
        before = to.load(self._levels[0], self._dtype, wide=True)
        after = self._combine(to, self._dtype, before, value)
        if mask is not None:
            after = to.select(Lanes(mask, np.dtype(np.bool_), wide=True), after, before)
        to.store(after, self._levels[0])

    def end_block(self, level: int) -> None:
        """Combine a block with those of its size before."""
        if not self.rounds:
            return
        to, (block, all_before) = self._to, self._levels[level : level + 2]
        pair = [to.load(at, self._dtype, wide=True) for at in (all_before, block)]
        to.store(self._combine(to, self._dtype, *pair), all_before)
        to.store(self._neutral, block)

    def total(self) -> Lanes:
        """Return what all give, the last block first."""
        to = self._to
        whole, *others = (to.load(at, self._dtype, wide=True) for at in self._levels)
        for other in others:
            whole = self._combine(to, self._dtype, whole, other)
        if not self._across:
            return whole
        return to.across(whole, lambda a, b: self._combine(to, self._dtype, a, b))


def _neutral(x: Traced) -> Any:
    """Return what changes nothing when it is combined with others."""
    assert x.operation is not None  # noqa: S101 -- it was made
    if x.dtype.kind == "b":
        return x.operation.name == "all"
    if x.operation.name == "sum":
        return -0.0 if x.dtype.kind == "f" else 0
    if x.dtype.kind == "f":
        return -np.inf if x.operation.name == "max" else np.inf
    limits = np.iinfo(x.dtype)
    return limits.min if x.operation.name == "max" else limits.max
