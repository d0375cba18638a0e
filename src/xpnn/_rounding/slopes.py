"""How an elementwise function passes an error on, and what its own evaluation adds: two bounds each.

The first is the largest slope on an interval, by which an error of the argument grows. The second is what
any sound implementation may add, not only xpnn's: `x * (1 + erf(x / sqrt(2))) / 2` for gelu loses the digits
of its tail, and is no fault. It is stated in roundings, units of u, half a unit in the last place of
1; exp, expm1, log, log1p, tanh and erf are taken to be right to `ELEMENTARY` of them, everywhere. Its terms
are relative ones for the formula's own steps, and absolute ones where a usual way to write it adds or
subtracts 1: 0.5 + 0.5 tanh(x / 2), log(1 + exp(x)), exp(x) - 1, x (1 + erf(x / sqrt(2))) / 2.

All intervals are [lower, upper], arrays of binary64. Maxima of slopes are those of the textbook formulas;
`tests/rounding/test_slopes.py` holds them to mpmath.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from xpnn._arrays.types import Array, Namespace
from xpnn._rounding.enclosure import SLACK, Enclosure, Rounding, enclosed
from xpnn._rounding.expected import FACTOR, Expectation

ELEMENTARY = 16.0
"""Roundings in an elementary function: no backend is worse than 8 units in the last place."""


class Errors(Protocol):
    """How a function carries the errors of its argument, and adds its own."""

    def enclose(
        self, s: Enclosure, y: Array, by: Rounding, xp: Namespace, **options: Any
    ) -> Enclosure:
        """Return the enclosure of the function of an enclosure s; y is the function of its centre."""

    def expect(
        self,
        s: Expectation,
        y: Array,
        unit: float,
        xp: Namespace,
        reach: float = 0.0,
        **options: Any,
    ) -> Expectation:
        """Return the expected error of the function, at its steepest within `reach` deviations."""


def exactly(t: Array, y: Array, **_: Any) -> float:  # noqa: ARG001 -- as all are called
    """Return that no rounding is added."""
    return 0.0


class Slope(NamedTuple):
    """The two bounds of an elementwise function, and where it jumps."""

    steepest: Callable[..., Array]
    """`steepest(lower, upper, xp, **options)`: the largest |derivative| between the two."""
    roundings: Callable[..., Array | float] = exactly
    """`roundings(t, y, **options)`: error of evaluation, in u, for |argument| t and |result| y."""
    span: float = math.inf
    """Highest less lowest value."""
    jump: Callable[..., Array] | None = None
    """`jump(lower, upper, xp, **options)`: largest jump between the two; None if continuous."""

    def enclose(
        self, s: Enclosure, y: Array, by: Rounding, xp: Namespace, **options: Any
    ) -> Enclosure:
        """Return the enclosure of the function of an enclosure s; y is the function of its centre."""
        lower, upper = s.interval(xp)
        steepest = self.steepest(lower, upper, xp, **options) * SLACK + 2.0**-1000
        jump = 0.0 if self.jump is None else self.jump(lower, upper, xp, **options)
        carried = xp.where(s.errors > 0, steepest * s.errors + jump, 0.0)
        if self.jump is not None:
            # An argument without an error, too, is compared with what the dtype makes of an option.
            computed = xp.maximum(carried[1, ...], jump)
            carried = xp.stack([carried[0, ...], computed])
        carried = xp.where(carried > self.span, self.span, carried)
        argument = xp.abs(s.centre) + s.reach
        size = xp.abs(y) * SLACK + carried[0, ...] + carried[1, ...]
        rounded = by.unit * self.roundings(argument, size, **options) + 4 * by.tiny * (1 + argument)
        errors = xp.where(xp.max(s.errors, axis=0) < math.inf, carried + rounded, math.inf)
        return enclosed(y, errors, size, by.largest, xp)

    def expect(
        self,
        s: Expectation,
        y: Array,
        unit: float,
        xp: Namespace,
        reach: float = 0.0,
        **options: Any,
    ) -> Expectation:
        """Return the expected error of the function, at its steepest within `reach` deviations."""
        far = reach * xp.sqrt(s.variance)
        lower, upper = s.centre - far, s.centre + far
        steepest = self.steepest(lower, upper, xp, **options)
        own = unit * self.roundings(xp.abs(s.centre), xp.abs(y), **options) / FACTOR
        # Also where the argument is known: what it is compared with may be rounded.
        jump = 0.0 if self.jump is None else self.jump(lower, upper, xp, **options)
        return Expectation(y, steepest**2 * s.variance + own**2 + jump**2)


def nearest_to_zero(lower: Array, upper: Array, xp: Namespace) -> Array:
    """Return the least |t| of an interval."""
    return xp.maximum(xp.maximum(lower, -upper), xp.zeros_like(lower))


def within(lower: Array, upper: Array, low: float, high: float, xp: Namespace) -> Array:
    """Return 1 where the interval has a point between low and high, otherwise 0."""
    return xp.astype((upper > low) & (lower < high), lower.dtype)


def slope_within(low: float, high: float) -> Callable[..., Array]:
    """Return the largest slope of what is x + c from low to high, and constant elsewhere."""
    return lambda lower, upper, xp: within(lower, upper, low, high, xp)


def past(limit: float, upper: Array, xp: Namespace) -> Array:
    """Return 1 where an interval reaches past the limit, otherwise 0."""
    return within(upper, upper, limit, math.inf, xp)


def tail_below(limit: float, tail: Array, upper: Array, highest: float, xp: Namespace) -> Array:
    """Return a bound of the lower tail up to the limit, and the highest of all from there on."""
    return xp.where(upper < limit, tail, xp.full_like(upper, highest))
