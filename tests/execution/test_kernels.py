"""The libraries' own functions in the fast way: the error bound, the formulas' values at the edges, derivatives."""

import math

import numpy as np
import pytest
from activation_cases import CASES
from networks import OPTIONS
from references import bound, pair

import xpnn
from xpnn._activations.activation import Activation
from xpnn._activations.table import ACTIVATIONS
from xpnn._arrays.library import library, library_of_namespace
from xpnn._arrays.transfer import to_numpy
from xpnn._engine import shorter
from xpnn._execution import functions
from xpnn._rounding.exact import context

INF, NAN = math.inf, math.nan
EDGES = [
    *(0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5, 20.0, -20.0, 40.0, -40.0, 1e30, -1e30),
    *(-87.3, -88.8, -100.0, -103.9, -104.5, -710.0, -745.0, 1e-40, -1e-40, 3e37, -3e37),
]
FORMS = (*CASES, *OPTIONS, "elu(alpha=-2.0)", "celu(alpha=-2.0)", "softplus(beta=0.01)")
SLICES = [
    [1.0, 2.0, 3.0],
    [-INF, 0.0, 1.0],
    [-INF, -INF, -INF],
    [INF, 0.0, 1.0],
    [INF, -INF, NAN],
    [NAN, 0.0, 1.0],
    [1000.0, 1000.0, -1000.0],
    [-104.0, 0.0, -88.5],
    [0.0, -40.0, -20.0],
]
ROWS = [
    ("softmax", {"axis": -1}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": -1}),
    ("log_softmax", {"axis": 0}),
    ("logsumexp", {"axis": -1}),
    ("logsumexp", {"axis": 0, "keepdims": True}),
]


def points(dtype):
    rng = np.random.default_rng(0)
    size = 10 ** rng.uniform(-8, 2.7, 40)
    largest = np.finfo(dtype).max * np.asarray([1.0, -1.0, 0.3, -0.3])
    parts = [EDGES, rng.uniform(-20, 20, 80), rng.choice([-1, 1], 40) * size, largest]
    return np.concatenate(parts).astype(dtype)


def exact(form, x):
    one, mp = Activation.of(form), context()
    return [one.exact([mp.mpf(float(v))])[0] for v in x]


def kinks(form):
    """The derivatives that docstrings state where both sides differ."""
    one = Activation.of(form)
    options = dict(one.options)
    if one.name in {"hard_shrink", "softshrink"}:
        return {-options["lambd"]: 0, options["lambd"]: 0}
    if one.name == "threshold":
        return {options["threshold"]: 0}
    at_zero = {"leaky_relu": "negative_slope", "elu": "alpha"}.get(one.name)
    return {0: options[at_zero]} if at_zero else dict(CASES[one.name].kinks)


def derivatives(form, x):
    stated, mp, one = kinks(form), context(), Activation.of(form)

    def at(v):
        if v in stated:
            return stated[v]
        return mp.diff(lambda t: one.exact([t])[0], mp.mpf(v), h=mp.mpf(2) ** -150)

    return [at(float(v)) for v in x]


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


def asked(form, backend):
    """The activation, if the library has a kernel for it."""
    one = Activation.of(form)
    if one.name not in backend.kernels:
        pytest.skip("the formula runs")
    return one


@pytest.mark.parametrize("form", FORMS)
def test_values(form, backend, dtype):
    """Within the bound in any layout and of however many, and the formula's at infinities and NaN."""
    one, x = asked(form, backend), points(dtype)
    high, low = map(np.asarray, zip(*map(pair, exact(form, x)), strict=True))
    limits = bound(form, x, high, dtype)

    def assert_right(y):
        y = to_numpy(y).astype("float64")
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs((y - high) - low) <= limits) & (limits < INF)
        assert not wrong.any(), (x[wrong], y[wrong])

    given = backend.asarray(x)
    assert_right(one(given))
    whole = backend.asarray(np.stack([x, -x], axis=1))
    assert_right(one(whole[:, 0]))
    assert_right(one(whole)[:, 0])
    assert_right(one(whole.T)[0, :])
    for count in (30, 400):  # on threads, too
        y = one(backend.asarray(np.tile(x, count)))
        assert_right(y[: x.size])
        assert_right(y[-x.size :])
    for count in (3, 67, 2000, 30_000):  # in lanes, and what is left
        edges = backend.asarray(np.tile(np.asarray([-INF, INF, NAN], dtype), count))
        plain = to_numpy(one(edges, xp=backend.xp))
        np.testing.assert_allclose(to_numpy(one(edges)), plain, rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(given), x)


def test_torch_takes_its_own(torch, used):
    for form in CASES:
        xpnn._activations.table.ACTIVATIONS[form](torch.asarray([1.0]))
    for name, options in ROWS:
        getattr(xpnn, name)(torch.zeros(2, 3), **options)
    assert set(used) == set(library_of_namespace(torch).kernels) - {"linear"}
    assert set(CASES) - set(used) == {"identity", "step"}


