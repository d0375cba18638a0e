"""The functions of the standard that are handed through to the library: they round nothing."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from xpnn._arrays.dtypes import FLOATS, computing_float, dtype_name, python_number
from xpnn._arrays.library import device_beside
from xpnn._arrays.types import Device, DType, Namespace
from xpnn._reproducible.arithmetic.conversions import choose
from xpnn._reproducible.operands import (
    change_operands,
    check_first,
    check_operands,
    common_dtype,
    natively,
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
        check_first(xp, name, args)
        operands = plain_numbers(xp, operands_of(name, args, options))
        check_operands(xp, name, args, options, operands)
        taken, common = _of_the_library(xp, name, operands)
        rest = iter(taken)
        changed, options = change_operands(name, args, options, lambda _: next(rest))
        if "axis" in options:
            options["axis"] = python_number(options["axis"])
        if name in _ORDERING:
            options["stable"] = True  # equal entries stay in order, everywhere
        given = [*args, *options.values()]
        arrays = [a for a in given if xp.boundary.is_array(a)]
        native = [xp.boundary.native_of(a, arrays) for a in changed]
        options = {k: xp.boundary.native_of(v, arrays) for k, v in options.items()}
        with xp.boundary.wide(*arrays):
            y = natively(xp, name, found, *native, **options)
            if common is not None:
                y = _narrowed(y, common, xp.native_namespace)
            if name in EXACT_BUT_ZERO and dtype_name(y.dtype) in FLOATS:
                y = choose(y == 0, 0.0, y, xp.native_namespace)
        return xp.boundary.result(list(y) if type(y) is tuple and name in _LISTS else y, given)

    function.__name__ = name
    return function


def _as_array(xp: Namespace, a: Any, dtype: DType, device: Device | None) -> Any:
    """Return a number as an array of a dtype; an array, and None, as they are."""
    return a if a is None or xp.boundary.is_array(a) else xp.asarray(a, dtype=dtype, device=device)


def _narrowed(y: Any, to: DType, own: Namespace) -> Any:
    """Return a result in the dtype of bfloat16 arrays that were widened; its indices as they are."""
    if isinstance(y, tuple):
        return type(y)(*(_narrowed(part, to, own) for part in y))
    return own.astype(y, to) if dtype_name(y.dtype) in FLOATS else y


def _of_the_library(
    xp: Namespace, name: str, operands: Sequence[Any]
) -> tuple[Sequence[Any], DType | None]:
    """Return operands as the library takes them; of bfloat16 ones, the dtype of the result beside it.

    NumPy knows neither what bfloat16 promotes to nor that a number beside it takes its dtype: they
    become float32.
    """
    arrays = [a for a in operands if xp.boundary.is_array(a)]
    names = {dtype_name(a.dtype) for a in arrays}
    common, beside = None, arrays[0].dtype if arrays and name in _OF_ARRAYS_ALONE else None
    if not names.isdisjoint(FLOATS):
        # Integers too large for those of the library are numbers, too.
        operands = [float(a) if type(a) is int else a for a in operands]
    if "bfloat16" in names:
        common = beside = xp.boundary.dtype_named(common_dtype(names))
    if beside is not None:
        device = device_beside(arrays[0])
        with xp.boundary.wide(*arrays):
            operands = [_as_array(xp, a, beside, device) for a in operands]
    if common is not None:
        wide = xp.boundary.dtype_named(computing_float(dtype_name(common)))
        operands = [None if a is None else xp.astype(a, wide, copy=False) for a in operands]
    return operands, common


def plain(xp: Namespace, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the library that says something of arrays and dtypes."""

    @functools.wraps(found)
    def function(*args: Any, **options: Any) -> Any:
        return found(*(xp.boundary.native_of(a) for a in args), **options)

    return function
