"""Sums and matrix products in which every sum is exact, so that its order cannot matter.

Numbers are rounded to a grid, a power of two coarse, and counted in its units: integers so small that
a sum of all of them, or of all products of two, stays below 2**53. binary64 then adds without
rounding, in any order, with or without fused multiply-add. Scaling by powers of two, rounding to
integers and what is left after it are exact as well, so a compiler may do with them what it likes;
only where results are rounded does it have to be kept from it. docs/reproducible.md has the definition
and the proof.

(S. M. Rump, T. Ogita, S. Oishi, 'Accurate floating-point summation part I', SIAM Journal on
Scientific Computing 31, 2008, doi:10.1137/050645671; K. Ozaki, T. Ogita, S. Oishi, S. M. Rump,
'Error-free transformations of matrix multiplication', Numerical Algorithms 59, 2012,
doi:10.1007/s11075-011-9478-1.)
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic.barrier import (
    BarrierNamespace,
    as_barriered,
    native,
    own_namespace,
)
from xpnn._reproducible.arithmetic.double import (
    LEAST_DOUBLE,
    ceiling,
    exponent,
    fraction,
    power_of_two,
    scale,
    two_sum,
)

NOTHING = 2.0**-450
"""What is less than this part of the largest of its row or column counts as 0, in binary64.

A part of a row is at least `NOTHING**2 * 2**-106` of the product of both largest then, and normal.
"""
BLOCK = 1024
"""Terms of a product's sum that are added exactly; the sums of such blocks are added in order."""
_LOOPED = 9 * BLOCK
"""Terms from which on a compiler gets the blocks as a loop."""


def bits_of_terms(count: int) -> int:
    """Bits that each of `count` terms may have for their sum to be exact in binary64, at most 51."""
    return min(51, 53 - max(count - 1, 0).bit_length())


def _top(a: Array, axis: int, xp: Namespace) -> Array:
    """Least power of two >= abs(a) along `axis`, which is kept; 0 for none, NaN for inf and NaN.

    The largest is 0 or between 2**-900 and 2**900.
    """
    return ceiling(xp.max(xp.abs(a), axis=axis, keepdims=True), xp)


def _integers(a: Array, top: Array, bits: int, count: int, xp: Namespace) -> list[Array]:
    """a in units of top * 2**-bits, ties to even; what is left in units of that * 2**-(bits + 1)...

    All are at most 2**bits in size. Library's own arrays in and out: every operation is exact.
    """
    rest, finer, parts = a * (2.0**bits / top), 2.0 ** (bits + 1), []
    for i in range(count):
        parts.append(xp.round(rest))
        if i < count - 1:
            rest = (rest - parts[-1]) * finer
    return parts


def _to_about_one(a: Array, axis: int, single: bool, xp: Namespace) -> tuple[Array, Array | None]:
    """a times a power of two, for each slice along `axis`, and its exponent; binary32 as it is."""
    if single:
        return a, None
    m = xp.max(xp.abs(a), axis=axis, keepdims=True)
    usable = (m > 0.0) & (m < math.inf)
    _, k = fraction(xp.where(usable, m, 1.0), single, xp)
    k = xp.clip(k, -1022.0, 1022.0)
    return a * power_of_two(-k, xp), k


def _balanced(a: Array, balance: Array, single: bool, xp: Namespace) -> tuple[Array, Array | None]:
    """a with its columns times `balance`, rows again to about 1, and the rows' exponents."""
    if single:
        return native(a) * balance, None
    own = own_namespace(xp)
    # What counts nowhere must not say how large a row is; infinity and NaN count everywhere.
    a, k = _to_about_one(
        a * as_barriered(own.where(balance == 0, balance, 1.0), xp), -1, single, xp
    )
    y = native(a) * balance
    top = _top(as_barriered(y, xp), -1, xp)
    top = xp.where((top > 0.0) & (top < math.inf), top, 1.0)
    y = y / native(top)
    return own.where(own.abs(y) < NOTHING, 0.0, y), k + exponent(top, xp)


