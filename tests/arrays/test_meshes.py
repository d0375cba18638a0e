"""JAX's explicit meshes, whose axes stand in the types of arrays, in the reproducible way and in others."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import ACTIVATIONS

X = np.linspace(-3, 4, 24, dtype="float32").reshape(4, 6)
WEIGHTS = [np.linspace(-1, 1.3, 6 * n, dtype="float32").reshape(-1, n) ** 3 for n in (6, 2)]


def a_network(hidden="softsign"):
    """One that nobody has called; of what compiles fast, as every activation has a test of its own."""
    biases = [np.linspace(0, 1, n, dtype="float32") for n in (6, 2)]
    return xpnn.Network.from_weights(WEIGHTS, biases, hidden=hidden, output="softmax")


def a_mesh(jax, kind="Explicit"):
    return jax.make_mesh((1,), ("d",), axis_types=(getattr(jax.sharding.AxisType, kind),))


@pytest.fixture
def mesh(jax):
    return a_mesh(jax)


def spread(jax, mesh, a, *axes):
    spec = jax.sharding.PartitionSpec(*axes)
    return jax.device_put(a, jax.sharding.NamedSharding(mesh, spec))


@pytest.mark.slow
def test_every_activation(mesh, x64, jax):
    rxp, x = xpnn.reproducible(jax.numpy), spread(jax, mesh, X, "d", None)
    with jax.set_mesh(mesh) if x64 else contextlib.nullcontext():
        every = jax.jit(lambda x: [f(x, xp=rxp) for f in ACTIVATIONS.values()])(x)
    for (name, f), y in zip(ACTIVATIONS.items(), every, strict=True):
        np.testing.assert_array_equal(y, f(X, xp=xpnn.reproducible(np)), err_msg=name)
        assert jax.typeof(y).sharding.spec == jax.typeof(x).sharding.spec, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "axes"), [("Explicit", ("d", None)), ("Explicit", (None, "d")), ("Auto", ("d", None))]
)
def test_networks(kind, axes, jax):
    """Called in the mesh first: what is remembered serves outside of it."""
    network, expected = a_network(), a_network()(X, xp=xpnn.reproducible(np))
    mesh = a_mesh(jax, kind)
    rxp, x = xpnn.reproducible(jax.numpy), spread(jax, mesh, X, *axes)
    with jax.set_mesh(mesh):
        placed = jax.tree.map(lambda a: spread(jax, mesh, a), network.to(jax.numpy))
        for y in (
            network(x, xp=rxp),
            jax.jit(lambda x: network(x, xp=rxp))(x),
            jax.jit(lambda network, x: network(x, xp=rxp))(placed, x),
            jax.vmap(lambda row: network(row, xp=rxp))(x),
        ):
            np.testing.assert_array_equal(y, expected)
        np.testing.assert_allclose(network(x), expected, rtol=1e-6)
    np.testing.assert_array_equal(network(jax.numpy.asarray(X), xp=rxp), expected)
    other = jax.make_mesh((1,), ("e",))
    with jax.set_mesh(other):
        y = network(spread(jax, other, X, "e"), xp=rxp)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.slow
def test_derivatives(mesh, x64, jax):
    network, rxp = a_network("gelu").to(jax.numpy), xpnn.reproducible(jax.numpy)

    def loss(network, x, xp):
        return -network.log_proba(x, xp=xp)[:, 0].mean()

    gradient = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
    expected = gradient(network, jax.numpy.asarray(X), jax.numpy)
    x = spread(jax, mesh, X, "d", None)
    with jax.set_mesh(mesh):
        placed = jax.tree.map(lambda a: spread(jax, mesh, a), network)
        got = gradient(placed, x, rxp)
    for a, b in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_number_times_an_array_lies_as_the_array(mesh, jax):
    rxp, x = xpnn.reproducible(jax.numpy), spread(jax, mesh, X, "d", None)
    with jax.set_mesh(mesh):
        for y in (0.5 * rxp.asarray(x), rxp.asarray(x) + x[0]):
            assert jax.typeof(y.native).sharding.spec == jax.typeof(x).sharding.spec


TWO = """
import jax, numpy as np, xpnn
from test_meshes import X, a_network, spread
mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
with jax.set_mesh(mesh):
    y = a_network()(spread(jax, mesh, X, "d", None), xp=xpnn.reproducible(jax.numpy))
assert len(y.sharding.device_set) == 2 and jax.typeof(y).sharding.spec[0] == "d", y.sharding
np.testing.assert_array_equal(y, a_network()(X, xp=xpnn.reproducible(np)))
"""


@pytest.mark.slow
def test_two_devices(jax, monkeypatch, request):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    subprocess.run([sys.executable, "-c", TWO], check=True, cwd=request.path.parent)
