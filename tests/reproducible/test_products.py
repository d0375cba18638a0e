"""Sums and products over all exponents, against their definition in tests/oracle.py."""

import math

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnn
from xpnn._arrays.transfer import to_numpy
from xpnn._reproducible.arithmetic import exact

EXPONENTS = {"float32": (-126, 127), "float64": (-1022, 1023)}
WIDEST = 1026
"""Terms of the arrays that are given to the backends: always as many, as JAX compiles each shape."""


@st.composite
def numbers(draw, dtype, count):
    """Numbers of any exponent, many of them at few places: 0, near the ends, near each other."""
    least, most = EXPONENTS[dtype]
    base = draw(st.integers(least, most))
    exponent = st.one_of(
        st.integers(least, most),
        st.integers(max(base - 60, least), min(base + 60, most)),
        st.sampled_from([least, least + 1, most, 0]),
    )
    factor = st.sampled_from([0.0, 1.0, -1.0, 1.5, -1.75, 1 + 2.0**-20, 2 - 2.0**-23, math.pi / 2])
    values = [draw(factor) * 2.0 ** draw(exponent) for _ in range(count)]
    return np.asarray(values, dtype) + np.asarray(0, dtype)  # no -0


def spread(values, size):
    """A few numbers among as many zeros, some in either block."""
    y = np.zeros((size, *values.shape[1:]), values.dtype)
    y[np.linspace(0, size - 1, len(values)).astype(int)] = values
    return y


@pytest.mark.slow
@pytest.mark.parametrize("dtype", EXPONENTS)
@pytest.mark.parametrize("size", [6, WIDEST])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_products(dtype, size, backend, rxp, data):
    a = data.draw(numbers(dtype, 12)).reshape(6, 2)
    b = data.draw(numbers(dtype, 12)).reshape(6, 2)
    a, b = spread(a, size), spread(b, size)
    predict = oracle.products32 if dtype == "float32" else oracle.products64
    # Terms of 0 add nothing, but for their number; the definition is quick with few.
    expected = [predict(row.tolist(), b.tolist()) for row in a.T]
    got = to_numpy(rxp.matmul(backend.asarray(np.ascontiguousarray(a.T)), backend.asarray(b)))
    assert got.tolist() == expected


@pytest.mark.slow
@pytest.mark.parametrize("size", [6, WIDEST])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_sums(size, backend, rxp, data):
    x = spread(data.draw(numbers("float64", 6)), size)
    xs = backend.asarray(x)
    assert float(to_numpy(rxp.sum(xs))) == oracle.sum64(x.tolist())
    expected = oracle.cumulative_sum64(x.tolist())
    assert to_numpy(rxp.cumulative_sum(xs)).tolist() == expected
    mean, variance = oracle.mean_and_variance64(x.tolist())
    assert same(float(to_numpy(rxp.mean(xs))), mean)
    assert same(float(to_numpy(rxp.var(xs))), variance)
    if math.isfinite(variance):
        assert float(to_numpy(rxp.std(xs))) == oracle.double(oracle.root(variance))


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


HARD = [
    ([[2.0**500, 2.0**-40, 0.0]], [[0.0], [2.0**-500], [1.0]]),
    ([[1e150, *[0.0] * 1023, 1e-162]], [[1.0]] * 1025),
    ([[0.0, *[0.0] * 1023, 1e-162]], [[1.0]] * 1025),
    ([[1e300, 1.0, 0.0]], [[1e-300, 1.0], [1.0, 1.0], [0.0, 1e300]]),
    ([[2.0**-1022] * 3], [[2.0**-1022], [1.0], [2.0**1023]]),
    ([[2.0**1023] * 3], [[2.0**1023], [-(2.0**1023)], [1.0]]),
    ([[2.0**1023] * 2], [[-1.0], [1.0]]),
]


