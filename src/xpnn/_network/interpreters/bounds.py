"""Rounding error analysis of a forward pass: the furthest it can be from the exact one.

Running error analysis, componentwise (N. J. Higham, 'Accuracy and Stability of Numerical Algorithms', 2nd
edition, SIAM 2002, chapter 3, doi:10.1137/1.9780898718027). A pass in binary64 gives the centre, and two
errors go along with it through the layers, on one leading axis: that of the centre itself, and that of any
sound pass in the dtype at hand. Each step is written once, for both.

Sums. A sum in any order, by any tree of additions, errs by at most u times the sum of all partial sums (C.-P.
Jeannerod, S. M. Rump, 'Improved error bounds for inner products in floating-point arithmetic', SIAM J. Matrix
Anal. Appl. 34, 2013, doi:10.1137/120894488). Each partial sum is that of some of the terms, so it lies
between the sum of the negative and that of the positive ones: it is at most (sum of |terms| + |sum of
terms|) / 2. Terms that are zero for sure, as pixels often are, cost nothing. A fused multiply-add leaves a
rounding out; a bias may come first or last.

Below the smallest normal number anything may be flushed to zero, also where float32 is made float64: the
absolute terms in `tiny`. The bound is
computed in binary64 itself; all that is added up is positive, so the factor `_SLACK` covers that.
"""

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from xpnn._activations.softmax import first_largest, softmax
from xpnn._activations.table import ACTIVATIONS
from xpnn._arrays import pytree
from xpnn._arrays.compilers import compiler_of
from xpnn._arrays.dtypes import FLOATS, PRECISIONS, computing_float, dtype_name, is_rounded
from xpnn._arrays.library import Library, device_of, library
from xpnn._arrays.transfer import is_numpy
from xpnn._arrays.types import Array, Device, Namespace
from xpnn._network.interpreters.values import LOG_PROBA, Layers, output_of
from xpnn._network.layers.dense import Dense, parse_activation
from xpnn._rounding.slopes import ELEMENTARY, SLOPES
from xpnn.errors import XpnnValueError

_SLACK = 1 + 2.0**-30
"""More than all roundings of one step of the analysis, with up to 2**20 additions in binary64."""

Activation = tuple[Callable[..., Array], str, dict[str, object]]
"""A function, its name and its options."""


def activation_of(layers: Layers, i: int, of: str = "output") -> Activation:
    """Return what follows the product of layer i, if `of` is wanted of the network."""
    name, options = parse_activation(layers[i].activation)
    if i == len(layers) - 1 and of != "output":
        if of == "logits" and name in {*LOG_PROBA, "identity"}:
            name, options = "identity", {}
        elif of == "log_proba" and name in LOG_PROBA:
            name, options = LOG_PROBA[name].__name__, {}
        else:
            raise XpnnValueError(
                "of: expected 'output', or after softmax or sigmoid 'logits' or 'log_proba', got "
                f"{of!r} of a network whose output layer is {name}"
            )
    return ACTIVATIONS[name], name, options


class Pass(NamedTuple):
    """A forward pass to analyse."""

    layers: Layers
    """In binary64, where x is."""
    weights: set[str]
    """The dtypes that the weights are given in."""
    dtype: str
    """That of the result."""
    of: str = "output"
    """output, logits or log_proba: which method of the network."""


def smallest_normal(name: str) -> float:
    """Return it for the floating dtype in which values of a dtype are computed; 0 for integers."""
    return PRECISIONS[computing_float(name)].tiny if name in FLOATS else 0.0


def _converted(size: Array, names: set[str], to: str, xp: Namespace) -> Array:
    """Return how far values of this size and of dtypes `names` move when they are made `to`."""
    if not any(is_rounded(name, to) for name in names):
        return 0.0 * size
    precision, wide = PRECISIONS[to], computing_float(to)
    # 16-bit floats may be made by way of 32-bit ones.
    unit = precision.unit + (0.0 if wide == to else PRECISIONS[wide].unit)
    return xp.where(size <= precision.largest, size * unit + precision.tiny, math.inf)


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
            both(first.unit, second.unit),
            both(first.tiny, second.tiny),
            weights,
            dtype,
        )

    def least(self, names: Collection[str], xp: Namespace) -> Array:
        """Return below what values given in these dtypes may be flushed."""
        given = max(map(smallest_normal, names), default=0.0)
        return xp.maximum(self.tiny, given + 0 * self.tiny)

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
        return (self.errors[0, ...] + self.errors[1, ...]) * _SLACK

    def interval(self, xp: Namespace) -> tuple[Array, Array]:
        """Return lower and upper ends of where all exact and computed values are."""
        reach = self.reach + 2.0**-50 * xp.abs(self.centre)
        return self.centre - reach, self.centre + reach


