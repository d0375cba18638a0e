"""Elementary functions of binary64 arrays, each as two numbers, high + low, good to some 2**-60.

Their sum, rounded once to binary32, is the correctly rounded value, as `tools/exhaustive.py` shows
for every input; rounded to binary64 it is within 1 unit in the last place (docs/reproducible.md).
Arguments are finite, inside each function's range: `elementwise` sees to the rest.
"""

import math

from xpnn._activations.erf_coefficients import CENTRE, SCALED, SERIES, SMALL
from xpnn._activations.parts import polynomial
from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic.barrier import lookup
from xpnn._reproducible.arithmetic.double import (
    LN2_HIGH,
    LN2_LOW,
    LOG2E,
    fraction,
    power_of_root,
    power_of_two,
    roots_of_two,
    two_product,
    two_sum,
)

Pair = tuple[Array, Array]

LOG2E_LOW = 2.0355273740931033e-17
LOG10E, LOG10E_LOW = 0.4342944819032518, 1.098319650216765e-17

NEAR_0 = 0.0625
"""Below, series in x keep the digits that the general way cancels."""

_EXPM1_TAIL = [1 / math.factorial(n) for n in range(6, 1, -1)]


def _exp_of_small(r: Array) -> Array:
    """exp(r) - 1 for abs(r) < log(2) / 128."""
    return r + (r * r) * polynomial(_EXPM1_TAIL, r)


def _root(n: Array, xp: Namespace) -> tuple[Array, Array, Array]:
    """2**(n / 64) as (high + low) * 2**k, for integers n."""
    k = xp.floor(n * 0.015625)
    j = n - 64.0 * k
    return lookup(roots_of_two, j, xp), lookup(roots_of_two, j + 64.0, xp), k


def exp(x: Array, xp: Namespace) -> tuple[Array, Array, Array]:
    """exp(x) as (high + low) * 2**k with 1/2 < high + low < 4, for abs(x) < 800."""
    n = xp.round(x * (64 * LOG2E))
    r = (x - n * (LN2_HIGH / 64)) - n * (LN2_LOW / 64)
    high, low, k = _root(n, xp)
    return high, low + high * _exp_of_small(r), k


def exp_of_single(x: Array, xp: Namespace) -> Array:
    """exp(x) for binary32 numbers from -104 to 89, within 2**-52 of it; NaN for NaN."""
    n = xp.round(x * (64 * LOG2E))
    r = (x - n * (LN2_HIGH / 64)) - n * (LN2_LOW / 64)
    power = power_of_root(n, xp)
    return power + power * _exp_of_small(r)


def exp2(x: Array, xp: Namespace) -> tuple[Array, Array, Array]:
    """2**x as (high + low) * 2**k, for abs(x) < 1100."""
    n = xp.round(x * 64.0)
    r = (x - n * 0.015625) * math.log(2)
    high, low, k = _root(n, xp)
    return high, low + high * _exp_of_small(r), k


_EXPM1_NEAR_0 = [1 / math.factorial(n) for n in range(12, 1, -1)]


def expm1(x: Array, xp: Namespace) -> Pair:
    """exp(x) - 1 for -50 <= x < 709."""
    high, low, k = exp(x, xp)
    p = power_of_two(k - 1.0, xp)
    s, e = two_sum(high * p, xp.zeros_like(p) - 0.5)
    small = xp.abs(x) < NEAR_0
    z = xp.where(small, x, 0.0)
    tail = (z * z) * polynomial(_EXPM1_NEAR_0, z)
    return xp.where(small, x, s + s), xp.where(small, tail, 2.0 * (e + low * p))


_LOG_TAIL = [2 / n for n in range(23, 2, -2)]


def _log(f: Array, k: Array, correction: Array | float) -> Pair:
    """log(1 + f) + k * log(2) + correction for -0.3 < f < 0.42 (as in fdlibm)."""
    half = (0.5 * f) * f
    s = f / (f + 2.0)
    z = s * s
    tail = s * (half + z * polynomial(_LOG_TAIL, z)) + (k * LN2_LOW + correction)
    y, e1 = two_sum(k * LN2_HIGH, f)
    y, e2 = two_sum(y, -half)
    return y, (e1 + e2) + tail


def _near_one(x: Array, single: bool, xp: Namespace) -> tuple[Array, Array]:
    """x as (1 + f) * 2**k with 1 + f between sqrt(1/2) and sqrt(2)."""
    m, k = fraction(x, single, xp)
    low = m < 0.70710678118654752
    return xp.where(low, m + m, m) - 1.0, xp.where(low, k - 1.0, k)


def log(x: Array, single: bool, xp: Namespace) -> Pair:
    """Logarithm of x > 0."""
    f, k = _near_one(x, single, xp)
    return _log(f, k, 0.0)


def log1p(x: Array, xp: Namespace) -> Pair:
    """log(1 + x) for x > -1."""
    u, error = two_sum(x, xp.ones_like(x))
    small = (x > -0.25) & (x < 0.4)
    f, k = _near_one(u, False, xp)
    return _log(
        xp.where(small, x, f),
        xp.where(small, 0.0, k),
        xp.where(small, 0.0, error / u),
    )


_TANH_NEAR_0 = [
    -929569 / 638512875,
    21844 / 6081075,
    -1382 / 155925,
    62 / 2835,
    -17 / 315,
    2 / 15,
    -1 / 3,
]


