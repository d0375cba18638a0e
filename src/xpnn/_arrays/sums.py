"""Sums along an axis whose error does not grow with its length, whatever the library and the axis."""

from typing import Any

from xpnn._arrays.library import library
from xpnn._arrays.types import Array, Namespace

FEW = 16
"""Terms up to which adding one after the other costs no more digits than adding in pairs."""


def sum_along(x: Array, axis: Any, xp: Namespace) -> Array:
    """Sum along an axis, which is kept.

    NumPy adds in pairs along the axis whose entries are neighbours in memory alone; along any other
    the rounding errors of one term after the other add up. There the halves are added until `FEW` are
    left, so that each term goes through some log2(n) additions. A length that is not known while the
    formula is traced leaves it to whoever computes.
    """
    n = x.shape[axis]
    if n is None or library(x).adds_in_pairs(x, axis):
        return xp.sum(x, axis=axis, keepdims=True)
    before, odd = (slice(None),) * (axis % x.ndim), []
    while n > FEW:
        half = n // 2
        if n % 2:
            odd.append(x[(*before, slice(n - 1, n), ...)])
        x = x[(*before, slice(0, half), ...)] + x[(*before, slice(half, 2 * half), ...)]
        n = half
    total = xp.sum(x, axis=axis, keepdims=True)
    for one in reversed(odd):
        total = total + one
    return total
