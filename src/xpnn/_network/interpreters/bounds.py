"""Bounds: rounding error analysis of a forward pass, the furthest it can be from the exact one.

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

Parameters that were rounded, as folding does, stand for the exact ones: both errors grow by what that may
change. The numbers that carry the two errors are those of `xpnn._rounding.enclosure`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from xpnn._activations.activation import Activation
from xpnn._activations.softmax import first_largest
from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.library import device_of, library
from xpnn._arrays.transfer import is_numpy
from xpnn._arrays.types import Array, Device, Namespace
from xpnn._network.interpreters.values import affine, ending, passed
from xpnn._network.layers.layer import Layers, Shape
from xpnn._network.layers.linear import linear
from xpnn._network.layers.normalization import normalized
from xpnn._rounding.enclosure import Enclosure, Rounding, enclosed, entered, finished, off_by


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


class Bounds(NamedTuple):
    """The words for enclosures: how each carries their errors on, and what it adds."""

    by: Rounding
    xp: Namespace

    def linear(
        self, s: Enclosure, weight: Array, bias: Array | None, rounded: str | None = None, /
    ) -> Enclosure:
        """Go through x @ weight + bias, with weights in binary64."""
        by, xp = self.by, self.xp
        centre = linear(s.centre, weight, bias, xp=xp)
        weight = xp.abs(weight)
        columns = xp.sum(weight, axis=0)
        bias = 0.0 * columns if bias is None else xp.abs(bias)
        size = xp.abs(s.centre) + s.reach
        n = 1 + xp.sum(xp.astype(size > 0, xp.float64), axis=-1, keepdims=True)
        terms = xp.matmul(size, weight) + bias
        carried = xp.matmul(s.errors, weight)
        if rounded is not None:
            meant = xp.matmul(size, off_by(weight, rounded)) + off_by(bias, rounded)
            carried = carried + meant
        nu = n * by.unit
        of_weights = xp.matmul(size, by.of_weights(weight, xp)) + by.of_weights(bias, xp)
        of_terms = by.unit * terms + xp.stack([0.0 * of_weights, of_weights])
        partial = (terms + xp.abs(centre) + carried[0, ...] + carried[1, ...] + of_terms) / 2
        rounded = (1 + 8 * by.unit) * (of_terms + nu * (partial + 2 * nu * terms))
        flushed = by.least(by.weights, xp) * xp.sum(size, axis=-1, keepdims=True)
        flushed = flushed + 4 * n * by.tiny + by.tiny * columns
        errors = xp.where(nu < 2.0**-4, carried + rounded + 4 * flushed, math.inf)
        return enclosed(centre, errors, terms + carried[1, ...], by.largest, xp)

    def affine(
        self, s: Enclosure, scale: Array | None, shift: Array | None, rounded: str | None = None, /
    ) -> Enclosure:
        """Go through x * scale + shift: the product is rounded, and the sum, with one FMA only once."""
        by, xp, centre = self.by, self.xp, affine(s.centre, scale, shift)
        size = xp.abs(s.centre) + s.reach
        scale = xp.ones_like(size) if scale is None else xp.abs(scale)
        shift = xp.zeros_like(size) if shift is None else xp.abs(shift)
        of_weights = size * by.of_weights(scale, xp) + by.of_weights(shift, xp)
        of_weights = xp.stack([0.0 * of_weights, of_weights])
        terms = size * scale + shift + of_weights
        flushed = by.least(by.weights, xp) * (1 + size) + by.tiny * (2 + scale)
        carried = s.errors * scale
        if rounded is not None:
            carried = carried + size * off_by(scale, rounded) + off_by(shift, rounded)
        errors = carried + of_weights + (2 + 4 * by.unit) * by.unit * terms + 4 * flushed
        return enclosed(centre, errors, terms[1, ...] + carried[1, ...], by.largest, xp)

    def normalize(self, s: Enclosure, epsilon: float, /) -> Enclosure:
        """Go through y = d / s for d = x - mean and s = sqrt(mean(d**2) + epsilon), with the two of the centre.

        For changes c of x, d changes by c - mean(c), s by at most their root mean square, and y by
        (that of d - y * that of s) / s: with the y before and the s after, or the other way round.
        Rounding does the same once more: to d by `own`, and by `shift` for all d of the row alike, which
        changes s in second order; and to s and y themselves by a part of them, `relative`.
        """
        by, xp, n = self.by, self.xp, s.centre.shape[-1]
        y = normalized(s.centre, epsilon, xp)

        def mean(a: Array) -> Array:
            return xp.mean(a, axis=-1, keepdims=True)

        def change(a: Array) -> Array:
            return (1 - 2 / n) * a + mean(a)

        def root_mean_square(a: Array) -> Array:
            return xp.sqrt(mean(a * a))

        size = xp.abs(s.centre) + s.reach
        d = s.centre - mean(s.centre)
        # No d is further from 0.
        far = xp.abs(d) + change(s.reach) + 2.0**-50 * (n + 8) * mean(size)
        nu = (n + 8) * by.unit
        shift = (1 + 4 * nu) * nu * xp.maximum(mean(size), mean(far)) + 8 * by.tiny
        own = (3 + 16 * by.unit) * by.unit * (far + shift) + 4 * by.tiny
        # The deviation of the centre is wrong by binary64's share of both.
        least = xp.sqrt(mean(d * d) + epsilon) * (1 - 2.0**-29) - root_mean_square(s.reach)
        wrong = root_mean_square(own) + shift
        least = least - wrong - wrong[:1, ...]
        floor = math.sqrt(epsilon) * (
            1 - 2.0**-29
        )  # the variance is 0 or more, however it is rounded
        least = xp.where(least < floor, floor, least)
        sound = (least > 0) & (nu < 2.0**-4)
        least = xp.where(sound, least, 1.0)
        share = xp.minimum(far / least, math.sqrt(n) + 0 * far)  # no |y| is larger
        moved = change(s.errors) + share * root_mean_square(s.errors)
        wrong = root_mean_square(own) + shift * xp.minimum(shift / least, 1 + 0 * shift)
        moved = (moved + shift + own + share * wrong) / least
        relative = nu * (1 + 2 * nu) + 12 * by.unit + 8 * (n + 1 / least**2) * by.tiny
        errors = moved + relative * (share + moved) + (4 + 2 * n) * by.tiny
        errors = xp.where(sound & (relative < 2.0**-3), errors, math.inf)
        return enclosed(y, errors, n * mean(size + far * far), by.largest, xp)

    def add(self, s: Enclosure, t: Enclosure, /) -> Enclosure:
        """Go through x + y: the errors add up, as nothing is known of how they depend on each other."""
        by, xp = self.by, self.xp
        size = xp.abs(s.centre) + s.reach + xp.abs(t.centre) + t.reach
        errors = s.errors + t.errors + by.unit * size + 4 * by.tiny
        return enclosed(s.centre + t.centre, errors, size, by.largest, xp)

    def flatten(self, s: Enclosure, _: Shape, /) -> Enclosure:
        """Return s, which the network has laid out."""
        return s

    def activate(self, s: Enclosure, activation: Activation, /) -> Enclosure:
        """Go through an activation, as its record has it."""
        y, errors = activation(s.centre, xp=self.xp), activation.record.errors
        return errors.enclose(s, y, self.by, self.xp, **dict(activation.options))


def enclose(one: Pass, x: Array, xp: Namespace) -> Enclosure:
    """Enclose the result of a pass."""
    return finished(*_unfinished(one, x, xp), xp)


def _unfinished(one: Pass, x: Array, xp: Namespace) -> tuple[Enclosure, Rounding]:
    """Enclose the result before it is rounded to fewer digits than it was computed in."""
    by = Rounding.of(one.dtype, one.weights, x, xp)
    ends = ending(one.layers, one.of)
    return passed(one.layers, entered(x, by, xp), Bounds(by, xp), ends), by


def certain(one: Pass, x: Array, xp: Namespace) -> Array:
    """Return where no sound pass can find another class."""
    s, _ = _unfinished(one._replace(of="logits"), x, xp)  # classes are found before it is rounded
    lower, upper = s.interval(xp)
    if one.layers[-1].activate.record.of_rows:
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

    Where the library asks for it, and the values are known, of the layers too, NumPy computes. `one`
    has the layers as they are; layers_at(library, device) are those to compute with.
    """
    by, x = found, given
    arrays = (given, *pytree.leaves(one.layers))
    values = found.analysed_on_host([a for a in arrays if not is_numpy(a)])
    if values is not None:
        x, by = values[0], library(values[0])
    with by.guard("float64"):
        y = analysis(one._replace(layers=layers_at(by, device_of(x))), x, by.xp)
    if by is found:
        return found.returned(y)
    with found.guard("float64"):
        return found.from_numpy_like(y, given)
