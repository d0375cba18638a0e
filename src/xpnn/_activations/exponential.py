"""The exponential, and the activations that are x above 0 and an exponential below."""

import math
from typing import Any

from xpnn._activations.record import record
from xpnn._arrays.arguments import Number
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.functions import elementwise
from xpnn._rounding.exact import Number as Exact
from xpnn._rounding.slopes import ELEMENTARY, Slope, within

__all__ = ["elu", "selu", "celu", "exp"]


def _exact_elu(mp: Any, x: Exact, alpha: Exact) -> Exact:
    return x if x > 0 else alpha * mp.expm1(x)


def _elu_slope(lower: Array, upper: Array, xp: Namespace, *, alpha: float) -> Array:
    below = abs(alpha) * xp.exp(xp.minimum(upper, xp.zeros_like(upper)))
    below = below * within(lower, upper, -math.inf, 0, xp)
    return xp.maximum(within(lower, upper, 0, math.inf, xp), below)


@record(
    exact=_exact_elu,
    errors=Slope(_elu_slope, lambda t, y, alpha: (ELEMENTARY + 4) * (y + abs(alpha))),
)
@elementwise(alpha=Number())
def elu(x: Array, /, *, alpha: float = 1.0, xp: Namespace = None) -> Array:
    """Exponential linear unit: x where x > 0, otherwise alpha * (exp(x) - 1).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    alpha : float, optional
        Minus the value at -inf. Default 1.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. -alpha and inf at -inf and inf.

    Notes
    -----
    The derivative at 0 is `alpha`, as in torch.

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter, 'Fast and accurate deep network learning by
    exponential linear units (ELUs)', 2015, arXiv:1511.07289.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.elu(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.86466472,  0.        ,  2.        ])
    """
    return xp.where(x > 0, x, alpha * xp.expm1(xp.where(x > 0, 0.0, x)))


_SELU = "1.0507009873554804934193349852946", "1.6732632423543772848170429916717"
"""The scale and the alpha with which mean 0 and variance 1 are a fixed point."""
SELU_SCALE, SELU_ALPHA = map(float, _SELU)


def _exact_selu(mp: Any, x: Exact) -> Exact:
    scale, alpha = map(mp.mpf, _SELU)
    return scale * _exact_elu(mp, x, alpha)


def _selu_slope(lower: Array, upper: Array, xp: Namespace) -> Array:
    return SELU_SCALE * _elu_slope(lower, upper, xp, alpha=SELU_ALPHA)


@record(
    exact=_exact_selu,
    errors=Slope(_selu_slope, lambda t, y: (ELEMENTARY + 8) * (y + 2)),
)
@elementwise
def selu(x: Array, /, *, xp: Namespace = None) -> Array:
    """Scaled exponential linear unit: scale * elu(x, alpha).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. -1.758... and inf at -inf and inf.

    Notes
    -----
    scale = 1.0507009873554805 and alpha = 1.6732632423543772 make mean 0 and variance 1 a fixed
    point. The derivative at 0 is scale * alpha.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, 'Self-normalizing neural networks',
    NeurIPS 2017, arXiv:1706.02515.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.selu(np.asarray([-2.0, 0.0, 2.0]))
    array([-1.52016647,  0.        ,  2.10140197])
    """
    return SELU_SCALE * elu(x, alpha=SELU_ALPHA, xp=xp)


def _celu_slope(lower: Array, upper: Array, xp: Namespace, *, alpha: float) -> Array:
    zero = xp.zeros_like(lower)
    end = xp.minimum(upper if alpha > 0 else lower, zero)  # exp(x / alpha) falls where alpha < 0
    below = xp.exp(end / alpha) * within(lower, upper, -math.inf, 0, xp)
    return xp.maximum(within(lower, upper, 0, math.inf, xp), below)


def _celu_roundings(t: Array, y: Array, *, alpha: float) -> Array:
    growing = t * y / -alpha if alpha < 0 else 0.0  # exp of a large, rounded x / alpha
    return (ELEMENTARY + 4) * (y + abs(alpha)) + growing


@record(
    exact=lambda mp, x, alpha: x if x > 0 else alpha * mp.expm1(x / alpha),
    errors=Slope(_celu_slope, _celu_roundings),
)
@elementwise(alpha=Number("other than 0, by which x is divided", lambda alpha: alpha != 0))
def celu(x: Array, /, *, alpha: float = 1.0, xp: Namespace = None) -> Array:
    """Continuously differentiable exponential linear unit.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    alpha : float, optional
        Any number but 0. Greater than 0 it is minus the value at -inf; below 0 that is -inf. Default 1.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape: x where x > 0, otherwise alpha * (exp(x / alpha) - 1).

    Raises
    ------
    ValueError
        If `alpha` is 0.

    Notes
    -----
    The derivative at 0 is 1.

    References
    ----------
    J. T. Barron, 'Continuously differentiable exponential linear units', 2017,
    arXiv:1704.07483.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.celu(np.asarray([-2.0, 0.0, 2.0]), alpha=1.0)
    array([-0.86466472,  0.        ,  2.        ])
    """
    return xp.where(x > 0, x, alpha * xp.expm1(xp.where(x > 0, 0.0, x) / alpha))


@record(
    exact=lambda mp, x: mp.exp(x),
    errors=Slope(lambda lower, upper, xp: xp.exp(upper), lambda t, y: ELEMENTARY * y),
)
@elementwise
def exp(x: Array, /, *, xp: Namespace = None) -> Array:
    """Exponential: the mean of a Poisson regression, whose link is the logarithm.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, never negative. 0 and inf at -inf and inf; inf where it exceeds the dtype, from
        89 on in float32 and from 710 on in float64.

    Notes
    -----
    The derivative is ``exp(x)``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.exp(np.asarray([-2.0, 0.0, 2.0]))
    array([0.13533528, 1.        , 7.3890561 ])
    """
    return xp.exp(x)
