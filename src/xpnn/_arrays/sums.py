"""Sums along an axis whose error does not grow with its length, whatever the library and the axis."""

from typing import Any

import array_api_compat

from xpnn._arrays.library import is_compiling
from xpnn._arrays.types import Array, Namespace

FEW = 16
"""Terms up to which adding one after the other costs no more digits than adding in pairs."""


def sum_along(x: Array, axis: Any, xp: Namespace) -> Array:
    """Sum along an axis, which is kept.

    NumPy adds in pairs along the axis whose entries are neighbours in memory alone; along any other
    the rounding errors of one term after the other add up. There the halves are added until `FEW` are
    left, so that each term goes through some log2(n) additions.
    """
    if _adds_in_pairs(x, axis, xp):
        return xp.sum(x, axis=axis, keepdims=True)
    before, n, odd = (slice(None),) * (axis % x.ndim), x.shape[axis], []
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


def _adds_in_pairs(x: Array, axis: int, xp: Namespace) -> bool:
    """Whether the library's own sum adds in pairs, in lanes or exactly, but not one after the other."""
    if hasattr(xp, "rounded_once") or is_compiling():  # torch.compile warns of what is below
        return True
    if array_api_compat.is_torch_namespace(xp) or array_api_compat.is_jax_namespace(xp):
        return True
    strides = getattr(x, "strides", None)
    return strides is not None and strides[axis] == x.dtype.itemsize