def test_jax_takes_its_own(jax):
    x = jax.numpy.asarray([[1.0, 2.0]])
    assert "logistic" in str(jax.make_jaxpr(xpnn.sigmoid)(x))
    assert "logistic" not in str(jax.make_jaxpr(lambda x: xpnn.sigmoid(x, xp=jax.numpy))(x))


MOST = {"gelu(approximate='tanh')": 256, "mish": 32}
"""Units in the last place of the largest slope, where not 16: 1 - tanh**2, which cancels, times what is steep."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_derivatives(form, ad, dtype):
    """Finite, and right within a few units in the last place of the largest slope, at kinks as stated."""
    one, x = Activation.of(form), points(dtype)
    desired = derivatives(form, np.concatenate([x[np.abs(x) < 1e6], [-1e9, 1e9]]))
    slopes = np.asarray([float(d) for d in desired])
    x = np.concatenate([x[np.abs(x) < 1e6], [-1e30, 1e30]]).astype(dtype)
    fits = np.abs(slopes) < np.finfo(dtype).max / 8
    (got,) = ad.grad(one, x)
    assert np.isfinite(got[fits]).all()
    allowed = MOST.get(form, 16) * np.finfo(dtype).eps * np.maximum(np.abs(slopes), 1.0)
    # Subnormal points, beside a kink, are 0 to some libraries.
    fits &= (np.abs(x) > np.finfo(dtype).tiny) | (x == 0)
    off = np.abs(got[fits].astype("float64") - slopes[fits]) > allowed[fits]
    assert not off.any(), (x[fits][off], got[fits][off])
    (far,) = ad.grad(one, np.asarray([-INF, INF], dtype))
    (plain,) = ad.grad(lambda v: one(v, xp=library(v).xp), np.asarray([-INF, INF], dtype))
    np.testing.assert_allclose(far, plain, rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_transforms_of_torch(form, torch):
    """vmap, derivatives of functions, forward mode: the same values and derivatives."""
    one = Activation.of(form)
    x = torch.linspace(-5, 5, 41, dtype=torch.float64).reshape(41, 1)
    x[0], x[-1] = -INF, INF
    leaf = x.clone().requires_grad_()
    one(leaf).sum().backward()
    close = {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(torch.func.vmap(one)(x), one(x), **close)
    gradient = torch.func.grad(lambda v: one(v).sum())(x)
    np.testing.assert_allclose(gradient, leaf.grad, **close)
    y, tangent = torch.func.jvp(one, (x,), (torch.ones_like(x),))
    np.testing.assert_allclose(y, one(x), **close)
    np.testing.assert_allclose(tangent, leaf.grad, **close)
    with torch.no_grad():
        np.testing.assert_allclose(one(leaf), one(x), **close)
    with torch.inference_mode():
        np.testing.assert_allclose(one(x), y, **close)


@pytest.mark.parametrize("form", FORMS)
def test_transforms_of_jax(form, jax):
    one = Activation.of(form)
    if one.name not in library_of_namespace(jax.numpy).kernels:
        pytest.skip("the formula runs")
    x = jax.numpy.linspace(-5, 5, 41).at[0].set(-INF).at[-1].set(INF)
    close = {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(jax.vmap(one)(x), one(x), **close)
    np.testing.assert_allclose(jax.jit(one)(x), one(x), **close)
    backward = jax.vmap(jax.grad(one))(x)
    _, forward = jax.jvp(one, (x,), (jax.numpy.ones_like(x),))
    np.testing.assert_allclose(forward, backward, **close)


@pytest.mark.parametrize("xp", [None, "jax.numpy"])
def test_forward_mode_of_jax_far_out(xp, jax):
    """At infinity, too, each derivative by forward mode is that by reverse mode."""
    xp = xp and jax.numpy
    x = jax.numpy.asarray([-INF, -1e30, -5.0, 2.0, 1e30, INF])
    fs = {n: f for n, f in ACTIVATIONS.items() if n not in {"softmax", "log_softmax"}}

    @jax.jit
    def both(x):
        one = {n: lambda x, f=f: f(x, xp=xp) for n, f in fs.items()}
        forward = {n: jax.jvp(f, (x,), (jax.numpy.ones_like(x),))[1] for n, f in one.items()}
        return forward, {n: jax.vmap(jax.grad(f))(x) for n, f in one.items()}

    forward, backward = both(x)
    for name in fs:
        np.testing.assert_allclose(forward[name], backward[name], rtol=1e-6, err_msg=name)
        assert not np.isnan(forward[name]).any(), name


@pytest.mark.parametrize(("name", "options"), ROWS, ids=str)
def test_rows(name, options, backend, dtype):
    """NaN and infinities where the formula has them; a logarithm to half a unit of 1."""
    function, x = getattr(xpnn, name), backend.asarray(np.asarray(SLICES, dtype))
    for array in (x, x.T):
        turned = options["axis"] == -1 and array is not x
        given = {**options, "axis": 0} if turned else options
        got = to_numpy(function(array, **given))
        plain = to_numpy(function(array, **given, xp=backend.xp))
        eps = np.finfo(dtype).eps
        rtol = 32 * eps
        atol = np.finfo(dtype).tiny if name == "softmax" else 4 * eps
        np.testing.assert_allclose(got, plain, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), ROWS, ids=str)
def test_derivatives_of_rows(name, options, ad, dtype):
    function, x = getattr(xpnn, name), np.asarray(SLICES, dtype)
    x = x[np.isfinite(x).all(axis=1)]
    weights = np.linspace(1, 2, x.size, dtype=dtype).reshape(x.shape)

    def weighted(v, **xp):
        y = function(v, **options, **xp)
        return y * ad.asarray(weights[: y.shape[0], : y.shape[1]] if y.ndim == 2 else weights[:, 0])

    (got,) = ad.grad(weighted, x)
    (plain,) = ad.grad(lambda v: weighted(v, xp=library(v).xp), x)
    np.testing.assert_allclose(got, plain, rtol=0, atol=16 * np.finfo(dtype).eps)


LAYOUTS = {
    "in a row": lambda x: x,
    "by columns": lambda x: x.reshape(200, -1).T,
    "channels last": lambda x: x.reshape(4, 5, 40, -1).transpose(1, 3).contiguous().transpose(1, 3),
    "every second": lambda x: x.repeat_interleave(2)[::2],
    "spread": lambda x: x[:, None].expand(-1, 2),
}
PLACES = [(0, -INF), (20_000, -INF), (-1, -INF), (7, INF), (7, NAN), (7, -3e38), (7, 3e38)]


def many(torch, place, value):
    """More numbers than one thread of torch takes, one of them at the edge."""
    x = torch.linspace(-20, 20, 40_000)
    x[place] = value
    return x


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_one_at_the_edge_among_many(form, layout, torch):
    one = Activation.of(form)
    parts = [one(part) for part in many(torch, 0, -20.0).split(1000)]
    for place, value in PLACES:
        desired = torch.cat(parts)
        desired[place] = one(torch.asarray([value]))[0]
        got = one(layout(many(torch, place, value)))
        np.testing.assert_allclose(got, layout(desired), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_transforms_of_one_at_the_edge_among_many(form, torch):
    """Nobody looks at values that derivatives are recorded of or that stand for others."""
    one, close = Activation.of(form), {"rtol": 1e-5, "atol": 1e-6}
    for place, _ in PLACES[:3]:
        x = many(torch, place, -INF)
        np.testing.assert_allclose(
            torch.func.vmap(one)(x.reshape(2, -1)).reshape(-1), one(x), **close
        )
        leaf, few = (
            x.clone().requires_grad_(),
            x[place : place + 1 or None].clone().requires_grad_(),
        )
        one(leaf).sum().backward()
        one(few).sum().backward()
        assert leaf.grad.isfinite().all() == few.grad.isfinite().all()
        np.testing.assert_allclose(leaf.grad[place], few.grad[0], **close)
        gradient = torch.func.grad(lambda v: one(v).sum())(x)
        np.testing.assert_allclose(gradient, leaf.grad, **close)
        _, tangent = torch.func.jvp(one, (x,), (torch.ones_like(x),))
        np.testing.assert_allclose(tangent, leaf.grad, **close)


def test_linear_of_torch(torch):
    """One step where it can be, in networks; with and without a bias, of any number of axes."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(5, 4)), rng.normal(size=(4, 3))]
    network = xpnn.Network.from_weights(weights, [rng.normal(size=4), None], hidden="tanh")
    for shape in ((5,), (1, 5), (7, 5), (2, 3, 5), (0, 5)):
        x = rng.normal(size=shape)
        for _ in "12":
            np.testing.assert_allclose(network(torch.asarray(x)), network(x, xp=np), rtol=1e-13)


def test_only_the_fast_way_takes_kernels(backend, monkeypatch):
    class Refusing(dict):
        def get(self, *_):
            raise AssertionError

    x = backend.asarray([[1.0, 2.0]])
    desired = to_numpy(xpnn.softmax(x))
    monkeypatch.setattr(backend.library, "kernels", Refusing())
    monkeypatch.setattr(shorter, "KERNELS", Refusing())
    np.testing.assert_allclose(to_numpy(xpnn.softmax(x, xp=library(x).xp)), desired)


def test_integers_become_what_the_default_is_then(torch):
    x = torch.asarray([1, 2])
    assert xpnn.sigmoid(x).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert xpnn.sigmoid(x).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
