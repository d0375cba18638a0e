"""How large rounding errors are expected to be: a model, where `bounds` is a proof.

Rounding errors are taken to be independent, with mean zero and a standard deviation of `_DEVIATION` u (N. J.
Higham, T. Mary, 'A new approach to probabilistic rounding error analysis', SIAM J. Sci. Comput. 41, 2019,
doi:10.1137/18M1226312): their squares add up. A sum adds its terms one by one in random order, so its k-th
partial sum of n has the mean square (k/n)**2 s**2 + (k/n) (1 - k/n) q, of the sum s and the sum of squares q.
Libraries add in several parts at a time, and err less; terms sorted by sign err more.

An activation is expected to err by 1 / `FACTOR` of what `slopes` states.
"""

import math
from typing import NamedTuple

from xpnn._activations.softmax import softmax
from xpnn._arrays.dtypes import PRECISIONS, computing_float, dtype_name, is_rounded
from xpnn._arrays.types import Array, Namespace
from xpnn._network.interpreters.bounds import Activation, Pass, activation_of, smallest_normal
from xpnn._network.layers.dense import Dense
from xpnn._rounding.slopes import ELEMENTARY, SLOPES

_DEVIATION = math.sqrt(1 / (8 * math.log(2)))
"""Of one rounding, in u: errors spread evenly over a unit, significands as 1/m over 1 to 2."""


FACTOR = 8.0
"""A pass whose errors are more than this often as large as expected is not one of its precision.

Sound passes were seen at up to 1.6, the evaluation of activations alone reaches 8 by definition, and factors
rounded to TF32 are at sqrt(12 / n) * 2**13 for sums of n terms of both signs, 443 and more for n up to 4,096.
Of terms that all have one sign it is sqrt(6) * 2**13 / n, so there n must be below 2,500.
"""


class Expectation(NamedTuple):
    """Values, and the variances of their errors."""

    centre: Array
    variance: Array

    def flushed(self, tiny: float, xp: Namespace) -> "Expectation":
        """Expect that values below the smallest normal number become zero."""
        lost = xp.where(xp.abs(self.centre) < tiny, self.centre**2, 0.0)
        return Expectation(self.centre, self.variance + lost)


def after_linear(
    s: Expectation, layer: Dense, unit: float, of_weights: float, xp: Namespace
) -> Expectation:
    """Go through x @ weight + bias."""
    squares = layer.weight * layer.weight
    n = 1 + xp.sum(xp.astype(s.centre != 0, xp.float64), axis=-1, keepdims=True)
    q = xp.matmul(s.centre * s.centre, squares)
    q = q if layer.bias is None else q + layer.bias * layer.bias
    centre = layer.linear(s.centre, xp=xp)
    sums = n * (centre * centre / 3 + q / 6)
    rounded = _DEVIATION**2 * (unit**2 * (sums + q) + of_weights**2 * q)
    return Expectation(centre, xp.matmul(s.variance, squares) + rounded)


def after_activation(
    s: Expectation, activation: Activation, unit: float, xp: Namespace, reach: float = 0.0
) -> Expectation:
    """Go through an activation; its slope is the steepest within `reach` standard deviations."""
    function, name, options = activation
    far = reach * xp.sqrt(s.variance)
    y = function(s.centre, xp=xp, **options)
    if name in {"softmax", "log_softmax"}:
        p = softmax(s.centre, xp=xp)
        below = s.centre - xp.max(s.centre, axis=-1, keepdims=True)
        variance = s.variance + (_DEVIATION * unit * below) ** 2
        carried = p * p * variance
        variance = (1 - p) ** 2 * variance + xp.sum(carried, axis=-1, keepdims=True) - carried
        roundings = 2 * ELEMENTARY + 8 + math.sqrt(y.shape[-1])
        own = unit * roundings / FACTOR * (y if name == "softmax" else 1 + xp.abs(y))
        if name == "softmax":
            growth = xp.exp(xp.minimum(xp.max(far, axis=-1, keepdims=True), xp.ones_like(far)))
            variance = xp.minimum((y * growth) ** 2 * variance, xp.ones_like(y))
        return Expectation(y, variance + own**2)
    slope = SLOPES[name]
    lower, upper = s.centre - far, s.centre + far
    steepest = slope.steepest(lower, upper, xp, **options)
    own = unit * slope.roundings(xp.abs(s.centre), xp.abs(y), **options) / FACTOR
    jump = 0.0 if slope.jump is None or not reach else slope.jump(lower, upper, xp, **options)
    return Expectation(y, steepest**2 * s.variance + own**2 + jump**2)


def expect(one: Pass, x: Array, xp: Namespace, reach: float = 0.0) -> Expectation:
    """Expect the errors of a pass.

    A model of many rows takes the slope of an activation at its argument. A single row may be one of
    those whose argument passes a kink or a jump: with a `reach`, in standard deviations, the steepest
    slope that lies so near is taken.
    """
    inside, last = PRECISIONS[computing_float(one.dtype)], PRECISIONS[one.dtype]
    of_weights = last.unit if any(is_rounded(name, one.dtype) for name in one.weights) else 0.0
    of_input = last.unit if is_rounded(dtype_name(x.dtype), one.dtype) else 0.0
    least = max(last.tiny, smallest_normal(dtype_name(x.dtype)))
    x = xp.astype(x, xp.float64)
    s = Expectation(x, (_DEVIATION * of_input * x) ** 2).flushed(least, xp)
    for i, layer in enumerate(one.layers):
        s = after_linear(s, layer, inside.unit, of_weights, xp).flushed(inside.tiny, xp)
        s = after_activation(s, activation_of(one.layers, i, one.of), inside.unit, xp, reach)
        s = s.flushed(inside.tiny, xp)
    if inside == last:
        return s
    rounded = (_DEVIATION * last.unit * s.centre) ** 2
    return Expectation(s.centre, s.variance + rounded).flushed(last.tiny, xp)
