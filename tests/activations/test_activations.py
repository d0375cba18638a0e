"""The elementwise functions: values, edges, dtypes, shapes, bad input."""

import json
import math
from fractions import Fraction
from functools import partial
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from activation_cases import CASES
from references import ELEMENTWISE, bound

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import ELEMENTWISE as TABLE
from xpnn._activations.table import RECORDS
from xpnn.testing import assert_ulp, assert_within

NAMES = [function.__name__ for function in TABLE]

INF, NAN = math.inf, math.nan


@pytest.fixture(scope="module")
def expected():
    text = (Path(__file__).parents[1] / "expected.json").read_text(encoding="utf-8")
    return {
        name: np.asarray([[float.fromhex(v) for v in entry] for entry in entries]).T
        for name, entries in json.loads(text).items()
    }


def keeps_subnormals(backend, dtype):
    """Whether this library, here, computes with numbers below the smallest normal one."""
    tiny = np.finfo(dtype).tiny
    return float(backend.asarray(tiny, dtype) * backend.asarray(0.5, dtype)) != 0


def by_kernel(name, way, backend, dtype):
    """Whether a function of the library's own computes it, which keeps to the error bound and no more."""
    kernel = backend.kernels.get(name)
    return way == "fast" and kernel is not None and dtype in kernel.dtypes


WAYS = pytest.mark.parametrize("way", ["fast", "plain"])


@pytest.mark.xp_compiled(*(f"xpnn.{name}" for name in NAMES))
@WAYS
@pytest.mark.parametrize("name", NAMES)
def test_values(name, way, backend, dtype, expected):
    x, high, low = expected[name]
    function = partial(getattr(xpnn, name), xp=backend.xp if way == "plain" else None)
    tiny = np.finfo(dtype).tiny
    kept = keeps_subnormals(backend, dtype)
    if not kept:
        possible = (np.abs(x) >= tiny) | (x == 0)
        x, high, low = x[possible], high[possible], low[possible]
    over = np.abs(high) > np.finfo(dtype).max
    y = function(backend.asarray(x[over], dtype))
    np.testing.assert_array_equal(backend.numpy(y, shape=y.shape, dtype=dtype), INF)
    x, high, low = x[~over], high[~over], low[~over]
    y = function(backend.asarray(x, dtype))
    backend.numpy(y, shape=x.shape, dtype=dtype)
    exact = [Fraction(h) + Fraction(e) for h, e in zip(high, low, strict=True)]
    if by_kernel(name, way, backend, dtype):
        assert_within(y, exact, bound(name, x, high, dtype))
        return
    # A subnormal result has few digits: rounding it once more costs up to half a unit.
    limit = np.where(np.abs(high) < tiny, max(CASES[name].ulps, 1), CASES[name].ulps)
    assert_ulp(y, exact, limit, flush_to_zero=not kept)


@pytest.mark.parametrize("name", NAMES)
def test_edges(name, backend, dtype):
    x = backend.asarray([-INF, -0.0, 0.0, INF, NAN], dtype)
    y = backend.numpy(getattr(xpnn, name)(x), shape=(5,), dtype=dtype)
    np.testing.assert_allclose(y[:4], CASES[name].edges, rtol=4 * np.finfo(dtype).eps, atol=0)
    assert math.isnan(y[4])


