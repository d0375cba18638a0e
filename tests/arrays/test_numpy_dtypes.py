"""NumPy's arrays of dtypes that are not its everyday ones: bfloat16, other byte orders, and what is refused."""

import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import xpnn
from xpnn._activations.table import ACTIVATIONS

FUNCTIONS = {**ACTIVATIONS, "logsumexp": xpnn.logsumexp}
WAYS = {"fast": None, "plain": np, "reproducible": xpnn.reproducible(np)}
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
METHODS = ("__call__", "logits", "log_proba", "classify")
X = np.outer(np.linspace(-4, 4, 1501), [1, 0.5, -0.25]).astype(
    "float32"
)  # more than is done at once


@pytest.fixture(params=WAYS)
def xp(request):
    return WAYS[request.param]


def network(dtype):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 4)).astype(dtype), rng.normal(size=(4, 2)).astype(dtype)]
    biases = [np.ones(4, dtype), np.ones(2, dtype)]
    return xpnn.Network.from_weights(weights, biases, output="softmax")


def assert_same(got, desired):
    kind = np.ndarray if desired.shape else desired.dtype.type
    assert (type(got), got.dtype, got.dtype.isnative) == (kind, desired.dtype, True)
    np.testing.assert_array_equal(got, desired)


# bfloat16 of ml_dtypes


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bfloat16_is_float32_rounded_once(name, xp):
    x = X.astype(BFLOAT16)
    desired = FUNCTIONS[name](x.astype("float32"), xp=xp).astype(BFLOAT16)
    for _ in "12":
        y = FUNCTIONS[name](x, xp=xp)
        assert y.dtype == BFLOAT16
        np.testing.assert_array_equal(y, desired)


@pytest.mark.parametrize("method", METHODS)
def test_network_of_bfloat16(method, xp):
    low = network(BFLOAT16)
    wide = low.to(np, dtype="float32")
    x = X.astype(BFLOAT16)
    desired = getattr(wide, method)(x.astype("float32"), xp=xp)
    if method != "classify":
        desired = desired.astype(BFLOAT16)
    for _ in "12":
        y = getattr(low, method)(x, xp=xp)
        assert y.dtype == desired.dtype
        np.testing.assert_array_equal(y, desired)


def test_bfloat16_promotes(xp):
    low = network(BFLOAT16)
    for dtype, desired in (("float16", "float32"), ("float32",) * 2, ("float64",) * 2):
        assert low(X.astype(dtype), xp=xp).dtype == desired
        assert network(dtype)(X.astype(BFLOAT16), xp=xp).dtype == desired
    assert low(np.ones((2, 3), "int8"), xp=xp).dtype == BFLOAT16


def test_bfloat16_here_and_there(tmp_path, torch):
    low = network("float32").to(np, dtype="bfloat16")
    assert low.layers[0].weight.dtype == BFLOAT16
    there = network("float32").to(torch, dtype="bfloat16")
    np.testing.assert_array_equal(
        low(X.astype(BFLOAT16), xp=xpnn.reproducible(np)).astype("float32"),
        there(torch.from_numpy(X).bfloat16(), xp=xpnn.reproducible(torch)).float().numpy(),
    )
    low.save(tmp_path / "m")
    loaded = xpnn.load(tmp_path / "m")
    for old, new in zip(low.layers, loaded.layers, strict=True):
        assert new.weight.dtype == "float32"
        np.testing.assert_array_equal(old.weight.astype("float32"), new.weight)
    back = loaded.to(np, dtype=BFLOAT16)
    np.testing.assert_array_equal(back(X.astype(BFLOAT16)), low(X.astype(BFLOAT16)))


def test_reproducible_arrays_of_bfloat16():
    xp = WAYS["reproducible"]
    x = xp.asarray(np.asarray([1.0, -0.0, 2**-133], BFLOAT16))
    for y in (x, x + 1, -x, xp.exp(x), xp.sum(x), x @ x, xp.astype(xp.asarray(X), BFLOAT16)):
        assert y.dtype == BFLOAT16
        assert y.native.dtype == BFLOAT16


