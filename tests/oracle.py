"""The reproducible way from its definition alone, in Python integers, Fractions, floats and mpmath.

Written from docs/reproducible.md, sharing no code with xpnn and using no array library: what somebody
else's implementation would be. Numbers are Python floats; `round_to` is the only rounding to binary32.
"""

import itertools
import math
from fractions import Fraction

import mpmath

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


def single(x: Fraction | float) -> float:
    """The nearest number of binary32, ties to even; 0 below 2**-126, infinity above the largest."""
    if x == 0 or abs(x) < Fraction(1, 2**126):
        return 0.0
    if abs(x) >= 2**128 - 2**103:
        return math.inf if x > 0 else -math.inf
    x = Fraction(x)
    e = max(math.frexp(float(x))[1], -125)
    unit = Fraction(2) ** (e - 24)
    return float(round(x / unit) * unit)


def top(values: list[Fraction] | list[float]) -> Fraction:
    """The least power of two that is at least every abs(value); 0 where all are 0."""
    largest = max(abs(Fraction(v)) for v in values if v) if any(values) else 0
    if largest == 0:
        return Fraction(0)
    p = Fraction(2) ** (largest.numerator.bit_length() - largest.denominator.bit_length() - 1)
    while p < largest:
        p *= 2
    return p


def on_grid(values: list[Fraction] | list[float], bits: int) -> list[Fraction]:
    """Each value rounded, ties to even, to a multiple of top * 2**-bits."""
    unit = top(values) / 2**bits
    return [round(Fraction(v) / unit) * unit if unit and v else Fraction(0) for v in values]


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
        [Fraction(v) / p if v else Fraction(0) for v, p in zip(column, powers, strict=True)]
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
        block = float(sum(p * q for p, q in pairs if p and q))
        if total is None:
            total = block
        else:
            total, error = two_sum(total, block)
            lost += error
    return 0.0 if total is None else single(total + lost)


def double(x: Fraction) -> float:
    """The nearest number of binary64, ties to even; 0 below 2**-1022, infinity above the largest."""
    if abs(x) < Fraction(1, 2**1022):
        return 0.0
    if abs(x) >= Fraction(2) ** 1024 - Fraction(2) ** 970:
        return math.inf if x > 0 else -math.inf
    return float(x)


def counted(values: list[Fraction], top: Fraction) -> list[Fraction]:
    """Values with 0 for what is less than 2**-450 of a power of two."""
    least = top / 2**450
    return [v if v and abs(v) >= least else Fraction(0) for v in values]


def products64(row: list[float], matrix: list[list[float]]) -> list[float]:
    """A row times a matrix in binary64: as `products32`, with three slices a side."""
    columns = [[Fraction(v) for v in column] for column in zip(*matrix, strict=True)]
    columns = [counted(column, top(column)) for column in columns]
    powers, divided = balanced(list(zip(*columns, strict=True)))
    left = [Fraction(v) * p for v, p in zip(row, powers, strict=True)]
    left = counted(left, top(left))
    return [_dot64(left, column) for column in divided]


def slices(values: list[Fraction], bits: int) -> list[list[Fraction]]:
    """Three slices: on a grid, and what is left on grids finer by bits + 1."""
    unit, found, rest = top(values) / 2**bits, [], list(values)
    for _ in range(3):
        found.append([round(v / unit) * unit if v else Fraction(0) for v in rest])
        rest = [v - s for v, s in zip(rest, found[-1], strict=True)]
        unit /= 2 ** (bits + 1)
    return found


def _to_one(values: list[Fraction]) -> list[Fraction]:
    largest = top(values)
    return [v / largest if v else v for v in values]


def _dot64(row: list[Fraction], column: list[Fraction]) -> float:
    """In units of both largest entries, so that nothing leaves the range of binary64."""
    size = top(row) * top(column)
    if size == 0:
        return 0.0
    row, column = _to_one(row), _to_one(column)
    total = None
    lost = 0.0
    for i in range(0, len(row), 1024):
        bits = bits_of_terms(len(row[i : i + 1024])) // 2
        a, b = slices(row[i : i + 1024], bits), slices(column[i : i + 1024], bits)
        block = 0.0
        for j, k in [(0, 2), (1, 1), (2, 0), (0, 1), (1, 0), (0, 0)]:
            exact = sum(p * q for p, q in zip(a[j], b[k], strict=True) if p and q)
            block = float(Fraction(block) + exact)
        if total is None:
            total = block
        else:
            total, error = two_sum(total, block)
            lost += error
    assert total is not None
    y = Fraction(total + lost) * size
    return double(y) if abs(y) > Fraction(1, 2**1022) else 0.0


def sum64(values: list[float]) -> float:
    """The sum in binary64, whose exponents here have no end: then 0 or infinity out of its range."""
    return double(_rounded(sum(on_grid(values, 2 * bits_of_terms(len(values)) + 1))))


def cumulative_sum64(values: list[float]) -> list[float]:
    """The sums of the first values, on the grid of all."""
    bits = bits_of_terms(len(values))
    sums = itertools.accumulate(on_grid(values, 2 * bits + 1))
    return [double(_rounded(s)) for s in sums]


def _quotient64(a: float, n: int) -> float:
    """a / n; 0 where that rounds to the least normal number, or is less."""
    y = double(Fraction(a) / n) if math.isfinite(a) else a
    return 0.0 if abs(y) <= 2.0**-1022 else y


def mean_and_variance64(values: list[float]) -> tuple[float, float]:
    """The mean, and the mean of the squares of what is less the mean."""
    n = len(values)
    total = sum64(values)
    mean = total / n  # may be subnormal here, where no square of a difference shows it
    if not math.isfinite(mean):
        return mean, math.nan
    squares = []
    for v in values:
        d = double(Fraction(v) - Fraction(mean))
        square = double(Fraction(d) ** 2) if math.isfinite(d) else math.inf
        squares.append(0.0 if square <= 2.0**-1022 else square)
    variance = math.nan if math.inf in squares else _quotient64(sum64(squares), n)
    return _quotient64(total, n), variance


def root(x: float) -> Fraction:
    """The square root to some 120 bits."""
    with mpmath.workprec(120):
        return fraction(mpmath.sqrt(mpmath.mpf(x)))


def _rounded(x: Fraction) -> Fraction:
    """x to 53 bits, whatever its exponent."""
    scale = Fraction(2) ** (x.denominator.bit_length() - abs(x.numerator).bit_length())
    return Fraction(float(x * scale)) / scale if x else x


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
