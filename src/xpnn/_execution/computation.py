"""The ways that the formula of a public function runs, found once for each kind of array.

As it is written; compiled; recorded and in tiles; by a kernel of the library's own; reproducibly.
A way is called with the arrays of the formula and the mask, None where there is none.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast, overload

import numpy as np

from xpnn._arrays.arguments import Choice, Number, check_or_trace, declare
from xpnn._arrays.backends.protocol import Kernel, Library
from xpnn._arrays.backends.tracing import is_compiling
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import (
    Arguments,
    common_library,
    in_native_order,
    library_of_namespace,
    prepare,
)
from xpnn._arrays.types import Array, DType, Namespace, Values
from xpnn._execution.recorder import Recorded
from xpnn._execution.recorder import namespace as recording
from xpnn._execution.tiles import Tiled

Way = Callable[..., Any]
Options = dict[str, Any]


class Step(NamedTuple):
    """A formula as it is written, with its options, and the dtypes around it."""

    library: Library
    formula: Callable[..., Any]
    options: tuple[tuple[str, Any], ...]
    computing: str
    """Name of the dtype to compute in."""
    result: DType

    def __call__(self, *given: Array | None) -> Any:
        """Return formula(*arrays, mask, xp=..., **options), rounded once; a tuple where that is one."""
        *arrays, mask = given
        xp = self.library.xp
        with self.library.guard(self.computing):
            dtype = getattr(xp, self.computing)
            arrays = [a if a is None else self._as(a, dtype) for a in arrays]
            y = self.formula(*arrays, mask, xp=xp, **dict(self.options))
            if isinstance(y, tuple):
                return tuple(self._returned(part) for part in y)
            return self._returned(y)

    def _returned(self, y: Array) -> Array:
        return self.library.returned(self._as(y, self.result))

    def _as(self, y: Array, dtype: DType) -> Array:
        return y if y.dtype == dtype else self.library.xp.astype(y, dtype)


def compute(
    ready: Arguments, formula: Callable[..., Any], kernel: str | None = None, **options: Any
) -> Any:
    """Return the formula of what `prepare` gave, and of the options; `kernel` is its name."""
    step = _step(ready, formula, options)
    if kernel is not None and not ready.plain:
        found, (*arrays, _) = ready.library.kernels.get(kernel), ready.arrays
        dtypes = {dtype_name(a.dtype) for a in arrays if a is not None}
        if dtypes == {ready.computing} and found is not None and found.fits(*arrays):
            return found.compute(*arrays)
    return _way(step, plain=ready.plain)(*ready.arrays)


def _step(ready: Arguments, formula: Callable[..., Any], options: Options) -> Step:
    return Step(ready.library, formula, tuple(options.items()), ready.computing, ready.result)


def _way(step: Step, *, plain: bool) -> Way:
    if not plain and step.library.compiles:
        with contextlib.suppress(TypeError):  # an option is an array, which has no hash
            return _compiled(step)
    return step.library.around(cast("Way", step))


@functools.lru_cache(maxsize=1024)
def _compiled(step: Step) -> Way:
    return step.library.compile(step.__call__, step.computing)


# Functions of one array


class Known:
    """A public function's ways for the kinds of arrays that it was called with, without `xp`."""

    def __init__(self, function: str, formula: Callable[..., Any]) -> None:
        self.function, self._formula = function, formula
        self.ways: dict[type, dict[Any, Way]] = {}
        self._faster: dict[str, Callable[..., Any]] = {}

    def find(self, x: Array, key: tuple[Any, ...]) -> Way | None:
        """Return the way for arrays like x and a key that has all else, if there were any."""
        ways = self.ways.get(type(x))  # apart, as torch.compile cannot compare NumPy's dtypes
        if ways is None:
            return None
        try:
            return ways.get(key)
        except TypeError:  # an option without a hash
            return None

    def compute(self, ready: Arguments, key: tuple[Any, ...] | None, **options: Any) -> Any:
        """Return the formula of what `prepare` gave; remember how under the key.

        A key is for calls with one array and neither mask nor `xp`.
        """
        step = _step(ready, self._formula, options)
        x: Any = ready.arrays[0]
        # What integers become depends on the device, too.
        if key is None or step.result != x.dtype or is_compiling():
            return _way(step, plain=ready.plain)(*ready.arrays)
        way = self._quickest(step, x)
        if key[0] != x.dtype:
            way = _InNativeOrder(way)
        with contextlib.suppress(TypeError):  # an option without a hash
            _remember(self.ways.setdefault(type(x), {}), key, way)
        return way(*ready.arrays)

    def _quickest(self, step: Step, x: Array) -> Way:
        if type(x) in {np.ndarray, np.memmap}:  # others may mean something else by an operation
            return AlongAxis(step) if "axis" in dict(step.options) else Elementwise(step)
        library = step.library
        if library.compiles:
            return _way(step._replace(formula=self._with_own_values(library)), plain=False)
        kernel = library.kernels.get(self.function)
        if kernel is None or dtype_name(x.dtype) not in kernel.dtypes:
            return _way(step, plain=False)
        return cast("Way", _ByKernel(kernel, step, dict(step.options)))

    def _with_own_values(self, library: Library) -> Callable[..., Any]:
        if library.name not in self._faster:  # one, as it is compiled once for each
            self._faster[library.name] = library.with_own_values(self.function, self._formula)
        return self._faster[library.name]


