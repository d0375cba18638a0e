"""Numbers as exact fractions, NaN or infinities; the unit in the last place; numbers as text."""

import math
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.transfer import to_numpy
from xpnn.errors import XpnnTypeError, XpnnValueError

Exact: TypeAlias = Fraction | float
"""A fraction; or NaN or an infinity, which alone are floats here."""

_DIGITS = Context(prec=20)


def exact(number: Any) -> Exact:
    """Return the value of an int, float, Fraction, Decimal or number of mpmath."""
    if hasattr(number, "_mpf_"):  # mpmath's, without an import of it
        sign, digits, exponent, _ = number._mpf_
        if not digits and exponent:  # NaN or infinite
            return float(number)
        value: Fraction = Fraction(int(digits)) * Fraction(2) ** exponent
        return -value if sign else value
    if isinstance(number, np.generic):
        number = number.item()
    if isinstance(number, float | Decimal) and not math.isfinite(number):
        return float(number)
    if isinstance(number, int | float | Decimal | Fraction) and not isinstance(number, bool):
        return Fraction(number)
    raise XpnnTypeError(
        "expected real numbers: int, float, Fraction, Decimal, mpmath.mpf, or arrays of them, got "
        f"{type(number).__module__}.{type(number).__qualname__}"
    )


def exact_values(numbers: Any, called: str, shape: tuple[int, ...]) -> list[Exact]:
    """Return the values of a number, sequence or array, spread to a shape, in C order."""
    if array_api_compat.is_array_api_obj(numbers):
        numbers = to_numpy(numbers)
    values = np.asarray(numbers, dtype=object)
    try:
        spread = np.broadcast_to(values, shape)
    except ValueError:
        raise AssertionError(
            f"shapes do not match: actual has {shape}, {called} has {values.shape}"
        ) from None
    return [exact(value) for value in spread.flat]


def limits(numbers: Any, called: str, shape: tuple[int, ...]) -> list[Exact]:
    """Return the values of a bound, none of them negative or NaN."""
    found = exact_values(numbers, called, shape)
    for limit in found:
        if not limit >= 0:
            raise XpnnValueError(f"expected {called} to be 0 or more, got {text(limit)}")
    return found


def unit(value: Fraction, dtype: str) -> Fraction:
    """Return the unit in the last place of a dtype at a value, which the dtype need not have."""
    precision = PRECISIONS[dtype]
    return Fraction(2) ** precision.last_place(_exponent(abs(value) or Fraction(precision.tiny)))


def _exponent(value: Fraction) -> int:
    """Return the largest e for which 2**e <= value."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e if Fraction(2) ** e <= value else e - 1


def least_normal(dtype: str) -> Fraction:
    """Return the least number of a dtype that has all digits."""
    return Fraction(PRECISIONS[dtype].tiny)


def overflow(dtype: str) -> Fraction:
    """Return the number after the largest one, which rounding takes infinity for."""
    return Fraction(2) ** (_exponent(Fraction(PRECISIONS[dtype].largest)) + 1)


def text(value: Exact, digits: int = 17) -> str:
    """Return a value in some decimal digits."""
    if isinstance(value, float):
        return str(value)
    quotient = _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
    short = quotient.normalize(Context(prec=digits))
    return f"{short:f}" if -6 <= short.adjusted() < 17 else f"{short:e}"
