"""Arrays of a library into a reproducible namespace, and out of it again."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name, dtype_named, nearest
from xpnn._arrays.library import in_native_order, library
from xpnn._arrays.types import Array, DType
from xpnn._reproducible.arithmetic.conversions import choose, clean_number
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.engine import Engine
from xpnn._reproducible.operands import kind_of
from xpnn.errors import XpnnTypeError


class Boundary:
    """What a reproducible namespace takes and gives: arrays of its own class, or its library's."""

    def __init__(self, engine: Engine, own: type[ReproducibleArray]) -> None:
        self.engine, self.of, self.name = engine, engine.of, engine.name
        self.own = own

    def takes(self, value: Any) -> bool:
        """Whether an operator of an array of this namespace takes `value`."""
        return isinstance(value, bool | int | float) or self.is_array(value)

    def is_array(self, value: Any) -> bool:
        return isinstance(value, self.own) or self.is_native(value)

    def is_native(self, value: Any) -> bool:
        if type(value) is float:  # torch.compile cannot ask one that it traces for attributes
            return False
        if isinstance(value, ReproducibleArray | type | int | slice) or not hasattr(value, "dtype"):
            return False
        return library(value, "an argument", self.name).xp is self.of.xp

    def wrap(self, x: Array) -> ReproducibleArray:
        """Take an array of the library; its subnormal numbers and -0 become 0."""
        if isinstance(x, ReproducibleArray):
            if not isinstance(x, self.own):
                raise XpnnTypeError(
                    f"{self.name}: expected arrays of one library, got one of "
                    f"{type(x)._namespace.__name__}; convert it, e.g. asarray(x.native)"
                )
            return x
        x = in_native_order(x)
        name = dtype_name(x.dtype)
        if name in FLOATS:
            x = self.engine.run("clean", name, [x], {})
        elif name not in {"bool", *INTEGERS}:
            raise XpnnTypeError(f"{self.name}: expected real values, got dtype {name}")
        return self.own(x)

    def unwrap(self, x: ReproducibleArray) -> Array:
        """Give the library's own array, with NaN of one kind."""
        y = x._native
        if dtype_name(y.dtype) not in FLOATS:
            return y
        with self.wide(y):
            return choose(y != y, math.nan, y, self.of.xp)

    def run(self, formula: Callable[..., Any], *given: Array | None) -> Any:
        """Return formula(*given) on arrays of this namespace; arrays of the library in, and out."""
        arrays = [None if a is None else self.wrap(a) for a in given]

        def whole(*natives: Array | None) -> Any:
            return natives_of(formula(*(None if a is None else self.own(a) for a in natives)))

        step = self.of.opaque(whole)
        y = formula(*arrays) if step is whole else step(*map(natives_of, arrays))
        return self.returned(natives_of(y), any(isinstance(a, ReproducibleArray) for a in given))

    def copied(self, x: Array) -> Array:
        """Copy an array of the library; derivatives pass."""
        with self.wide(x):
            return self.of.xp.astype(x, x.dtype, copy=True)

    def wide(self, *arrays: Array) -> AbstractContextManager[Any]:
        """Return what leaves float64 arrays as they are where the library's 64-bit types are switched off."""
        if self.of.has_64_bits() or all(dtype_name(a.dtype) != "float64" for a in arrays):
            return nullcontext()
        return self.of.exactly("float64")

    def dtype_named(self, name: str) -> DType:
        """Return the library's dtype of that name; TypeError where it has none now."""
        self.check_integer(name, "it")
        found = dtype_named(self.of.xp, name)
        if found is None:
            raise XpnnTypeError(f"{self.name}: expected a dtype that is there, got {name}")
        return found

    def check_integer(self, dtype: str, what: str) -> None:
        """Raise TypeError for an integer dtype of 64 bits where there are none now."""
        if dtype in {"int64", "uint64"}:
            self.check_bits(dtype, what)

    def check_bits(self, dtype: str, what: str) -> None:
        """Raise TypeError for a dtype of 64 bits where there are none now."""
        if dtype in {"int64", "uint64", "float64"} and not self.of.has_64_bits():
            raise XpnnTypeError(
                f"{self.name}: expected {dtype}, which {what} is everywhere, got a library whose "
                "64-bit types are switched off; name a dtype of 32 bits (dtype=...), convert with "
                "astype, or switch those types on"
            )

    @property
    def index_dtype(self) -> DType:
        """The library's dtype of indices and counts: int64, or int32 where that is all there is."""
        return self.of.xp.int64 if self.of.has_64_bits() else self.of.xp.int32

    def check_written(self, value: Any, to: ReproducibleArray) -> None:
        """Raise TypeError for an array that cannot be written into another without a loss of kind."""
        if value is None or isinstance(value, str | bytes):
            raise XpnnTypeError(f"{self.name}: expected to write numbers or arrays, got {value!r}")
        if type(value) is float or not hasattr(value, "dtype") or not hasattr(value, "shape"):
            return
        kinds = ("bool", "integer", "floating")
        if not self.is_array(value) or kinds.index(kind_of(dtype_name(value.dtype))) > kinds.index(
            kind_of(dtype_name(to.dtype))
        ):
            raise XpnnTypeError(
                f"{self.name}: expected to write numbers or arrays of this namespace, of the kind of "
                f"{dtype_name(to.dtype)}, got {type(value).__module__}.{type(value).__qualname__} of "
                f"{value.dtype}; convert it, e.g. with asarray and astype"
            )

    def native_of(self, x: Any, like: Sequence[Any] = ()) -> Any:
        if isinstance(x, ReproducibleArray) or self.is_native(x):
            return self.wrap(x)._native
        if isinstance(x, float):
            names = {dtype_name(a.dtype) for a in like} & FLOATS.keys()
            if len(names) == 1 and FLOATS[min(names)] == 16:
                return clean_number(nearest(x, min(names)), min(names))
            dtype = "float64" if "float64" in names else "float32"
            return clean_number(nearest(x, dtype), dtype)
        if isinstance(x, list | tuple):
            return type(x)(self.native_of(v) for v in x)
        return x

    def result(self, y: Any, given: Sequence[Any]) -> Any:
        """Wrap results, unless only arrays of the library itself were given."""
        wrapped = any(_holds(v, ReproducibleArray) for v in given) or not any(
            _holds_native(self, v) for v in given
        )
        return self.returned(y, wrapped)

    def returned(self, y: Any, wrapped: bool) -> Any:
        if isinstance(y, tuple) and hasattr(y, "_fields"):
            return type(y)(*(self.returned(v, wrapped) for v in y))
        if isinstance(y, list | tuple):
            return type(y)(self.returned(v, wrapped) for v in y)
        if not hasattr(y, "dtype"):
            return y
        return self.own(y) if wrapped else self.of.returned(self.unwrap(self.own(y)))


def natives_of(y: Any) -> Any:
    """The library's own arrays in place of wrapped ones."""
    if isinstance(y, tuple):
        return tuple(map(natives_of, y))
    return y._native if isinstance(y, ReproducibleArray) else y


def _holds(value: Any, kind: type) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds(v, kind) for v in value)
    return isinstance(value, kind)


def _holds_native(boundary: Boundary, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_native(boundary, v) for v in value)
    return boundary.is_native(value)