_MOST = 256
"""Kinds of arrays that a function remembers."""


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MOST:
        known.clear()
    known[key] = value


@dataclass(frozen=True)
class _InNativeOrder:
    """A way for arrays that come in another byte order."""

    way: Way

    def __call__(self, x: Array, mask: None) -> Array:
        return self.way(in_native_order(x), mask)


class _ByKernel(NamedTuple):
    """A kernel where it fits, and the formula where not."""

    kernel: Kernel
    step: Step
    options: Options

    def __call__(self, x: Array, mask: None) -> Array:
        if self.kernel.fits(x, **self.options):
            return self.kernel.compute(x, **self.options)
        return self.step(x, mask)


Formula = TypeVar("Formula", bound=Callable[..., Array])


@overload
def elementwise(formula: Formula, /) -> Formula: ...


@overload
def elementwise(**kinds: Number | Choice) -> Callable[[Formula], Formula]: ...


def elementwise(formula: Any = None, /, **kinds: Number | Choice) -> Any:
    """Make a public function of a formula of one array: `formula(x, /, *, ..., xp)`.

    The formula gets a floating array, 32 bits or more, and its namespace; the public function
    takes any real array, infers the namespace, and returns the dtype that it got. `kinds` says what
    the options may be: the formula gets them as Python's own numbers and strings, whatever they were
    given as, or as arrays without an axis where they are traced or differentiated.
    """
    return functools.partial(_elementwise, kinds) if formula is None else _elementwise({}, formula)


def _elementwise(kinds: dict[str, Number | Choice], formula: Formula) -> Formula:
    name = formula.__name__
    declare(formula, kinds)

    @functools.wraps(formula)
    def function(x: Array, /, *, xp: Namespace | None = None, **options: Any) -> Array:
        traced: dict[str, Array] = {}
        if options:
            options, traced = check_or_trace(name, options)
        if traced:
            ready = prepare(name, xp, x=x)
            common_library(name, xp, {"x": x, **traced})
            ready = ready._replace(arrays=[x, *traced.values(), None])
            return compute(ready, _OfOptions(run, tuple(traced)), **options)
        key = (getattr(x, "dtype", None), *options.items()) if xp is None else None
        way = None if key is None else known.find(x, key)
        if way is not None:
            return way(x, None)
        return known.compute(prepare(name, xp, x=x), key, **options)

    def run(x: Array, _: None, *, xp: Namespace, **options: Any) -> Array:
        # Where the namespace has the function itself, such as the correctly rounded tanh.
        own = hasattr(xp, "rounded_once") and name in xp.rounded_once
        return getattr(xp, name)(x) if own else formula(x, xp=xp, **options)

    known = Known(name, run)
    return cast("Formula", function)


