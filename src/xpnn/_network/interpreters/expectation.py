"""Expectations: how large rounding errors are expected to be: a model, where `bounds` is a proof.

A sum adds its terms one by one in random order, so its k-th partial sum of n has the mean square
(k/n)**2 s**2 + (k/n) (1 - k/n) q, of the sum s and the sum of squares q. Libraries add in several parts at a
time, and err less; terms sorted by sign err more.

An activation is expected to err by 1 / `FACTOR` of what `slopes` states. The numbers that carry the variances
are those of `xpnn._rounding.expected`.
"""

from typing import NamedTuple

from xpnn._activations.activation import Activation
from xpnn._arrays.dtypes import PRECISIONS, computing_float, dtype_name, is_rounded
from xpnn._arrays.types import Array, Namespace
from xpnn._network.interpreters.bounds import Pass
from xpnn._network.interpreters.values import affine, ending, passed
from xpnn._network.layers.layer import Shape
from xpnn._network.layers.linear import linear
from xpnn._network.layers.normalization import normalized
from xpnn._rounding.enclosure import smallest_normal
from xpnn._rounding.expected import DEVIATION, Expectation


class Expectations(NamedTuple):
    """The words for expected errors: what they become, and what is added to their squares."""

    xp: Namespace
    unit: float
    tiny: float
    """What is smaller is expected to be flushed."""
    of_weights: float = 0.0
    """The unit that weights are rounded to, 0 where they need not be."""
    reach: float = 0.0
    """The slope of an activation is the steepest within so many standard deviations.

    A model of many rows takes the slope at the argument, reach 0. A single row may be one of those whose
    argument passes a kink or a jump.
    """

    def linear(
        self, s: Expectation, weight: Array, bias: Array | None, rounded: str | None = None, /
    ) -> Expectation:
        """Go through x @ weight + bias."""
        xp, squares = self.xp, weight * weight
        n = 1 + xp.sum(xp.astype(s.centre != 0, xp.float64), axis=-1, keepdims=True)
        q = xp.matmul(s.centre * s.centre, squares)
        q = q if bias is None else q + bias * bias
        centre = linear(s.centre, weight, bias, xp=xp)
        sums = n * (centre * centre / 3 + q / 6)
        own = DEVIATION**2 * (self.unit**2 * (sums + q) + self._of_weights(rounded) * q)
        return Expectation(centre, xp.matmul(s.variance, squares) + own).flushed(self.tiny, xp)

    def affine(
        self,
        s: Expectation,
        scale: Array | None,
        shift: Array | None,
        rounded: str | None = None,
        /,
    ) -> Expectation:
        """Go through x * scale + shift, of two roundings."""
        product, centre = affine(s.centre, scale, None), affine(s.centre, scale, shift)
        carried = affine(affine(s.variance, scale, None), scale, None)
        given = product * product + (0.0 if shift is None else shift * shift)
        own = self.unit**2 * (product * product + centre * centre)
        own = DEVIATION**2 * (own + self._of_weights(rounded) * given)
        return Expectation(centre, carried + own).flushed(self.tiny, self.xp)

    def _of_weights(self, rounded: str | None) -> float:
        """Return the square of the unit of weights, which may have been rounded once before."""
        before = 0.0 if rounded is None else PRECISIONS[rounded].unit
        return self.of_weights**2 + before**2

    def normalize(self, s: Expectation, epsilon: float, /) -> Expectation:
        """Go through y = d / s for d = x - mean and s = sqrt(mean(d**2) + epsilon).

        The derivative of y_i by x_j is (1 if i = j) - (1 + y_i y_j) / n, divided by s. The first
        subtraction's rounding goes the same way; that of the mean moves all d alike.
        """
        xp, n, y = self.xp, s.centre.shape[-1], normalized(s.centre, epsilon, self.xp)

        def mean(a: Array) -> Array:
            return xp.mean(a, axis=-1, keepdims=True)

        of_mean = mean(s.centre)
        d, rounding = s.centre - of_mean, (DEVIATION * self.unit) ** 2
        square = mean(d * d) + epsilon
        variance = s.variance + rounding * d * d
        first = variance * (1 - 2 * (1 + y * y) / n)
        others = mean(variance) + 2 * y * mean(y * variance) + y * y * mean(y * y * variance)
        shift = rounding * (of_mean**2 * (1 + n / 3) + mean(s.centre**2) / 6)
        carried = (first + others / n + shift) / square
        carried = xp.where(carried > 0, carried, 0 * carried)
        return Expectation(y, carried + rounding * y * y * (3 + n / 12)).flushed(self.tiny, xp)

    def add(self, s: Expectation, t: Expectation, /) -> Expectation:
        """Go through x + y, as if their errors had nothing to do with each other."""
        centre = s.centre + t.centre
        variance = s.variance + t.variance + (DEVIATION * self.unit * centre) ** 2
        return Expectation(centre, variance).flushed(self.tiny, self.xp)

    def flatten(self, s: Expectation, _: Shape, /) -> Expectation:
        """Return s, which the network has laid out."""
        return s

    def activate(self, s: Expectation, activation: Activation, /) -> Expectation:
        """Go through an activation, as its record has it."""
        y, errors = activation(s.centre, xp=self.xp), activation.record.errors
        options = dict(activation.options)
        t = errors.expect(s, y, self.unit, self.xp, self.reach, **options)
        return t.flushed(self.tiny, self.xp)


def expect(one: Pass, x: Array, xp: Namespace, reach: float = 0.0) -> Expectation:
    """Expect the errors of a pass; `reach` as `Expectations` has it."""
    inside, last = PRECISIONS[computing_float(one.dtype)], PRECISIONS[one.dtype]
    of_weights = last.unit if any(is_rounded(name, one.dtype) for name in one.weights) else 0.0
    of_input = last.unit if is_rounded(dtype_name(x.dtype), one.dtype) else 0.0
    least = max(last.tiny, smallest_normal(dtype_name(x.dtype)))
    x = xp.astype(x, xp.float64)
    s = Expectation(x, (DEVIATION * of_input * x) ** 2).flushed(least, xp)
    by = Expectations(xp, inside.unit, inside.tiny, of_weights, reach)
    s = passed(one.layers, s, by, ending(one.layers, one.of))
    if inside == last:
        return s
    rounded = (DEVIATION * last.unit * s.centre) ** 2
    return Expectation(s.centre, s.variance + rounded).flushed(last.tiny, xp)
