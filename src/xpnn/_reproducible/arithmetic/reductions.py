"""What a reproducible namespace computes itself, on whole arrays of one dtype.

As in `elementwise`: float64 arrays whose values come from binary32 (`single`) or not, a namespace that
rounds each operation by itself; results rounded once, to float32 if `single`, otherwise float64.
"""

import math

from xpnn._arrays.axes import Slices
from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic import exact
from xpnn._reproducible.arithmetic.double import LEAST_DOUBLE, to_single
from xpnn._reproducible.arithmetic.elementwise import exp, log1p, nearest, sqrt


def add(a: Array, b: Array, single: bool, xp: Namespace) -> Array:
    """a + b."""
    return nearest(a + b, single, xp)


def subtract(a: Array, b: Array, single: bool, xp: Namespace) -> Array:
    """a - b."""
    return nearest(a - b, single, xp)


def multiply(a: Array, b: Array, single: bool, xp: Namespace) -> Array:
    """a * b."""
    return _product(a * b, single, xp)


def divide(a: Array, b: Array, single: bool, xp: Namespace) -> Array:
    """a / b."""
    return _product(a / b, single, xp)


def _product(y: Array, single: bool, xp: Namespace) -> Array:
    # What rounds to the least normal number itself counts as less in binary64: whether a product
    # just below it gets there depends on the processor.
    return to_single(y, xp) if single else xp.where(xp.abs(y) <= LEAST_DOUBLE, 0.0, y)


def power(x: Array, single: bool, xp: Namespace, *, n: int) -> Array:
    """x**n by squaring, from the last bit of n to the first; for n < 0 its reciprocal."""
    y, square, rest = xp.ones_like(x), x, abs(n)
    while rest:
        if rest % 2:
            y = _product(y * square, False, xp)
        rest //= 2
        if rest:
            square = _product(square * square, False, xp)
    return _product(1.0 / y, single, xp) if n < 0 else nearest(y, single, xp)


def logaddexp(a: Array, b: Array, single: bool, xp: Namespace) -> Array:
    """log(exp(a) + exp(b))."""
    larger = xp.where(a > b, a, b)
    far = xp.where(a == b, 0.0, -xp.abs(a - b))
    y = larger + log1p(exp(far, False, xp), False, xp)
    return nearest(y, single, xp)


def _sum(x: Array, slices: Slices, single: bool, xp: Namespace) -> Array:
    """Sum over the last axis of x, flattened; kept."""
    return exact.sum_last(slices.flatten(x, xp), single, xp)


def sum(x: Array, single: bool, xp: Namespace, *, slices: Slices) -> Array:  # noqa: A001
    """Sum over axes."""
    return xp.reshape(nearest(_sum(x, slices, single, xp), single, xp), slices.without)


def _mean(x: Array, slices: Slices, single: bool, xp: Namespace) -> tuple[Array, int]:
    total = _sum(x, slices, single, xp)
    n = math.prod([slices.shape[i] for i in slices.axes])
    return total / (xp.zeros_like(total) + float(n)), n


def mean(x: Array, single: bool, xp: Namespace, *, slices: Slices) -> Array:
    """Sum over axes, divided by the number of terms."""
    return xp.reshape(_product(_mean(x, slices, single, xp)[0], single, xp), slices.without)


def _var(x: Array, slices: Slices, correction: float, single: bool, xp: Namespace) -> Array:
    m, n = _mean(x, slices, single, xp)
    d = slices.flatten(x, xp) - m
    squares = exact.sum_last(_product(d * d, False, xp), single, xp)
    return squares / (xp.zeros_like(squares) + (n - correction))


def var(x: Array, single: bool, xp: Namespace, *, slices: Slices, correction: float) -> Array:
    """Sum of squares of what x differs from its mean, divided by n - correction."""
    y = _var(x, slices, correction, single, xp)
    return xp.reshape(_product(y, single, xp), slices.without)


def std(x: Array, single: bool, xp: Namespace, *, slices: Slices, correction: float) -> Array:
    """Square root of the variance."""
    y = _product(_var(x, slices, correction, single, xp), False, xp)
    return xp.reshape(nearest(sqrt(y, False, xp), single, xp), slices.without)


def cumulative_sum(x: Array, single: bool, xp: Namespace, *, slices: Slices) -> Array:
    """Sums of the first entries along an axis."""
    y = exact.cumulative_sum_last(slices.flatten(x, xp), single, xp)
    return slices.restore(nearest(y, single, xp), xp)


def matmul(a: Array, b: Array, single: bool, xp: Namespace) -> Array:
    """a @ b for two axes or more."""
    if 0 in b.shape:
        return _product(xp.matmul(a, b), single, xp)
    return matmul_split(a, exact.split_right(b, single, xp), single, xp)


def matmul_split(a: Array, right: exact.Right, single: bool, xp: Namespace) -> Array:
    """a @ b for b split."""
    return _product(exact.matmul(a, right, single, xp), single, xp)
