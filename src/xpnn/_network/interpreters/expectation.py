"""How large rounding errors are expected to be: a model, where `bounds` is a proof.

Rounding errors are taken to be independent, with mean zero and a standard deviation of `DEVIATION` u (N. J.
Higham, T. Mary, 'A new approach to probabilistic rounding error analysis', SIAM J. Sci. Comput. 41, 2019,
doi:10.1137/18M1226312): their squares add up. A sum adds its terms one by one in random order, so its k-th
partial sum of n has the mean square (k/n)**2 s**2 + (k/n) (1 - k/n) q, of the sum s and the sum of squares q.
Libraries add in several parts at a time, and err less; terms sorted by sign err more.

An activation is expected to err by 1 / `FACTOR` of what `slopes` states.
"""

from xpnn._activations.activation import Activation
from xpnn._arrays.dtypes import PRECISIONS, computing_float, dtype_name, is_rounded
from xpnn._arrays.types import Array, Namespace
from xpnn._network.interpreters.bounds import Pass
from xpnn._network.interpreters.values import activations
from xpnn._network.layers.dense import Dense
from xpnn._rounding.enclosure import smallest_normal
from xpnn._rounding.expected import DEVIATION, Expectation


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
    rounded = DEVIATION**2 * (unit**2 * (sums + q) + of_weights**2 * q)
    return Expectation(centre, xp.matmul(s.variance, squares) + rounded)


def after_activation(
    s: Expectation, activation: Activation, unit: float, xp: Namespace, reach: float = 0.0
) -> Expectation:
    """Go through an activation; its slope is the steepest within `reach` standard deviations."""
    y, errors = activation(s.centre, xp=xp), activation.record.errors
    return errors.expect(s, y, unit, xp, reach, **dict(activation.options))


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
    s = Expectation(x, (DEVIATION * of_input * x) ** 2).flushed(least, xp)
    for layer, activation in zip(one.layers, activations(one.layers, one.of), strict=True):
        s = after_linear(s, layer, inside.unit, of_weights, xp).flushed(inside.tiny, xp)
        s = after_activation(s, activation, inside.unit, xp, reach)
        s = s.flushed(inside.tiny, xp)
    if inside == last:
        return s
    rounded = (DEVIATION * last.unit * s.centre) ** 2
    return Expectation(s.centre, s.variance + rounded).flushed(last.tiny, xp)
