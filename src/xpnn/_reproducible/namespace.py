"""The namespace that `reproducible` gives: the standard's functions, the same bits everywhere."""

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from xpnn._arrays.dtypes import FLOATS, INTEGERS, computing_float, dtype_name, nearest
from xpnn._arrays.library import device_of
from xpnn._arrays.transfer import check_dtype
from xpnn._arrays.types import Device, DType
from xpnn._reproducible.arithmetic.elementwise import ELEMENTWISE
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.computed import Computed
from xpnn._reproducible.indexed import Indexed
from xpnn._reproducible.operands import (
    change_operands,
    check_fits,
    check_number,
    check_operands,
    common_dtype,
    operands_of,
)
from xpnn.errors import NotReproducibleError, XpnnTypeError, XpnnValueError

# Handed through to the library: moves, compares, selects or counts, and rounds nothing.
_EXACT = frozenset(
    """
    abs all any argsort bitwise_and bitwise_invert bitwise_or bitwise_xor broadcast_arrays
    broadcast_to clip concat equal expand_dims flip greater greater_equal isfinite isinf isnan
    less less_equal logical_and logical_not logical_or logical_xor matrix_transpose max maximum
    meshgrid min minimum moveaxis nonzero not_equal permute_dims repeat reshape roll sign sort
    squeeze stack tile tril triu unique_all unique_counts unique_inverse unique_values unstack where
    """.split()
)
# The same, but a result may be -0, which becomes 0.
_EXACT_BUT_ZERO = frozenset(["ceil", "floor", "round", "trunc"])
_OF_ARRAYS_ALONE = frozenset(["maximum", "minimum"])
"""What torch has of arrays alone; what makes arrays of numbers there, torch.compile does not trace."""
_ORDERING = frozenset(["argsort", "sort"])
_LISTS = frozenset(["broadcast_arrays", "meshgrid"])
"""What gives a list, by the standard; some libraries give a tuple."""
_CREATION = frozenset("empty empty_like eye from_dlpack ones ones_like zeros zeros_like".split())
_PLAIN = frozenset("isdtype finfo iinfo".split())
_INSIDE = frozenset("item index index_dtype check_default_float".split())
"""What is no function of the standard."""
_DTYPES = frozenset(["bool", *INTEGERS, *FLOATS])


