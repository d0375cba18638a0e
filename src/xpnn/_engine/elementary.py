"""Elementary functions as polynomials in basic operations: no table, no branch, nothing wider than x.

Each is a function `f(x, xp)` of an array of float32 or float64. A namespace that sees the bits of
numbers may have operations of its own, which are written here for those that do not:

- `xp.power_of_two(k)`: 2**k for a whole number k, held in a float, from -126 to 127 (float64: -1022 to
  1023); anything at NaN. As bits: bits(k + 1.5 * 2**23 + 127) << 23; for float64 52, 1.5 * 2**52 + 1023.
- `xp.fraction_and_exponent(x)`: x * 2**-e, e and 2**-e for a normal x > 0 and the whole number e that
  brings x into [low, 2 * low), where `low` is `LOW`, the root of 1/2; anything at other x, and for 2**-e
  where it is no normal number. As bits: d = (bits(x) - bits(low)) & -(1 << 23); then bits(x) - d,
  d >> 23, bits(1.0) - d.
- `xp.times_power_of_two(y, k)`: y * 2**k rounded once, for y from 1/2 to 2, or NaN, and k from -151 to 130
  (float64: -1077 to 1026). As bits: y * (bits(k + (1.5 * 2**23 + 127 + c)) << 23) * 2**-c, with c = 64
  where k < 0, else -64; for float64 512. Some processors have an instruction for it.

NaN gives NaN; infinities, zeros and arguments out of the domain give what they do in the standard. Errors,
subnormal results included, are at most, in units in the last place (`tests/execution/test_elementary.py`):

=====  =======  =======
  f    float32  float64
=====  =======  =======
exp       1.10     1.10
expm1     1.50     1.50
log       0.90     0.90
log1p     1.45     1.45
log2      1.45     1.45
tanh      1.55     1.55
cosh      1.55     1.55
=====  =======  =======

Operations are as few as that allows, all of them rounded once (no fused ones). Compilers must not
rearrange them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from xpnn._arrays.dtypes import PRECISIONS, dtype_name
from xpnn._arrays.types import Array, Namespace
from xpnn._engine.elementary_coefficients import EXP, LN2, LOG, TANH

LOG2E = 1.4426950408889634
LOW = {"float32": 0.707106769084930419921875, "float64": 0.7071067811865476}
"""The root of 1/2, rounded to the dtype."""
ENDS = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}
"""exp is 0 from the one on down, infinity from the other on up."""
SHIFT = 0.08496
"""By which expm1 moves the ends of intervals of k: twice exp(r) - 1 less 1 keeps its digits there."""
NEAR, FAR = 0.55, 40.0
"""tanh is a polynomial below the one; it is 1 from half of the other on."""
STEPS = {"float32": (64, 32, 16, 8, 4, 2, 1), "float64": (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)}
"""Exponents whose sums are all that normal numbers have."""


def polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return the polynomial of x by Horner's scheme, highest power first."""
    y = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        y = y * x + c
    return y


def within(x: Array, ends: tuple[float, float], xp: Namespace) -> Array:
    """x, or the end that it lies beyond; NaN where x is NaN."""
    x = xp.where(x < ends[0], ends[0], x)
    return xp.where(x > ends[1], ends[1], x)


def power_of_two(k: Array, xp: Namespace) -> Array:
    """2**k for whole numbers k that normal numbers have as exponent."""
    own = getattr(xp, "power_of_two", None)
    if own is not None:
        return own(k)
    y = xp.ones_like(k)
    left = xp.abs(k)
    for step in STEPS[dtype_name(k.dtype)]:
        fits = left >= step
        left = xp.where(fits, left - step, left)
        factor = xp.where(k < 0, xp.ones_like(k) * 2.0**-step, 2.0**step)
        y = xp.where(fits, y * factor, y)
    return y


def times_power_of_two(y: Array, k: Array, xp: Namespace) -> Array:
    """y * 2**k, rounded once: a power that the result is normal with, exactly, and what is left."""
    own = getattr(xp, "times_power_of_two", None)
    if own is not None:
        return own(y, k)
    most, below = STEPS[dtype_name(k.dtype)][0], k < 0
    left = xp.where(below, xp.ones_like(k) * 2.0**-most, 2.0**most)
    return y * power_of_two(k + xp.where(below, xp.ones_like(k) * most, -most), xp) * left


def fraction_and_exponent(x: Array, xp: Namespace) -> tuple[Array, Array, Array]:
    """x * 2**-e, e and 2**-e, with the first from `LOW` to twice that, for normal x > 0."""
    own = getattr(xp, "fraction_and_exponent", None)
    if own is not None:
        return own(x)
    name = dtype_name(x.dtype)
    low, e, scale = LOW[name], xp.zeros_like(x), xp.ones_like(x)
    for step in (STEPS[name][0], *STEPS[name]):
        for by, beyond in ((-step, x >= low * 2.0**step), (step, x < low * 2.0 ** (1 - step))):
            x = xp.where(beyond, x * 2.0**by, x)
            e = xp.where(beyond, e - by, e)
            scale = xp.where(beyond, scale * 2.0**by, scale)
    return x, e, scale


