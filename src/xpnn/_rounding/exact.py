"""Exact numbers: integers times powers of two for sums of products, mpmath to `BITS` bits for all else.

A binary number is an integer times a power of two, so sums of products are sums and products of Python's
integers, without error. What mpmath computes is rounded to `BITS` bits; the largest of a row counts, as its
values meet in one sum. That leaves 347 bits more than binary64 has.
"""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn.errors import XpnnError

BITS = 400

Number = Any
"""A number of mpmath."""


@functools.cache
def context() -> Any:
    """Return mpmath with `BITS` bits; its own settings stay as they are."""
    try:
        import mpmath  # only who asks for exact values needs it
    except ModuleNotFoundError:
        raise XpnnError(
            "exact values need mpmath; get it with: pip install 'xpnn[parity]'"
        ) from None
    mp = mpmath.MPContext()
    mp.prec = BITS
    return mp


def clip(mp: Any, x: Number, low: int, high: int) -> Number:
    """Return min(max(x, low), high)."""
    return min(max(x, mp.mpf(low)), mp.mpf(high))


class Integers(NamedTuple):
    """Binary numbers: integers times one power of two."""

    values: list[int]
    power: int

    @staticmethod
    def of(values: Sequence[float]) -> "Integers":
        """Return binary64 or whole numbers as integers, without error."""
        if all(isinstance(v, int) for v in values):
            return Integers([int(v) for v in values], 0)
        parts = [math.frexp(v) for v in values]
        least = min((e for m, e in parts if m), default=0) - 53
        whole = [int(m * 2.0**53) << (e - 53 - least) if m else 0 for m, e in parts]
        return Integers(whole, least)

    @staticmethod
    def rounded(row: Sequence[Number]) -> "Integers":
        """Return numbers of mpmath as integers, to `BITS` bits of the largest."""
        mp = context()
        least = int(mp.mag(max(map(abs, row)) or mp.mpf(1))) - BITS
        return Integers([int(mp.nint(mp.ldexp(v, -least))) for v in row], least)

    def times(self, other: "Integers") -> "Integers":
        """Return the products, one by one."""
        products = map(operator.mul, self.values, other.values)
        return Integers(list(products), self.power + other.power)

    def plus(self, other: "Integers") -> "Integers":
        """Return the sums, one by one."""
        power = min(self.power, other.power)
        pairs = zip(self.values, other.values, strict=True)
        ups = self.power - power, other.power - power
        return Integers([(a << ups[0]) + (b << ups[1]) for a, b in pairs], power)

    def floats(self) -> list[float]:
        """Return them rounded once to binary64; OverflowError if one is too large."""
        up, down = 1 << max(self.power, 0), 1 << max(-self.power, 0)
        return [v * up / down for v in self.values]  # division of integers rounds once

    def numbers(self) -> list[Number]:
        """Return them as numbers of mpmath."""
        mp = context()
        return [mp.ldexp(v, self.power) for v in self.values]
