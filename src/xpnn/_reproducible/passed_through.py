"""The functions of the standard that are handed through to the library: they round nothing."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from xpnn._arrays.dtypes import FLOATS, computing_float, dtype_name, python_number
from xpnn._arrays.library import device_of
from xpnn._arrays.types import Device, DType, Namespace
from xpnn._reproducible.arithmetic.conversions import choose
from xpnn._reproducible.operands import (
    change_operands,
    check_operands,
    common_dtype,
    operands_of,
    plain_numbers,
)

# Handed through to the library: moves, compares, selects or counts, and rounds nothing.
EXACT = frozenset(
    """
    abs all any argsort bitwise_and bitwise_invert bitwise_or bitwise_xor broadcast_arrays
    broadcast_to clip concat equal expand_dims flip greater greater_equal isfinite isinf isnan
    less less_equal logical_and logical_not logical_or logical_xor matrix_transpose max maximum
    meshgrid min minimum moveaxis nonzero not_equal permute_dims repeat reshape roll sign sort
    squeeze stack tile tril triu unique_all unique_counts unique_inverse unique_values unstack where
    """.split()
)
# The same, but a result may be -0, which becomes 0.
EXACT_BUT_ZERO = frozenset(["ceil", "floor", "round", "trunc"])
_OF_ARRAYS_ALONE = frozenset(["maximum", "minimum"])
"""What torch has of arrays alone; what makes arrays of numbers there, torch.compile does not trace."""
_ORDERING = frozenset(["argsort", "sort"])
_LISTS = frozenset(["broadcast_arrays", "meshgrid"])
"""What gives a list, by the standard; some libraries give a tuple."""
PLAIN = frozenset("isdtype finfo iinfo".split())
"""What is said of arrays and dtypes; see `plain`."""


def passed_through(xp: Namespace, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the library as the namespace has it: of its arrays, and checked."""

    @functools.wraps(found)
    def function(*args: Any, **options: Any) -> Any:
        numbers = iter(plain_numbers(xp, operands_of(name, args, options)))
        changed, options = change_operands(name, args, options, lambda _: next(numbers))
        beside = check_operands(xp, name, changed, options)
        if any(xp.boundary.is_array(a) and dtype_name(a.dtype) in FLOATS for a in beside):
            # Integers too large for those of the library are numbers, too.
            as_float = lambda a: float(a) if type(a) is int else a
            changed, options = change_operands(name, changed, options, as_float)
        args = tuple(changed)
        if "axis" in options:
            options["axis"] = python_number(options["axis"])
        if name in _ORDERING:
            options["stable"] = True  # equal entries stay in order, everywhere
        given = [*args, *options.values()]
        operands, options, common = _widened(xp, name, args, options)
        arrays = [a for a in given if xp.boundary.is_array(a)]
        if name in _OF_ARRAYS_ALONE:
            dtype, device = arrays[0].dtype, device_of(arrays[0])
            with xp.boundary.wide(*arrays):
                operands = [_as_array(xp, a, dtype, device) for a in operands]
        native = [xp.boundary.native_of(a, arrays) for a in operands]
        options = {k: xp.boundary.native_of(v, arrays) for k, v in options.items()}
        with xp.boundary.wide(*arrays):
            y = found(*native, **options)
            if common is not None:
                y = _narrowed(y, common, xp.native_namespace)
            if name in EXACT_BUT_ZERO and dtype_name(y.dtype) in FLOATS:
                y = choose(y == 0, 0.0, y, xp.native_namespace)
        return xp.boundary.result(list(y) if type(y) is tuple and name in _LISTS else y, given)

    return function


def _as_array(xp: Namespace, a: Any, dtype: DType, device: Device | None) -> Any:
    """Return a number as an array of a dtype, an array as it is."""
    return a if xp.boundary.is_array(a) else xp.asarray(a, dtype=dtype, device=device)


def _narrowed(y: Any, to: DType, own: Namespace) -> Any:
    """Return a result in the dtype of bfloat16 arrays that were widened; its indices as they are."""
    if isinstance(y, tuple):
        return type(y)(*(_narrowed(part, to, own) for part in y))
    return own.astype(y, to) if dtype_name(y.dtype) in FLOATS else y


def _widened(
    xp: Namespace, name: str, args: Sequence[Any], options: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any], DType | None]:
    """Return operands of which one is bfloat16 as float32, and the dtype of the result.

    NumPy knows neither what bfloat16 promotes to nor that a number beside it takes its dtype.
    """
    arrays = [a for a in operands_of(name, args, options) if xp.boundary.is_array(a)]
    names = {dtype_name(a.dtype) for a in arrays}
    if "bfloat16" not in names:
        return args, options, None
    common, device = xp.boundary.dtype_named(common_dtype(names)), device_of(arrays[0])
    wide = xp.boundary.dtype_named(computing_float(dtype_name(common)))

    def widened(a: Any) -> Any:
        if a is None:
            return None
        return xp.astype(_as_array(xp, a, common, device), wide, copy=False)

    return *change_operands(name, args, options, widened), common


def plain(xp: Namespace, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the library that says something of arrays and dtypes."""

    @functools.wraps(found)
    def function(*args: Any, **options: Any) -> Any:
        return found(*(xp.boundary.native_of(a) for a in args), **options)

    return function
