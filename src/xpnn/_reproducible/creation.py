"""The functions of the standard that make arrays: of what dtype, and how numbers are rounded."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

from xpnn._arrays.arguments import Count, Number, Option
from xpnn._arrays.dtypes import (
    FLOATS,
    INTEGERS,
    computing_float,
    dtype_name,
    nearest,
    python_number,
)
from xpnn._arrays.library import device_of
from xpnn._arrays.transfer import check_dtype
from xpnn._arrays.types import Device, DType, Namespace
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.operands import check_fits, check_number
from xpnn.errors import XpnnValueError


def _check_dtype(xp: Namespace, dtype: DType | None) -> None:
    if dtype is not None:
        name = dtype_name(dtype)
        xp.boundary.check_bits(name, "the dtype that was asked for")
        check_dtype(xp.of, name)


def _default(xp: Namespace, kind: str) -> DType:
    """Return the dtype of what is made without one: the same everywhere."""
    own = xp.native_namespace
    if kind == "floating":
        xp.boundary.check_bits("float64", "what is made without a dtype")
    return {"floating": own.float64, "integer": xp.boundary.index_dtype, "bool": own.bool}[kind]


def asarray(
    xp: Namespace,
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
    _check_dtype(xp, dtype)
    if isinstance(obj, ReproducibleArray) or xp.boundary.is_native(obj):
        x = xp.boundary.wrap(obj)
        if device is not None and device != device_of(x):
            x = xp.to_device(x, device)
        if dtype is not None and dtype != x.dtype:
            return xp.astype(x, dtype)
        return xp.Array(xp.boundary.copied(x._native)) if copy else x
    numbers = _numbers(obj)
    if numbers is not None:
        obj, dtype = _of_numbers(xp, obj, numbers, dtype)
    elif isinstance(obj, list | tuple):
        obj = _unwrapped(obj)
    return xp.boundary.wrap(xp.native_namespace.asarray(obj, dtype=dtype, device=device, copy=copy))


def _of_numbers(
    xp: Namespace, obj: Any, numbers: list[Any], dtype: DType | None
) -> tuple[Any, DType]:
    """Return Python numbers as the library is to take them, and the dtype; refuse what is lost."""
    if dtype is None:
        types = set(map(type, numbers))
        dtype = _default(xp, next((k for t, k in _KINDS.items() if t in types), "floating"))
    to = dtype_name(dtype)
    for v in numbers:
        check_number(f"{xp.__name__}.asarray", v, to)
    if to in FLOATS and to != "float64":
        obj = _mapped(obj, lambda v: nearest(float(v), to))
    return obj, dtype


def full(
    xp: Namespace,
    shape: int | tuple[int, ...],
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: Device | None = None,
) -> ReproducibleArray:
    """Return an array of one number."""
    x = xp.asarray(fill_value, dtype=dtype, device=device)
    whole = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    return xp.positive(xp.broadcast_to(x, whole))


def full_like(
    xp: Namespace,
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
    with xp.boundary.wide(x):
        return xp.full(tuple(x.shape), fill_value, dtype=dtype, device=device)


def arange(
    xp: Namespace,
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
    for v in (start, stop, step):
        _NUMBER.taken(f"{xp.__name__}.arange: expected start, stop and step each", v)
    start, stop, step = map(python_number, (start, stop, step))
    if step == 0 or (dtype is not None and dtype_name(dtype) not in INTEGERS | FLOATS.keys()):
        raise XpnnValueError(
            f"{xp.__name__}.arange: expected a step that is not 0 and a numeric dtype, got "
            f"{step} and {dtype}"
        )
    count = max(math.ceil((stop - start) / step), 0)
    if count >= 2**31:
        raise XpnnValueError(
            f"{xp.__name__}.arange: expected fewer than 2**31 numbers, got {count}"
        )
    floats = any(isinstance(v, float) for v in (start, stop, step))
    if not floats and (dtype is None or dtype_name(dtype) not in FLOATS):
        own = xp.native_namespace
        dtype = _default(xp, "integer") if dtype is None else dtype
        _check_dtype(xp, dtype)
        numbers = range(int(start), int(stop), int(step))
        for end in (numbers[0], numbers[-1]) if numbers else ():
            check_fits(f"{xp.__name__}.arange", end, dtype_name(dtype))
        return xp.Array(own.arange(start, stop, step, dtype=dtype, device=device))
    return _floats(xp, [start + i * step for i in range(count)], dtype, device)


def linspace(
    xp: Namespace,
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
    num = _COUNT.taken(f"{xp.__name__}.linspace: expected num", num)
    start, stop = float(start), float(stop)
    step = (stop - start) / max(num - 1 if endpoint else num, 1)
    values = [start + i * step for i in range(num)]
    if endpoint and num > 1:
        values[-1] = stop
    return _floats(xp, values, dtype, device)


def _floats(
    xp: Namespace, values: list[float], dtype: DType | None, device: Device | None
) -> ReproducibleArray:
    dtype = _default(xp, "floating") if dtype is None else dtype
    _check_dtype(xp, dtype)
    computing = computing_float(dtype_name(dtype)) if dtype_name(dtype) in FLOATS else "float64"
    y = xp.asarray(
        [float(v) for v in values], dtype=xp.boundary.dtype_named(computing), device=device
    )
    return xp.astype(y, dtype)


def to_device(xp: Namespace, x: ReproducibleArray, device: Device) -> ReproducibleArray:
    """Move to another device of the library."""
    return xp.Array(xp.of.to_device(x._native, device))


def created(xp: Namespace, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the library that makes arrays, as the namespace has it."""

    @functools.wraps(found)
    def function(*args: Any, **options: Any) -> Any:
        if not name.endswith("_like") and options.get("dtype") is None:
            options["dtype"] = _default(xp, "floating")
        _check_dtype(xp, options.get("dtype"))
        with xp.boundary.wide(*filter(xp.boundary.is_array, args)):
            return xp.boundary.wrap(found(*map(_unwrapped, args), **options))

    function.__name__ = name
    return function


CREATION = frozenset("empty empty_like eye from_dlpack ones ones_like zeros zeros_like".split())
"""What the library makes; see `created`."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (asarray, full, full_like, arange, linspace, to_device)
}

_NUMBER, _COUNT = Option(0, Number()), Option(0, Count())
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
