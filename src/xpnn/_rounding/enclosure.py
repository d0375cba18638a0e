"""Enclosure: values with proved bounds on two errors, that of the values and that of any sound pass.

Below the smallest normal number anything may be flushed to zero, also where float32 is made float64: the
absolute terms in `tiny`. All bounds are computed in binary64 themselves; all that is added up is positive,
so the factor `SLACK` covers that.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

from xpnn._arrays.dtypes import FLOATS, PRECISIONS, computing_float, dtype_name, is_rounded
from xpnn._arrays.library import device_of
from xpnn._arrays.types import Array, Namespace

SLACK = 1 + 2.0**-30
"""More than all roundings of one step of the analysis, with up to 2**20 additions in binary64."""


def smallest_normal(name: str) -> float:
    """Return it for the floating dtype in which values of a dtype are computed; 0 for integers."""
    return PRECISIONS[computing_float(name)].tiny if name in FLOATS else 0.0


def converted(size: Array, names: set[str], to: str, xp: Namespace) -> Array:
    """Return how far values of this size and of dtypes `names` move when they are made `to`."""
    if not any(is_rounded(name, to) for name in names):
        return 0.0 * size
    precision, wide = PRECISIONS[to], computing_float(to)
    # 16-bit floats may be made by way of 32-bit ones.
    unit = precision.unit + (0.0 if wide == to else PRECISIONS[wide].unit)
    return xp.where(size <= precision.largest, size * unit + precision.tiny, math.inf)


def off_by(size: Array, dtype: str) -> Array:
    """Return how far exact values may be from those of this size that they were rounded to.

    They may have become binary64 and float32 on the way: a 2**-13 of a rounding each, at most.
    """
    precision = PRECISIONS[dtype]
    return (1 + 2.0**-12) * precision.unit * (size + precision.tiny)


class Rounding(NamedTuple):
    """What rounds: binary64 and the dtype at hand, as arrays of shape (2, 1, ..., 1)."""

    unit: Array
    tiny: Array
    weights: set[str]
    """The dtypes that weights are given in."""
    dtype: str

    @staticmethod
    def of(dtype: str, weights: set[str], x: Array, xp: Namespace) -> "Rounding":
        """Return it for a pass in `dtype` with weights of some dtypes, and arrays like x."""
        first, second = PRECISIONS["float64"], PRECISIONS[computing_float(dtype)]

        def both(*values: float) -> Array:
            a = xp.asarray(values, dtype=xp.float64, device=device_of(x))
            return xp.reshape(a, (2,) + (1,) * len(x.shape))

        return Rounding(
            both(first.unit, second.unit), both(first.tiny, second.tiny), weights, dtype
        )

    def least(self, names: Collection[str], xp: Namespace) -> Array:
        """Return below what values given in these dtypes may be flushed."""
        given = max(map(smallest_normal, names), default=0.0)
        return xp.maximum(self.tiny, given + 0 * self.tiny)

    def of_weights(self, size: Array, xp: Namespace) -> Array:
        """Return how far weights of this size move when they are made the dtype at hand."""
        return converted(size, self.weights, self.dtype, xp)

    @property
    def largest(self) -> float:
        """No value may come near it."""
        return PRECISIONS[computing_float(self.dtype)].largest / 8


class Enclosure(NamedTuple):
    """Values computed in binary64, and how far others may be from the exact ones."""

    centre: Array
    errors: Array
    """Shape (2, *centre.shape): |centre - exact|, |computed - exact|, at most. inf: nothing is known."""

    @property
    def reach(self) -> Array:
        """No exact or computed value is further from the centre."""
        return (self.errors[0, ...] + self.errors[1, ...]) * SLACK

    def interval(self, xp: Namespace) -> tuple[Array, Array]:
        """Return lower and upper ends of where all exact and computed values are."""
        reach = self.reach + 2.0**-50 * xp.abs(self.centre)
        return self.centre - reach, self.centre + reach

    @staticmethod
    def of(values: Array, xp: Namespace) -> "Enclosure":
        """Return values of binary64 that nothing is wrong with."""
        return Enclosure(values, xp.stack([0 * values, 0 * values]))


def enclosed(centre: Array, errors: Array, size: Array, largest: float, xp: Namespace) -> Enclosure:
    """Put an enclosure together; nothing is known of what may overflow, or holds NaN."""
    known = (size <= largest) & (xp.max(errors, axis=0) < math.inf)
    return Enclosure(centre, xp.where(known, errors * SLACK, math.inf))


def entered(x: Array, by: Rounding, xp: Namespace) -> Enclosure:
    """Start with the input, which may have to be rounded to the dtype, and flushed."""
    centre, names = xp.astype(x, xp.float64), {dtype_name(x.dtype)}
    size = xp.abs(centre)
    errors = xp.stack([converted(size, names, to, xp) for to in ("float64", by.dtype)])
    errors = errors + xp.where(size < by.least(names, xp), size, 0.0)
    return enclosed(centre, errors, size, PRECISIONS["float64"].largest, xp)


def finished(s: Enclosure, by: Rounding, xp: Namespace) -> Enclosure:
    """Round the result, which was computed in more digits, to the dtype."""
    if computing_float(by.dtype) == by.dtype:
        return s
    precision, size = PRECISIONS[by.dtype], xp.abs(s.centre) + s.reach
    last = size * precision.unit + precision.tiny
    errors = xp.stack([s.errors[0, ...], s.errors[1, ...] + last])
    return enclosed(s.centre, errors, size, precision.largest, xp)
