"""The activations that rise smoothly from one limit to another, and the sigmoid's integral."""

import math
from typing import Any

from xpnn._activations.parts import magnitude, positive_part
from xpnn._activations.record import record
from xpnn._arrays.arguments import Number
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.functions import elementwise
from xpnn._rounding.exact import Number as Exact
from xpnn._rounding.slopes import ELEMENTARY, Slope, nearest_to_zero, past

__all__ = ["sigmoid", "log_sigmoid", "tanh", "softplus", "softsign"]


def logistic(mp: Any, x: Exact) -> Exact:
    """Return the exact sigmoid."""
    return 1 / (1 + mp.exp(-x))


def _sigmoid_slope(lower: Array, upper: Array, xp: Namespace) -> Array:
    e = xp.exp(-nearest_to_zero(lower, upper, xp))
    return e / (1 + e) ** 2


@record(
    exact=logistic,
    errors=Slope(_sigmoid_slope, lambda t, y: (ELEMENTARY + 4) * y + ELEMENTARY / 2, 1),
    log_probability="log_sigmoid",
    inverse=lambda y, xp: xp.log(y) - xp.log1p(-y),
)
@elementwise
def sigmoid(x: Array, /, *, xp: Namespace = None) -> Array:
    """Logistic sigmoid, 1 / (1 + exp(-x)).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, between 0 and 1. 0 and 1 at -inf and inf; the lower tail keeps its digits down
        to the smallest normal number, and with `xp` beyond that, where the library keeps subnormal ones.

    Notes
    -----
    The exponential is only taken of numbers <= 0, so nothing overflows. The derivative is
    ``s * (1 - s)``, 1/4 at 0 and 0 far out.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.sigmoid(np.asarray([-2.0, 0.0, 2.0]))
    array([0.11920292, 0.5       , 0.88079708])
    """
    e = xp.exp(-magnitude(x, xp))
    return xp.where(x >= 0, 1.0, e) / (1 + e)


@record(
    exact=lambda mp, x: -mp.log1p(mp.exp(-x)),
    errors=Slope(
        lambda lower, upper, xp: 1 / (1 + xp.exp(lower)), lambda t, y: (2 * ELEMENTARY + 4) * y + 2
    ),
    log_probability="log_sigmoid",
    inverse=lambda y, xp: y - xp.log1p(-xp.exp(y)),
)
@elementwise
def log_sigmoid(x: Array, /, *, xp: Namespace = None) -> Array:
    """Logarithm of the sigmoid, -log(1 + exp(-x)).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, never positive. -inf at -inf, 0 at inf.

    Notes
    -----
    The derivative is ``sigmoid(-x)``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.log_sigmoid(np.asarray([-2.0, 0.0, 2.0]))
    array([-2.12692801, -0.69314718, -0.12692801])
    """
    return -softplus(-x, xp=xp)


@record(
    exact=lambda mp, x: mp.tanh(x),
    errors=Slope(
        lambda lower, upper, xp: 4 * _sigmoid_slope(2 * lower, 2 * upper, xp),
        lambda t, y: ELEMENTARY * y,
        2,
    ),
    inverse=lambda y, xp: xp.atanh(y),
)
@elementwise
def tanh(x: Array, /, *, xp: Namespace = None) -> Array:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, between -1 and 1, which are its values at -inf and inf.

    Notes
    -----
    The derivative is ``1 - tanh(x)**2``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.tanh(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.96402758,  0.        ,  0.96402758])
    """
    return xp.tanh(x)


@record(
    exact=lambda mp, x: x / (1 + abs(x)),
    errors=Slope(
        lambda lower, upper, xp: 1 / (1 + nearest_to_zero(lower, upper, xp)) ** 2,
        lambda t, y: 8 * y,
        2,
    ),
)
@elementwise
def softsign(x: Array, /, *, xp: Namespace = None) -> Array:
    """Softsign, x / (1 + abs(x)).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, between -1 and 1, which are its values at -inf and inf.

    Notes
    -----
    The derivative is ``1 / (1 + abs(x))**2``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.softsign(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.66666667,  0.        ,  0.66666667])
    """
    # Past 1, 1 - 1 / (1 + |x|) has the right limit, and a derivative without cancellation.
    small = xp.abs(x) <= 1
    near = xp.where(small, x, 0.0)
    far = 1 - 1 / (1 + magnitude(x, xp))
    return xp.where(small, near / (1 + magnitude(near, xp)), xp.where(x >= 0, far, -far))


def _exact_softplus(mp: Any, x: Exact, beta: float, threshold: float | None) -> Exact:
    over = threshold is not None and x * beta > threshold
    return x if over else mp.log1p(mp.exp(beta * x)) / beta


def _softplus_slope(
    lower: Array, upper: Array, xp: Namespace, *, beta: float, threshold: float | None
) -> Array:
    slope = 1 / (1 + xp.exp(-beta * upper))
    return slope if threshold is None else xp.maximum(slope, past(threshold / beta, upper, xp))


def _softplus_jump(
    lower: Array, upper: Array, xp: Namespace, *, beta: float, threshold: float | None
) -> Array:
    if threshold is None:
        return xp.zeros_like(lower)
    # Which side a rounded beta * x falls on is open close to the threshold.
    near = 2.0**-10 * (1 + abs(threshold))
    there = (beta * lower <= threshold + near) & (beta * upper >= threshold - near)
    return xp.astype(there, lower.dtype) * (
        (max(-threshold, 0.0) + math.log1p(math.exp(-abs(threshold)))) / beta
    )


@record(
    exact=_exact_softplus,
    errors=Slope(
        _softplus_slope,
        lambda t, y, beta, threshold: (2 * ELEMENTARY + 4) * y + 2 / beta,
        jump=_softplus_jump,
    ),
)
@elementwise(beta=Number("greater than 0", lambda beta: beta > 0), threshold=Number())
def softplus(
    x: Array, /, *, beta: float = 1.0, threshold: float | None = None, xp: Namespace = None
) -> Array:
    """Softplus, log(1 + exp(beta * x)) / beta.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    beta : float, optional
        Sharpness, greater than 0. Default 1.
    threshold : float, optional
        Where beta * x is greater, the result is x. Torch has 20 here, which costs up to 2e-9 in
        float64; by default there is none, as nothing overflows without it either.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, never negative. 0 and inf at -inf and inf.

    Raises
    ------
    ValueError
        If `beta` is not greater than 0.

    Notes
    -----
    The derivative is ``sigmoid(beta * x)``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.softplus(np.asarray([-2.0, 0.0, 2.0]))
    array([0.12692801, 0.69314718, 2.12692801])
    """
    plain = type(beta) is float and beta == 1  # a traced one has no value yet
    scaled = x if plain else x * beta
    y = positive_part(scaled, xp) + xp.log1p(xp.exp(-magnitude(scaled, xp)))
    y = y if plain else y / beta
    return y if threshold is None else xp.where(xp.greater(scaled, threshold), x, y)
