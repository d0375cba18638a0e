"""The activations that make small arguments smaller, or 0."""

import math
from typing import Any

from xpnn._activations.parts import polynomial
from xpnn._activations.record import record
from xpnn._arrays.arguments import Number
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.functions import elementwise
from xpnn._rounding.exact import BITS
from xpnn._rounding.exact import Number as Exact
from xpnn._rounding.slopes import ELEMENTARY, Slope, past, within

__all__ = ["hard_shrink", "softshrink", "threshold", "tanhshrink"]

_NOT_NEGATIVE = Number("not less than 0", lambda lambd: lambd >= 0)


def _outside(lower: Array, upper: Array, xp: Namespace, *, lambd: float) -> Array:
    """Return 1 where the interval has a point further than lambd from 0, otherwise 0."""
    below = within(lower, upper, -math.inf, -lambd, xp)
    return xp.maximum(below, within(lower, upper, lambd, math.inf, xp))


_NEAR = 2.0**-20
"""How near to a limit, in parts of it, the limit that float32 makes of it may be."""


def _close_to(limit: float, lower: Array, upper: Array, xp: Namespace) -> Array:
    """Return 1 where which side of the limit an argument is on may be open, otherwise 0.

    In float32 the limit itself is rounded.
    """
    near = _NEAR * abs(limit)
    return xp.astype((lower <= limit + near) & (upper >= limit - near), lower.dtype)


def _hard_shrink_jump(lower: Array, upper: Array, xp: Namespace, *, lambd: float) -> Array:
    ends = (_close_to(end, lower, upper, xp) for end in (-lambd, lambd))
    return (1 + _NEAR) * lambd * xp.maximum(*ends)


@record(
    exact=lambda mp, x, lambd: x if abs(x) > lambd else mp.mpf(0),
    errors=Slope(_outside, jump=_hard_shrink_jump),
)
@elementwise(lambd=_NOT_NEGATIVE)
def hard_shrink(x: Array, /, *, lambd: float = 0.5, xp: Namespace = None) -> Array:
    """Hard shrinkage: x where abs(x) > lambd, otherwise 0.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    lambd : float, optional
        Up to where x counts as 0, not less than 0. Default 0.5.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. -inf and inf at -inf and inf, NaN at NaN.

    Raises
    ------
    ValueError
        If `lambd` is less than 0.

    Notes
    -----
    The derivatives at -lambd and lambd are 0, as in torch.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, 'Ideal spatial adaptation by wavelet shrinkage', Biometrika 81,
    1994, doi:10.1093/biomet/81.3.425.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.hard_shrink(np.asarray([-2.0, 0.25, 2.0]))
    array([-2.,  0.,  2.])
    """
    return xp.where(xp.less_equal(xp.abs(x), lambd), 0.0, x)


@record(
    exact=lambda mp, x, lambd: x - mp.sign(x) * lambd if abs(x) > lambd else mp.mpf(0),
    errors=Slope(_outside, lambda t, y, lambd: 2 * (y + lambd)),  # lambd may be rounded
)
@elementwise(lambd=_NOT_NEGATIVE)
def softshrink(x: Array, /, *, lambd: float = 0.5, xp: Namespace = None) -> Array:
    """Soft shrinkage: x less lambd where x > lambd, x plus lambd where x < -lambd, otherwise 0.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    lambd : float, optional
        How much nearer to 0 the result is, not less than 0. Default 0.5.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. -inf and inf at -inf and inf, NaN at NaN.

    Raises
    ------
    ValueError
        If `lambd` is less than 0.

    Notes
    -----
    The derivatives at -lambd and lambd are 0, as in torch.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, 'Ideal spatial adaptation by wavelet shrinkage', Biometrika 81,
    1994, doi:10.1093/biomet/81.3.425.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.softshrink(np.asarray([-2.0, 0.25, 2.0]))
    array([-1.5,  0. ,  1.5])
    """
    return xp.where(xp.less_equal(xp.abs(x), lambd), 0.0, xp.where(x > 0, x - lambd, x + lambd))


def _threshold_slope(
    lower: Array, upper: Array, xp: Namespace, *, threshold: float, value: float
) -> Array:
    return past(threshold, upper, xp)


def _threshold_jump(
    lower: Array, upper: Array, xp: Namespace, *, threshold: float, value: float
) -> Array:
    return (abs(value - threshold) + _NEAR * abs(threshold)) * _close_to(
        threshold, lower, upper, xp
    )


@record(
    exact=lambda mp, x, threshold, value: x if x > threshold else mp.mpf(value),
    errors=Slope(_threshold_slope, lambda t, y, threshold, value: y, jump=_threshold_jump),
)
@elementwise(threshold=Number(), value=Number())
def threshold(
    x: Array, /, *, threshold: float = 1.0, value: float = 0.0, xp: Namespace = None
) -> Array:
    """Thresholded linear unit: x where x > threshold, otherwise value.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    threshold : float, optional
        Up to where the result is `value`. Default 1, as in ONNX's ThresholdedRelu; torch has none.
    value : float, optional
        The result there. Default 0.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. `value` and inf at -inf and inf, NaN at NaN.

    Notes
    -----
    The derivative at `threshold` is 0, as in torch.

    References
    ----------
    K. Konda, R. Memisevic, D. Krueger, 'Zero-bias autoencoders and the benefits of co-adapting
    features', ICLR 2015, arXiv:1402.3337.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.threshold(np.asarray([-2.0, 0.5, 2.0]), threshold=0.1, value=20.0)
    array([20. ,  0.5,  2. ])
    """
    return xp.where(xp.less_equal(x, threshold), value, x)


_SMALL = 1.5
"""From here on x - tanh(x) loses no digit."""
_SERIES = tuple(2 * k / math.factorial(2 * k + 1) for k in range(11, 0, -1))
"""Of (x cosh(x) - sinh(x)) / x**3 in powers of x**2, highest first; the next is 4e-20 of it at `_SMALL`."""


def _exact_tanhshrink(mp: Any, x: Exact) -> Exact:
    with mp.workprec(4 * BITS):  # x**3 / 3 is far below the digits of x and tanh(x) that agree
        return x - mp.tanh(x)


def _tanhshrink_slope(lower: Array, upper: Array, xp: Namespace) -> Array:
    return xp.tanh(xp.maximum(-lower, upper)) ** 2


@record(
    exact=_exact_tanhshrink,
    # x - tanh(x) as it is written has the errors of tanh(x), which is at most |x|.
    errors=Slope(_tanhshrink_slope, lambda t, y: (ELEMENTARY + 12) * y + ELEMENTARY * t),
)
@elementwise
def tanhshrink(x: Array, /, *, xp: Namespace = None) -> Array:
    """Tanh shrinkage, x - tanh(x).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. Close to 0, where it is near x**3 / 3, it keeps its digits, which the formula as
        written loses; so does PyTorch's own, which runs without `xp`, inside the error bound. -inf and inf at -inf and inf.

    Notes
    -----
    The derivative is ``tanh(x)**2``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.tanhshrink(np.asarray([-2.0, 0.001, 2.0]))
    array([-1.03597242e+00,  3.33333200e-10,  1.03597242e+00])
    """
    small = xp.abs(x) < _SMALL
    near = xp.where(small, x, 0.0)
    square = near * near
    series = near * (square * polynomial(_SERIES, square)) / xp.cosh(near)
    return xp.where(small, series, x - xp.tanh(x))