@dataclass(frozen=True)
class _OfOptions:
    """A formula of options that are arrays, too: formula(x, *options, mask)."""

    formula: Callable[..., Array]
    names: tuple[str, ...]

    def __call__(self, x: Array, *given: Any, xp: Namespace, **options: Any) -> Array:
        *values, mask = given
        return self.formula(x, mask, xp=xp, **dict(zip(self.names, values, strict=True)), **options)


_CACHE, _LEAST = 6 * 2**20, 12 * 2**20
"""Bytes of the buffers of a tile, at most; and from which on threads pay; as in `_network.cached`."""
_WIDEST = 2**21
"""Bytes of a slice along an axis from which on it is computed as written: it would not fit."""
_FEW = 64
"""Columns up to which long ones are taken as rows."""
_LONG = 2**16
"""Bytes from which on a column is long."""


def _recorded(step: Step) -> Callable[[Recorded], Recorded]:
    there = step._replace(library=library_of_namespace(recording))
    return lambda x: there(x, None)


class Elementwise:
    """A function of each element of a NumPy array, in tiles."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._tiled = Tiled(_recorded(step), _CACHE, _LEAST)

    def __call__(self, x: Values, mask: None) -> Values:
        """Compute it."""
        if x.ndim == 0 or x.size == 0:
            return self._step(x, mask)  # type: ignore[no-any-return]
        if x.flags.c_contiguous or not x.flags.f_contiguous:
            return self._tiled(x.reshape(-1)).reshape(x.shape)
        return self._tiled(x.T.reshape(-1)).reshape(x.shape[::-1]).T


class _Shape(NamedTuple):
    """What to do with arrays of a shape."""

    tiled: Tiled
    flat: tuple[int, int]
    """Shape as rows or columns."""
    before: tuple[int, ...]
    after: tuple[int, ...]
    kind: str

    def __call__(self, x: Values) -> Values:
        if self.kind == "turned":
            y = self.tiled(x.reshape(self.flat).T).T
        elif self.flat == x.shape:
            return self.tiled(x)
        else:
            y = self.tiled(x.reshape(self.flat))
        kept = y.shape[1:] if self.kind == "rows" else y.shape[:-1]
        y = y.reshape((*self.before, *kept, *self.after))
        return y if y.ndim else y[()]


class AlongAxis:
    """A function of each slice of a NumPy array along an axis, the first or the last, in tiles.

    Slices along the last axis are rows, those along the first columns; a few long columns are the rows
    of the transposed array, as NumPy takes short rows one by one.
    """

    def __init__(self, step: Step) -> None:
        self._step, self._axis = step, dict(step.options)["axis"]
        self._tiled: dict[tuple[int, str], Tiled] = {}
        self._shapes: dict[tuple[int, ...], _Shape | None] = {}

    def __call__(self, x: Values, mask: None) -> Values:
        """Compute it."""
        known = self._shapes.get(x.shape) or self._look(x)
        return self._step(x, mask) if known is None else known(x)

    def _look(self, x: Values) -> _Shape | None:
        """Return what to do; None where the array is computed as written."""
        before, (length, *others) = x.shape[: self._axis], x.shape[self._axis :]
        rows, columns = math.prod(before), math.prod(others)
        fits = 0 < length * x.itemsize <= _WIDEST and rows * columns > 0
        found = None
        if fits and 1 in (rows, columns):
            kind = "rows" if columns == 1 else "columns"
            if 1 < columns <= _FEW and length * x.itemsize > _LONG:
                kind = "turned"
            flat = (rows, length) if columns == 1 else (length, columns)
            found = _Shape(self._tiled_for(length, kind), flat, before, tuple(others), kind)
        _remember(self._shapes, x.shape, found)
        return found

    def _tiled_for(self, length: int, kind: str) -> Tiled:
        found = self._tiled.get((length, kind))
        if found is None:
            options = {**dict(self._step.options), "axis": 0 if kind == "columns" else 1}
            step = self._step._replace(options=tuple(options.items()))
            whole, columns, turned = _recorded(step), kind == "columns", kind == "turned"
            found = Tiled(whole, _CACHE, _LEAST, columns=columns, turned=turned)
            _remember(self._tiled, (length, kind), found)
        return found
