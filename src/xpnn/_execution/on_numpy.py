"""Plans that compute on NumPy's arrays: recorded, and in tiles that stay in the cache."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np

from xpnn._arrays.library import library_of_namespace, own_library
from xpnn._arrays.types import Array, Values
from xpnn._engine import tuning
from xpnn._engine.recorder import Traced
from xpnn._engine.recorder import namespace as recording
from xpnn._engine.small import Small
from xpnn._execution.computation import Computation, Plan, as_written
from xpnn._execution.plans import PlanCache
from xpnn._execution.tiles import Tiled


def on_numpy(computation: Computation) -> Plan:
    """Return the plan for NumPy's own arrays."""
    return (AlongAxis if "axis" in dict(computation.options) else Elementwise)(computation)


class OnHost:
    """A plan of NumPy's for another library's arrays whose memory NumPy sees.

    For a computation whose bits are the same there; other arrays are computed as it is written.
    """

    def __init__(self, computation: Computation) -> None:
        self._computation, self._below = computation, computation.library.raw
        self._as_written = as_written(computation)
        self._plan: Plan | None = None

    def __call__(self, x: Array, mask: None) -> Array:
        """Compute it."""
        values = self._below.to_host(x)
        if values is None:
            return self._as_written(x, mask)
        if self._plan is None:
            library = self._computation.library.over(own_library())
            self._plan = on_numpy(self._computation._replace(library=library, result=values.dtype))
        return self._below.from_host(np.asarray(self._plan(values, mask)))


def _recorded(computation: Computation) -> Callable[[Traced], Traced]:
    there = computation.library.over(library_of_namespace(recording))
    plan = as_written(computation._replace(library=there))
    return lambda x: plan(x, None)


class Elementwise:
    """A function of each element of a NumPy array, in tiles."""

    def __init__(self, computation: Computation) -> None:
        self._as_written = as_written(computation)
        self._tiled = Tiled(_recorded(computation), tuning.FUNCTION_CACHE, tuning.FUNCTION_LEAST)
        self._small = Small()

    def __call__(self, x: Values, mask: None) -> Any:
        """Compute it."""
        y = self._small(x)
        if y is not None:
            return y
        if x.ndim == 0 or x.size == 0:
            return self._as_written(x, mask)
        if x.flags.c_contiguous or not x.flags.f_contiguous:
            flat = x.reshape(-1)
            y = self._tiled(flat).reshape(x.shape)
            self._small.prepare(lambda: self._tiled.trace(flat), x, y)
            return y
        return self._tiled(x.T.reshape(-1)).reshape(x.shape[::-1]).T


class AlongAxis:
    """A function of each slice of a NumPy array along an axis, the first or the last, in tiles.

    Slices along the last axis are rows, those along the first columns; a few long columns are the rows
    of the transposed array, as NumPy takes short rows one by one.
    """

    def __init__(self, computation: Computation) -> None:
        self._computation, self._axis = computation, dict(computation.options)["axis"]
        self._as_written = as_written(computation)
        self._tiled: PlanCache[Tiled] = PlanCache()
        self._of_shape: PlanCache[Plan] = PlanCache()
        self._small = Small()

    def __call__(self, x: Values, mask: None) -> Any:
        """Compute it."""
        y = self._small(x)
        if y is not None:
            return y
        plan = self._of_shape.find(object, x.shape)
        if plan is None:
            plan = self._of_shape.keep(object, x.shape, self._plan(x))
        y = plan(x, mask)
        if isinstance(plan, _Shape):
            self._small.prepare(lambda: plan.trace(x), x, y)
        return y

    def _plan(self, x: Values) -> Plan:
        before, (length, *others) = x.shape[: self._axis], x.shape[self._axis :]
        rows, columns = math.prod(before), math.prod(others)
        if (
            not 0 < length * x.itemsize <= tuning.WIDEST
            or 0 in (rows, columns)
            or (rows > 1 and columns > 1)
        ):
            return self._as_written
        kind = "rows" if columns == 1 else "columns"
        if 1 < columns <= tuning.FEW_COLUMNS and length * x.itemsize > tuning.LONG_COLUMN:
            kind = "transposed"
        flat = (rows, length) if columns == 1 else (length, columns)
        tiled = self._tiled.get((length, kind), lambda: self._tiled_for(kind))
        return cast("Plan", _Shape(tiled, flat, before, tuple(others), kind))

    def _tiled_for(self, kind: str) -> Tiled:
        options = {**dict(self._computation.options), "axis": 0 if kind == "columns" else 1}
        computation = self._computation._replace(options=tuple(options.items()))
        columns, transposed = kind == "columns", kind == "transposed"
        whole = _recorded(computation)
        return Tiled(
            whole,
            tuning.FUNCTION_CACHE,
            tuning.FUNCTION_LEAST,
            columns=columns,
            transposed=transposed,
        )


class _Shape(NamedTuple):
    """The plan for arrays of a shape."""

    tiled: Tiled
    flat: tuple[int, int]
    """Shape as rows or columns."""
    before: tuple[int, ...]
    after: tuple[int, ...]
    kind: str

    def trace(self, x: Values) -> Any:
        """Return what was recorded for arrays like x."""
        return None if self.kind == "transposed" else self.tiled.trace(x.reshape(self.flat))

    def __call__(self, x: Values, _: None) -> Any:
        if self.kind == "transposed":
            y = self.tiled(x.reshape(self.flat).T).T
        elif self.flat == x.shape:
            return self.tiled(x)
        else:
            y = self.tiled(x.reshape(self.flat))
        kept = y.shape[1:] if self.kind == "rows" else y.shape[:-1]
        y = y.reshape((*self.before, *kept, *self.after))
        return y if y.ndim else y[()]
