"""erf, which the Array API standard lacks, and the tail of the normal distribution that gelu needs.

Both come from two polynomials, computed by `tools/erf_coefficients.py`: one for erf near 0, one
for erfc scaled by exp(a**2), which is smooth up to infinity (M. M. Shepherd and J. G. Laframboise,
'Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity', Mathematics of
Computation 36, 1981, doi:10.1090/S0025-5718-1981-0595058-X).
"""

import math

from xpnn._activations.erf_coefficients import CENTRE, SCALED, SERIES, SMALL
from xpnn._activations.parts import at_most, magnitude, polynomial
from xpnn._activations.record import record
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.functions import elementwise
from xpnn._rounding.exact import clip
from xpnn._rounding.slopes import ELEMENTARY, Slope, nearest_to_zero

__all__ = ["erf"]

FAR = 64.0
"""exp(-FAR**2 / 2) is 0 in every dtype."""


def _exp_minus_square(a: Array, factor: float, xp: Namespace) -> Array:
    """exp(-factor * a**2) for 0 <= a <= FAR; `factor` is a power of two.

    The rounding of a**2 would cost a relative error of a**2 units in the last place, so a is split
    at 8 bits after the point: the square of the upper part is exact wherever the result is not 0.
    """
    upper = xp.round(a * 256) / 256
    lower = (a - upper) * (a + upper)
    # XLA would make exp(p + q) of exp(p) * exp(q); not with a choice between, which changes no value.
    first = xp.where(xp.less(a, FAR), xp.exp(-factor * (upper * upper)), 0.0)
    return first * xp.exp(-factor * lower)


def _scaled_erfc(a: Array) -> Array:
    """exp(a**2) * erfc(a) for a >= 0."""
    return polynomial(SCALED[dtype_name(a.dtype)], (a - CENTRE) / (a + CENTRE)) / (1 + 2 * a)


def normal_tail_times(a: Array, xp: Namespace) -> Array:
    """a * P(Z > a) for a standard normal Z and a >= 0: accurate to its last, subnormal digit."""
    a = at_most(a, FAR, xp)
    return _exp_minus_square(a, 0.5, xp) * (0.5 * a * _scaled_erfc(a * math.sqrt(0.5)))


def _erf_slope(lower: Array, upper: Array, xp: Namespace) -> Array:
    t = nearest_to_zero(lower, upper, xp)
    return 2 / math.sqrt(math.pi) * xp.exp(-t * t)


@record(
    exact=lambda mp, x: mp.erf(clip(mp, x, -1000, 1000)),
    errors=Slope(_erf_slope, lambda t, y: (ELEMENTARY + 4) * y, 2),
)
@elementwise
def erf(x: Array, /, *, xp: Namespace = None) -> Array:
    """Error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x.

    Parameters
    ----------
    x : array
        Real floating or integer array of any shape.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array
        Same shape; same dtype where `x` is floating. Within 2 units in the last place, 5 in JAX's
        own, which runs there for float32 without `xp`. -1 and 1 at
        -inf and inf, NaN at NaN.

    Raises
    ------
    TypeError
        If `x` is no array, or its values are neither real floating nor integers.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> xpnn.erf(np.asarray([0.0, 0.5, 2.0, np.inf]))
    array([0.        , 0.52049988, 0.99532227, 1.        ])
    """
    a = at_most(magnitude(x, xp), FAR, xp)
    small = xp.less(a, SMALL)
    near = xp.where(small, x, 0.0)
    series = near + near * polynomial(SERIES[dtype_name(x.dtype)], near * near)
    far = 1 - _exp_minus_square(a, 1.0, xp) * _scaled_erfc(a)
    return xp.where(small, series, xp.where(x >= 0, far, -far))