def _enclosed(
    centre: Array, errors: Array, size: Array, largest: float, xp: Namespace
) -> Enclosure:
    """Put an enclosure together; nothing is known of what may overflow, or holds NaN."""
    known = (size <= largest) & (xp.max(errors, axis=0) < math.inf)
    return Enclosure(centre, xp.where(known, errors * _SLACK, math.inf))


def entered(x: Array, by: Rounding, xp: Namespace) -> Enclosure:
    """Start with the input, which may have to be rounded to the dtype."""
    centre, names = xp.astype(x, xp.float64), {dtype_name(x.dtype)}
    size = xp.abs(centre)
    errors = [_converted(size, names, to, xp) for to in ("float64", by.dtype)]
    return _enclosed(centre, xp.stack(errors), size, PRECISIONS["float64"].largest, xp)


def after_linear(
    s: Enclosure, layer: Dense, by: Rounding, xp: Namespace, names: Collection[str] = ()
) -> Enclosure:
    """Go through x @ weight + bias, with weights in binary64; x may have been given in other dtypes."""
    weight = xp.abs(layer.weight)
    columns = xp.sum(weight, axis=0)
    bias = 0.0 * columns if layer.bias is None else xp.abs(layer.bias)
    size = xp.abs(s.centre) + s.reach
    n = 1 + xp.sum(xp.astype(size > 0, xp.float64), axis=-1, keepdims=True)
    terms = xp.matmul(size, weight) + bias
    carried = xp.matmul(s.errors, weight)
    centre = layer.linear(s.centre, xp=xp)
    nu = n * by.unit
    of_weights, of_bias = (_converted(a, by.weights, by.dtype, xp) for a in (weight, bias))
    of_weights = xp.matmul(size, of_weights) + of_bias
    of_terms = by.unit * terms + xp.stack([0.0 * of_weights, of_weights])
    partial = (terms + xp.abs(centre) + carried[0, ...] + carried[1, ...] + of_terms) / 2
    rounded = (1 + 8 * by.unit) * (of_terms + nu * (partial + 2 * nu * terms))
    flushed = by.least(by.weights, xp) * xp.sum(size, axis=-1, keepdims=True)
    flushed = flushed + 4 * n * by.tiny + by.least(names, xp) * columns
    errors = xp.where(nu < 2.0**-4, carried + rounded + 4 * flushed, math.inf)
    return _enclosed(centre, errors, terms + carried[1, ...], by.largest, xp)


def after_activation(
    s: Enclosure, activation: Activation, by: Rounding, xp: Namespace
) -> Enclosure:
    """Go through an activation."""
    function, name, options = activation
    centre = function(s.centre, xp=xp, **options)
    if name == "softmax":
        return _after_softmax(s, centre, by, xp)
    if name == "log_softmax":
        return _after_log_softmax(s, centre, by, xp)
    slope = SLOPES[name]
    lower, upper = s.interval(xp)
    steepest = slope.steepest(lower, upper, xp, **options) * _SLACK + 2.0**-1000
    jump = 0.0 if slope.jump is None else slope.jump(lower, upper, xp, **options)
    carried = xp.where(s.errors > 0, steepest * s.errors + jump, 0.0)
    carried = xp.where(carried > slope.span, slope.span, carried)
    argument = xp.abs(s.centre) + s.reach
    size = xp.abs(centre) * _SLACK + carried[0, ...] + carried[1, ...]
    rounded = by.unit * slope.roundings(argument, size, **options) + 4 * by.tiny * (1 + argument)
    errors = xp.where(xp.max(s.errors, axis=0) < math.inf, carried + rounded, math.inf)
    return _enclosed(centre, errors, size, by.largest, xp)


class _Shares(NamedTuple):
    """What softmax and log_softmax need to know of their arguments, for changes below `_FAR`."""

    near: Array
    """Whether the arguments are known to `_FAR`."""
    growth: Array
    """exp(2 * reach): no share is larger by more than this factor anywhere in the enclosure."""
    carried: Array
    """sum over j != i of p_j (E_i + E_j): the change of log p_i, up to the growth of the p_j."""
    below: Array
    """How far each argument is below the largest, at most."""
    mean_below: Array
    """The mean of `below` by shares."""


_FAR = 100.0


def _shares(s: Enclosure, xp: Namespace) -> _Shares:
    p = softmax(s.centre, xp=xp)
    reach = xp.max(s.reach, axis=-1, keepdims=True)
    near = reach < _FAR
    growth = xp.exp(2 * xp.where(near, reach, _FAR))
    carried = p * s.errors
    # 2**-48 of the largest error covers the cancellation in 1 - p and in the sum's difference.
    largest = xp.max(s.errors, axis=-1, keepdims=True)
    others = xp.sum(carried, axis=-1, keepdims=True) - carried
    carried = (1 - p) * s.errors + others + 2.0**-48 * largest
    below = xp.max(s.centre, axis=-1, keepdims=True) - s.centre + 2 * reach
    mean = xp.sum(p * growth * below, axis=-1, keepdims=True)
    mean = xp.minimum(mean, xp.max(below, axis=-1, keepdims=True))
    return _Shares(near, growth, carried, below, mean)


