"""The activations that rise smoothly from one limit to another, and the sigmoid's integral."""

from xpnn._activations.parts import magnitude, positive_part
from xpnn._arrays.arguments import Number
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.computation import elementwise


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
        to the smallest subnormal number, where the library keeps those.

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
    return y if threshold is None else xp.where(scaled > threshold, x, y)
