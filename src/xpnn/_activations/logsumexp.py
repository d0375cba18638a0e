"""logsumexp, shifted by the largest entry of its slice, with weights and signs.

Written for one axis; several are brought to the end, as one, and back.
"""

import math

from xpnn._activations.softmax import first_largest, masked, sum_of_others
from xpnn._arrays.axes import Axis, Slices, plain_axis, slices_of
from xpnn._arrays.library import common_shape, device_of, prepare
from xpnn._arrays.sums import sum_along
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.chunks import by_chunks
from xpnn._execution.computation import compute
from xpnn._execution.functions import Planner

__all__ = ["logsumexp"]


def _largest(x: Array, xp: Namespace) -> tuple[Array, Array]:
    """Where one largest entry along the last axis stands, and that entry.

    One, not all that are equal, as each has a weight of its own.
    """
    is_k = xp.arange(x.shape[-1], device=device_of(x)) == first_largest(x, xp)
    m = xp.sum(xp.where(is_k & xp.isfinite(x), x, 0.0), axis=-1, keepdims=True)
    # An infinite one is no term of a sum: the reproducible one has no grid for it. Not every library's
    # largest of NaN and infinity is NaN.
    infinite = xp.max(xp.where(is_k, x, -math.inf), axis=-1, keepdims=True)
    infinite = xp.where(xp.any(xp.isnan(x), axis=-1, keepdims=True), math.nan, infinite)
    return is_k, xp.where(xp.isfinite(infinite), m, infinite)


def logsumexp(
    x: Array,
    /,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    where: Array | None = None,
    b: Array | None = None,
    return_sign: bool = False,
    xp: Namespace | None = None,
) -> Array | tuple[Array, Array]:
    """Logarithm of the sum of exponentials, log(sum(b * exp(x))) along `axis`.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    axis : int or tuple of int or None, optional
        The axis or axes to sum over. Default None: all.
    keepdims : bool, optional
        Keep the axes that were summed over, with length 1. Default False.
    where : array, optional
        Boolean array that broadcasts to `x`: which entries take part. The derivative with respect
        to the others is 0, whatever they hold.
    b : array, optional
        Real weights that broadcast with `x`; negative ones too. An entry with weight 0 adds
        nothing, whatever it holds.
    return_sign : bool, optional
        Also return the sign of the sum; the result is then the logarithm of its absolute value.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        `x`'s shape without `axis`; same dtype where `x` is floating. -inf where there is nothing to
        add: all entries -inf or masked, or an axis of length 0. inf where an entry is inf, NaN
        where one is NaN, or where the sum is negative and `return_sign` is False.
    array
        Only if `return_sign` is True: 1, 0 or -1, the sign of the sum; NaN where that is NaN.

    Raises
    ------
    TypeError
        If `x` or `b` is no real array, or `where` no boolean array of the same library.
    ValueError
        If `axis` is out of range, or `where` or `b` does not broadcast.

    Notes
    -----
    The derivative with respect to `x` is ``softmax(x)``, for equal entries too. A sum close to 1
    keeps its digits; without `xp` a shorter formula, or a library's own function, may round it to half a
    unit in the last place of 1.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, 'Accurately computing the log-sum-exp and softmax
    functions', IMA Journal of Numerical Analysis 41, 2021, doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> float(xpnn.logsumexp(np.asarray([1000.0, 1000.0])))
    1000.6931471805599
    >>> float(xpnn.logsumexp(np.asarray([0.0, -40.0]), xp=np))
    4.248354255291589e-18
    """
    axis, keepdims, return_sign = plain_axis("logsumexp", axis), bool(keepdims), bool(return_sign)
    alone = b is None and where is None and not return_sign
    kind = (axis, getattr(x, "ndim", None), keepdims)
    plan = _planner.find(x, xp, *kind) if alone else None
    if plan is not None:
        return plan(x, None)
    options = {"axis": axis, "keepdims": keepdims, "return_sign": return_sign}
    y = by_chunks(logsumexp, x, xp, {"where": where, "b": b}, **options)
    if y is not None:
        return y
    ready = prepare("logsumexp", xp, where, x=x, b=b)
    if b is None and not return_sign:
        ready = ready._replace(arrays=[ready.arrays[0], ready.arrays[-1]])
        slices = slices_of("logsumexp", axis, tuple(x.shape))
        if slices.single is None:
            ready = ready.gathered(slices.axes, len(slices.shape))
            return compute(ready, _of_slices, axes=slices.axes, keepdims=keepdims)
        if where is not None:
            return compute(ready, _logsumexp, axis=slices.single, keepdims=keepdims)
        options = {"axis": slices.single, "keepdims": keepdims}
        return _planner.plan(x, xp, *kind, arguments=ready, **options)(x, None)
    shape = tuple(x.shape) if b is None else common_shape("logsumexp", x.shape, "b", b.shape)
    slices = slices_of("logsumexp", axis, shape)
    if slices.single is None:
        ready = ready.gathered(slices.axes, len(slices.shape))
    y = compute(
        ready, _of_weighted_slices, axes=slices.axes, keepdims=keepdims, return_sign=return_sign
    )
    return y if return_sign else y[0]