@pytest.mark.parametrize(("a", "b"), HARD)
def test_products_that_were_nan(a, b, backend, rxp):
    got = to_numpy(rxp.matmul(backend.asarray(np.asarray(a)), backend.asarray(np.asarray(b))))
    assert got.tolist() == [oracle.products64(row, b) for row in a]


def test_what_is_not_finite_makes_its_row_or_column_nan(backend, rxp):
    a, b = np.ones((3, 3)), np.ones((3, 3))
    a[1, 1], b[2, 2], b[1, 0] = math.inf, math.nan, 0.0
    got = to_numpy(rxp.matmul(backend.asarray(a), backend.asarray(b)))
    assert np.isnan(got).tolist() == [[False, False, True], [True] * 3, [False, False, True]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_column_that_is_not_finite_says_nothing_of_the_others(value, backend, rxp, dtype):
    rng = np.random.default_rng(0)
    b = rng.normal(size=(7, 5)).astype(dtype)
    b[3, 1], b[5, 1] = value, 2.0**100
    a = rng.normal(size=(4, 7)).astype(dtype)
    y, alone = (
        backend.numpy(
            rxp.matmul(backend.asarray(a), backend.asarray(right)),
            shape=(4, right.shape[1]),
            dtype=dtype,
        )
        for right in (b, np.delete(b, 1, axis=1))
    )
    assert np.isnan(y[:, 1]).all()
    np.testing.assert_array_equal(np.delete(y, 1, axis=1), alone)


LONG = [exact._LOOPED - 1, exact._LOOPED, exact._LOOPED + 1025]


def normal(dtype, *shape):
    rng = np.random.default_rng(shape)
    return (rng.normal(size=shape) * 2.0 ** rng.integers(-30, 30, shape)).astype(dtype)


@pytest.mark.parametrize("dtype", EXPONENTS)
@pytest.mark.parametrize("size", LONG)
def test_long_products(size, dtype, backend, rxp):
    """A compiler gets their blocks as a loop; NumPy one by one, as the oracle has shorter ones."""
    a, b = normal(dtype, 2, size), normal(dtype, size, 2)
    got = to_numpy(rxp.matmul(backend.asarray(a), backend.asarray(b)))
    np.testing.assert_array_equal(got, xpnn.reproducible(np).matmul(a, b))


@pytest.mark.slow
def test_long_products_in_jax_transforms(x64, jax):
    rxp, there = xpnn.reproducible(jax.numpy), xpnn.reproducible(np)
    a, b = normal("float32", 2, 3, LONG[-1]), normal("float32", 2, LONG[-1], 2)
    expected = np.stack([there.matmul(*one) for one in zip(a, b, strict=True)])
    a, b = jax.numpy.asarray(a), jax.numpy.asarray(b)
    np.testing.assert_array_equal(rxp.matmul(a, b), expected)
    np.testing.assert_array_equal(jax.vmap(rxp.matmul)(a, b), expected)
    alone = jax.jit(jax.vmap(rxp.matmul, (0, None)))(a, b[0])
    np.testing.assert_array_equal(alone[0], expected[0])
    # Of the derivative with respect to weights the terms are the rows.
    x, g = normal("float32", LONG[-1], 3), normal("float32", LONG[-1], 2)
    loss = lambda w, x, g: (rxp.matmul(x, w) * g).sum()
    got = jax.grad(loss)(b[0, :3], jax.numpy.asarray(x), jax.numpy.asarray(g))
    np.testing.assert_array_equal(got, there.matmul(x.T.copy(), g))


def test_the_program_of_a_product_is_as_short_for_many_terms(jax):
    rxp = xpnn.reproducible(jax.numpy)

    def length(size):
        a, b = (jax.ShapeDtypeStruct(shape, "float32") for shape in ((5, size), (size, 3)))
        return str(jax.make_jaxpr(rxp.matmul)(a, b)).count(" = ")

    assert length(2**18) == length(LONG[1])
