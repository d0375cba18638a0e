"""assert_ulp, assert_within and assert_digest: comparisons with exact values."""

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.digest import digest as digest_of
from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name
from xpnn._arrays.library import library
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array, Values
from xpnn.errors import XpnnValueError
from xpnn.testing._exact import (
    Exact,
    exact_values,
    least_normal,
    limits,
    overflow,
    text,
    unit,
)


class _Actual(NamedTuple):
    """An array under test, as NumPy has it."""

    values: Values
    dtype: str
    library: str

    def __str__(self) -> str:
        return f"{self.library} array of {self.dtype}, shape {self.values.shape}"


def _actual(x: Array, function: str, dtypes: Any) -> _Actual:
    found = library(x, "actual", function)
    dtype = dtype_name(x.dtype)
    if dtype not in dtypes:
        names = ", ".join(dtypes)
        raise AssertionError(f"{function}: expected actual to be of {names}; got {dtype}")
    return _Actual(to_numpy(x), dtype, found.name)


def assert_ulp(actual: Array, exact: Any, max_ulp: Any, *, flush_to_zero: bool = False) -> None:
    """Check that values are within some units in the last place of the exact ones.

    The unit is that of the dtype of `actual` at the exact value: the distance of its numbers there,
    the least subnormal number where they are that small. Everything is computed exactly, in
    fractions. NaN matches NaN alone, and an infinity itself; infinity is also what a value above the
    largest number rounds to. Zeros match whatever their signs.

    Parameters
    ----------
    actual : array of float16, bfloat16, float32 or float64
        The values under test, of any library.
    exact : number, sequence or array
        The exact values: `mpmath.mpf`, Fraction, int, Decimal, float, or nested sequences or arrays
        of them, whose shape broadcasts to that of `actual`. Numbers of mpmath count as exact:
        compute them with some twenty digits more than `actual` has.
    max_ulp : number, sequence or array
        The largest error that is allowed, in units in the last place; 0.5 is correct rounding.
    flush_to_zero : bool, default: False
        Whether zero is allowed where the exact value is below the normal numbers, as libraries and
        devices give it that have no subnormal numbers.

    Raises
    ------
    AssertionError
        With the number of elements that are too far off, and the worst of them.
    XpnnValueError
        If `max_ulp` is negative or NaN.

    Examples
    --------
    >>> from fractions import Fraction
    >>> import numpy as np
    >>> from xpnn.testing import assert_ulp
    >>> x = np.asarray([1, 2, 3], dtype="float32")
    >>> assert_ulp(x / 3, [Fraction(1, 3), Fraction(2, 3), 1], 0.5)
    >>> assert_ulp(x * np.float32(1 / 3), [Fraction(1, 3), Fraction(2, 3), Fraction(4, 3)], 0.5)
    Traceback (most recent call last):
    ...
    AssertionError: assert_ulp: 1 of 3 elements too far off
      worst     [2]
      got       1.0
      expected  1.3333333333333333
      error     2796202.7 ulp, allowed 0.5
      in        numpy array of float32, shape (3,)
    """
    __tracebackhide__ = True
    given = _actual(actual, "assert_ulp", FLOATS)
    shape = given.values.shape
    desired = exact_values(exact, "exact", shape)
    allowed = limits(max_ulp, "max_ulp", shape)
    got = exact_values(given.values, "actual", shape)
    errors = [_ulps(a, b, given.dtype, flush_to_zero) for a, b in zip(got, desired, strict=True)]
    _judge(given, desired, errors, allowed, function="assert_ulp", in_units="ulp")


def _ulps(got: Exact, desired: Exact, dtype: str, flush_to_zero: bool) -> Exact:
    if isinstance(desired, float):
        return _distance(got, desired)
    if isinstance(got, float):
        if math.isnan(got):
            return math.inf
        # What rounds to infinity is above the largest number by half a unit, or by anything.
        end = overflow(dtype)
        got = max(desired, end) if got > 0 else min(desired, -end)
    if flush_to_zero and got == 0 and abs(desired) < least_normal(dtype):
        return Fraction(0)
    return abs(got - desired) / unit(desired, dtype)


def _distance(got: Exact, desired: Exact) -> Exact:
    """Return |got - desired|, which is 0 for the same infinity and for two NaNs."""
    if isinstance(got, float) or isinstance(desired, float):
        same = got == desired or (got != got and desired != desired)
        return Fraction(0) if same else math.inf
    return abs(got - desired)