@pytest.mark.parametrize("low", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_low_precision_is_float32_rounded_once(name, backend, low):
    if not hasattr(backend.xp, low):
        pytest.skip(f"{backend.name} has no {low}")
    x = backend.asarray(np.linspace(-9, 9, 101), low)
    function = getattr(xpnn, name)
    got = backend.numpy(function(x), shape=(101,), dtype=low)
    wide = function(backend.xp.astype(x, backend.xp.float32))
    desired = backend.numpy(
        backend.xp.astype(wide, getattr(backend.xp, low)), shape=(101,), dtype=low
    )
    np.testing.assert_array_equal(got, desired)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64"])
@pytest.mark.parametrize("name", NAMES)
def test_integers_become_the_default_float(name, backend, kind):
    info = backend.xp.__array_namespace_info__()
    default = str(info.default_dtypes()["real floating"]).rpartition(".")[2]
    function = getattr(xpnn, name)
    got = backend.numpy(function(backend.asarray([0, 1, 5, 120], kind)), shape=(4,), dtype=default)
    same = function(backend.asarray([0.0, 1.0, 5.0, 120.0], default))
    np.testing.assert_array_equal(got, backend.numpy(same, shape=(4,), dtype=default))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_shapes(name, backend, shape):
    x = backend.asarray(np.full(shape, 0.5), "float32")
    y = backend.numpy(getattr(xpnn, name)(x), shape=shape, dtype="float32")
    one = backend.numpy(
        getattr(xpnn, name)(backend.asarray([0.5], "float32")), shape=(1,), dtype="float32"
    )
    # JAX divides by a constant as it sees fit for the shape.
    np.testing.assert_allclose(y, np.full(shape, one[0]), rtol=2 * np.finfo("float32").eps)


@pytest.mark.parametrize("name", NAMES)
def test_views_and_input_unchanged(name, backend):
    values = np.linspace(-3, 3, 24, dtype="float64").reshape(4, 6)
    x = backend.asarray(values)
    view = backend.xp.permute_dims(x, (1, 0))[::2, 1:]
    y = backend.numpy(getattr(xpnn, name)(view), shape=(3, 3), dtype="float64")
    whole = backend.numpy(getattr(xpnn, name)(x), shape=(4, 6), dtype="float64")
    np.testing.assert_allclose(y, whole.T[::2, 1:], rtol=1e-15)
    np.testing.assert_array_equal(backend.numpy(x, shape=(4, 6), dtype="float64"), values)


@pytest.mark.parametrize("name", NAMES)
def test_read_only_numpy(name):
    x = np.linspace(-3, 3, 5)
    x.flags.writeable = False
    assert getattr(xpnn, name)(x).shape == (5,)


@pytest.mark.parametrize("name", NAMES)
def test_numpy_user_traps_stay_quiet(name):
    with np.errstate(all="raise"):
        getattr(xpnn, name)(np.asarray([-INF, -1e300, -800.0, 0.0, 800.0, 1e300, INF, NAN]))


@pytest.mark.parametrize("name", NAMES)
def test_xp_given_is_as_near(name, backend):
    """Without xp a kernel or a compiler may be at work, which may round otherwise."""
    x = backend.asarray([-1.5, 0.0, 2.0])
    function = getattr(xpnn, name)
    plain = backend.numpy(function(x, xp=backend.xp), shape=(3,), dtype="float64")
    fast = backend.numpy(function(x), shape=(3,), dtype="float64")
    np.testing.assert_array_max_ulp(plain, fast, maxulp=2 * CASES[name].ulps)


def test_xp_as_its_users_know_it(torch):
    x = torch.tensor([0.0, 1.0])
    assert xpnn.sigmoid(x, xp=torch).tolist() == xpnn.sigmoid(x).tolist()


# Forms with options, their formulas, and the largest error in units in the last place: what the table
# has for the function, and for gelu's tanh form 40, as it takes exp of up to 25, whose rounding counts
# 25 times.
OPTIONS = {
    "leaky_relu(negative_slope=0.2)": (lambda x: x if x > 0 else x * mp.mpf(0.2), 1),
    "elu(alpha=2)": (lambda x: x if x > 0 else 2 * mp.expm1(x), 4),
    "celu(alpha=2)": (lambda x: x if x > 0 else 2 * mp.expm1(x / 2), 4),
    "softplus(beta=2)": (lambda x: mp.log1p(mp.exp(2 * x)) / 2, 3),
    "softplus(beta=0.5)": (lambda x: mp.log1p(mp.exp(x / 2)) * 2, 3),
    "softplus(threshold=3)": (lambda x: x if x > 3 else mp.log1p(mp.exp(x)), 3),
    "softplus(beta=2, threshold=3)": (
        lambda x: x if 2 * x > 3 else mp.log1p(mp.exp(2 * x)) / 2,
        3,
    ),
    "gelu(approximate='tanh')": (
        lambda x: x / (1 + mp.exp(-mp.sqrt(8 / mp.pi) * (x + mp.mpf(0.044715) * x**3))),
        40,
    ),
    "softshrink(lambd=0.75)": (lambda x: x - mp.sign(x) * 0.75 if abs(x) > 0.75 else 0, 1),
    "hard_shrink(lambd=2)": (lambda x: x if abs(x) > 2 else 0, 0),
    "threshold(threshold=-2, value=3)": (lambda x: x if x > -2 else 3, 0),
}


@WAYS
@pytest.mark.parametrize("form", OPTIONS)
def test_options(form, way, backend, dtype):
    formula, limit = OPTIONS[form]
    x = np.linspace(-6, 6, 97).astype(np.float32)
    with mp.workdps(50):
        desired = [formula(mp.mpf(float(v))) for v in x]
    y = Activation.of(form)(backend.asarray(x, dtype), xp=backend.xp if way == "plain" else None)
    backend.numpy(y, shape=x.shape, dtype=dtype)
    if by_kernel(Activation.of(form).name, way, backend, dtype):
        assert_within(y, desired, bound(form, x, np.asarray(desired, "float64"), dtype))
    else:
        assert_ulp(y, desired, limit)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda x: xpnn.gelu(x, approximate="fast"),
            "gelu: expected approximate to be 'none' or 'tanh', got 'fast'",
        ),
        (
            lambda x: xpnn.celu(x, alpha=0),
            "celu: expected alpha to be a finite number other than 0",
        ),
        (
            lambda x: xpnn.softplus(x, beta=0),
            "softplus: expected beta to be a finite number greater than 0, got 0",
        ),
        (
            lambda x: xpnn.softshrink(x, lambd=-1),
            "softshrink: expected lambd to be a finite number not less than 0, got -1",
        ),
    ],
)
def test_bad_options(call, words, backend):
    with pytest.raises(ValueError, match=words):
        call(backend.asarray([1.0]))


