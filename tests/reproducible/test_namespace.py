"""The reproducible namespace and its arrays have what the Array API standard gives its users.

On values for which NumPy's results are exact, so that every correct function has them.
"""

import copy
import inspect
import math
import operator

import numpy as np
import pytest

import xpnn
from xpnn._arrays.transfer import to_numpy
from xpnn._reproducible.operations import OPERATIONS

NAN = math.nan
X = np.asarray([[3.0, -1.5, 2.0], [0.5, 4.0, -2.0]])
N = np.asarray([[3, 1, 2], [5, 4, 6]])

EXPRESSIONS = {
    "arithmetic": lambda xp, x, n: 2 - (x + x * 2) * x[1:, :] / 4 - -x + abs(x),
    "reflected": lambda xp, x, n: 3.0 / x[:, :1] + (1.5 - x) * 2.0,
    "comparisons": lambda xp, x, n: (x < 1) | (x > 2.5) & (x <= 3) ^ (x >= 4) | (x == 2) | ~(x != 2),
    "of integers": lambda xp, x, n: 7 - n + n * 2 - -n + abs(n),
    "bits": lambda xp, x, n: ((n & 3) | (n ^ 5) << 1) + (n >> 1) + (~n) + (1 << n) + (2 | n),
    "powers": lambda xp, x, n: x**3 + x**2.0 + x**0,
    "power -2": lambda xp, x, n: xp.pow(xp.asarray([0.5, 4.0]), -2),
    "square root by a power": lambda xp, x, n: (x * x * x * x) ** 0.5,
    "powers of integers": lambda xp, x, n: n**2 + xp.square(n),
    "square": lambda xp, x, n: xp.square(x),
    "reciprocal": lambda xp, x, n: xp.reciprocal(x[:, 2:]),
    "matrix product of integers": lambda xp, x, n: n @ n.T,
    "matrix product": lambda xp, x, n: x @ x.T,
    "matrix and vector": lambda xp, x, n: x @ x[0, :],
    "vector and matrix": lambda xp, x, n: x[:, 0] @ x,
    "vectors": lambda xp, x, n: x[0, :] @ x[1, :],
    "stacks of matrices": lambda xp, x, n: xp.matmul(xp.stack([x, 2.0 * x]), x.T),
    "vecdot": lambda xp, x, n: xp.vecdot(x, x[:1, :]),
    "vecdot along the first axis": lambda xp, x, n: xp.vecdot(x, x[:, :1], axis=0),
    "tensordot over all": lambda xp, x, n: xp.tensordot(x, x, axes=2),
    "tensordot over none": lambda xp, x, n: xp.tensordot(x[0, :], x, axes=0),
    "tensordot over some": lambda xp, x, n: xp.tensordot(x, x, axes=((-2,), (0,))),
    "sums": lambda xp, x, n: xp.sum(x, axis=0, keepdims=True) + xp.sum(x),
    "sums of some axes": lambda xp, x, n: xp.sum(x, axis=-1) + xp.sum(x, axis=(0, 1)),
    "sums of integers": lambda xp, x, n: xp.sum(n, axis=0) + xp.sum(n),
    "sum of integers as floats": lambda xp, x, n: xp.sum(n, dtype=xp.float64),
    "sum over no axis": lambda xp, x, n: xp.sum(x, axis=()),
    "mean": lambda xp, x, n: xp.mean(x[:, :2], axis=1),
    "variance": lambda xp, x, n: xp.var(x[:, :2], axis=1, keepdims=True, correction=1),
    "standard deviation": lambda xp, x, n: xp.std(x[:, 1:], axis=1),
    "running sums": lambda xp, x, n: xp.cumulative_sum(x, axis=1),
    "running sums from 0": lambda xp, x, n: xp.cumulative_sum(x, axis=0, include_initial=True),
    "running sums of integers": lambda xp, x, n: xp.cumulative_sum(n[0, :], include_initial=True),
    "running sums as floats": lambda xp, x, n: xp.cumulative_sum(n[0, :], dtype=xp.float64),
    "largest": lambda xp, x, n: xp.argmax(x, axis=1),
    "smallest": lambda xp, x, n: xp.argmin(x, axis=0, keepdims=True),
    "largest of all": lambda xp, x, n: xp.argmax(x),
    "smallest of all": lambda xp, x, n: xp.argmin(x, keepdims=True),
    "first of equals": lambda xp, x, n: xp.argmax(x * 0.0, axis=1) + xp.argmin(n * 0, axis=1),
    "selection": lambda xp, x, n: xp.where(x > 0, x, 0.0),
    "sorting": lambda xp, x, n: xp.sort(x, axis=1) + xp.take_along_axis(
        x, xp.argsort(x, axis=1), axis=1
    ),
    "shapes": lambda xp, x, n: xp.concat([xp.reshape(x, (3, 2)), xp.permute_dims(x, (1, 0))]),
    "extremes": lambda xp, x, n: xp.max(x, axis=0) - xp.min(x, axis=0) + xp.maximum(x, 1.0),
    "rounding": lambda xp, x, n: xp.floor(x) + xp.ceil(x) + xp.trunc(x) + xp.round(x),
    "clip": lambda xp, x, n: xp.clip(x, -1.0, 2.5),
    "creation": lambda xp, x, n: xp.ones_like(x) * xp.full_like(x, 2.5) + xp.zeros_like(x),
    "creation from shapes": lambda xp, x, n: xp.ones((2, 3)) + xp.eye(2, 3) + xp.arange(3.0),
    "small numbers": lambda xp, x, n: xp.full((2,), 1e-200, dtype=xp.float64) * 1e100,
    "signs": lambda xp, x, n: xp.copysign(x, -x) + xp.copysign(2.0, x) + xp.sign(x),
    "division of integers": lambda xp, x, n: (n // 2) * (7 % n) + xp.floor_divide(-n, 2) + n % 3,
    "differences": lambda xp, x, n: xp.diff(x, axis=1) + xp.diff(x, axis=1, n=1, append=x[:, :0]),
    "ranges": lambda xp, x, n: xp.arange(0.5, 3.0, 0.5)[:3] + xp.linspace(-1.0, 1.0, 3),
    "integer ranges": lambda xp, x, n: xp.arange(1, 7, 2) * 3 - xp.arange(3),
    "powers of integers by integers": lambda xp, x, n: xp.asarray([[3, 2]]) ** xp.asarray([[2], [1]]),
    "from lists": lambda xp, x, n: xp.asarray([[1.0, 2.0], [3.0, 4.0]]),
    "from arrays in lists": lambda xp, x, n: xp.asarray([float(x[0, 0]), 4.0]),
    "to integers": lambda xp, x, n: xp.astype(x, xp.int32),
    "to floats": lambda xp, x, n: xp.astype(n, xp.float32) + xp.astype(x, xp.float32),
    "to bool": lambda xp, x, n: xp.astype(x - 2.0, xp.bool),
    "dtypes promote": lambda xp, x, n: xp.astype(x, xp.float32) + x,
    "constants": lambda xp, x, n: xp.asarray([xp.inf, xp.pi, xp.e], dtype=xp.float64) * 1.0,
    "new axes": lambda xp, x, n: x[:, xp.newaxis, :] + x[xp.newaxis, :, :],
}  # fmt: skip


@pytest.fixture
def x(backend, rxp):
    return rxp.asarray(backend.asarray(X))


@pytest.fixture
def n(backend, rxp):
    return rxp.asarray(backend.asarray(N))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression(name, rxp, x, n):
    y = EXPRESSIONS[name](rxp, x, n)
    assert isinstance(y, rxp.Array)
    desired = np.asarray(EXPRESSIONS[name](np, X, N))
    got = to_numpy(y)
    assert got.dtype.kind == desired.dtype.kind
    np.testing.assert_array_equal(got, desired)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "matmul", "logaddexp"])