class ReproducibleNamespace(Indexed):
    """An Array API namespace over that of a library; see `reproducible`."""

    def __repr__(self) -> str:
        return self.__name__

    def __array_namespace_info__(self) -> Any:
        return _RealInfo(self.native_namespace.__array_namespace_info__(), self)

    @property
    def __array_api_version__(self) -> str:
        return str(getattr(self.native_namespace, "__array_api_version__", "2024.12"))

    def __dir__(self) -> list[str]:
        """Names of the standard's functions that are here, and of a few more."""
        own = [
            name
            for kind in (Computed, Indexed, ReproducibleNamespace)
            for name in vars(kind)
            if not name.startswith("_") and name not in _INSIDE
        ]
        return sorted({*own, *ELEMENTWISE, *_EXACT, *_EXACT_BUT_ZERO, *_CREATION, *_PLAIN})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"of", "native_namespace"}:
            raise AttributeError(name)
        found: Any = getattr(self.native_namespace, name, None)
        if found is None and not name.startswith("_"):
            raise NotReproducibleError(f"{self.__name__} has no {name}: the library has none")
        if name in _EXACT or name in _EXACT_BUT_ZERO:
            value = self._passed_through(name, found)
        elif name in _CREATION:
            value = self._creation(name, found)
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
            check_operands(self, name, args, options)
            if name in _ORDERING:
                options["stable"] = True  # equal entries stay in order, everywhere
            given = [*args, *options.values()]
            operands, options, common = self._widened(name, args, options)
            arrays = [a for a in given if self._is_array(a)]
            if name in _OF_ARRAYS_ALONE:
                dtype, device = arrays[0].dtype, device_of(arrays[0])
                operands = [self._as_array(a, dtype, device) for a in operands]
            native = [self._native_of(a, arrays) for a in operands]
            options = {k: self._native_of(v, arrays) for k, v in options.items()}
            # JAX would make float32 of them where its 64-bit types are switched off.
            wide = any(dtype_name(a.dtype) == "float64" for a in arrays)
            with nullcontext() if self.of.has_64_bits() or not wide else self.guard("float64"):
                y = found(*native, **options)
            if common is not None and dtype_name(y.dtype) in FLOATS:
                y = self.native_namespace.astype(y, common)
            if name in _EXACT_BUT_ZERO and dtype_name(y.dtype) in FLOATS:
                y = self._choose(y == 0, 0.0, y)
            return self._result(list(y) if type(y) is tuple and name in _LISTS else y, given)

        return function

    def _as_array(self, a: Any, dtype: DType, device: Device | None) -> Any:
        """Return a number as an array of a dtype, an array as it is."""
        return a if self._is_array(a) else self.asarray(a, dtype=dtype, device=device)

    def _widened(
        self, name: str, args: Sequence[Any], options: dict[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any], DType | None]:
        """Return operands of which one is bfloat16 as float32, and the dtype of the result.

        NumPy knows neither what bfloat16 promotes to nor that a number beside it takes its dtype.
        """
        arrays = [a for a in operands_of(name, args, options) if self._is_array(a)]
        names = {dtype_name(a.dtype) for a in arrays}
        if "bfloat16" not in names:
            return args, options, None
        common, device = self.dtype_named(common_dtype(names)), device_of(arrays[0])
        wide = self.dtype_named(computing_float(dtype_name(common)))

        def widened(a: Any) -> Any:
            if a is None:
                return None
            return self.astype(self._as_array(a, common, device), wide, copy=False)

        return *change_operands(name, args, options, widened), common

    def _creation(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(found)
        def function(*args: Any, **options: Any) -> Any:
            if not name.endswith("_like") and options.get("dtype") is None:
                options["dtype"] = self._default("floating")
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
            name = dtype_name(dtype)
            self.check_integer(name, "the dtype that was asked for")
            check_dtype(self.of, name)

    def _default(self, kind: str) -> DType:
        """Return the dtype of what is made without one: the same everywhere."""
        xp = self.native_namespace
        if kind == "floating":
            self.check_default_float("what is made without a dtype")
        return {"floating": xp.float64, "integer": self.index_dtype, "bool": xp.bool}[kind]

    def check_default_float(self, what: str) -> None:
        """Raise TypeError where there is no float64 now, in which `what` has its results everywhere."""
        if not self.of.has_64_bits():
            raise XpnnTypeError(
                f"{self.__name__}: {what}: expected floating values or dtype=..., as the default is "
                "float64 everywhere, got none, and this library's 64-bit types are switched off; "
                "convert integers with astype, name a dtype, or switch those types on"
            )

    def asarray(
        self,
        obj: Any,
        /,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
        copy: bool | None = None,
    ) -> ReproducibleArray:
        """Return an array of this namespace; subnormal numbers and -0 become 0.

        Python's floats become float64 and integers int64 where no dtype is named.
        """
        self._check_dtype(dtype)
        if isinstance(obj, ReproducibleArray) or self._is_native(obj):
            x = self.wrap(obj)
            if device is not None and device != device_of(x):
                x = self.to_device(x, device)
            if dtype is not None and dtype != x.dtype:
                return self.astype(x, dtype)
            return self.Array(self.copied(x._native)) if copy else x
        numbers = _numbers(obj)
        if numbers is not None:
            obj, dtype = self._of_numbers(obj, numbers, dtype)
        elif isinstance(obj, list | tuple):
            obj = _unwrapped(obj)
        return self.wrap(self.native_namespace.asarray(obj, dtype=dtype, device=device, copy=copy))

    def _of_numbers(self, obj: Any, numbers: list[Any], dtype: DType | None) -> tuple[Any, DType]:
        """Return Python numbers as the library is to take them, and the dtype; refuse what is lost."""
        if dtype is None:
            types = set(map(type, numbers))
            dtype = self._default(next((k for t, k in _KINDS.items() if t in types), "floating"))
        to = dtype_name(dtype)
        for v in numbers:
            check_number(f"{self.__name__}.asarray", v, to)
        if FLOATS.get(to) == 16:
            obj = _mapped(obj, lambda v: nearest(float(v), to))
        return obj, dtype

    def full(
        self,
        shape: int | tuple[int, ...],
        fill_value: float,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
    ) -> ReproducibleArray:
        """Return an array of one number."""
        x = self.asarray(fill_value, dtype=dtype, device=device)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return self.positive(self.broadcast_to(x, shape))

    def full_like(
        self,
        x: Any,
        /,
        fill_value: float,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
    ) -> ReproducibleArray:
        """Return an array of one number, with the shape and the dtype of another."""
        dtype = x.dtype if dtype is None else dtype
        device = device_of(x) if device is None else device
        return self.full(tuple(x.shape), fill_value, dtype=dtype, device=device)

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
        if step == 0 or (dtype is not None and dtype_name(dtype) not in INTEGERS | FLOATS.keys()):
            raise XpnnValueError(
                f"{self.__name__}.arange: expected a step that is not 0 and a numeric dtype, got "
                f"{step} and {dtype}"
            )
        floats = any(isinstance(v, float) for v in (start, stop, step))
        if not floats and (dtype is None or dtype_name(dtype) not in FLOATS):
            xp = self.native_namespace
            dtype = self._default("integer") if dtype is None else dtype
            self._check_dtype(dtype)
            numbers = range(int(start), int(stop), int(step))
            for end in (numbers[0], numbers[-1]) if numbers else ():
                check_fits(f"{self.__name__}.arange", end, dtype_name(dtype))
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
        if num < 0:
            raise XpnnValueError(f"{self.__name__}.linspace: expected num of 0 or more, got {num}")
        start, stop = float(start), float(stop)
        step = (stop - start) / max(num - 1 if endpoint else num, 1)
        values = [start + i * step for i in range(num)]
        if endpoint and num > 1:
            values[-1] = stop
        return self._floats(values, dtype, device)

    def _floats(
        self, values: list[float], dtype: DType | None, device: Device | None
    ) -> ReproducibleArray:
        dtype = self._default("floating") if dtype is None else dtype
        self._check_dtype(dtype)
        computing = computing_float(dtype_name(dtype)) if dtype_name(dtype) in FLOATS else "float64"
        y = self.asarray(
            [float(v) for v in values], dtype=self.dtype_named(computing), device=device
        )
        return self.astype(y, dtype)

    def to_device(self, x: ReproducibleArray, device: Device) -> ReproducibleArray:
        """Move to another device of the library."""
        return self.Array(self.of.to_device(x._native, device))


class _RealInfo:
    """What a library says of itself, without its complex dtypes; the defaults are the same everywhere."""

    def __init__(self, info: Any, xp: ReproducibleNamespace) -> None:
        self._info, self._xp = info, xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._info, name)

    def dtypes(
        self, *, device: Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        found = self._info.dtypes(device=device, kind=kind)
        return {name: dtype for name, dtype in found.items() if name in _DTYPES}

    def default_dtypes(self, *, device: Device | None = None) -> dict[str, DType]:
        index = self._xp.index_dtype
        floating = self._xp.native_namespace.float64
        return {"real floating": floating, "integral": index, "indexing": index}


_KINDS = {float: "floating", int: "integer", bool: "bool"}
"""The kinds of Python's numbers, the widest first."""


def _numbers(obj: Any) -> list[Any] | None:
    """Return the Python numbers in nested lists, or None where there is anything else."""
    if type(obj) in _KINDS:
        return [obj]
    if not isinstance(obj, list | tuple):
        return None
    found: list[Any] = []
    for v in obj:
        numbers = _numbers(v)
        if numbers is None:
            return None
        found += numbers
    return found


def _mapped(obj: Any, f: Callable[[Any], Any]) -> Any:
    return [_mapped(v, f) for v in obj] if isinstance(obj, list | tuple) else f(obj)


def _unwrapped(obj: Any) -> Any:
    if isinstance(obj, list | tuple):
        return [_unwrapped(v) for v in obj]
    return obj._native if isinstance(obj, ReproducibleArray) else obj