def assert_within(actual: Array, desired: Any, bound: Any) -> None:
    """Check that ``abs(actual - desired)`` is at most a bound, element by element.

    The difference is computed exactly. NaN matches NaN alone, and an infinity itself; where the
    bound is infinite, anything is allowed.

    Parameters
    ----------
    actual : array of integers or floats
        The values under test, of any library.
    desired : array, number or sequence
        What they should be: an array of any library, or exact numbers as `assert_ulp` takes them;
        its shape broadcasts to that of `actual`.
    bound : array, number or sequence
        The largest distance that is allowed, likewise.

    Raises
    ------
    AssertionError
        With the number of elements that are too far off, and the one that is so the most times.
    XpnnValueError
        If the bound is negative or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnn.testing import assert_within
    >>> assert_within(np.asarray([0.5, 1.25]), [0.5, 1], [0, 0.25])
    >>> assert_within(np.asarray([[0.5, 1.25]]), 1, 0.125)
    Traceback (most recent call last):
    ...
    AssertionError: assert_within: 2 of 2 elements too far off
      worst     [0, 0]
      got       0.5
      expected  1
      error     0.5, allowed 0.125 (4 times)
      in        numpy array of float64, shape (1, 2)
    """
    __tracebackhide__ = True
    given = _actual(actual, "assert_within", [*FLOATS, *sorted(INTEGERS)])
    shape = given.values.shape
    wanted = exact_values(desired, "desired", shape)
    allowed = limits(bound, "bound", shape)
    got = exact_values(given.values, "actual", shape)
    errors = [_distance(a, b) for a, b in zip(got, wanted, strict=True)]
    _judge(given, wanted, errors, allowed, function="assert_within")


def _judge(
    given: _Actual,
    desired: list[Exact],
    errors: list[Exact],
    allowed: list[Exact],
    *,
    function: str,
    in_units: str = "",
) -> None:
    """Raise AssertionError with the worst element if an error is larger than what is allowed."""
    __tracebackhide__ = True
    pairs = enumerate(zip(errors, allowed, strict=True))
    off = {i: _times(e, a) for i, (e, a) in pairs if e > a}
    if not off:
        return
    worst = max(off, key=lambda i: (off[i], errors[i]))
    index = [int(i) for i in np.unravel_index(worst, given.values.shape)]
    error = f"{text(errors[worst], 8)} {in_units}".rstrip()
    times = "" if in_units or off[worst] == math.inf else f" ({text(off[worst], 3)} times)"
    raise AssertionError(
        f"{function}: {len(off)} of {len(errors)} elements too far off\n"
        f"  worst     {index}\n"
        f"  got       {given.values.flat[worst]}\n"
        f"  expected  {text(desired[worst])}\n"
        f"  error     {error}, allowed {text(allowed[worst], 8)}{times}\n"
        f"  in        {given}"
    )


def _times(error: Exact, allowed: Exact) -> Exact:
    if isinstance(error, float) or not allowed:
        return math.inf
    return error / Fraction(allowed)


def assert_digest(actual: Array, digest: str) -> None:
    """Check that an array has exactly the values, dtype and shape whose digest is given.

    The digest is SHA-256 of the values in C order, little endian, followed by dtype and shape as
    text; the same as `xpnn predict --reproducible` prints.

    Parameters
    ----------
    actual : array
        The values under test, of any library.
    digest : str
        64 hexadecimal digits.

    Raises
    ------
    AssertionError
        With both digests, and the first values of `actual`.
    XpnnValueError
        If `digest` is no digest.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnn.testing import assert_digest
    >>> x = np.asarray([0.5, 1.25])
    >>> assert_digest(x, "d5c8a4c9")
    Traceback (most recent call last):
    ...
    xpnn.errors.XpnnValueError: assert_digest: expected 64 hexadecimal digits, got 'd5c8a4c9'
    """
    __tracebackhide__ = True
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise XpnnValueError(f"assert_digest: expected 64 hexadecimal digits, got {digest!r}")
    found = library(actual, "actual", "assert_digest")
    got = digest_of(actual)
    if got != digest:
        values = to_numpy(actual)
        given = _Actual(values, dtype_name(actual.dtype), found.name)
        first = ", ".join(str(v) for v in values.flat[:4])
        raise AssertionError(
            "assert_digest: not the values, dtype and shape of the digest\n"
            f"  got       {got}\n"
            f"  expected  {digest}\n"
            f"  in        {given}: {first}{', ...' if values.size > 4 else ''}"
        )