def sum_last(a: Array, single: bool, xp: Namespace) -> Array:
    """Sum over the last axis, which is kept: of the terms on a grid, rounded once to binary64."""
    if a.shape[-1] == 0:
        return xp.sum(a, axis=-1, keepdims=True)
    own = own_namespace(xp)
    return _added(lambda a: own.sum(a, axis=-1, keepdims=True), a, single, xp)


def cumulative_sum_last(a: Array, single: bool, xp: Namespace) -> Array:
    """Sums of the first entries along the last axis, each as in `sum_last` on the grid of all."""
    if a.shape[-1] == 0:
        return a
    own = own_namespace(xp)
    return _added(lambda a: own.cumulative_sum(a, axis=-1), a, single, xp)


def _added(add: Callable[[Array], Array], a: Array, single: bool, xp: Namespace) -> Array:
    a, undo = _in_range(a, single, xp)
    top = native(_top(a, -1, xp))
    own, bits = own_namespace(xp), bits_of_terms(a.shape[-1])
    high, low = map(add, _integers(native(a), own.where(top == 0, 1.0, top), bits, 2, own))
    y = as_barriered((high + low * 2.0 ** -(bits + 1)) * (top * 2.0**-bits), xp)
    if undo is None:
        return y
    factor, undo = undo
    return xp.where(xp.abs(y) < factor * LEAST_DOUBLE, 0.0, y) * undo


def _in_range(a: Array, single: bool, xp: Namespace) -> tuple[Array, tuple[Array, Array] | None]:
    """a times a power of two for each slice, so that `_top` can be found; that, and what undoes it."""
    if single:
        return a, None
    m = xp.max(xp.abs(a), axis=-1, keepdims=True)
    small, large = m < 2.0**-600, m > 2.0**800
    one = xp.ones_like(m)
    factor = xp.where(large, one * 2.0**-200, xp.where(small, one * 2.0**200, one))
    return a * factor, (factor, 1.0 / factor)


class Right(NamedTuple):
    """The right side of a product, shape (..., K, N), split. Arrays are the library's own."""

    balance: Array
    """Shape (..., 1, K): powers of two that the left side's columns are to be multiplied by."""
    blocks: "list[Block]"
    """Of each block of rows, divided by `balance`; not of those that are looped over."""
    looped: "Block | None"
    """The integers of the first blocks together, and their powers of two, (..., blocks, 1, N)."""
    exponents: Array | None
    """Of the columns' powers of two, where they would not fit in binary64."""


Block = tuple[tuple[Array, ...], Array]
"""Integers, and each column's power of two."""


def _blocks(start: int, k: int) -> list[slice]:
    return [slice(i, min(i + BLOCK, k)) for i in range(start, k, BLOCK)]


def _looped(k: int, xp: Namespace) -> int:
    """How many blocks a compiler gets as a loop: written out they take it long, one by one."""
    return k // BLOCK if isinstance(xp, BarrierNamespace) and k >= _LOOPED else 0


def _bits(k: int, single: bool) -> tuple[int, int]:
    """Bits of a slice, left and right, for a block of k terms."""
    bits = bits_of_terms(k)
    right = (2 * bits + 1) // 3 if single else bits // 2
    return bits - right if single else right, right