def _logsumexp(x: Array, where: Array | None, *, axis: int, keepdims: bool, xp: Namespace) -> Array:
    if x.shape[axis] == 0:
        return xp.sum(x, axis=axis, keepdims=keepdims) - math.inf
    some = None
    if where is not None:
        x, some = masked(x, where, axis, xp)
    m = xp.max(x, axis=axis, keepdims=True)
    finite = xp.isfinite(m)
    y = m + xp.log1p(sum_of_others(x - xp.where(finite, m, 0.0), axis, xp))
    # An infinite m stands for itself, unless it hides NaN: JAX's largest of NaN and infinity does.
    is_nan = xp.any(xp.isnan(x), axis=axis, keepdims=True)
    y = xp.where(finite | is_nan, y, m)
    y = y if some is None else xp.where(some, y, -math.inf)
    return y if keepdims else xp.squeeze(y, axis=axis)


_planner = Planner("logsumexp", _logsumexp)


def _of_slices(
    x: Array, mask: Array | None, *, axes: tuple[int, ...], keepdims: bool, xp: Namespace
) -> Array:
    slices = Slices(tuple(x.shape), axes)
    flat, mask = (None if a is None else slices.flatten(a, xp) for a in (x, mask))
    y = _logsumexp(flat, mask, axis=-1, keepdims=False, xp=xp)
    return xp.reshape(y, slices.kept) if keepdims else y


def _of_weighted_slices(
    x: Array,
    b: Array | None,
    mask: Array | None,
    *,
    axes: tuple[int, ...],
    keepdims: bool,
    return_sign: bool,
    xp: Namespace,
) -> tuple[Array, ...]:
    b = xp.ones_like(x) if b is None else b
    slices = Slices(common_shape("logsumexp", x.shape, "b", b.shape), axes)
    given = (None if a is None else xp.broadcast_to(a, slices.shape) for a in (x, b, mask))
    flat = (None if a is None else slices.flatten(a, xp) for a in given)
    results = _weighted(*flat, return_sign=return_sign, xp=xp)
    return tuple(xp.reshape(y, slices.kept) for y in results) if keepdims else results


def _weighted(
    x: Array, b: Array, where: Array | None, /, *, return_sign: bool, xp: Namespace
) -> tuple[Array, ...]:
    """Sum over the last axis: (log of the sum,) or (log of its absolute value, its sign)."""
    if x.shape[-1] == 0:
        nothing = xp.sum(x, axis=-1)
        return (nothing - math.inf, nothing) if return_sign else (nothing - math.inf,)
    some = None
    if where is not None:
        x, some = masked(x, where, -1, xp)
        b = xp.where(some, xp.where(where, b, 0.0), 1.0)
    counted = xp.where(b != 0, x, -math.inf)
    is_k, m = _largest(counted, xp)
    # An infinite m stands for itself: what equals it counts as exp(0), what does not as exp(-inf);
    # NaN stays, as not every library's largest of NaN and infinity is NaN.
    equal = xp.where(counted == m, xp.zeros_like(x), xp.where(xp.isnan(x), x, -math.inf))
    finite = xp.isfinite(m)
    d = xp.where(finite, x - xp.where(finite, m, 0.0), equal)
    # A weight of 0 keeps its exponential, which is its derivative, unless that overflows.
    fits = xp.less_equal(d, math.log(float(xp.finfo(d.dtype).max)))
    d = xp.where((b != 0) | fits, d, -math.inf)
    b_k = xp.sum(xp.where(is_k, b, 0.0), axis=-1)
    b_k_or_1 = xp.where(b_k == 0, 1.0, b_k)
    others = sum_along(xp.where(is_k, 0.0, b * xp.exp(d)), -1, xp)
    ratio = xp.squeeze(others, axis=-1) / b_k_or_1
    m = xp.squeeze(m, axis=-1)
    # |1 + ratio| = 1 + (-2 - ratio) where ratio < -1.
    y = m + xp.log(xp.abs(b_k)) + xp.log1p(xp.where(ratio < -1, -2 - ratio, ratio))
    total = xp.where(m == -math.inf, 0.0, b_k * (1 + ratio))
    if some is not None:
        some = xp.squeeze(some, axis=-1)
        y, total = xp.where(some, y, -math.inf), xp.where(some, total, 0.0)
    sign = xp.astype(total > 0, y.dtype) - xp.astype(total < 0, y.dtype)
    if return_sign:
        return y, xp.where(xp.isnan(y), y, sign)
    return (xp.where(sign < 0, math.nan, y),)