def _after_softmax(s: Enclosure, p: Array, by: Rounding, xp: Namespace) -> Enclosure:
    shares, n = _shares(s, xp), p.shape[-1]
    highest = xp.minimum((p + 2.0**-1000) * shares.growth, xp.ones_like(p))
    # p_i' - p_i = p_i sum over j of p_j (exp(d_i) - exp(d_j)) / sum of p_j exp(d_j), for changes d.
    carried = xp.minimum(highest * shares.growth**2 * shares.carried, highest + 0 * s.errors)
    # The differences and exponentials, each twice: for itself and in the sum; the sum, the division.
    roundings = shares.below + 1.1 * shares.mean_below + 2 * ELEMENTARY + n + 8
    errors = carried + highest * xp.expm1(by.unit * roundings) + (n + 4) * by.tiny
    errors = xp.where(shares.near & (errors < 1), errors, 1.0)
    errors = xp.where(xp.max(s.errors, axis=-1, keepdims=True) < math.inf, errors, math.inf)
    return _enclosed(p, errors, p, by.largest, xp)


def _after_log_softmax(s: Enclosure, y: Array, by: Rounding, xp: Namespace) -> Enclosure:
    shares, n = _shares(s, xp), y.shape[-1]
    worst = s.errors + xp.max(s.errors, axis=-1, keepdims=True)
    near = xp.minimum(shares.growth * shares.carried, worst)
    carried = xp.where(shares.near, near, worst)
    # The differences, exponentials, their sum, its logarithm; the result, of these or as x - logsumexp(x).
    size = xp.max(xp.abs(s.centre) + s.reach, axis=-1, keepdims=True)
    roundings = 2 * shares.below + 1.1 * shares.mean_below + size + n + 4
    roundings = roundings + ELEMENTARY * (1 + math.log(n))
    errors = carried + 1.1 * by.unit * roundings + (n + 4) * by.tiny
    return _enclosed(y, errors, xp.abs(y) + shares.below, by.largest, xp)


def finished(s: Enclosure, by: Rounding, xp: Namespace) -> Enclosure:
    """Round the result, which was computed in more digits, to the dtype."""
    if computing_float(by.dtype) == by.dtype:
        return s
    precision, size = PRECISIONS[by.dtype], xp.abs(s.centre) + s.reach
    last = size * precision.unit + precision.tiny
    errors = xp.stack([s.errors[0, ...], s.errors[1, ...] + last])
    return _enclosed(s.centre, errors, size, precision.largest, xp)


def enclose(one: Pass, x: Array, xp: Namespace) -> Enclosure:
    """Enclose the result of a pass."""
    by = Rounding.of(one.dtype, one.weights, x, xp)
    s, names = entered(x, by, xp), {dtype_name(x.dtype)}
    for i, layer in enumerate(one.layers):
        s = after_linear(s, layer, by, xp, names if i == 0 else ())
        s = after_activation(s, activation_of(one.layers, i, one.of), by, xp)
    return finished(s, by, xp)


def certain(one: Pass, x: Array, xp: Namespace) -> Array:
    """Return where no sound pass can find another class."""
    s = enclose(one._replace(dtype=computing_float(one.dtype), of="logits"), x, xp)
    lower, upper = s.interval(xp)
    if output_of(one.layers) in {"softmax", "log_softmax"}:
        is_k = xp.arange(lower.shape[-1], device=device_of(x)) == first_largest(s.centre, xp)
        least = xp.max(xp.where(is_k, lower, -math.inf), axis=-1)
        return least > xp.max(xp.where(is_k, -math.inf, upper), axis=-1)
    clear = (lower > 0) | (upper < 0)
    return clear[..., 0] if clear.shape[-1] == 1 else clear


def run(
    analysis: Callable[[Pass, Array, Namespace], Array],
    one: Pass,
    given: Array,
    found: Library,
    layers_at: Callable[[Library, Device | None], Layers],
) -> Array:
    """Analyse a pass from an array of a library on: by this library, in binary64.

    A library that compiles what it does would take long for the many operations of one analysis:
    where it knows the values, of the layers too, NumPy computes. `one` has the layers as they are;
    layers_at(library, device) are those to compute with.
    """
    by, x, device = found, given, device_of(given)
    if found.compiled is not None and device is not None:
        arrays = (given, *pytree.leaves(one.layers))
        values = [compiler_of(found.xp).to_host(a) for a in arrays if not is_numpy(a)]
        if all(a is not None for a in values):
            x, by = values[0], library(values[0])
    with by.guard("float64"):
        y = analysis(one._replace(layers=layers_at(by, device_of(x))), x, by.xp)
    if by is found:
        return y
    with found.guard("float64"):
        return found.xp.asarray(y, device=device)
