"""The activations that are x times a probability: x * P(x) with P rising from 0 to 1.

Each is max(x, 0) less |x| times the tail of P: the tail keeps its digits, where 1 - P would lose them,
and at -inf the product is its limit, 0.
"""

import math
from typing import Any

from xpnn._activations.erf import FAR, normal_tail_times
from xpnn._activations.parts import at_most, magnitude, positive_part
from xpnn._activations.record import record
from xpnn._activations.sigmoids import logistic
from xpnn._arrays.arguments import Choice
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.functions import elementwise
from xpnn._rounding.exact import Number as Exact
from xpnn._rounding.exact import clip
from xpnn._rounding.slopes import ELEMENTARY, Slope, tail_below

__all__ = ["gelu", "silu", "mish"]


def _times_logistic_tail(a: Array, u: Array, xp: Namespace) -> Array:
    """a * sigmoid(-u) for a, u >= 0.

    exp(-u) is taken as a square, so that a meets a factor that has all its digits even where the
    product is subnormal.
    """
    h = xp.exp(-u / 2)
    return (a * h) * (h / (1 + h * h))


def _silu_slope(lower: Array, upper: Array, xp: Namespace) -> Array:
    t = xp.minimum(upper, -xp.ones_like(upper))
    return tail_below(-2.5, -t * xp.exp(t), upper, 1.1, xp)


@record(
    exact=lambda mp, x: x * logistic(mp, x),
    errors=Slope(_silu_slope, lambda t, y: (ELEMENTARY + 4) * y + ELEMENTARY / 2 * t),
)
@elementwise
def silu(x: Array, /, *, xp: Namespace = None) -> Array:
    """Sigmoid linear unit (swish), x * sigmoid(x).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. 0, its limit, at -inf (x * sigmoid(x) as written gives NaN); inf at inf.

    Notes
    -----
    The derivative is 1/2 at 0, 0 and 1 far out.

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya, 'Sigmoid-weighted linear units', Neural Networks 107, 2018,
    doi:10.1016/j.neunet.2017.12.012.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.silu(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.23840584,  0.        ,  1.76159416])
    """
    a = at_most(magnitude(x, xp), float(xp.finfo(x.dtype).max), xp)
    return positive_part(x, xp) - _times_logistic_tail(a, a, xp)


_CUBIC = "0.044715"
"""Of the approximation with tanh, which takes P to be the sigmoid of `_logistic_argument`."""
_C = float(_CUBIC)


def _exact_gelu(mp: Any, x: Exact, approximate: str) -> Exact:
    if approximate == "tanh":
        return x * logistic(mp, mp.sqrt(8 / mp.pi) * (x + mp.mpf(_CUBIC) * x**3))
    # erfc refuses huge arguments, where the result is 0 or x in every dtype.
    return x * mp.erfc(-clip(mp, x, -1000, 1000) / mp.sqrt(2)) / 2


def _gelu_slope(lower: Array, upper: Array, xp: Namespace, *, approximate: str) -> Array:
    t = xp.minimum(upper, -xp.ones_like(upper))
    if approximate == "none":  # |P(t) + t p(t)| < |t| p(t), with P < p / |t|
        tail = -t * xp.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    else:
        steep = math.sqrt(8 / math.pi) * (1 + 3 * _C * (t * t))
        tail = xp.exp(_logistic_argument(t)) * (1 - t * steep)
    return tail_below(-2, tail, upper, 1.13, xp)


def _logistic_argument(a: Array) -> Array:
    return math.sqrt(8 / math.pi) * a * (1 + _C * (a * a))


@record(
    exact=_exact_gelu,
    errors=Slope(
        _gelu_slope, lambda t, y, approximate: (2 * ELEMENTARY + 8) * y + (ELEMENTARY + 4) * t
    ),
)
@elementwise(approximate=Choice("none", "tanh"))
def gelu(x: Array, /, *, approximate: str = "none", xp: Namespace = None) -> Array:
    """Gaussian error linear unit, x * P(Z < x) for a standard normal Z.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    approximate : {'none', 'tanh'}, optional
        'none', the default as in torch, is exact: x * (1 + erf(x / sqrt(2))) / 2. 'tanh', the
        default of jax.nn, is x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2, which
        differs by up to 5e-4.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. 0, its limit, at -inf; inf at inf. The lower tail keeps its digits, which the
        formulas as written lose; without `xp` a library's own function may lose them, too, inside the
        error bound.

    Raises
    ------
    ValueError
        If `approximate` is neither.

    Notes
    -----
    The derivative is 1/2 at 0, 0 and 1 far out.

    References
    ----------
    D. Hendrycks, K. Gimpel, 'Gaussian error linear units (GELUs)', 2016, arXiv:1606.08415.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.gelu(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.04550026,  0.        ,  1.95449974])
    """
    a = magnitude(x, xp)
    if approximate == "none":
        tail = normal_tail_times(a, xp)
    else:
        a = at_most(a, FAR, xp)
        tail = _times_logistic_tail(a, _logistic_argument(a), xp)
    return positive_part(x, xp) - tail


@record(
    exact=lambda mp, x: x * mp.tanh(mp.log1p(mp.exp(x))),
    errors=Slope(_silu_slope, lambda t, y: (2 * ELEMENTARY + 8) * y + 2 * t),
)
@elementwise
def mish(x: Array, /, *, xp: Namespace = None) -> Array:
    """Mish, x * tanh(softplus(x)).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. 0, its limit, at -inf; inf at inf.

    Notes
    -----
    The derivative is 3/5 at 0, 0 and 1 far out.

    References
    ----------
    D. Misra, 'Mish: a self regularized non-monotonic activation function', 2019,
    arXiv:1908.08681.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.mish(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.25250148,  0.        ,  1.94395896])
    """
    a = at_most(magnitude(x, xp), float(xp.finfo(x.dtype).max), xp)
    h = xp.exp(-a / 2)
    t = h * h
    # With t = exp(-|x|), 1 - tanh(softplus(x)) for x > 0 and tanh(softplus(x)) for x < 0, over t:
    share = xp.where(x >= 0, 2 * t / (1 + 2 * t * (1 + t)), (t + 2) / (2 + t * (t + 2)))
    return positive_part(x, xp) - (a * h) * (h * share)
