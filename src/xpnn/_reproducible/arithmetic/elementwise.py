"""Elementary functions of whole arrays of binary32 or binary64: every input, one rounding.

Each takes a float64 array, whether its values come from binary32 (`single`), and a namespace as in
`double`; it returns float32 if `single`, otherwise float64. No input is subnormal or -0, and no
result is: what is smaller than the least normal number is 0.
"""

import math
from collections.abc import Callable

from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic import elementary
from xpnn._reproducible.arithmetic.double import (
    LEAST_DOUBLE,
    fraction,
    power_of_two,
    scale,
    to_single,
    to_single_from_two,
    two_product,
)

Function = Callable[[Array, bool, Namespace], Array]


def nearest(y: Array, single: bool, xp: Namespace) -> Array:
    """y, rounded to binary32 if `single`; 0 below the least normal number."""
    return to_single(y, xp) if single else xp.where(xp.abs(y) < LEAST_DOUBLE, 0.0, y)


def _two(high: Array, low: Array, single: bool, xp: Namespace) -> Array:
    return to_single_from_two(high, low, xp) if single else nearest(high + low, single, xp)


def _inside(x: Array, low: float, high: float, xp: Namespace) -> Array:
    """x from low to high, 0 for NaN."""
    return xp.clip(xp.where(xp.isnan(x), 0.0, x), low, high)


def _with_nan(x: Array, y: Array, xp: Namespace) -> Array:
    return xp.where(xp.isnan(x), math.nan, y)


def _special(x: Array, y: Array, usable: Array, values: dict[float, float], xp: Namespace) -> Array:
    """y where x is usable, given values at given points, elsewhere NaN."""
    y = xp.where(usable, y, math.nan)
    for point, value in values.items():
        y = xp.where(x == point, value, y)
    return y


def exp(x: Array, single: bool, xp: Namespace) -> Array:
    """exp(x)."""
    if single:
        return to_single(elementary.exp_of_single(xp.clip(x, -104.0, 89.0), xp), xp)
    high, low, k = elementary.exp(_inside(x, -746.0, 710.0, xp), xp)
    return _with_nan(x, scale(high + low, k, xp), xp)


def exp2(x: Array, single: bool, xp: Namespace) -> Array:
    """2**x."""
    z = _inside(x, *((-150.0, 129.0) if single else (-1076.0, 1025.0)), xp)
    high, low, k = elementary.exp2(z, xp)
    if single:
        p = power_of_two(k, xp)
        return _with_nan(x, to_single_from_two(high * p, low * p, xp), xp)
    return _with_nan(x, scale(high + low, k, xp), xp)


def expm1(x: Array, single: bool, xp: Namespace) -> Array:
    """exp(x) - 1."""
    z = _inside(x, -50.0, 89.0 if single else 709.0, xp)
    y = _two(*elementary.expm1(z, xp), single, xp)
    if not single:
        y = xp.where(x > 60.0, exp(x, single, xp), y)
    return _with_nan(x, y, xp)


def _logarithm(of: Callable[[Array, bool, Namespace], tuple[Array, Array]]) -> Function:
    def function(x: Array, single: bool, xp: Namespace) -> Array:
        usable = (x > 0.0) & (x < math.inf)
        y = _two(*of(xp.where(usable, x, 1.0), single, xp), single, xp)
        return _special(x, y, usable, {0.0: -math.inf, math.inf: math.inf}, xp)

    return function


log = _logarithm(elementary.log)
log2 = _logarithm(elementary.log2)
log10 = _logarithm(elementary.log10)


def log1p(x: Array, single: bool, xp: Namespace) -> Array:
    """log(1 + x)."""
    usable = (x > -1.0) & (x < math.inf)
    y = _two(*elementary.log1p(xp.where(usable, x, 0.0), xp), single, xp)
    return _special(x, y, usable, {-1.0: -math.inf, math.inf: math.inf}, xp)


def tanh(x: Array, single: bool, xp: Namespace) -> Array:
    """Hyperbolic tangent."""
    z = _inside(x, -22.0, 22.0, xp)
    return _with_nan(x, _two(*elementary.tanh(z, xp), single, xp), xp)


