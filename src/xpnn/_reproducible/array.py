"""The array type of a reproducible namespace: its operators are the namespace's functions."""

from typing import Any

from xpnn._arrays.axes import as_index
from xpnn._arrays.dtypes import python_number
from xpnn._arrays.operators import BINARY, COMPARISONS, UNARY
from xpnn._arrays.types import Array, Device, DType, Namespace
from xpnn.errors import XpnnTypeError


class ReproducibleArray:
    """An array whose operators and functions round alike on every backend.

    Make one with ``xp = xpnn.reproducible(...)``, ``xp.asarray(x)``; `native` gives the library's
    own array back. It has the attributes, methods and operators of the Array API standard. It holds
    no subnormal numbers and no -0.
    """

    __slots__ = ("_native", "_split")
    _namespace: Namespace
    """Set by the class that each namespace makes for its arrays."""

    def __init__(self, native: Array) -> None:
        self._native = native
        self._split: tuple[int, Any] | None = None

    @property
    def native(self) -> Array:
        """The library's own array, with NaN of one kind."""
        return self._namespace.boundary.unwrap(self)

    @property
    def dtype(self) -> DType:
        """dtype of the elements, as the library names it."""
        return self._native.dtype

    @property
    def device(self) -> Device:
        """Where the array is."""
        return getattr(self._native, "device", None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self._native.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._native.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for m in self.shape:
            n *= m
        return n

    @property
    def T(self) -> "ReproducibleArray":  # noqa: N802
        """Transpose of an array of two axes."""
        return type(self)(self._native.T)

    @property
    def mT(self) -> Any:  # noqa: N802
        """Transpose of the last two axes."""
        return self._namespace.matrix_transpose(self)

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self._namespace

    def to_device(self, device: Device, /, *, stream: Any = None) -> Any:
        """Move to another device of the library."""
        return self._namespace.to_device(self, device)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        options = {"max_version": max_version, "dl_device": dl_device, "copy": copy}
        given = {name: value for name, value in options.items() if value is not None}
        return self.native.__dlpack__(stream=stream, **given)

    def __dlpack_device__(self) -> Any:
        return self._native.__dlpack_device__()

    def __getitem__(self, key: Any) -> "ReproducibleArray":
        return type(self)(self._namespace.item(self, key))

    def __setitem__(self, key: Any, value: Any) -> None:
        value = python_number(value)
        self._namespace.boundary.check_written(value, self)
        value = self._namespace.asarray(value, dtype=self.dtype, device=self.device)
        self._native[self._namespace.index(key, self.shape)] = value._native
        self._namespace.writes += 1

    def __len__(self) -> int:
        self._check_axis("len()")
        return self.shape[0]

    def __iter__(self) -> Any:
        self._check_axis("iter()")
        return (self[i, ...] for i in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        found = self == value
        return found is True or (found is not False and bool(self._namespace.any(found)))

    def _check_axis(self, called: str) -> None:
        if not self.shape:
            raise XpnnTypeError(f"{called}: expected an array with an axis, got one without")

    __array_ufunc__ = None  # NumPy's arrays and numbers leave their operators to this class

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise XpnnTypeError(
            f"expected {self._namespace.__name__} to give its array away on purpose, got an array "
            "that NumPy was to convert; x.native is the library's own array, e.g. "
            "numpy.asarray(x.native)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._native,)

    def __bool__(self) -> bool:
        return bool(self._native)

    def __int__(self) -> int:
        return int(self._native)

    def __float__(self) -> float:
        return float(self._native)

    def __index__(self) -> int:
        return as_index(self._native)

    def __repr__(self) -> str:
        return f"reproducible({self._native!r})"

    __hash__ = None  # type: ignore[assignment]

    def __pow__(self, other: Any) -> Any:
        return self._namespace.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        other = _operand(self, other)
        return other if other is NotImplemented else self._namespace.pow(other, self)

    def __pos__(self) -> Any:
        return self._namespace.positive(self)


def _restored(native: Array) -> ReproducibleArray:
    from xpnn._reproducible import reproducible  # which imports this file

    return reproducible(native).Array(native)


def _operand(self: ReproducibleArray, other: Any) -> Any:
    """Return what an operator of `self` takes for `other`; NotImplemented if that is no number.

    A number of NumPy's is taken as Python's: on every library it takes the array's dtype, then.
    """
    other = python_number(other)
    if self._namespace.boundary.takes(other):
        return other
    if hasattr(other, "dtype") and hasattr(other, "shape"):
        raise XpnnTypeError(
            f"expected arrays of one library, got one of {self._namespace.__name__} and a "
            f"{type(other).__module__}.{type(other).__qualname__}; convert it, e.g. asarray(...)"
        )
    return NotImplemented


def _binary(name: str) -> Any:
    def operator(self: ReproducibleArray, other: Any) -> Any:
        other = _operand(self, other)
        if other is NotImplemented:
            return NotImplemented
        return getattr(self._namespace, name)(self, other)

    return operator


def _reflected(name: str) -> Any:
    def operator(self: ReproducibleArray, other: Any) -> Any:
        other = _operand(self, other)
        if other is NotImplemented:
            return NotImplemented
        return getattr(self._namespace, name)(other, self)

    return operator


def _unary(name: str) -> Any:
    return lambda self: getattr(self._namespace, name)(self)


for _name, _function in BINARY.items():
    setattr(ReproducibleArray, f"__{_name}__", _binary(_function))
    setattr(ReproducibleArray, f"__r{_name}__", _reflected(_function))
for _name, _function in COMPARISONS.items():
    setattr(ReproducibleArray, f"__{_name}__", _binary(_function))
for _name, _function in UNARY.items():
    setattr(ReproducibleArray, f"__{_name}__", _unary(_function))
