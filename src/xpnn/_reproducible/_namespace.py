"""The namespace that `reproducible` gives: the standard's functions, the same bits everywhere."""

import functools
import math
from collections.abc import Callable
from typing import Any

from xpnn._arrays import device_of
from xpnn._dtypes import FLOATS, INTEGERS, computing_float, dtype_name
from xpnn._reproducible._array import ReproducibleArray
from xpnn._reproducible._computed import Computed
from xpnn._reproducible._operands import check_operands
from xpnn._transfer import check_dtype, to_device
from xpnn._types import Device, DType
from xpnn.errors import NotReproducibleError

# Handed through to the library: moves, compares, selects or counts, and rounds nothing.
_EXACT = frozenset(
    """
    abs all any argsort bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to clip concat count_nonzero
    equal expand_dims flip greater greater_equal isfinite isin isinf isnan less less_equal
    logical_and logical_not logical_or logical_xor matrix_transpose max maximum meshgrid min
    minimum moveaxis nonzero not_equal permute_dims repeat reshape roll searchsorted
    sign sort squeeze stack take take_along_axis tile tril triu unique_all
    unique_counts unique_inverse unique_values unstack where
    """.split()
)
# The same, but a result may be -0, which becomes 0.
_EXACT_BUT_ZERO = frozenset(["ceil", "floor", "round", "trunc"])
_ORDERING = frozenset(["argsort", "sort"])
_LISTS = frozenset(["broadcast_arrays", "meshgrid"])
"""What gives a list, by the standard; some libraries give a tuple."""
_CREATION = frozenset(
    "empty empty_like eye from_dlpack full full_like ones ones_like zeros zeros_like".split()
)
_PLAIN = frozenset("broadcast_shapes can_cast isdtype finfo iinfo result_type".split())
_DTYPES = frozenset(["bool", *INTEGERS, *FLOATS])


class ReproducibleNamespace(Computed):
    """An Array API namespace over that of a library; see `reproducible`."""

    def __repr__(self) -> str:
        return self.__name__

    def __array_namespace_info__(self) -> Any:
        return _RealInfo(self.native_namespace.__array_namespace_info__())

    @property
    def __array_api_version__(self) -> str:
        return str(getattr(self.native_namespace, "__array_api_version__", "2024.12"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"of", "native_namespace"}:
            raise AttributeError(name)
        found: Any = getattr(self.native_namespace, name, None)
        if name in _EXACT or name in _EXACT_BUT_ZERO:
            value = self._passed_through(name, found)
        elif name in _CREATION:
            value = self._creation(found)
        elif name in _PLAIN:
            value = self._plain(found)
        elif name in _DTYPES and found is not None:
            value = found
        else:
            raise NotReproducibleError(
                f"{name} has no definition in {self.__name__} that would give the same bits on "
                "every library; write it with functions that are there, or leave the "
                "reproducible way for it: x.native is the library's own array"
            )
        setattr(self, name, value)
        return value

    # Functions that are handed through

    def _passed_through(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(found)
        def function(*args: Any, **options: Any) -> Any:
            check_operands(self.__name__, name, args, options)
            if name in _ORDERING:
                options["stable"] = True  # equal entries stay in order, everywhere
            given = [*args, *options.values()]
            arrays = [a for a in given if hasattr(a, "dtype") and hasattr(a, "shape")]
            y = found(
                *(self._native_of(a, arrays) for a in args),
                **{k: self._native_of(v, arrays) for k, v in options.items()},
            )
            if name in _EXACT_BUT_ZERO and dtype_name(y.dtype) in FLOATS:
                y = self.native_namespace.where(y == 0, 0.0, y)
            return self._result(list(y) if type(y) is tuple and name in _LISTS else y, given)

        return function

    def _creation(self, found: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(found)
        def function(*args: Any, **options: Any) -> Any:
            self._check_dtype(options.get("dtype"))
            return self.wrap(found(*map(_unwrapped, args), **options))

        return function

    def _plain(self, found: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(found)
        def function(*args: Any, **options: Any) -> Any:
            return found(*(self._native_of(a) for a in args), **options)

        return function

    def _check_dtype(self, dtype: DType | None) -> None:
        if dtype is not None:
            check_dtype(self.of, dtype_name(dtype))

    def asarray(
        self,
        obj: Any,
        /,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
        copy: bool | None = None,
    ) -> ReproducibleArray:
        """Return an array of this namespace; subnormal numbers and -0 become 0."""
        self._check_dtype(dtype)
        if isinstance(obj, ReproducibleArray) or self._is_native(obj):
            x = self.wrap(obj)
            if device is not None and device != device_of(x):
                x = self.to_device(x, device)
            if dtype is not None and dtype != x.dtype:
                return self.astype(x, dtype)  # type: ignore[no-any-return]
            return self.Array(self.copied(x._native)) if copy else x  # noqa: SLF001
        if isinstance(obj, list | tuple):
            obj = _unwrapped(obj)
        return self.wrap(self.native_namespace.asarray(obj, dtype=dtype, device=device, copy=copy))

    def arange(
        self,
        start: float,
        /,
        stop: float | None = None,
        step: float = 1,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
    ) -> ReproducibleArray:
        """Return start + i * step below stop, of floating values each rounded as it stands."""
        start, stop = (0, start) if stop is None else (start, stop)
        floats = any(isinstance(v, float) for v in (start, stop, step))
        if not floats and (dtype is None or dtype_name(dtype) not in FLOATS):
            xp = self.native_namespace
            return self.Array(xp.arange(start, stop, step, dtype=dtype, device=device))
        count = max(math.ceil((stop - start) / step), 0)
        return self._floats([start + i * step for i in range(count)], dtype, device)

    def linspace(
        self,
        start: float,
        stop: float,
        /,
        num: int,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
        endpoint: bool = True,
    ) -> ReproducibleArray:
        """Return start + i * step for step = (stop - start) / (num - 1), and stop itself."""
        start, stop = float(start), float(stop)
        step = (stop - start) / max(num - 1 if endpoint else num, 1)
        values = [start + i * step for i in range(num)]
        if endpoint and num > 1:
            values[-1] = stop
        return self._floats(values, dtype, device)

    def _floats(
        self, values: list[float], dtype: DType | None, device: Device | None
    ) -> ReproducibleArray:
        self._check_dtype(dtype)
        xp = self.native_namespace
        dtype = xp.asarray(0.0).dtype if dtype is None else dtype
        computing = getattr(xp, computing_float(dtype_name(dtype)), dtype)
        y = self.asarray([float(v) for v in values], dtype=computing, device=device)
        return self.astype(y, dtype)  # type: ignore[no-any-return]

    def to_device(self, x: ReproducibleArray, device: Device) -> ReproducibleArray:
        """Move to another device of the library."""
        return self.Array(to_device(x._native, device))  # noqa: SLF001


class _RealInfo:
    """What a library says of itself, without its complex dtypes."""

    def __init__(self, info: Any) -> None:
        self._info = info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._info, name)

    def dtypes(
        self, *, device: Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        found = self._info.dtypes(device=device, kind=kind)
        return {name: dtype for name, dtype in found.items() if name in _DTYPES}

    def default_dtypes(self, *, device: Device | None = None) -> dict[str, DType]:
        found = self._info.default_dtypes(device=device)
        return {kind: dtype for kind, dtype in found.items() if not kind.startswith("complex")}


def _unwrapped(obj: Any) -> Any:
    if isinstance(obj, list | tuple):
        return [_unwrapped(v) for v in obj]
    return obj._native if isinstance(obj, ReproducibleArray) else obj  # noqa: SLF001
