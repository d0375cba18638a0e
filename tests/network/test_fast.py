"""How calls without `xp` run: recorded and in tiles on NumPy, compiled on JAX, and never otherwise."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import random_network

import xpnn
from xpnn._arrays.backends.protocol import Kernel
from xpnn._arrays.library import library
from xpnn._arrays.transfer import to_numpy
from xpnn._execution import threads
from xpnn._network import passes
from xpnn._network.interpreters import values

OF = {"__call__": "output", "logits": "logits", "log_proba": "log_proba", "classify": None}
METHODS = tuple(OF)


def network_and_rows(count, widths=(20, 30, 10), output="softmax"):
    network = random_network(widths, "sigmoid", output)
    return network, np.random.default_rng(1).normal(size=(count, widths[0])).astype("float32")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 5000, 70_000])
def test_any_number_of_rows(count, method):
    network, x = network_and_rows(count)
    given = x.copy()
    y = getattr(network, method)(x)
    plain = getattr(network, method)(x, xp=np)
    assert (y.shape, y.dtype) == (plain.shape, plain.dtype)
    if method == "classify":
        np.testing.assert_array_equal(y, plain)
    else:
        bound = xpnn.error_bound(network, x, of=OF[method])
        assert np.all(np.abs(y.astype("float64") - plain) <= 2 * bound)
    np.testing.assert_array_equal(x, given)
    again = y.copy()
    getattr(network, method)(-x)  # what is remembered is not what was given
    np.testing.assert_array_equal(y, again)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_any_leading_axes(shape):
    network, _ = network_and_rows(1)
    x = np.random.default_rng(0).normal(size=(*shape, 20)).astype("float32")
    for _ in "12":
        y = network(x)
        assert y.shape == (*shape, 10)
        np.testing.assert_allclose(y, network(x, xp=np), rtol=2e-5)
        assert network.classify(x).shape == shape


def test_arrays_of_other_kinds(tmp_path):
    """Read-only, strided, mapped, of another byte order, of other dtypes: what is remembered fits each."""
    network, x = network_and_rows(6)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    swapped = x.astype(x.dtype.newbyteorder())
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    desired = network(x)
    for other in (mapped, wide, np.asfortranarray(x), x[::-1][::-1], swapped):
        np.testing.assert_allclose(network(other), desired, rtol=1e-5)
    assert network(x.astype("float64")).dtype == np.float64
    assert network(x).dtype == np.float32
    low = network(x.astype("float16"))
    assert low.dtype == np.float32
    np.testing.assert_allclose(low, desired, rtol=0.05)
    whole = network(np.round(x).astype("int8"))
    np.testing.assert_allclose(whole, network(np.round(x)), rtol=1e-5)


def test_errors_are_those_of_a_first_call():
    network, x = network_and_rows(3)
    network(x)
    with pytest.raises(ValueError, match=r"x of shape \(\.\.\., 20\)"):
        network(x[:, :19])
    with pytest.raises(TypeError, match="expected x to be an array"):
        network(x.tolist())
    with pytest.raises(TypeError, match="got dtype complex64"):
        network(x.astype("complex64"))
    with pytest.raises(TypeError, match="MaskedArray"):
        network(np.ma.masked_array(x))


def test_many_threads_at_once():
    network, x = network_and_rows(3000)
    desired = network(x)
    single = network(x[:1])
    with ThreadPoolExecutor(8) as pool:
        for y in pool.map(lambda i: network(x) if i % 2 else network(x[:1]), range(40)):
            # The BLAS, which has one thread while others compute, may round otherwise then.
            np.testing.assert_allclose(y, desired if len(y) == 3000 else single, rtol=1e-5)


def test_little_work_starts_no_threads(monkeypatch):
    started, right = [], threads._help
    monkeypatch.setattr(threads, "_help", lambda *work: started.append(1) or right(*work))
    network, x = network_and_rows(400)
    network(x)
    assert not started
    network(network_and_rows(100_000)[1])
    number = threads.count()
    assert bool(started) == (number > 1)


def test_memory_stays_flat():
    """At most 16 MiB more than the result, however many rows."""
    network, x = network_and_rows(300_000, (64, 32, 10))
    network(x[:1000])
    tracemalloc.start()
    y = network(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < y.nbytes + 2**24


def test_formulas_run_as_written_with_xp(monkeypatch, backend):
    network, x = network_and_rows(3)

    def fast(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr(passes, "compiled", fast)
    monkeypatch.setattr(passes, "in_tiles", fast)
    x = backend.asarray(x)
    kernels = {name: Kernel(fast) for name in ("linear", "sigmoid", "softmax")}
    monkeypatch.setattr(library(x), "kernels", kernels)
    assert to_numpy(network(x, xp=backend.xp)).shape == (3, 10)
    with pytest.raises(AssertionError):
        network(x)


def test_jax_traces_once_for_each_structure(jax):
    network, x = network_and_rows(3)
    traced = []

    def part(layers, x, by):
        traced.append(x.shape)
        return values.outputs(layers, x, by)

    forward = values.Forward(part, "float32", "float32")
    x = jax.numpy.asarray(x)
    found = library(x)
    for weights in (network, random_network((20, 30, 10), "sigmoid", "softmax", seed=9)):
        layers = weights.to(x).layers
        for _ in "123":
            y = passes.compiled(found, forward, layers)(x)
            np.testing.assert_allclose(to_numpy(y), to_numpy(weights(x, xp=found.xp)), rtol=1e-5)
    assert traced == [(3, 20)]
    passes.compiled(found, forward, layers)(x[:2])
    assert len(traced) == 2


def test_jax_options_may_be_arrays(jax):
    x = jax.numpy.asarray([-1.0, 2.0])
    slope = jax.numpy.asarray(0.25)
    assert xpnn.leaky_relu(x, negative_slope=slope).tolist() == [-0.25, 2.0]
    gradient = jax.grad(lambda s: xpnn.leaky_relu(x, negative_slope=s).sum())(slope)
    assert float(gradient) == -1


def test_jax_functions_are_compiled_once(jax):
    from xpnn._execution.computation import _compiled

    x = jax.numpy.asarray([[1.0, 2.0]])
    xpnn.leaky_relu(x, negative_slope=0.125)
    before = len(_compiled)
    for _ in "123":
        xpnn.leaky_relu(x + 1, negative_slope=0.125)
    assert len(_compiled) == before
    # Without an xp it is part of what is traced, not a call: XLA sees through it.
    inlined = jax.jit(lambda x: jax.numpy.tanh(x), inline=True)  # noqa: PLW0108
    assert str(jax.make_jaxpr(xpnn.tanh)(x)) == str(jax.make_jaxpr(inlined)(x))