def test_the_librarys_arrays_in_and_out(name, backend, rxp, x):
    a = backend.asarray(X[:, :2])
    y = getattr(rxp, name)(a, a)
    assert not isinstance(y, rxp.Array)
    wrapped = getattr(rxp, name)(x[:, :2], a)
    assert isinstance(wrapped, rxp.Array)
    np.testing.assert_array_equal(to_numpy(wrapped.native), to_numpy(y))


def test_attributes(x, rxp):
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3), 2, 6, 2)
    assert x.dtype == rxp.float64
    assert x.device == x.native.device
    assert x.__array_namespace__() is rxp
    assert rxp.__array_api_version__ >= "2023.12"
    assert rxp.isdtype(x.dtype, "real floating")
    assert (
        rxp.__array_namespace_info__().default_dtypes()["real floating"] == rxp.asarray(0.5).dtype
    )
    assert repr(rxp) == rxp.__name__
    assert repr(x).startswith("reproducible(")
    for move in (lambda x: x.T, lambda x: x.mT):
        np.testing.assert_array_equal(to_numpy(move(x)), X.T)
    np.testing.assert_array_equal(to_numpy(+x), X)
    np.testing.assert_array_equal(to_numpy(x.to_device(x.device)), X)
    with pytest.raises(AttributeError):
        _ = rxp.__no_such_protocol__


