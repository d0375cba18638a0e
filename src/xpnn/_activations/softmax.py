"""softmax and log_softmax, shifted by the largest entry of their slice; and how they carry errors.

Written for one axis; several are brought to the end, as one, and back.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpnn._activations.record import record
from xpnn._arrays.arguments import check_known
from xpnn._arrays.axes import Axis, Slices, plain_axis, slices_of
from xpnn._arrays.library import device_of, prepare
from xpnn._arrays.sums import sum_along
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.chunks import by_chunks
from xpnn._execution.computation import Plan, compute
from xpnn._execution.functions import Planner
from xpnn._rounding.enclosure import Enclosure, Rounding, enclosed
from xpnn._rounding.exact import Number as Exact
from xpnn._rounding.expected import DEVIATION, FACTOR, Expectation
from xpnn._rounding.slopes import ELEMENTARY

__all__ = ["softmax", "log_softmax"]


def _along_axis(formula: Callable[..., Array]) -> Callable[..., Array]:
    """Make a public function of a formula for one axis that keeps the shape."""
    name = formula.__name__

    @functools.wraps(formula)
    def function(
        x: Array,
        /,
        *,
        axis: Axis = -1,
        where: Array | None = None,
        xp: Namespace | None = None,
        **unknown: Any,
    ) -> Array:
        if unknown:
            check_known(name, unknown, ("axis", "where"))
        axis = plain_axis(name, axis)
        kind = (axis, getattr(x, "ndim", None))
        found = planner.find(x, xp, *kind) if where is None else None
        if found is not None:
            return found(x, None)
        y = by_chunks(function, x, xp, {"where": where}, axis=axis)
        if y is not None:
            return y
        ready = prepare(name, xp, where, x=x)
        slices = slices_of(name, axis, tuple(x.shape))
        if slices.single is None:
            ready = ready.gathered(slices.axes, len(slices.shape))
            return compute(ready, of_slices, axes=slices.axes)
        if where is not None:
            return compute(ready, run, axis=slices.single)
        return planner.plan(x, xp, *kind, arguments=ready, axis=slices.single)(x, None)

    def plan(x: Array, xp: Namespace | None = None) -> Plan:
        kind = (-1, x.ndim)
        found = planner.find(x, xp, *kind)
        if found is None:
            ready = prepare(name, xp, x=x)
            found = planner.plan(x, xp, *kind, arguments=ready, axis=x.ndim - 1)
        return found

    def run(x: Array, mask: Array | None, *, axis: int, xp: Namespace) -> Array:
        return x if x.shape[axis] == 0 else formula(x, axis=axis, where=mask, xp=xp)

    def of_slices(x: Array, mask: Array | None, *, axes: tuple[int, ...], xp: Namespace) -> Array:
        slices = Slices(tuple(x.shape), axes)
        flat, mask = (None if a is None else slices.flatten(a, xp) for a in (x, mask))
        return slices.restore(run(flat, mask, axis=-1, xp=xp), xp)

    planner = Planner(name, run)
    function.plan = plan  # type: ignore[attr-defined]
    return function


# How softmax and log_softmax carry errors


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


def _enclose_softmax(s: Enclosure, p: Array, by: Rounding, xp: Namespace) -> Enclosure:
    shares, n = _shares(s, xp), p.shape[-1]
    highest = xp.minimum((p + 2.0**-1000) * shares.growth, xp.ones_like(p))
    # p_i' - p_i = p_i sum over j of p_j (exp(d_i) - exp(d_j)) / sum of p_j exp(d_j), for changes d.
    carried = xp.minimum(highest * shares.growth**2 * shares.carried, highest + 0 * s.errors)
    # The differences and exponentials, each twice: for itself and in the sum; the sum, the division.
    roundings = shares.below + 1.1 * shares.mean_below + 2 * ELEMENTARY + n + 8
    errors = carried + highest * xp.expm1(by.unit * roundings) + (n + 4) * by.tiny
    errors = xp.where(shares.near & (errors < 1), errors, 1.0)
    errors = xp.where(xp.max(s.errors, axis=-1, keepdims=True) < math.inf, errors, math.inf)
    return enclosed(p, errors, p, by.largest, xp)


def _enclose_log_softmax(s: Enclosure, y: Array, by: Rounding, xp: Namespace) -> Enclosure:
    shares, n = _shares(s, xp), y.shape[-1]
    worst = s.errors + xp.max(s.errors, axis=-1, keepdims=True)
    near = xp.minimum(shares.growth * shares.carried, worst)
    carried = xp.where(shares.near, near, worst)
    # The differences, exponentials, their sum, its logarithm; the result, of these or as x - logsumexp(x).
    size = xp.max(xp.abs(s.centre) + s.reach, axis=-1, keepdims=True)
    roundings = 2 * shares.below + 1.1 * shares.mean_below + size + n + 4
    roundings = roundings + ELEMENTARY * (1 + math.log(n))
    errors = carried + 1.1 * by.unit * roundings + (n + 4) * by.tiny
    return enclosed(y, errors, xp.abs(y) + shares.below, by.largest, xp)


def _expected(s: Expectation, y: Array, unit: float, xp: Namespace) -> tuple[Array, float]:
    """Return the variance of the logarithms that the arguments make, and what evaluation adds."""
    p = softmax(s.centre, xp=xp)
    below = s.centre - xp.max(s.centre, axis=-1, keepdims=True)
    variance = s.variance + (DEVIATION * unit * below) ** 2
    carried = p * p * variance
    variance = (1 - p) ** 2 * variance + xp.sum(carried, axis=-1, keepdims=True) - carried
    return variance, unit * (2 * ELEMENTARY + 8 + math.sqrt(y.shape[-1])) / FACTOR


def _expect_softmax(
    s: Expectation, y: Array, unit: float, xp: Namespace, reach: float = 0.0
) -> Expectation:
    variance, own = _expected(s, y, unit, xp)
    far = xp.max(reach * xp.sqrt(s.variance), axis=-1, keepdims=True)
    growth = xp.exp(xp.minimum(far, xp.ones_like(far)))
    variance = xp.minimum((y * growth) ** 2 * variance, xp.ones_like(y))
    return Expectation(y, variance + (own * y) ** 2)


def _expect_log_softmax(
    s: Expectation, y: Array, unit: float, xp: Namespace, reach: float = 0.0
) -> Expectation:
    variance, own = _expected(s, y, unit, xp)
    return Expectation(y, variance + (own * (1 + xp.abs(y))) ** 2)


class _Errors(NamedTuple):
    enclose: Callable[..., Enclosure]
    expect: Callable[..., Expectation]


def _exact_softmax(mp: Any, row: Sequence[Exact]) -> list[Exact]:
    largest = max(row)
    e = [mp.exp(x - largest) for x in row]
    total = mp.fsum(e)
    return [x / total for x in e]


def _exact_log_softmax(mp: Any, row: Sequence[Exact]) -> list[Exact]:
    k = max(range(len(row)), key=lambda i: row[i])
    others = mp.fsum(mp.exp(x - row[k]) for i, x in enumerate(row) if i != k)
    return [x - row[k] - mp.log1p(others) for x in row]


@record(
    exact=_exact_softmax,
    errors=_Errors(_enclose_softmax, _expect_softmax),
    of_rows=True,
    log_probability="log_softmax",
    inverse=lambda y, xp: xp.log(y),
)
@_along_axis
def softmax(
    x: Array, /, *, axis: Axis = -1, where: Array | None = None, xp: Namespace = None
) -> Array:
    """Softmax, exp(x) / sum(exp(x)) along `axis`: positive numbers that add up to 1.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    axis : int or tuple of int or None, optional
        The axis, or axes together, along which the result adds up to 1. Default -1, the last; None
        takes all.
    where : array, optional
        Boolean array that broadcasts to `x`: which entries take part. Masked entries are exactly 0,
        whatever they hold, and so is the derivative with respect to them.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape; same dtype where `x` is floating. -inf gives 0. A slice that holds NaN or inf,
        or nothing but -inf, is NaN, as in torch and SciPy; a slice that is masked whole is 0.
        An axis of length 0 gives an empty result.

    Raises
    ------
    TypeError
        If `x` is no real array, or `where` no boolean array of the same library.
    ValueError
        If `axis` is out of range, or `where` does not broadcast to `x`.

    Notes
    -----
    The largest entry m of each slice is taken off first, so nothing overflows. The relative error
    is a few units in the last place plus the rounding of x - m, ``abs(x - m)`` half units, along
    every axis of any length: the exponentials are added in pairs. Without `xp` PyTorch may add them one
    after the other: up to half a unit for each.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, 'Accurately computing the log-sum-exp and softmax
    functions', IMA Journal of Numerical Analysis 41, 2021, doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.softmax(np.asarray([0.3, 2.9, 4.0]))
    array([0.01821127, 0.24519181, 0.73659691])
    >>> xpnn.softmax(np.asarray([1010, 1000, 990]))
    array([9.99954600e-01, 4.53978686e-05, 2.06106005e-09])
    """
    if where is not None:
        x = xp.where(where, x, -math.inf)
    m = xp.max(x, axis=axis, keepdims=True)
    if where is None:
        e = xp.exp(x - m)
        return e / sum_along(e, axis, xp)
    some = xp.any(where, axis=axis, keepdims=True)
    e = xp.exp(x - xp.where(some, m, 0.0))
    total = xp.where(some, sum_along(e, axis, xp), 1.0)
    return xp.where(where, e / total, 0.0)


def first_largest(x: Array, xp: Namespace) -> Array:
    """Return the index of the first largest entry along the last axis, or of the first NaN; axis kept.

    As xp.argmax, whose gradient nobody needs, but which JAX refuses for float64 in places.
    """
    largest = (x == xp.max(x, axis=-1, keepdims=True)) | xp.isnan(x)
    n = x.shape[-1]
    if n is None:  # not known while the formula is traced
        return xp.argmax(xp.astype(largest, xp.int32), axis=-1, keepdims=True)
    index = xp.arange(n, device=device_of(x))
    return xp.min(xp.where(largest, index, n), axis=-1, keepdims=True)


def masked(x: Array, where: Array, axis: Axis, xp: Namespace) -> tuple[Array, Array]:
    """x with -inf where it is masked, but 0 in slices that are masked whole; and which are not.

    What -inf alone would make of such a slice is NaN, in steps or in derivatives.
    """
    some = xp.any(where, axis=axis, keepdims=True)
    return xp.where(some, xp.where(where, x, -math.inf), 0.0), some


def sum_of_others(d: Array, axis: Axis, xp: Namespace) -> Array:
    """Sum of exp(d), less 1, of differences from the largest entry along an axis, which is kept.

    The largest entries give exp(0), which is 1 exactly: taken off each, and all but one of them added
    in the end, they leave the digits of the rest, which log(1 + small) would lose and log1p keeps.
    The derivatives, of every order, are those of the exponentials, ties or not.
    """
    e = xp.exp(d)
    top = xp.floor(e)
    ties = sum_along(top, axis, xp) - 1
    return sum_along(e - top, axis, xp) + ties


@record(
    exact=_exact_log_softmax,
    errors=_Errors(_enclose_log_softmax, _expect_log_softmax),
    of_rows=True,
    log_probability="log_softmax",
    inverse=lambda y, xp: y,
)
@_along_axis
def log_softmax(
    x: Array, /, *, axis: Axis = -1, where: Array | None = None, xp: Namespace = None
) -> Array:
    """Logarithm of softmax, x - log(sum(exp(x))) along `axis`.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    axis : int or tuple of int or None, optional
        The axis, or axes together, along which the exponentials of the result add up to 1. Default
        -1, the last; None takes all.
    where : array, optional
        Boolean array that broadcasts to `x`: which entries take part. Masked entries are -inf,
        whatever they hold, and the derivative with respect to them is 0.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape; same dtype where `x` is floating. -inf gives -inf. A slice that holds NaN or
        inf, or nothing but -inf, is NaN; a slice that is masked whole is -inf. An axis of length 0
        gives an empty result.

    Raises
    ------
    TypeError
        If `x` is no real array, or `where` no boolean array of the same library.
    ValueError
        If `axis` is out of range, or `where` does not broadcast to `x`.

    Notes
    -----
    Finite wherever the result is, while ``log(softmax(x))`` underflows to -inf; and a result close
    to 0, of a class that is nearly certain, keeps its digits. Without `xp` a shorter formula, or a library's
    own function, may round that to half a unit in the last place of 1.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, 'Accurately computing the log-sum-exp and softmax
    functions', IMA Journal of Numerical Analysis 41, 2021, doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.log_softmax(np.asarray([0.0, -40.0, -1000.0]), xp=np)
    array([-4.24835426e-18, -4.00000000e+01, -1.00000000e+03])
    """
    if where is not None:
        x, _ = masked(x, where, axis, xp)
    d = x - xp.max(x, axis=axis, keepdims=True)  # NaN where that is infinite, and the slice with it
    y = d - xp.log1p(sum_of_others(d, axis, xp))
    return y if where is None else xp.where(where, y, -math.inf)
