"""Kernels of the libraries' own: the formulas' values at the edges, and their derivatives."""

import math

import numpy as np
import pytest

import xpnn
from xpnn._arrays.library import library, library_of_namespace
from xpnn._arrays.transfer import to_numpy
from xpnn._execution import functions

EDGES = [
    *(0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 40.0, -40.0, 1e30, -1e30, math.inf, -math.inf, math.nan),
    *(-87.3, -88.0, -88.8, -90.0, -100.0, -103.9, -104.5, 1e-40, -1e-40, 3e38, -3e38),
]
SLICES = [
    [1.0, 2.0, 3.0],
    [-math.inf, 0.0, 1.0],
    [-math.inf, -math.inf, -math.inf],
    [math.inf, 0.0, 1.0],
    [math.nan, 0.0, 1.0],
    [1000.0, 1000.0, -1000.0],
    [-104.0, 0.0, -88.5],
]
OPTIONS = {"leaky_relu": ({}, {"negative_slope": 0.2}), "softmax": ({"axis": -1}, {"axis": 0})}
NAMES = ("gelu", "leaky_relu", "log_sigmoid", "relu", "sigmoid", "softmax")
CASES = [(name, options) for name in NAMES for options in OPTIONS.get(name, ({},))]
ULP = 8


def points(name, dtype):
    if name == "softmax":
        return np.asarray(SLICES, dtype)
    rng = np.random.default_rng(0)
    return np.concatenate([EDGES, rng.uniform(-110, 50, 2000), rng.normal(size=2000)]).astype(dtype)


def assert_same(got, desired):
    """Equal but for a few units in the last place, which are one of the least number at the end."""
    got, desired = np.asarray(got), np.asarray(desired)
    assert (got.shape, got.dtype) == (desired.shape, desired.dtype)
    finite = np.isfinite(desired)
    np.testing.assert_array_equal(got[~finite], desired[~finite])
    unit = np.spacing(np.abs(desired[finite]))
    error = np.abs(got[finite] - desired[finite])
    assert (error <= ULP * unit).all(), (error / unit).max()


