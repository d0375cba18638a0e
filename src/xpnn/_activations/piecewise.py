"""The activations made of straight lines and parabolas."""

import math

from xpnn._activations.record import record
from xpnn._arrays.arguments import Number
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.functions import elementwise
from xpnn._rounding.exact import clip
from xpnn._rounding.slopes import Slope, past, slope_within, within

__all__ = [
    "identity",
    "step",
    "relu",
    "relu6",
    "leaky_relu",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
]


@record(
    exact=lambda mp, x: x,
    errors=Slope(lambda lower, upper, xp: xp.ones_like(lower)),
    inverse=lambda y, xp: y,
)
@elementwise
def identity(x: Array, /, *, xp: Namespace = None) -> Array:
    """Identity: x itself.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape and values, floating: `x` itself or a copy of it.

    Notes
    -----
    The derivative is 1.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.identity(np.asarray([-2.0, 0.0, 2.0]))
    array([-2.,  0.,  2.])
    """
    return x


@record(
    exact=lambda mp, x: mp.mpf(int(x > 0)),
    errors=Slope(
        lambda lower, upper, xp: xp.zeros_like(lower),
        span=1,
        jump=lambda lower, upper, xp: xp.astype((lower <= 0) & (upper > 0), lower.dtype),
    ),
)
@elementwise
def step(x: Array, /, *, xp: Namespace = None) -> Array:
    """Heaviside step: 1 where x > 0, otherwise 0.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. 0 at 0 (and -0), NaN at NaN.

    Notes
    -----
    The derivative is 0 everywhere, at the step too.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.step(np.asarray([-2.0, 0.0, 2.0]))
    array([0., 0., 1.])
    """
    one_or_zero = xp.astype(x > 0, x.dtype)
    return xp.where(x == x, one_or_zero, x)


@record(
    exact=lambda mp, x: max(x, mp.mpf(0)),
    errors=Slope(slope_within(0, math.inf)),
)
@elementwise
def relu(x: Array, /, *, xp: Namespace = None) -> Array:
    """Rectified linear unit: x where x > 0, otherwise 0.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. 0 and inf at -inf and inf, NaN at NaN.

    Notes
    -----
    The derivative at 0 is 0, as in torch and jax.nn.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.relu(np.asarray([-2.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return xp.where(x <= 0, 0.0, x)


@record(
    exact=lambda mp, x: clip(mp, x, 0, 6),
    errors=Slope(slope_within(0, 6), span=6),
)
@elementwise
def relu6(x: Array, /, *, xp: Namespace = None) -> Array:
    """Rectified linear unit that stops at 6: min(max(x, 0), 6).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, between 0 and 6.

    Notes
    -----
    The derivatives at 0 and at 6 are 0.

    References
    ----------
    A. Krizhevsky, 'Convolutional Deep Belief Networks on CIFAR-10', 2010.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.relu6(np.asarray([-2.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return xp.where(x <= 0, 0.0, xp.where(x >= 6, 6.0, x))


def _leaky_slope(lower: Array, upper: Array, xp: Namespace, *, negative_slope: float) -> Array:
    below = abs(negative_slope) * within(lower, upper, -math.inf, 0, xp)
    return xp.maximum(within(lower, upper, 0, math.inf, xp), below)


@record(
    exact=lambda mp, x, negative_slope: x if x > 0 else x * negative_slope,
    errors=Slope(_leaky_slope, lambda t, y, negative_slope: 3 * y),
)
@elementwise(negative_slope=Number())
def leaky_relu(x: Array, /, *, negative_slope: float = 0.01, xp: Namespace = None) -> Array:
    """Leaky rectified linear unit: x where x > 0, otherwise negative_slope * x.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    negative_slope : float, optional
        Slope for x < 0. Default 0.01.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. With a slope of 0, -inf gives NaN; `relu` gives 0 there.

    Notes
    -----
    The derivative at 0 is `negative_slope`, as in torch.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng, 'Rectifier nonlinearities improve neural network acoustic
    models', ICML 2013.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.leaky_relu(np.asarray([-2.0, 0.0, 2.0]), negative_slope=0.1)
    array([-0.2,  0. ,  2. ])
    """
    return xp.where(x > 0, x, x * negative_slope)


@record(
    exact=lambda mp, x: clip(mp, x + 3, 0, 6) / 6,
    errors=Slope(
        lambda lower, upper, xp: within(lower, upper, -3, 3, xp) / 6, lambda t, y: 4 * y + 2, 1
    ),
)
@elementwise
def hard_sigmoid(x: Array, /, *, xp: Namespace = None) -> Array:
    """Piecewise linear sigmoid, relu6(x + 3) / 6.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, between 0 and 1.

    Notes
    -----
    The derivatives at -3 and at 3 are 0.

    References
    ----------
    A. Howard and others, 'Searching for MobileNetV3', 2019, arXiv:1905.02244.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.hard_sigmoid(np.asarray([-2.0, 0.0, 2.0]))
    array([0.16666667, 0.5       , 0.83333333])
    """
    return relu6(x + 3, xp=xp) / 6


def _hard_swish_slope(lower: Array, upper: Array, xp: Namespace) -> Array:
    three = xp.full_like(lower, 3.0)
    ends = (xp.minimum(xp.maximum(t, -three), three) for t in (lower, upper))
    first, second = (xp.abs(2 * t + 3) / 6 for t in ends)
    bend = xp.maximum(first, second) * within(lower, upper, -3, 3, xp)
    return xp.maximum(bend, past(3, upper, xp))


@record(
    exact=lambda mp, x: x * clip(mp, x + 3, 0, 6) / 6,
    errors=Slope(_hard_swish_slope, lambda t, y: 6 * y + 2 * t),
)
@elementwise
def hard_swish(x: Array, /, *, xp: Namespace = None) -> Array:
    """Piecewise quadratic swish, x * hard_sigmoid(x).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape. 0 up to -3, x from 3 on.

    Notes
    -----
    The derivative is 0 at -3 and 1 at 3.

    References
    ----------
    A. Howard and others, 'Searching for MobileNetV3', 2019, arXiv:1905.02244.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.hard_swish(np.asarray([-2.0, 0.0, 2.0]))
    array([-0.33333333,  0.        ,  1.66666667])
    """
    # Forward mode takes the derivative of the product by both factors: of infinity that is NaN.
    near = xp.where(x >= 3, 3.0, x)
    return xp.where(x >= 3, x, xp.where(x <= -3, 0.0, near) * hard_sigmoid(near, xp=xp))


@record(
    exact=lambda mp, x: clip(mp, x, -1, 1),
    errors=Slope(slope_within(-1, 1), span=2),
)
@elementwise
def hard_tanh(x: Array, /, *, xp: Namespace = None) -> Array:
    """Piecewise linear tanh: min(max(x, -1), 1).

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape, between -1 and 1.

    Notes
    -----
    The derivatives at -1 and at 1 are 0.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.hard_tanh(np.asarray([-2.0, 0.0, 2.0]))
    array([-1.,  0.,  1.])
    """
    return xp.where(x <= -1, -1.0, xp.where(x >= 1, 1.0, x))