@pytest.mark.parametrize("kind", ["bool", "complex64"])
@pytest.mark.parametrize("name", NAMES)
def test_bool_and_complex_are_refused(name, backend, kind):
    with pytest.raises(TypeError, match=rf"{name}: expected real .* in x, got dtype {kind}"):
        getattr(xpnn, name)(backend.asarray([0, 1], kind))


@pytest.mark.parametrize("x", [[1.0], 1.0, (1, 2), None, "text"], ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_no_array_is_refused(name, x):
    with pytest.raises(TypeError, match=rf"{name}: expected x to be an array .* numpy.asarray"):
        getattr(xpnn, name)(x)


@pytest.mark.parametrize(
    "x", [np.asarray(["a"]), np.asarray([None]), np.asarray([1.0], "longdouble")]
)
def test_other_dtypes_are_refused(x):
    with pytest.raises(TypeError, match="expected real floating or integer values"):
        xpnn.relu(x)


def test_masked_arrays_and_matrices_are_refused():
    with pytest.raises(TypeError, match=r"MaskedArray.*a plain array.*: x.filled\(...\)$"):
        xpnn.relu(np.ma.masked_less([1.0, 2.0], 1.5))


def test_numpy_scalars_are_arrays():
    assert float(xpnn.sigmoid(np.float64(0))) == 0.5


def test_wrong_xp_is_refused(torch):
    with pytest.raises(TypeError, match="array of xp, torch, got one of numpy"):
        xpnn.relu(np.ones(2), xp=torch)
    with pytest.raises(TypeError, match="expected an array namespace"):
        xpnn.relu(np.ones(2), xp="numpy")


def test_the_table_has_every_function_and_reference():
    assert set(NAMES) == set(ELEMENTWISE) == set(CASES)
    assert set(NAMES) < set(xpnn.__all__)


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if record.inverse])
def test_inverses(name):
    """The argument, up to what softmax does not see of it."""
    x, record = np.linspace(-3.0, 3.0, 12).reshape(3, 4), RECORDS[name]
    difference = record.inverse(record.function(x), np) - x
    if record.of_rows:
        difference = difference - difference[:, :1]
    np.testing.assert_allclose(difference, 0, atol=1e-12)  # cancellation: 2**-52 * exp(6)
