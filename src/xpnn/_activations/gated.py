"""The activations that are x times a probability: x * P(x) with P rising from 0 to 1.

Each is max(x, 0) less |x| times the tail of P: the tail keeps its digits, where 1 - P would lose them,
and at -inf the product is its limit, 0.
"""

import math

from xpnn._activations.erf import FAR, normal_tail_times
from xpnn._activations.parts import at_most, magnitude, positive_part
from xpnn._arrays.arguments import Choice
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.computation import elementwise


def _times_logistic_tail(a: Array, u: Array, xp: Namespace) -> Array:
    """a * sigmoid(-u) for a, u >= 0.

    exp(-u) is taken as a square, so that a meets a factor that has all its digits even where the
    product is subnormal.
    """
    h = xp.exp(-u / 2)
    return (a * h) * (h / (1 + h * h))


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
        formulas as written lose.

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
        tail = _times_logistic_tail(a, math.sqrt(8 / math.pi) * a * (1 + 0.044715 * (a * a)), xp)
    return positive_part(x, xp) - tail


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
