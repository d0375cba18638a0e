"""How an activation passes an error on, and what its own evaluation adds: two bounds each.

The first is the largest slope on an interval, by which an error of the argument grows. The second is what
any sound implementation may add, not only xpnn's: `x * (1 + erf(x / sqrt(2))) / 2` for gelu loses the digits
of its tail, and is no fault. It is stated in roundings, units of u, half a unit in the last place of
1; exp, expm1, log, log1p, tanh and erf are taken to be right to `ELEMENTARY` of them, everywhere.

All intervals are [lower, upper], arrays of binary64. Maxima of slopes are those of the textbook formulas;
`tests/rounding/test_slopes.py` holds them to mpmath.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from xpnn._arrays.types import Array, Namespace

ELEMENTARY = 16.0
"""Roundings in an elementary function: no backend is worse than 8 units in the last place."""


class Slope(NamedTuple):
    """The two bounds of an activation, and where it jumps."""

    steepest: Callable[..., Array]
    """`steepest(lower, upper, xp, **options)`: the largest |derivative| between the two."""
    roundings: Callable[..., Array | float]
    """`roundings(t, y, **options)`: error of evaluation, in u, for |argument| t and |result| y."""
    span: float = math.inf
    """Highest less lowest value."""
    jump: Callable[..., Array] | None = None
    """`jump(lower, upper, xp, **options)`: largest jump between the two; None if continuous."""


def _nearest_to_zero(lower: Array, upper: Array, xp: Namespace) -> Array:
    """Return the least |t| of an interval."""
    return xp.maximum(xp.maximum(lower, -upper), xp.zeros_like(lower))


def _within(lower: Array, upper: Array, low: float, high: float, xp: Namespace) -> Array:
    """1 where the interval has a point between low and high, otherwise 0."""
    return xp.astype((upper > low) & (lower < high), lower.dtype)


def _identity(lower: Array, upper: Array, xp: Namespace) -> Array:
    return xp.ones_like(lower)


def _step(lower: Array, upper: Array, xp: Namespace) -> Array:
    return xp.zeros_like(lower)


def _step_jump(lower: Array, upper: Array, xp: Namespace) -> Array:
    return xp.astype((lower <= 0) & (upper > 0), lower.dtype)


def _sigmoid(lower: Array, upper: Array, xp: Namespace) -> Array:
    e = xp.exp(-_nearest_to_zero(lower, upper, xp))
    return e / (1 + e) ** 2


def _tanh(lower: Array, upper: Array, xp: Namespace) -> Array:
    return 4 * _sigmoid(2 * lower, 2 * upper, xp)


def _log_sigmoid(lower: Array, upper: Array, xp: Namespace) -> Array:
    return 1 / (1 + xp.exp(lower))


def _softplus(
    lower: Array, upper: Array, xp: Namespace, *, beta: float = 1.0, threshold: float | None = None
) -> Array:
    slope = 1 / (1 + xp.exp(-beta * upper))
    return slope if threshold is None else xp.maximum(slope, _past(threshold / beta, upper, xp))


def _past(limit: float, upper: Array, xp: Namespace) -> Array:
    """1 where an interval reaches past the limit, otherwise 0."""
    return _within(upper, upper, limit, math.inf, xp)


def _softplus_jump(
    lower: Array, upper: Array, xp: Namespace, *, beta: float = 1.0, threshold: float | None = None
) -> Array:
    if threshold is None:
        return xp.zeros_like(lower)
    # Which side a rounded beta * x falls on is open close to the threshold.
    near = 2.0**-10 * (1 + abs(threshold))
    there = (beta * lower <= threshold + near) & (beta * upper >= threshold - near)
    return xp.astype(there, lower.dtype) * (math.log1p(math.exp(-threshold)) / beta)


def _relu(lower: Array, upper: Array, xp: Namespace) -> Array:
    return _within(lower, upper, 0, math.inf, xp)


def _relu6(lower: Array, upper: Array, xp: Namespace) -> Array:
    return _within(lower, upper, 0, 6, xp)


def _leaky_relu(
    lower: Array, upper: Array, xp: Namespace, *, negative_slope: float = 0.01
) -> Array:
    below = abs(negative_slope) * _within(lower, upper, -math.inf, 0, xp)
    return xp.maximum(_relu(lower, upper, xp), below)


def _elu(lower: Array, upper: Array, xp: Namespace, *, alpha: float = 1.0) -> Array:
    below = abs(alpha) * xp.exp(xp.minimum(upper, xp.zeros_like(upper)))
    below = below * _within(lower, upper, -math.inf, 0, xp)
    return xp.maximum(_relu(lower, upper, xp), below)


def _selu(lower: Array, upper: Array, xp: Namespace) -> Array:
    return 1.0507009873554806 * _elu(lower, upper, xp, alpha=1.6732632423543774)


def _celu(lower: Array, upper: Array, xp: Namespace, *, alpha: float = 1.0) -> Array:
    zero = xp.zeros_like(lower)
    end = xp.minimum(upper if alpha > 0 else lower, zero)  # exp(x / alpha) falls where alpha < 0
    below = xp.exp(end / alpha) * _within(lower, upper, -math.inf, 0, xp)
    return xp.maximum(_relu(lower, upper, xp), below)


def _below(limit: float, tail: Array, upper: Array, highest: float, xp: Namespace) -> Array:
    """The slope's bound in the lower tail, where that is shorter than the highest of all."""
    return xp.where(upper < limit, tail, xp.full_like(upper, highest))


