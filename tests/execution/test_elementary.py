"""The elementary functions of the compiled engine, held to the errors that their module states."""

import re

import mpmath
import numpy as np
import pytest

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._engine import elementary
from xpnn._engine.elementary import ENDS, FAR, FUNCTIONS, LOG2E, LOW, NEAR, SHIFT

STATED = {
    name: {"float32": float(single), "float64": float(double)}
    for name, single, double in re.findall(
        r"^(\w+) +(\d\.\d+) +(\d\.\d+)$", elementary.__doc__, re.MULTILINE
    )
}
FORMULAS = [pytest.param(name, id=name) for name in FUNCTIONS]
BITS = {"float32": (np.int32, 23), "float64": (np.int64, 52)}
EDGES = {
    # At -inf, -0.0, 0.0, inf.
    "exp": (0, 1, 1, np.inf),
    "expm1": (-1, -0.0, 0, np.inf),
    "log": (np.nan, -np.inf, -np.inf, np.inf),
    "log1p": (np.nan, -0.0, 0, np.inf),
    "log2": (np.nan, -np.inf, -np.inf, np.inf),
    "tanh": (-1, -0.0, 0, 1),
    "cosh": (np.inf, 1, 1, np.inf),
}


class WithBits:
    """NumPy with what the compiled engine adds: powers and exponents made of bits."""

    def __getattr__(self, name):
        return getattr(np, name)

    def power_of_two(self, k):
        integer, place = BITS[k.dtype.name]
        bias = k.dtype.type(1.5 * 2**place + np.finfo(k.dtype).maxexp - 1)
        return ((k + bias).view(integer) << integer(place)).view(k.dtype)

    def fraction_and_exponent(self, x):
        integer, place = BITS[x.dtype.name]
        low, one = (np.asarray([v], x.dtype).view(integer) for v in (LOW[x.dtype.name], 1.0))
        d = (x.view(integer) - low) & integer(-(1 << place))
        e = (d >> integer(place)).astype(x.dtype)
        return (x.view(integer) - d).view(x.dtype), e, (one - d).view(x.dtype)


class WithScale(WithBits):
    """And with a product with a power of two, rounded once."""

    def times_power_of_two(self, y, k):
        integer, place = BITS[k.dtype.name]
        most = k.dtype.type(64 if place == 23 else 512)
        c = np.where(k < 0, most, -most)
        bias = k.dtype.type(1.5 * 2**place + np.finfo(k.dtype).maxexp - 1) + c
        return y * ((k + bias).view(integer) << integer(place)).view(y.dtype) * np.exp2(-c)


class WithInstruction(WithBits):
    """As some processors have it."""

    def times_power_of_two(self, y, k):
        return np.ldexp(y, np.where(np.isnan(k), 0, k).astype(np.int32))


BY_BITS = [pytest.param(xp(), id=xp.__name__) for xp in (WithBits, WithScale, WithInstruction)]


def places(dtype):
    """Where formulas choose, or change their k: log(2) / 2 from each other, and shifted ones."""
    precision = PRECISIONS[dtype]
    k = np.arange(*np.multiply(ENDS[dtype], LOG2E) // 1, 1 if dtype == "float32" else 11)
    yield from np.concatenate([k, k + 0.5, k + 0.5 + SHIFT]) / LOG2E
    yield from (*ENDS[dtype], -ENDS[dtype][0], NEAR, -NEAR, FAR, -FAR, FAR / 2, -FAR / 2)
    yield from (precision.tiny, precision.unit, -precision.unit, 1 / precision.unit)
    yield from (-1.0, 0.5, 1.0, 2.0, precision.largest, -precision.largest)
    for e in (-126, -64, -2, -1, 0, 1, 2, 64, 127):
        yield from (LOW[dtype] * 2.0**e, LOW[dtype] * 2.0**e - 1.0, 2.0**e)


def samples(dtype, count):
    """Numbers of all sizes, of the sizes that matter, and next to places where formulas change."""
    rng = np.random.default_rng(25)
    integer = BITS[dtype][0]
    width = np.iinfo(integer).bits
    at = np.asarray(list(places(dtype)), dtype)
    sign = rng.choice([-1, 1], count)
    with np.errstate(over="ignore"):
        beside = [np.nextafter(at, np.asarray(end, dtype)) for end in (-np.inf, np.inf)]
    parts = [
        rng.integers(0, 2**width, count, np.dtype(f"u{width // 8}")).view(dtype),
        rng.integers(1, 2 ** BITS[dtype][1], count // 8).astype(integer).view(dtype),  # subnormal
        rng.uniform(*ENDS[dtype], count).astype(dtype),
        rng.uniform(-2, 2, count).astype(dtype),
        (sign * np.exp(rng.uniform(-20, 3, count))).astype(dtype),
        at,
        *beside,
        np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan], dtype),
    ]
    return np.concatenate(parts)