def test_one_element_as_a_python_number(x, n):
    assert float(x[0, 1]) == -1.5
    assert int(x[0, 0]) == 3
    assert bool(x[0, 0])
    assert not bool(x[0, 0] * 0.0)
    assert operator.index(n[0, 0]) == 3


def test_assignment_forgets_what_was_remembered_of_the_old_values(rxp, backend):
    if backend.name == "jax":
        pytest.skip("JAX's arrays cannot be assigned to")
    x = rxp.asarray(backend.asarray(X), copy=True)
    before = to_numpy(x.T @ x)
    x[0, :] = 2.0 * x[0, :]
    x[1, 0] = 1e-320  # less than the least normal number
    desired = np.asarray([2.0 * X[0], [0.0, *X[1, 1:]]])
    np.testing.assert_array_equal(to_numpy(x), desired)
    np.testing.assert_array_equal(to_numpy(x.T @ x), desired.T @ desired)
    assert not np.array_equal(before, desired.T @ desired)


def test_to_integers_of_what_no_integer_holds(rxp, backend):
    x = rxp.asarray(backend.asarray(np.asarray([np.nan, np.inf, -np.inf, 1e30, 2.9, -2.9])))
    for bits, largest in ((32, 2**31 - 1), (64, 2**63 - 1024)):
        y = to_numpy(rxp.astype(x, getattr(rxp, f"int{bits}")))
        assert y.tolist() == [0, largest, -(2 ** (bits - 1)), largest, 2, -2]


def test_mixed_kinds_are_refused_as_the_standard_asks(rxp, x, n):
    with pytest.raises(TypeError):
        x + "text"
    with pytest.raises(TypeError):
        "text" - x
    with pytest.raises(ValueError, match="expected an axis"):
        rxp.cumulative_sum(x)
    with pytest.raises(TypeError, match="expected an array with an axis"):
        len(x[0, 0])
    with pytest.raises(TypeError, match="real values"):
        rxp.asarray(1j)