def split_right(b: Array, single: bool, xp: Namespace) -> Right:
    """Split the right side of a product: one slice for binary32, three for binary64.

    Its columns are brought to about 1, then its rows: an input that counts little, because its
    weights are small, must not decide how coarse the grid of the left side is. An input that counts
    nowhere is multiplied by 0.
    """
    own = own_namespace(xp)
    b, exponents = _to_about_one(b, -2, single, xp)
    b = b if single else xp.where(xp.abs(b) < NOTHING, 0.0, b)
    b, columns = _divided(b, native(_top(b, -2, xp)), xp)
    # A column with infinity or NaN is NaN itself, and says nothing of the others' inputs.
    finite = xp.max(xp.abs(b), axis=-2, keepdims=True) < math.inf
    b, rows = _divided(b, native(_top(xp.where(finite, b, 0.0), -1, xp)), xp)

    def block(part: Array, columns: Array) -> Block:
        _, bits = _bits(part.shape[-2], single)
        top = native(_top(as_barriered(part, xp), -2, xp))
        top = own.where(top == 0, 1.0, top)
        parts = _integers(part, top, bits, 1 if single else 3, own)
        return tuple(parts), top * columns * 2.0**-bits

    (*batch, k, n), b, looped = b.shape, native(b), None
    if count := _looped(k, xp):
        part = own.reshape(b[..., : count * BLOCK, :], (*batch, count, BLOCK, n))
        parts, unit = block(part, columns[..., None, :, :])
        looped = tuple(own.reshape(p, (*batch, count * BLOCK, n)) for p in parts), unit
    blocks = [block(b[..., at, :], columns) for at in _blocks(count * BLOCK, k)]
    rows = own.matrix_transpose(rows)
    return Right(rows, blocks, looped, exponents if exponents is None else native(exponents))


def _divided(b: Array, powers: Array, xp: Namespace) -> tuple[Array, Array]:
    """b divided by powers of two; by 1 where they are 0 or NaN, and then 0 and 1 in their place."""
    own = own_namespace(xp)
    powers = own.where(powers == powers, powers, 1.0)
    return as_barriered(native(b) / own.where(powers == 0, 1.0, powers), xp), powers


def matmul(a: Array, right: Right, single: bool, xp: Namespace) -> Array:
    """a @ b for a of shape (..., M, K), K > 0, and b split; in binary64."""
    own = own_namespace(xp)
    a, exponents = _balanced(a, right.balance, single, xp)

    def block(part: Array, slices: tuple[Array, ...], unit: Array) -> Array:
        bits, _ = _bits(part.shape[-1], single)
        top = native(_top(as_barriered(part, xp), -1, xp))
        top = own.where(top == 0, 1.0, top)
        left = _integers(part, top, bits, 2 if single else 3, own)
        y = _products(left, slices, bits, single, xp)
        return as_barriered(y * (top * 2.0**-bits * unit), xp)

    def add(sums: tuple[Array, Array | None], y: Array) -> tuple[Array, Array]:
        total, error = two_sum(sums[0], y)
        return total, error if sums[1] is None else sums[1] + error

    sums: Any = None
    start = 0
    if right.looped is not None:
        slices, unit = right.looped
        start = unit.shape[-3] * BLOCK

        def one(part: Array, unit: Array, *slices: Array) -> Array:
            return block(part, slices, unit[..., 0, :, :])

        parts = [(a, BLOCK, -1), (unit, 1, -3), *((s, BLOCK, -2) for s in slices)]
        sums = xp.loop(one, add, unit.shape[-3], parts)
    for at, (slices, unit) in zip(_blocks(start, a.shape[-1]), right.blocks, strict=True):
        y = block(a[..., at], slices, unit)
        sums = (y, None) if sums is None else add(sums, y)
    total, lost = sums
    total = total if lost is None else total + lost
    if exponents is None or right.exponents is None:
        return total
    # Any less gives 0, as it does itself.
    k = xp.clip(exponents + as_barriered(right.exponents, xp), -2044.0, 2044.0)
    return scale(total, k, xp)


def _products(
    left: Sequence[Array], right: Sequence[Array], bits: int, single: bool, xp: Namespace
) -> Array:
    """The products of slices that reach the digits of the first, added, the smallest first."""
    # Of two slices on one side and one on the other, all; of three and three, not the finest three.
    pairs = [(1, 0), (0, 0)] if single else [(0, 2), (1, 1), (2, 0), (0, 1), (1, 0), (0, 0)]
    total = None
    for i, j in pairs:
        # Behind a barrier, so that no compiler adds to a product while it is being summed; the rest is exact or
        # an addition of what is, which contraction does not change.
        product = native(xp.matmul(left[i], right[j])) * 2.0 ** (-(i + j) * (bits + 1))
        total = product if total is None else total + product
    return total
