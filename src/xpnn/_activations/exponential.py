"""The activations that are x above 0 and an exponential below."""

from xpnn._arrays.arguments import Number
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.computation import elementwise


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
    scale, alpha = 1.0507009873554804934, 1.6732632423543772848  # fixed point of mean 0, variance 1
    return scale * elu(x, alpha=alpha, xp=xp)


@elementwise(alpha=Number("other than 0, by which x is divided", lambda alpha: alpha != 0))
def celu(x: Array, /, *, alpha: float = 1.0, xp: Namespace = None) -> Array:
    """Continuously differentiable exponential linear unit.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    alpha : float, optional
        Minus the value at -inf, greater than 0. Default 1.
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