def _gelu(lower: Array, upper: Array, xp: Namespace, *, approximate: str = "none") -> Array:
    t = xp.minimum(upper, -xp.ones_like(upper))
    if approximate == "none":  # |P(t) + t p(t)| < |t| p(t), with P < p / |t|
        tail = -t * xp.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    else:
        steep = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * (t * t))
        u = math.sqrt(8 / math.pi) * t * (1 + 0.044715 * (t * t))
        tail = xp.exp(u) * (1 - t * steep)
    return _below(-2, tail, upper, 1.13, xp)


def _silu(lower: Array, upper: Array, xp: Namespace) -> Array:
    t = xp.minimum(upper, -xp.ones_like(upper))
    return _below(-2.5, -t * xp.exp(t), upper, 1.1, xp)


def _softsign(lower: Array, upper: Array, xp: Namespace) -> Array:
    return 1 / (1 + _nearest_to_zero(lower, upper, xp)) ** 2


def _hard_sigmoid(lower: Array, upper: Array, xp: Namespace) -> Array:
    return _within(lower, upper, -3, 3, xp) / 6


def _hard_swish(lower: Array, upper: Array, xp: Namespace) -> Array:
    three = xp.full_like(lower, 3.0)
    ends = (xp.minimum(xp.maximum(t, -three), three) for t in (lower, upper))
    first, second = (xp.abs(2 * t + 3) / 6 for t in ends)
    bend = xp.maximum(first, second) * _within(lower, upper, -3, 3, xp)
    return xp.maximum(bend, _past(3, upper, xp))


def _hard_tanh(lower: Array, upper: Array, xp: Namespace) -> Array:
    return _within(lower, upper, -1, 1, xp)


def _erf(lower: Array, upper: Array, xp: Namespace) -> Array:
    t = _nearest_to_zero(lower, upper, xp)
    return 2 / math.sqrt(math.pi) * xp.exp(-t * t)


def _exact(t: Array, y: Array) -> float:
    return 0.0


def _celu_roundings(t: Array, y: Array, *, alpha: float = 1.0) -> Array:
    growing = t * y / -alpha if alpha < 0 else 0.0  # exp of a large, rounded x / alpha
    return (ELEMENTARY + 4) * (y + abs(alpha)) + growing


# The terms: relative ones for the formula's own steps; absolute ones where a usual way to write it adds or
# subtracts 1: 0.5 + 0.5 tanh(x / 2), log(1 + exp(x)), exp(x) - 1, x (1 + erf(x / sqrt(2))) / 2.
SLOPES = {
    "identity": Slope(_identity, _exact),
    "step": Slope(_step, _exact, 1, _step_jump),
    "sigmoid": Slope(_sigmoid, lambda t, y: (ELEMENTARY + 4) * y + ELEMENTARY / 2, 1),
    "log_sigmoid": Slope(_log_sigmoid, lambda t, y: (2 * ELEMENTARY + 4) * y + 2),
    "tanh": Slope(_tanh, lambda t, y: ELEMENTARY * y, 2),
    "relu": Slope(_relu, _exact),
    "relu6": Slope(_relu6, _exact, 6),
    "leaky_relu": Slope(_leaky_relu, lambda t, y, **_: 3 * y),
    "elu": Slope(_elu, lambda t, y, alpha=1.0: (ELEMENTARY + 4) * (y + abs(alpha))),
    "selu": Slope(_selu, lambda t, y: (ELEMENTARY + 8) * (y + 2)),
    "celu": Slope(_celu, _celu_roundings),
    "gelu": Slope(_gelu, lambda t, y, **_: (2 * ELEMENTARY + 8) * y + (ELEMENTARY + 4) * t),
    "silu": Slope(_silu, lambda t, y: (ELEMENTARY + 4) * y + ELEMENTARY / 2 * t),
    "mish": Slope(_silu, lambda t, y: (2 * ELEMENTARY + 8) * y + 2 * t),
    "softplus": Slope(
        _softplus,
        lambda t, y, beta=1.0, **_: (2 * ELEMENTARY + 4) * y + 2 / beta,
        jump=_softplus_jump,
    ),
    "softsign": Slope(_softsign, lambda t, y: 8 * y, 2),
    "hard_sigmoid": Slope(_hard_sigmoid, lambda t, y: 4 * y + 2, 1),
    "hard_swish": Slope(_hard_swish, lambda t, y: 6 * y + 2 * t),
    "hard_tanh": Slope(_hard_tanh, _exact, 2),
    "erf": Slope(_erf, lambda t, y: (ELEMENTARY + 4) * y, 2),
}