def tanh(x: Array, xp: Namespace) -> Pair:
    """tanh(x) for abs(x) <= 22."""
    high, low = expm1(xp.abs(x) * -2.0, xp)
    # With u = (1 - e) / 2, e = exp(-2 * abs(x)), the result is t = u / (1 - u): where large,
    # 1 - e / (1 - u); where small, u + u * (u + u * t). What is rounded most counts least.
    u = -0.5 * (high + low)
    u_low = -0.5 * ((high + 2.0 * u) + low)
    large = u > 0.34
    e = (high + 1.0) + low
    ratio = xp.where(large, e, u) / (1.0 - u)
    t = xp.where(large, 1.0, u)
    t_low = xp.where(large, -ratio, u_low + (u * u + (u * u) * ratio))
    small = xp.abs(x) < NEAR_0
    near = xp.where(small, x, 0.0)
    square = near * near
    tail = (near * square) * polynomial(_TANH_NEAR_0, square)
    down = x < 0.0
    y, y_low = xp.where(down, -t, t), xp.where(down, -t_low, t_low)
    return xp.where(small, x, y), xp.where(small, tail, y_low)


def _exp_of_single_as_pair(x: Array, xp: Namespace) -> Pair:
    """exp(x) for abs(x) <= 90: two numbers, the second up to 1/128 of the first."""
    high, low, k = exp(x, xp)
    p = power_of_two(k, xp)
    return high * p, low * p


_SINH_NEAR_0 = [1 / math.factorial(n) for n in range(15, 2, -2)]


def sinh_of_single(a: Array, xp: Namespace) -> Pair:
    """sinh(a) for 0 <= a <= 90."""
    up, up_low = _exp_of_single_as_pair(a, xp)
    down, down_low = _exp_of_single_as_pair(-a, xp)
    y, error = two_sum(up, -down)
    small = a < 0.25
    near = xp.where(small, a, 0.0)
    square = near * near
    tail = (near * square) * polynomial(_SINH_NEAR_0, square)
    return xp.where(small, a, 0.5 * y), xp.where(small, tail, 0.5 * (error + (up_low - down_low)))


def cosh_of_single(a: Array, xp: Namespace) -> Pair:
    """cosh(a) for 0 <= a <= 90."""
    up, up_low = _exp_of_single_as_pair(a, xp)
    down, down_low = _exp_of_single_as_pair(-a, xp)
    y, error = two_sum(up, down)
    return 0.5 * y, 0.5 * (error + (up_low + down_low))


LEAST_LOGARITHM = -708.3964185322641
"""The least number of binary64 whose exponential is normal."""


def sigmoid(x: Array, xp: Namespace) -> Array:
    """1 / (1 + exp(-x)) for abs(x) <= -LEAST_LOGARITHM."""
    high, low, k = exp(-xp.abs(x), xp)
    w = (high + low) * power_of_two(k, xp)
    return xp.where(x >= 0.0, 1.0, w) / (w + 1.0)


def sigmoid_of_single(x: Array, xp: Namespace) -> Array:
    """1 / (1 + exp(-x)) for binary32 numbers from -104 to 89; NaN for NaN."""
    a, positive = xp.abs(x), x >= 0.0
    w = exp_of_single(-a, xp)
    y = xp.where(positive, 1.0, w) / (w + 1.0)
    # For some x, 1/2 + x/4 is halfway between two numbers of binary32; the sigmoid, x**3 / 48
    # nearer to 1/2, is not. 2**-52 nearer tells, and is less than any other such distance.
    u = a * ((a * a) * (-1 / 48) + 0.25) - 2.0**-52
    return xp.where(a < 2.0**-10, 0.5 + xp.where(positive, u, -u), y)


def erf(x: Array, xp: Namespace) -> Pair:
    """erf(x) for abs(x) <= 6."""
    a = xp.abs(x)
    small = a < SMALL
    near = xp.where(small, x, 0.0)
    tail = near * polynomial(SERIES["float64"], near * near)
    square, error = two_product(a, a)
    high, low, k = exp(-square, xp)
    e = (high + low) * power_of_two(k, xp)
    scaled = polynomial(SCALED["float64"], (a - CENTRE) / (a + CENTRE)) / (2.0 * a + 1.0)
    far = (e - e * error) * scaled
    one = xp.where(x < 0.0, xp.zeros_like(x) - 1.0, 1.0)
    return xp.where(small, x, one), xp.where(small, tail, xp.where(x < 0.0, far, -far))


def _times(high: Array, low: Array, c: float, c_low: float, xp: Namespace) -> Pair:
    """(high + low) * (c + c_low)."""
    high, low = two_sum(high, low)
    p, e = two_product(high, xp.zeros_like(high) + c)
    return p, e + (high * c_low + low * c)


def log2(x: Array, single: bool, xp: Namespace) -> Pair:
    """Logarithm of x > 0 to base 2."""
    f, k = _near_one(x, single, xp)
    high, low = _times(*_log(f, xp.zeros_like(k), 0.0), LOG2E, LOG2E_LOW, xp)
    y, e = two_sum(k, high)
    return y, e + low


def log10(x: Array, single: bool, xp: Namespace) -> Pair:
    """Logarithm of x > 0 to base 10."""
    return _times(*log(x, single, xp), LOG10E, LOG10E_LOW, xp)