def test_numpy_without_ml_dtypes():
    code = """
import numpy as np, xpnn
try:
    xpnn.Network([xpnn.Dense(np.eye(2))]).to(np, dtype="bfloat16")
except TypeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "numpy has no dtype bfloat16" in done.stdout
    assert "import ml_dtypes" in done.stdout


# Byte orders


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_byte_orders(name, dtype, xp):
    x = X.astype(dtype)
    other = x.astype(x.dtype.newbyteorder())
    desired = FUNCTIONS[name](x, xp=xp)
    for _ in "12":
        assert_same(FUNCTIONS[name](other, xp=xp), desired)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint16"])
def test_byte_orders_in_networks(dtype, xp):
    x = X.astype(dtype)
    other = x.astype(x.dtype.newbyteorder())
    for weights in ("float32", ">f4", ">f8"):
        same = network(np.dtype(weights).newbyteorder("="))
        for method in METHODS:
            desired = getattr(same, method)(x, xp=xp)
            for _ in "12":
                assert_same(getattr(network(weights), method)(other, xp=xp), desired)
        pairs = zip(network(weights).layer_outputs(other), same.layer_outputs(x), strict=True)
        for got, desired in pairs:
            assert_same(got[0], desired[0])
            assert_same(got[1], desired[1])


def test_byte_orders_of_all_arguments(xp):
    x, b = X.astype("float64"), np.linspace(-1, 2, 3)
    weight = np.arange(6.0).reshape(3, 2)
    big = [a.astype(">f8") for a in (x, b, weight, weight[0])]
    assert_same(xpnn.linear(*big[::2], big[3], xp=xp), xpnn.linear(x, weight, weight[0], xp=xp))
    for got, desired in zip(
        xpnn.logsumexp(big[0], b=big[1], axis=1, return_sign=True, xp=xp),
        xpnn.logsumexp(x, b=b, axis=1, return_sign=True, xp=xp),
        strict=True,
    ):
        assert_same(got, desired)
    mask = X > 0
    assert_same(xpnn.softmax(big[0], where=mask, xp=xp), xpnn.softmax(x, where=mask, xp=xp))


# What is refused

OTHERS = (
    "longdouble", "complex64", "O", [("a", "f4")], "V4", "m8[s]", "M8[s]", "U1", "S1",
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.uint4,
)  # fmt: skip


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
def test_other_dtypes_are_refused_by_name(dtype, xp):
    if dtype == "longdouble" and np.finfo("longdouble").bits == 64:
        return  # it is float64 on this machine
    a = np.zeros((2, 3), dtype)
    float_ = np.ones((2, 3))
    for call in (
        lambda: xpnn.sigmoid(a, xp=xp),
        lambda: xpnn.softmax(a, xp=xp),
        lambda: xpnn.linear(float_, a.T, xp=xp),
        lambda: xpnn.logsumexp(float_, b=a, xp=xp),
        lambda: network("float32")(a, xp=xp),
        lambda: xpnn.Dense(a),
        lambda: xpnn.Dense(float_, a[0]),
        lambda: xpnn.softmax(float_, where=a, xp=xp),
        lambda: WAYS["reproducible"].asarray(a),
    ):
        words = re.escape(f"got dtype {a.dtype.name}")
        with pytest.raises(xpnn.XpnnTypeError, match=f"expected .* {words}"):
            call()


def test_integers_of_torch_with_bfloat16_weights_of_numpy(torch):
    network = xpnn.Network([xpnn.Dense(np.ones((3, 2), BFLOAT16), activation="relu")])
    for xp in (None, xpnn.reproducible(torch)):
        y = network(torch.ones((4, 3), dtype=torch.uint8), xp=xp)
        assert y.dtype == torch.bfloat16
        assert (y == 3).all()


# Results without axes are scalars, as those of NumPy's own functions.


def results(way):
    """Yield what is called, and a result of no dimension of each kind."""
    one, three = np.asarray(0.5), np.asarray([0.5, 2.0, -1.0])
    for name, function in ACTIVATIONS.items():
        yield name, function(one, xp=way)
    for options in ({}, {"axis": 0}, {"where": three > 0}, {"b": three}):
        yield f"logsumexp {list(options)}", xpnn.logsumexp(three, **options, xp=way)
    yield from zip("yz", xpnn.logsumexp(three, b=three, return_sign=True, xp=way), strict=True)
    single = xpnn.Network([xpnn.Dense(three[:, None], activation="sigmoid")])
    yield "classify", single.classify(three, xp=way)
    yield from zip(["class", "sure"], single.classify(three, certain=True, xp=way), strict=True)


def test_results_without_axes_are_scalars(xp):
    for _ in "12":  # planned, and run again
        for name, y in results(xp):
            assert isinstance(y, np.generic), name