def exact(name, x):
    """Values to compare with, in float64, and what they lack: those of mpmath for float64."""
    if x.dtype == np.float32:
        with np.errstate(all="ignore"):
            y = getattr(np, name)(x.astype(np.float64))
        return y, np.zeros_like(y)
    high, low = np.empty_like(x), np.zeros_like(x)
    with mpmath.workprec(140):
        function = getattr(mpmath, name, lambda t: mpmath.log(t) / mpmath.log(2))
        for i, v in enumerate(x):
            high[i], low[i] = _exact(name, function, float(v))
    return high, low


def _exact(name, function, v):
    if np.isnan(v):
        return v, 0.0
    if np.isinf(v) or v == 0:
        return EDGES[name][0 if v == -np.inf else 3 if v == np.inf else 2], 0.0
    pole = {"log": 0.0, "log2": 0.0, "log1p": -1.0}.get(name, -np.inf)
    if v <= pole:
        return (-np.inf if v == pole else np.nan), 0.0
    y = function(mpmath.mpf(v))
    high = float(y)
    return high, float(y - high) if np.isfinite(high) else 0.0


def largest_error(y, x, name):
    """Largest error of y in units in the last place; infinite where inf and NaN are not in their places."""
    high, low = exact(name, x)
    with np.errstate(all="ignore"):
        rounded = high.astype(x.dtype)
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        errors = np.abs((y.astype(np.float64) - high) - low) / unit
    agree = np.isclose(y, rounded, rtol=0, atol=0, equal_nan=True)
    errors = np.where(np.isfinite(rounded), errors, np.where(agree, 0.0, np.inf))
    return np.max(np.where(np.isnan(errors), np.inf, errors))


def computed(name, x, xp):
    with np.errstate(all="ignore"):
        return FUNCTIONS[name](x, xp)


def test_every_function_states_its_error():
    assert set(STATED) == set(FUNCTIONS) == set(EDGES)
    assert max(max(s.values()) for s in STATED.values()) <= 2


@pytest.mark.parametrize("name", FORMULAS)
def test_errors_are_as_stated(name, dtype):
    x = samples(dtype, 200_000 if dtype == "float32" else 1500)
    y = computed(name, x, WithBits())
    assert y.dtype == x.dtype
    assert largest_error(y, x, name) <= STATED[name][dtype]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMULAS)
def test_errors_over_all_float32(name):
    for first in range(0, 2**32, 97 * 2**16):  # in pieces that caches hold
        patterns = np.arange(first, min(first + 97 * 2**16, 2**32), 97, dtype=np.int64)
        x = patterns.astype(np.uint32).view(np.float32)
        assert largest_error(computed(name, x, WithBits()), x, name) <= STATED[name]["float32"]


@pytest.mark.parametrize("name", FORMULAS)
def test_every_backend(name, dtype, backend):
    x = samples(dtype, 2000 if dtype == "float32" else 200)
    # JAX takes what is below the normal numbers for 0.
    tiny = PRECISIONS[dtype].tiny
    with np.errstate(all="ignore"):
        y = exact(name, x)[0]
        x = x[~((np.abs(x) < tiny) & (x != 0)) & ~((np.abs(y) < 2 * tiny) & (y != 0))]
        got = FUNCTIONS[name](backend.asarray(x), backend.xp)
    got = backend.numpy(got, shape=x.shape, dtype=dtype)
    assert largest_error(got, x, name) <= STATED[name][dtype]


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("xp", [np, *BY_BITS])
def test_edges(name, dtype, xp):
    x = np.asarray([-np.inf, -0.0, 0.0, np.inf, np.nan], dtype)
    expected = np.asarray([*EDGES[name], np.nan], dtype)
    y = computed(name, x, xp)
    np.testing.assert_array_equal(y, expected, strict=True)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y)[number], np.signbit(expected)[number])


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("xp", BY_BITS)
def test_bits_and_operations_give_the_same(name, dtype, xp):
    x = samples(dtype, 20_000)
    np.testing.assert_array_equal(computed(name, x, xp), computed(name, x, np), strict=True)


def test_powers_and_exponents_are_those_of_bits(dtype):
    info = np.finfo(dtype)
    k = np.arange(info.minexp, info.maxexp).astype(dtype)
    expected = np.ldexp(np.ones_like(k), k.astype(np.int32))
    for xp in (np, WithBits()):
        np.testing.assert_array_equal(elementary.power_of_two(k, xp), expected, strict=True)
    x = samples(dtype, 20_000)
    x = x[(x >= info.tiny) & (x < np.inf)]
    by_bits = WithBits().fraction_and_exponent(x)
    with np.errstate(over="ignore"):
        m, e, scale = elementary.fraction_and_exponent(x, np)
    assert np.all((m >= x.dtype.type(LOW[dtype])) & (m < 2 * x.dtype.type(LOW[dtype])))
    np.testing.assert_array_equal(np.ldexp(m, e.astype(np.int32)), x)
    np.testing.assert_array_equal(m, by_bits[0])
    np.testing.assert_array_equal(e, by_bits[1])
    normal = scale >= info.tiny
    np.testing.assert_array_equal(scale[normal], by_bits[2][normal])