DIFFERENTIABLE = {
    "std": lambda xp, x: xp.std(x),
    "var": lambda xp, x: xp.var(x, axis=0, correction=0.5),
    "mean": lambda xp, x: xp.mean(x, axis=1) ** 2,
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=1) ** 2,
    "power": lambda xp, x: x**3 + x**0 + x**1 + x**-1,
    "logaddexp": lambda xp, x: xp.logaddexp(x, x[:1, :]),
    "matrices": lambda xp, x: x @ x.T,
    "matrix and vector": lambda xp, x: x @ x[0, :],
    "vector and matrix": lambda xp, x: x[:, 0] @ x,
    "broadcast": lambda xp, x: xp.sum(x * x[0, :], axis=0) + x / (x[:, :1] + 10.0),
    "logarithms": lambda xp, x: xp.log2(x * x) + xp.log10(x * x) + xp.log(x * x) + xp.log1p(x * x),
    "exponentials": lambda xp, x: xp.exp2(x) + xp.expm1(x) + xp.exp(x),
    "hyperbolic": lambda xp, x: xp.sinh(x) - xp.cosh(2.0 * x) + xp.tanh(x),
    "roots": lambda xp, x: xp.sqrt(x * x + 1.0),
    "astype": lambda xp, x: xp.astype(xp.astype(x, xp.float32) * 0.5, x.dtype) ** 2,
    "negative": lambda xp, x: (-x - 2.0) * x,
    "index": lambda xp, x: xp.flip(x, axis=1) * x,
}
OF_TWO = [
    name
    for name, operation in OPERATIONS.items()
    if list(inspect.signature(operation.kernel).parameters)[2:3] == ["single"] and name != "matmul"
]
for _name in OF_TWO:
    DIFFERENTIABLE[f"{_name} of two"] = lambda xp, x, name=_name: getattr(xp, name)(
        x, x[:1, :] * 0.5 + 3.0
    )


@pytest.mark.slow
@pytest.mark.parametrize("f", DIFFERENTIABLE)
def test_derivatives_against_finite_differences(ad, f):
    rxp = xpnn.reproducible(ad.xp)
    f = DIFFERENTIABLE[f]

    def total(x):
        return rxp.sum(f(rxp, rxp.asarray(x))).native

    (got,) = ad.grad(total, X)
    numpy = xpnn.reproducible(np)
    # Central differences of order 4; a large step, as one of the functions goes through float32.
    h = 2.0**-8
    desired = np.empty_like(X)
    for i in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[i] = h
        at = [
            math.fsum(np.ravel(f(numpy, numpy.asarray(X + k * step)).native))
            for k in (-2, -1, 1, 2)
        ]
        desired[i] = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    np.testing.assert_allclose(got, desired, rtol=3e-6, atol=1e-6)


# Arrays among those of others

OPERATORS = "add sub mul truediv lt le gt ge eq ne".split()


def test_iterates_as_long_as_it_is(rxp, backend):
    x = rxp.asarray(backend.asarray(np.float32([1, 2, 3])))
    first, *others = x
    assert [float(v) for v in (first, *others)] == [1, 2, 3]
    assert 2.0 in x
    assert 4.0 not in x
    assert "a" not in x
    with pytest.raises(TypeError, match="with an axis"):
        list(first)
    assert complex(first) == 1


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_take_numbers_of_numpy_as_python_s(name, rxp, backend):
    f = getattr(operator, name)
    x = rxp.asarray(backend.asarray(np.float32([0.5, 1.5, 3])))
    for number in (np.float64(1.5), np.float32(1.5), np.int64(3)):
        for got, expected in (
            (f(x, number), f(x, number.item())),
            (f(number, x), f(number.item(), x)),
        ):
            assert got.dtype == expected.dtype
            assert to_numpy(got).tolist() == to_numpy(expected).tolist()


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_refuse_arrays_of_others(name, rxp, backend):
    f = getattr(operator, name)
    x = rxp.asarray(backend.asarray(np.float32([0.5, 1.5, 3])))
    others = [np.array(2.0), np.ones(3, "float32")] if backend.name != "numpy" else []
    if backend.name != "array-api-strict":  # whose errors say it themselves
        native = backend.asarray(np.float32([1, 2, 3]))
        assert to_numpy(f(native, x)).tolist() == to_numpy(f(rxp.asarray(native), x)).tolist()
    for other in others:
        for pair in ((x, other), (other, x)):
            with pytest.raises(TypeError, match="one library"):
                f(*pair)


def test_does_not_become_an_array_of_numpy_unasked(rxp, backend):
    x = rxp.asarray(backend.asarray(np.float32([1, 2])))
    for f in (np.asarray, np.exp, lambda x: np.array([x, x]), lambda x: np.dot(x, x), round):
        with pytest.raises(TypeError):
            f(x)