@pytest.fixture
def used(monkeypatch, torch):
    """The names of the kernels of torch that computed something."""
    calls = []
    found = library_of_namespace(torch)

    def counting(name, kernel):
        def compute(*args, **options):
            calls.append(name)
            return kernel.compute(*args, **options)

        return kernel._replace(compute=compute)

    counted = {name: counting(name, kernel) for name, kernel in found.kernels.items()}
    monkeypatch.setattr(found, "kernels", counted)
    monkeypatch.setattr(functions.Planner, "find", lambda *_: None)  # what was found before
    return calls


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_values(torch, used, name, options, dtype):
    x = torch.asarray(points(name, dtype))
    function = getattr(xpnn, name)
    assert_same(function(x, **options), function(x, **options, xp=torch))
    assert used == ([] if name in {"gelu", "sigmoid"} and dtype == "float64" else [name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_derivatives(torch, name, options, dtype):
    function = getattr(xpnn, name)
    values = points(name, dtype)
    values = (
        values[np.isfinite(values).all(axis=-1)]
        if values.ndim == 2
        else values[np.isfinite(values)]
    )

    def derivative(**xp):
        x = torch.tensor(values, requires_grad=True)
        weights = torch.linspace(1, 2, x.numel(), dtype=x.dtype).reshape(x.shape)
        (function(x, **options, **xp) * weights).sum().backward()
        return x.grad.numpy()

    epsilon = np.finfo(dtype).eps
    # Of the softmax, a difference of probabilities near 1.
    atol = 8 * epsilon if name == "softmax" else 1e-44
    np.testing.assert_allclose(derivative(), derivative(xp=torch), rtol=100 * epsilon, atol=atol)


@pytest.mark.parametrize("name", ["gelu", "sigmoid"])
def test_float64_inside_is_for_inference_only(torch, used, name):
    function = getattr(xpnn, name)
    x = torch.asarray([[-1.0, 2.0]])
    function(x)
    assert used == [name]
    function(x.double())
    function(x.clone().requires_grad_())
    torch.func.grad(lambda x: function(x).sum())(x)
    torch.func.vmap(function)(x)
    torch.func.jvp(function, (x,), (x,))
    with torch.autograd.forward_ad.dual_level():
        function(torch.autograd.forward_ad.make_dual(x, x))
    assert used == [name]
    with torch.no_grad():
        function(x.clone().requires_grad_())
    assert used == [name] * 2


@pytest.mark.parametrize("name", ["gelu", "sigmoid"])
def test_many_numbers_piece_by_piece(torch, monkeypatch, name):
    monkeypatch.setattr("xpnn._arrays.backends.torch.PIECE", 100)
    function = getattr(xpnn, name)
    x = torch.randn(30, 21)
    assert_same(function(x), function(x, xp=torch))
    assert_same(function(x.T), function(x, xp=torch).T)
    assert_same(function(x[::2, 1:]), function(x, xp=torch)[::2, 1:])


def test_linear_of_torch(torch):
    """One step where it can be, in networks; with and without a bias, of any number of axes."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(5, 4)), rng.normal(size=(4, 3))]
    network = xpnn.Network.from_weights(weights, [rng.normal(size=4), None], hidden="tanh")
    for shape in ((5,), (1, 5), (7, 5), (2, 3, 5), (0, 5)):
        x = rng.normal(size=shape)
        for _ in "12":
            np.testing.assert_allclose(network(torch.asarray(x)), network(x, xp=np), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_derivatives_of_jax(jax, dtype):
    """JAX's own values where it has no subnormals, on the CPU; the formula's derivatives everywhere."""
    jnp = jax.numpy
    with jax.enable_x64(True):
        x = jnp.asarray(points("sigmoid", dtype))
        text = str(jax.make_jaxpr(xpnn.sigmoid)(x))
        assert "logistic" in text
        assert "logistic" not in str(jax.make_jaxpr(lambda x: xpnn.sigmoid(x, xp=jnp))(x))
        assert_same(xpnn.sigmoid(x), xpnn.sigmoid(x, xp=jnp))
        x = x[jnp.isfinite(x)]
        for times in (1, 2, 3):
            own, written = xpnn.sigmoid, lambda x: xpnn.sigmoid(x, xp=jnp)
            for _ in range(times):
                own, written = jax.grad(own), jax.grad(written)
            # A GPU joins other products and sums of the two; on the CPU the bits are the same.
            eps = 0.0 if jax.default_backend() == "cpu" else float(jnp.finfo(dtype).eps)
            # As one program each: one operation at a time takes long to compile.
            a, b = (jax.jit(jax.vmap(f))(x) for f in (own, written))
            np.testing.assert_allclose(a, b, rtol=64 * eps, atol=4 * eps)
        tangent = jnp.ones_like(x)
        for transform in (jax.jit, jax.vmap):
            y, dy = jax.jvp(transform(xpnn.sigmoid), (x,), (tangent,))
            assert_same(y, xpnn.sigmoid(x, xp=jnp))
            written = jax.jit(lambda x: xpnn.sigmoid(x, xp=jnp))
            assert_same(dy, jax.jvp(written, (x,), (tangent,))[1])


def test_only_the_fast_way_takes_kernels(backend, monkeypatch):
    class Refusing(dict):
        def get(self, *_):
            raise AssertionError

    x = backend.asarray([[1.0, 2.0]])
    desired = to_numpy(xpnn.softmax(x))
    monkeypatch.setattr(backend.library, "kernels", Refusing())
    np.testing.assert_allclose(to_numpy(xpnn.softmax(x, xp=library(x).xp)), desired)


def test_integers_become_what_the_default_is_then(torch):
    x = torch.asarray([1, 2])
    assert xpnn.sigmoid(x).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert xpnn.sigmoid(x).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