def sinh(x: Array, single: bool, xp: Namespace) -> Array:
    """(exp(x) - exp(-x)) / 2."""
    a = _inside(xp.abs(x), 0.0, 90.0 if single else 711.0, xp)
    if single:
        y = _two(*elementary.sinh_of_single(a, xp), single, xp)
    else:
        high, low, k = elementary.exp(a, xp)
        far = scale(high + low, k - 1.0, xp)
        high, low = elementary.expm1(xp.where(a < 40.0, a, 0.0), xp)
        e = high + low
        near = nearest(0.5 * (e + e / (e + 1.0)), single, xp)
        y = xp.where(a < 40.0, near, far)
    return _with_nan(x, xp.where(x < 0.0, -y, y), xp)


def cosh(x: Array, single: bool, xp: Namespace) -> Array:
    """(exp(x) + exp(-x)) / 2."""
    a = _inside(xp.abs(x), 0.0, 90.0 if single else 711.0, xp)
    if single:
        return _with_nan(x, _two(*elementary.cosh_of_single(a, xp), single, xp), xp)
    high, low, k = elementary.exp(a, xp)
    far = scale(high + low, k - 1.0, xp)
    e = (high + low) * power_of_two(xp.clip(k, 0.0, 100.0), xp)
    near = nearest(0.5 * (e + 1.0 / e), single, xp)
    return _with_nan(x, xp.where(a < 40.0, near, far), xp)


def sigmoid(x: Array, single: bool, xp: Namespace) -> Array:
    """1 / (1 + exp(-x))."""
    if single:
        return to_single(elementary.sigmoid_of_single(xp.clip(x, -104.0, 104.0), xp), xp)
    least = elementary.LEAST_LOGARITHM
    y = elementary.sigmoid(_inside(x, least, -least, xp), xp)
    return _with_nan(x, xp.where(x < least, 0.0, y), xp)


def erf(x: Array, single: bool, xp: Namespace) -> Array:
    """Error function."""
    z = _inside(x, -6.0, 6.0, xp)
    if single:
        return _with_nan(x, _two(*elementary.erf(z, xp), single, xp), xp)
    # Near 0 the result is 1.128 * x, whose parts may be subnormal.
    tiny = xp.abs(z) < 2.0**-900
    high, low = elementary.erf(xp.where(tiny, z * 2.0**100, z), xp)
    y = high + low
    y = xp.where(tiny, xp.where(xp.abs(y) < 2.0**-922, 0.0, y * 2.0**-100), y)
    return _with_nan(x, y, xp)


def sqrt(x: Array, single: bool, xp: Namespace) -> Array:
    """Square root, correctly rounded."""
    usable = (x > 0.0) & (x < math.inf)
    z = xp.where(usable, x, 1.0)
    if single:
        # The root of 24 bits is never so near to a midpoint that the last bits here could matter.
        y = to_single(xp.sqrt(z), xp)
    else:
        m, k = fraction(z, single, xp)
        half = xp.floor(k * 0.5)
        m = xp.where(k == half + half, m, m + m)
        y = scale(_root_of_two_or_less(m, xp), half, xp)
    return _special(x, y, usable, {0.0: 0.0, math.inf: math.inf}, xp)


def _root_of_two_or_less(m: Array, xp: Namespace) -> Array:
    """Square root of 1/2 < m <= 2, correctly rounded, from one that may be 1 unit off (Tuckerman)."""
    y = xp.sqrt(m)
    up = xp.where(y < 1.0, y + 2.0**-53, y + 2.0**-52)
    down = xp.where(y <= 1.0, y - 2.0**-53, y - 2.0**-52)
    return xp.where(_is_above(m, y, up), up, xp.where(_is_above(m, y, down), y, down))


def _is_above(m: Array, a: Array, b: Array) -> Array:
    """m > a * b, exactly: whether the root of m is nearer to the larger of two neighbours."""
    p, e = two_product(a, b)
    return ((m - p) - e) > 0.0
