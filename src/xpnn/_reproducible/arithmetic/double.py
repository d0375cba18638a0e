"""Building blocks in binary64: nothing but + - * /, comparison, rounding to integer and look-up.

Arrays are float64; `xp` is a namespace in which each operation is rounded by itself, as it stands:
NumPy, PyTorch, or `Barriered` where a compiler would rearrange them.
"""

import math
from functools import cache

from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic.barrier import lookup

UNIT = 2.0**-53
LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""log(2) to 86 bits; k * LN2_HIGH is exact for abs(k) < 2**20."""
LEAST_SINGLE, LEAST_DOUBLE = 2.0**-126, 2.0**-1022
"""The smallest normal numbers of binary32 and binary64."""


@cache
def powers_of_two() -> tuple[float, ...]:
    """2**k for k from -1022 to 1023."""
    return tuple(2.0**k for k in range(-1022, 1024))


@cache
def roots_of_two() -> tuple[float, ...]:
    """2**(j / 64) for j from 0 to 63, and then what each lacks, from integer square roots."""
    high, low = [], []
    for j in range(64):
        n, bits = 2 ** (j + 64 * 160), 160
        for _ in range(6):
            n = math.isqrt(n)
        high.append(n / 2**bits)
        low.append((n - int(high[-1] * 2**52) * 2 ** (bits - 52)) / 2**bits)
    return (*high, *low)


LEAST_EXPONENT, LARGEST_EXPONENT = -151, 129
"""2**k for k between them rounds to 0, to a number of binary32, or to infinity."""


@cache
def powers_of_root() -> tuple[float, ...]:
    """2**(n / 64) for n from 64 * LEAST_EXPONENT to 64 * LARGEST_EXPONENT."""
    exponents = range(LEAST_EXPONENT, LARGEST_EXPONENT)
    return (*(m * 2.0**k for k in exponents for m in roots_of_two()[:64]), 2.0**LARGEST_EXPONENT)


def power_of_root(n: Array, xp: Namespace) -> Array:
    """2**(n / 64) for integers n as in `powers_of_root`; anything for NaN."""
    return lookup(powers_of_root, n - 64.0 * LEAST_EXPONENT, xp, last=len(powers_of_root()) - 1)


def power_of_two(k: Array, xp: Namespace) -> Array:
    """2**k for integers k from -1022 to 1023."""
    return lookup(powers_of_two, k + 1022.0, xp)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b as its rounded value and the rounding error (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _halves(a: Array) -> tuple[Array, Array]:
    """a as two numbers of 26 bits (Veltkamp); abs(a) < 2**996."""
    c = a * 134217729.0
    high = c - (c - a)
    return high, a - high


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a * b as its rounded value and the rounding error (Dekker)."""
    p = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return p, ((a1 * b1 - p) + (a1 * b2 + a2 * b1)) + a2 * b2


def ceiling(a: Array, xp: Namespace) -> Array:
    """Smallest power of two >= a, for 2**-900 <= a <= 2**900; 0 for 0, NaN for inf and NaN (Rump).

    S. M. Rump, 'Ultimately fast accurate summation', SIAM Journal on Scientific Computing 31, 2009,
    doi:10.1137/080738490.
    """
    q = a * 2.0**53
    return xp.abs(q - q * (1.0 - UNIT))


def exponent(p: Array, xp: Namespace) -> Array:
    """k for p = 2**k. The library's log2 is within 1/2 of it, whatever its last digits are."""
    return xp.round(xp.log2(p))


def fraction(x: Array, single: bool, xp: Namespace) -> tuple[Array, Array]:
    """x > 0 as m * 2**k, m in (1/2, 1], k an integer; `single` if x comes from binary32."""
    if single:
        p = ceiling(x, xp)
        return x / p, exponent(p, xp)
    none = xp.zeros_like(x)
    shift = xp.where(x > 2.0**500, none - 600.0, xp.where(x < 2.0**-500, none + 600.0, none))
    x = x * power_of_two(shift, xp)
    p = ceiling(x, xp)
    return x / p, exponent(p, xp) - shift


def scale(y: Array, k: Array, xp: Namespace) -> Array:
    """y * 2**k for abs(y) <= 2**100, y normal or 0, abs(k) <= 2044; 0 up to the least normal.

    In halves, as 2**k itself may be too large or small. Only an exact result is ever normal, and
    what is not is made 0, whether or not the processor has done so.
    """
    half = xp.floor(k * 0.5)
    y = (y * power_of_two(half, xp)) * power_of_two(k - half, xp)
    return xp.where(xp.abs(y) <= LEAST_DOUBLE, 0.0, y)


def to_single(y: Array, xp: Namespace) -> Array:
    """Round binary64 to binary32, once; numbers below the least normal one are 0."""
    return xp.astype(xp.where(xp.abs(y) < LEAST_SINGLE, 0.0, y), xp.float32)


def to_single_from_two(high: Array, low: Array, xp: Namespace) -> Array:
    """Round high + low to binary32, once, where abs(low) is small beside abs(high).

    Rounding high + low to binary64 first is the same, unless that gives the midpoint of two
    neighbours in binary32: then its rounding error says which is nearer.
    """
    y, error = two_sum(high, low)
    near = xp.astype(xp.astype(y, xp.float32), xp.float64)
    other = near + 2.0 * (y - near)
    midpoint = (y != near) & (xp.astype(xp.astype(other, xp.float32), xp.float64) == other)
    other_is_nearer = midpoint & (error != 0.0) & ((error > 0.0) == (other > near))
    return to_single(xp.where(other_is_nearer, other, near), xp)
