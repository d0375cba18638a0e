"""Arrays whose operations a compiler must leave as they are written.

XLA contracts a * b + c into one rounding, takes (x + c) - c for x, multiplies by the reciprocal of a
divisor. `Barriered` has the operators of an array, each behind a barrier. Where no compiler sees the
operations, on NumPy and PyTorch, the library's own arrays need none of it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn._arrays.library import library_of_namespace
from xpnn._arrays.transfer import constant
from xpnn._arrays.types import Array, Namespace

_ARITHMETIC = {"matmul", "sum", "cumulative_sum", "round", "floor", "astype"}


class Barriered:
    """An array whose every operation is rounded by itself."""

    __slots__ = ("native", "xp")

    def __init__(self, native: Array, xp: "BarrierNamespace") -> None:
        self.native, self.xp = native, xp

    def _operate(self, operator: str, other: Any, *, barrier: bool = True) -> "Barriered":
        result = getattr(self.native, operator)(_native(other))
        return Barriered(self.xp.barrier(result) if barrier else result, self.xp)

    def __add__(self, other: Any) -> "Barriered":
        return self._operate("__add__", other)

    def __sub__(self, other: Any) -> "Barriered":
        return self._operate("__sub__", other)

    def __mul__(self, other: Any) -> "Barriered":
        return self._operate("__mul__", other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> "Barriered":
        return self._operate("__rsub__", other)

    def __truediv__(self, other: Any) -> "Barriered":
        return self.xp.divide(self.native, _native(other))

    def __rtruediv__(self, other: Any) -> "Barriered":
        return self.xp.divide(_native(other), self.native)

    def __neg__(self) -> "Barriered":
        return Barriered(-self.native, self.xp)

    def __lt__(self, other: Any) -> "Barriered":
        return self._operate("__lt__", other, barrier=False)

    def __le__(self, other: Any) -> "Barriered":
        return self._operate("__le__", other, barrier=False)

    def __gt__(self, other: Any) -> "Barriered":
        return self._operate("__gt__", other, barrier=False)

    def __ge__(self, other: Any) -> "Barriered":
        return self._operate("__ge__", other, barrier=False)

    def __eq__(self, other: object) -> "Barriered":  # type: ignore[override]
        return self._operate("__eq__", other, barrier=False)

    def __ne__(self, other: object) -> "Barriered":  # type: ignore[override]
        return self._operate("__ne__", other, barrier=False)

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, other: Any) -> "Barriered":
        return self._operate("__and__", other, barrier=False)

    def __or__(self, other: Any) -> "Barriered":
        return self._operate("__or__", other, barrier=False)

    def __invert__(self) -> "Barriered":
        return Barriered(~self.native, self.xp)

    def __getitem__(self, index: Any) -> "Barriered":
        return Barriered(self.native[index], self.xp)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.native.shape)


class BarrierNamespace:
    """The functions of `xp` on `Barriered` arrays."""

    def __init__(self, xp: Namespace, barrier: Callable[[Array], Array]) -> None:
        self.native, self.barrier = xp, barrier

    def divide(self, a: Any, b: Any) -> Barriered:
        """a / b, where b is no constant nor broadcast that a reciprocal could stand for.

        b is chosen element by element, by a, as jax.vmap would broadcast a b that is the same in
        the whole batch behind any barrier.
        """
        xp = self.native
        a = xp.full_like(b, a) if isinstance(a, float) else a
        b = xp.full_like(a, b) if isinstance(b, float) else b
        b = self.barrier(xp.where(a == a, b, math.nan))
        return Barriered(self.barrier(a / b), self)

    def loop(
        self, term: Any, add: Any, count: int, parts: list[tuple[Array, int, int]]
    ) -> tuple[Barriered, Barriered]:
        """Add up term(*parts) of all steps in order: add((sum, what is lost), y) gives such a pair.

        `parts` are arrays, how many entries a step takes, and along which axis.
        """
        loop = library_of_namespace(self.native).loop

        def step(sums: tuple[Array, Array], *given: Array) -> tuple[Array, Array]:
            total, lost = add(tuple(Barriered(a, self) for a in sums), term(*given))
            return total.native, lost.native

        first = term(*(_first(a, size, axis) for a, size, axis in parts)).native
        total, lost = loop(step, (first, self.native.zeros_like(first)), 1, count, parts)
        return Barriered(total, self), Barriered(lost, self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.native, name)
        if not callable(found) or name in {"float32", "float64", "int64"}:
            return found

        def function(*args: Any, **options: Any) -> Barriered:
            result = found(*map(_native, args), **options)
            return Barriered(self.barrier(result) if name in _ARITHMETIC else result, self)

        return function


def _first(a: Array, size: int, axis: int) -> Array:
    """The first entries along an axis, which is counted from the end."""
    return a[(..., slice(0, size), *[slice(None)] * (-axis - 1))]


def _native(a: Any) -> Any:
    return a.native if isinstance(a, Barriered) else a


def native(a: Any) -> Array:
    """Return the library's own array of `a`."""
    return _native(a)


def barriered(
    xp: Namespace, barrier: Callable[[Array], Array] | None, arrays: Sequence[Array]
) -> tuple[Namespace, Sequence[Any]]:
    """Return the namespace and arrays in which to compute: Barriered ones where there is a barrier."""
    if barrier is None:
        return xp, arrays
    wrapped = BarrierNamespace(xp, barrier)
    return wrapped, [Barriered(a, wrapped) for a in arrays]


def own_namespace(xp: Namespace) -> Namespace:
    """Return the library's own namespace: for operations that are exact, whatever becomes of them."""
    return xp.native if isinstance(xp, BarrierNamespace) else xp


def as_barriered(a: Array, xp: Namespace) -> Any:
    """Return an array of the library as one of `xp`."""
    return Barriered(a, xp) if isinstance(xp, BarrierNamespace) else a


def lookup(
    table: Callable[[], tuple[float, ...]], index: Array, xp: Namespace, last: int | None = None
) -> Array:
    """Return the entries of a table of constants; `index` holds integers, as float64.

    Where it may hold NaN, `last` is the last index that there is.
    """
    own = own_namespace(xp)
    at = own.astype(_native(index), own.int64)
    at = at if last is None else own.clip(at, 0, last)
    entries = constant(table, own, at)
    if hasattr(own, "take_any"):  # of an index of any shape, which the standard does not have
        return as_barriered(own.take_any(entries, at), xp)
    found = own.reshape(own.take(entries, own.reshape(at, (-1,)), axis=0), at.shape)
    return as_barriered(found, xp)
