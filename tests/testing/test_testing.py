"""The asserts of xpnn.testing, each seen to fail, with what they print."""

import math
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from xpnn import testing
from xpnn._arrays import transfer
from xpnn._arrays.digest import digest
from xpnn._parity.standard import ulp
from xpnn.testing import assert_digest, assert_equal, assert_ulp, assert_within
from xpnn.testing._exact import text, unit

INF, NAN = math.inf, math.nan
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def test_public_names():
    assert sorted(testing.__all__) == testing.__all__
    assert all(hasattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018


def test_array_api_extra_compares(xp):
    assert_equal(xp.ones(3), xp.ones(3))
    with pytest.raises(AssertionError, match="shapes do not match"):
        assert_equal(xp.ones(3), xp.ones(4))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_units_are_those_of_numpy(dtype):
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    x = np.abs(np.frombuffer(rng.bytes(8000), dtype))
    edges = [info.max / 2, info.tiny, info.smallest_subnormal, 0, 1, 2 - info.epsneg, info.tiny * 2]
    for v in [*x[x < info.max], *np.asarray(edges, dtype)]:
        assert unit(Fraction(float(v)), dtype) == ulp(v, dtype) == Fraction(float(np.spacing(v)))
    assert unit(Fraction(float(info.max)), dtype) == unit(Fraction(10) ** 400, dtype)


def test_units_of_bfloat16_are_those_of_torch(torch):
    for v in (1.0, 1.5, 3.0e38, 1e-39, 2.0**-126, 2.0**-133):
        x = torch.tensor(v, dtype=torch.bfloat16)
        step = torch.nextafter(x, torch.tensor(0.0, dtype=torch.bfloat16)).double() - x.double()
        exact = unit(Fraction(float(x)) - Fraction(1, 2**200), "bfloat16")
        assert exact == -Fraction(float(step))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ulp_counts_units_at_the_exact_value(dtype, backend):
    if not hasattr(backend.xp, dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    one = unit(Fraction(1), dtype)
    x = backend.asarray([1.0, 1.0, -1.0], dtype)
    exact = [1 + one / 2, 1 - 2 * one, -1 - one]  # below 1 the unit is half as large
    assert_ulp(x, exact, [0.5, 4, 1])
    with pytest.raises(AssertionError) as caught:
        assert_ulp(x, exact, 0.5)
    message = str(caught.value)
    assert message.startswith("assert_ulp: 2 of 3 elements too far off\n  worst     [1]\n")
    assert "  error     4 ulp, allowed 0.5\n" in message
    assert f"{backend.library.name} array of {dtype}, shape (3,)" in message


def test_ulp_says_what_is_worst():
    x = np.asarray([[1.0, 2.0], [3.0, 0.0]], "float32")
    with pytest.raises(AssertionError) as caught:
        assert_ulp(x, [[1, 2], [Fraction(10, 3), Fraction(1, 2**150)]], 0.25)
    assert str(caught.value) == (
        "assert_ulp: 2 of 4 elements too far off\n"
        "  worst     [1, 0]\n"
        "  got       3.0\n"
        "  expected  3.3333333333333333\n"
        "  error     1398101.3 ulp, allowed 0.25\n"
        "  in        numpy array of float32, shape (2, 2)"
    )


def test_ulp_takes_exact_numbers_of_every_kind():
    with mp.workdps(50):
        third = mp.mpf(1) / 3
    for value in (
        Fraction(1, 3),
        third,
        Decimal(1) / 3,
        1 / 3,
        np.float64(1 / 3),
        [Fraction(1, 3)],
    ):
        assert_ulp(np.asarray([1 / 3]), value, 0.5)
        with pytest.raises(AssertionError, match=r"error     [0-9.]+ ulp, allowed 0.5"):
            assert_ulp(np.asarray([np.nextafter(1 / 3, 1)]), value, 0.5)
    assert_ulp(np.asarray([2.0, -0.0]), np.asarray([2, 0]), 0)
    assert_ulp(np.asarray([-1.5]), -mp.mpf(3) / 2, 0)
    for value in ("1", 1j, True, None):
        with pytest.raises(TypeError, match="expected real numbers: int, float"):
            assert_ulp(np.asarray([1.0]), value, 1)


SPECIAL = [
    (NAN, NAN, True),
    (NAN, 1, False),
    (NAN, -(10**50), False),
    (1.0, NAN, False),
    (INF, INF, True),
    (INF, mp.inf, True),
    (-INF, Decimal("-Infinity"), True),
    (NAN, mp.nan, True),
    (-INF, INF, False),
    (1.0, INF, False),
    (INF, 1, False),
    (3.4028235e38, INF, False),
    (INF, 2**128, True),  # what rounds to infinity
    (INF, 2**128 - 2**103, True),
    (INF, 2**128 - 2**103 - 1, False),  # and what rounds to the largest number
    (-INF, -(10**50), True),
    (-INF, 10**50, False),
    (0.0, Fraction(1, 2**150), True),
    (0.0, Fraction(1, 2**149), False),
]


@pytest.mark.parametrize(("got", "exact", "right"), SPECIAL)
def test_ulp_of_special_values(got, exact, right):
    x = np.asarray([got], "float32")
    if right:
        assert_ulp(x, exact, 0.5)
    else:
        with pytest.raises(AssertionError, match="1 of 1 elements"):
            assert_ulp(x, exact, 0.5)


def test_ulp_may_allow_zero_for_subnormal_numbers():
    tiny = Fraction(1, 2**126)
    assert_ulp(np.zeros(1, "float32"), tiny * 2 / 3, 0, flush_to_zero=True)
    least = np.full(1, 2.0**-149, "float32")
    for x, exact in (
        (np.zeros(1), tiny * 2 / 3),
        (np.zeros(1, "float32"), tiny),
        (least, tiny * 2 / 3),
    ):
        with pytest.raises(AssertionError):
            assert_ulp(x, exact, 0, flush_to_zero=True)
    with pytest.raises(AssertionError):
        assert_ulp(np.zeros(1, "float32"), tiny * 2 / 3, 0)


@pytest.mark.parametrize("check", [assert_ulp, assert_within])
def test_shape_dtype_and_bounds_come_first(check):
    x = np.ones((2, 3))
    check(x, [1, 1, 1], 0)
    check(x[:0], 1, 0)
    with pytest.raises(AssertionError, match=r"shapes do not match: actual has \(2, 3\), .*\(2,\)"):
        check(x, [1, 2], 0)
    with pytest.raises(AssertionError, match=r"actual has \(3,\), .* has \(2, 3\)"):
        check(x[0], x, 0)
    with pytest.raises(
        AssertionError, match="expected actual to be of .*float32.*; got complex128"
    ):
        check(x * 1j, 1, 0)
    with pytest.raises(TypeError, match="expected actual to be an array"):
        check([1.0], 1, 0)
    for bound in (-1, NAN):
        with pytest.raises(ValueError, match="to be 0 or more, got"):
            check(x, 1, bound)
    with pytest.raises(AssertionError, match="got int64"):
        assert_ulp(np.ones(2, "int64"), 1, 0)


def test_within_is_exact(backend):
    x = backend.asarray([1.0, 2.0, 3.0], "float64")
    bound = Fraction(1, 2**200)  # binary64 would see no difference
    assert_within(x, [1, 2 + bound, 3 - bound], bound)
    with pytest.raises(AssertionError) as caught:
        assert_within(x, [1, 2 + 2 * bound, 3 - 3 * bound], bound)
    assert str(caught.value).startswith(
        "assert_within: 2 of 3 elements too far off\n  worst     [2]"
    )
    assert "(3 times)" in str(caught.value)
    assert_within(x, x, 0)
    assert_within(x, backend.asarray([1.5, 2.0, 3.0], "float32"), backend.asarray([0.5, 0, 0]))
    assert_within(backend.asarray([2**53 + 1], "int64"), 2**53 + 1, 0)
    with pytest.raises(AssertionError, match="allowed 0\n"):
        assert_within(backend.asarray([2**53 + 1], "int64"), 2**53, 0)


def test_within_of_special_values():
    x = np.asarray([NAN, INF, -INF, 1.0])
    assert_within(x, x, 0)
    assert_within(x, [0, 0, INF, NAN], INF)
    for i in range(4):
        wrong = x.copy()
        wrong[i] = 5.0
        with pytest.raises(AssertionError, match=rf"1 of 4 .*\n  worst     \[{i}\]"):
            assert_within(wrong, x, 1)
    with pytest.raises(AssertionError, match="error     inf, allowed 1\n"):
        assert_within(np.asarray([INF]), [-INF], 1)


def test_digest(backend):
    x = backend.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")
    right = digest(transfer.to_numpy(x))
    assert_digest(x, right)
    for other in (x + 1, x[:1, :], backend.xp.astype(x, backend.xp.float64)):
        with pytest.raises(AssertionError) as caught:
            assert_digest(other, right)
        assert f"  expected  {right}\n" in str(caught.value)
        assert digest(other) in str(caught.value)
    with pytest.raises(
        AssertionError, match=r"of float32, shape \(2, 3\): 2.0, 3.0, 4.0, 5.0, ..."
    ):
        assert_digest(x + 1, right)
    with pytest.raises(ValueError, match="expected 64 hexadecimal digits, got 'abc'"):
        assert_digest(x, "abc")


def test_numbers_as_text():
    for value, words in {
        Fraction(1, 3): "0.33333333333333333",
        Fraction(30): "30",
        Fraction(0): "0",
        Fraction(10) ** 400: "1e+400",
        Fraction(-1, 10**9): "-1e-9",
        NAN: "nan",
        -INF: "-inf",
    }.items():
        assert text(value) == words
