"""Sums and matrix products in which every sum is exact, so that its order cannot matter.

Each slice of numbers is rounded to a grid, a power of two coarse, on which a sum of that many terms
stays below 2**53 units: binary64 then adds without rounding, in any order, with or without fused
multiply-add. docs/reproducible.md has the definition and the proof.

(S. M. Rump, T. Ogita, S. Oishi, 'Accurate floating-point summation part I', SIAM Journal on
Scientific Computing 31, 2008, doi:10.1137/050645671; K. Ozaki, T. Ogita, S. Oishi, S. M. Rump,
'Error-free transformations of matrix multiplication', Numerical Algorithms 59, 2012,
doi:10.1007/s11075-011-9478-1.)
"""

import itertools
import math
from typing import NamedTuple

from xpnn._reproducible._double import ceiling, fraction, power_of_two, scale
from xpnn._types import Array, Namespace

BLOCK = 1024
"""Terms of a product's sum that are added exactly; the sums of such blocks are added in order."""


def bits_of_terms(count: int) -> int:
    """Bits that each of `count` terms may have for their sum to be exact in binary64, at most 51."""
    return min(51, 53 - max(count - 1, 0).bit_length())


def _on_grid(a: Array, top: Array, bits: int) -> Array:
    """a rounded to multiples of top * 2**-bits, ties to even, for abs(a) <= top, a power of two."""
    anchor = top * (1.5 * 2.0 ** (52 - bits))
    return (a + anchor) - anchor


def _slices(a: Array, top: Array, bits: int, count: int) -> list[Array]:
    """a, nearly, as numbers on finer and finer grids: the first of `bits`, the others of one more."""
    parts = []
    for i in range(count):
        parts.append(_on_grid(a, top * 2.0 ** (-(bits + 1) * i), bits))
        if i < count - 1:
            a = a - parts[-1]
    return parts


def _largest(a: Array, axis: int, xp: Namespace) -> Array:
    return xp.max(xp.abs(a), axis=axis, keepdims=True)


def _to_about_one(a: Array, axis: int, single: bool, xp: Namespace) -> tuple[Array, Array | None]:
    """a times a power of two, for each slice along `axis`, and its exponent; binary32 as it is."""
    if single:
        return a, None
    m = _largest(a, axis, xp)
    usable = (m > 0.0) & (m < math.inf)
    _, k = fraction(xp.where(usable, m, 1.0), single, xp)
    k = xp.clip(k, -1022.0, 1022.0)
    return a * power_of_two(-k, xp), k


def sum_last(a: Array, single: bool, xp: Namespace) -> Array:
    """Sum over the last axis, which is kept: of the terms on a grid, rounded once to binary64."""
    if a.shape[-1] == 0:
        return xp.sum(a, axis=-1, keepdims=True)
    a, k = _to_about_one(a, -1, single, xp)
    low, high = (xp.sum(s, axis=-1, keepdims=True) for s in _sum_slices(a, xp))
    return high + low if k is None else scale(high + low, k, xp)


def cumulative_sum_last(a: Array, single: bool, xp: Namespace) -> Array:
    """Sums of the first entries along the last axis, each as in `sum_last` on the grid of all."""
    if a.shape[-1] == 0:
        return a
    a, k = _to_about_one(a, -1, single, xp)
    low, high = (xp.cumulative_sum(s, axis=-1) for s in _sum_slices(a, xp))
    y = high + low
    return y if k is None else scale(y, k, xp)


def _sum_slices(a: Array, xp: Namespace) -> tuple[Array, Array]:
    """a, nearly, in two slices, low and high, that add up exactly along the last axis."""
    high, low = _slices(a, ceiling(_largest(a, -1, xp), xp), bits_of_terms(a.shape[-1]), 2)
    return low, high


class Right(NamedTuple):
    """The right side of a product, split: for each block its slices, and the columns' exponents."""

    blocks: list[list[Array]]
    exponents: Array | None


def _blocks(k: int) -> list[slice]:
    return [slice(i, min(i + BLOCK, k)) for i in range(0, k, BLOCK)]


def _bits(k: int, single: bool) -> tuple[int, int]:
    """Bits of a slice, left and right, for a block of k terms."""
    bits = bits_of_terms(k)
    right = (2 * bits + 1) // 3 if single else bits // 2
    return bits - right if single else right, right


def split_right(b: Array, single: bool, xp: Namespace) -> Right:
    """Split the right side, shape (..., K, N): one slice for binary32, three for binary64."""
    b, exponents = _to_about_one(b, -2, single, xp)
    blocks = []
    for at in _blocks(b.shape[-2]):
        part = b[..., at, :]
        _, bits = _bits(part.shape[-2], single)
        blocks.append(_slices(part, ceiling(_largest(part, -2, xp), xp), bits, 1 if single else 3))
    return Right(blocks, exponents)


def matmul(a: Array, right: Right, single: bool, xp: Namespace) -> Array:
    """a @ b for a of shape (..., M, K), K > 0, and b split; in binary64."""
    a, exponents = _to_about_one(a, -1, single, xp)
    blocks = []
    for at, slices in zip(_blocks(a.shape[-1]), right.blocks, strict=True):
        part = a[..., at]
        bits, _ = _bits(part.shape[-1], single)
        left = _slices(part, ceiling(_largest(part, -1, xp), xp), bits, 2 if single else 3)
        # Of two slices on one side and one on the other, all products; of three and three, those
        # that reach the digits of the first: always the smallest first.
        pairs = [(1, 0), (0, 0)] if single else [(0, 2), (1, 1), (2, 0), (0, 1), (1, 0), (0, 0)]
        blocks.append(_in_order([xp.matmul(left[i], slices[j]) for i, j in pairs]))
    total = _in_order(blocks)
    if exponents is None or right.exponents is None:
        return total
    return scale(total, exponents + right.exponents, xp)


def _in_order(terms: list[Array]) -> Array:
    *_, total = itertools.accumulate(terms)
    return total
