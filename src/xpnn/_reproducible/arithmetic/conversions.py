"""Conversions of a library's own arrays: each selects what it keeps, or rounds once.

They take the arrays as they are, a namespace of the library, and the barrier of its compiler, or None.
"""

from collections.abc import Callable

from xpnn._arrays.dtypes import dtype_name, dtype_named
from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic.double import LEAST_DOUBLE, LEAST_SINGLE

Barrier = Callable[[Array], Array] | None

_SMALLEST = {"float16": 2.0**-24, "bfloat16": LEAST_SINGLE, "float32": LEAST_SINGLE}
"""What is less is 0. The subnormal numbers of float16 are ordinary ones of float32, and are kept."""


def choose(condition: Array, number: float, x: Array, xp: Namespace) -> Array:
    """Return x with a number where a condition holds, in its own dtype.

    For NumPy a number beside an array of bfloat16 is one of float64, which holds all its values.
    """
    y = xp.where(condition, number, x)
    return y if y.dtype == x.dtype else xp.astype(y, x.dtype)


def clean(x: Array, xp: Namespace, barrier: Barrier = None) -> Array:
    """Make subnormal numbers and -0 of a floating array 0."""
    return choose(xp.abs(x) < _SMALLEST.get(dtype_name(x.dtype), LEAST_DOUBLE), 0.0, x, xp)


def clean_number(x: float, dtype: str) -> float:
    """Make a Python number 0 where it is subnormal in a dtype."""
    return 0.0 if abs(x) < _SMALLEST.get(dtype, LEAST_DOUBLE) else x


def negative(x: Array, xp: Namespace, barrier: Barrier) -> Array:
    """-x; 0 for 0."""
    return choose(x == 0, 0.0, -x, xp)


def convert(x: Array, xp: Namespace, barrier: Barrier, *, to: str) -> Array:
    """Convert between floating dtypes, rounding once."""
    if to == "float64":
        return xp.astype(x, xp.float64)
    y = _rounded(xp.where(xp.abs(x) < LEAST_SINGLE, 0.0, x), "float32", xp, barrier)
    return y if to == "float32" else to_low(y, to, xp, barrier)


def to_low(y: Array, dtype: str, xp: Namespace, barrier: Barrier) -> Array:
    """Round binary32 to a dtype of 16 bits."""
    if dtype == "float16":
        # To a multiple of the least subnormal number here, so that the library's own conversion
        # has nothing to round there: not all processors' would.
        normal = xp.abs(y) >= 2.0**-14
        small = xp.round(choose(normal, 0.0, y, xp) * 2.0**24) * 2.0**-24
        y = xp.where(normal, y, small)
    return clean(_rounded(y, dtype, xp, barrier), xp)


def _rounded(x: Array, dtype: str, xp: Namespace, barrier: Barrier) -> Array:
    """Return x in a narrower dtype, behind the compiler's barrier.

    XLA leaves out a rounding whose result is widened again: float64 to float32 on GPUs.
    """
    y = xp.astype(x, dtype_named(xp, dtype))
    return y if barrier is None else barrier(y)
