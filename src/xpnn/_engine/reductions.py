"""Reductions: what the elements of a row give together."""

from typing import Any

import numpy as np

from xpnn._engine.emitter import Emitter, Lanes
from xpnn._engine.instructions import INSTRUCTIONS
from xpnn._engine.recorder import Traced
from xpnn._engine.stages import REDUCTIONS


class Reduction:
    """What the elements of a row give together: lane by lane, block by block, then across the lanes."""

    def __init__(self, to: Emitter, x: Traced, *, across: bool) -> None:
        assert x.operation is not None  # noqa: S101 -- it was made
        self._to, self._dtype, self._across = to, x.dtype, across
        self._combine = INSTRUCTIONS[REDUCTIONS[x.operation.name]]
        self._neutral = to.widened(to.number(_neutral(x), x.dtype))
        self._block, self._all = (to.variable(x.dtype, wide=True) for _ in range(2))
        for variable in (self._block, self._all):
            to.store(self._neutral, variable)

    def add(self, value: Lanes, mask: str | None) -> None:
        """Combine elements with those before, where the mask is true."""
        to = self._to
        before = to.load(self._block, self._dtype, wide=True)
        after = self._combine(to, self._dtype, before, value)
        if mask is not None:
            after = to.select(Lanes(mask, np.dtype(np.bool_), wide=True), after, before)
        to.store(after, self._block)

    def end_block(self) -> None:
        """Combine a block with those before."""
        to = self._to
        pair = [to.load(at, self._dtype, wide=True) for at in (self._all, self._block)]
        to.store(self._combine(to, self._dtype, *pair), self._all)
        to.store(self._neutral, self._block)

    def total(self) -> Lanes:
        """Return what all give."""
        self.end_block()
        whole = self._to.load(self._all, self._dtype, wide=True)
        if not self._across:
            return whole
        return self._to.across(whole, lambda a, b: self._combine(self._to, self._dtype, a, b))


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