def _reduced(x: Array, xp: Namespace, shift: float = 0.0) -> tuple[Array, Array]:
    """exp(r) - 1 and k, where x = k * log(2) + r and r lies within half of log(2) from shift * log(2)."""
    high, low = LN2[dtype_name(x.dtype)]
    k = xp.round(x * LOG2E - shift if shift else x * LOG2E)
    r = (x - k * high) - k * low
    return r + (r * r) * polynomial(EXP[dtype_name(x.dtype)], r), k


def exp(x: Array, xp: Namespace) -> Array:
    """exp(x)."""
    p, k = _reduced(within(x, ENDS[dtype_name(x.dtype)], xp), xp)
    return times_power_of_two(1.0 + p, k, xp)


def expm1(x: Array, xp: Namespace) -> Array:
    """exp(x) - 1."""
    name = dtype_name(x.dtype)
    p, k = _reduced(within(x, (-40.0, ENDS[name][1]), xp), xp, SHIFT)
    half = power_of_two(k - 1.0, xp)  # 2**k itself may be too large
    y = 2.0 * (half * p + (half - 0.5))
    return xp.where(xp.abs(x) < PRECISIONS[name].unit, x, y)


def tanh(x: Array, xp: Namespace) -> Array:
    """1 - 2 / (exp(2 * x) + 1); near 0 a polynomial, for the digits that 1 takes."""
    z = x * x
    near = x + x * (z * polynomial(TANH[dtype_name(x.dtype)], z))
    d = xp.abs(x + x)
    p, k = _reduced(xp.where(d > FAR, FAR, d), xp)
    power = power_of_two(k, xp)
    far = 1.0 - 2.0 / ((power * p + power) + 1.0)
    return xp.copysign(xp.where(d < 2 * NEAR, near, far), x)


def cosh(x: Array, xp: Namespace) -> Array:
    """(exp(x) + exp(-x)) / 2."""
    p, k = _reduced(within(xp.abs(x), (0.0, ENDS[dtype_name(x.dtype)][1] + 1.0), xp), xp)
    half = times_power_of_two(1.0 + p, k - 1.0, xp)
    return half + 0.25 / half


def _missing(f: Array) -> tuple[Array, Array, Array]:
    """h, s and t of log(1 + f) = f - (h - s * t), with t of all that follows the square of f."""
    s = f / (2.0 + f)
    z = s * s
    h = 0.5 * (f * f)
    return h, s, h + z * polynomial(LOG[dtype_name(f.dtype)], z)


def _log(f: Array, e: Array) -> Array:
    """log((1 + f) * 2**e)."""
    high, low = LN2[dtype_name(f.dtype)]
    h, s, t = _missing(f)
    return e * high - ((h - (s * t + e * low)) - f)


def _log2(f: Array, e: Array) -> Array:
    """log2((1 + f) * 2**e)."""
    h, s, t = _missing(f)
    return e + (f + (f * (LOG2E - 1.0) - (h - s * t) * LOG2E))


def _of_positive(x: Array, take: Callable[[Array, Array], Array], xp: Namespace) -> Array:
    """A logarithm of x: `take` makes it of f and e, where x = (1 + f) * 2**e."""
    precision = PRECISIONS[dtype_name(x.dtype)]
    small = x < precision.tiny
    m, e, _ = fraction_and_exponent(xp.where(small, x * 2.0**precision.bits, x), xp)
    y = take(m - 1.0, xp.where(small, e - precision.bits, e))
    return _ends(y, x, x, xp)


def _ends(y: Array, x: Array, u: Array, xp: Namespace) -> Array:
    """What a logarithm of u, a function of x, is at infinity, NaN, 0 and below."""
    y = xp.where(u < float("inf"), y, x)
    below = xp.where(u == 0.0, xp.ones_like(x) * float("-inf"), float("nan"))
    return xp.where(u > 0.0, y, below)


def log(x: Array, xp: Namespace) -> Array:
    """Natural logarithm of x."""
    return _of_positive(x, _log, xp)


def log2(x: Array, xp: Namespace) -> Array:
    """Logarithm of x to the base 2."""
    return _of_positive(x, _log2, xp)


def log1p(x: Array, xp: Namespace) -> Array:
    """log(1 + x): what 1 + x loses by rounding is added to its fraction."""
    u = 1.0 + x
    m, e, scale = fraction_and_exponent(u, xp)
    lost = (x - (u - 1.0)) * scale
    f = (m - 1.0) + xp.where(x < 1 / PRECISIONS[dtype_name(x.dtype)].unit, lost, 0.0)
    return _ends(xp.copysign(_log(f, e), x), x, u, xp)


FUNCTIONS: dict[str, Callable[[Array, Any], Array]] = {
    f.__name__: f for f in (exp, expm1, log, log1p, log2, tanh, cosh)
}
"""The functions by the standard's names."""
