"""Arrays of a library into a reproducible namespace, and out of it again."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name, dtype_named, nearest, promote
from xpnn._arrays.library import device_of, in_native_order, library
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._reproducible.arithmetic.double import LEAST_DOUBLE, LEAST_SINGLE
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.operands import check_operands
from xpnn.errors import XpnnTypeError

_SMALLEST = {"float16": 2.0**-24, "bfloat16": LEAST_SINGLE, "float32": LEAST_SINGLE}
"""What is less is 0. The subnormal numbers of float16 are ordinary ones of float32, and are kept."""


class Wrapping:
    """What a reproducible namespace takes and gives: its own arrays, or its library's."""

    of: Library
    native_namespace: Namespace

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Find a function that the library's namespace has too."""

    def takes(self, value: Any) -> bool:
        """Whether an operator of an array of this namespace takes `value`."""
        return isinstance(value, bool | int | float) or self._is_array(value)

    def _is_array(self, value: Any) -> bool:
        return isinstance(value, self.Array) or self._is_native(value)

    def _is_native(self, value: Any) -> bool:
        if type(value) is float:  # torch.compile cannot ask one that it traces for attributes
            return False
        if isinstance(value, ReproducibleArray | type | int | slice) or not hasattr(value, "dtype"):
            return False
        return library(value, "an argument", self.__name__).xp is self.native_namespace

    def wrap(self, x: Array) -> ReproducibleArray:
        """Take an array of the library; its subnormal numbers and -0 become 0."""
        if isinstance(x, ReproducibleArray):
            if not isinstance(x, self.Array):
                raise XpnnTypeError(
                    f"{self.__name__}: expected arrays of one library, got one of "
                    f"{type(x)._namespace.__name__}; convert it, e.g. asarray(x.native)"
                )
            return x
        x = in_native_order(x)
        name = dtype_name(x.dtype)
        if name in FLOATS:
            x = self._run("clean", name, [x], {})
        elif name not in {"bool", *INTEGERS}:
            raise XpnnTypeError(f"{self.__name__}: expected real values, got dtype {name}")
        return self.Array(x)

    def unwrap(self, x: ReproducibleArray) -> Array:
        """Give the library's own array, with NaN of one kind."""
        y = x._native
        if dtype_name(y.dtype) not in FLOATS:
            return y
        if dtype_name(y.dtype) == "float64" and not self.of.has_64_bits():
            with self.guard("float64"):  # or JAX would make float32 of it
                return self._choose(y != y, math.nan, y)
        return self._choose(y != y, math.nan, y)

    def copied(self, x: Array) -> Array:
        """Copy an array of the library; derivatives pass."""
        return self.native_namespace.astype(x, x.dtype, copy=True)

    def _clean(self, x: Array) -> Array:
        """Make subnormal numbers and -0 of a floating array 0."""
        least = _SMALLEST.get(dtype_name(x.dtype), LEAST_DOUBLE)
        xp = self.native_namespace
        return self._choose(xp.abs(x) < least, 0.0, x)

    @staticmethod
    def _clean_number(x: float, dtype: str) -> float:
        return 0.0 if abs(x) < _SMALLEST.get(dtype, LEAST_DOUBLE) else x

    def dtype_named(self, name: str) -> DType:
        """Return the library's dtype of that name; TypeError where it has none now."""
        if name in {"int64", "uint64"}:
            self.check_integer(name, "it")
        found = dtype_named(self.native_namespace, name)
        if found is None:
            raise XpnnTypeError(f"{self.__name__}: expected a dtype that is there, got {name}")
        return found

    def check_integer(self, dtype: str, what: str) -> None:
        """Raise TypeError for an integer dtype of 64 bits where there are none now."""
        if dtype in {"int64", "uint64"} and not self.of.has_64_bits():
            raise XpnnTypeError(
                f"{self.__name__}: expected {dtype}, which {what} is everywhere, got a library whose "
                "64-bit types are switched off; name a dtype of 32 bits (dtype=...), convert with "
                "astype, or switch those types on"
            )

    def _choose(self, condition: Array, number: float, x: Array) -> Array:
        """Return x with a number where a condition holds, in its own dtype.

        For NumPy a number beside an array of bfloat16 is one of float64, which holds all its values.
        """
        y = self.native_namespace.where(condition, number, x)
        return y if y.dtype == x.dtype else self.native_namespace.astype(y, x.dtype)

    def _native_of(self, x: Any, like: Sequence[Any] = ()) -> Any:
        if isinstance(x, ReproducibleArray) or self._is_native(x):
            return self.wrap(x)._native
        if isinstance(x, float):
            names = {dtype_name(a.dtype) for a in like} & FLOATS.keys()
            if len(names) == 1 and FLOATS[min(names)] == 16:
                return self._clean_number(nearest(x, min(names)), min(names))
            return self._clean_number(x, "float64" if "float64" in names else "float32")
        if isinstance(x, list | tuple):
            return type(x)(self._native_of(v) for v in x)
        return x

    def _result(self, y: Any, given: Sequence[Any]) -> Any:
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
        return self.Array(y) if wrapped else self.of.returned(self.unwrap(self.Array(y)))

    def _of_one_dtype(self, name: str, args: Sequence[Any]) -> list[ReproducibleArray]:
        """Wrap arrays and Python numbers, as the dtype that they promote to."""
        arrays = [self.wrap(a) for a in args if self._is_array(a)]
        if not arrays:
            raise XpnnTypeError(
                f"{self.__name__}.{name}: expected an array, got {type(args[0]).__qualname__}; "
                "make one with asarray"
            )
        names = {dtype_name(a.dtype) for a in arrays}
        if not names <= FLOATS.keys():
            raise XpnnTypeError(
                f"{self.__name__}.{name}: expected floating values, got dtype "
                f"{', '.join(sorted(names))}; convert them with astype"
            )
        check_operands(self, "add", args, {})
        dtype = arrays[0].dtype if len(names) == 1 else self.dtype_named(promote(names))
        rest = iter(arrays)
        device = device_of(arrays[0])
        result = []
        for a in args:
            x = next(rest) if self._is_array(a) else self.asarray(a, dtype=dtype, device=device)
            result.append(x if x.dtype == dtype else self.astype(x, dtype))
        return result


def natives_of(y: Any) -> Any:
    """The library's own arrays in place of wrapped ones."""
    if isinstance(y, tuple):
        return tuple(map(natives_of, y))
    return y._native if isinstance(y, ReproducibleArray) else y


def _holds(value: Any, kind: type) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds(v, kind) for v in value)
    return isinstance(value, kind)


def _holds_native(xp: Wrapping, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_native(xp, v) for v in value)
    return xp._is_native(value)