def test_writing_through_a_view_changes_products(rxp, backend):
    if backend.name == "jax":
        pytest.skip("JAX's arrays cannot be written to")
    x, w = (rxp.asarray(backend.asarray(np.ones(s))) for s in ((1, 3), (3, 2)))
    views = (
        lambda: w[0, :],
        lambda: w.T[:, 0],
        lambda: rxp.reshape(w, (6,))[:2],
        lambda: rxp.astype(w, w.dtype, copy=False)[0, :],
    )
    for i, view in enumerate(views):
        rxp.matmul(x, w)
        view()[...] = 10.0 * i
        assert to_numpy(rxp.matmul(x, w)).tolist() == [[2 + 10.0 * i] * 2]


def test_copies_are_copies(rxp, backend):
    if backend.name == "jax":
        pytest.skip("JAX's arrays cannot be written to")
    x = rxp.asarray(backend.asarray(np.float64([1, 2])))
    copies = [+x, rxp.astype(x, x.dtype), rxp.asarray(x, copy=True), rxp.real(x), rxp.conj(x)]
    x[0] = 7.0
    assert [float(c[0]) for c in copies] == [1] * 5


def test_a_write_while_a_product_is_made_is_seen_later(monkeypatch):
    xp = xpnn.reproducible(np)
    a, b = xp.asarray(np.ones((1, 3))), xp.asarray(np.ones((3, 2)))
    split = xp.engine.split

    def write_meanwhile(native):
        found = split(native)
        b[0, :] = 5.0
        return found

    monkeypatch.setattr(xp.engine, "split", write_meanwhile)
    _ = a @ b
    monkeypatch.undo()
    assert (a @ b).native.tolist() == [[7.0, 7.0]]
    assert copy.copy(xp) is copy.deepcopy(xp) is xp  # which knows of all writes


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_each_nan_is_unique(dtype, backend, rxp):
    if not hasattr(backend.xp, dtype) or backend.name == "array-api-strict":
        pytest.skip(f"{backend.name} has no {dtype}, or no shapes that depend on values")
    x = backend.asarray([1.0, NAN, 4.0, NAN, 3.0, 4.0, NAN, 4.0], dtype)
    found = rxp.unique_counts(x)
    np.testing.assert_array_equal(to_numpy(found.values), [1, 3, 4, NAN, NAN, NAN])
    assert to_numpy(found.counts).tolist() == [1, 1, 3, 1, 1, 1]
    assert found.values.dtype == x.dtype


OF_FLOAT64 = {
    **{
        name: lambda xp, a, n=name: getattr(xp, n)(a)
        for name in ("floor", "ceil", "trunc", "round")
    },
    "positive": lambda xp, a: +a,
    "astype": lambda xp, a: xp.astype(a, a.dtype),
    "copy": lambda xp, a: xp.asarray(a, copy=True),
    "like": lambda xp, a: xp.full_like(a, 0.1) + xp.ones_like(a) + xp.zeros_like(a),
    "numbers": lambda xp, a: 1 / (a * 0.1 + 1) - 2.5,
    "maximum": lambda xp, a: xp.maximum(a, 1e9 / 3),
    "where": lambda xp, a: xp.where(a > 0, 0.1, a),
    "logaddexp": lambda xp, a: xp.logaddexp(a, 0.1),
}


@pytest.mark.parametrize("name", OF_FLOAT64)
def test_float64_stays_where_64_bit_types_are_off(name, jax):
    def compute(xp, x):
        a = xp.astype(xp.asarray(x), xp.float64)
        return OF_FLOAT64[name](xp, a * a + 1 / a).native  # digits that float32 has not

    x = np.asarray([4097.0, 5001.0], "f4")
    with jax.enable_x64(False):
        got = to_numpy(compute(xpnn.reproducible(jax.numpy), jax.numpy.asarray(x)))
    expected = compute(xpnn.reproducible(np), x)
    assert got.dtype == expected.dtype
    assert got.tolist() == expected.tolist()
