"""How a formula of rows runs, such as a network or a function of one array."""

import functools
import math
from collections.abc import Callable
from typing import Any

from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Function, Library
from xpnn._arrays.library import library_of_namespace
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array
from xpnn._engine import tuning
from xpnn._engine.recorder import namespace as recording
from xpnn._engine.small import Small
from xpnn._execution.tiles import Tiled
from xpnn._reproducible.array import ReproducibleArray

RowFormula = Callable[[Library, Any, Array], Array]
"""A formula of (library, constants, x) that gives a row for each row of x."""


class RowsPlan:
    """How a formula of rows runs: compiled, by NumPy in tiles, or as it is written; the bits are the same."""

    def __init__(
        self,
        found: Library,
        formula: RowFormula,
        constants: Any,
        compiled: Function | None,
        *,
        lasting: bool,
    ) -> None:
        self._library, self._below = found, found.raw
        self._formula, self._constants = formula, constants
        self._compiled, self._lasting = compiled, lasting
        self._tiled: Tiled | None = None
        self._small = Small()

    def __call__(self, x: Array) -> Array:
        """Compute it, of arrays of one width and dtype."""
        wrapped = isinstance(x, ReproducibleArray)
        y = self._fast(x._native if wrapped else x) if math.prod(x.shape) > 0 else None
        if y is None:
            return self._formula(self._library, self._constants, x)
        return self._library.xp.Array(y) if wrapped else y

    def _fast(self, x: Array) -> Array | None:
        if self._compiled is not None:
            return self._compiled(self._constants, x)
        values = self._below.to_host(x) if self._lasting else None
        if values is None:
            return None
        if self._tiled is None:
            self._tiled = self._recorded()
        y = self._small(values)
        if y is not None:
            return self._below.from_host(y)
        if values.ndim == 2:
            y = self._tiled(values)
            hold = self._tiled.hold(values)
            trace = functools.partial(self._tiled.trace, values)
            self._small.prepare(trace, values, y, hold)
            return self._below.from_host(y)
        y = self._tiled(values.reshape(-1, values.shape[-1]))
        y = self._below.from_host(y.reshape((*values.shape[:-1], *y.shape[1:])))
        return self._below.returned(y)

    def _recorded(self) -> Tiled:
        there = self._library.over(library_of_namespace(recording))
        constants = pytree.mapped(lambda a: there.xp.asarray(to_numpy(a)), self._constants)
        whole = functools.partial(self._formula, there, constants)
        matrices = [a for a in pytree.leaves(self._constants) if len(a.shape) == 2]
        product = max((math.prod(a.shape) for a in matrices), default=0)
        return Tiled(whole, tuning.REPRODUCIBLE_CACHE, tuning.REPRODUCIBLE_LEAST, product=product)
