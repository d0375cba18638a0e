"""The reproducible way from its definition alone, in Python integers, Fractions, floats and mpmath.

Written from docs/reproducible.md, sharing no code with xpnn and using no array library: what somebody
else's implementation would be. Numbers are Python floats; `round_to` is the only rounding to binary32.
"""

import math
from fractions import Fraction

import mpmath

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


def single(x: Fraction | float) -> float:
    """The nearest number of binary32, ties to even; 0 below 2**-126."""
    if x == 0 or abs(x) < Fraction(1, 2**126):
        return 0.0
    x = Fraction(x)
    e = max(math.frexp(float(x))[1], -125)
    unit = Fraction(2) ** (e - 24)
    return float(round(x / unit) * unit)


def top(values: list[Fraction] | list[float]) -> Fraction:
    """The least power of two that is at least every abs(value); 0 where all are 0."""
    largest = max(abs(Fraction(v)) for v in values)
    if largest == 0:
        return Fraction(0)
    p = Fraction(2) ** (largest.numerator.bit_length() - largest.denominator.bit_length() - 1)
    while p < largest:
        p *= 2
    return p


def on_grid(values: list[Fraction] | list[float], bits: int) -> list[Fraction]:
    """Each value rounded, ties to even, to a multiple of top * 2**-bits."""
    unit = top(values) / 2**bits
    return [round(Fraction(v) / unit) * unit if unit else Fraction(0) for v in values]


def bits_of_terms(n: int) -> int:
    return min(51, 53 - math.ceil(math.log2(n)))


def two_sum(a: float, b: float) -> tuple[float, float]:
    """The sum in binary64, and what its rounding left out."""
    s = a + b
    return s, float(Fraction(a) + Fraction(b) - Fraction(s))


def balanced(matrix: list[list[float]]) -> tuple[list[Fraction], list[list[Fraction]]]:
    """Powers of two for the inputs, and the columns with each weight divided by its input's."""
    columns = [list(column) for column in zip(*matrix, strict=True)]
    tops = [top(column) or Fraction(1) for column in columns]
    rows = [[Fraction(v) / t for v, t in zip(row, tops, strict=True)] for row in matrix]
    powers = [top(row) for row in rows]
    balanced = [
        [Fraction(v) / p if p else Fraction(0) for v, p in zip(column, powers, strict=True)]
        for column in columns
    ]
    return powers, balanced


def products32(row: list[float], matrix: list[list[float]]) -> list[float]:
    """A row times a matrix: blocks of 1024, each exact on its grids, in binary64, added in order."""
    powers, columns = balanced(matrix)
    row = [Fraction(v) * p for v, p in zip(row, powers, strict=True)]
    return [_dot(row, column) for column in columns]


def _dot(row: list[Fraction], column: list[Fraction]) -> float:
    total = None
    lost = 0.0
    for i in range(0, len(row), 1024):
        a, b = row[i : i + 1024], column[i : i + 1024]
        bits = bits_of_terms(len(a))
        right = (2 * bits + 1) // 3
        left = 2 * (bits - right) + 1
        pairs = zip(on_grid(a, left), on_grid(b, right), strict=True)
        block = float(sum(p * q for p, q in pairs))
        if total is None:
            total = block
        else:
            total, error = two_sum(total, block)
            lost += error
    return 0.0 if total is None else single(total + lost)


def sum64(values: list[float]) -> float:
    bits = bits_of_terms(len(values))
    return float(sum(on_grid(values, 2 * bits + 1)))


def fraction(x: mpmath.mpf) -> Fraction:
    sign, man, exp, _ = x._mpf_
    return (-1) ** sign * int(man) * Fraction(2) ** exp


def sigmoid32(x: float) -> float:
    """Correctly rounded."""
    with mpmath.workprec(400):
        y = 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
        return single(fraction(y))


def root_of_two(j: int) -> tuple[float, float]:
    """2**(j / 64) as two numbers of binary64: the nearest, and the nearest to what it lacks.

    Both from 2**(j / 64) cut to 160 bits after the point.
    """
    with mpmath.workprec(400):
        n = int(mpmath.floor(mpmath.mpf(2) ** (mpmath.mpf(j) / 64 + 160)))
    whole = Fraction(n, 2**160)
    high = float(whole)
    return high, float(whole - Fraction(high))


def exp64(x: float) -> float:
    """exp of binary64, operation by operation."""
    n = round(x * (64 * 1.4426950408889634))
    r = (x - n * (LN2_HIGH / 64)) - n * (LN2_LOW / 64)
    p = 1 / 720
    for c in (1 / 120, 1 / 24, 1 / 6, 1 / 2):
        p = p * r + c
    q = r + (r * r) * p
    k, j = divmod(n, 64)
    high, low = root_of_two(j)
    return math.ldexp(high + (low + high * q), k)


def softmax32(x: list[float]) -> list[float]:
    largest = max(x)
    e = [exp64(v - largest) for v in x]
    total = sum64(e)
    return [single(v / total) for v in e]


def linear32(x: list[float], weight: list[list[float]], bias: list[float]) -> list[float]:
    return [single(y + b) for y, b in zip(products32(x, weight), bias, strict=True)]


def network32(x: list[float], layers: list[tuple[list[list[float]], list[float]]]) -> list[float]:
    """Sigmoid layers, and a softmax."""
    for i, (weight, bias) in enumerate(layers):
        a = linear32(x, weight, bias)
        x = softmax32(a) if i == len(layers) - 1 else [sigmoid32(v) for v in a]
    return x
