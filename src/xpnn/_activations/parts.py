"""What formulas are put together from: halves in |x| with derivatives that meet at 0, and polynomials."""

from xpnn._arrays.types import Array, Namespace
from xpnn._engine.elementary import polynomial

__all__ = ["at_most", "magnitude", "polynomial", "positive_part"]


def magnitude(x: Array, xp: Namespace) -> Array:
    """|x| with derivative 1 at 0; that of `abs` is 0 there, which makes sigmoid'(0) 0, not 1/4."""
    return xp.where(x >= 0, x, -x)


def positive_part(x: Array, xp: Namespace) -> Array:
    """max(x, 0) with derivative 1 at 0, as `magnitude` has; 0 where x is NaN."""
    return xp.where(x >= 0, x, 0.0)


def at_most(a: Array, limit: float, xp: Namespace) -> Array:
    """min(a, limit), NaN where a is NaN; the derivative past the limit is 0."""
    return xp.where(xp.greater(a, limit), limit, a)
